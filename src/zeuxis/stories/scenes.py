"""The scenes of a run's story, gathered from its folder: contact sheets, rows of metrics, log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from zeuxis import loading
from zeuxis.charts.histories import FID, History
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.io.images import to_uint8
from zeuxis.model import Latent, Model, Translator
from zeuxis.storage import RunFolder
from zeuxis.stories.captions import Caption, Captions
from zeuxis.stories.sheets import Cut, read_tiles
from zeuxis.training import config, engine
from zeuxis.training.build import build
from zeuxis.training.config import Recipe
from zeuxis.training.curves import history_of
from zeuxis.training.log_file import LONGEST_LOG, log_lines
from zeuxis.training.standing import RunState, state_of
from zeuxis.training.summary import sheets_of

MOST_SCENES = 60
_EXAMPLES = 4  # of a translator, a row each


@dataclass(frozen=True)
class Scene:
    """The pictures of one step, and their caption."""

    step: int
    picture: Image.Image
    caption: Caption


@dataclass(frozen=True)
class Story:
    """A run from its first picture to its newest; `missing` says in lines what could not be told, and why."""

    history: History
    cut: Cut
    scenes: Sequence[Scene]
    missing: Sequence[str]


def gather_story(run: RunFolder) -> Story:
    """The story of a run, which may still be training; `UsageError` where it has no contact sheet yet."""
    recipe, history = config.read_recipe(run.config), history_of(run)
    family = _family(recipe)
    cut, problems = _cut(recipe, family), list[str]()
    captions = Captions(history.rows, list(log_lines(run.path / "log.txt", tail=LONGEST_LOG)), recipe.options)
    sheets = sheets_of(run)
    chosen = _spread(sheets, MOST_SCENES)
    pictures = dict(_pictures(chosen, cut, problems))
    if not pictures:
        why = (
            f" ({problems[0]})" if problems else f"; the first is due at step {min(100, recipe.settings.sample_every)}"
        )
        raise UsageError(f"{run.path} has no contact sheet yet{why}")
    first = {0: beginning} if (beginning := _beginning(recipe, family, cut)) else {}
    scenes = [Scene(step, picture, captions.at(step)) for step, picture in {**first, **pictures}.items()]
    missing = [*problems, *_missing(recipe, history, scenes, state_of(run, recipe))]
    if len(chosen) < len(sheets):
        missing.append(f"{len(chosen)} of {len(sheets)} contact sheets are shown, evenly spaced")
    return Story(history, cut, scenes, missing)


def _family(recipe: Recipe) -> type[Model] | None:
    """The family's class; None where it is of code that nobody vouches for here."""
    try:
        return loading.trusted(recipe.family, None)
    except UsageError:
        return None


def _cut(recipe: Recipe, family: type[Model] | None) -> Cut:
    """What is taken of each sheet: 16 samples, or of a translator some sources with their translations and targets."""
    size = recipe.options.get("size")
    if not isinstance(size, int) or size < 1:
        raise UsageError(f"config.yaml has size: {size!r} among its options, expected the pixels of a picture")
    if family is None or not issubclass(family, Translator):
        return Cut(size)
    names = ["source", "translation", "target", *family.directions[1:]]
    return Cut(size, _EXAMPLES * len(names), len(names), names)


def _pictures(sheets: Sequence[tuple[int, Path]], cut: Cut, problems: list[str]) -> Iterator[tuple[int, Image.Image]]:
    """The grids of the sheets that can be read, by step; what is wrong with others becomes a line."""
    for step, path in sheets:
        try:
            yield step, cut.grid(read_tiles(path, cut.size))
        except UsageError as error:
            problems.append(f"left out: {error}")


def _beginning(recipe: Recipe, family: type[Model] | None, cut: Cut) -> Image.Image | None:
    """The pictures before the first step: the first weights are a function of the recipe. None where there are none."""
    if family is None or not issubclass(family, Latent) or recipe.settings.init_from:
        return None
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            model = build(family, recipe.options, seed=recipe.settings.seed, device=torch.device("cpu")).eval()
            assert isinstance(model, Latent)
            torch.manual_seed(engine.hash_seed(recipe.settings.seed, 0))
            pixels = to_uint8(model.sample(cut.count))
    except (ZeuxisError, RuntimeError, MemoryError):  # too large for this computer, say: the story begins later
        return None
    flat = pixels[..., 0] if pixels.shape[3] == 1 else pixels
    return cut.grid([Image.fromarray(each) for each in flat])


def _missing(recipe: Recipe, history: History, scenes: Sequence[Scene], state: RunState) -> Iterator[str]:
    """What the story lacks, in lines."""
    if scenes[0].step:
        yield f"the first picture is of step {scenes[0].step:,}: what came before was not drawn"
    sheets = sum(scene.step > 0 for scene in scenes)
    if sheets < 3:
        yield f"{sheets} contact sheet{'s' if sheets > 1 else ''}: train longer, or with a lower --sample-every"
    if not history.rows:
        yield "no row of metrics: there are no curves"
    elif not any(name.startswith(FID) for row in history.rows for name in row):
        yield "no FID: it is measured with --evaluate-every"
    if state != "done":
        steps = "" if recipe.settings.endless else f" of {recipe.settings.last_step:,}"
        yield f"the run is {_WORDS[state]} at step {scenes[-1].step:,}{steps}: the story ends there"


_WORDS = {"training": "still training", "stopped": "stopped", "failed": "ended by an error"}


def _spread(sheets: Sequence[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    """At most so many of the sheets, evenly spaced, the first and the last among them."""
    if len(sheets) <= most:
        return list(sheets)
    return [sheets[i * (len(sheets) - 1) // (most - 1)] for i in range(most)]
