"""What the exchange of gradients costs: the share of a training step that many processes spend in their sums.

    torchrun --nproc-per-node 2 bench/ranks.py [gan vae dcgan-32 dcgan-64 dcgan-128 ...] [--micro-batches 2] [--overlap]

Each process trains with the others on noise, as `zeuxis train` does. Before each sum they wait for each other, so that the
sum itself and the wait for the slowest are told apart. Prints medians over the steps, by the clock and of processor time.
`--overlap` lets the sums set out while the last micro-batch is still differentiated, in buckets: a trial, which `zeuxis train`
does not do.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor

from zeuxis import families
from zeuxis.mechanisms import UsesFeatures
from zeuxis.metrics import vgg
from zeuxis.model import Batch, Model
from zeuxis.runtime.device import choose_device, memory_kept
from zeuxis.runtime.ranks import Ranks, processes
from zeuxis.runtime.tree_sums import TreeSum
from zeuxis.testing.case import NoiseImages
from zeuxis.training import engine
from zeuxis.training.micro_batches import MicroBatches

CASES: dict[str, tuple[str, dict[str, Any]]] = {  # by name the family and its options
    "gan": ("gan", {"size": 32}),
    "vae": ("vae", {"size": 64}),
    "dcgan-32": ("dcgan", {"size": 64, "base_channels": 32}),
    "dcgan-64": ("dcgan", {"size": 64, "base_channels": 64}),
    "dcgan-128": ("dcgan", {"size": 64, "base_channels": 128}),
    "wgan_gp": ("wgan_gp", {"size": 64}),
    "stylegan2": ("stylegan2", {"size": 64}),
    "progan": ("progan", {"size": 64, "images_per_stage": 1}),
    "diffusion": ("diffusion", {"size": 64}),
    "pix2pix": ("pix2pix", {"size": 128}),
    "cyclegan": ("cyclegan", {"size": 128}),
    "srgan": ("srgan", {"pretrain_steps": 0}),
}
WARM_UP = 3
BUCKET = 4 << 20  # bytes of gradients that set out together, of --overlap
HEAD = (
    "| case | processes | weights (million) | sums (MB a step) | step (ms) | sums (ms) | share | wait (ms) | images/s "
    "| step (processor ms) | sums (processor ms) | share |"
)


@dataclass(frozen=True)
class Timed(Ranks):
    """The processes of a run, and how long their sums take."""

    waited: list[float] = field(default_factory=list)
    summed: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)  # seconds of the processor in sums
    sent: list[int] = field(default_factory=list)

    def total(self, tensors: Sequence[Tensor]) -> None:
        """As that of `Ranks`, once all processes are there."""
        self._time(super().total, tensors)

    def most(self, tensors: Sequence[Tensor]) -> None:
        """Likewise."""
        self._time(super().most, tensors)

    def _time(self, work: Callable[[Sequence[Tensor]], None], tensors: Sequence[Tensor]) -> None:
        begin = moment()
        self.exchange([0.0])
        there, spent = moment(), time.process_time()
        work(tensors)
        self.waited.append(there - begin)
        self.summed.append(moment() - there)
        self.worked.append(time.process_time() - spent)
        self.sent.append(4 * sum(tensor.numel() for tensor in tensors))

    def forget(self) -> None:
        """Begin anew."""
        for each in (self.waited, self.summed, self.worked, self.sent):
            each.clear()


class Overlapped(MicroBatches):
    """Each sum sets out as soon as the last micro-batch of this process has it, in buckets, while it goes on."""

    def __init__(self, model: Model, count: int, **given: Any) -> None:
        super().__init__(model, count, **given)
        self._place, self._sums = 0, dict[Tensor, TreeSum]()
        self._bucket, self._sent = list[Tensor](), list[Future[None]]()
        self._ready: dict[Tensor, Tensor] = {}
        learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._hooks = [each.register_post_accumulate_grad_hook(self._see) for each in learned]  # type: ignore[no-untyped-call]
        self._thread = ThreadPoolExecutor(1)

    def playing(self, place: int) -> Any:
        """As that of `MicroBatches`."""
        self._place = place
        return super().playing(place)

    def _see(self, parameter: Tensor) -> None:
        """Take the gradient of a parameter, which is complete once this is called."""
        assert parameter.grad is not None
        self._sums.setdefault(parameter, TreeSum()).add([parameter.grad])
        parameter.grad = None
        if self._place == len(self.numbers) - 1:
            self._collect(parameter)
            if sum(4 * each.numel() for each in self._bucket) >= BUCKET:
                self._send()

    def _collect(self, parameter: Tensor) -> None:
        (found,) = self._sums.pop(parameter).sums()
        assert found is not None
        self._ready[parameter] = found
        self._bucket.append(found)

    def _send(self) -> None:
        bucket, self._bucket = self._bucket, []
        if bucket:
            self._sent.append(self._thread.submit(self.ranks.total, bucket))

    def take_gradients(self, parameters: Sequence[Tensor]) -> None:
        """They are taken already."""

    def give_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Wait for all sums of the player."""
        for parameter in list(self._sums):  # those without a gradient in the last micro-batch
            self._collect(parameter)
        self._send()
        for each in self._sent:
            each.result()
        self._sent.clear()
        for parameter in parameters:
            parameter.grad = self._ready.pop(parameter, None)

    def settle(self, reports: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Likewise."""
        for hook in self._hooks:
            hook.remove()
        self._thread.shutdown()
        return super().settle(reports)


class Again:
    """One batch of noise, again and again: what is measured is the step."""

    def __init__(self, model: Model, size: int) -> None:
        source = NoiseImages(model)
        self.columns = source.columns
        self._batch = Batch(*(None if each is None else each.to(model.device) for each in source.batch(0, size)))  # type: ignore[arg-type]

    def batch(self, start: int, size: int) -> Batch:
        """Always the same."""
        return self._batch


class Found(NamedTuple):
    """What the steps of a case took, in seconds each."""

    steps: list[float]
    sums: list[float]
    waits: list[float]
    works: list[tuple[float, float]]  # of the processor: of the step, and of its sums
    sent: int
    weights: int
    batch: int

    def row(self, name: str, processes: int) -> str:
        """The row of the table."""
        step, sums, wait = (statistics.median(each) for each in (self.steps, self.sums, self.waits))
        cells = [name, processes, f"{self.weights / 1e6:.2f}", f"{self.sent / 1e6:.1f}", f"{1e3 * step:.1f}"]
        cells += [f"{1e3 * sums:.1f}", f"{100 * sums / step:.1f} %", f"{1e3 * wait:.1f}", f"{self.batch / step:.1f}"]
        work, adding = (1e3 * statistics.median(column) for column in zip(*self.works))
        cells += [f"{work:.1f}", f"{adding:.1f}", f"{100 * adding / work:.1f} %"]
        return f"| {' | '.join(map(str, cells))} |"


def moment() -> float:
    """The time, once the GPU has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def model_of(name: str) -> Model:
    """The model of a case, with its first weights."""
    family, options = CASES[name]
    torch.manual_seed(0)
    model = families.find(family)(**options)
    if isinstance(model, UsesFeatures) and model.needs_features:
        model.feature_network = vgg.feature_network(vgg.VGG())
    return model.to(choose_device("auto"))


def measure(name: str, ranks: Ranks, *, steps: int, micro_batches: int) -> Found:
    """Train a case for some steps, with the other processes."""
    timed, model = Timed(ranks.rank, ranks.size, ranks.by_host), model_of(name)
    batch = max(model.batch_size, micro_batches)
    data, found = Again(model, batch // ranks.size), Found([], [], [], [], 0, 0, batch)
    played: Iterator[Any] = engine.train(
        model, data, steps=WARM_UP + steps, batch_size=batch, seed=0, micro_batches=micro_batches, ranks=timed
    )
    for place in range(WARM_UP + steps):
        timed.forget()
        begin, spent = moment(), time.process_time()
        next(played)
        if place >= WARM_UP:
            found.steps.append(moment() - begin)
            found.works.append((time.process_time() - spent, sum(timed.worked)))
            found.sums.append(sum(timed.summed))
            found.waits.append(sum(timed.waited))
    weights = sum(parameter.numel() for parameter in model.parameters())
    return found._replace(sent=sum(timed.sent), weights=weights)


def main() -> None:
    """Measure the cases named; the first process prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="case", help=", ".join(CASES))
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--micro-batches", type=int, default=2, help="of all processes together")
    parser.add_argument("--overlap", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.cases) - set(CASES):
        parser.error(f"there is no case {min(unknown)!r}; there are {', '.join(CASES)}")
    played = Overlapped if given.overlap else MicroBatches
    with processes() as ranks, memory_kept(), mock.patch.object(engine, "MicroBatches", played):
        if given.micro_batches < 2 or given.micro_batches % ranks.size:
            parser.error(f"--micro-batches is {given.micro_batches}; expected a multiple of {ranks.size}, at least 2")
        if ranks.first:
            print(HEAD, "|---" * 12 + "|", sep="\n", flush=True)
        for name in given.cases:
            found = measure(name, ranks, steps=given.steps, micro_batches=given.micro_batches)
            if ranks.first:
                print(found.row(name, ranks.size), flush=True)


if __name__ == "__main__":
    main()
