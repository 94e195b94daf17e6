"""`zeuxis train --explore`: the training is shown by another process, which ends with it; then the model is served."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from page_client import PATIENCE, opened
from test_page_runs import CONFIG
from zeuxis.errors import UsageError
from zeuxis.families import find
from zeuxis.storage import RunFolder
from zeuxis.web.beside import followed, open_model_or_run

TRAIN = ["train", "gan", "zeuxis:digits", "--size", "8", "--channels", "1", "--hidden-dim", "8", "--latent-dim", "4"]
OFTEN = [
    "--batch-size",
    "4",
    "--log-every",
    "5",
    "--sample-every",
    "50",
    "--threads",
    "1",
    "--out",
    "runs",
    "--explore",
]


class Training:
    """A command at work, and what it says, line by line."""

    def __init__(self, folder: Path, *words: str, command: Sequence[str] = (*TRAIN, *OFTEN)) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zeuxis", *command, *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")},
        )
        self.said: list[str] = []
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def until(self, pattern: str) -> str:
        """What the pattern's group finds in the next line that fits."""
        while line := self._lines.get(timeout=PATIENCE):
            self.said.append(line)
            if match := re.search(pattern, line):
                return match[1]
        raise AssertionError(f"it never said {pattern}: {''.join(self.said)}")

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[list[Training]]:
    found: list[Training] = []
    yield found
    for training in found:
        if training.process.poll() is None:
            training.process.kill()
            training.process.wait()


def refuses(link: str) -> bool:
    """Whether nobody listens at the link."""
    host, port = link.removeprefix("http://").strip("/").split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) != 0


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_training_is_shown_and_ctrl_c_ends_both(tmp_path: Path, begun: list[Training]) -> None:
    training = Training(tmp_path, "--steps", "1000000", "--checkpoint-every", "1000000")
    begun.append(training)
    link = training.until(r"training is shown at (http://127\.0\.0\.1:\d+/)")
    with opened(link) as page:
        told = page.stream("run.follow", lane="run")
        first = next(told).fields
        assert first["live"] and first["run"]["steps"] == 1_000_000
        now = next(answer.fields for answer in told if answer.fields["sheets"])
        assert now["step"] > first["step"] and now["names"] and now["answers"]
        newest = page.ask("run.state", lane="run").fields["sheets"]["samples"][-1]
        assert page.ask("run.sheet", lane="sheet", step=newest).pictures.shape == (1, 82, 82, 3)
        assert "has no latent space" in page.ask("decode", b"\0" * 16, n=1).fields["error"]
    assert training.interrupt() == 130
    assert refuses(link)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_a_trained_model_is_served_at_the_same_address(tmp_path: Path, begun: list[Training]) -> None:
    training = Training(tmp_path, "--steps", "200")
    begun.append(training)
    training.until(r"(the page of runs/00001-gan-\S+) stays open")
    link = training.until(r"exploring 00001-gan-\S+ at (http://\S+)")
    shown = [match[1] for line in training.said if (match := re.search(r"training is shown at (\S+)", line))]
    assert shown in ([], [link])  # none where training was over before the page was there
    with opened(link) as page:
        assert page.ask("prior", seeds=[0]).numbers.shape == (1, 4)
        state = page.ask("run.state", lane="run").fields
        assert state["step"] == 200 and not state["live"] and state["sheets"]["samples"][-1] == 200
    assert training.interrupt() == 130


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_a_resumed_run_is_shown_too(tmp_path: Path, begun: list[Training]) -> None:
    first = Training(tmp_path, "--steps", "20", command=[*TRAIN, *OFTEN[:-1]])
    begun.append(first)
    assert first.process.wait(PATIENCE) == 0
    resumed = Training(tmp_path, "--steps", "1000000", command=["resume", "1", "--explore"])
    begun.append(resumed)
    link = resumed.until(r"training is shown at (http://127\.0\.0\.1:\d+/)")
    with opened(link) as page:
        told = page.stream("run.follow", lane="run")
        now = next(answer.fields for answer in told if answer.fields["live"] and answer.fields["step"] > 20)
        assert now["run"]["steps"] == 1_000_000 and now["sheets"]["samples"]
    assert resumed.interrupt() == 130
    assert refuses(link)


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_the_page_ends_where_its_training_is_killed(tmp_path: Path, begun: list[Training]) -> None:
    training = Training(tmp_path, "--steps", "1000000")
    begun.append(training)
    link = training.until(r"training is shown at (http://\S+)")
    assert not refuses(link)
    with opened(link) as page:
        training.process.kill()
        with pytest.raises(Exception, match=r"."):  # the socket is closed, as its process ends
            while True:
                page.socket.recv(timeout=PATIENCE)
    training.process.wait(PATIENCE)


def test_a_run_is_followed_without_its_model(tmp_path: Path) -> None:
    """Nor is code of a family from outside loaded: the page needs none."""
    run = RunFolder.create(
        tmp_path, "a", {**CONFIG, "family": "my_module:Mine", "options": {"size": 24, "channels": 1, "x": 1}}
    )
    served = followed(run.path)
    assert served.info["family"] == "my_module:Mine" and served.info["capabilities"] == ["run"]
    assert (served.info["size"], served.info["channels"], served.info["latent"]) == (24, 1, None)
    assert served.info["hash"] == "" and served.name == run.path.name
    with pytest.raises(UsageError, match="draws no latents|has no latent"):
        _ = served.drawn_by


def test_explore_follows_a_run_until_it_has_a_model(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "a", {**CONFIG, "family": "gan", "options": {"size": 16, "channels": 1}})
    assert open_model_or_run(run.path).info["capabilities"] == ["run"]
    find("gan")(size=16, channels=1, latent_dim=4, hidden_dim=8).save(run.model_path)
    assert {"latent", "run"} <= {*open_model_or_run(run.path, device="cpu").info["capabilities"]}
    with pytest.raises(UsageError, match="there is no run"):
        open_model_or_run(tmp_path / "nothing")


def test_a_folder_with_a_link_is_not_followed(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "a", CONFIG)
    (run.path / "samples" / "00000001.png").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="symbolic link"):
        followed(run.path)
