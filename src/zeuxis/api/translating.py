"""Pictures from pictures: translation and super-resolution."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from zeuxis.api.examples import EXAMPLE_COUNT, own_sources, translated_examples
from zeuxis.api.given import GivenImage, GivenImages, as_text, whole_images
from zeuxis.capabilities import enlarged_photograph, super_resolution, translated, translator
from zeuxis.errors import UsageError
from zeuxis.io import images
from zeuxis.io.pictures import Images, contact_sheet, single
from zeuxis.model import Model, SuperResolution


def translate(
    model: Model,
    pictures: GivenImages | None = None,
    *,
    direction: str = "forward",
    size: int | None = None,
    seed: int | None = None,
) -> Images:
    """Translations (n c h w, in [-1, 1]) of pictures of any height and width.

    Without `pictures` those of 16 example sources, and shown beside them: the ones that came with the model, else held-out
    ones of its data.

    `pictures` are a tensor (n c h w), `Images`, uint8 arrays (n h w c), images of Pillow or files; or several of one
    shape in a list. With `size`, the shorter side of files and of images of Pillow is first resized to so many pixels.
    Super-resolution of one of these keeps greyscale and opacity, as `enlarge` does. A stochastic model (pix2pix:
    dropout) uses `seed` (default 0) for the first picture, the next seed for the next. `UsageError` where the model is
    no translator, or is deterministic and given a seed, or direction or channels are wrong.
    """
    able = translator(model)
    if pictures is None:
        if size is not None or direction != "forward":
            raise UsageError("a size and a direction are for pictures of your own; give some after the model")
        return translated_examples(able, own_sources(able, EXAMPLE_COUNT), seed=seed)
    if isinstance(able, SuperResolution):
        if seed is not None or direction != "forward":
            raise UsageError(
                f"{able.family()} has no noise to draw and goes forward alone; leave out --seed, --direction"
            )
        if isinstance(pictures, (str, Path, Image.Image)):
            return enlarge(able, pictures, size=size)
    source = whole_images(pictures, channels=able.in_channels(direction), shorter=size)
    made = translated(able, source, direction=direction, seed=seed)
    return Images(made, single if len(made) == 1 else contact_sheet)


def enlarge(model: Model, picture: GivenImage, *, size: int | None = None) -> Images:
    """The upscaled picture (1 c h w, in [-1, 1]); a file or an image of Pillow keeps greyscale and opacity.

    Greyscale has 1 channel, colour 3, and opacity is one more, the last. With `size`, the shorter side is first resized
    to so many pixels. `UsageError` where the model does no super-resolution.
    """
    able = super_resolution(model)
    if isinstance(picture, (str, Path)):
        layers = images.read_layers(as_text(picture), shorter=size)
    elif isinstance(picture, Image.Image):
        layers = images.whole_of(picture, size)
    else:
        return Images(translated(able, whole_images(picture, channels=able.in_channels())), single)
    return Images(enlarged_photograph(able, layers))
