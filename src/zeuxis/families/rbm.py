"""Restricted Boltzmann machine: an energy of visible and hidden units, by contrastive divergence (Hinton 2002)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.optim import SGD, Optimizer

from zeuxis.likelihood import Likelihoods, StageCallback, bounds, partition, silent
from zeuxis.model import Batch, Clock, Encoder, HasLikelihood, Turn, option
from zeuxis.nets.boltzmann import Machine, draw
from zeuxis.samplers import Chance, Streams, annealed, base_draws, gibbs, tempered

NOISE = Chance()
_EDGE = 0.01  # pixels that never change are taken to do so this often, where all units are independent


@dataclass(eq=False)
class RBM(Encoder, HasLikelihood):
    """An energy of images and hidden units; it falls on the data and rises on what the model's own Markov chains draw."""

    latent_dim: int = option(500, "hidden units", low=1, high=65536)
    units: Literal["binary", "gaussian"] = option("binary", "visible units: binary (greys are chances), or Gaussian")
    greys: Literal["drawn", "chances", "halved"] = option(
        "drawn",
        "what binary units learn from: greys drawn black or white anew at each step, as they are, or cut at 1/2",
    )
    sigma: float = option(0.5, "noise of Gaussian units, images being in [-1, 1]; 0 learns it", low=0, high=100)
    method: Literal["pcd", "cd"] = option(
        "pcd", "chains that go on (Tieleman 2008), or start at the data (Hinton 2002)"
    )
    gibbs_steps: int = option(1, "the k of CD-k and PCD-k: draws of the visible units at each step", low=1, high=10_000)
    chains: int = option(100, "chains that go on", low=1, high=65536)
    lr: float = option(0.2, "learning rate (gradient descent)", low=0, high=10)
    half_after: int = option(100_000, "images after which the learning rate is halved, as 1 / time; 0: never", low=0)
    momentum: float = option(0.0, "how much of the last step is taken again", low=0, high=0.999)
    weight_decay: float = option(0.0, "pull of the weights towards 0 (L2)", low=0)
    sparsity: float = option(
        0.0, "share of images that a hidden unit should be on for; 0: whatever it likes", low=0, high=0.5
    )
    sparsity_weight: float = option(0.01, "weight of that wish", low=0)
    sampler: Literal["gibbs", "tempered", "annealed"] = option(
        "gibbs",
        "samples: training's chains going on by themselves, with warmer ones beside them, or chains that cool down",
        at_sampling=True,
    )
    sample_steps: int = option(100, "steps of a sample's chain", low=1, high=1_000_000, at_sampling=True)
    temperatures: int = option(10, "chains beside each other in parallel tempering", low=2, high=1000, at_sampling=True)
    warmest: float = option(0.8, "inverse temperature of the warmest of them", low=0, high=1, at_sampling=True)

    batch_size = 64

    def build(self) -> None:
        pixels = self.channels * self.size**2
        self.weight = nn.Parameter(torch.randn(pixels, self.latent_dim) * 0.01)  # Hinton 2012, section 8
        self.visible_bias = nn.Parameter(torch.zeros(pixels))
        self.hidden_bias = nn.Parameter(torch.zeros(self.latent_dim))
        self.log_variance: Tensor
        self.mean: Tensor  # of all images so far, as visible units
        self.fantasies: Tensor  # hidden units of the chains that go on
        variance = torch.tensor(self.sigma or 1.0).square()
        if self.sigma == 0 and self.units == "gaussian":
            self.log_variance = nn.Parameter(variance.log())
        else:
            self.register_buffer("log_variance", variance.log())
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

    def rate(self, clock: Clock) -> float:
        return 1 / (1 + clock.images / self.half_after) if self.half_after else 1.0

    def machine(self) -> Machine:
        """The energy as it is now. Hidden units see an image's difference from the mean (Montavon and Müller 2012)."""
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
        yield "rbm", {"gap": free[: len(data)].mean() - free[len(data) :].mean(), **self.wishes(inputs[: len(data)])}

        self.mean.lerp_(data.mean(0), len(data) / (clock.images + len(data)))  # of all images so far
        if self.method == "pcd":
            self.fantasies.copy_(draw(inputs[len(data) :].detach(), NOISE))

    def inputs(self, visible: Tensor, variance: Tensor | None) -> Tensor:
        """The machine's `hidden_input` (n k), in the form whose gradients are those of centred units."""
        centred = visible - self.mean
        return torch.addmm(self.hidden_bias, centred if variance is None else centred / variance, self.weight)

    def wishes(self, inputs: Tensor) -> dict[str, Tensor]:
        """The cross entropy between how often hidden units should be on and how often they are (Hinton 2012, section 11)."""
        if not self.sparsity:
            return {}
        often = torch.sigmoid(inputs).mean(0).clamp(1e-6, 1 - 1e-6)
        entropy = self.sparsity * often.log() + (1 - self.sparsity) * (1 - often).log()
        return {"sparsity": -self.sparsity_weight * entropy.sum()}

    def visible(self, image: Tensor, noise: Chance = NOISE) -> Tensor:
        """Visible units (n d) for images (n c h w, in [-1, 1]), as they are learned from."""
        flat = image.flatten(1)
        if self.units == "gaussian":
            return flat
        chances = (flat + 1) / 2
        if self.greys == "drawn":
            return (noise.uniform(chances) < chances).to(chances)
        return (chances > 0.5).to(chances) if self.greys == "halved" else chances

    def prior(self, seeds: Sequence[int]) -> Tensor:
        """Hidden units in {0, 1} (n latent_dim), at which a chain of their own has arrived for each seed.

        In float64 on the CPU: a sum of float32 weights is exact there, so no rounding that depends on the other rows
        or on the device can turn a unit over and lead the chain elsewhere.
        """
        with torch.no_grad():
            machine, noise = self.machine().plain(torch.float64), Streams(seeds)
            visible = self.draws(machine, len(seeds), noise)
            return draw(machine.hidden_input(visible), noise).to(self.weight)

    def draws(self, machine: Machine, count: int, noise: Streams) -> Tensor:
        """Visible units (count d) that the sampler gives."""
        if self.sampler == "annealed":
            betas = [i / self.sample_steps for i in range(1, self.sample_steps + 1)]
            return annealed(machine, betas, count=count, noise=noise)
        if self.sampler == "gibbs":
            return gibbs(machine, self.starts(machine, count, noise), steps=self.sample_steps, noise=noise)
        top = self.temperatures - 1
        betas = [self.warmest + (1 - self.warmest) * i / top for i in range(self.temperatures)]
        visible = gibbs(machine, self.starts(machine, count * self.temperatures, noise), steps=1, noise=noise)
        return tempered(machine, betas, visible, steps=self.sample_steps, noise=noise)

    def starts(self, machine: Machine, count: int, noise: Streams) -> Tensor:
        """Hidden units (count k) of one of training's chains each, chosen by chance; of noise where there are none."""
        if self.method == "cd":
            return draw(machine.hidden_input(base_draws(machine, count, noise=noise)), noise)
        which = (noise.uniform(machine.weight.new_empty(count)) * self.chains).long()
        return self.fantasies.cpu()[which].to(machine.weight)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """The expected image for hidden units (n latent_dim), which may lie between 0 and 1."""
        machine = self.machine()
        return self.picture(machine.mean_visible(machine.visible_input(z)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image: channels, height, width."""
        return self.channels, self.size, self.size

    def picture(self, visible: Tensor) -> Tensor:
        """Images (n c h w, in [-1, 1]) of visible units (n d)."""
        flat = visible * 2 - 1 if self.units == "binary" else visible.clamp(-1, 1)
        return flat.view(-1, *self.shape)

    def encode(self, image: Tensor) -> Tensor:
        """p(h = 1 | v) of images: greys count as chances, not drawn."""
        flat = image.flatten(1)
        return torch.sigmoid(self.machine().hidden_input((flat + 1) / 2 if self.units == "binary" else flat))

    def likelihood_scores(self, images: Tensor, generator: Generator, progress: StageCallback = silent) -> Likelihoods:
        """log Z and the log-likelihood; of greys drawn as in training, or of 8-bit values under Gaussian units."""
        binary, noise = self.units == "binary", Chance(generator)
        shown, log_volume = (images, 0.0) if binary else bounds.dequantised(images, generator)
        machine, visible = self.machine().plain(torch.float32), self.visible(shown, noise)
        return partition.machine_scores(machine, visible, log_volume, noise=noise, progress=progress)

    def figures(self) -> dict[str, Tensor]:
        """The first hidden units' weights, each as an image; and 8 chains, a row each, at times that are 25 draws apart."""
        filters = self.weight.T[:64]
        shown = {"filters": (filters / filters.abs().amax(1, keepdim=True).clamp(min=1e-12)).view(-1, *self.shape)}
        if self.method == "pcd":
            machine, hidden, moments = self.machine(), self.fantasies[:8].float(), []
            for _ in range(8):
                moments.append(self.decode(hidden))
                hidden = draw(machine.hidden_input(gibbs(machine, hidden, steps=25, noise=NOISE)), NOISE)
            shown["chains"] = torch.stack(moments, 1).flatten(0, 1)
        return shown
