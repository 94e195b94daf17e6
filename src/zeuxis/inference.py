"""Models as they draw fastest: the one place where networks are prepared for samples, figures, scores and the page."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Sequence
from types import MethodType
from typing import NamedTuple

import torch
from torch import Tensor

from zeuxis.model import Latent, Model, StyleBased, Translator
from zeuxis.nets.folding import fold_norms, foldable
from zeuxis.options import Precision
from zeuxis.runtime.device import choose_precision

LEVEL = 2 / 255  # what a picture may change by, in values of [-1, 1]
_COMPARED = range(4)  # seeds whose pictures are compared


class _Prepared(NamedTuple):
    """A copy that draws (None: the model itself), and the state of the model that it was made of."""

    state: object
    copy: Latent | None


# By model, as long as the model lives: a copy takes longer to make than a picture to draw.
_PREPARED: weakref.WeakKeyDictionary[Latent, _Prepared] = weakref.WeakKeyDictionary()


def prepared(model: Latent) -> Latent:
    """A copy of a loaded model that draws the same pictures faster, each value within a level of 255; else the model.

    Batch norms are folded, weights are channels last. With `inference_precision` bf16 it computes in bfloat16, which may
    change a picture by more. A model in training, or on another device than a CPU, draws as it is.
    """
    if model.training or model.device.type != "cpu" or any(weight.requires_grad for weight in model.parameters()):
        return model
    state = _state(model)
    kept = _PREPARED.get(model)
    if kept is None or kept.state != state:
        kept = _PREPARED[model] = _Prepared(state, _quicker(model))
    return model if kept.copy is None else kept.copy


def _state(model: Model) -> object:
    """What the pictures of a model depend on: its weights, by place and version, and its options."""
    weights = [(value.data_ptr(), value._version) for value in (*model.parameters(), *model.buffers())]
    return weights, model.options, model.inference_precision


@torch.no_grad()
def _quicker(model: Latent) -> Latent | None:
    """The copy, if there is one that draws the same."""
    if model.inference_precision == "bf16":
        made = copy.deepcopy(model)
        fold_norms(made)
        in_bf16(made)
        return made
    if not foldable(model):
        return None
    made = copy.deepcopy(model)
    fold_norms(made)
    return made if _alike(model, made, _COMPARED) else None


def _alike(model: Latent, made: Latent, seeds: Sequence[int]) -> bool:
    """Whether the pictures of the seeds are within a level: a family may do with its layers what nobody foresees."""
    z = model.prior(seeds)
    apart = (made.decode(z) - model.decode(z)).abs().max()
    return bool(apart <= LEVEL)


def draw_in(model: Model, precision: Precision) -> None:
    """Set the number format of what a loaded model draws; `UsageError` for bf16 on a CPU without instructions for it."""
    model.inference_precision = precision
    if precision == "bf16":
        choose_precision(precision, model.device, suits=True)
        if isinstance(model, Translator):  # of which there is no copy: nothing of it is folded
            in_bf16(model)


def in_bf16(model: Model) -> None:
    """Make a loaded model (in place) compute its pictures in bfloat16, as by autocast in training; they are float32."""
    if isinstance(model, Translator):
        model.translate = MethodType(_translate, model)  # type: ignore[method-assign]
    if isinstance(model, StyleBased):
        model.synthesize = MethodType(_synthesize, model)  # type: ignore[method-assign]
    elif isinstance(model, Latent):
        model.decode = MethodType(_decode, model)  # type: ignore[method-assign]


def _decode(model: Latent, z: Tensor, label: Tensor | None = None) -> Tensor:
    with torch.autocast(z.device.type, torch.bfloat16):
        return type(model).decode(model, z, label).float()


def _synthesize(model: StyleBased, w: Tensor) -> Tensor:
    with torch.autocast(w.device.type, torch.bfloat16):
        return type(model).synthesize(model, w).float()


def _translate(model: Translator, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
    with torch.autocast(source.device.type, torch.bfloat16):
        return type(model).translate(model, source, direction, seed).float()
