"""Operations on latents: pictures of them, and the latents of seeds."""

from __future__ import annotations

import time

from zeuxis.capabilities import latent
from zeuxis.errors import UsageError
from zeuxis.mechanisms import Denoising
from zeuxis.model import StyleBased
from zeuxis.web.clients import Client
from zeuxis.web.denoising import decode_by_steps
from zeuxis.web.requests import MOST_LATENTS, Reply, Request, Steps
from zeuxis.web.served import Served

_MOST_SEED = 2**63 - 1


def answer_decode(served: Served, client: Client, request: Request) -> Steps:
    """Pictures of the latents in the payload, in the page's space, or in z by `space`; of a class by `label`."""
    engine, model = served.drawn_by, served.model
    if request.word("space", ("z", "w", "page"), default="page") == "z" and isinstance(model, StyleBased):
        z = request.latents(tuple(model.prior([0]).shape[1:]))
        yield Reply({"engine": engine.name}, engine.decode(model.mapping(z.to(model.device))))
        return
    z = request.latents(served.shape)
    label = request.label(served.label_classes, len(z))
    if isinstance(model, Denoising):
        yield from decode_by_steps(model, z, label)
        return
    began = time.perf_counter()
    pictures = served.pictures(z, label)
    spent = 1000 * (time.perf_counter() - began)  # by which the page chooses how many to ask for at once
    yield Reply({"engine": engine.name if label is None else "torch", "ms": round(spent, 3)}, pictures)


def answer_prior(served: Served, client: Client, request: Request) -> Steps:
    """The latents of seeds, in the page's space."""
    seeds = request.wholes("seeds", most=MOST_LATENTS, low=0, high=_MOST_SEED)
    if served.space is None:
        latent(served.model)
        raise UsageError(f"{served.name} has no latents")
    yield Reply(numbers=served.space.prior(seeds).cpu())


def answer_engine(served: Served, client: Client, request: Request) -> Steps:
    """What draws just now: torch or onnxruntime."""
    yield Reply({"engine": served.drawn_by.name})
