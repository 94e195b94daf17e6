"""Where the data of a spec come from: paths on the disk, and named sets."""

from __future__ import annotations

import os

from zeuxis.data.catalog import NamedSet
from zeuxis.data.image_files import FileSet
from zeuxis.data.specs import DataSpec, ImageSet, PairSpec


def paths_of(spec: DataSpec) -> list[str]:
    """The paths that are read; none of named sets."""
    return [end.path for end in _ends(spec) if isinstance(end, FileSet)]


def named_sets_of(spec: DataSpec) -> list[NamedSet]:
    """The named sets that are read, each name once."""
    return list({end.name: end for end in _ends(spec) if isinstance(end, NamedSet)}.values())


def _ends(spec: DataSpec) -> list[ImageSet | str]:
    return [spec.images, *([spec.source] if isinstance(spec, PairSpec) else [])]


def missing(spec: DataSpec) -> str | None:
    """The first path that is not there; None where all are."""
    return next((path for path in paths_of(spec) if not os.path.exists(path)), None)  # noqa: PTH110
