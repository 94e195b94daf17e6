"""Judging models: what `zeuxis evaluate` and `zeuxis compare` do."""
