"""`python -m zeuxis` is `zeuxis`."""

import os
import sys

import zeuxis

# Python puts the current folder first: a file there must not pass for a library, unless Zeuxis itself lies in it.
if sys.path[:1] in ([""], [os.getcwd()]) and sys.path[0] != os.path.dirname(zeuxis.__path__[0]):  # noqa: PTH109, PTH120
    del sys.path[0]

from zeuxis.cli import main

main()
