"""Diffusion: a U-Net denoiser, sampled by an ODE from noise to images (Ho 2020; Song 2021; Karras 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from zeuxis.errors import UsageError
from zeuxis.likelihood import Likelihoods, StageCallback, bounds, silent
from zeuxis.mechanisms import Denoising
from zeuxis.model import Batch, Clock, Encoder, HasLikelihood, Turn, derived, option
from zeuxis.nets.denoising import DenoisingUNet
from zeuxis.nets.objectives import HIGH, LOW, OBJECTIVES, linear_levels, rung
from zeuxis.nets.preconditioning import Scalings
from zeuxis.nets.transforms import MOVES, LabelledAugment, labelled_augment_option, moved_at_random
from zeuxis.samplers import Denoiser, Streams, heun, karras_sigmas, scaled_levels, scaled_score
from zeuxis.schedules import decay_option, decayed, risen

LABEL_DROPOUT = 0.1  # label dropout probability for classifier-free guidance (Ho and Salimans 2022)
_MANY = 24  # sampling steps down to LOW; with fewer the last level is higher, as an evaluation at LOW changes nothing
_SEEN = 32  # largest height and width of the U-Net's input, if `patch_size` is 0


@dataclass(eq=False)
class Diffusion(Denoising, Encoder, HasLikelihood):
    """A denoiser of images at every noise level; its latents are noise in the shape of an image."""

    latent_dim: int = derived()
    base_channels: int = option(32, "base channels at full resolution, doubled at each downsampling", low=4, high=512)
    blocks: int = option(1, "residual blocks per resolution", low=1, high=8)
    patch_size: int = option(0, "patch size, folded into channels; 0: the U-Net sees at most 32 x 32", low=0, high=16)
    lr: float = option(1e-3, "Adam learning rate", low=0, high=1, group="optimisation")
    lr_warmup: int = option(5_000, "images over which the learning rate rises from 0", low=0, group="optimisation")
    lr_decay_start: int = decay_option(100_000)
    objective: Literal["edm", "ddpm", "v", "flow"] = option(
        "edm", "parameterisation and noise levels", group="losses", of_weights=True
    )
    sigma_data: float = option(
        0.5, "standard deviation of the data, for edm", low=0.01, high=10, group="losses", of_weights=True
    )
    augment: LabelledAugment = labelled_augment_option()
    num_classes: int = option(0, "number of classes or attributes to condition on; 0: unconditional", low=0, high=65536)
    sampler: Literal["heun", "euler", "ddim", "ddpm", "dpm++2m"] = option(
        "dpm++2m", "sampler; ddpm is stochastic, the others follow the probability-flow ODE", at_sampling=True
    )
    num_inference_steps: int = option(24, "sampling steps", low=1, high=10_000, at_sampling=True)
    label: int = option(
        -1, "class to sample, by number or name; -1: unconditional", low=-1, high=65535, at_sampling=True, of_class=True
    )
    guidance_scale: float = option(1.0, "classifier-free guidance scale; 1: off", at_sampling=True)
    score_scale: float = option(
        1.05, "scale of the score: above 1 images are cleaner, less varied; 1: off", low=0.5, high=2, at_sampling=True
    )

    batch_size = 32
    ema_half_life = 500_000  # Karras 2022, table 7; until ten million images a twentieth of those seen
    bf16 = True
    likelihood_images = 256

    def build(self) -> None:
        self.latent_dim = self.channels * self.size**2
        self.moves = MOVES if self.augment == "affine" else 0  # numbers of a condition after those of the classes
        widths = {"width": self.base_channels, "blocks": self.blocks, "conditions": self.num_classes + self.moves}
        patch = self.patch_size or -(-self.size // _SEEN)
        self.network = DenoisingUNet(self.size, self.channels, patch=patch, **widths)
        self.discrete_levels: Tensor | None
        # A constant, on the model's device and not saved.
        self.register_buffer("discrete_levels", linear_levels() if self.objective == "ddpm" else None, persistent=False)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"denoiser": Adam(self.parameters(), self.lr, fused=True)}

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"image", "label"} if self.num_classes else {"image"})

    def lr_scale(self, clock: Clock) -> float:
        return risen(self.lr_warmup, clock.images) * decayed(self.lr_decay_start, clock.images)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """The squared error of the prediction, at one noise level per image (each paper's unweighted loss)."""
        image, sigma = batch.image, self.levels(batch.image)
        condition = self.condition(batch.label, len(image))
        if self.moves:
            image, moves = moved_at_random(image)
        x, scales = image + sigma * torch.randn_like(image), self.scales(sigma)
        target = (image - scales.c_skip * x) / scales.c_out
        if condition is not None:
            condition = condition * (torch.rand(len(image), 1, device=image.device) >= LABEL_DROPOUT)
        if self.moves:
            condition = F.pad(moves, (self.num_classes, 0)) + (0 if condition is None else condition)
        yield "denoiser", {"mse": (self.predict(x, sigma, condition).float() - target).square().mean()}

    def levels(self, image: Tensor) -> Tensor:
        """Noise levels (n 1 1 1), stratified over the batch (low-discrepancy sampling, Kingma 2021)."""
        n = len(image)
        even = (torch.rand(1, device=image.device) + torch.arange(n, device=image.device) / n) % 1
        u, known = even.clamp(1e-4, 1 - 1e-4), self.discrete_levels
        sigma = OBJECTIVES[self.objective].level(u) if known is None else rung(known, u)
        return sigma.view(-1, 1, 1, 1)

    def scales(self, sigma: Tensor) -> Scalings:
        """The preconditioning of the objective at these noise levels."""
        return OBJECTIVES[self.objective].scales(sigma, self.sigma_data)

    def predict(self, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        """The network's prediction (n c h w) from noisy images at the noise levels (n 1 1 1)."""
        c_in = self.scales(sigma).c_in
        result: Tensor = self.network(c_in * x, c_in * sigma, sigma.flatten().log() / 4, condition)
        return result

    def condition(self, label: Tensor | None, n: int) -> Tensor | None:
        """Labels (n classes, or n attributes in {0, 1}) as conditioning: 1 for yes, -1 for no; 0 is unconditional."""
        if not self.num_classes and self.label >= 0:
            raise UsageError(f"--label is {self.label}, and this model was trained without --num-classes; leave it out")
        if not self.num_classes or (label is None and self.label < 0):
            return None
        label = torch.full((n,), self.label, device=self.device) if label is None else label
        if label.ndim == 1:
            # An accelerator would have to be waited for; there a run has compared the labels of its data.
            if label.device.type == "cpu" and int(label.max()) >= self.num_classes:
                raise UsageError(f"label {int(label.max())} is not below --num-classes {self.num_classes}")
            label = F.one_hot(label.long(), self.num_classes)
        return F.pad(label.float() * 2 - 1, (0, self.moves))  # 0: not moved

    def denoise(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """The denoised images (n c h w) of x at the noise levels (n), with guidance where conditioned."""
        level = sigma.view(-1, 1, 1, 1)
        scales, answer = self.scales(level), self.predict(x, level, condition)
        if condition is not None and self.guidance_scale != 1:  # Ho and Salimans 2022, equation 6
            plain = self.predict(x, level, None)
            answer = plain + self.guidance_scale * (answer - plain)
        return scales.c_skip * x + scales.c_out * answer

    def prior(self, seeds: Sequence[int]) -> Tensor:
        """Noise (n c h w) for the seeds, drawn on the CPU."""
        like = torch.empty(len(seeds), self.channels, self.size, self.size)
        return Streams(seeds).normal(like).to(self.device)

    @property
    def label_classes(self) -> int:
        return self.num_classes

    @property
    def default_sampler(self) -> str:
        return self.sampler

    def noise_levels(self, steps: int | None = None) -> list[float]:
        steps = self.num_inference_steps if steps is None else steps
        return self._levels(steps, LOW * max(1.0, _MANY / steps) ** 2.7)

    def _levels(self, steps: int, low: float) -> list[float]:
        return scaled_levels(karras_sigmas(steps, low, HIGH), self.score_scale, HIGH)

    def denoiser(self, label: Tensor | None = None) -> Denoiser:
        def plain(x: Tensor, sigma: Tensor) -> Tensor:
            return self.denoise(x, sigma, self.condition(label, x.shape[0]))

        return scaled_score(plain, self.score_scale, HIGH)

    @property
    def decode_nfe(self) -> int:
        return 2 * self.num_inference_steps - 1 if self.sampler == "heun" else self.num_inference_steps

    @property
    def encode_nfe(self) -> int:
        return max(1, 2 * (self.num_inference_steps - 1))

    def encode(self, image: Tensor) -> Tensor:
        """The noise (n c h w) of images, by the probability-flow ODE in reverse."""
        return heun(self.denoiser(), image, self._levels(self.num_inference_steps, LOW)[-2::-1]) / HIGH

    def likelihood_scores(self, images: Tensor, generator: Generator, progress: StageCallback = silent) -> Likelihoods:
        """The variational bound in continuous time (Kingma 2021)."""
        images = images.to(self.device)
        return bounds.denoiser_scores(self.denoise, images, high=HIGH, generator=generator, progress=progress)

    def diagnostics(self) -> dict[str, Tensor]:
        """The denoised predictions of eight samples, a row each, at eight noise levels of the sampler."""
        *moments, _ = self.denoising(self.prior(range(8)))
        places = torch.linspace(0, len(moments) - 1, 8).round().long().tolist()
        return {"denoising": torch.stack([moments[place].denoised for place in places], 1).flatten(0, 1).clamp(-1, 1)}
