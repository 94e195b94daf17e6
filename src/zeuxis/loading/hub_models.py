"""Models on the Hugging Face hub: the few files of one, copied out of the hub's cache and read as any other model's."""

from __future__ import annotations

import os
import shutil
from functools import lru_cache
from pathlib import Path

from zeuxis import hub
from zeuxis.errors import UsageError
from zeuxis.hub import SCHEME as SCHEME
from zeuxis.io import cache, files
from zeuxis.storage import models

# What a published model may have; anything else in its repository is not downloaded.
FILES = ("config.json", "model.safetensors", "README.md", "evaluation.json", "samples.png", "sources.png")
_DESCRIPTION = 1 << 20  # bytes


@lru_cache(maxsize=64)
def downloaded(text: str) -> Path:
    """The folder of the model that `hf://USER/NAME` or `hf://USER/NAME@REVISION` names, asked for once in a process.

    Its description is read first: of what is no model of Zeuxis no more is downloaded. `UsageError` where the hub has none,
    or can neither be reached nor has been before.
    """
    model = hub.HubModel.parse(text)
    described = hub.download(model, FILES[:1]) / "config.json"
    commit = described.parent.name
    if not described.is_file():
        raise UsageError(f"{model} is no model of Zeuxis: its repository has no config.json; give another")
    folder = cache.folder("hub", model.name.replace("/", "--"), commit) / model.name.rpartition("/")[2]
    if not (folder / "config.json").is_file():
        models.parse_description(files.read_bytes(described, max_bytes=_DESCRIPTION), f"config.json of {model}")
        found = hub.download(model.at(commit), FILES)
        if not (found / "model.safetensors").is_file():
            raise UsageError(f"{model} has no model.safetensors, the one format of weights that is read; give another")
        _copy(found, folder)
    return folder


def _copy(found: Path, folder: Path) -> None:
    """Make the folder of the files found, whole or not at all."""
    draft = files.temporary(folder)
    try:
        with files.explained(folder, 0):
            draft.mkdir(mode=cache.folder_mode())
            for name in FILES:
                if (found / name).is_file():
                    _put(found / name, draft / name)
            if not folder.exists():  # another process may be quicker
                draft.replace(folder)
    finally:
        files.discard(draft)


def _put(source: Path, target: Path) -> None:
    """The file under a second name, or a copy of it: in the hub's cache it is a link, and a model's folder has none."""
    file = os.path.realpath(source)
    try:
        os.link(file, target)
    except OSError:  # another volume, or one without hard links
        shutil.copyfile(file, target)
