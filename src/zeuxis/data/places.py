"""Where the data of a spec lies on the disk."""

from __future__ import annotations

import os

from zeuxis.data.image_files import FileSet
from zeuxis.data.specs import DataSpec, PairSpec


def paths_of(spec: DataSpec) -> list[str]:
    """The paths that are read; none of named sets."""
    ends = [spec.images, *([spec.source] if isinstance(spec, PairSpec) else [])]
    return [end.path for end in ends if isinstance(end, FileSet)]


def missing(spec: DataSpec) -> str | None:
    """The first path that is not there; None where all are."""
    return next((path for path in paths_of(spec) if not os.path.exists(path)), None)  # noqa: PTH110
