"""pythae's own convolutional VAE for MNIST, and the same networks and bound as a model that Zeuxis trains."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from zeuxis.model import Batch, Clock, Model, Turn

LATENT_DIM = 16


def _part(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise SystemExit(f"{error}; install pythae for this bench: pip install --no-deps pythae==0.1.2") from None


def _networks() -> tuple[nn.Module, nn.Module, Any]:
    config = _part("pythae.models", "VAEConfig")(
        input_dim=(1, 28, 28), latent_dim=LATENT_DIM, reconstruction_loss="mse"
    )
    nets = "pythae.models.nn.benchmarks.mnist"
    return _part(nets, "Encoder_Conv_VAE_MNIST")(config), _part(nets, "Decoder_Conv_AE_MNIST")(config), config


def trainer() -> tuple[nn.Module, Adam, Callable[[Tensor], float]]:
    """pythae's VAE, its Adam, and a step as its `BaseTrainer` makes it, on images (n 1 28 28, in [0, 1]): the loss."""
    encoder, decoder, config = _networks()
    model = _part("pythae.models", "VAE")(config, encoder, decoder)
    adam = Adam(model.parameters(), 1e-3)

    def step(image: Tensor) -> float:
        model.train()
        output = model({"data": image})
        adam.zero_grad()
        output.loss.backward()
        adam.step()
        return float(output.loss.item())

    return model, adam, step


@dataclass(eq=False)
class PythaeVAE(Model):
    """pythae's networks and bound, as a family of Zeuxis."""

    size: int = 28
    channels: int = 1

    def build(self) -> None:
        self.encoder, self.decoder, _ = _networks()

    def optimizers(self) -> dict[str, Optimizer]:
        return {"vae": Adam(self.parameters(), 1e-3, fused=True)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        image = (batch.image + 1) / 2
        code = self.encoder(image)
        mean, log_variance = code["embedding"], code["log_covariance"]
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        made = self.decoder(z)["reconstruction"]
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        error = F.mse_loss(made, image, reduction="none").sum((1, 2, 3)).mean() / 2
        yield "vae", {"reconstruction": error, "kl": kl}
