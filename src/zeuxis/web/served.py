"""What is served: a model, the run that it comes from, and what the page is told about both."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zeuxis import loading
from zeuxis.capabilities import latent
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.escaping import printable
from zeuxis.explore.spaces import Space, StyleSpace
from zeuxis.io import files
from zeuxis.loading import RunPath
from zeuxis.mechanisms import Denoising, GibbsSampling, HasPosterior
from zeuxis.model import Encoder, Latent, Model, StyleBased, SuperResolution, Translator
from zeuxis.runtime.device import choose_device
from zeuxis.storage import RunFolder
from zeuxis.training.published_card import without_head
from zeuxis.web.engines import Engine, TorchEngine

# What the page may offer, by name: asked of a model and its run, never of a family's name.
CAPABILITIES: dict[str, Callable[[Model, RunFolder | None], bool]] = {
    "latent": lambda model, run: isinstance(model, Latent),
    "encoder": lambda model, run: isinstance(model, Encoder),
    "styles": lambda model, run: isinstance(model, StyleBased),
    "translator": lambda model, run: isinstance(model, Translator),
    "super_resolution": lambda model, run: isinstance(model, SuperResolution),
    "diffusion": lambda model, run: isinstance(model, Denoising),
    "vae": lambda model, run: isinstance(model, HasPosterior),
    "rbm": lambda model, run: isinstance(model, GibbsSampling),
    "invert": lambda model, run: isinstance(model, Latent),
    "run": lambda model, run: run is not None,
}
_SEEDS = (0, 1, 12345, 1 << 31)  # by which a prior shows whether it is the plain normal one
_LENGTHS = range(64)  # seeds by whose latents the typical norm is measured


@dataclass(eq=False)
class Served:
    """A model that is served, with the engine that draws for it."""

    model: Model
    name: str
    engine: Engine | None  # None where there is no latent space
    space: Space | None  # in which the page mixes latents: w of a style-based model, else z
    shape: tuple[int, ...]  # of a latent there
    run: RunFolder | None
    data: DataSpec | None  # of the run
    folder: Path  # of the model
    family: str | None  # named by the user, where it is one from outside
    facts: dict[str, Any]
    kept: dict[str, Any] = field(default_factory=dict)  # what took long to compute, by name

    @property
    def info(self) -> dict[str, Any]:
        """What `/api/model` says of it, at this time."""
        return {**self.facts, "engine": self.engine.name if self.engine else None}

    @functools.cached_property
    def spread(self) -> float:
        """The mean standard deviation of the numbers of latents in the page's space."""
        return float(self.space.prior(list(_LENGTHS)).flatten(1).std(0).mean()) if self.space else 0.0

    @property
    def label_classes(self) -> int:
        """Classes that a picture can be conditioned on; 0: none."""
        return self.model.label_classes if isinstance(self.model, Latent) else 0

    @property
    def passes(self) -> int:
        """Network evaluations of a picture; 0 where there is no latent space."""
        return self.model.decode_nfe if isinstance(self.model, Latent) else 0

    def pictures(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Pictures (n c h w, on the CPU) for latents (n ...), of the classes (n) where they are given."""
        if label is None or self.space is None:
            return self.drawn_by.decode(z)
        device = self.space.device
        return self.space.decode(z.to(device), label.to(device)).cpu()

    @property
    def drawn_by(self) -> Engine:
        """The engine; `UsageError` where the model has no latent space."""
        if self.engine is None:
            latent(self.model)
            raise UsageError(f"{self.name} draws no latents")
        return self.engine


def open_served(path: RunPath, *, device: str = "auto", family: str | None = None) -> Served:
    """The model in a folder, or of a run by its folder, number or name, ready to be served."""
    model = loading.load_model(path, device=choose_device(device), family=family)
    folder = loading.find_model(path)
    run = RunFolder(folder.parent) if (folder.parent / "config.yaml").is_file() else None
    name = printable(run.path.resolve().name if run else folder.resolve().name)
    space = page_space(model)
    shape = tuple(space.prior([0]).shape[1:]) if space else ()
    about = {**_described(model, run, name, folder), "latent": _latent(model, space, shape)}
    engine = TorchEngine(space) if space else None
    return Served(model, name, engine, space, shape, run, loading.data_of(path), folder.resolve(), family, about)


def page_space(model: Model) -> Space | None:
    """The space in which the page mixes latents: w where there are styles."""
    if isinstance(model, StyleBased):
        return StyleSpace(model)
    return model if isinstance(model, Latent) else None


def _described(model: Model, run: RunFolder | None, name: str, folder: Path) -> dict[str, Any]:
    """What `/api/model` says of a model, but for its latents."""
    return {
        "name": name,
        "hash": _hash(folder / "model.safetensors"),
        "family": model.family(),
        "size": model.size,
        "channels": model.channels,
        "capabilities": [word for word, able in CAPABILITIES.items() if able(model, run)],
        "classes": list(model.class_names) or None,
        "labels": model.label_classes if isinstance(model, Latent) else 0,
        "translate": _directions(model) if isinstance(model, Translator) else None,
        "scale": model.scale if isinstance(model, SuperResolution) else None,
        "sum": None,
        "card": _card(folder / "README.md"),
    }


def _latent(model: Model, space: Space | None, shape: tuple[int, ...]) -> Mapping[str, Any] | None:
    """The latents on the page: their shape, space, prior and mixture, and the typical norm."""
    if space is None:
        return None
    plain = not isinstance(space, StyleSpace) and _is_normal(space, shape)
    squares = space.prior(list(_LENGTHS)).flatten(1).square().sum(1)
    return {
        "shape": list(shape),
        "space": "w" if isinstance(space, StyleSpace) else "z",
        "prior": "normal" if plain else "server",
        "mixture": space.mixture,
        "length": round(math.sqrt(math.prod(shape)) if plain else float(squares.mean().sqrt()), 4),
    }


def _is_normal(space: Space, shape: tuple[int, ...]) -> bool:
    """Whether the latents of seeds are those of `torch.randn`, as the page draws them itself."""
    found = space.prior(_SEEDS).cpu()
    wanted = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in _SEEDS]
    return torch.equal(found, torch.stack(wanted))


def _directions(model: Translator) -> dict[str, Any]:
    ways = [
        {
            "name": name,
            "channels": model.in_channels(name),
            "size": model.source_size,
            "palette": None,
            "stochastic": model.stochastic,
        }
        for name in model.directions
    ]
    return {"directions": ways}


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()[:12]


def _card(path: Path) -> str:
    """The model's card; a link is not followed, as it may lead to what is nobody's business on the page."""
    with contextlib.suppress(ZeuxisError, OSError):
        return without_head(files.read_bytes(path, max_bytes=1 << 20, follow=False).decode("utf-8", "replace"))
    return ""
