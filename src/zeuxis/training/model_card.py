"""The model card: the README.md beside saved weights."""

from __future__ import annotations

import sys

from zeuxis import families
from zeuxis.escaping import markdown, markdown_code
from zeuxis.model import Clock, Model, Translator
from zeuxis.training.config import Recipe

_SAMPLE = 'zeuxis.sample(model, 64)  # shown in a notebook; .save("samples.png") writes it'
_TRANSLATE = 'zeuxis.translate(model, "photo.png")  # shown in a notebook; .save("translated.png") writes it'
_MOST_NAMED = 100
_TELLING = ("batch_size", "seed", "precision", "micro_batches", "resize_mode", "max_images", "hflip", "init_from")


def _first_line(model: Model) -> str:
    """The summary in the docstring of the family's module."""
    return (sys.modules[type(model).__module__].__doc__ or "").strip().partition("\n")[0]


def _classes(model: Model) -> str:
    """The numbers and names of the classes, those of the first ones where they are many."""
    named = [f"{number} {markdown(name)}" for number, name in enumerate(model.class_names[:_MOST_NAMED])]
    more = ", ..." if len(model.class_names) > _MOST_NAMED else ""
    return f"\n\nClasses: {', '.join(named)}{more}." if named else ""


def card(recipe: Recipe, clock: Clock, model: Model) -> str:
    """The model, its training data and its training settings, in Markdown."""
    data, code = markdown(recipe.data.title), markdown_code(recipe.data.title)
    about = _first_line(model) if ":" in recipe.family else families.summary(recipe.family)
    options = "\n".join(f"| {markdown(name)} | {markdown(str(value))} |" for name, value in recipe.options.items())
    settings = ", ".join(f"{name} {markdown(str(getattr(recipe.settings, name)))}" for name in _TELLING)
    made_with = ", ".join(f"{markdown(name)} {markdown(str(version))}" for name, version in recipe.versions.items())
    return f"""\
# {recipe.family} on {data}

{about}

Trained by Zeuxis for {clock.step:,} steps ({clock.images:,} images seen) on {recipe.images:,} images of
`{code}` (fingerprint `{markdown_code(recipe.fingerprint)}`). The weights are the EMA.{_classes(model)}

```python
import zeuxis
model = zeuxis.load("path/to/this/folder")
{_TRANSLATE if isinstance(model, Translator) else _SAMPLE}
```

| option | value |
|---|---|
{options}

Settings: {settings}.
Made with {made_with}.

The model reproduces the biases and gaps of its training data, and may have memorized images of a small data set.
The weights grant no rights to the training images.
"""
