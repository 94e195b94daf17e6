"""Evaluation and comparison of models: `zeuxis evaluate` and `zeuxis compare`."""
