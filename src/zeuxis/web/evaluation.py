"""Operations that judge: scores of a run over time, and the training pictures nearest to the one in hand."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor

from zeuxis.data import Pack
from zeuxis.errors import UsageError
from zeuxis.io.images import Array
from zeuxis.judging.reference import searched_places
from zeuxis.judging.report import read_evaluation
from zeuxis.judging.training_data import selected
from zeuxis.metrics import extractors, neighbours
from zeuxis.metrics.features import Extractor, feature_steps
from zeuxis.web.clients import Client
from zeuxis.web.requests import Reply, Request, Steps
from zeuxis.web.runs import files_of
from zeuxis.web.served import Served

_SHOWN = 6  # training pictures
_PREFIX = "evaluation/"
_ENDS = ("low", "high", "real")
_MOST_SERIES = 12


def answer_history(served: Served, client: Client, request: Request) -> Steps:
    """The scores of a run: those it recorded while it trained, by name, and the report of `zeuxis evaluate`."""
    run = files_of(served)
    while run.read():
        yield None
    rows = run.evaluations.rows
    names = dict.fromkeys(name for row in rows for name in row if name.startswith(_PREFIX) and name.endswith("]"))
    series = [_series(name, rows) for name in list(names)[:_MOST_SERIES]]
    report = None
    with contextlib.suppress(UsageError):
        found = read_evaluation(run.run.path / "evaluation.json")
        scores = [row.plain() for row in found.rows]
        told = {"in_words": found.in_words(), "warnings": list(found.warnings)}
        report = {"about": _plain(found.about), "scores": scores, **told}
    yield Reply({"series": series, "report": report})


def _series(name: str, rows: list[dict[str, float]]) -> dict[str, Any]:
    """A score over the steps, with its interval and the score of real images where they are recorded."""
    there = [row for row in rows if name in row]
    parts = {end: [row.get(f"{name} {end}") for row in there] for end in _ENDS}
    steps = [row["step"] for row in there]
    return {"name": name.removeprefix(_PREFIX), "steps": steps, "values": [row[name] for row in there], **parts}


def _plain(about: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """What an evaluation says of itself, in plain values alone: somebody else may have written it."""
    kept = {name: value for name, value in about.items() if isinstance(value, str | int | float | bool)}
    return {name: value for name, value in kept.items() if not isinstance(value, float) or math.isfinite(value)}


class TrainingFeatures:
    """Features of the training pictures of a run, worked out once, batch by batch; whoever waits takes the next step."""

    def __init__(self, pack: Pack, extractor: Extractor) -> None:
        self.pack, self.extractor = pack, extractor
        self.searched: Array = searched_places(len(pack))
        self.features: Tensor | None = None
        self._steps: Generator[int, None, Tensor] | None = None

    def prepare(self) -> Generator[int, None, Tensor]:
        """Yield how many pictures are done until all are; their features (n d)."""
        while self.features is None:
            try:
                self._steps = self._steps or feature_steps(self.extractor, self.pack, self.searched)
                yield next(self._steps)
            except StopIteration as end:
                self.features = end.value
            except BaseException:
                self._steps = None  # so that the next who asks begins anew
                raise
        return self.features


@functools.lru_cache(maxsize=2)
def training_features(served: Served) -> TrainingFeatures:
    """Of the training pictures that a model's run names; `UsageError` where there is no run, or no such data."""
    if served.run is None or served.data is None:
        raise UsageError(f"{served.name} does not say what it was trained on; explore a run's folder instead")
    data = selected(served.run.path, served.data)
    own, _ = data.held_out(1) or (data, None)
    model = served.model
    pack = own.open(model.size, model.channels)
    return TrainingFeatures(pack, extractors.find_extractor("lite0", device=model.device))


def answer_nearest(served: Served, client: Client, request: Request) -> Steps:
    """The training pictures nearest to that of a latent, with the distances of their features; progress comes before."""
    z = request.latents(served.shape, most=1)
    picture = served.pictures(z, request.label(served.label_classes, 1))
    yield Reply({"done_of": [0, 0]}, more=True)  # the images may have to be read first
    search = training_features(served)
    steps = search.prepare()
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            features: Tensor = end.value
            break
        yield Reply({"done_of": [done, len(search.searched)]}, more=True)
    found = neighbours.ranked(search.extractor(picture)[0], features, count=_SHOWN)
    pixels = search.pack.rows(search.searched[found.place.numpy()])
    distances = [float(value) if torch.isfinite(value) else None for value in found.distance]
    about = {"features": search.extractor.name, "searched": len(search.searched), "images": len(search.pack)}
    yield Reply({"distances": distances, **about}, pictures=pixels)
