"""Judging generative models: distances between images, and what attributes they show."""
