"""How fast a step is: ours, as `zeuxis train` makes it, against others' steps at the same networks and losses.

    python bench/speed.py [dcgan-64 wgan-32 ddpm-32 ...] [--against textbook,strong] [--windows 8] [--seconds 3] [--threads 2]

`textbook` is the step as it is usually written, `strong` the same with channels last, fused Adam and bfloat16 autocast. Each
side has a process of its own (memory is kept differently); they take turns of a few seconds, with the same batches in memory.
Prints images/s (minimum, median, maximum over the windows), floating-point operations of a step, their rate as a share of the
processor's peak, ratios of medians, and at the end a table of goals. The peak is that of a matrix product in the same format,
which takes turns, too.
"Of strong" is of the faster strong side for a row in bfloat16, of the one in float32 for a row in float32.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from cases import CASES, Case
from strong import strong
from taking_turns import Work, serve, turns
from zeuxis.model import Batch
from zeuxis.nets.maps import PRODUCTS
from zeuxis.options import Precision
from zeuxis.runtime.device import choose_precision, memory_kept
from zeuxis.training import engine


class Side(NamedTuple):
    """A side: whose step, its number format, and whether its kernels are chosen."""

    of: Literal["textbook", "strong", "ours"]
    precision: Literal["fp32", "bf16"] = "fp32"
    kernels: bool = False


SIDES = {
    "textbook": Side("textbook"),
    "strong": Side("strong"),
    "strong, bf16": Side("strong", "bf16"),
    "ours, standard kernels": Side("ours"),
    "ours": Side("ours", kernels=True),
    "ours, bf16, standard kernels": Side("ours", "bf16"),
    "ours, bf16": Side("ours", "bf16", kernels=True),
}
# Ours of strong in bfloat16, by case; in float32 the goal is the same for all.
GOALS = {
    "dcgan-64": 1.8,
    "dcgan-32": 1.6,
    "vae-64": 1.8,
    "gan-32": 1.4,
    "ddpm-32": 2,
    "stylegan2-64": 2,
    "progan-64": 1.5,
}
GOALS |= {"pix2pix-256": 1.4, "cyclegan-128": 1.4, "srgan-96": 2, "wgan-gp-32": 1.5}
_FP32_GOAL = 1.2
_WARM = 3  # steps before a window, and before operations are counted
_EDGE = 2048  # of the matrices whose product gives the peak


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
    number: Literal["fp32", "bf16"] = "bf16" if found == "bf16" else "fp32"
    state = engine.State.start(model)
    batch = images.batch(0, case.batch)
    table = engine.choose_kernels(model, batch, precision=number) if kernels else {}
    made = engine.train(
        model,
        images,
        steps=10**9,
        batch_size=case.batch,
        seed=0,
        precision=number,
        kernels=table,
        resume=state,
    )
    return lambda: next(made)


def theirs(case: Case, step: Callable[[Tensor], object]) -> Callable[[], object]:
    """One such step of another's loop."""
    images, place = Images(case), 0

    def go() -> None:
        nonlocal place
        step(images.plain(place, case.batch))
        place += case.batch

    return go


def step_of(side: Side, case: Case) -> Callable[[], object]:
    """One step of a side."""
    if side.of == "ours":
        return ours(case, side.kernels, side.precision)
    book = case.textbook()
    return theirs(case, book.step if side.of == "textbook" else strong(book, bf16=side.precision == "bf16"))


def operations(side: Side, case: Case) -> float:
    """Floating-point operations of a step (multiplications and additions), the mean over the case's cycle."""
    step = step_of(side._replace(precision="fp32", kernels=False), case)
    for _ in range(_WARM):
        step()
    with _Counting() as counting:  # type: ignore[no-untyped-call]
        for _ in range(case.cycle):
            step()
    return float(counting.total) / case.cycle


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations, as `FlopCounterMode`, which cannot follow a gradient of a gradient."""

    total: float = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        done = func(*args, **kwargs or {})
        if count := flop_registry.get(func.overloadpacket):
            self.total += count(*args, **kwargs or {}, out_val=done)
        return done


def work(kind: str, name: str, threads: int, pipe: Connection) -> None:
    """A worker: for every number of seconds that is sent, the images a second of such a window."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    side, case = SIDES[kind], CASES[name]
    if side.of != "ours":
        answer(step_of(side, case), case.batch, pipe)
        return
    with memory_kept():
        answer(step_of(side, case), case.batch, pipe)


def multiply(precision: str, threads: int, pipe: Connection) -> None:
    """A worker: the operations a second of a matrix product, by the fastest of the library's."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, _EDGE, _EDGE, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    times = {}
    for name, product in PRODUCTS.items():
        product(a, b)
        begin = time.monotonic()
        product(a, b)
        times[name] = time.monotonic() - begin
    product = PRODUCTS[min(times, key=times.__getitem__)]
    answer(lambda: product(a, b), 2 * _EDGE**3, pipe)


def answer(step: Callable[[], object], amount: float, pipe: Connection) -> None:
    """For every number of seconds that is sent, send the work a second of such a window, by the clock and by processor time."""

    def window(seconds: float) -> tuple[float, float]:
        begin, spent, steps = time.monotonic(), time.process_time(), 0
        while time.monotonic() - begin < seconds or steps < 2:
            step()
            steps += 1
        return steps * amount / (time.monotonic() - begin), steps * amount / (time.process_time() - spent)

    for _ in range(_WARM):
        step()
    serve(pipe, window)


def sides(case: Case, against: Sequence[str], *, standard: bool) -> list[str]:
    """The sides of a case: bf16 only where `train` takes it, standard kernels beside chosen ones only where asked for."""
    has_bf16, bf16 = (
        choose_precision("auto", torch.device("cpu"), suits=suits) == "bf16" for suits in (True, type(case.ours()).bf16)
    )
    return [
        name
        for name, side in SIDES.items()
        if (side.of in against or (side.of == "ours" and (side.kernels or standard)))
        and (side.precision == "fp32" or (bf16 if side.of == "ours" else has_bf16))
    ]


def compare(
    name: str, kinds: Sequence[str], *, windows: int, seconds: float, threads: int
) -> dict[str, list[tuple[float, float]]]:
    """The images a second of each window, on the clock and by processor time, of each side, and the peaks."""
    workers: dict[str, Work] = {kind: (work, (kind, name, threads)) for kind in kinds}
    for precision in dict.fromkeys(SIDES[kind].precision for kind in kinds):
        workers[f"peak {precision}"] = (multiply, (precision, threads))
    return turns(workers, windows=windows, seconds=seconds)


def rows(name: str, found: Mapping[str, Sequence[tuple[float, float]]], threads: int, which: int) -> list[list[str]]:
    """The lines of the table for a case: `which` counts by the clock (0) or by processor time (1)."""
    case, lines = CASES[name], []
    rates = {kind: sorted(pair[which] for pair in pairs) for kind, pairs in found.items()}
    middle = {kind: statistics.median(each) for kind, each in rates.items()}
    work = {of: operations(Side(of), case) for of in dict.fromkeys(SIDES[kind].of for kind in found if kind in SIDES)}
    for kind, side in ((kind, SIDES[kind]) for kind in found if kind in SIDES):
        flop = work[side.of]
        share = flop * middle[kind] / case.batch / rates[f"peak {side.precision}"][-1]
        strongest = max((middle.get("strong", 0.0), middle.get("strong, bf16", 0.0) * (side.precision == "bf16")))
        bases = (middle.get("textbook", 0.0), strongest)
        lines.append(
            [name, f"{case.batch}", processor(), f"{threads}", kind, f"{flop / 1e9:,.1f}"]
            + [f"{x:.1f}" if x >= 10 else f"{x:.2f}" for x in (rates[kind][0], middle[kind], rates[kind][-1])]
            + [f"{share:.0%}", *(f"{middle[kind] / base:.2f}" if base else "-" for base in bases)]
        )
    return lines


def against_goals(lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of the table of goals, of those of the other table; what is reached is bold."""
    found = {(line[0], line[4]): line[-1] for line in lines}
    table = []
    for name in dict.fromkeys(line[0] for line in lines if line[0] in GOALS):
        pairs = [
            (found.get((name, side), "-"), goal) for side, goal in (("ours, bf16", GOALS[name]), ("ours", _FP32_GOAL))
        ]
        cells = [f"**{text}**" if text != "-" and float(text) >= goal else text for text, goal in pairs]
        table.append(f"| {name} | {GOALS[name]} | {' | '.join(cells)} |")
    return table


def processor() -> str:
    """The processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


HEAD = "case | batch | processor | threads | side | GFLOP/step | min | median | max | of peak | of textbook | of strong"


def windows_parser(description: str | None, *, windows: int, seconds: float) -> argparse.ArgumentParser:
    """The parser of a bench in which cases take so many windows of so many seconds by default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="case", help=", ".join(CASES))
    parser.add_argument("--windows", type=int, default=windows)
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--processor-time", action="store_true", help="where others use the cores too (one thread)")
    return parser


def check_cases(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """End with an error that names the cases there are, where one is none."""
    if unknown := set(names) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")


def main() -> None:
    """Compare the cases named, and print a table."""
    parser = windows_parser(__doc__, windows=8, seconds=3.0)
    parser.add_argument("--against", default="textbook,strong", help="textbook, strong, or both with a comma between")
    parser.add_argument("--standard-kernels", action="store_true", help="also ours without choosing kernels")
    asked = parser.parse_args()
    against = asked.against.split(",")
    if wrong := set(against) - {"textbook", "strong"}:
        parser.error(f"--against is {', '.join(sorted(wrong))}; expected textbook, strong or both")
    check_cases(parser, asked.cases)
    torch.set_num_threads(asked.threads)
    print(f"torch {torch.__version__}\n\n| {HEAD} |\n|{'---|' * (HEAD.count('|') + 1)}", flush=True)
    lines: list[list[str]] = []
    for name in asked.cases:
        kinds = sides(CASES[name], against, standard=asked.standard_kernels)
        found = compare(name, kinds, windows=asked.windows, seconds=asked.seconds, threads=asked.threads)
        lines += rows(name, found, asked.threads, int(asked.processor_time))
        print(*(f"| {' | '.join(line)} |" for line in lines if line[0] == name), sep="\n", flush=True)
    print(f"\n| case | goal | bf16, of strong | fp32, of strong (goal {_FP32_GOAL}) |\n|---|---|---|---|")
    print(*against_goals(lines), sep="\n")


if __name__ == "__main__":
    main()
