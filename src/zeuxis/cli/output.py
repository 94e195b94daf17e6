"""What commands print: lines whose text may come from outside, with nothing in them that a terminal obeys."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from zeuxis.escaping import printable
from zeuxis.runtime import launch


def say(*lines: str) -> None:
    """Print each line to stdout; of many processes the first one does."""
    if launch.rank() == 0:
        _print(lines, error=False)


def say_aside(*lines: str) -> None:
    """Print each line to stderr."""
    _print(lines, error=True)


def _print(lines: Iterable[str], *, error: bool) -> None:
    print("\n".join(map(printable, lines)), file=sys.stderr if error else sys.stdout)
