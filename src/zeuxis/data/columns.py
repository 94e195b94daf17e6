"""Columns of a table as attributes: which words say yes and no, which say nothing, and which column is no attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zeuxis.data.listing import Attribute
from zeuxis.escaping import quote

_YES = frozenset({"true", "yes", "y", "t"})
_NO = frozenset({"false", "no", "n", "f"})
_NOTHING = frozenset({"", "nan", "na", "n/a", "null", "none", "?"})
_OPPOSITES = {"smiling": "neutral", "male": "female", "female": "male", "woman": "man", "man": "woman", "young": "old"}
_OPPOSITES |= {name: f"no {name}" for name in ("glasses", "eyeglasses", "beard", "hat", "makeup", "bangs")}
_FEW = 20  # images without a value are left out up to one of so many; of a column with more nothing is used


@dataclass(frozen=True)
class AttributeColumn:
    """What a column says of each row: yes, no, or nothing (None); `odd` is the first cell that is none of these."""

    name: str
    values: list[bool | None]
    odd: str = ""
    refused: str = ""  # why it is no attribute; "" where it is one

    @property
    def known(self) -> int:
        """Rows that say yes or no."""
        return sum(value is not None for value in self.values)


def classify(name: str, cells: Sequence[Any], wheres: Sequence[str]) -> AttributeColumn:
    """A column by its cells, and the words for where each is."""
    texts = ["" if cell is None else str(cell) for cell in cells]
    said, strange = _meanings(set(texts))
    if strange:
        place = next(place for place, text in enumerate(texts) if text in strange)
        odd = f"{name!r} is no attribute: {quote(cells[place])} ({wheres[place]}) is neither yes nor no"
        return AttributeColumn(name, [], odd, odd)
    values = [said[text] for text in texts]
    return AttributeColumn(name, values, refused=_refused(name, texts, values, wheres))


def _meanings(texts: set[str]) -> tuple[dict[str, bool | None], set[str]]:
    """What each of the texts says; and those that say neither yes nor no nor nothing."""
    said, strange = {}, set()
    for text in texts:
        try:
            said[text] = truth(text)
        except ValueError:
            strange.add(text)
    return said, strange


def truth(cell: str) -> bool | None:
    """Yes, no, or nothing, as True, False or None; `ValueError` for any other cell. CelebA says no by -1."""
    text = cell.strip().lower()
    if text in _NOTHING:
        return None
    if text in _YES or text in _NO:
        return text in _YES
    if (number := float(text.replace(",", "."))) not in (-1, 0, 1):
        raise ValueError(cell)
    return number == 1


def attribute(column: str) -> Attribute:
    """`Wearing_Hat` becomes the words that a person would type."""
    name = " ".join(column.replace("_", " ").lower().split())
    return Attribute(name, name.removeprefix("no ") if name.startswith("no ") else _OPPOSITES.get(name, ""))


def _refused(name: str, texts: list[str], values: list[bool | None], wheres: Sequence[str]) -> str:
    empty = values.count(None)
    if empty == len(values):
        return f"{name!r} is no attribute: no row has a value for it"
    if empty > max(1, len(values) // _FEW):
        first = wheres[values.index(None)]
        return f"{name!r} is left out: {empty:,} of {len(values):,} rows have no value, the first {first}"
    zeros, below = ([text for text in set(texts) if _is_number(text, number)] for number in (0, -1))
    if zeros and below:
        zero, one = (wheres[min(map(texts.index, each))] for each in (zeros, below))
        return f"{name!r} is left out: it has 0 ({zero}) and -1 ({one}), and one of them may mean unknown"
    return ""


def _is_number(text: str, number: int) -> bool:
    try:
        return float(text.strip().replace(",", ".")) == number
    except ValueError:
        return False
