"""Operations of image-to-image models: a drawn source translated, a photograph as a source, and sources of the run's data."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from zeuxis.capabilities import translated, translator
from zeuxis.data import derived_sources
from zeuxis.data.batches import open_pairs_of
from zeuxis.data.pairs import Pairs
from zeuxis.data.specs import PairSpec
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.io.images import Array, from_uint8, to_uint8
from zeuxis.judging.training_data import selected
from zeuxis.model import SuperResolution, Translator
from zeuxis.web.clients import Client
from zeuxis.web.photos import as_array, crop_of, cropped, kept_photo
from zeuxis.web.requests import BadRequest, Reply, Request, Steps
from zeuxis.web.served import Served

SOURCE_SIDE = 512  # pixels, height and width, of a source, but where a model was trained on larger ones
LEAST_SOURCE_SIDE = 32  # the same, but where a model was trained on smaller ones
SOURCE_BYTES = 4 << 20  # of a request: 1024 x 1024 pixels in colour
SOURCES_SHOWN = 12  # sources of the data at once
_STUDIED = 64  # sources by which the kind and the palette are known
_MOST_COLOURS = 16  # of a palette
_FEW_COLOURS = 0.8  # share of the pixels that so many colours cover where sources are labels or lines
_SELDOM = 0.002  # share of the pixels, below which a colour is a blend along a border
_BACKGROUND = 0.6  # share of the pixels that one grey covers where sources are line drawings
_LAST_SEED = 2**62

_WAYS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "edges": derived_sources.edges,
    "grey": derived_sources.grey,
    "blur": derived_sources.blur,
    "labels": derived_sources.labels,
}
PHOTO_AS = ("photo", *_WAYS)


class SourceKind(NamedTuple):
    """What sources look like: labels, edges, grey or photo; their colours, the background first, then by frequency."""

    kind: str
    palette: list[tuple[int, int, int]]

    def as_fields(self) -> dict[str, Any]:
        """As the page takes it."""
        return {"kind": self.kind, "palette": [list(colour) for colour in self.palette]}


UNKNOWN = SourceKind("photo", [(255, 255, 255), *(colour for colour in derived_sources.PALETTE if min(colour) < 255)])


def answer_translate(served: Served, client: Client, request: Request) -> Steps:
    """The translation of the source in the payload (h w c)."""
    model, direction = _asked(served, request)
    size = model.source_size
    pixels = request.pixels(most_side=max(SOURCE_SIDE, size))
    if pixels.shape[2] != model.in_channels(direction) or min(pixels.shape[:2]) < min(LEAST_SOURCE_SIDE, size):
        raise BadRequest(f"the source has the shape {pixels.shape}, which {direction} does not take")
    seed = request.whole("seed", low=0, high=_LAST_SEED, default=0) if model.stochastic else None
    yield Reply(pictures=translated(model, from_uint8(pixels[None]), direction=direction, seed=seed))


def answer_photo(served: Served, client: Client, request: Request) -> Steps:
    """A square of a photograph as a source: as it is, or its edges, its grey, a blur, or regions of a palette."""
    model, direction = _asked(served, request)
    photo, way = kept_photo(client, request), request.word("way", PHOTO_AS, default="photo")
    left, top, width, height = crop_of(request, photo)
    if width != height:
        raise BadRequest("crop is no square")
    square = cropped(photo.convert("RGB"), (left, top, left + width, top + height), model.source_size, 3)
    image = Image.fromarray(to_uint8(square)[0])
    if way == "labels" and "palette" in request.fields:
        image = derived_sources.painted(image, _palette_of(request))
    elif way != "photo":
        image = _WAYS[way](image)
    yield Reply(pictures=as_array(image.convert("L" if model.in_channels(direction) == 1 else "RGB"))[None])


def answer_sources(served: Served, client: Client, request: Request) -> Steps:
    """Some sources of the run's data, their kind and their palette; no pictures where the data is not here."""
    model, direction = _asked(served, request)
    start = request.whole("start", low=0, high=_LAST_SEED, default=0)
    way = _way_of(served, model, direction)
    try:
        opened = _opened(served)
    except (ZeuxisError, OSError) as error:
        logging.getLogger(__name__).warning("the page shows no sources of the data: %s", error)
        yield Reply({**UNKNOWN.as_fields(), "way": way, "count": 0})
        return
    column = 0 if direction == model.directions[0] else 1
    pack, places = (opened.source, opened.image)[column], opened.places[column]
    found = _kind_in(served, column)
    chosen = places[(start + np.arange(min(SOURCES_SHOWN, len(places)))) % len(places)]
    yield Reply({**found.as_fields(), "way": way, "count": len(places)}, pictures=pack.rows(chosen))


@functools.lru_cache(maxsize=8)
def _opened(served: Served) -> Pairs:
    """The pairs that the served model was trained on."""
    model = translator(served.model)
    if served.data is None:
        raise UsageError(f"{served.name} is no run and names no data")
    data = selected(served.run.path, served.data) if served.run else served.data
    return open_pairs_of(data.with_source(model.degradation), model, paired=model.paired)


@functools.lru_cache(maxsize=16)
def _kind_in(served: Served, column: int) -> SourceKind:
    """What the sources (column 0), or the images (1), of the run's data look like."""
    opened = _opened(served)
    pack, places = (opened.source, opened.image)[column], opened.places[column]
    chosen = places[np.linspace(0, len(places) - 1, min(_STUDIED, len(places))).astype(int)]
    return kind_of(pack.rows(np.unique(chosen)))


def kind_of(pixels: Array) -> SourceKind:
    """What sources (n h w c, uint8) look like."""
    levels = np.broadcast_to(pixels, (*pixels.shape[:3], 3)).reshape(-1, 3) if pixels.shape[3] == 1 else pixels
    packed = levels.reshape(-1, 3).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, counts = np.unique(packed, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_COLOURS]
    shares = counts[order] / len(packed)
    frequent = [(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in colours[order]]
    grey = bool((colours >> 16 == (colours & 255)).all() and (colours >> 8 & 255 == (colours & 255)).all())
    if shares.sum() < _FEW_COLOURS:
        return SourceKind("grey" if grey else "photo", _reduced_palette(levels.reshape(-1, 3)))
    if grey and shares[0] >= _BACKGROUND:
        ink = (0, 0, 0) if frequent[0][0] > 127 else (255, 255, 255)
        return SourceKind("edges", [frequent[0], ink])
    found = [colour for colour, share in zip(frequent, shares) if share >= _SELDOM]
    background = max(found, key=lambda colour: _along_border(pixels, colour))
    return SourceKind("labels", [background, *(colour for colour in found if colour != background)])


def _along_border(pixels: Array, colour: tuple[int, int, int]) -> int:
    """How many pixels along the borders of sources (n h w c) have a colour."""
    alike = (pixels == np.array(colour, np.uint8)).all(3)
    return int(alike[:, [0, -1]].sum() + alike[:, :, [0, -1]].sum())


def _reduced_palette(levels: Array) -> list[tuple[int, int, int]]:
    """The colours that stand for all of many (n 3, uint8), by median cut, the most frequent first."""
    image = Image.fromarray(np.ascontiguousarray(levels[None]))
    small = image.quantize(_MOST_COLOURS, Image.Quantize.MEDIANCUT)
    palette = small.getpalette() or []
    found = sorted(small.getcolors() or [], reverse=True)
    colours = [tuple(palette[3 * index : 3 * index + 3]) for _, index in found if isinstance(index, int)]
    return [(r, g, b) for r, g, b in dict.fromkeys(colours)]


def _asked(served: Served, request: Request) -> tuple[Translator, str]:
    """The model and the direction of a request; `UsageError` where it does not translate."""
    model = translator(served.model)
    if isinstance(model, SuperResolution):
        raise UsageError(f"{model.family()} upscales photographs; open the view Upscale")
    return model, request.word("direction", model.directions, default=model.directions[0])


def _way_of(served: Served, model: Translator, direction: str) -> str:
    """How the run's sources were made of images, so that a photograph becomes a source in the same way."""
    made = served.data.source if isinstance(served.data, PairSpec) else model.degradation
    forward = direction == model.directions[0]
    return made if forward and isinstance(made, str) and made in _WAYS else "photo"


def _palette_of(request: Request) -> tuple[tuple[int, int, int], ...]:
    """The field `palette`: red, green and blue of each colour in turn."""
    levels = request.wholes("palette", most=3 * _MOST_COLOURS, low=0, high=255)
    if not levels or len(levels) % 3:
        raise BadRequest("palette has no whole colours")
    return tuple(zip(levels[::3], levels[1::3], levels[2::3], strict=True))
