"""Whether this process is the kernel of a notebook."""

from __future__ import annotations

import sys
from typing import Any


def in_kernel() -> bool:
    """Whether code runs in a notebook's kernel; IPython is only asked where it has been imported."""
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
