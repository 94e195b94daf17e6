"""The page's server under eight clients, and after its death: for `python bench/page.py --clients`.

Eight clients keep a picture in hand and tiles of the wall under way, as fast as the answers come. Told are the pictures in
hand of each, how long they waited, how evenly they were served, and how much the server's memory rose. Then the server is killed
under a page in Chromium and started again on its port: told is how soon the page shows a new picture.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import torch
from playwright.sync_api import Page, sync_playwright
from websockets.asyncio.client import connect

from zeuxis.families import find
from zeuxis.web.protocol import read_frame, write_frame
from zeuxis.web.served import open_served

CLIENTS = 8
TILES = 8  # of the wall in a request
WARM = 5.0  # seconds of dragging before anything is measured
PATIENCE = 120.0
MEGABYTE = 1e6
HEAD = "| family | clients | pictures/s of all | least and most of one client | share | wait ms p50, p95, p99 | memory rise MB |"
# A pointer that moves at each frame, until a picture has come that was asked for after the server's death.
AGAIN = """async () => {
  const wall = document.querySelector("canvas.wall"), box = wall.getBoundingClientRect();
  const { shown } = zeuxis, before = shown.at(-1);
  for (let k = 0; shown.at(-1) === before && k < 36000; k++) {
    await new Promise(requestAnimationFrame);
    wall.dispatchEvent(new PointerEvent("pointermove", { pointerId: 1, pointerType: "mouse", bubbles: true,
      clientX: box.left + 20 + (7 * k) % (box.width - 40), clientY: box.top + box.height / 2 }));
  }
}"""


@dataclass
class Dragging:
    """Clients that drag, and what each has got since they were `counted`."""

    link: str
    shape: tuple[int, ...]
    counting: bool = False
    ended: bool = False
    hands: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds, of pictures in hand

    async def run(self, clients: int, seconds: float) -> None:
        """Drag so many seconds, after the warm-up."""
        self.hands = [0] * clients
        tasks = [asyncio.create_task(self._client(which)) for which in range(clients)]
        await asyncio.sleep(WARM)
        self.counting = True
        await asyncio.sleep(seconds)
        self.counting, self.ended = False, True
        await asyncio.gather(*tasks)

    async def _client(self, which: int) -> None:
        place, here = np.random.default_rng(which), urlsplit(self.link).netloc
        url, origin = f"ws://{here}/api/socket", f"http://{here}"
        async with connect(url, origin=origin, compression=None, max_size=None) as socket:  # type: ignore[arg-type]
            under_way = dict[int, tuple[str, float]]()
            number = 0
            for lane in ("hand", "wall"):
                number += 1
                under_way[number] = (lane, time.perf_counter())
                await socket.send(self._asking(number, lane, place))
            while not self.ended:
                message = await asyncio.wait_for(socket.recv(), PATIENCE)
                assert isinstance(message, bytes)
                answered, fields, _ = read_frame(message)
                assert fields["ok"], fields
                lane, sent = under_way.pop(answered)
                if self.counting and lane == "hand":
                    self.hands[which] += 1
                    self.waits.append(time.perf_counter() - sent)
                number += 1
                under_way[number] = (lane, time.perf_counter())
                await socket.send(self._asking(number, lane, place))

    def _asking(self, number: int, lane: str, place: np.random.Generator) -> bytes:
        n = 1 if lane == "hand" else TILES
        z = place.normal(size=(n, *self.shape)).astype("<f4")
        return write_frame(number, {"op": "decode", "lane": lane}, z.tobytes())


def measure_clients(family: str, size: int, seconds: float) -> None:
    """Print the figures of a family."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, family)
        torch.manual_seed(0)
        options = {"size": 28, "channels": 1} if family == "rbm" else {"size": size, "channels": 3}
        find(family)(**options).save(place)
        shape = open_served(place, device="cpu").shape
        print(HEAD)
        print("|---" * 7 + "|")
        with serving(place) as (process, link):
            for clients in (1, CLIENTS):
                print(row(family, clients, seconds, *dragged(process, link, shape, clients, seconds)), flush=True)
        print(after_death(place))


def dragged(
    process: subprocess.Popen[str], link: str, shape: tuple[int, ...], clients: int, seconds: float
) -> tuple[Dragging, float]:
    """The clients after so many seconds, and how many bytes the server's memory rose meanwhile."""
    asyncio.run(Dragging(link, shape).run(clients, WARM))  # what the first pictures load and allocate stays
    server = psutil.Process(process.pid)
    before, found = server.memory_info().rss, Dragging(link, shape)
    asyncio.run(found.run(clients, seconds))
    return found, server.memory_info().rss - before


def row(family: str, clients: int, seconds: float, found: Dragging, rise: float) -> str:
    """A row of the table; the share is that of the client with the fewest, in those of the one with the most."""
    least, most = min(found.hands), max(found.hands)
    ranked = sorted(1000 * wait for wait in found.waits)
    waits = [statistics.median(ranked), *(ranked[int(share * (len(ranked) - 1))] for share in (0.95, 0.99))]
    cells = [family, str(clients), f"{sum(found.hands) / seconds:.0f}", f"{least}, {most}", f"{least / most:.2f}"]
    cells += [", ".join(f"{ms:.0f}" for ms in waits), f"{rise / MEGABYTE:.1f}"]
    return f"| {' | '.join(cells)} |"


def after_death(place: Path) -> str:
    """How soon a page goes on after its server was killed and started again on its port."""
    with sync_playwright() as started:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with serving(place) as (process, link):
            page = browser.new_page(viewport={"width": 1440, "height": 960})
            page.goto(link)
            _until(page, "window.zeuxis && zeuxis.shown.length > 0")
            process.kill()
            process.wait(PATIENCE)
        began = time.monotonic()
        with serving(place, "--port", str(urlsplit(link).port), wait=False):
            listening = time.monotonic()
            page.evaluate(AGAIN)
            ended = time.monotonic()
        browser.close()
    return (
        f"\nAfter its death the server listened again within {listening - began:.2f} s; "
        f"the page showed a new picture {ended - listening:.2f} s later."
    )


@contextmanager
def serving(place: Path, *words: str, wait: bool = True) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`zeuxis explore` at work, with `wait` until onnxruntime draws, and its link."""
    command = [sys.executable, "-m", "zeuxis", "explore", str(place), "--no-browser", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        link = next(word for said in process.stdout for word in said.split() if word.startswith("http"))
        end = time.monotonic() + 60
        while wait and time.monotonic() < end:
            with urllib.request.urlopen(f"{link}api/model") as answer:
                if b'"engine":"onnxruntime"' in answer.read():
                    break
            time.sleep(0.5)
        yield process, link
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def _until(page: Page, condition: str) -> None:
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise SystemExit(f"the page never came to {condition}")
        time.sleep(0.02)
