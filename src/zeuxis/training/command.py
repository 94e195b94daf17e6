"""The command line that repeats a run, out of its recipe."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from zeuxis.data.places import is_named
from zeuxis.model import Model, options_of
from zeuxis.options import flag_of
from zeuxis.training.build import values_in_force
from zeuxis.training.config import Recipe, starting_model
from zeuxis.training.settings import TrainSettings

# Settings on which the weights depend, in the order of --help.
_TOLD = (
    "steps",
    "minutes",
    "cpu_minutes",
    "batch_size",
    "micro_batches",
    "ema_half_life",
    "precision",
    "preset",
    "seed",
    "resize_mode",
    "max_images",
    "hold_out",
    "hflip",
)


def command_line(recipe: Recipe, family: type[Model]) -> str:
    """As it is typed, `zeuxis train ...`, with what differs from the defaults; a folder of data by its name alone."""
    data = str(recipe.data) if is_named(recipe.data) else recipe.data.title
    told = [*_options(recipe, family), *_settings(recipe.settings, family)]
    start = ["--init-from", name] if (name := starting_model(recipe)) else []
    return shlex.join(["zeuxis", "train", recipe.family, data, *told, *start])


def _options(recipe: Recipe, family: type[Model]) -> list[str]:
    given = {field.name: field.default for field in options_of(family)}
    given |= values_in_force(family, shape=recipe.data.own_shape, preset=recipe.settings.preset, given={})
    changed = [name for name in given if recipe.options.get(name) != given[name]]
    return [word for name in changed for word in _flag(name, recipe.options.get(name))]


def _settings(settings: TrainSettings, family: type[Model]) -> list[str]:
    given: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(settings)}
    given |= {"batch_size": family.batch_size, "ema_half_life": family.ema_half_life, "resize_mode": "crop"}
    given |= {} if family.bf16 else {"precision": "fp32"}  # which is what auto means there
    changed = [name for name in _TOLD if getattr(settings, name) != given[name]]
    return [word for name in changed for word in _flag(name, getattr(settings, name))]


def _flag(name: str, value: Any) -> list[str]:
    """The words of a flag and its value."""
    if isinstance(value, bool):
        return [flag_of(name) if value else flag_of(f"no_{name}")]
    return [flag_of(name), f"{value:g}" if isinstance(value, float) else str(value)]
