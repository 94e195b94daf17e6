"""What the checks have in common: a small model of the family, images for it, short trainings, and how a check fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zeuxis.mechanisms import UsesFeatures
from zeuxis.model import Batch, Model, Translator, options_of
from zeuxis.training.build import check_options
from zeuxis.training.engine import State, train
from zeuxis.training.players import check_parameters

CASE_SIZE = 16  # of the images that a family is checked on, where its bounds allow it
LATE = 720_720  # a step at which all comes that comes every few steps (up to every 16th)
SEED = 7


class FamilyCheckError(AssertionError):
    """A family does not do what training, storage and the latent tools rely on; the message says what, in a sentence."""


def demand(holds: bool, message: str) -> None:
    """Raise `FamilyCheckError` with the message unless it holds."""
    if not holds:
        raise FamilyCheckError(message)


@dataclass(frozen=True)
class Case:
    """A family to be checked, and options with which it is small."""

    family: type[Model]
    options: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Height and width of the images: `SIZE`, or the nearest that the family allows."""
        for field in options_of(self.family):
            if field.name == "size":
                return max(
                    min(CASE_SIZE, field.metadata.get("high") or CASE_SIZE), field.metadata.get("low") or CASE_SIZE
                )
        return CASE_SIZE

    def accepts(self, *names: str) -> bool:
        """Whether the family has options of these names."""
        return set(names) <= {field.name for field in options_of(self.family)}

    def model(self, changes: Mapping[str, Any] | None = None, *, seed: int = 0) -> Model:
        """A model with the same weights each time; `changes` are options that take the place of others."""
        size = {"size": self.size} if self.accepts("size") else {}
        options = {**size, **self.options, **(changes or {})}
        check_options(self.family, options)
        torch.manual_seed(seed)
        model = self.family(**options)
        check_parameters(model)
        if isinstance(model, UsesFeatures):
            model.feature_network = _pooled
        return model


class NoiseImages:
    """An endless source of what the model learns from: noise that depends on its position alone."""

    def __init__(self, model: Model) -> None:
        self.columns = model.needs
        self._image = (model.channels, model.size, model.size)
        self._source = self._image
        if isinstance(model, Translator):
            self._source = (model.source_channels, model.source_size, model.source_size)

    def batch(self, start: int, size: int) -> Batch:
        """The images (and sources, and labels, where they are needed) at positions `start ... start + size - 1`."""
        source = self._rows(self._source, start + 10_000, size) if "source" in self.columns else None
        label = torch.zeros(size, dtype=torch.int64) if "label" in self.columns else None
        return Batch(self._rows(self._image, start, size), source, label)

    def _rows(self, shape: tuple[int, int, int], start: int, size: int) -> Tensor:
        rows = [torch.rand(shape, generator=torch.Generator().manual_seed(start + i)) for i in range(size)]
        return torch.stack(rows) * 2 - 1


def _pooled(image: Tensor, block: int) -> Tensor:
    """What stands in for the features of a trained network, which need not be there to check a family."""
    return F.avg_pool2d(image, 2**block, ceil_mode=True)


def given(model: Translator, direction: str, count: int, *, height: int = 0, width: int = 0) -> Tensor:
    """Images (n c h w) to translate in a direction: sources, or, back, images."""
    channels, size = model.in_channels(direction), model.source_size if direction == "forward" else model.size
    noise = torch.Generator().manual_seed(5)
    return torch.rand(count, channels, height or size, width or size, generator=noise) * 2 - 1


def trained(state: State, steps: int, kernels: Mapping[str, str] | None = None) -> list[dict[str, float]]:
    """Train on from the state up to a step, in place; what was reported after each."""
    work = train(
        state.model, NoiseImages(state.model), steps=steps, batch_size=4, seed=SEED, kernels=kernels, resume=state
    )
    return [{name: value.item() for name, value in progress.report.items()} for progress in work]


def continued(case: Case, state: State) -> State:
    """A new state of another model that takes over all that a checkpoint of this one holds."""
    tensors = {group: {name: value.clone() for name, value in v.items()} for group, v in state.tensors().items()}
    scalars = json.loads(json.dumps(state.scalars()))
    fresh = State.start(case.model(state.model.options, seed=99))
    fresh.restore(tensors, scalars)
    return fresh


def first_difference(one: State, other: State) -> str | None:
    """The first tensor in which two states differ, by name; None where they are the same bits."""
    theirs = other.tensors()
    for group, values in one.tensors().items():
        for name, value in values.items():
            if not torch.equal(value, theirs[group][name]):
                return f"{group}: {name}"
    scalars = [json.loads(json.dumps(state.scalars())) for state in (one, other)]  # a tuple comes back as a list
    return None if scalars[0] == scalars[1] else "the clock, or an optimizer's settings"


def listed(names: Sequence[str]) -> str:
    """Names as they stand in a sentence."""
    return ", ".join(map(repr, names)) or "none"
