"""Warnings of an evaluation: why its scores may mislead."""

from __future__ import annotations

NOTHING_HELD_OUT = "nothing is held out, so no score separates generalization from memorization of the training images"


def few_for_fid(count: int, dimensions: int) -> list[str]:
    """FID is biased upwards where there are few images for the dimensions of their features."""
    if count >= 2 * dimensions:
        return []
    return [
        f"{count:,} images are few for {dimensions:,} features, which biases FID upwards, also of real images; "
        f"compare FID at equal image counts only, or use more than {2 * dimensions:,}"
    ]
