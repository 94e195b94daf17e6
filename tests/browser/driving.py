"""Driving the page: waiting for what it shows, reading its canvases, and pointer moves made inside it."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from waiting import PATIENCE

WHOLE = "zeuxis.walls.every((wall) => wall.width && wall.tiles.whole)"
# Every lane of pictures has answered its last request. (Directions may take their time, and a run is followed for ever.)
OPEN_ENDED = "['attributes', 'components', 'local', 'run'].includes(name)"
SETTLED = f"[...zeuxis.engine.lanes()].every(([name, lane]) => !lane.busy || {OPEN_ENDED})"
PIXELS = """(selector) => [...document.querySelectorAll(selector)].filter((canvas) => canvas.offsetParent).map((canvas) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
  return [canvas.height, canvas.width, btoa(text)];
})"""
# Moves at each frame, inside the page: the driver's own delays are not part of it.
MOVES = """async ([frames, held]) => {
  const wall = document.querySelector("canvas.wall"), box = wall.getBoundingClientRect();
  const place = (k) => ({ clientX: box.left + box.width * (0.5 + 0.35 * Math.cos(k / 20)),
    clientY: box.top + box.height * (0.5 + 0.35 * Math.sin(k / 13)) });
  const form = { pointerId: 1, pointerType: "mouse", bubbles: true, buttons: held ? 1 : 0 };
  const at = (type, k) => wall.dispatchEvent(new PointerEvent(type, { ...form, ...place(k) }));
  wall.setPointerCapture = () => {};
  if (held) at("pointerdown", 0);
  for (let k = 0; k < frames; k++) {
    await new Promise(requestAnimationFrame);
    at("pointermove", k);
  }
  if (held) at("pointerup", frames - 1);
}"""


AXE = Path(__file__).parent.parent / "page" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not installed; `npm ci --prefix tests/page` installs it"
)


class Driver:
    """A page in a browser context of its own, with all that goes wrong in it."""

    def __init__(self, browser: Any, address: str, *, width: int = 1440, height: int = 960, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.errors: list[str] = []
        self.foreign: list[str] = []
        origin = address.split("#")[0].split("?")[0].rstrip("/")
        ours = (origin, origin.replace("http", "ws", 1), "data:", "blob:")
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.errors.append(said.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda asked: asked.url.startswith(ours) or self.foreign.append(asked.url))
        self.page.goto(address)
        self.until("!!window.zeuxis")
        self.settle()

    def close(self) -> None:
        self.context.close()

    def until(self, condition: str) -> None:
        """Wait until an expression holds. By `evaluate`, which the page's policy permits."""
        end = time.monotonic() + PATIENCE
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"the page never came to {condition}"
            self.page.wait_for_timeout(20)

    def settle(self) -> None:
        """Wait until the wall is whole and every lane has answered its last request."""
        self.until(f"{WHOLE} && {SETTLED}")
        self.page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
        self.until(f"{WHOLE} && {SETTLED}")

    def pictures(self, selector: str) -> list[np.ndarray]:
        """The canvases in sight that match (h w 4, uint8)."""
        return [
            np.frombuffer(base64.b64decode(text), np.uint8).reshape(h, w, 4)
            for h, w, text in self.page.evaluate(PIXELS, selector)
        ]

    def picture(self) -> np.ndarray:
        """The picture in hand (h w 3)."""
        return self.pictures("canvas.live")[0][..., :3]

    def caption(self) -> str:
        return str(self.page.inner_text(".caption"))

    def move(self, frames: int, *, held: bool = False) -> None:
        self.page.evaluate(MOVES, [frames, held])

    def find(self, seed: int) -> None:
        self.page.fill("#seed", str(seed))
        self.page.press("#seed", "Enter")
        self.until(f"document.querySelector('.caption').textContent === 'Seed {seed}'")
        self.settle()

    def check_accessible(self, width: int) -> None:
        """What is in sight breaks no rule of axe, and nothing of it lies beyond the width."""
        self.page.evaluate(AXE.read_text() + ";0")
        found = self.page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}})")
        assert found["passes"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert self.page.evaluate("document.documentElement.scrollWidth") == width

    def link(self) -> str:
        """The address, once it holds the view as it is."""
        self.page.click("#link")
        return str(self.page.evaluate("location.href"))

    def focused(self) -> str:
        """What has the focus, in words."""
        return str(self.page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent"))

    def tab_to(self, label: str) -> None:
        """Press Tab until an element whose label begins so has the focus."""
        for _ in range(150):
            self.page.keyboard.press("Tab")
            if self.focused().startswith(label):
                return
        raise AssertionError(f"Tab never reached {label!r}")
