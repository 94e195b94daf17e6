"""Runs that differ by their seed alone, as a group: the mean of a score over seeds, with its interval."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from zeuxis.judging.records import RunRecord

_SEED = re.compile(r"(^|-)seed-\d+(?=-|$)")
NOTE = "of several seeds: the mean ± half its 95 % interval, by Student's t over seeds"


@dataclass(frozen=True)
class SeedGroup:
    """The places of runs with one setting and different seeds, in the order given, and a name for them."""

    name: str
    places: tuple[int, ...]


def seed_groups(names: Sequence[str], records: Sequence[RunRecord]) -> list[SeedGroup]:
    """The runs, each group once, at the place of its first run; a run without others of its setting is alone.

    Runs are also alone where a seed comes twice.
    """
    by_setting: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        by_setting.setdefault(record.setting or f"alone {place}", []).append(place)
    found = []
    for places in by_setting.values():
        seeds = {records[place].seed for place in places}
        if len(places) == 1 or len(seeds) < len(places) or None in seeds:
            found += [SeedGroup(names[place], (place,)) for place in places]
        else:
            found.append(SeedGroup(_name([names[place] for place in places]), tuple(places)))
    return sorted(found, key=lambda group: group.places[0])


def _name(names: Sequence[str]) -> str:
    """What the names of the folders have in common, without numbers and seeds, and how many there are."""
    plain = [_SEED.sub("", name.partition("-")[2]).strip("-") for name in names]
    return f"{plain[0] or names[0]}, {len(names)} seeds"
