"""Operations on directions: attributes of the data, components of features, local components of one picture."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch

from zeuxis.data.places import missing
from zeuxis.errors import UsageError
from zeuxis.explore.candidates import candidate_steps
from zeuxis.explore.directions import Direction, component_steps, local_steps, towards
from zeuxis.explore.editing import SAMPLES
from zeuxis.explore.expression import vocabulary
from zeuxis.explore.spaces import Space
from zeuxis.metrics import extractors
from zeuxis.metrics.attributes import reader_steps
from zeuxis.model import Encoder
from zeuxis.web.clients import Client
from zeuxis.web.labelled import LABELLED, LabelledSamples, first_sum
from zeuxis.web.requests import Reply, Request, Steps
from zeuxis.web.served import Served
from zeuxis.web.shared_work import SharedWork, WorkStage, staged

MOST_DIRECTIONS = 40  # of one kind
COMPONENTS = 8
_LENGTH = 3.0  # of components, in standard deviations of a number: `zeuxis directions` draws them as long
_REMEMBERED = 64  # pictures whose local components are kept
DirectionSearch = Generator[WorkStage, None, list[Direction]]


def answer_directions(served: Served, client: Client, request: Request) -> Steps:
    """The directions of a `kind`: their names, and steps (k ...) in the page's space.

    They are found once for all clients. A stream tells the stage before, how much of it is done, and of how much.
    """
    kind, space = request.word("kind", tuple(KINDS)), _space(served)
    yield from _answered(served, f"directions {kind}", lambda: KINDS[kind](served, space))


def answer_local(served: Served, client: Client, request: Request) -> Steps:
    """The local components around the latent in the payload."""
    space = _space(served)
    z = request.latents(served.shape, most=1)[0]

    def around() -> DirectionSearch:
        length = _LENGTH * served.spread
        found = yield from staged("comparing pictures", local_steps(space, z, count=COMPONENTS))
        return [Direction(each.name, each.step * length) for each in found]

    nearby = [key for key in list(served.kept) if key.startswith("local ")]
    for key in nearby if len(nearby) >= _REMEMBERED else ():
        served.kept.pop(key, None)
    yield from _answered(served, f"local {request.payload.hex()}", around)


def answer_sum(served: Served, client: Client, request: Request) -> Steps:
    """The first sum of the view: `names` of its terms, and examples of each as `seeds`, or their means (3 ...).

    It is made of what was classified for the attributes, so that it costs nothing; no names where there is nothing.
    """
    yield Reply({"names": []}) if LABELLED not in served.kept else first_sum(served.kept[LABELLED])


def _attributes(served: Served, space: Space) -> DirectionSearch:
    """A step for each attribute or class of the run's data, in its words; none of those that no example shows."""
    if served.data is None:
        raise UsageError(f"{served.name} is no run, so that the attributes of its data are unknown")
    if gone := missing(served.data):
        raise UsageError(f"{served.name} was trained on {gone}, which is no longer there")
    model = served.model
    yield "reading the images", 0, 0
    pack = served.data.open(model.size, model.channels)
    words, reader = vocabulary(pack.attributes, pack.classes), None
    if not isinstance(space, Encoder):
        reader = yield from staged("learning to read attributes", reader_steps(pack, device=str(model.device)))
    what = "encoding images" if reader is None else "reading samples"
    among = yield from staged(what, candidate_steps(space, pack, reader=reader))
    served.kept[LABELLED] = LabelledSamples(words, among)
    found = []
    for index in range(count := min(len(words.names), MOST_DIRECTIONS)):
        yield "comparing attributes", index, count
        try:
            found.append(towards(index, among, words))
        except UsageError:
            continue  # a word that no example shows, or all of them
    return [each for each in found if bool(torch.isfinite(each.step).all())]


def _components(served: Served, space: Space) -> DirectionSearch:
    """The principal components of the features of samples."""
    extractor = extractors.find_extractor("lite0", device=served.model.device)
    steps = component_steps(space, extractor, count=COMPONENTS, seeds=range(SAMPLES))
    return (yield from staged("drawing samples", steps))


KINDS: dict[str, Callable[[Served, Space], DirectionSearch]] = {"attributes": _attributes, "components": _components}


def _space(served: Served) -> Space:
    """The page's space; `UsageError` where directions would take hours, or there is no latent space."""
    if served.passes > 1:
        raise UsageError(
            f"each picture takes {served.passes} network evaluations, too many to compare thousands of them for attributes"
        )
    if served.space is None:
        raise UsageError(f"{served.name} has no latent space, and so no directions")
    return served.space


def _answered(served: Served, name: str, begin: Callable[[], DirectionSearch]) -> Steps:
    """The directions of a name, found once, with answers about the progress before."""
    found: list[Direction] | SharedWork[list[Direction]] = served.kept.setdefault(name, SharedWork(begin))
    if isinstance(found, SharedWork):
        found = served.kept[name] = yield from found.awaited()
    steps = torch.stack([each.step for each in found]) if found else torch.zeros(0)
    yield Reply({"names": [each.name for each in found]}, numbers=steps)
