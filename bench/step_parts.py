"""Where a step of ours goes, and what could be won if all but products and convolutions took no time.

    python bench/step_parts.py [dcgan-64 vae-64 ...] [--precision fp32,bf16] [--windows 5] [--seconds 1.5] [--threads 2]

Ours and the strong side of `speed.py` take turns, each in a process of its own; a third worker times every operation of our
steps, by kind. Products and convolutions are forward and backward, with the kernels that were chosen, their columns included.
What no operation took is Python and the dispatch. The last column is ours / strong with products and convolutions alone: no
rewriting of the rest can give more. `--processor-time` counts the processor's time (one thread), where others use the cores too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import speed
from cases import CASES
from taking_turns import Work, serve, turns
from zeuxis.nets import maps
from zeuxis.runtime.device import memory_kept

PRODUCTS, NORMS, WEIGHTS, COPIES, POINTWISE = "products", "norms", "weights", "copies", "pointwise"
_STEPS = 10  # that are timed by operation in a window
_OURS = {"fp32": "ours", "bf16": "ours, bf16"}
# Parts of names of operations, by kind, the first that fits; all others are pointwise work and sums.
_KINDS = {
    PRODUCTS: ("convolution", "_linear_pointwise", "attention"),
    NORMS: ("batch_norm", "group_norm", "layer_norm"),
    WEIGHTS: ("_foreach", "_fused_adam", "_fused_sgd"),
    COPIES: ("copy", "clone", "cat", "pad", "stack", "shuffle", "as_strided", "new_zeros", "zero", "empty", "fill"),
}


class Timing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Seconds of operations by kind, those of a chosen kernel as a whole."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.clock, self.inside = clock, False
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.inside:
            return func(*args, **kwargs or {})
        begin = self.clock()
        done = func(*args, **kwargs or {})
        self.seconds[kind_of(func)] += self.clock() - begin
        return done

    def whole(self, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """A kernel of `zeuxis.nets.maps`, timed with its columns."""

        def timed(*given: Any) -> Any:
            begin, self.inside = self.clock(), True
            done = kernel(*given)
            self.seconds[PRODUCTS] += self.clock() - begin
            self.inside = False
            return done

        return timed


def kind_of(operation: Any) -> str:
    """The kind of an operation of torch."""
    if operation.overloadpacket in flop_registry:
        return PRODUCTS
    name = operation.overloadpacket.__name__
    return next((kind for kind, parts in _KINDS.items() if any(part in name for part in parts)), POINTWISE)


def take_apart(kind: str, name: str, threads: int, by_processor: bool, pipe: Connection) -> None:
    """A worker: for every number of seconds that is sent, the seconds of a step by kind."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    timing = Timing(time.process_time if by_processor else time.perf_counter)
    with memory_kept():
        step = speed.step_of(speed.SIDES[kind], CASES[name])
        for each in ("down", "up", "weight_gradient"):
            setattr(maps, each, timing.whole(getattr(maps, each)))
        step()

        def window(seconds: float) -> dict[str, float]:
            timing.seconds.clear()
            with timing:
                for _ in range(_STEPS):
                    step()
            return {each: spent / _STEPS for each, spent in timing.seconds.items()}

        serve(pipe, window)


def study(name: str, precision: str, asked: argparse.Namespace) -> str:
    """The line of the table for a case in a number format."""
    case, ours = CASES[name], _OURS[precision]
    strong = [side for side, it in speed.SIDES.items() if it.of == "strong" and it.precision in ("fp32", precision)]
    workers: dict[str, Work] = {side: (speed.work, (side, name, asked.threads)) for side in (*strong, ours)}
    workers["parts"] = (take_apart, (ours, name, asked.threads, asked.processor_time))
    found = turns(workers, windows=asked.windows, seconds=asked.seconds)
    parts = found.pop("parts")
    rate = {side: statistics.median(pair[asked.processor_time] for pair in found[side]) for side in found}
    return " | ".join(
        [name, precision, *cells(case.batch / rate[ours], parts, max(rate[s] for s in strong) / case.batch)]
    )


def cells(step: float, parts: Sequence[Mapping[str, float]], strong: float) -> list[str]:
    """The cells of a line: seconds of a step of ours, its seconds by kind in each window, steps a second of the strong."""
    spent = {
        kind: statistics.median(window.get(kind, 0.0) for window in parts) for kind in (PRODUCTS, *_KINDS, POINTWISE)
    }
    shares = [f"{each / step:.0%}" for each in spent.values()]
    rest = max(0.0, 1 - sum(spent.values()) / step)
    return [
        f"{1e3 * step:,.1f}",
        *shares,
        f"{rest:.0%}",
        f"{1 / step / strong:.2f}",
        f"{1 / spent[PRODUCTS] / strong:.2f}",
    ]


HEAD = f"case | format | ms | {PRODUCTS} | {NORMS} | {WEIGHTS} | {COPIES} | {POINTWISE} | Python | of strong | at most"


def main() -> None:
    """Take steps of the cases named apart, and print a table."""
    parser = speed.windows_parser(__doc__, windows=5, seconds=1.5)
    parser.add_argument("--precision", default="fp32,bf16", help="fp32, bf16, or both with a comma between")
    asked = parser.parse_args()
    speed.check_cases(parser, asked.cases)
    print(f"torch {torch.__version__}\n\n| {HEAD} |\n|{'---|' * (HEAD.count('|') + 1)}", flush=True)
    for name in asked.cases:
        for precision in asked.precision.split(","):
            print(f"| {study(name, precision, asked)} |", flush=True)


if __name__ == "__main__":
    main()
