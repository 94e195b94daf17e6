"""Super-resolution of a person's own photograph: tiles come as they are done, each beside the bicubic one."""

from __future__ import annotations

import numpy as np
from PIL import Image

from zeuxis.capabilities import super_resolution
from zeuxis.errors import UsageError
from zeuxis.io.pixel_modes import split_alpha
from zeuxis.io.tiling import enlarged_tiles
from zeuxis.web.clients import Client
from zeuxis.web.photos import as_array, crop_of, kept_photo
from zeuxis.web.requests import Reply, Request, Steps
from zeuxis.web.served import Served

UPSCALED_SIDE = 512  # pixels, height and width, of what is upscaled on the page
_TILE = 64  # pixels, height and width, of the source of one tile, so that nobody else waits long


def answer_upscale(served: Served, client: Client, request: Request) -> Steps:
    """A part of a photograph, upscaled: for each tile its place, the bicubic tile, and what the model makes.

    `crop` is left, top, width and height, or left, top and side. `UsageError` where more than 512 pixels are asked for.
    """
    model, photo = super_resolution(served.model), kept_photo(client, request)
    left, top, width, height = crop_of(request, photo)
    if max(width, height) > UPSCALED_SIDE:
        raise UsageError(
            f"{width} x {height} pixels are more than the page upscales ({UPSCALED_SIDE} x {UPSCALED_SIDE}); choose a smaller "
            "part, or use zeuxis translate"
        )
    source = split_alpha(photo.crop((left, top, left + width, top + height))).colour
    large = source.resize((width * model.scale, height * model.scale), Image.Resampling.BICUBIC)
    count = -(-width // _TILE) * -(-height // _TILE)
    about = {"width": large.width, "height": large.height, "tiles": count}
    for done, ((x, y), tile) in enumerate(enlarged_tiles(model, source, side=_TILE), 1):
        before = large.crop((x, y, x + tile.width, y + tile.height))
        pictures = np.stack([as_array(before), as_array(tile)])
        yield Reply({**about, "x": x, "y": y, "done_tiles": done}, pictures=pictures, more=done < count)
