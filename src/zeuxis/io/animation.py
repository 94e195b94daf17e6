"""Animations: frames written as WebP or GIF, or as MP4 by PyAV (the extra `video`)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.io.colour import srgb_profile
from zeuxis.io.images import Array, to_uint8

if TYPE_CHECKING:
    from torch import Tensor

MOVING = (".webp", ".gif", ".mp4")
_BT709, _SRGB_CURVE, _LIMITED = 1, 13, 1  # ITU-T H.273: sRGB as a video says it; 16 to 235


def write_film(frames: Iterable[tuple[Image.Image, float]], path: str | Path, *, fps: int) -> None:
    """Write frames (RGB, of one size) that stay so many seconds each, as `.webp` (repeats for ever) or `.mp4` (the extra
    `video`), in which a frame of two seconds is repeated."""
    kind = Path(path).suffix.lower()
    if kind not in (".webp", ".mp4"):
        raise UsageError(f"{path} is no film; expected a name that ends in .webp or .mp4")
    pictures, seconds = zip(*frames)
    if kind == ".webp":
        data = _webp(pictures, [round(1000 * each) for each in seconds], quality=82)
    else:
        repeated = (np.asarray(picture) for picture, each in zip(pictures, seconds) for _ in range(round(each * fps)))
        data = _mp4(repeated, pictures[0].size[::-1], fps)
    files.write_file(path, data)


def write(frames: Tensor, path: str | Path, *, fps: int = 20, scale: int = 1) -> None:
    """Write frames (t c h w, in [-1, 1]) as `.webp`, `.gif` (both repeat for ever) or `.mp4` (the extra `video`).

    Each pixel is drawn `scale` times as large.
    """
    kind = Path(path).suffix.lower()
    if kind not in MOVING:
        raise UsageError(f"{path} is no animation; expected a name that ends in .webp, .gif or .mp4")
    files.write_file(path, animated(frames, kind, fps=fps, scale=scale))


def animated(frames: Tensor, kind: str, *, fps: int = 20, scale: int = 1) -> bytes:
    """The file of an animation, as `write` writes it, of one of the `MOVING`."""
    if not len(frames) or not 1 <= fps <= 100:
        raise UsageError(f"an animation of {len(frames)} frames, {fps} a second; expected at least 1, and 1 to 100")
    pixels = to_uint8(frames)
    pixels = pixels.repeat(3, 3) if pixels.shape[3] == 1 else pixels
    pixels = pixels.repeat(scale, 1).repeat(scale, 2) if scale > 1 else pixels
    return _mp4(pixels, pixels.shape[1:3], fps) if kind == ".mp4" else _pictures(pixels, fps, kind)


def _pictures(pixels: Array, fps: int, kind: str) -> bytes:
    pictures, each = [Image.fromarray(frame) for frame in pixels], round(1000 / fps)
    if kind == ".webp":
        return _webp(pictures, each, quality=90)
    buffer = io.BytesIO()
    pictures[0].save(buffer, "gif", save_all=True, append_images=pictures[1:], duration=each, loop=0, optimize=False)
    return buffer.getvalue()


def _webp(pictures: Sequence[Image.Image], milliseconds: int | list[int], *, quality: int) -> bytes:
    first, *rest = pictures
    about: dict[str, Any] = {"duration": milliseconds, "loop": 0, "icc_profile": srgb_profile()}
    buffer = io.BytesIO()
    first.save(buffer, "webp", save_all=True, append_images=rest, quality=quality, method=4, **about)
    return buffer.getvalue()


def _mp4(frames: Iterable[Array], size: tuple[int, int], fps: int) -> bytes:
    """Frames (h w c each) of a height and width as a video."""
    try:
        import av
    except ImportError:
        raise UsageError("an .mp4 needs PyAV: pip install 'zeuxis[video]', or write a .webp or .gif") from None
    height, width = (side - side % 2 for side in size)  # 4:2:0 halves the colour, so sides are even
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "medium"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        coder = stream.codec_context  # untagged, players take a small video's matrix for another than a large one's
        coder.color_primaries, coder.color_trc, coder.colorspace, coder.color_range = (
            _BT709,
            _SRGB_CURVE,
            _BT709,
            _LIMITED,
        )
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame[:height, :width].copy(), format="rgb24")
            picture = picture.reformat(
                format="yuv420p", dst_colorspace="ITU709", src_color_range="JPEG", dst_color_range="MPEG"
            )
            picture.colorspace, picture.color_range = _BT709, _LIMITED
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return buffer.getvalue()
