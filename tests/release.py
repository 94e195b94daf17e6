"""How much is tested: whether the counts of a release are wanted, which take hours, and what is left to `make long`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

RELEASE = os.environ.get("ZEUXIS_RELEASE") == "1"


def long_but(*quick: Any, among: Iterable[Any]) -> list[Any]:
    """Values for `parametrize`: all but the quick ones are left to `make long`."""
    return [each if each in quick else pytest.param(each, marks=pytest.mark.long) for each in among]
