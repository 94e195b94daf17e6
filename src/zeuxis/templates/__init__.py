"""Files that `zeuxis new-family` copies: a family of each kind that runs as it is."""
