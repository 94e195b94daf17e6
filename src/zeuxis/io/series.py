"""Very many pictures into one folder: each whole or not there, encoded beside the drawing, and one sync at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from zeuxis.io import files, images
from zeuxis.io.images import Array

_AHEAD = 256  # pictures that wait to be written: what memory they take does not grow with their number


def write_series(
    folder: str | Path, pictures: Iterable[tuple[str, Array]], *, wrote: Callable[[str], None] | None = None
) -> None:
    """Write pictures (h w c, in uint8) under their names as PNG into the folder, which is made; `wrote` is told each name.

    They are taken from the iterable as they can be written. Where it raises, or the disk is full, those written remain.
    """
    folder = Path(folder)
    files.make_folder(folder)
    waiting: deque[tuple[str, Future[None]]] = deque()

    def settle(left: int) -> None:
        while len(waiting) > left:
            name, written = waiting[0]
            written.result()
            waiting.popleft()
            if wrote:
                wrote(name)

    try:
        with ThreadPoolExecutor(1) as pool:  # compressing needs no lock of Python, and half the time of drawing
            try:
                for name, pixels in pictures:
                    waiting.append((name, pool.submit(_write, folder / name, pixels)))
                    settle(_AHEAD)
                settle(0)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        files.sync_volume(folder)


def _write(path: Path, pixels: Array) -> None:
    flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    files.write_file(path, images.png(Image.fromarray(flat)), durable=False)
