"""`zeuxis train --explore`: the page of a run while it trains, served by another process, and afterwards by this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from zeuxis.cli.output import say
from zeuxis.cli.page import explore_command, open_browser
from zeuxis.errors import UsageError
from zeuxis.runtime import launch

_PATIENCE = 10  # seconds that the other process may take to end


class PageBeside:
    """The page of a run, in a process that reads files alone: training never waits for it."""

    def __init__(self) -> None:
        self.port: int | None = None
        self._process: subprocess.Popen[str] | None = None

    def open(self, run: Path, note: Callable[[str], None]) -> None:
        """Begin to serve the page of a run, and note its link once it is there."""
        # A group of its own: Ctrl-C is for the training alone, and the page ends when its stdin does.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "zeuxis.web.beside", str(run)],  # -P: nothing is imported from this folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        threading.Thread(target=self._listen, args=(self._process, note), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str], note: Callable[[str], None]) -> None:
        assert process.stdout
        link = process.stdout.readline().strip()
        if not link.startswith("http"):
            note(f"warning: the page cannot be shown: {link.removeprefix('zeuxis: ') or 'its process ended'}")
            return
        self.port = urlsplit(link).port
        note(f"training is shown at {link}")
        open_browser(link)

    def close(self) -> None:
        """End the process; its port is free then."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


@contextlib.contextmanager
def page_beside(wanted: bool) -> Iterator[PageBeside | None]:
    """The page beside a training, where it is wanted; it ends with the training, whatever ends that."""
    if wanted and launch.world_size() > 1:
        raise UsageError("--explore shows a run of one process; under torchrun, type zeuxis explore RUN elsewhere")
    page = PageBeside() if wanted else None
    try:
        yield page
    finally:
        if page is not None:
            page.close()


def explore_trained(run: Path, page: PageBeside, family: str | None) -> None:
    """Serve the trained model where its training was shown, until Ctrl-C."""
    say(f"the page of {run} stays open")
    explore_command(str(run), port=page.port, no_browser=page.port is not None, family=family)
