"""The restricted Boltzmann machine beside scikit-learn's: speed, and what the images it has not seen think of it.

    python bench/rbm.py [--epochs 10] [--hidden 256] [--rates 0.05 0.1 0.2]

Both learn from the same images (mnist, its test part left out), greys drawn black or white anew for each epoch, in batches
of 64 with chains that go on. Zeuxis runs as `zeuxis train rbm` does: its own order of images, the average of the weights
kept, every number checked. scikit-learn's inner step is called directly, in float64 and in float32, its learning rate
chosen from `--rates` by the images that judge; Zeuxis keeps its default. Epochs of all take turns; a line gives the images
for each second of one processor, and the log-likelihood of the test images by annealed importance sampling.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import BernoulliRBM
from torch import Tensor

from zeuxis.data import DataSpec, PackSource
from zeuxis.families.rbm import RBM
from zeuxis.io.images import from_uint8
from zeuxis.likelihood import partition
from zeuxis.nets.boltzmann import Machine
from zeuxis.samplers import Chance
from zeuxis.scores import Score, bootstrap_log_mean, bootstrap_mean, difference
from zeuxis.training.engine import State, train

BATCH = 64


class Ours:
    """`rbm` with its defaults but the number of hidden units, and chains as many as the peer's."""

    def __init__(self, pack: Any, hidden: int, chains: int) -> None:
        torch.manual_seed(0)
        model = RBM(size=28, channels=1, latent_dim=hidden, chains=chains)
        self.name = f"zeuxis, {chains} chains"
        self.state, self.source, self.each = State.start(model), PackSource(pack, seed=0), len(pack) // BATCH

    def epoch(self) -> int:
        steps = self.state.clock.step + self.each
        for _ in train(self.state.model, self.source, steps=steps, batch_size=BATCH, seed=0, resume=self.state):
            pass
        return self.each * BATCH

    def machine(self) -> Machine:
        average = self.state.average
        assert isinstance(average, RBM)
        return average.machine().plain(torch.float32)


class Theirs:
    """`BernoulliRBM`, by its own step."""

    def __init__(self, greys: Tensor, hidden: int, rate: float, kind: type) -> None:
        self.name = f"scikit-learn, {np.dtype(kind).name}, rate {rate:g}"
        self.greys, self.kind, self.random = greys, kind, np.random.RandomState(0)
        self.model = BernoulliRBM(hidden, learning_rate=rate, batch_size=BATCH, random_state=0)
        self.model.partial_fit(self.drawn()[:BATCH])
        self.model.random_state_ = self.random

    def drawn(self) -> np.ndarray[Any, Any]:
        return (torch.rand_like(self.greys) < self.greys).numpy().astype(self.kind)

    def epoch(self) -> int:
        images = self.drawn()[self.random.permutation(len(self.greys))]
        batches = len(images) // BATCH
        for i in range(batches):
            self.model._fit(images[i * BATCH : (i + 1) * BATCH], self.random)
        return batches * BATCH

    def machine(self) -> Machine:
        weight, b, c = (
            torch.from_numpy(np.array(values)).float()
            for values in (self.model.components_.T, self.model.intercept_visible_, self.model.intercept_hidden_)
        )
        return Machine(weight, b, c, torch.logit(self.greys.mean(0).clamp(0.01, 0.99)))


def likelihood(machine: Machine, images: Tensor, temperatures: int) -> Score:
    """The log-likelihood of binary images (n d) in nats, with its interval."""
    noise = Chance(torch.Generator().manual_seed(0))
    weights = partition.forward_weights(machine, partition.inverse_temperatures(temperatures), chains=100, noise=noise)
    with torch.no_grad():
        return difference(bootstrap_mean(-machine.free_energy(images)), bootstrap_log_mean(weights))


def timed(work: Callable[[], int]) -> float:
    """Images for each second of the processor."""
    begin = time.process_time()
    images = work()
    return images / (time.process_time() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    parser.add_argument("--temperatures", type=int, default=2000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pack, test = (DataSpec.parse(name).open(28, 1) for name in ("mnist", "mnist/test"))
    greys, unseen = ((from_uint8(each.images).flatten(1) + 1) / 2 for each in (pack, test))
    torch.manual_seed(0)
    judge = (torch.rand_like(unseen) < unseen).float()
    runs: list[Ours | Theirs] = [Ours(pack, arguments.hidden, chains) for chains in (BATCH, 100)]
    runs += [Theirs(greys, arguments.hidden, rate, np.float32) for rate in arguments.rates]
    runs += [Theirs(greys, arguments.hidden, arguments.rates[0], np.float64)]
    speeds: dict[str, list[float]] = {run.name: [] for run in runs}
    for _ in range(arguments.epochs):
        for run in runs:
            speeds[run.name].append(timed(run.epoch))
    print(f"{len(greys):,} images, {arguments.epochs} epochs, {arguments.hidden} hidden units, batches of {BATCH}")
    for run in runs:
        low, middle, high = np.quantile(speeds[run.name], [0, 0.5, 1])
        found = likelihood(run.machine(), judge, arguments.temperatures)
        print(
            f"{run.name:32} {middle:8,.0f} images/s ({low:,.0f} to {high:,.0f})   "
            f"test {found.value:.1f} ({found.low:.1f} to {found.high:.1f}) nats",
            flush=True,
        )


if __name__ == "__main__":
    main()
