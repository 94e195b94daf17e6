"""The operations by name: what a request may ask for, where it runs, and how much it may bring."""

from __future__ import annotations

from collections.abc import Callable

from zeuxis.web import denoising, directions, encodings, gibbs, latents
from zeuxis.web.clients import Client
from zeuxis.web.requests import Request, Steps
from zeuxis.web.served import Served

Operation = Callable[[Served, Client, Request], Steps]

OPERATIONS: dict[str, Operation] = {
    "decode": latents.answer_decode,
    "prior": latents.answer_prior,
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
    "directions": directions.answer_directions,
    "local": directions.answer_local,
}
# These read files only: a thread of their own runs them, so that a run's state never waits for the model.
FILES_ONLY: frozenset[str] = frozenset()
# These compute for seconds: a third thread runs them.
IN_BACKGROUND: frozenset[str] = frozenset({"encodings", "encodings.look", "gibbs.unit", "local"})
# These may compute for minutes, as when a classifier is trained: a fourth thread runs them.
FOR_MINUTES: frozenset[str] = frozenset({"directions"})
REQUEST_BYTES = 1 << 20  # of a request
MORE_BYTES: dict[str, int] = {}  # of the operations that take larger ones
