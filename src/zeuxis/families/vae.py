"""VAE: a variational autoencoder, an encoder and a decoder trained by the ELBO (Kingma and Welling 2014)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from zeuxis.likelihood import Likelihoods, StageCallback, bounds, silent
from zeuxis.mechanisms import HasPosterior
from zeuxis.model import Batch, Clock, HasLikelihood, Turn, option
from zeuxis.nets.conv import Down, Norm, Up, max_channels_option


@dataclass(eq=False)
class VAE(HasPosterior, HasLikelihood):
    """An encoder q(z|x), a decoder p(x|z), and the evidence lower bound that trains both."""

    latent_dim: int = option(64, "dimension of the latent space", low=1, high=65536)
    base_channels: int = option(32, "base channels at full resolution, doubled at each downsampling", low=4, high=512)
    max_channels: int = max_channels_option()
    lr: float = option(1e-3, "Adam learning rate", low=0, high=1, group="optimisation")
    beta: float = option(1.0, "weight of the KL divergence (beta-VAE)", low=0, group="losses")
    kl_warmup: int = option(50_000, "images over which the KL weight rises from 0 to beta", low=0, group="losses")
    likelihood: Literal["gaussian", "bernoulli"] = option(
        "gaussian", "decoder distribution p(x|z): Gaussian, or Bernoulli per pixel", group="losses", of_weights=True
    )
    sigma: float = option(
        2.0,
        "standard deviation of the Gaussian likelihood, for images in [-1, 1]; 0: learned",
        low=0,
        group="losses",
        of_weights=True,
    )
    norm: Norm = option("batch", "normalisation in encoder and decoder")

    batch_size = 64
    bf16 = True
    likelihood_images = 256

    def build(self) -> None:
        shape, width, most = (self.size, self.channels), self.base_channels, self.max_channels
        outputs, inputs = 2 * self.latent_dim, self.latent_dim
        self.encoder = Down(*shape, width=width, most=most, outputs=outputs, norm=self.norm, slope=0.1)
        self.decoder = Up(*shape, width=width, most=most, inputs=inputs, norm=self.norm, slope=0.1)
        # A small initial sigma: at 1 the KL would dominate from the first step, and the posterior collapse.
        start = torch.tensor(math.log(self.sigma or 0.3))
        if self.sigma:
            self.register_buffer("log_sigma", start)
        else:
            self.log_sigma = nn.Parameter(start)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"vae": Adam(self.parameters(), self.lr, fused=True)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """Both terms of the negative ELBO in nats per image (Kingma and Welling, equation 10), without its constant."""
        mean, log_variance = self.posterior(batch.image)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        kl = (mean.square() + log_variance.exp() - 1 - log_variance) / 2  # n latent_dim
        active = (kl.mean(0) > 0.01).float().mean()  # share of active units (Burda 2016)
        yield None, {"latent/active_units": active, "latent/kl": kl.sum(1).mean()}

        rise = min(1.0, clock.images / self.kl_warmup) if self.kl_warmup else 1.0
        reconstruction = -self.log_likelihood(batch.image, self.decoder(z)).mean() - self.entropy(batch.image[0])
        yield "vae", {"reconstruction": reconstruction, "kl": self.beta * rise * kl.sum(1).mean()}

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(image).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 6)

    def log_likelihood(self, image: Tensor, logits: Tensor) -> Tensor:
        """log p(x|z) in nats (n), for images in [-1, 1] and the decoder's raw output."""
        if self.likelihood == "bernoulli":
            grey = (image + 1) / 2
            return -F.binary_cross_entropy_with_logits(logits, grey, reduction="none").sum((1, 2, 3))
        log_sigma = self.log_sigma.clamp(min=-5.0)
        squares = F.mse_loss(torch.tanh(logits), image, reduction="none").sum((1, 2, 3))
        return -squares * (-2 * log_sigma).exp() / 2 - image[0].numel() * (log_sigma + math.log(2 * math.pi) / 2)

    def entropy(self, image: Tensor) -> Tensor:
        """The constant part of -log p(x|z) in nats for an image (c h w), omitted from the loss."""
        if self.likelihood == "bernoulli":
            return self.log_sigma.new_zeros(())
        fixed = self.log_sigma if self.sigma else self.log_sigma.new_zeros(())
        return image.numel() * (fixed + math.log(2 * math.pi) / 2)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        logits = self.decoder(z)
        return torch.tanh(logits) if self.likelihood == "gaussian" else torch.sigmoid(logits) * 2 - 1

    def likelihood_scores(self, images: Tensor, generator: Generator, progress: StageCallback = silent) -> Likelihoods:
        """The ELBO and the importance-weighted bound (Burda 2016); of binarised images if p(x|z) is Bernoulli."""

        def log_weights(image: Tensor) -> Tensor:  # n draws
            if self.likelihood == "gaussian":
                shown, log_volume = bounds.dequantised(image, generator)
            else:
                shown, log_volume = bounds.binarised(image, generator), 0.0
            shown = shown.to(self.device)
            mean, log_variance = self.posterior(image.to(self.device))

            def log_likelihood(z: Tensor) -> Tensor:
                return self.log_likelihood(shown, self.decoder(z))

            weights = bounds.log_weights(mean, log_variance, log_likelihood, draws=bounds.DRAWS, generator=generator)
            return weights.cpu() + log_volume

        return bounds.posterior_scores(log_weights, images, progress=progress)
