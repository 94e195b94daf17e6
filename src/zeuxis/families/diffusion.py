"""Diffusion: a U-Net learns to remove noise, and an ODE takes noise to images (Ho 2020; Song 2021; Karras 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from zeuxis.errors import UsageError
from zeuxis.model import Batch, Clock, Encoder, Turn, derived, option
from zeuxis.nets.denoising import DenoisingUNet
from zeuxis.samplers import SAMPLERS, Denoiser, heun, ladder, linear_levels, log_normal
from zeuxis.schedules import decay_option, decayed, risen

LOW, HIGH = 0.002, 80.0  # levels of noise between which images are made (Karras 2022, table 1)
_UNTOLD = 0.1  # share of training images whose label is kept from the network (Ho and Salimans 2022)
_SEEN = 32  # pixels a side that the network sees at most, if `patch` is left to it


class Scales(NamedTuple):
    """The denoiser is skip * x + out * network(into * x): Karras 2022, equation 7."""

    skip: Tensor
    out: Tensor
    into: Tensor


def edm(sigma: Tensor, data: float) -> Scales:
    """Input, output and target of variance 1 at every level (Karras 2022, table 1)."""
    total = (sigma**2 + data**2).sqrt()
    return Scales(data**2 / total**2, sigma * data / total, 1 / total)


def epsilon(sigma: Tensor, data: float) -> Scales:
    """The network tells the noise (Ho 2020, equation 14); its input is x / alpha times alpha, alpha^2 = 1 / (1 + sigma^2)."""
    return Scales(torch.ones_like(sigma), -sigma, 1 / (1 + sigma**2).sqrt())


def velocity(sigma: Tensor, data: float) -> Scales:
    """The network tells v = alpha noise - sqrt(1 - alpha^2) image (Salimans and Ho 2022, section 4)."""
    alpha = 1 / (1 + sigma**2).sqrt()
    return Scales(alpha**2, -sigma * alpha, alpha)


def flow(sigma: Tensor, data: float) -> Scales:
    """The network tells noise - image, how (1 - t) image + t noise moves; sigma = t / (1 - t) (Lipman 2023, section 4.1)."""
    clean = 1 / (1 + sigma)  # 1 - t
    return Scales(clean, -sigma * clean, clean)


class Objective(NamedTuple):
    """What the network tells, and the level of noise of training images by a number in [0, 1] that is drawn evenly."""

    scales: Callable[[Tensor, float], Scales]
    level: Callable[[Tensor], Tensor]


OBJECTIVES: dict[str, Objective] = {
    "edm": Objective(edm, lambda u: log_normal(u, LOW, HIGH)),
    "ddpm": Objective(epsilon, lambda u: linear_levels().to(u)[(u * 1000).long()]),
    "v": Objective(velocity, lambda u: torch.tan(u * math.pi / 2)),  # the cosine schedule (Nichol 2021)
    "flow": Objective(flow, lambda u: u / (1 - u)),
}


@dataclass(eq=False)
class Diffusion(Encoder):
    """A denoiser of images at every level of noise; its latents are noise in the shape of an image."""

    latent_dim: int = derived()
    width: int = option(32, "channels of the first layers, doubled where the size is halved", low=4, high=512)
    blocks: int = option(1, "residual blocks at each size", low=1, high=8)
    patch: int = option(0, "pixels a side that are one to the network; 0: so that it sees 32 at most", low=0, high=16)
    lr: float = option(1e-3, "learning rate (Adam)", low=0, high=1)
    warmup: int = option(5_000, "images over which the learning rate rises from 0", low=0)
    decay_from: int = decay_option(100_000)
    objective: Literal["edm", "ddpm", "v", "flow"] = option("edm", "what the network tells, at which levels of noise")
    sigma_data: float = option(0.5, "standard deviation of the images, for edm", low=0.01, high=10)
    classes: int = option(0, "classes or attributes of the images that it is told; 0: none", low=0, high=65536)
    sampler: Literal["heun", "euler", "ddim", "ddpm", "dpm++2m"] = option(
        "dpm++2m", "how noise is taken to an image; ddpm draws more noise on the way", at_sampling=True
    )
    num_inference_steps: int = option(24, "steps from noise to an image", low=1, high=10_000, at_sampling=True)
    label: int = option(-1, "the class to draw; -1: whichever the noise gives", low=-1, high=65535, at_sampling=True)
    guidance: float = option(1.0, "how far to go from any image to the class; above 1 goes beyond", at_sampling=True)

    batch_size = 32
    ema_half_life = 500_000  # Karras 2022, table 7; until ten million images a twentieth of those seen
    bf16 = True

    def build(self) -> None:
        self.latent_dim = self.channels * self.size**2
        patch = self.patch or -(-self.size // _SEEN)
        self.network = DenoisingUNet(
            self.size, self.channels, width=self.width, blocks=self.blocks, patch=patch, conditions=self.classes
        )

    def optimizers(self) -> dict[str, Optimizer]:
        return {"denoiser": Adam(self.parameters(), self.lr, fused=True)}

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"image", "label"} if self.classes else {"image"})

    def rate(self, clock: Clock) -> float:
        return risen(self.warmup, clock.images) * decayed(self.decay_from, clock.images)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """The squared error of what the network tells, at one level for each image (each paper's unweighted loss)."""
        image, sigma = batch.image, self.levels(batch.image)
        x, scales = image + sigma * torch.randn_like(image), self.scales(sigma)
        target = (image - scales.skip * x) / scales.out
        told = self.told(batch.label, len(image))
        if told is not None:
            told = told * (torch.rand(len(image), 1, device=image.device) >= _UNTOLD)
        error = self.predict(x, sigma, told).float() - target
        yield "denoiser", {"error": error.square().mean()}

    def levels(self, image: Tensor) -> Tensor:
        """Levels of noise (n 1 1 1), those of a batch spread evenly (Kingma 2021's low-discrepancy draws)."""
        n = len(image)
        even = (torch.rand(1, device=image.device) + torch.arange(n, device=image.device) / n) % 1
        return OBJECTIVES[self.objective].level(even.clamp(1e-4, 1 - 1e-4)).view(-1, 1, 1, 1)

    def scales(self, sigma: Tensor) -> Scales:
        """Of the objective, at the levels."""
        return OBJECTIVES[self.objective].scales(sigma, self.sigma_data)

    def predict(self, x: Tensor, sigma: Tensor, told: Tensor | None) -> Tensor:
        """What the network tells (n c h w) of images with noise at the levels (n 1 1 1)."""
        into = self.scales(sigma).into
        result: Tensor = self.network(into * x, into * sigma, sigma.flatten().log() / 4, told)
        return result

    def told(self, label: Tensor | None, n: int) -> Tensor | None:
        """Labels (n classes, or n attributes in {0, 1}) as what the network hears: 1 for yes, -1 for no; 0 would be silence."""
        if not self.classes and self.label >= 0:
            raise UsageError(f"--label is {self.label}, and this model was trained without --classes; leave it out")
        if not self.classes or (label is None and self.label < 0):
            return None
        label = torch.full((n,), self.label, device=self.device) if label is None else label
        if label.ndim == 1:
            if int(label.max()) >= self.classes:
                raise UsageError(f"there is a label {int(label.max())}; with --classes {self.classes} they end before")
            label = F.one_hot(label.long(), self.classes)
        return label.float() * 2 - 1

    def denoise(self, x: Tensor, sigma: Tensor, told: Tensor | None = None) -> Tensor:
        """The images (n c h w) that are to be expected behind x, whose noise has the levels (n); guided, if told."""
        level = sigma.view(-1, 1, 1, 1)
        scales, answer = self.scales(level), self.predict(x, level, told)
        if told is not None and self.guidance != 1:  # Ho and Salimans 2022, equation 6, in the form that 1 leaves alone
            plain = self.predict(x, level, None)
            answer = plain + self.guidance * (answer - plain)
        return scales.skip * x + scales.out * answer

    def prior(self, seeds: Sequence[int]) -> Tensor:
        """Noise (n c h w) for the seeds, drawn on the CPU."""
        shape = (self.channels, self.size, self.size)
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(self.device)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        told = self.told(label, z.shape[0])
        return self.drawn(z, lambda x, sigma: self.denoise(x, sigma, told)).clamp(-1, 1)

    def drawn(self, z: Tensor, denoise: Denoiser) -> Tensor:
        """Images (n c h w) that the sampler makes of noise by a denoiser."""
        return SAMPLERS[self.sampler](denoise, HIGH * z, ladder(self.num_inference_steps, LOW, HIGH))

    @property
    def decode_calls(self) -> int:
        return 2 * self.num_inference_steps - 1 if self.sampler == "heun" else self.num_inference_steps

    @property
    def encode_calls(self) -> int:
        return max(1, 2 * (self.num_inference_steps - 1))

    def encode(self, image: Tensor) -> Tensor:
        """The noise (n c h w) that the ODE, run backwards, finds for images."""
        told, sigmas = self.told(None, len(image)), ladder(self.num_inference_steps, LOW, HIGH)[-2::-1]
        return heun(lambda x, sigma: self.denoise(x, sigma, told), image, sigmas) / HIGH

    def figures(self) -> dict[str, Tensor]:
        """Eight images as they come into being, a row each: what the network expects at eight moments on the way."""
        moments: list[Tensor] = []

        def watched(x: Tensor, sigma: Tensor) -> Tensor:
            moments.append(self.denoise(x, sigma))
            return moments[-1]

        self.drawn(self.prior(range(8)), watched)
        places = torch.linspace(0, len(moments) - 1, 8).round().long().tolist()
        return {"denoising": torch.stack([moments[place] for place in places], 1).flatten(0, 1).clamp(-1, 1)}
