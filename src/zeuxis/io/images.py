"""Images in files (uint8, of any mode and size) and in models (tensors n c h w in [-1, 1]); sheets, animations."""

from __future__ import annotations

import io
import logging
import math
import os
import stat
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image, PngImagePlugin

from zeuxis.errors import UsageError
from zeuxis.io import colour, depth, files, formats, geometry
from zeuxis.io.bombs import reject_bombs
from zeuxis.io.formats import FORMATS as FORMATS
from zeuxis.io.formats import looks_like_image as looks_like_image
from zeuxis.io.pixel_modes import Unusable as Unusable
from zeuxis.io.pixel_modes import on_white

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]

MOST_PIXELS = 64_000_000
MOST_BYTES = 256 << 20
# Of the target: a JPEG decoded to so much differs by no more than the JPEG itself (bench/results/data.md).
_SPARE = 4 / 3
Found = TypeVar("Found")


@contextmanager
def opened(source: bytes | BinaryIO) -> Iterator[Image.Image]:
    """The image of a file, its header checked and its pixels not yet decoded; `Unusable` where it is none."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    head = file.read(formats.HEAD)
    file.seek(0)
    if not head:
        raise Unusable("empty file")
    if not looks_like_image(head):
        raise Unusable(formats.refusal(head))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of broken metadata, which does not concern the pixels
        with _explained("broken header"), _header(file, head) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise Unusable(f"over {MOST_PIXELS // 1_000_000} megapixels ({width} x {height})")
            formats.reject_previews(image)
            reject_bombs(image, file)
            yield image


def _header(file: BinaryIO, head: bytes) -> Image.Image:
    """The image of a file, its header read; the reason of a refusal where the header says it."""
    try:
        image = Image.open(file, formats=FORMATS)
    except (ValueError, OSError) as error:
        if reason := formats.not_opened(file, head):
            raise Unusable(reason) from None
        if (without := colour.without_profile(file, head)) is None:
            raise error
        image = Image.open(without, formats=FORMATS)
        image.info["icc_profile"] = b""
    colour.keep_cicp(image, head)
    return image


@contextmanager
def _explained(default: str) -> Iterator[None]:
    """Whatever a decoder raises on a damaged file, as `Unusable`."""
    try:
        yield
    except (Unusable, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise Unusable(f"over {MOST_PIXELS // 1_000_000} megapixels") from None
    except Exception as error:  # a decoder meets damage in ways that no list of exceptions covers
        if isinstance(error, OSError) and error.errno is not None:
            raise
        cut = "truncated" in str(error) or isinstance(error, EOFError)
        raise Unusable("cut short" if cut else default) from None


def decode_square(source: bytes | BinaryIO, size: int, channels: int, resize_mode: str = "crop") -> Array:
    """The image of a file as size size channels in uint8, or `Unusable`.

    `crop` takes the largest square of the middle, `left` and `right` that of a half, `pad` all of it on white. What is
    transparent becomes white, 16 bits 8, colours sRGB, EXIF says what is up, and the first frame of an animation is taken.
    """
    with opened(source) as image:
        return fitted(image, size, channels, resize_mode)


def fitted(
    image: Image.Image, size: int, channels: int, resize_mode: str = "crop", used: Collection[int] = ()
) -> Array:
    """As `decode_square`, of an image that `opened` gave; `used` as for `depth.load_8bit`."""
    with _explained("damaged"):
        full = image.size
        # A JPEG is decoded at 1/2, 1/4, 1/8 where that leaves enough, and without its colours where grey is wanted.
        # Half of a small one is nearer to all of it than another filter (bench/results/data.md); others keep twice the target.
        enough = 2 * size if min(full) >= 4 * size else math.ceil(_SPARE * size)
        to_srgb = colour.conversion(image).to_srgb
        drafted = image.draft("L" if channels == 1 and to_srgb is None else None, (enough, enough))
        pixels = depth.load_8bit(image, used)
        turned = geometry.orientation(image)
        now = drafted[1][2:] if drafted else full  # 213.5 pixels of 427 are in 214: of the last there is only a half
        box, target = geometry.placed(now, full, size, geometry.stored_half(resize_mode, turned))
        small = on_white(geometry.resized(pixels, box, target, to_srgb))
    if turned in geometry.ROTATED:
        small = small.transpose(geometry.ROTATED[turned])  # after the reduction, where it costs nothing
    small = small.convert("L" if channels == 1 else "RGB")
    if small.size != (size, size):
        page = Image.new(small.mode, (size, size), "white")
        page.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
        small = page
    return np.asarray(small).reshape(size, size, channels)


def decode_whole(source: bytes | BinaryIO, channels: int, *, shorter: int | None = None) -> Array:
    """As `decode_square`, all of the image: h w channels; with `shorter` its shorter side is brought to so many pixels."""
    return _flat(whole(source, shorter=shorter), channels)


def fitted_whole(image: Image.Image, channels: int, used: Collection[int] = (), *, shorter: int | None = None) -> Array:
    """As `decode_whole`, of an image that `opened` gave; `used` as for `depth.load_8bit`."""
    return _flat(whole_of(image, shorter, used), channels)


def _flat(image: Image.Image, channels: int) -> Array:
    flat = on_white(image).convert("L" if channels == 1 else "RGB")
    return np.asarray(flat).reshape(flat.height, flat.width, channels)


def whole(source: bytes | BinaryIO, *, shorter: int | None = None) -> Image.Image:
    """All of the image of a file, upright, in 8 bits of grey (L), colour (RGB) or colour times opacity (RGBa)."""
    with opened(source) as image:
        return whole_of(image, shorter)


def whole_of(image: Image.Image, shorter: int | None = None, used: Collection[int] = ()) -> Image.Image:
    """As `whole`, of an image that `opened` gave; `used` as for `depth.load_8bit`."""
    with _explained("damaged"):
        to_srgb, pixels = colour.conversion(image).to_srgb, depth.load_8bit(image, used)
        scale = shorter / min(image.size) if shorter else 1.0
        target = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        found, turned = geometry.resized(pixels, (0.0, 0.0, *image.size), target, to_srgb), geometry.orientation(image)
    found = found.transpose(geometry.ROTATED[turned]) if turned in geometry.ROTATED else found
    found.info = {}  # of the file: neither its profile nor its transparent colour is that of these pixels
    return found


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, open for reading; `Unusable` for anything else. It never waits for a FIFO's writer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except PermissionError:
        raise Unusable("no permission to read it") from None
    except FileNotFoundError:
        raise Unusable("no longer there, or a link to nothing") from None
    except OSError as error:
        raise Unusable(f"cannot be opened: {error.strerror or error}") from None
    about = os.fstat(descriptor)
    if stat.S_ISREG(about.st_mode) and about.st_size <= MOST_BYTES:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise Unusable("not a regular file" if not stat.S_ISREG(about.st_mode) else f"over {MOST_BYTES >> 20} MB")


def read_square(path: str | Path, *, size: int, channels: int = 3, resize_mode: str = "crop") -> Tensor:
    """The image of a file (1 c h w, in [-1, 1]); `UsageError` where it cannot be used."""
    return from_uint8(_read(path, lambda file: decode_square(file, size, channels, resize_mode))[None])


def read_whole(path: str | Path, *, channels: int = 3, shorter: int | None = None) -> Tensor:
    """All of the image of a file (1 c h w, in [-1, 1]), its shorter side of so many pixels; `UsageError` as of `read_square`."""
    return from_uint8(_read(path, lambda file: decode_whole(file, channels, shorter=shorter))[None])


def read_layers(path: str | Path, *, shorter: int | None = None) -> Image.Image:
    """As `read_whole`, with what the image has of colour and opacity: what `whole` gives; `UsageError` as of `read_square`."""
    return _read(path, lambda file: whole(file, shorter=shorter))


def _read(path: str | Path, how: Callable[[BinaryIO], Found]) -> Found:
    try:
        with open_regular(path) as file:
            found = how(file)
            file.seek(0)
            with opened(file) as image:
                note = colour.conversion(image).note
    except (Unusable, OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}; give a PNG, JPEG, WebP, GIF, BMP or TIFF") from None
    if note == colour.BROKEN:
        logging.getLogger(__name__).warning("%r: %s", str(path), note)
    return found


def to_uint8(images: Tensor) -> Array:
    """n h w c in uint8 from n c h w in [-1, 1]; what lies outside is clipped."""
    scaled = images.detach().float().add(1).mul(127.5).round().clamp(0, 255)
    result: Array = scaled.byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return result


def from_uint8(images: Array) -> Tensor:
    """n c h w in [-1, 1], float32, from n h w c in uint8."""
    import torch

    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


def sheet(images: Tensor, *, columns: int | None = None, scale: int = 1, gap: int = 2) -> Image.Image:
    """A contact sheet of images (n c h w, in [-1, 1]) on white, row by row, each pixel drawn `scale` times as large."""
    return sheet_of_pixels(to_uint8(images), columns=columns, scale=scale, gap=gap)


def sheet_of_pixels(pixels: Array, *, columns: int | None = None, scale: int = 1, gap: int = 2) -> Image.Image:
    """As `sheet`, of images as uint8 n h w c."""
    count, height, width, channels = pixels.shape
    if not count:
        raise UsageError("a contact sheet of no images; give at least one")
    columns = columns or _columns(count)
    rows, gap = math.ceil(count / columns), gap * scale
    pixels = pixels.repeat(scale, 1).repeat(scale, 2) if scale > 1 else pixels
    height, width = height * scale, width * scale
    page = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for i, tile in enumerate(pixels):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        page[top : top + height, left : left + width] = tile
    return Image.fromarray(page[..., 0] if channels == 1 else page)


def _columns(count: int) -> int:
    """As near to a square as full rows allow, but never wider than twice its height: 64 -> 8, 32 -> 8, 7 -> 3."""
    square = math.ceil(math.sqrt(count))
    full = (columns for columns in range(square, math.isqrt(2 * count) + 1) if count % columns == 0)
    return next(full, square)


def write_png(image: Image.Image, path: str | Path) -> None:
    """Write the image as PNG, so that a crash leaves the old file or the new one."""
    files.write_file(path, png(image))


def png(image: Image.Image) -> bytes:
    """The image as PNG, which says that its colours are sRGB."""
    about, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    about.add(b"sRGB", b"\0")  # perceptual
    image.save(buffer, "PNG", pnginfo=about, icc_profile=None)
    return buffer.getvalue()
