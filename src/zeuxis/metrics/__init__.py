"""Metrics of generative models: distances between image sets, and an attribute classifier."""
