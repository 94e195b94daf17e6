"""The model card: the README.md beside saved weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from zeuxis import families
from zeuxis.data import DataSpec
from zeuxis.data.places import named_sets_of
from zeuxis.escaping import markdown, markdown_code
from zeuxis.model import Clock, Model, Translator
from zeuxis.storage import RunFolder
from zeuxis.training import contact_sheets
from zeuxis.training.command import command_line
from zeuxis.training.config import Recipe, starting_model
from zeuxis.training.state import State

LOADED = 'zeuxis.load("path/to/this/folder")'
_SAMPLE = 'zeuxis.sample(model, 64)  # shown in a notebook; .save("samples.png") writes it'
_TRANSLATE = 'zeuxis.translate(model, "photo.png")  # shown in a notebook; .save("translated.png") writes it'
_LIMITS = """
The model reproduces the biases and gaps of its training data, and may have memorized images of a small data set.
The weights grant no rights to the training images.
"""
_MOST_NAMED = 100
_TELLING = ("batch_size", "seed", "precision", "micro_batches", "resize_mode", "max_images", "hold_out", "hflip")


def _first_line(model: Model) -> str:
    """The summary in the docstring of the family's module."""
    return (sys.modules[type(model).__module__].__doc__ or "").strip().partition("\n")[0]


def _classes(model: Model) -> str:
    """The numbers and names of the classes, those of the first ones where they are many."""
    named = [f"{number} {markdown(name)}" for number, name in enumerate(model.class_names[:_MOST_NAMED])]
    more = ", ..." if len(model.class_names) > _MOST_NAMED else ""
    return f"\n\nClasses: {', '.join(named)}{more}." if named else ""


def _origins(data: DataSpec) -> str:
    """What the named sets of the data are, a line for each."""
    lines = [f"- `{each.name}`: {markdown(each.about)}" for each in named_sets_of(data)]
    return "\n".join(["\n", *lines]) if lines else ""


def _start(recipe: Recipe) -> str:
    """The model whose weights the run began with, in a sentence."""
    digest = recipe.started_from.get("sha256", "")
    name = markdown_code(starting_model(recipe))
    return f"\nIt started from the weights of `{name}` (SHA-256 `{markdown_code(digest)}`)." if digest else ""


def _settings(recipe: Recipe) -> dict[str, object]:
    told = {name: getattr(recipe.settings, name) for name in _TELLING}
    return told | {"init_from": starting_model(recipe) or None}


def _made_with(recipe: Recipe) -> dict[str, object]:
    """The versions; of the platform the system alone, as a card is given away."""
    return {name: value.partition("-")[0] if name == "platform" else value for name, value in recipe.versions.items()}


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{markdown(name)} {markdown(str(value))}" for name, value in values.items())


def save_model(run: RunFolder, recipe: Recipe, state: State) -> None:
    """Write the EMA of the weights with its card: the folder that `zeuxis.load` reads."""
    state.average.save(run.model_path)
    contact_sheets.write_text(run.model_path / "README.md", card(recipe, state.clock, state.average))


def card(recipe: Recipe, clock: Clock, model: Model) -> str:
    """The model, its training data and its training settings, in Markdown."""
    data, code = markdown(recipe.data.title), markdown_code(recipe.data.title)
    about = _first_line(model) if ":" in recipe.family else families.summary(recipe.family)
    origins = _origins(recipe.data)
    options = "\n".join(f"| {markdown(name)} | {markdown(str(value))} |" for name, value in recipe.options.items())
    return f"""\
# {recipe.family} on {data}

{about}

Trained by Zeuxis for {clock.step:,} steps ({clock.images:,} images seen) on {recipe.images:,} images of
`{code}` (fingerprint `{markdown_code(recipe.fingerprint)}`). The weights are the EMA.{_start(recipe)}{_classes(model)}{origins}

```
{markdown_code(command_line(recipe, type(model)))}
```

```python
import zeuxis
model = {LOADED}
{_TRANSLATE if isinstance(model, Translator) else _SAMPLE}
```

| option | value |
|---|---|
{options}

Settings: {_listed(_settings(recipe))}.
Made with {_listed(_made_with(recipe))}.
{_LIMITS}"""
