"""How fast the page is in a real browser: pictures a second while the pointer moves over the wall, and what they wait for.

    python bench/page.py [--families dcgan vae] [--size 64] [--seconds 6] [--out bench/results/page.jsonl]
    python bench/page.py --clients [--families dcgan] [--seconds 30]

Saves an untrained model of each family (speed does not depend on what it has learned), starts `zeuxis explore`, opens the page
in Chromium (Debian's, by Playwright, without a graphics card) and moves the pointer inside the page at each frame, so that
the driver's own delays are not measured. Beside each figure stands the network's own time at one picture, since machines
differ. With `--clients` eight clients drag at once, and the server is killed under a page (`page_clients.py`). Needs the extra
`export`, Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import sync_playwright

from page_clients import measure_clients
from zeuxis.families import find
from zeuxis.mechanisms import Denoising
from zeuxis.model import Latent
from zeuxis.web import networks
from zeuxis.web.served import open_served

FAMILIES = ("dcgan", "vae", "gan", "wgan_gp", "progan", "stylegan2", "rbm", "diffusion")
PATIENCE = 120.0
HEAD = (
    "| family | listening s | whole wall s | new pictures/s | round trip ms p50, p95 | frame ms p50, p95 "
    "| network ms | p50 / network |"
)
WHOLE = "window.zeuxis && zeuxis.walls.every((wall) => wall.width && wall.tiles.whole)"
DRAG = """async (seconds) => {
  const wall = document.querySelector("canvas.wall"), box = wall.getBoundingClientRect(), frames = [];
  const rounds = (zeuxis.engine.rounds.hand ??= []);
  rounds.length = 0;
  const began = performance.now();
  for (let last = began; ; ) {
    const now = await new Promise(requestAnimationFrame), t = (now - began) / 1000;
    frames.push(now - last);
    last = now;
    if (t > seconds) break;
    wall.dispatchEvent(new PointerEvent("pointermove", { pointerId: 1, pointerType: "mouse", bubbles: true,
      clientX: box.left + box.width * (0.5 + 0.35 * Math.cos(2 * t)),
      clientY: box.top + box.height * (0.5 + 0.35 * Math.sin(3 * t)) }));
  }
  return { frames: frames.slice(1), rounds: [...rounds], seconds: (performance.now() - began) / 1000 };
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--clients", action="store_true", help="eight clients at once, memory, and a server that is killed"
    )
    given = parser.parse_args()
    if given.clients:
        for family in given.families:
            measure_clients(family, given.size, given.seconds)
        return
    print(HEAD)
    print("|---" * 8 + "|")
    for family in given.families:
        row = measured(family, given.size, given.seconds)
        print(line(row), flush=True)
        if given.out:
            with given.out.open("a") as file:
                file.write(json.dumps({**row, "processor": platform.processor(), "date": time.strftime("%F")}) + "\n")


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    cells = [row["family"], f"{row['listening']:.1f}", f"{row['wall']:.2f}", f"{row['pictures']:.0f}"]
    cells += [", ".join(f"{ms:.1f}" for ms in row[name]) for name in ("round", "frame")]
    cells += [f"{row['network']:.2f}", f"{row['round'][0] / row['network']:.1f}"]
    return f"| {' | '.join(cells)} |"


def measured(family: str, size: int, seconds: float) -> dict[str, Any]:
    """The figures of a family."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, family)
        torch.manual_seed(0)
        options = {"size": 28, "channels": 1} if family == "rbm" else {"size": size, "channels": 3}
        find(family)(**options).save(place)
        network = network_ms(place)
        began = time.monotonic()
        with server(place) as address:
            listening = time.monotonic() - began
            return {"family": family, "listening": listening, "network": network, **driven(address, seconds)}


def network_ms(place: Path) -> float:
    """Milliseconds of the page's own pass for one picture: the decoder by onnxruntime, or of a denoiser one step."""
    torch.set_num_threads(1)
    served = open_served(place, device="cpu")
    model = served.model
    assert isinstance(model, Latent) and served.space is not None
    name, step = list(networks.steps_of(model.eval(), model.prior([0, 1])).items())[-1]
    run = networks.session(step.graph(model).SerializeToString())
    z = [value[:1] for value in step.inputs.values()]
    times = []
    for _ in range(60):
        began = time.perf_counter()
        run(*z)
        times.append(1000 * (time.perf_counter() - began))
    ms = statistics.median(times[10:])
    return ms * networks.ROUGH_STEPS if isinstance(model, Denoising) and name == "denoiser" else ms


@contextmanager
def server(place: Path) -> Iterator[str]:
    """`zeuxis explore`, from its start until it listens: its address."""
    words = [sys.executable, "-m", "zeuxis", "explore", str(place), "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield next(word for said in process.stdout for word in said.split() if word.startswith("http"))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def driven(address: str, seconds: float) -> dict[str, Any]:
    """What the browser sees."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 960})
        page.goto(address)
        wall = until(page, WHOLE)
        drawn_by_onnx(page)
        page.reload()  # a wall that the faster engine draws, as on a second visit
        wall = until(page, WHOLE)
        found = page.evaluate(DRAG, seconds)
        browser.close()
    return {
        "wall": wall,
        "pictures": len(found["rounds"]) / found["seconds"],
        "round": spread(found["rounds"]),
        "frame": spread(found["frames"]),
    }


def drawn_by_onnx(page: Any) -> None:
    """Wait until onnxruntime draws, where it will."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        models = page.evaluate("fetch('api/model').then((said) => said.json()).then(({ models }) => models)")
        if models[0].get("engine") == "onnxruntime" or "diffusion" in models[0]["capabilities"]:
            return
        time.sleep(0.5)


def until(page: Any, condition: str) -> float:
    """Seconds since the navigation when the condition holds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if page.evaluate(condition):
            return float(page.evaluate("performance.now()")) / 1000
        time.sleep(0.02)
    raise SystemExit(f"the page never came to {condition}")


def spread(values: list[float]) -> list[float]:
    """The median and the 95th percentile."""
    if not values:
        return [float("nan"), float("nan")]
    ranked = sorted(values)
    return [statistics.median(ranked), ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]]


if __name__ == "__main__":
    main()
