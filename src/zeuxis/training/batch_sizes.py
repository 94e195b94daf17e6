"""Checks of batches, their size and their labels, before the run has a folder; and whether one was too large."""

from __future__ import annotations

import copy

import torch

from zeuxis.data import Pack
from zeuxis.data.pairs import Pairs
from zeuxis.errors import UsageError
from zeuxis.model import Latent, Model
from zeuxis.training.engine import Source
from zeuxis.training.settings import TrainSettings


def check_micro_batches(batch_size: int, micro_batches: int) -> None:
    """Raise `UsageError` unless the batch divides into equal micro-batches, which are weighted equally."""
    if batch_size % micro_batches:
        larger = -(-batch_size // micro_batches) * micro_batches
        fewer = max(n for n in range(1, min(batch_size, micro_batches) + 1) if batch_size % n == 0)
        raise UsageError(
            f"--batch-size is {batch_size} and --micro-batches {micro_batches}; expected a batch that divides into equal "
            f"micro-batches: choose --batch-size {larger} or --micro-batches {fewer}"
        )


def check_one_image(model: Model, source: Source, settings: TrainSettings) -> None:
    """Raise `UsageError` where micro-batches have one image and the model's losses need two, as batch norm does.

    A copy of the model computes the losses once per phase of the schedule. Larger micro-batches are not tried.
    """
    batch_size = settings.batch_size or model.batch_size
    if batch_size > settings.micro_batches or not model.needs <= source.columns:
        return
    clocks = [clock for clock in model.schedule_breakpoints(batch_size) if clock.step < settings.last_step]
    try:
        with torch.random.fork_rng(devices=[]):
            trial, one = copy.deepcopy(model).train(), source.batch(0, 1)
            for clock in clocks:
                for _ in trial.losses(one, clock):
                    pass
    except ValueError as error:
        raise UsageError(_advice(model, error, settings)) from error
    except (RuntimeError, MemoryError):  # out of memory, say: the first step raises it
        return


def _advice(model: Model, error: ValueError, settings: TrainSettings) -> str:
    reason = "batch normalisation needs two" if "more than 1 value per channel" in str(error) else str(error)
    parts = settings.micro_batches
    change = f"--batch-size {2 * parts}" + (" or fewer --micro-batches" if parts > 1 else " or more")
    return f"{model.family()} cannot train on one image at a time: {reason}; choose {change}"


def out_of_memory(error: Exception) -> bool:
    """Whether the device or the host (a plain `RuntimeError` in torch) ran out of memory."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def check_labels(model: Model, pack: Pack | Pairs) -> None:
    """Raise `UsageError` at a class that the model was not built for: on a GPU a step would not see it without waiting."""
    if not isinstance(model, Latent) or not model.label_classes or not isinstance(pack, Pack) or pack.labels is None:
        return
    if 0 < len(pack.classes) <= model.label_classes:
        return  # of millions none is looked at
    if pack.labels.ndim == 1 and (highest := int(pack.labels.max())) >= model.label_classes:
        raise UsageError(f"label {highest} is not below --num-classes {model.label_classes}")
