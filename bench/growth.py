"""How the cost grows: a step by size, width and batch, data by the number of images, an evaluation by that of features.

    python bench/growth.py [size width batch data evaluation ...] [--families dcgan,vae,...] [--lines growth.jsonl]
        [--picture growth.png] [--most N] [--quick]

One thread; processor time, so that other work on the machine does not count. Each line has the costs and the exponents of
growth: that of each doubling (or step) towards the right, and that of the whole line, by least squares of the logarithms.
An exponent of 1 is cost in proportion. Images are noise, which no cost depends on.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import resource
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zeuxis import families
from zeuxis.charts.axes import Axis, tick_text
from zeuxis.charts.lettering import BACKGROUND, INK, PALE, RULE, RUN_COLOURS, letter
from zeuxis.charts.strokes import PlotField
from zeuxis.data import DataSpec
from zeuxis.data.batches import PackSource
from zeuxis.metrics import distances, neighbours
from zeuxis.model import Batch, options_of
from zeuxis.runtime.device import choose_precision
from zeuxis.training import engine

NAMES = ("dcgan", "vae", "diffusion", "stylegan2", "progan", "gan")
SIZES, WIDTHS, BATCHES = (32, 64, 128, 256), (8, 16, 32, 64, 128), (4, 8, 16, 32, 64, 128)
IMAGES = (1_000, 10_000, 100_000, 1_000_000)
FEATURES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
DIMENSIONS = 1280  # of EfficientNet-Lite0
PANEL = 420  # pixels of a chart
SIDE = 16  # pixels of the images of data


class Line(NamedTuple):
    """What one thing costs at each amount of work: `costs` in `unit`."""

    what: str
    unit: str
    amounts: Sequence[int]
    costs: list[float]

    def exponents(self) -> list[float]:
        """Of the growth from each amount to the next."""
        pairs = zip(self.amounts, self.amounts[1:], self.costs, self.costs[1:])
        return [math.log(d / c) / math.log(b / a) for a, b, c, d in pairs]

    def slope(self) -> float:
        """The exponent of the whole line."""
        return float(np.polyfit(np.log(self.amounts), np.log(self.costs), 1)[0])

    def __str__(self) -> str:
        costs = " | ".join(f"{amount:,}: {cost:.3g}" for amount, cost in zip(self.amounts, self.costs))
        steps = ", ".join(f"{each:.2f}" for each in self.exponents())
        return f"{self.what} ({self.unit}) | {costs} | {steps} | whole {self.slope():.2f}"


def noise(channels: int, size: int, n: int) -> Batch:
    return Batch(torch.rand(n, channels, size, size).to(memory_format=torch.channels_last) * 2 - 1)


class Noise:
    """Batches that are always the same."""

    columns = frozenset({"image"})

    def __init__(self, size: int, batch: int) -> None:
        self.one = noise(3, size, batch)

    def batch(self, start: int, size: int) -> Batch:
        return self.one


def seconds_of_step(family: str, options: dict[str, Any], batch: int) -> float:
    """Processor time per image of a training step; the median of some, after kernels are chosen."""
    model = families.find(family)(**options)
    source = Noise(model.size, batch)
    precision = choose_precision("auto", model.device, suits=type(model).bf16)
    table = engine.choose_kernels(model, source.batch(0, batch), seconds=60)
    steps = engine.train(
        model,
        source,
        steps=10**9,
        batch_size=batch,
        seed=0,
        precision="bf16" if precision == "bf16" else "fp32",
        kernels=table,
        resume=engine.State.start(model),
    )
    for _ in range(2):
        next(steps)
    found: list[float] = []
    while len(found) < 3 or (sum(found) < 3 and len(found) < 32):
        begin = time.process_time()
        next(steps)
        found.append(time.process_time() - begin)
    # Lazy penalties make some steps longer: the mean of all, not the median of the short ones.
    return sum(found) / len(found) / batch


def by_option(name: str, amounts: Sequence[int], chosen: Sequence[str]) -> list[Line]:
    """A line for each family, of a size, a width or a batch size that grows."""
    lines = []
    for family in chosen:
        costs = []
        for amount in amounts:
            options = {"size": 64, **({} if name == "batch" else {name: amount})}
            if any(field.name == "growth_start" for field in options_of(families.find(family))):
                options["growth_start"] = 10**9  # with all its stages
            costs.append(1000 * seconds_of_step(family, options, amount if name == "batch" else 16))
        lines.append(Line(f"{family}, {name}", "ms per image", amounts, costs))
        print(lines[-1], flush=True)
    return lines


def by_images(amounts: Sequence[int]) -> list[Line]:
    """Images of 16 x 16 in an IDX file: the pack built, opened again, and the first batch out of it."""
    built, opened, memory = [], [], []
    for count in amounts:
        with tempfile.TemporaryDirectory() as place:
            os.environ["ZEUXIS_CACHE"] = str(Path(place) / "cache")
            path = Path(place) / "images-idx3-ubyte"
            draw = np.random.default_rng(0)
            with path.open("wb") as file:
                file.write(struct.pack(">HBBIII", 0, 8, 3, count, SIDE, SIDE))
                for start in range(0, count, 10_000):
                    file.write(draw.integers(0, 256, (min(10_000, count - start), SIDE, SIDE), np.uint8).tobytes())
            spec = DataSpec.parse(str(path))
            begin = time.process_time()
            spec.open(SIDE, 1)
            built.append(time.process_time() - begin)
            begin = time.process_time()
            PackSource(spec.open(SIDE, 1), seed=0).batch(0, 64)
            opened.append(time.process_time() - begin)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    lines = [
        Line("pack built", "s", amounts, built),
        Line("pack opened, first batch", "s", amounts, opened),
        Line("most memory so far", "MiB", amounts, memory),
    ]
    print(*lines, sep="\n", flush=True)
    return lines


def by_features(amounts: Sequence[int]) -> list[Line]:
    """The scores of two sets of so many features each."""
    real, fake = (torch.randn(max(amounts), DIMENSIONS, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    scores: dict[str, Callable[[Tensor, Tensor], object]] = {
        "FID with its interval": distances.fid,
        "KID": distances.kid,
        "precision, recall, density, coverage": lambda one, other: neighbours.fidelity(
            neighbours.manifold(one), neighbours.manifold(other)
        ),
        "nearest training images": lambda one, other: neighbours.nearest(other, one),
    }
    lines = []
    for name, score in scores.items():
        costs = []
        for count in amounts:
            begin = time.process_time()
            score(real[:count], fake[:count])
            costs.append(time.process_time() - begin)
        lines.append(Line(name, "s", amounts, costs))
        print(lines[-1], flush=True)
    return lines


def draw(panels: dict[str, list[Line]], path: Path) -> None:
    """A panel for each part, both axes in powers, with the exponent of each line beside its name."""
    below = 20 * max(map(len, panels.values()))
    canvas = Image.new("RGB", (PANEL * len(panels), PANEL + below), BACKGROUND)
    for place, (name, lines) in enumerate(panels.items()):
        draw_panel(canvas, place * PANEL, name, lines)
    canvas.save(path)


def draw_panel(canvas: Image.Image, left: int, name: str, lines: list[Line]) -> None:
    """The lines of a part, their names below them."""
    pen, margin, size = ImageDraw.Draw(canvas), 56, PANEL - 96
    across, upright = (
        Axis(min(ends) / 1.15, max(ends) * 1.15, log=True)
        for ends in ([n for line in lines for n in line.amounts], [c for line in lines for c in line.costs])
    )
    field = PlotField(canvas, (left + margin, 36), (size, size), across, upright)
    units = "; ".join(dict.fromkeys(line.unit for line in lines))
    letter(pen, (left + margin, 10), f"{name}: {units}", 15)
    for tick in upright.ticks(7):
        y = 36 + size * (1 - float(upright.places([tick])[0]))
        pen.line((left + margin, y, left + margin + size, y), fill=RULE)
        letter(pen, (left + margin - 6, y), tick_text(tick), 12, colour=PALE, anchor="rm")
    for tick in across.ticks(6):
        x = left + margin + size * float(across.places([tick])[0])
        letter(pen, (x, 40 + size), tick_text(tick), 12, colour=PALE, anchor="ma")
    for number, line in enumerate(lines):
        colour, y = RUN_COLOURS[number % len(RUN_COLOURS)], 64 + size + 20 * number
        field.line(np.array(line.amounts, float), np.array(line.costs), colour)
        field.dots(np.array(line.amounts, float), np.array(line.costs), colour, radius=3.5)
        pen.rectangle((left + margin, y + 3, left + margin + 14, y + 11), fill=colour)
        letter(pen, (left + margin + 20, y), f"{line.what}: exponent {line.slope():.2f}", 13, colour=INK)


def kept_lines(path: Path, found: dict[str, list[Line]]) -> dict[str, list[Line]]:
    """The lines found, added to those in a file: a line measured again takes the place of the old one."""
    rows = [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []
    every = {(row.pop("part"), row["what"]): Line(**row) for row in rows}
    every |= {(part, line.what): line for part, lines in found.items() for line in lines}
    path.write_text("".join(json.dumps({"part": part, **line._asdict()}) + "\n" for (part, _), line in every.items()))
    panels: dict[str, list[Line]] = {}
    for (part, _), line in every.items():
        panels.setdefault(part, []).append(line)
    return panels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("size", "width", "batch", "data", "evaluation")
    parser.add_argument(
        "parts", nargs="*", default=parts, help=", ".join(parts) + "; draw: the picture of --lines alone"
    )
    parser.add_argument("--families", default=",".join(NAMES))
    parser.add_argument("--picture", type=Path, help="draw the lines here")
    parser.add_argument(
        "--lines", type=Path, help="keep the lines here, as JSON, with those of before; the picture has all"
    )
    parser.add_argument("--most", type=int, default=10**9, help="leave out larger amounts")
    parser.add_argument("--quick", action="store_true", help="the two smallest amounts of each")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - {*parts, "draw"}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    torch.set_num_threads(1)
    end, chosen = 2 if arguments.quick else None, arguments.families.split(",")

    def amounts(every: Sequence[int]) -> list[int]:
        return [each for each in every[:end] if each <= arguments.most]

    measured: dict[str, Callable[[], list[Line]]] = {
        "size": functools.partial(by_option, "size", amounts(SIZES), chosen),
        "width": functools.partial(by_option, "base_channels", amounts(WIDTHS), [n for n in chosen if n != "gan"]),
        "batch": functools.partial(by_option, "batch", amounts(BATCHES), chosen),
        "data": functools.partial(by_images, amounts(IMAGES)),
        "evaluation": functools.partial(by_features, amounts(FEATURES)),
    }
    found = {name: measured[name]() for name in arguments.parts if name != "draw"}
    if arguments.lines:
        found = kept_lines(arguments.lines, found)
    if arguments.picture:
        draw(found, arguments.picture)


if __name__ == "__main__":
    main()
