"""The language of latent arithmetic: "smiling woman - neutral woman + neutral man" as weighted terms of attributes."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zeuxis.data.listing import Attribute
from zeuxis.errors import UsageError

IGNORED = frozenset({"with", "a", "an", "the", "and", "person", "face"})
NEGATIONS = frozenset({"without", "no", "not"})


@dataclass(frozen=True)
class Term:
    """One term: its weight (negative after a minus), its attributes (index: present?), and its words."""

    weight: float
    wanted: dict[int, bool]
    text: str


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of terms: attributes as pairs (name, opposite), or mutually exclusive classes."""

    names: tuple[tuple[str, str], ...]
    exclusive: bool = False

    def describe(self) -> str:
        """The vocabulary, for error messages."""
        words = [name if not opposite else f"{name} / {opposite}" for name, opposite in self.names]
        return f"{'classes' if self.exclusive else 'attributes'}: {', '.join(words)}"


def vocabulary(attributes: Sequence[Attribute], classes: Sequence[str] = ()) -> Vocabulary:
    """The vocabulary of a data set: its attributes where it has some, otherwise its classes."""
    if attributes:
        return Vocabulary(tuple((item.name, item.opposite) for item in attributes))
    if classes:
        return Vocabulary(tuple((name, "") for name in classes), exclusive=True)
    raise UsageError("the data has neither attributes nor classes; give the seeds of each term by hand")


def parse_terms(text: str, words: Vocabulary) -> list[Term]:
    """The terms of an expression; `UsageError` for an unknown word, with the vocabulary.

    Terms are joined by + and - (a minus needs a space before it: "t-shirt" is one word), may carry a weight
    ("0.5 * smiling man"), and consist of attributes' names and opposites, in any order. "without" and "no" negate
    the attribute that follows.
    """
    phrases = _phrases(words)
    composed = unicodedata.normalize("NFC", text)  # as the names of classes and attributes are
    return [_term(sign, part, phrases, words) for sign, part in _parts(composed)]


def target(terms: Sequence[Term], words: Vocabulary) -> dict[int, bool]:
    """The target of the result, for each named attribute: whether the sum of weight * {1, 0} exceeds 0.5.

    An attribute at exactly 0.5 is left open. Of classes the result should be the only one whose sum is above 0.5;
    `UsageError` where there is none, or more than one.
    """
    sums: dict[int, float] = {}
    for term in terms:
        for index, present in term.wanted.items():
            sums[index] = sums.get(index, 0.0) + term.weight * present
    if not words.exclusive:
        return {index: total > 0.5 for index, total in sorted(sums.items()) if abs(total - 0.5) > 1e-6}
    above = [index for index, total in sums.items() if total > 0.5]
    if len(above) != 1:
        found = " and ".join(words.names[index][0] for index in above) or "none"
        raise UsageError(f"the classes of the terms add up to {found}; a score needs them to add up to one class")
    return {above[0]: True}


def base(terms: Sequence[Term]) -> int:
    """The index of the base term, to which the others are added.

    It is the last added term without which the weights come to zero: in a - b + c the c. Where there is none, the
    last added term.
    """
    added = [place for place, term in enumerate(terms) if term.weight > 0]
    total = sum(term.weight for term in terms)
    changed = [place for place in added if abs(total - terms[place].weight) < 1e-6]
    return (changed or added or [len(terms) - 1])[-1]


def wording(wanted: dict[int, bool], words: Vocabulary) -> str:
    """The attributes as words: "smiling, man"."""
    return ", ".join(word(index, present, words) for index, present in wanted.items())


def word(index: int, present: bool, words: Vocabulary) -> str:
    """One attribute, or its absence, as a word."""
    name, opposite = words.names[index]
    return name if present else opposite or f"no {name}"


def _parts(text: str) -> Iterator[tuple[float, str]]:
    """The terms as (sign, words); the first sign may be left out."""
    pieces = re.split(r"([+\u2212\u2013]|(?:(?<=\s)|^)-)", text.strip())
    if not pieces[0].strip():
        pieces = pieces[1:]  # it begins with a sign
    else:
        pieces = ["+", *pieces]
    if not pieces:
        raise UsageError('the expression is empty; write for example "smiling woman - neutral woman + neutral man"')
    for sign, part in zip(pieces[::2], pieces[1::2]):
        if not part.strip():
            raise UsageError(f"nothing stands after a {sign} in {text!r}; write a term there, or leave the sign out")
        yield (1.0 if sign == "+" else -1.0), part.strip()


def _term(sign: float, part: str, phrases: dict[tuple[str, ...], tuple[int, bool]], words: Vocabulary) -> Term:
    weighted = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*[*\u00d7\u00b7]\s*(.+)", part)
    weight, text = (float(weighted[1]), weighted[2]) if weighted else (1.0, part)
    wanted: dict[int, bool] = {}
    for index, present in _attributes(_split(text), phrases, words):
        if wanted.get(index, present) != present or (words.exclusive and wanted and index not in wanted):
            raise UsageError(f"{text!r} contradicts itself; {_both(index, wanted, words)}")
        wanted[index] = present
    if not wanted:
        raise UsageError(f"{text!r} names no attribute; there are the {words.describe()}")
    return Term(sign * weight, wanted, text)


def _both(index: int, wanted: dict[int, bool], words: Vocabulary) -> str:
    """Why a term contradicts itself."""
    if words.exclusive:
        return f"an image has one class, not both {words.names[next(iter(wanted))][0]} and {words.names[index][0]}"
    name, opposite = words.names[index]
    return f"no image is both {name} and {opposite or 'not ' + name}"


def _attributes(
    tokens: list[str], phrases: dict[tuple[str, ...], tuple[int, bool]], words: Vocabulary
) -> Iterator[tuple[int, bool]]:
    """The attributes that the words name, the longest phrase first."""
    longest = max(map(len, phrases))
    at, negated = 0, False
    while at < len(tokens):
        sizes = range(min(longest, len(tokens) - at), 0, -1)
        size = next((n for n in sizes if tuple(tokens[at : at + n]) in phrases), 0)
        if size:
            index, present = phrases[tuple(tokens[at : at + size])]
            yield index, present != negated
            negated = False
        elif tokens[at] in NEGATIONS:
            negated = True
        elif tokens[at] not in IGNORED:
            raise UsageError(_unknown(tokens[at], phrases, words))
        at += max(size, 1)
    if negated:
        raise UsageError(f"nothing follows {tokens[-1]!r}; name the attribute that should be absent")


def _phrases(words: Vocabulary) -> dict[tuple[str, ...], tuple[int, bool]]:
    """All names of an attribute: in full, one side of a slash ("t-shirt/top"), or a word unique to it."""
    exact: dict[tuple[str, ...], tuple[int, bool]] = {}
    parts: dict[tuple[str, ...], list[tuple[int, bool]]] = {}
    for index, pair in enumerate(words.names):
        for name, present in zip(pair, (True, False)):
            if not name:
                continue
            exact[tuple(_split(name))] = (index, present)
            if NEGATIONS.intersection(_split(name)):
                continue  # "glasses" alone must not mean "no glasses"
            sides = [tuple(_split(side)) for side in name.split("/")]
            for part in {*sides, *((word,) for word in _split(name))}:
                parts.setdefault(part, []).append((index, present))
    for part, meanings in parts.items():
        if len(set(meanings)) == 1 and part[0] not in IGNORED | NEGATIONS:
            exact.setdefault(part, meanings[0])
    return exact


def _split(text: str) -> list[str]:
    return [word for word in re.split(r"[\s_/,-]+", text.lower()) if word]


def _unknown(word: str, phrases: dict[tuple[str, ...], tuple[int, bool]], words: Vocabulary) -> str:
    known = sorted({" ".join(phrase) for phrase in phrases})
    near = difflib.get_close_matches(word, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"no attribute or class {word!r}{hint}; there are the {words.describe()}"
