"""The quality that recorded runs had, as the table that `zeuxis plan` reads: made of results/quality.jsonl.

    python bench/known_quality.py            # writes src/zeuxis/training/known_quality.json

A row has the mean over seeds. Models outside Zeuxis, and runs with options of their own, are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import standings
from zeuxis import registry
from zeuxis.io import files

RESULTS = Path(__file__).parent / "results" / "quality.jsonl"
TABLE = Path(__file__).parents[1] / "src" / "zeuxis" / "training" / "known_quality.json"


def main() -> None:
    files.write_file(TABLE, text(standings.read(RESULTS)).encode())


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as JSON, a row a line."""
    lines = ",\n  ".join(json.dumps(row) for row in known(rows))
    return f'{{"made by": "python bench/known_quality.py", "rows": [\n  {lines}\n]}}\n'


def known(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of families with their own defaults: minutes of two cores, images seen, FID and that of real images."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        has_fid = any(each["name"] == standings.FID for each in row["scores"])
        if row["model"] in registry.built_in() and not row["chosen"] and has_fid:
            key = tuple(row[name] for name in ("data", "model", "size", "channels", "minutes"))
            groups.setdefault(key, []).append(row)
    return [_mean(key, groups[key]) for key in sorted(groups)]


def _mean(key: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scores = [standings.score(row, standings.FID) for row in rows]
    about = dict(zip(("data", "family", "size", "channels", "minutes"), key))
    images = round(sum(row["images"] for row in rows) / len(rows))
    fid, real = (round(sum(score[name] for score in scores) / len(rows), 1) for name in ("value", "real"))
    return {**about, "images": images, "fid": fid, "real": real, "seeds": len(rows)}


if __name__ == "__main__":
    main()
