"""Models that Zeuxis is measured against, each trained by its own step, so that the package's judging can score them.

- `textbook`: the DCGAN of pytorch/examples, and its last weights, since it keeps no average;
- `pythae`: the VAE of pythae (Chadebec 2022) with its nets for CelebA, colour images of 64 pixels, and the settings that
  its trainer has by itself: batches of 64, Adam 1e-4.

Both are given batches from memory in the order of a seed: faster than the loaders that they come with.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from textbook import dcgan
from zeuxis.data import DataSpec
from zeuxis.data.batches import PackSource
from zeuxis.errors import UsageError
from zeuxis.model import Batch, Clock, Encoder, Latent, Turn, option
from zeuxis.runtime import signals
from zeuxis.storage import RunFolder
from zeuxis.training import engine
from zeuxis.training.budget import Budget
from zeuxis.training.build import build
from zeuxis.training.config import Recipe, read_recipe
from zeuxis.training.engine import State
from zeuxis.training.settings import TrainSettings

SAVE_EVERY = 120.0  # seconds of training between two checkpoints


class Peer(Latent):
    """A model with a training step of its own."""

    name: ClassVar[str]
    batch_size = 64

    @abstractmethod
    def learn(self, players: dict[str, Optimizer], real: Tensor) -> None:
        """One training step on real images (n c h w, in [-1, 1]), as the peer takes it."""

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """It has no game of ours."""
        raise UsageError(f"{self.name} learns by a step of its own; train it with bench/quality.py {self.name} DATA")


@dataclass(eq=False)
class TextbookDCGAN(Peer):
    """The DCGAN as pytorch/examples has it."""

    latent_dim: int = option(
        dcgan.LATENT_DIM, "numbers in the latent vector", low=dcgan.LATENT_DIM, high=dcgan.LATENT_DIM
    )
    base_channels: int = option(64, "base channels at full resolution", low=4, high=512)

    name = "textbook"
    training_only = ("discriminator",)

    def build(self) -> None:
        self.generator, self.discriminator = dcgan.networks(self.size, self.channels, self.base_channels)

    def optimizers(self) -> dict[str, Optimizer]:
        generator, discriminator = dcgan.optimizers(self.generator, self.discriminator)
        return {"generator": generator, "discriminator": discriminator}

    def learn(self, players: dict[str, Optimizer], real: Tensor) -> None:
        generator, discriminator = players["generator"], players["discriminator"]
        assert isinstance(generator, Adam) and isinstance(discriminator, Adam)
        dcgan.step(self.generator, self.discriminator, (generator, discriminator), real)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.generator(z[:, :, None, None]))


@dataclass(eq=False)
class PythaeVAE(Peer, Encoder):
    """pythae's VAE with its convolutional nets for CelebA."""

    latent_dim: int = option(64, "numbers in the latent vector", low=1, high=65536)
    lr: float = option(1e-4, "learning rate (Adam)", low=0, high=1)

    name = "pythae"

    def build(self) -> None:
        if (self.size, self.channels) != (64, 3):
            raise UsageError(f"pythae's nets for CelebA take 64 pixels in colour, not {self.size} in {self.channels}")
        try:
            from pythae.models import VAE, VAEConfig
            from pythae.models.nn.benchmarks.celeba import Decoder_Conv_AE_CELEBA, Encoder_Conv_VAE_CELEBA
        except ImportError:
            raise UsageError("pythae is not here; install it: pip install 'zeuxis[bench]'") from None
        config = VAEConfig(input_dim=(3, 64, 64), latent_dim=self.latent_dim)
        self.network = VAE(config, encoder=Encoder_Conv_VAE_CELEBA(config), decoder=Decoder_Conv_AE_CELEBA(config))

    def optimizers(self) -> dict[str, Optimizer]:
        return {"vae": Adam(self.network.parameters(), self.lr)}

    def learn(self, players: dict[str, Optimizer], real: Tensor) -> None:
        output = self.network({"data": (real + 1) / 2})
        players["vae"].zero_grad()
        output.loss.backward()
        players["vae"].step()

    def encode(self, image: Tensor) -> Tensor:
        found: Tensor = self.network.encoder((image + 1) / 2).embedding
        return found

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        found: Tensor = self.network.decoder(z).reconstruction
        return found * 2 - 1


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (TextbookDCGAN, PythaeVAE)}


def start(settings: TrainSettings, peer: type[Peer], options: dict[str, int | float], *, data: DataSpec) -> RunFolder:
    """A new run of a peer, before its first step."""
    model = build(peer, options, seed=settings.seed, device=torch.device("cpu"))
    pack = data.open(model.size, model.channels)
    recipe = Recipe(peer.family(), data, model.options, settings, pack.fingerprint, len(pack))
    return RunFolder.create(settings.out, peer.name, recipe.values())


def go_on(run: RunFolder, peer: type[Peer], cpu_minutes: float) -> None:
    """Train a run until so many minutes of the processor are spent, from its newest checkpoint; and save its model."""
    recipe = read_recipe(run.config).going_on(None, None, cpu_minutes)
    torch.set_num_threads(recipe.settings.threads)
    model = build(peer, recipe.options, seed=recipe.settings.seed, device=torch.device("cpu")).train()
    assert isinstance(model, Peer)
    state, budget = State(model, model, model.optimizers()), Budget(recipe.settings)
    if (checkpoint := run.load_checkpoint()) is not None:
        state.restore({**checkpoint.tensors, "average": checkpoint.tensors["model"]}, checkpoint.state)
        budget.resumed(checkpoint.state)
    pack = recipe.data.open(model.size, model.channels)
    source = PackSource(pack, seed=recipe.settings.seed)
    with signals.signals() as stop:
        try:
            _steps(run, model, state, source, budget, stop)
        except signals.Interrupt:  # between two steps
            with contextlib.suppress(signals.Interrupt), stop.later():
                _save(run, state, budget)
            raise
        with stop.later():
            _save(run, state, budget)
    model.save(run.model_path)


def _steps(run: RunFolder, model: Peer, state: State, source: PackSource, budget: Budget, stop: signals.Stop) -> None:
    saved, seed = budget.spent, budget.settings.seed
    while not budget.used_up:
        with stop.later():
            with budget.step():
                real = source.batch(state.clock.images, model.batch_size).image.contiguous()
                torch.manual_seed(engine.hash_seed(seed, state.clock.step))  # so that a resumed run is the same
                model.learn(state.optimizers, real)
            state.clock = Clock(state.clock.step + 1, state.clock.images + model.batch_size)
            if budget.spent - saved >= SAVE_EVERY:
                _save(run, state, budget)
                saved = budget.spent


def _save(run: RunFolder, state: State, budget: Budget) -> None:
    tensors = {name: group for name, group in state.tensors().items() if name != "average"}  # the model itself
    run.save_checkpoint(state.clock.step, tensors, {**state.scalars(), **budget.saved()})
