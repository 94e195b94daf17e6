"""Whether the counts of a release are wanted: larger than those of every test run, and taking hours."""

from __future__ import annotations

import os

RELEASE = os.environ.get("ZEUXIS_RELEASE") == "1"
