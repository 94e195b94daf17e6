"""`zeuxis explore` as a person types it: it prints its link, ends by a signal, and goes on after it was killed."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from commandline import refused
from page_client import floats, opened
from release import long_but
from waiting import PATIENCE, wait_for
from zeuxis.families import find

pytestmark = pytest.mark.usefixtures("elsewhere")


# Tests begun under nohup ignore SIGHUP, and so would the command.
HEEDING_HANGUPS = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL) if hasattr(signal, "SIGHUP") else None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    torch.manual_seed(0)
    find("vae")(size=8, channels=1, latent_dim=8).save(folder)
    return folder


@contextlib.contextmanager
def exploring(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command at work, and the link that it printed."""
    command = [sys.executable, "-m", "zeuxis", "explore", *map(str, words), "--no-browser", "--engine", "torch"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=HEEDING_HANGUPS
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        yield process, first.rpartition(" at ")[2].strip()
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("name", long_but("SIGINT", among=["SIGINT", "SIGTERM", "SIGHUP"]))
def test_a_signal_ends_it(model: Path, name: str) -> None:
    """While a page is open, too."""
    number = getattr(signal, name)
    with exploring(model, "--port", "0") as (process, link), opened(link) as page:
        assert page.ask("prior", seeds=[0]).fields["ok"]
        process.send_signal(number)
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number and told == f"zeuxis: ended by {name}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_it_ends_cleanly_while_it_draws(model: Path) -> None:
    latents = floats(np.zeros((64, 8)))
    with exploring(model, "--port", "0") as (process, link), opened(link) as page:
        for lane in range(30):
            page.send("decode", latents, lane=f"lane {lane}")
        page.receive()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and told == "zeuxis: ended by SIGINT\n"


BUSY = """
import sys
from zeuxis import cli
from zeuxis.web import operations
import torch
def forever(served, client, request):
    yield operations.latents.Reply(more=True)
    while True:
        torch.randn(300, 300).mm(torch.randn(300, 300))
operations.OPERATIONS["forever"] = forever
sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_it_ends_cleanly_inside_a_step_of_minutes(model: Path) -> None:
    """Without an abort, as of a thread that is inside a network when the interpreter ends."""
    command = [sys.executable, "-c", BUSY, "explore", str(model), "--port", "0", "--no-browser", "--engine", "torch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    link = process.stdout.readline().rpartition(" at ")[2].strip()
    with opened(link) as page:
        page.send("forever")
        page.receive()
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143 and told == "zeuxis: ended by SIGTERM\n"


def test_a_page_goes_on_after_its_server_was_killed(model: Path) -> None:
    port = free_port()
    z = floats(np.random.default_rng(0).normal(size=(3, 8)))
    drawn = []
    for _ in range(2):
        with exploring(model, "--port", str(port)) as (process, link):
            assert link == f"http://127.0.0.1:{port}/"
            with opened(link) as page:
                drawn.append(page.ask("decode", z).payload)
                process.kill()
                process.wait(PATIENCE)
    assert drawn[0] == drawn[1]


def test_the_page_is_of_all_models_that_are_named(model: Path, tmp_path: Path) -> None:
    find("rbm")(size=8, channels=1, latent_dim=4, chains=4).save(tmp_path / "other")
    with exploring(model, tmp_path / "other", "--port", "0") as (_, link):
        with urllib.request.urlopen(f"{link}api/model") as answer:
            told = answer.read().decode()
        with opened(link) as page:
            shapes = [page.ask("prior", seeds=[0], model=index).numbers.shape for index in (0, 1)]
    assert '"family":"vae"' in told and '"family":"rbm"' in told and shapes == [(1, 8), (1, 4)]


def test_a_port_in_use_is_named(model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"cannot listen on port {port} of '127.0.0.1'" in refused(
            "explore", str(model), "--port", str(port), "--no-browser"
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("explore", "name a run or a model, as in: zeuxis explore runs/00001-faces"),
        ("explore no-such-run --no-browser", "there is no run 'no-such-run'"),
        ("explore {model} --port 70000", "expected 0 to 65535"),
        ("explore {model} --host no.such.host.invalid", "cannot listen on ports 8765 to 8784"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(model: Path, words: str, said: str) -> None:
    assert said in refused(*words.format(model=model).split())


def test_a_browser_opens_where_there_is_a_screen(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import webbrowser

    from zeuxis.cli import page
    from zeuxis.web import server

    links: list[str] = []
    monkeypatch.setattr(webbrowser, "open", links.append)
    monkeypatch.setattr(server, "serve_page", lambda served, listening, host, told, engine: told("http://here/"))
    for screen, no_browser in (("", False), (":0", True), (":0", False)):
        monkeypatch.setattr(page.sys, "platform", "linux")
        monkeypatch.setenv("DISPLAY", screen)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        page.explore_command(str(model), port=0, no_browser=no_browser)
    wait_for(lambda: links, "the browser")
    assert links == ["http://here/"]


def test_importing_the_command_line_imports_no_server() -> None:
    code = "import sys, zeuxis.cli; print([name for name in ('starlette', 'uvicorn', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout == "[]\n"
