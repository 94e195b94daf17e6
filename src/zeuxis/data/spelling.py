"""How a word about data is spelled: `./photos` is always a path, `zeuxis:photos` always what Zeuxis knows by that name.

A bare word that could mean both is refused, and the error names both spellings.
"""

from __future__ import annotations

import os
import re

from zeuxis.data.catalog import NamedSet, set_names
from zeuxis.data.derived_sources import DERIVATIONS
from zeuxis.data.pairs import HALVES
from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.io.paths import expanded

PREFIX = "zeuxis:"
ARROW = " -> "
WORDS = (*DERIVATIONS, *HALVES)  # how sources are made of the target's images

# The translations of the first lecture, each of named sets.
TASKS = {
    "labels-to-photo": "maps.labels -> maps.aerial",
    "map-to-aerial": "maps.map -> maps.aerial",
    "aerial-to-map": "maps.aerial -> maps.map",
    "aerial-to-relief": "maps.aerial -> maps.relief",
    "day-to-night": "night.day -> night.night",
    "grey-to-colour": "grey -> avatars",
    "line-to-colour": "openmoji.line -> openmoji.colour",
    "plain-to-glasses": "avatars.plain -> avatars.glasses",
    "small-to-large": "small -> photos",
}
_TASK = re.compile(r"([a-z-]+)((?:/[a-z]+)?(?::\d+)?)")  # with the split and the count of both ends


def ends_of_task(word: str) -> tuple[str, str] | None:
    """Source and target of a task, marked as known by name; None where the word, less any mark, is no task."""
    match = _TASK.fullmatch(word.removeprefix(PREFIX))
    if match is None or match[1] not in TASKS:
        return None
    source, target = TASKS[match[1]].split(ARROW)
    return PREFIX + (source if source in WORDS else source + match[2]), PREFIX + target + match[2]


def is_there(path: str) -> bool:
    """Whether a path exists; False for any text that cannot be one."""
    return os.path.exists(expanded(path))  # noqa: PTH110  (answers for any text, one too long for a file's name too)


def check_one_meaning(word: str, kind: str = "named set") -> None:
    """Refuse a bare word that is known by name and is a path here, or begins with one (`maps/train`, `photos:100`).

    `UsageError` names both spellings.
    """
    uncounted = word.partition(":")[0]
    if any(map(is_there, (word, uncounted, uncounted.partition("/")[0]))):
        path = word if is_there(word) else uncounted
        raise UsageError(
            f"{word} is a {kind}, and the path {_own(word)} is there too: write ./{path} for the path, "
            f"{PREFIX}{word} for the {kind}"
        )


def _own(word: str) -> str:
    uncounted = word.partition(":")[0]
    return next(each for each in (word, uncounted, uncounted.partition("/")[0]) if is_there(each))


def is_path_with_arrow(text: str) -> bool:
    """Whether all of a text with an arrow in it is a path; `UsageError` where both its sides are paths too."""
    source, _, target = text.partition(ARROW)
    if is_there(text) and is_there(source) and is_there(target):
        raise UsageError(f"{text} is a path, and its two sides are paths too; rename one, so that it means one thing")
    return is_there(text)


def as_path(path: str) -> str:
    """A path as text that is read as a path, whatever else its bare name means."""
    known = NamedSet.parse(path) or ends_of_task(path) or path in WORDS or path.startswith(PREFIX)
    return os.path.join(os.curdir, path) if known else path  # noqa: PTH118  (`Path` drops the dot)


def named_set(word: str) -> NamedSet | None:
    """The set that a word names, with or without the mark; None for a path. `UsageError` where it could be both."""
    plain = word.removeprefix(PREFIX)
    found = NamedSet.parse(plain)
    if found is None and plain != word:
        raise UsageError(f"{quote(word)} names no data set; those known by name are {', '.join(set_names())}")
    if found is not None and plain == word:
        check_one_meaning(word)
    return found


def marked(text: str) -> str:
    """A text that a run stored, its names marked: paths are absolute there, so a bare word is never one."""
    if ends_of_task(text):
        return _marked(text)
    source, arrow, target = text.partition(ARROW)
    if not arrow or is_there(text):
        return _mark_set(text)
    return f"{_marked(source) if source in WORDS else _mark_set(source)}{ARROW}{_mark_set(target)}"


def _mark_set(word: str) -> str:
    return _marked(word) if NamedSet.parse(word) else word


def _marked(word: str) -> str:
    return PREFIX + word.removeprefix(PREFIX)
