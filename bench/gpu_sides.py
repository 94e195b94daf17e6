"""What `gpu.py` compares: for each case the textbook's step as a strong user of PyTorch has it on a GPU, and our steps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.optim import Adam

from cases import CASES, Case
from strong import Book, strong
from textbook import ddpm
from zeuxis import families
from zeuxis.mechanisms import UsesFeatures
from zeuxis.metrics import vgg
from zeuxis.model import Batch
from zeuxis.runtime.device import choose_precision
from zeuxis.training import engine
from zeuxis.training.compiling import compile_players

Step = Callable[[], object]

STRONG, OURS = "strong", "ours"
COMPILED = "ours, --compile"
WITHOUT_TEXTBOOK = "rbm-28"


def _diffusion() -> Case:
    """64 pixels, which both sides see as 32 of four times the channels, with the textbook's layers and loss."""

    def plain() -> Book:
        network, alphas = ddpm.UNet(12), ddpm.schedule()
        adam = Adam(network.parameters(), 1e-3)
        return Book((network,), (adam,), lambda image: ddpm.step(network, adam, alphas, F.pixel_unshuffle(image, 2)))

    options: dict[str, Any] = {"size": 64, "objective": "ddpm", "lr_warmup": 0}
    return Case(lambda: families.find("diffusion")(**options), plain, 64, 3, 32)


def _rbm() -> Case:
    """Ours alone: the textbooks have no Boltzmann machine."""

    def plain() -> Book:
        raise LookupError("there is no textbook of the restricted Boltzmann machine")

    return Case(lambda: families.find("rbm")(size=28, channels=1), plain, 28, 1, 64)


MEASURED = {
    "diffusion-64": _diffusion(),
    **{name: case for name, case in CASES.items() if name != "pythae"},
    WITHOUT_TEXTBOOK: _rbm(),
}


class Noise:
    """Batches out of one tensor in the memory of the device (noise, as the time does not depend on it)."""

    def __init__(self, case: Case, batch: int, device: torch.device) -> None:
        self.scale, self.columns = case.scale, frozenset({"image", "source"} if case.scale else {"image"})
        shape = (batch * 4, case.channels, case.size, case.size)
        self.pixels = torch.randint(256, shape, dtype=torch.uint8, device=device)

    def batch(self, start: int, size: int) -> Batch:
        """The images from a position on, around and around."""
        some = self.pixels[start % len(self.pixels) :][:size]
        image = (some.float() / 127.5 - 1).to(memory_format=torch.channels_last)
        return Batch(image, image[..., :: self.scale, :: self.scale] if self.scale else None)


def strong_step(case: Case, batch: int, device: torch.device, *, compiled: bool) -> Step:
    """The textbook's step with the four lines of a strong user, on a device, as it comes to its batches."""
    with device:
        book = case.textbook()
    step, images, place = strong(book, bf16=True), Noise(case, batch, device), 0
    for network in book.networks if compiled else ():
        network.compile()

    def go() -> object:
        nonlocal place
        place += batch
        return step(images.batch(place - batch, batch).image)

    return go


def ours(case: Case, batch: int, device: torch.device, *, compiled: bool) -> Step:
    """One step of our loop: data, game, average, report."""
    model, images, precision = case.ours(), Noise(case, batch, device), format_of_ours(case, device)
    if isinstance(model, UsesFeatures) and model.needs_features:
        model.feature_network = vgg.feature_network(vgg.VGG().to(device))
    state = engine.State.start(model.to(device))
    number_format: engine.Precision = "bf16" if precision == "bf16" else "fp32"
    if compiled:
        first, clocks = images.batch(0, batch), model.schedule_breakpoints(batch)
        done = compile_players(model, first, clocks=clocks, precision=number_format, tell=say)
        say(f"{' and '.join(done) or 'nothing'} is compiled")
    played = engine.train(model, images, steps=10**9, batch_size=batch, seed=0, precision=number_format, resume=state)
    return lambda: next(played)


def format_of_ours(case: Case, device: torch.device) -> str:
    """The number format that `zeuxis train` takes by itself."""
    return choose_precision("auto", device, suits=type(case.ours()).bf16)


def say(text: str) -> None:
    """Tell what is not part of the table."""
    print(text, file=sys.stderr, flush=True)


SIDES: dict[str, Callable[[Case, int, torch.device], Step]] = {
    STRONG: lambda case, batch, device: strong_step(case, batch, device, compiled=True),
    f"{STRONG}, not compiled": lambda case, batch, device: strong_step(case, batch, device, compiled=False),
    OURS: lambda case, batch, device: ours(case, batch, device, compiled=False),
    COMPILED: lambda case, batch, device: ours(case, batch, device, compiled=True),
}


def sides_of(name: str, *, compiled: bool) -> list[str]:
    """The sides of a case, without those that are compiled if need be."""
    found = [side for side in SIDES if compiled or side not in (STRONG, COMPILED)]
    return [side for side in found if name != WITHOUT_TEXTBOOK or side.startswith(OURS)]
