"""How fast a step is: ours, as `zeuxis train` makes it, against the textbook's, at the same networks and losses.

    python bench/speed.py [dcgan-64 wgan-32 ddpm-32 stylegan2-64 pix2pix-256 ...] [--windows 8] [--seconds 3] [--threads 2]

Ours and the textbook's each have a process of their own (memory is kept differently); they take turns of a few seconds,
with the same batches in memory. Prints images/s (minimum, median, maximum over the windows) and the ratio of medians.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from cases import CASES, Case
from zeuxis.model import Batch
from zeuxis.options import Precision
from zeuxis.runtime.device import choose_precision, memory_kept
from zeuxis.training import engine

# Our sides: whether kernels are chosen, and the number format.
OURS: dict[str, tuple[bool, Precision]] = {
    "ours, standard kernels": (False, "fp32"),
    "ours": (True, "fp32"),
    "ours, bf16": (True, "bf16"),
}


class Images:
    """Batches out of one tensor in memory: what both sides learn from (noise, as the time does not depend on it)."""

    def __init__(self, case: Case) -> None:
        self.scale, self.columns = case.scale, frozenset({"image", "source"} if case.scale else {"image"})
        shape = (case.batch * 8, case.channels, case.size, case.size)
        self.pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def batch(self, start: int, size: int) -> Batch:
        """The images from a position on, around and around."""
        some = self.pixels[start % len(self.pixels) :][:size]
        image = (some.float() / 127.5 - 1).to(memory_format=torch.channels_last)
        return Batch(image, image[..., :: self.scale, :: self.scale] if self.scale else None)

    def plain(self, start: int, size: int) -> Tensor:
        """The same as a loader gives them."""
        return self.pixels[start % len(self.pixels) :][:size].float() / 127.5 - 1


def ours(case: Case, kernels: bool, precision: Precision = "fp32") -> Callable[[], object]:
    """One step of our loop: data, game, average, report."""
    model, images = case.ours(), Images(case)
    found = choose_precision(precision, model.device, suits=type(model).bf16)
    state = engine.State.start(model)
    table = engine.choose_kernels(model, images.batch(0, case.batch), seconds=120) if kernels else {}
    made = engine.train(
        model,
        images,
        steps=10**9,
        batch_size=case.batch,
        seed=0,
        precision="bf16" if found == "bf16" else "fp32",
        kernels=table,
        resume=state,
    )
    return lambda: next(made)


def textbook(case: Case) -> Callable[[], object]:
    """One step of the textbook's loop."""
    images, step = Images(case), case.textbook()
    place = 0

    def go() -> None:
        nonlocal place
        step(images.plain(place, case.batch))
        place += case.batch

    return go


def work(kind: str, name: str, threads: int, pipe: Connection) -> None:
    """A worker: for every number of seconds that is sent, the images a second of such a window."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    case = CASES[name]
    if kind == "textbook":
        answer(textbook(case), case.batch, pipe)
        return
    kernels, precision = OURS[kind]
    with memory_kept():
        answer(ours(case, kernels, precision), case.batch, pipe)


def answer(step: Callable[[], object], batch: int, pipe: Connection) -> None:
    """For every number of seconds that is sent, send the images a second of such a window, by the clock and of processor time."""
    for _ in range(3):
        step()
    pipe.send("ready")
    while (seconds := pipe.recv()) > 0:
        begin, spent, steps = time.monotonic(), time.process_time(), 0
        while time.monotonic() - begin < seconds or steps < 2:
            step()
            steps += 1
        pipe.send((steps * batch / (time.monotonic() - begin), steps * batch / (time.process_time() - spent)))


def compare(name: str, *, windows: int, seconds: float, threads: int) -> dict[str, list[tuple[float, float]]]:
    """The images a second of each window, on the clock and by processor time, of each side (bf16 where `train` takes it)."""
    kinds = ["textbook", *OURS]
    if choose_precision("auto", torch.device("cpu"), suits=type(CASES[name].ours()).bf16) == "fp32":
        kinds.remove("ours, bf16")
    workers = {kind: (work, (kind, name, threads)) for kind in kinds}
    return turns(workers, windows=windows, seconds=seconds)


def turns(
    workers: Mapping[str, tuple[Callable[..., None], tuple[object, ...]]], *, windows: int, seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """The same of any workers (functions and their arguments but the pipe), a process each, in turns."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    for kind, (target, given) in workers.items():
        pipes[kind], end = context.Pipe()
        context.Process(target=target, args=(*given, end), daemon=True).start()
        pipes[kind].recv()
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in pipes}
    for _ in range(windows):
        for kind, pipe in pipes.items():
            pipe.send(seconds)
            found[kind].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(0)
    return found


def main() -> None:
    """Compare the cases named, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="case", help=", ".join(CASES))
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--processor-time", action="store_true", help="where others use the cores too (one thread)")
    arguments = parser.parse_args()
    which = int(arguments.processor_time)
    print("| case | batch | threads | side | min | median | max | ratio |\n|---|---|---|---|---|---|---|---|")
    for name in arguments.cases:
        if name not in CASES:
            parser.error(f"there is no case {name!r}; there are {', '.join(CASES)}")
        found = compare(name, windows=arguments.windows, seconds=arguments.seconds, threads=arguments.threads)
        base = statistics.median(pair[which] for pair in found["textbook"])
        for kind, pairs in found.items():
            rates = sorted(pair[which] for pair in pairs)
            middle = statistics.median(rates)
            row = [
                name,
                CASES[name].batch,
                arguments.threads,
                kind,
                *(f"{x:.1f}" if x >= 10 else f"{x:.2f}" for x in (rates[0], middle, rates[-1])),
            ]
            print("| " + " | ".join(map(str, [*row, f"{middle / base:.2f}"])) + " |", flush=True)


if __name__ == "__main__":
    main()
