"""The operations by name: what a request may ask for, where it runs, and how much it may bring."""

from __future__ import annotations

import math
from collections.abc import Callable

from zeuxis.web import (
    denoising,
    directions,
    encodings,
    evaluation,
    gibbs,
    latents,
    photos,
    runs,
    translation,
    upscaling,
)
from zeuxis.web.clients import Client
from zeuxis.web.requests import Request, Steps
from zeuxis.web.served import Served

Operation = Callable[[Served, Client, Request], Steps]

OPERATIONS: dict[str, Operation] = {
    "decode": latents.answer_decode,
    "prior": latents.answer_prior,
    "run.state": runs.answer_state,
    "run.follow": runs.answer_follow,
    "run.sheet": runs.answer_sheet,
    "run.answers": runs.answer_answers,
    "run.game": runs.answer_game,
    "evaluate.history": evaluation.answer_history,
    "evaluate.nearest": evaluation.answer_nearest,
    "decode.preview": denoising.answer_preview,
    "denoise": denoising.answer_denoise,
    "denoise.noise": denoising.answer_noise,
    "posterior": encodings.answer_posterior,
    "posterior.usage": encodings.answer_usage,
    "encodings": encodings.answer_encodings,
    "encodings.look": encodings.answer_look,
    "gibbs": gibbs.answer_gibbs,
    "gibbs.filters": gibbs.answer_filters,
    "gibbs.unit": gibbs.answer_unit,
    "engine": latents.answer_engine,
    "photo.open": photos.answer_open,
    "photo.encode": photos.answer_encode,
    "photo.invert": photos.answer_invert,
    "stop": photos.answer_stop,
    "translate": translation.answer_translate,
    "translate.photo": translation.answer_photo,
    "translate.sources": translation.answer_sources,
    "upscale": upscaling.answer_upscale,
    "directions": directions.answer_directions,
    "local": directions.answer_local,
    "sum": directions.answer_sum,
}
# These read files only: a thread of their own runs them, so that a run's state never waits for the model.
FILES_ONLY: frozenset[str] = frozenset(
    {"photo.open", "run.state", "run.follow", "run.sheet", "run.answers", "run.game", "evaluate.history"}
)
# These compute for seconds, or in short steps: a third thread runs them.
IN_BACKGROUND: frozenset[str] = frozenset(
    {"encodings", "encodings.look", "evaluate.nearest", "gibbs.unit", "local", "translate.sources"}
)
# These compute for minutes in all, in steps, as when a classifier is trained: a fourth thread runs them.
FOR_MINUTES: frozenset[str] = frozenset({"directions", "sum"})
REQUEST_BYTES = 1 << 20  # of a request
# These take a latent or the pixels of a picture, which may be larger by itself.
ONE_PICTURE: frozenset[str] = frozenset(
    {"decode", "decode.preview", "denoise", "denoise.noise", "evaluate.nearest", "posterior", "gibbs"}
)
_HEAD = 1 << 12  # bytes of a frame beside its payload
# Of the operations that take larger ones.
MORE_BYTES: dict[str, int] = {"photo.open": photos.PHOTO_BYTES + _HEAD, "translate": translation.SOURCE_BYTES}


def most_bytes(op: str, served: Served) -> int:
    """The largest request of an operation, in bytes: as much as a model's latent or picture takes, where that is more."""
    most = MORE_BYTES.get(op, REQUEST_BYTES)
    if op not in ONE_PICTURE:
        return most
    return max(most, 4 * max(math.prod(served.shape), served.model.channels * served.model.size**2) + _HEAD)
