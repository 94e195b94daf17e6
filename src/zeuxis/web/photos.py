"""Operations on a person's own photograph: read in memory, cropped, and found in the latent space of a model."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zeuxis.capabilities import encoder, latent
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.explore.inversion import DRAWN, Distance, Search, descend, nearest_samples
from zeuxis.explore.spaces import Space, StyleSpace
from zeuxis.io import geometry, images
from zeuxis.io.pixel_modes import on_white
from zeuxis.metrics import extractors, paired, vgg
from zeuxis.web.clients import Client
from zeuxis.web.requests import BadRequest, Reply, Request, Steps
from zeuxis.web.served import Served

PHOTO_BYTES = 32 << 20  # of a file
PHOTO_SIDE = 2048  # pixels of the longer side that are kept: a client may hold several photographs
PREVIEW_SIDE = 1024  # pixels of the longer side that the page shows
_TOGETHER = 16  # samples that are decoded in one step, so that nobody else waits long
_FEW = 128  # samples that are drawn at least
_MANY_PIXELS = 64 * 64  # of an image: of larger ones fewer samples are drawn
_PAUSE = 0.05  # seconds between two looks at what another thread does
_MOST_DECIBELS = 99.0  # of a PSNR, which is infinite for the same picture


def read_photo(data: bytes) -> Image.Image:
    """The picture of a file in memory (L or RGB), upright, in sRGB, on white, its longer side at most `PHOTO_SIDE` pixels.

    `UsageError` says in one line why the file cannot be used.
    """
    try:
        with images.opened(data) as image:
            shorter, longer = min(image.size), max(image.size)
        scale = min(1.0, PHOTO_SIDE / longer)
        found = images.whole(data, shorter=max(1, math.ceil(shorter * scale)))
        found.thumbnail((PHOTO_SIDE, PHOTO_SIDE))  # by a pixel or two; or by more, of a picture that is all width
    except (images.Unusable, OSError, ValueError, MemoryError) as error:
        reason = str(error) or "too large for the memory"
        raise UsageError(f"this file cannot be used: {reason}; give a PNG, JPEG, WebP, GIF, BMP or TIFF") from None
    flat = on_white(found)
    return flat if flat.mode == "L" else flat.convert("RGB")


def answer_open(served: Served, client: Client, request: Request) -> Steps:
    """The file in the payload as a photograph that the client keeps: its id, width, height, and a preview."""
    photo = read_photo(request.payload)
    shown = photo.copy()
    shown.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS)
    about = {"photo": client.photos.add(photo), "width": photo.width, "height": photo.height}
    yield Reply(about, pictures=as_array(shown)[None])


def answer_encode(served: Served, client: Client, request: Request) -> Steps:
    """The latent of a square of a photograph by the encoder; the square and its reconstruction."""
    model, truth = encoder(served.model), _square(served, client, request)
    found = model.encode(truth.to(model.device))
    if isinstance(served.space, StyleSpace):
        found = served.space.model.mapping(found)
    yield _found(truth, found, served.drawn_by.decode(found), {"stage": "encoder"})


def answer_invert(served: Served, client: Client, request: Request) -> Steps:
    """The latent of a square of a photograph by gradient descent: a stream of the best so far."""
    space, truth = _space(served), _square(served, client, request)
    with contextlib.closing(_Distance(str(space.device))) as distance:  # it holds no state of torch
        drawn = space.prior(range(_draws(served.model.size)))
        begin = yield from _search(space, truth, drawn)
        while not distance.known:
            yield _PAUSE
        how = Search(perceptual=Search.perceptual if distance.found else 0.0)
        about = {"stage": "descent", "steps": how.steps, "perceptual": distance.found is not None}
        for iterate in descend(space, truth, begin, drawn, distance=distance.found or _nothing, how=how):
            more = iterate.done < how.steps
            yield replace(_found(truth, iterate.latents, iterate.images, {**about, "step": iterate.done}), more=more)


def answer_stop(served: Served, client: Client, request: Request) -> Steps:
    """Nothing: as the newest request of its lane it ends the stream before it."""
    yield Reply()


def _search(space: Space, truth: Tensor, drawn: Tensor) -> Generator[Reply | float | None, None, Tensor]:
    """The samples nearest to a picture (1 restarts ...), found part by part; the nearest so far is shown."""
    shown, begin = torch.empty(0), drawn[None, :1]
    for place, begin in enumerate(nearest_samples(space, truth, drawn, Search.restarts, together=_TOGETHER)):
        best = begin[:, 0]
        if torch.equal(best, shown):
            yield None
            continue
        shown, done = best, min(len(drawn), (place + 1) * _TOGETHER)
        about = {"stage": "search", "step": done, "steps": len(drawn)}
        yield replace(_found(truth, best, space.decode(best), about), more=True)
    return begin


class _Distance:
    """The distance of VGG features, whose weights another thread reads or fetches; None where they cannot be had."""

    def __init__(self, device: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="vgg16")
        self._network: Future[vgg.VGG] = self._pool.submit(extractors.vgg16, device=device)

    @property
    def known(self) -> bool:
        """Whether it is known if there is one."""
        return self._network.done()

    @property
    def found(self) -> Distance | None:
        """The distance, once it is known."""
        try:
            return partial(vgg.feature_distance_to, self._network.result())
        except (ZeuxisError, OSError):
            return None

    def close(self) -> None:
        """Wait for nobody."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _nothing(truth: Tensor) -> Callable[[Tensor], Tensor]:
    """A distance that is zero."""
    return lambda made: made.new_zeros(len(made))


def _draws(size: int) -> int:
    """Samples among which the search begins: fewer where each takes long."""
    return max(_FEW, min(DRAWN, DRAWN * _MANY_PIXELS // size**2))


def _found(truth: Tensor, latents: Tensor, made: Tensor, about: dict[str, object]) -> Reply:
    """The answer with a latent (1 ...): the square, what the latent decodes to, and how near they are."""
    made = made.float().cpu()
    decibels = float(paired.psnr(made, truth))
    fields = {**about, "psnr": None if math.isnan(decibels) else round(min(decibels, _MOST_DECIBELS), 2)}
    return Reply(fields, pictures=torch.cat([truth, made]), numbers=latents.detach().float().cpu())


def _space(served: Served) -> Space:
    """The space in which latents are looked for; `UsageError` where there is none."""
    return served.space or latent(served.model)


def _square(served: Served, client: Client, request: Request) -> Tensor:
    """The square (1 c size size, in [-1, 1]) of a photograph that a request names."""
    photo = kept_photo(client, request)
    left, top, width, height = crop_of(request, photo)
    if width != height:
        raise BadRequest("crop is no square")
    return cropped(photo, (left, top, left + width, top + height), served.model.size, served.model.channels)


def kept_photo(client: Client, request: Request) -> Image.Image:
    """The photograph (L or RGB) that a request names; `UsageError` where the client keeps it no longer."""
    found = client.photos.get(request.whole("photo", low=0, high=1 << 40))
    if not isinstance(found, Image.Image):
        raise UsageError("the photograph is no longer here; open it again")
    return found


def crop_of(request: Request, photo: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, width and height, in pixels, of the field `crop`: three numbers give a square; it lies in the photograph."""
    numbers = request.wholes("crop", most=4, low=0, high=PHOTO_SIDE)
    if len(numbers) not in (3, 4):
        raise BadRequest("crop is neither left, top, side nor left, top, width, height")
    left, top, width, height = numbers[0], numbers[1], numbers[2], numbers[-1]
    if not (width and height and left + width <= photo.width and top + height <= photo.height):
        raise BadRequest("crop is not inside of the photograph")
    return left, top, width, height


def cropped(photo: Image.Image, box: geometry.Box, size: int, channels: int) -> Tensor:
    """A box (left, top, right, bottom) of a photograph as a picture that a model takes: 1 c size size, in [-1, 1]."""
    small = geometry.resized(photo, box, (size, size), None)
    return images.from_uint8(as_array(small.convert("L" if channels == 1 else "RGB"))[None])


def as_array(image: Image.Image) -> images.Array:
    """The pixels (h w c, uint8) of an image in L or RGB."""
    return np.asarray(image).reshape(image.height, image.width, -1)
