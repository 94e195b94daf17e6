"""What a run needs before its first step: settings as the machine fills them in, a model of its seed or of given weights."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.loggers import find_logger
from zeuxis.mechanisms import UsesFeatures
from zeuxis.metrics import extractors, vgg
from zeuxis.model import Model, options_of
from zeuxis.options import check_declaration
from zeuxis.runtime.accelerator import prepare_device
from zeuxis.runtime.device import choose_device, choose_precision, choose_threads
from zeuxis.runtime.progress import Display
from zeuxis.training.players import check_parameters
from zeuxis.training.settings import TrainSettings
from zeuxis.training.transfer import StartingModel

Fill = Callable[[Model], object]  # gives a new model its weights, in place


def options_in_force(
    family: type[Model],
    *,
    shape: Mapping[str, Any],
    preset: str | None,
    given: Mapping[str, Any],
    start: StartingModel | None = None,
) -> dict[str, tuple[Any, str]]:
    """The options with values other than the default, and their origins: explicit values win over the preset, the preset
    over the model that the run starts from, and that over the size of a named set, whose `shape` decides the channels.
    `UsageError` where the family has no such preset or option."""
    if preset is not None and preset not in family.presets:
        there = f"choose one of {', '.join(family.presets)}" if family.presets else "leave --preset out"
        raise UsageError(f"--preset is {preset!r}, and {family.family()} has no such preset; {there}")
    known = {f.name for f in options_of(family)}
    options = {} if start is None else start.options
    kept = {name: value for name, value in options.items() if name == "size" or name not in shape}
    layers = [
        ("data set", {name: value for name, value in shape.items() if name in known}),
        ("" if start is None else f"model {start.name}", kept),
        (f"preset {preset}", family.presets[preset] if preset else {}),
        ("given", given),
    ]
    return {name: (value, origin) for origin, values in layers for name, value in values.items()}


def values_in_force(
    family: type[Model],
    *,
    shape: Mapping[str, Any],
    preset: str | None,
    given: Mapping[str, Any],
    start: StartingModel | None = None,
) -> dict[str, Any]:
    """The values of `options_in_force`."""
    found = options_in_force(family, shape=shape, preset=preset, given=given, start=start)
    return {name: value for name, (value, _) in found.items()}


def check_options(family: type[Model], options: Mapping[str, Any], *, others: Sequence[str] = ()) -> None:
    """Raise `UsageError` where the family has no option of a name, or does not declare its options as a dataclass does.

    Names of `others`, such as the settings of every run, are known as well.
    """
    check_declaration(family)
    known = [f.name for f in options_of(family)]
    for name in options.keys() - {*known, *others}:
        near = difflib.get_close_matches(name, [*known, *others], n=1)
        listed = f"it has {', '.join(known)}" + (", and those of zeuxis.TrainSettings" if others else "")
        hint = f"did you mean {near[0]}?" if near else listed
        raise UsageError(f"{family.family()} has no option {quote(name)}; {hint}")


def prepare_model(
    settings: TrainSettings,
    family: type[Model],
    options: Mapping[str, Any],
    display: Display,
    *,
    fill: Fill | None,
) -> tuple[TrainSettings, Model]:
    """The settings resolved for this computer, and the model; invalid options raise before data is read. `fill` is as of
    `build`."""
    device = choose_device(settings.device)
    for name in settings.logger:
        find_logger(name)
    chosen: dict[str, Any] = {
        "device": str(device),  # with the number of a GPU, where one was named
        "precision": choose_precision(settings.precision, device, suits=family.bf16),
        "threads": choose_threads(settings.threads, display.note),  # sums depend on how many share the work
        "batch_size": settings.batch_size or family.batch_size,
        "ema_half_life": family.ema_half_life if settings.ema_half_life is None else settings.ema_half_life,
    }
    settings = dataclasses.replace(settings, **chosen)
    prepare_device(device, tf32=settings.precision == "tf32", fixed=settings.kernels == "standard")
    return settings, build(family, options, seed=settings.seed, device=device, fill=fill)


def build(
    family: type[Model],
    options: Mapping[str, Any],
    *,
    seed: int,
    device: torch.device,
    fill: Fill | None = None,
) -> Model:
    """A model initialised from the seed (on the CPU); `fill` may then give it other weights."""
    check_options(family, options)
    torch.manual_seed(seed)
    model = family(**options)
    check_parameters(model)
    if fill is not None:
        fill(model)
    if isinstance(model, UsesFeatures) and model.needs_features:
        model.feature_network = vgg.feature_network(extractors.vgg16(weights=model.feature_weights, device=device))
    return model.to(device)
