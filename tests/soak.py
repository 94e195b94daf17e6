"""Work without an end, in one process (run as a program): what it holds is measured at intervals, and printed as JSON."""

from __future__ import annotations

import ctypes
import gc
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from torch.nn import functional as F

import toys
from zeuxis import api, cli, families
from zeuxis.data import DataSpec
from zeuxis.metrics import extractors, features
from zeuxis.model import Latent, Model, Translator, options_of
from zeuxis.runtime.progress import Lines, Tick
from zeuxis.training import runs
from zeuxis.training.settings import TrainSettings

POINTS = 4  # measures of a job: the first when a quarter is done, the last at its end
TINY = {
    "base_channels": 4,
    "latent_dim": 4,
    "blocks": 1,
    "pool_size": 10,
    "num_inference_steps": 2,
    "pretrain_steps": 2,
    "vgg_weight": 0.0,
}
EYES = features.own_extractor("eyes", lambda images: F.adaptive_avg_pool2d(images, 2).flatten(1))


@dataclass(frozen=True)
class Measure:
    """What the process holds: bytes of resident memory, bytes from malloc (0: not known), small objects of Python,
    open descriptors, and threads."""

    resident: int
    malloced: int
    objects: int
    descriptors: int
    threads: int


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def measure() -> Measure:
    """What is held once garbage is collected, and free memory is given back to the system where the C library can."""
    gc.collect()
    objects, process, library, malloced = sys.getallocatedblocks(), psutil.Process(), ctypes.CDLL(None), 0
    if hasattr(library, "malloc_trim") and hasattr(library, "mallinfo2"):
        library.malloc_trim(0)
        library.mallinfo2.restype = _Mallinfo
        info = library.mallinfo2()
        malloced = info.uordblks + info.hblkhd
    return Measure(process.memory_info().rss, malloced, objects, process.num_fds(), process.num_threads())


class Watch(Lines):
    """A display that shows every step to nobody, and measures at some of them."""

    def __init__(self, steps: int) -> None:
        super().__init__(io.StringIO(), every=0.0)
        self.points = [steps * (i + 1) // POINTS for i in range(POINTS)]
        self.seen: list[Measure] = []

    def tick(self, tick: Tick) -> None:
        super().tick(tick)
        self._stream.seek(0)
        self._stream.truncate()
        if tick.step in self.points:
            self.seen.append(measure())


def pictures(folder: Path) -> Path:
    """Soft noise in two classes, as files."""
    draw = np.random.default_rng(0)
    for i in range(48):
        place = folder / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((16, 16)).save(place / f"{i}.png")
    return folder


def family_of(name: str) -> type[Model]:
    return toys.Sound if name == "sound" else families.find(name)


def train(name: str, data: Path, out: Path, steps: int) -> tuple[Path, list[Measure]]:
    """A run as `zeuxis train` makes it: rows, sheets, checkpoints, and scores of samples every few hundred steps."""
    kind, watch = family_of(name), Watch(steps)
    known = {field.name for field in options_of(kind)}
    often = min(250, steps // 8)  # all that is done now and then is done before the first measure
    asked = TrainSettings(
        steps=steps,
        batch_size=2,
        log_every=max(1, steps // 800),  # and the 100 rows that a run remembers are there
        sample_every=often,
        checkpoint_every=often,
        evaluate_every=often,
        evaluate_samples=40,
        kernels="standard",
        precision="fp32",
        device="cpu",
        threads=1,
        out=str(out),
    )
    paired = issubclass(kind, Translator) and kind.degradation is None
    spec = DataSpec.parse(f"blur -> {data}" if paired else str(data))
    options = {"size": 16, **{key: value for key, value in TINY.items() if key in known}}
    return runs.start(asked, kind, options, data=spec, display=watch), watch.seen


def draw(run: Path, samples: int) -> list[Measure]:
    """Samples of a run in calls of one to seven, from models loaded anew, and by the command line."""
    drawn, model, seen = 0, api.load(run, device="cpu"), list[Measure]()
    for turn in range(sys.maxsize):
        if drawn >= samples * (len(seen) + 1) // POINTS:
            seen.append(measure())
            if len(seen) == POINTS:
                return seen
        count = 1 + turn % 7
        if turn % 50 == 0:
            model = api.load(run, device="cpu")
        if turn % 20:
            assert len(api.sample(model, count, seed=drawn)) == count
        else:
            seeds, place = f"{drawn}-{drawn + count - 1}", run.parent / "drawn.png"
            assert cli.run(["sample", str(run), "--seeds", seeds, "--out", str(place)]) == 0
        drawn += count
    raise AssertionError("not reached")


Tell = Callable[[str, int, list[Measure]], None]


def soak(folder: Path, jobs: Iterable[tuple[str, int]], samples: int, tell: Tell) -> None:
    """Train each family for its steps, and draw samples of each that can be drawn from by name."""
    data = pictures(folder / "data")
    extractors.find_extractor = lambda *words, **named: EYES
    for name, steps in jobs:
        run, seen = train(name, data, folder / "runs", steps)
        tell(f"steps of {name}", steps, seen)
        if samples and issubclass(family_of(name), Latent) and name != "sound":
            tell(f"samples of {name}", samples, draw(run, samples))
        tell("idle", 0, [measure()])


def main() -> None:
    """Words: a folder, the number of samples, then family=steps of each job."""
    folder, samples, *words = sys.argv[1:]
    jobs = [(name, int(steps)) for name, _, steps in (word.partition("=") for word in words)]
    stdout, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: PTH123, SIM115

    def tell(what: str, count: int, seen: list[Measure]) -> None:
        stdout.write(json.dumps({"what": what, "count": count, "seen": [asdict(each) for each in seen]}) + "\n")
        stdout.flush()

    soak(Path(folder), jobs, int(samples), tell)


if __name__ == "__main__":
    main()
