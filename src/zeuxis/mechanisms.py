"""Mechanisms as capabilities: iterative denoising, a posterior, Gibbs sampling, and a loss on a feature network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator

from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.model import Encoder, Latent, Model
from zeuxis.nets.boltzmann import Machine, Noise
from zeuxis.samplers import STEPPERS, Denoiser, DenoisingStep, result


class Denoising(Latent):
    """A denoiser of images at every noise level; its latents are noise in the shape of an image."""

    @property
    @abstractmethod
    def default_sampler(self) -> str:
        """The name of its sampler among `zeuxis.samplers.STEPPERS`."""

    @abstractmethod
    def noise_levels(self, steps: int | None = None) -> list[float]:
        """The noise levels (steps + 1) of sampling, standard deviations, falling to 0; by default as many as `decode` has."""

    @abstractmethod
    def denoiser(self, label: Tensor | None = None) -> Denoiser:
        """The denoiser that `decode` follows: noisy images (n c h w) at noise levels (n) to the images expected there."""

    def denoising(
        self, z: Tensor, *, steps: int | None = None, sampler: str | None = None, label: Tensor | None = None
    ) -> Iterator[DenoisingStep]:
        """The moments of sampling from latents (n c h w), one per noise level; the last holds the images, unclamped."""
        levels = self.noise_levels(steps)
        return STEPPERS[sampler or self.default_sampler](self.denoiser(label), levels[0] * z, levels)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return result(self.denoising(z, label=label)).clamp(-1, 1)


class HasPosterior(Encoder):
    """An encoder that gives a Gaussian posterior q(z|x) with a diagonal covariance."""

    @abstractmethod
    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (each n latent_dim) of q(z|x) for images (n c h w, in [-1, 1])."""

    def encode(self, image: Tensor) -> Tensor:
        return self.posterior(image)[0]


class GibbsSampling(Latent):
    """A restricted Boltzmann machine: visible units are pixels, latents are hidden units, and a Markov chain alternates."""

    @abstractmethod
    def machine(self) -> Machine:
        """The current energy function, of channels * size^2 visible and latent_dim hidden units."""

    @abstractmethod
    def visible(self, image: Tensor, noise: Noise) -> Tensor:
        """Visible units (n d) of images (n c h w, in [-1, 1])."""

    @abstractmethod
    def picture(self, visible: Tensor) -> Tensor:
        """Images (n c h w, in [-1, 1]) of visible units (n d), expectations allowed."""

    def filters(self) -> Tensor:
        """The weights of each hidden unit as an image (k c h w), divided by its largest magnitude."""
        filters = self.machine().weight.T.reshape(-1, self.channels, self.size, self.size)
        return filters / filters.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """The expected image given hidden units (n latent_dim), real values in [0, 1] allowed."""
        machine = self.machine()
        return self.picture(machine.mean_visible(machine.visible_input(z)))


Features = Callable[[Tensor, int], Tensor]  # images (n c h w, in [-1, 1]) and a block to its features (n d h' w')


class UsesFeatures(Model):
    """A model with a perceptual loss on a frozen feature network, set from outside: no parameter, and not saved."""

    feature_network: Features | None = None

    @property
    def feature_weights(self) -> str:
        """A file with the network's weights; empty for the published ones of a package."""
        return ""

    @property
    @abstractmethod
    def needs_features(self) -> bool:
        """Whether the options need the feature network."""

    def see(self, image: Tensor, block: int) -> Tensor:
        """The features (n d h' w') of images after a block; `UsageError` without a feature network."""
        if self.feature_network is None:
            raise UsageError(f"{self.family()} needs a feature network; set model.feature_network = ...")
        return self.feature_network(image, block)
