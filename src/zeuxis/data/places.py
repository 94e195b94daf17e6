"""Where the data of a spec lies on the disk, or how what lies nowhere is given again."""

from __future__ import annotations

import os
from dataclasses import replace

from zeuxis.data.catalog import NamedSet
from zeuxis.data.image_files import FileSet
from zeuxis.data.meaning import ImageSet
from zeuxis.data.specs import Data, DataSpec, PairSpec
from zeuxis.errors import DataError


def paths_of(spec: DataSpec) -> list[str]:
    """The paths that are read; none of named sets, nor of images in memory."""
    return [path for end in _ends(spec) if isinstance(end, FileSet) for path in end.paths]


def named_sets_of(spec: DataSpec) -> list[NamedSet]:
    """The named sets that are read, each name once."""
    return list({end.name: end for end in _ends(spec) if isinstance(end, NamedSet)}.values())


def is_named(spec: DataSpec) -> bool:
    """Whether a name gives all of the data, wherever it is typed: no path is read, and nothing lies in memory."""
    return all(isinstance(end, (NamedSet, str)) for end in _ends(spec))


def _ends(spec: DataSpec) -> list[ImageSet | str]:
    return [spec.images, *([spec.source] if isinstance(spec, PairSpec) else [])]


def missing(spec: DataSpec) -> str | None:
    """The first path that is not there; None where all are."""
    return next((path for path in paths_of(spec) if not os.path.exists(path)), None)  # noqa: PTH110


def given_again(data: Data, recorded: DataSpec) -> DataSpec:
    """The data of a run as it is given again; `DataError` where its content is not what the run recorded."""
    found = DataSpec.parse(data, resize_mode=recorded.resize_mode, max_images=recorded.max_images)
    spec: DataSpec = replace(found, hold_out=recorded.hold_out)
    if isinstance(recorded, PairSpec) and isinstance(recorded.source, str):
        spec = spec.with_source(recorded.source)
    if str(spec.absolute()) != str(recorded):
        raise DataError(f"the data is {spec.absolute()}, and that of the run {recorded}; give the same data again")
    return spec
