"""Operations on directions: attributes of the data, components of features, local components of one picture."""

from __future__ import annotations

from collections.abc import Callable

import torch

from zeuxis.data.places import missing
from zeuxis.errors import UsageError
from zeuxis.explore import editing
from zeuxis.explore.directions import Direction, local_components, towards
from zeuxis.explore.spaces import Space, SpaceName, StyleSpace
from zeuxis.web.clients import Client
from zeuxis.web.requests import Reply, Request, Steps
from zeuxis.web.served import Served

MOST_DIRECTIONS = 40  # of one kind
COMPONENTS = 8
_LENGTH = 3.0  # of components, in standard deviations of a number: `zeuxis directions` draws them as long
_REMEMBERED = 64  # pictures whose local components are kept


def answer_directions(served: Served, client: Client, request: Request) -> Steps:
    """The directions of a `kind`, computed once: their names, and steps (k ...) in the page's space."""
    kind = request.word("kind", tuple(KINDS))
    yield _reply(_found(served, f"directions {kind}", lambda: KINDS[kind](served, _space(served))))


def answer_local(served: Served, client: Client, request: Request) -> Steps:
    """The local components around the latent in the payload."""
    space = _space(served)
    z = request.latents(served.shape, most=1)[0]

    def around() -> list[Direction]:
        length = _LENGTH * served.spread
        found = local_components(space, z, count=COMPONENTS)
        return [Direction(each.name, each.step * length) for each in found]

    yield _reply(_found(served, f"local {request.payload.hex()}", around))


def _attributes(served: Served, space: Space) -> list[Direction]:
    """A step for each attribute or class of the run's data, in its words; none of those that no example shows."""
    if served.data is None:
        raise UsageError(f"{served.name} is no run, so that the attributes of its data are unknown")
    if gone := missing(served.data):
        raise UsageError(f"{served.name} was trained on {gone}, which is no longer there")
    name: SpaceName = "w" if isinstance(space, StyleSpace) else "z"
    with torch.enable_grad():  # the classifier of the attributes is trained, if it never was
        editor = editing.editor(served.model, data=served.data, space=name)
    found = []
    for index in range(min(len(editor.words.names), MOST_DIRECTIONS)):
        try:
            found.append(towards(index, editor.among, editor.words))
        except UsageError:
            continue  # a word that no example shows, or all of them
    return [each for each in found if bool(torch.isfinite(each.step).all())]


def _components(served: Served, space: Space) -> list[Direction]:
    """The principal components of the features of samples."""
    name: SpaceName = "w" if isinstance(space, StyleSpace) else "z"
    return editing.unsupervised_directions(served.model, count=COMPONENTS, space=name)


KINDS: dict[str, Callable[[Served, Space], list[Direction]]] = {"attributes": _attributes, "components": _components}


def _space(served: Served) -> Space:
    """The page's space; `UsageError` where directions would take minutes, or there is no latent space."""
    if served.space is None or served.passes > 1:
        raise UsageError(f"{served.name} has no directions here; `zeuxis directions` may have some")
    return served.space


def _found(served: Served, name: str, compute: Callable[[], list[Direction]]) -> list[Direction]:
    """What was computed once for a name; one thread asks for each kind."""
    found: list[Direction] | None = served.kept.get(name)
    if found is None:
        nearby = [key for key in list(served.kept) if key.startswith("local ")]
        for key in nearby if len(nearby) >= _REMEMBERED else ():
            served.kept.pop(key, None)
        found = served.kept[name] = compute()
    return found


def _reply(found: list[Direction]) -> Reply:
    steps = torch.stack([each.step for each in found]) if found else torch.zeros(0)
    return Reply({"names": [each.name for each in found]}, numbers=steps)
