"""Latents of known attributes, and the sum that the view Arithmetic begins with."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch

from zeuxis.errors import UsageError
from zeuxis.explore.candidates import Candidates, choose_examples
from zeuxis.explore.expression import Term, Vocabulary, parse_terms, word
from zeuxis.web.requests import Reply

LABELLED = "labelled"  # among what is kept of a model
LECTURE = "smiling woman - neutral woman + neutral man"  # Radford 2015, figure 7
OF_EACH_TERM = 12  # of each term: the paper averages three, and more are surer
_ENOUGH = 3  # examples, without which there is no term
_SEARCHED = 16  # attributes among which a pair is looked for


@dataclass(frozen=True)
class LabelledSamples:
    """The vocabulary of a run's data, and latents whose attributes are known."""

    words: Vocabulary
    among: Candidates


def first_sum(labelled: LabelledSamples) -> Reply:
    """The sum as an answer: the names of its terms, and examples as seeds, or their means (3 ...); no names without one."""
    try:
        terms = sum_terms(labelled)
        chosen = choose_examples(
            terms, labelled.among, count=OF_EACH_TERM, confidence=_confidence(terms, labelled.among)
        )
    except UsageError:
        return Reply({"names": []})
    names, among = [term.text for term in terms], labelled.among
    if among.source == "seed":
        return Reply({"names": names, "seeds": [sorted(set(among.origins[at].tolist())) for at in chosen]})
    return Reply({"names": names}, numbers=torch.stack([among.latents[at].mean(0) for at in chosen]))


def sum_terms(labelled: LabelledSamples) -> list[Term]:
    """The terms of the lecture's sum; of data with other attributes, of the pair with the most examples.

    `UsageError` where no two attributes can be combined, as classes cannot.
    """
    words, among = labelled.words, labelled.among
    if words.exclusive:
        raise UsageError("classes exclude each other")
    try:
        terms = parse_terms(LECTURE, words)
        if _support(terms, among) >= _ENOUGH:
            return terms
    except UsageError:
        pass  # the data have other words
    pairs = itertools.permutations(range(min(len(words.names), _SEARCHED)), 2)
    sums = [_combined(words, changed, kept) for changed, kept in pairs]
    best = max(sums, key=lambda terms: _support(terms, among), default=None)
    if best is None or _support(best, among) < _ENOUGH:
        raise UsageError("no two attributes have examples in all their combinations")
    return best


def _combined(words: Vocabulary, changed: int, kept: int) -> list[Term]:
    """What is shown with an attribute, minus the same without it, plus what is shown without both."""
    parts = [(1.0, True, True), (-1.0, False, True), (1.0, False, False)]
    return [
        Term(weight, {changed: has, kept: is_so}, f"{word(changed, has, words)}, {word(kept, is_so, words)}")
        for weight, has, is_so in parts
    ]


def _support(terms: list[Term], among: Candidates) -> int:
    """How many examples the rarest term has."""
    return min(len(among.matching(term.wanted, 0.5)) for term in terms)


def _confidence(terms: list[Term], among: Candidates) -> float:
    """The surest that still leaves each term some examples."""
    tried = (0.9, 0.8, 0.7, 0.6)
    return next((c for c in tried if all(len(among.matching(t.wanted, c)) >= _ENOUGH for t in terms)), 0.5)
