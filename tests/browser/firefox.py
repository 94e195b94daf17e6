"""Firefox as its distribution ships it, driven by its own WebDriver BiDi over a socket (w3.org/TR/webdriver-bidi)."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from waiting import PATIENCE

FIREFOX = ("firefox-esr", "firefox")
_LISTENS = "WebDriver BiDi listening on "


class Firefox:
    """One tab: what it evaluates, the errors that it told of, and the requests that it made."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.last = socket, 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.command("session.new", capabilities={})
        self.tab = self.command("browsingContext.getTree")["contexts"][0]["context"]
        self.command("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method, "params": parameters}))
        while True:
            said = json.loads(self.socket.recv(timeout=PATIENCE))
            if said.get("id") == self.last:
                assert said["type"] == "success", said
                result: dict[str, Any] = said["result"]
                return result
            self._heard(said)

    def _heard(self, event: dict[str, Any]) -> None:
        if event["method"] == "network.beforeRequestSent":
            self.requests.append(event["params"]["request"]["url"])
        elif event["params"].get("level") in ("error", "warn"):
            self.errors.append(event["params"]["text"])

    def open(self, address: str) -> None:
        self.command("browsingContext.setViewport", context=self.tab, viewport={"width": 1440, "height": 960})
        self.command("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def evaluate(self, expression: str) -> Any:
        target = {"context": self.tab}
        found = self.command("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert found["type"] == "success", found
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.evaluate(condition):
            assert time.monotonic() < end, f"the page never came to {condition}"
            time.sleep(0.05)


def found() -> str | None:
    """The program, where it is installed."""
    return next(filter(None, map(shutil.which, FIREFOX)), None)


@contextmanager
def running(program: str) -> Iterator[Firefox]:
    """A Firefox with a profile of its own, offline from the first."""
    with tempfile.TemporaryDirectory() as profile:
        words = [program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            assert process.stderr is not None
            address = next(line.partition(_LISTENS)[2].strip() for line in process.stderr if _LISTENS in line)
            with connect(f"{address}/session", max_size=None) as socket:
                yield Firefox(socket)
        finally:
            process.terminate()
            try:
                process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
