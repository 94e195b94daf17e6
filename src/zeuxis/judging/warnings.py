"""Warnings of an evaluation: why its scores may mislead."""

from __future__ import annotations

NOTHING_HELD_OUT = "nothing is held out, so no score tells a good model from one that memorized its training images"


def few_for_fid(count: int, dimensions: int) -> list[str]:
    """FID is biased upwards where there are few images for the dimensions of their features."""
    if count >= 2 * dimensions:
        return []
    return [
        f"{count:,} images are few for {dimensions:,} features: this biases FID upwards, for real images too; "
        f"compare it only with the FID of as many images, or judge by more than {2 * dimensions:,}"
    ]
