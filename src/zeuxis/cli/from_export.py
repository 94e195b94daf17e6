"""`zeuxis sample` by onnxruntime, where an exported file lies beside the model: without PyTorch, which takes a second."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zeuxis.cli import flags
from zeuxis.cli.output import say
from zeuxis.errors import UsageError
from zeuxis.io.run_names import RUNS, holds_file, runs_called
from zeuxis.runtime import launch

if TYPE_CHECKING:
    from zeuxis.io.images import Array

_MOST = 64  # images: for more PyTorch is worth its import
_FLAGS = {"-n": "number", "--number": "number", "--seeds": "seeds", "--columns": "columns", "--out": "out"}


class _Asked(NamedTuple):
    """A contact sheet, as `zeuxis sample` is asked for one."""

    model: str
    seeds: Sequence[int]
    columns: int | None
    out: Path | None


def drawn_from_export(words: Sequence[str]) -> bool:
    """Whether the words ask for a sheet that an exported file can draw; then it is drawn, and nothing is left to do.

    The file is `model.onnx` in the folder of the model or of its run, exported by this user from these very weights.
    """
    asked = _asked(words)
    if asked is None or launch.world_size() > 1 or importlib.util.find_spec("onnxruntime") is None:
        return False
    folder = _folder(asked.model)
    content = None if folder is None else _content(folder)
    if folder is None or content is None:
        return False
    try:
        pixels = _pixels(content, asked.seeds)
    except Exception:  # the runtime raises a kind of its own for each of its reasons; PyTorch draws all the same
        return False
    _save(pixels, asked, folder)
    return True


def _asked(words: Sequence[str]) -> _Asked | None:
    """What is asked for; None where it is anything but a few seeds on a sheet, or not as it should be."""
    if len(words) < 2 or words[0] != "sample" or words[1].startswith("-") or len(words) % 2:
        return None
    given: dict[str, str] = {}
    for flag, value in zip(words[2::2], words[3::2]):
        if flag not in _FLAGS or _FLAGS[flag] in given or value.startswith("-"):
            return None
        given[_FLAGS[flag]] = value
    out = Path(given["out"]) if "out" in given else None
    try:
        seeds = flags.seeds(given["seeds"]) if "seeds" in given else range(flags.count(given.get("number", "64")))
        columns = flags.count(given["columns"]) if "columns" in given else None
    except ValueError:
        return None
    fits = 1 <= len(seeds) <= _MOST and {"seeds", "number"} - given.keys() and 1 <= (columns or 1) <= 1000
    return _Asked(words[1], seeds, columns, out) if fits and (out is None or out.suffix == ".png") else None


def _folder(model: str) -> Path | None:
    """The folder of the model, if the word names one here, or a run under runs/; a folder that is looked through."""
    from zeuxis.io.guard import check_folder

    found = [folder for folder in (Path(model), Path(model) / "model") if holds_file(folder, "config.json")]
    if not found:
        called, _ = runs_called(model, RUNS)
        found = [run / "model" for run in called if len(called) == 1 and holds_file(run / "model", "config.json")]
    if not found or (found[0] != Path(model) and found[0].is_symlink()):
        return None
    try:
        if _run_of(found[0]):
            check_folder(found[0].parent)
    except UsageError:  # which PyTorch's way says, too
        return None
    return found[0]


def _run_of(folder: Path) -> Path | None:
    return folder.parent if holds_file(folder.parent, "config.yaml") else None


def _content(folder: Path) -> bytes | None:
    """The exported file of the model in a folder; None where there is none that may be used."""
    from zeuxis.io.exported import noted_export

    for place in filter(None, (_run_of(folder), folder)):
        if holds_file(place, "model.onnx") and (content := noted_export(folder, place / "model.onnx")):
            return content
    return None


def _pixels(content: bytes, seeds: Sequence[int]) -> Array:
    """The images of the seeds: uint8 n h w c."""
    import numpy as np

    from zeuxis.io.normals import seeded_normals

    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape[1:]
    z = np.stack([seeded_normals(seed, int(np.prod(shape))).reshape(shape) for seed in seeds])
    images = session.run(["image"], {"z": z})[0]
    pixels: Array = np.rint((images + 1) * 127.5).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels)


def _save(pixels: Array, asked: _Asked, folder: Path) -> None:
    from zeuxis.io import images, pictures

    run = _run_of(folder)
    place = asked.out or (run / "figures" / "samples.png" if run else Path("samples.png"))
    scale = pictures.sheet_scale(pixels.shape[2])
    images.write_png(
        images.sheet_of_pixels(pixels, columns=asked.columns, scale=scale), pictures.place_for(place, (".png",))
    )
    say(f"wrote {place}")
