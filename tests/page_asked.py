"""Operations of the page asked as the page asks them, without a server."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

from zeuxis.data import DataSpec
from zeuxis.model import Model
from zeuxis.web.clients import Client, Store
from zeuxis.web.engines import TorchEngine
from zeuxis.web.requests import Reply, Request
from zeuxis.web.served import Served, page_space


def served(model: Model, data: str | None = None) -> Served:
    """A model that is served, and the data of its run."""
    space = page_space(model)
    shape = tuple(space.prior([0]).shape[1:]) if space else ()
    spec = None if data is None else DataSpec.parse(data)
    engine = TorchEngine(space) if space else None
    known = {"model": model, "name": "toy", "engine": engine, "space": space, "shape": shape, "data": spec}
    return Served(**{field.name: known.get(field.name) for field in dataclasses.fields(Served)})


def client() -> Client:
    """A client, of which operations see the photographs alone."""
    return cast("Client", SimpleNamespace(photos=Store()))


def ask(
    operation: Callable[[Served, Client, Request], Iterator[Any]],
    model: Served,
    by: Client,
    payload: bytes = b"",
    **fields: Any,
) -> list[Reply]:
    """All answers to a request whose fields have gone through JSON."""
    sent = json.loads(json.dumps({"op": "asked", **fields}))
    steps = operation(model, by, Request.read(sent, payload, models=1))
    return [step for step in steps if isinstance(step, Reply)]


def only(replies: list[Reply]) -> Reply:
    """The one answer."""
    (reply,) = replies
    return reply
