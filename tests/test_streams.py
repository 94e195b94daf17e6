"""Standard output and error that refuse: odd encodings, closed, full, or a terminal that has gone; no work is lost."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from release import long_but
from waiting import PATIENCE, wait_for
from zeuxis import cli, storage
from zeuxis.runtime.progress import Lines, open_display
from zeuxis.runtime.streams import lossy

SHORT = ("--size", "16", "--base-channels", "4", "--batch-size", "2", "--threads", "1", "--kernels", "standard")


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    (tmp_path / "birds").mkdir()
    for i in range(4):
        Image.new("RGB", (16, 16), (60 * i, 0, 0)).save(tmp_path / "birds" / f"{i}.png")
    return tmp_path


def zeuxis(
    at: Path, *words: str, encoding: str = "", shell: str = "", locale: str | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a folder, its output encoded so; `shell` is what redirects it."""
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    env |= {"PYTHONIOENCODING": encoding} if encoding else {}
    env |= {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"} if locale else {}
    command = ["sh", "-c", f'"$@" {shell}', "sh", sys.executable, "-m", "zeuxis", *words]
    return subprocess.run(command, cwd=at, env=env, capture_output=True, check=False)


@pytest.mark.parametrize("encoding", long_but("ascii:strict", among=["cp1252", "ascii:strict", "cp932"]))
def test_a_path_that_the_output_cannot_encode_does_not_fail_the_command(birds: Path, encoding: str) -> None:
    name = "日本 žluťoučký 🦜"
    done = zeuxis(birds, "data", "birds", "--size", "16", "--out", f"{name}/sheet.png", encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert (birds / name / "sheet.png").exists()
    expected = f"wrote {name}/sheet.png".encode(encoding.partition(":")[0], "backslashreplace")
    assert done.stdout.splitlines()[-1] == expected


@pytest.mark.long
def test_a_run_whose_paths_the_output_cannot_encode(birds: Path) -> None:
    data, out = "日本", "Ελλάδα"
    (birds / "birds").rename(birds / data)
    done = zeuxis(birds, "train", "vae", data, *SHORT, "--steps", "1", "--out", out, encoding="ascii")
    assert done.returncode == 0, done.stderr
    (run,) = (birds / out).glob("0*")
    assert out in (run / "log.txt").read_text("utf-8")
    wrong = zeuxis(birds, "sample", out, encoding="cp1252")
    assert wrong.returncode == 2 and wrong.stderr.count(b"\n") == 1, wrong.stderr


def test_a_name_that_is_no_text_trains_and_resumes(birds: Path) -> None:
    """In the C locale, and with bytes that are not UTF-8."""
    odd = os.fsdecode(b"caf\xe9")
    os.rename(birds / "birds", birds / odd)  # noqa: PTH104
    done = zeuxis(birds, "train", "vae", odd, *SHORT, "--steps", "1", "--out", f"{odd}-runs", locale="C")
    assert done.returncode == 0, done.stderr
    (run,) = (birds / f"{odd}-runs").glob("0*")
    again = zeuxis(birds, "resume", str(run), "--steps", "2", encoding="ascii")
    assert again.returncode == 0, again.stderr


def test_json_stays_json_in_every_encoding(birds: Path) -> None:
    (birds / "birds").rename(birds / "日本")
    for encoding in ("cp1252", "utf-8"):
        done = zeuxis(birds, "data", "日本", "--size", "16", "--json", encoding=encoding)
        assert done.returncode == 0 and json.loads(done.stdout)["name"] == "日本"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_said_and_what_was_written_stays(birds: Path) -> None:
    words = ("data", "birds", "--size", "16", "--out", "sheet.png")
    done = zeuxis(birds, *words, shell=">/dev/full")
    assert (done.returncode, (birds / "sheet.png").exists()) == (5, True)
    assert done.stderr.splitlines()[-1].startswith(b"zeuxis: standard output cannot be written: No space left")
    assert b"Exception ignored" not in done.stderr
    assert zeuxis(birds, "data", "nothing", shell="2>/dev/full").returncode == 2


@pytest.mark.long
def test_a_reader_that_has_gone_does_not_keep_the_work_undone(birds: Path) -> None:
    done = zeuxis(birds, "data", "birds", "--size", "16", "--out", "sheet.png", shell="| true; exec true")
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    assert (birds / "sheet.png").exists()


@pytest.mark.parametrize("shell", long_but("<&- >&- 2>&-", among=["2>&-", "<&- >&- 2>&-"]))
def test_closed_streams_do_not_matter(birds: Path, shell: str) -> None:
    done = zeuxis(birds, "train", "vae", "birds", *SHORT, "--steps", "2", shell=shell)
    assert done.returncode == 0, done.stderr
    run = birds / "runs" / "00001-vae-birds"
    assert storage.RunFolder.open(run).load_checkpoint().step == 2
    # A closed number is given to the next file that is opened: nothing that is printed may end there.
    assert [row["step"] for row in storage.RunFolder.open(run).metrics()] == [1, 2]
    assert all(line[:2] == "20" for line in (run / "log.txt").read_text().splitlines())
    assert (run / "config.yaml").read_text().startswith("family: vae\n")


def test_a_display_that_fails_ends_nothing() -> None:
    class Gone(io.StringIO):
        encoding = "ascii"

        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

        flush = write

    with open_display(Gone()) as shown:
        shown.note("one")
        shown.work("reading", 1, 1)
    kept = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Lines(lossy(kept)).note("é")
    kept.seek(0)
    assert kept.read() == "\\xe9\n"
    lossy(None).write("nobody hears it")


def in_a_terminal(at: Path, *, hangup: signal.Handlers) -> tuple[subprocess.Popen[bytes], int]:
    """Begin a training run, a very long one, in a terminal of its own; its process, and the terminal's other end."""
    import fcntl
    import termios

    ours, theirs = os.openpty()

    def settle() -> None:
        signal.signal(signal.SIGHUP, hangup)
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "zeuxis", "train", "vae", "birds", *SHORT, "--steps", "100k", "--log-every", "1"],
        cwd=at,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=settle,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
    )
    os.close(theirs)
    return process, ours


def rows_of(at: Path) -> int:
    return sum(path.read_text().count("\n") for path in at.glob("runs/*/metrics.jsonl"))


def wait_for_rows(at: Path, process: subprocess.Popen[bytes], terminal: int | None = None) -> None:
    """Until five more steps are logged; what the terminal shows is read, so that nobody waits to write to it."""
    before = rows_of(at)

    def logged() -> bool:
        assert process.poll() is None
        with contextlib.suppress(OSError):  # nothing shown yet
            if terminal is not None:
                os.read(terminal, 1 << 16)
        return rows_of(at) >= before + 5

    wait_for(logged, "five more rows")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs terminals")
@pytest.mark.parametrize("ignored", long_but(False, among=[False, True]))
def test_a_terminal_that_closes(birds: Path, ignored: bool) -> None:
    """Saved and gone with 128 + SIGHUP; begun under nohup, it goes on although nobody looks on."""
    process, terminal = in_a_terminal(birds, hangup=signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        os.set_blocking(terminal, False)
        wait_for_rows(birds, process, terminal)
        os.close(terminal)
        if ignored:
            wait_for_rows(birds, process)
            process.terminate()
        assert process.wait(PATIENCE) == (143 if ignored else 129)
    finally:
        process.kill()
        process.wait()
    (run,) = (birds / "runs").glob("0*")
    checkpoint = storage.RunFolder.open(run).load_checkpoint()
    assert checkpoint is not None and checkpoint.step >= (10 if ignored else 5)
    name = "SIGTERM" if ignored else "SIGHUP"
    assert f"ended by {name}, saved at step {checkpoint.step}" in (run / "log.txt").read_text()
