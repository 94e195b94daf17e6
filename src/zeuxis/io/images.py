"""Images in files (uint8, of any mode and size) and in models (tensors n c h w in [-1, 1]); sheets, animations."""

from __future__ import annotations

import io
import math
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image

from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.io.pixel_modes import BAND, on_white, plain, to_8bit
from zeuxis.io.pixel_modes import Unusable as Unusable

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 64_000_000
MOST_BYTES = 256 << 20
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Of the target: a JPEG decoded to so much differs by no more than the JPEG itself (bench/results/data.md).
_SPARE = 4 / 3
_ROTATED = {  # EXIF orientation -> how the stored image becomes the one that was seen
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Found = TypeVar("Found")
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def looks_like_image(head: bytes) -> bool:
    """Whether the first 16 bytes are those of one of the six formats."""
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


@contextmanager
def opened(source: bytes | BinaryIO) -> Iterator[Image.Image]:
    """The image of a file, its header checked and its pixels not yet decoded; `Unusable` where it is none."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    head = file.read(16)
    file.seek(0)
    if not head:
        raise Unusable("empty file")
    if not looks_like_image(head):
        raise Unusable(f"not an image{_told(head)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of broken metadata, which does not concern the pixels
        with _explained("broken header"), Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise Unusable(f"over {MOST_PIXELS // 1_000_000} megapixels ({width} x {height})")
            yield image


def _told(head: bytes) -> str:
    kinds = {b"PK\x03\x04": "a zip", b"%PDF": "a PDF", b"<": "HTML or XML", b"\x1f\x8b": "a gzip", b"8BPS": "Photoshop"}
    kinds |= {b"\0\0\0": "video, HEIC or AVIF", b"\0\0\1\0": "an icon"}
    kind = next((kind for magic, kind in kinds.items() if head.lstrip().startswith(magic)), "")
    return f" of the six formats ({kind})" if kind else ""


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


def decode(source: bytes | BinaryIO, size: int, channels: int, resize_mode: str = "crop") -> Array:
    """The image of a file as size size channels in uint8, or `Unusable`.

    `crop` takes the largest square of the middle, `left` and `right` that of a half, `pad` all of it on white. What is
    transparent becomes white, 16 bits 8, EXIF says what is up, and the first frame of an animation is taken.
    """
    with opened(source) as image:
        return fitted(image, size, channels, resize_mode)


def fitted(image: Image.Image, size: int, channels: int, resize_mode: str = "crop") -> Array:
    """As `decode`, of an image that `opened` gave."""
    with _explained("damaged"):
        full = image.size
        # A JPEG is decoded at 1/2, 1/4, 1/8 where that leaves enough, and without its colours where grey is wanted.
        # Half of a small one is nearer to all of it than another filter (bench/results/data.md); others keep twice the target.
        enough = 2 * size if min(full) >= 4 * size else math.ceil(_SPARE * size)
        drafted = image.draft("L" if channels == 1 else None, (enough, enough))
        image.load()
        turn = _turn(image)
        now = drafted[1][2:] if drafted else full  # 213.5 pixels of 427 are in 214: of the last there is only a half
        box, target = _placed(now, full, size, resize_mode)
        small = on_white(_resized(to_8bit(image), box, target))
    if turn is not None:
        small = small.transpose(turn)  # after the reduction, where it costs nothing
    small = small.convert("L" if channels == 1 else "RGB")
    if small.size != (size, size):
        page = Image.new(small.mode, (size, size), "white")
        page.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
        small = page
    return np.asarray(small).reshape(size, size, channels)


def decode_whole(source: bytes | BinaryIO, channels: int, *, shorter: int | None = None) -> Array:
    """As `decode`, all of the image: h w channels; with `shorter` its shorter side is brought to so many pixels."""
    flat = on_white(whole(source, shorter=shorter)).convert("L" if channels == 1 else "RGB")
    return np.asarray(flat).reshape(flat.height, flat.width, channels)


def whole(source: bytes | BinaryIO, *, shorter: int | None = None) -> Image.Image:
    """All of the image of a file, upright, in 8 bits of grey (L), colour (RGB) or colour times opacity (RGBa)."""
    with opened(source) as image, _explained("damaged"):
        image.load()
        scale = shorter / min(image.size) if shorter else 1.0
        target = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        found, turn = _resized(to_8bit(image), (0.0, 0.0, *image.size), target), _turn(image)
    return found if turn is None else found.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What EXIF says has to be done, where it can be read: broken metadata does not concern the pixels."""
    try:
        return _ROTATED.get(image.getexif().get(0x0112, 1))
    except Exception:  # as many kinds as there are ways to break it
        return None


def _placed(
    now: tuple[float, float], full: tuple[int, int], size: int, resize_mode: str
) -> tuple[Box, tuple[int, int]]:
    """The part of the image that is taken, in pixels of what was decoded, and the width and height it gets."""
    width, height = float(full[0]), float(full[1])
    across, down = now[0] / width, now[1] / height
    if resize_mode == "pad":
        scale = size / max(width, height)
        return (0.0, 0.0, now[0], now[1]), (max(1, round(width * scale)), max(1, round(height * scale)))
    start = width / 2 if resize_mode == "right" else 0.0
    width = width if resize_mode == "crop" else width / 2
    side = min(width, height)
    left, top = start + (width - side) / 2, (height - side) / 2
    return (left * across, top * down, (left + side) * across, (top + side) * down), (size, size)


def _resized(image: Image.Image, box: Box, target: tuple[int, int]) -> Image.Image:
    """The box of the image at the target size, antialiased: averaged to no less than twice the target, then Lanczos."""
    by = [max(1, int((box[i + 2] - box[i]) / target[i] / 2)) for i in (0, 1)]
    outer = (math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3]))
    rows = max(1, BAND // max(1, outer[2] - outer[0]) // by[1]) * by[1]
    bands = []
    for top in range(outer[1], outer[3], rows):
        band = plain(image.crop((outer[0], top, outer[2], min(top + rows, outer[3]))))
        bands.append(band.reduce((by[0], by[1])) if by != [1, 1] else band)
    whole = bands[0] if len(bands) == 1 else _stacked(bands)
    inner = [(box[i] - outer[i % 2]) / by[i % 2] for i in range(4)]
    inner = [max(0.0, inner[0]), max(0.0, inner[1]), min(whole.width, inner[2]), min(whole.height, inner[3])]
    return whole.resize(target, Image.Resampling.LANCZOS, box=(inner[0], inner[1], inner[2], inner[3]))


def _stacked(bands: list[Image.Image]) -> Image.Image:
    whole = Image.new(bands[0].mode, (bands[0].width, sum(band.height for band in bands)))
    top = 0
    for band in bands:
        whole.paste(band, (0, top))
        top += band.height
    return whole


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


def read(path: str | Path, *, size: int, channels: int = 3, resize_mode: str = "crop") -> Tensor:
    """The image of a file (1 c h w, in [-1, 1]); `UsageError` where it cannot be used."""
    return from_uint8(_read(path, lambda file: decode(file, size, channels, resize_mode))[None])


def read_whole(path: str | Path, *, channels: int = 3, shorter: int | None = None) -> Tensor:
    """All of the image of a file (1 c h w, in [-1, 1]), its shorter side of so many pixels; `UsageError` as of `read`."""
    return from_uint8(_read(path, lambda file: decode_whole(file, channels, shorter=shorter))[None])


def read_layers(path: str | Path, *, shorter: int | None = None) -> Image.Image:
    """As `read_whole`, with what the image has of colour and opacity: what `whole` gives; `UsageError` as of `read`."""
    return _read(path, lambda file: whole(file, shorter=shorter))


def _read(path: str | Path, how: Callable[[BinaryIO], Found]) -> Found:
    try:
        with open_regular(path) as file:
            return how(file)
    except (Unusable, OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}; give a PNG, JPEG, WebP, GIF, BMP or TIFF") from None


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
    pixels = to_uint8(images)
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
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    files.write_file(path, buffer.getvalue())
