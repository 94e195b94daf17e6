"""A story as a film: pictures fade into the next while the mark moves along the curves."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from zeuxis.runtime.callbacks import ProgressCallback
from zeuxis.stories.scenes import Story
from zeuxis.stories.stage import Stage

FILM_FPS = 12
_FIRST, _LAST = 0.8, 2.5  # seconds that the first and the last picture stay
_MOST_FRAMES = 24  # between two pictures


def film(
    story: Story, *, seconds: float = 10.0, progress: ProgressCallback | None = None
) -> Iterator[tuple[Image.Image, float]]:
    """The frames of a story and the seconds that each stays.

    Each picture has the same time, however many steps lie between. `progress` is told the frames drawn, and of how many.
    """
    stage, scenes = Stage(story), story.scenes
    count = max(2, min(_MOST_FRAMES, round(seconds * FILM_FPS / max(1, len(scenes) - 1))))
    total = 1 + count * (len(scenes) - 1)
    yield stage.frame(scenes[0].picture, scenes[0].step, scenes[0].caption), _FIRST if len(scenes) > 1 else _LAST
    for place, (before, after) in enumerate(zip(scenes, scenes[1:])):
        for i in range(1, count + 1):
            if progress:
                progress(1 + place * count + i, total)
            share = i / count
            picture = Image.blend(before.picture, after.picture, _eased(share))
            step = before.step + share * (after.step - before.step)
            caption = (after if share > 0.75 else before).caption
            last = after is scenes[-1] and i == count
            yield stage.frame(picture, step, caption), _LAST if last else 1 / FILM_FPS


def _eased(share: float) -> float:
    """The share of the next picture: half of the time each is seen by itself."""
    t = min(1.0, max(0.0, (share - 0.5) / 0.5))
    return t * t * (3 - 2 * t)
