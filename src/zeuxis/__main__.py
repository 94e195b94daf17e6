"""`python -m zeuxis` is `zeuxis`."""

from zeuxis.cli import main

main()
