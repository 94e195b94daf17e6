"""RBM: a restricted Boltzmann machine, trained by contrastive divergence (Hinton 2002; Tieleman 2008)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.optim import SGD, Optimizer

from zeuxis.likelihood import Likelihoods, StageCallback, bounds, partition, silent
from zeuxis.mechanisms import GibbsSampling
from zeuxis.model import Batch, Clock, Encoder, HasLikelihood, Turn, option
from zeuxis.nets.boltzmann import Machine, Noise, draw
from zeuxis.samplers import Chance, Streams, annealed, base_draws, gibbs, tempered

NOISE = Chance()
_EDGE = 0.01  # clamp of the pixel means in the independent base distribution


@dataclass(eq=False)
class RBM(GibbsSampling, Encoder, HasLikelihood):
    """An energy over visible and hidden units; training lowers it on data and raises it on samples of Markov chains."""

    latent_dim: int = option(500, "hidden units", low=1, high=65536)
    units: Literal["binary", "gaussian"] = option("binary", "visible units: binary (Bernoulli), or Gaussian")
    binarize: Literal["stochastic", "probabilities", "threshold"] = option(
        "stochastic",
        "binary visible units from greyscale: sampled at each step, kept as probabilities, or thresholded at 1/2",
        group="data",
    )
    sigma: float = option(0.5, "standard deviation of Gaussian visible units; 0: learned", low=0, high=100)
    method: Literal["pcd", "cd"] = option(
        "pcd",
        "persistent contrastive divergence (Tieleman 2008), or contrastive divergence (Hinton 2002)",
        group="losses",
        of_weights=True,
    )
    gibbs_steps: int = option(1, "Gibbs steps per update: the k of CD-k and PCD-k", low=1, high=10_000, group="losses")
    chains: int = option(100, "persistent chains", low=1, high=65536, group="losses", of_weights=True)
    lr: float = option(0.2, "SGD learning rate", low=0, high=10, group="optimisation")
    lr_half_life: int = option(
        100_000, "images after which the learning rate is halved (1/t decay); 0: constant", low=0, group="optimisation"
    )
    momentum: float = option(0.0, "SGD momentum", low=0, high=0.999, group="optimisation")
    weight_decay: float = option(0.0, "L2 weight decay", low=0, group="optimisation")
    sparsity: float = option(0.0, "target activation of the hidden units; 0: off", low=0, high=0.5, group="losses")
    sparsity_weight: float = option(0.01, "weight of the sparsity penalty", low=0, group="losses")
    sampler: Literal["gibbs", "tempered", "annealed"] = option(
        "gibbs",
        "sampling: Gibbs from the persistent chains, parallel tempering, or annealing",
        at_sampling=True,
    )
    sample_steps: int = option(100, "Gibbs steps per sample", low=1, high=1_000_000, at_sampling=True)
    temperatures: int = option(10, "temperatures of parallel tempering", low=2, high=1000, at_sampling=True)
    min_beta: float = option(0.8, "smallest inverse temperature of parallel tempering", low=0, high=1, at_sampling=True)

    sharded = ("fantasies",)
    batch_size = 64
    mixture = "sum"  # of hidden states: p(h)

    def build(self) -> None:
        pixels = self.channels * self.size**2
        self.weight = nn.Parameter(torch.empty(pixels, self.latent_dim).normal_(std=0.01))  # Hinton 2012, section 8
        self.visible_bias = nn.Parameter(torch.zeros(pixels))
        self.hidden_bias = nn.Parameter(torch.zeros(self.latent_dim))
        self.log_variance: Tensor
        self.mean: Tensor  # of all images so far, as visible units
        self.fantasies: Tensor  # hidden units of the persistent chains
        log_variance = torch.tensor(2 * math.log(self.sigma or 1.0))
        if self.sigma == 0 and self.units == "gaussian":
            self.log_variance = nn.Parameter(log_variance)
        else:
            self.register_buffer("log_variance", log_variance)
        self.register_buffer("mean", torch.full((pixels,), 0.5 if self.units == "binary" else 0.0))
        if self.method == "pcd":
            self.register_buffer("fantasies", torch.rand(self.chains, self.latent_dim) < 0.5)

    def optimizers(self) -> dict[str, Optimizer]:
        biases = [p for name, p in self.named_parameters() if name != "weight"]
        groups: list[dict[str, Any]] = [
            {"params": [self.weight], "weight_decay": self.weight_decay},
            {"params": biases},
        ]
        return {"rbm": SGD(groups, self.lr, self.momentum, fused=True)}

    def lr_scale(self, clock: Clock) -> float:
        return 1 / (1 + clock.images / self.lr_half_life) if self.lr_half_life else 1.0

    def machine(self) -> Machine:
        """The current energy function, with visible units centred at the data mean (Montavon and Müller 2012)."""
        binary = self.units == "binary"
        base = torch.logit(self.mean.clamp(_EDGE, 1 - _EDGE)) if binary else self.mean
        variance = None if binary else self.log_variance.exp()
        shift = self.mean @ self.weight
        hidden_bias = self.hidden_bias - (shift if variance is None else shift / variance)
        return Machine(self.weight, self.visible_bias, hidden_bias, base, variance)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """The gradient of the gap is that of contrastive divergence: <v h> of the model minus <v h> of the data."""
        machine, data = self.machine(), self.visible(batch.image)
        with torch.no_grad():
            start = self.fantasies.to(data) if self.method == "pcd" else draw(machine.hidden_input(data), NOISE)
            fantasy = gibbs(machine, start, steps=self.gibbs_steps, noise=NOISE)
        both = torch.cat((data, fantasy))
        inputs = self.inputs(both, machine.variance)
        free = machine.free_energy(both, inputs=inputs)
        gap = free[: len(data)].mean() - free[len(data) :].mean()
        yield "rbm", {"free_energy_gap": gap, **self.sparsity_terms(inputs[: len(data)])}

        seen = len(data) * clock.micro_batches
        self.mean.lerp_(data.mean(0), seen / (clock.images + seen))  # of all images so far
        if self.method == "pcd":
            self.fantasies.copy_(draw(inputs[len(data) :].detach(), NOISE))

    def inputs(self, visible: Tensor, variance: Tensor | None) -> Tensor:
        """The RBM's `hidden_input` (n k), with the gradients of centred units."""
        centred = visible - self.mean
        return torch.addmm(self.hidden_bias, centred if variance is None else centred / variance, self.weight)

    def sparsity_terms(self, inputs: Tensor) -> dict[str, Tensor]:
        """The cross entropy between target and mean activation of the hidden units (Hinton 2012, section 11)."""
        if not self.sparsity:
            return {}
        often = torch.sigmoid(inputs).mean(0).clamp(1e-6, 1 - 1e-6)
        entropy = self.sparsity * often.log() + (1 - self.sparsity) * (1 - often).log()
        return {"sparsity": -self.sparsity_weight * entropy.sum()}

    def visible(self, image: Tensor, noise: Noise = NOISE) -> Tensor:
        """Visible units (n d) of images (n c h w, in [-1, 1]); binary ones as `binarize` says."""
        flat = image.flatten(1)
        if self.units == "gaussian":
            return flat
        chances = (flat + 1) / 2
        if self.binarize == "stochastic":
            return (noise.uniform(chances) < chances).to(chances)
        return (chances > 0.5).to(chances) if self.binarize == "threshold" else chances

    def prior(self, seeds: Sequence[int]) -> Tensor:
        """Hidden units in {0, 1} (n latent_dim): the final state of one Markov chain per seed.

        Computed in float64 on the CPU, where sums of float32 weights are exact. Otherwise rounding, which depends on
        batch and device, could flip a unit and change the rest of the chain.
        """
        with torch.no_grad():
            machine, noise = self.machine().plain(torch.float64), Streams(seeds)
            visible = self.draws(machine, len(seeds), noise)
            return draw(machine.hidden_input(visible), noise).to(self.weight)

    def draws(self, machine: Machine, count: int, noise: Streams) -> Tensor:
        """Visible units (count d) by the sampler."""
        if self.sampler == "annealed":
            betas = [i / self.sample_steps for i in range(1, self.sample_steps + 1)]
            return annealed(machine, betas, count=count, noise=noise)
        if self.sampler == "gibbs":
            return gibbs(machine, self.starts(machine, count, noise), steps=self.sample_steps, noise=noise)
        top = self.temperatures - 1
        betas = [self.min_beta + (1 - self.min_beta) * i / top for i in range(self.temperatures)]
        visible = gibbs(machine, self.starts(machine, count * self.temperatures, noise), steps=1, noise=noise)
        return tempered(machine, betas, visible, steps=self.sample_steps, noise=noise)

    def starts(self, machine: Machine, count: int, noise: Streams) -> Tensor:
        """Hidden units (count k) of random persistent chains; of noise where there are none."""
        if self.method == "cd":
            return draw(machine.hidden_input(base_draws(machine, count, noise=noise)), noise)
        which = (noise.uniform(machine.weight.new_empty(count)) * self.chains).long()
        return self.fantasies.cpu()[which].to(machine.weight)

    def picture(self, visible: Tensor) -> Tensor:
        """Images (n c h w, in [-1, 1]) of visible units (n d)."""
        flat = visible * 2 - 1 if self.units == "binary" else visible.clamp(-1, 1)
        return flat.view(-1, self.channels, self.size, self.size)

    def encode(self, image: Tensor) -> Tensor:
        """p(h = 1 | v) of images; grey values enter as probabilities, unsampled."""
        flat = image.flatten(1)
        return torch.sigmoid(self.machine().hidden_input((flat + 1) / 2 if self.units == "binary" else flat))

    def likelihood_scores(self, images: Tensor, generator: Generator, progress: StageCallback = silent) -> Likelihoods:
        """log Z and the log-likelihood: of images binarized as in training, or of 8-bit values under Gaussian units."""
        binary, noise = self.units == "binary", Chance(generator)
        shown, log_volume = (images, 0.0) if binary else bounds.dequantised(images, generator)
        machine, visible = self.machine().plain(torch.float32), self.visible(shown, noise)
        return partition.machine_scores(machine, visible, log_volume, noise=noise, progress=progress)

    def diagnostics(self) -> dict[str, Tensor]:
        """The weights (filters) of the first hidden units; and 8 Markov chains, a row each, every 25 Gibbs steps."""
        shown = {"filters": self.filters()[:64]}
        if self.method == "pcd":
            machine, hidden, moments = self.machine(), self.fantasies[:8].float(), []
            for _ in range(8):
                moments.append(self.decode(hidden))
                hidden = draw(machine.hidden_input(gibbs(machine, hidden, steps=25, noise=NOISE)), NOISE)
            shown["chains"] = torch.stack(moments, 1).flatten(0, 1)
        return shown
