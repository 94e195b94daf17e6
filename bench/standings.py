"""The rows that `quality.py` leaves (JSON, one a line), as a table in Markdown and as curves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zeuxis import renamed
from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.judging.attributes import CHANGED, KEPT
from zeuxis.judging.report import format_score

Row = Mapping[str, Any]
FID = "FID[lite0]"
SCORES = (FID, "KID[lite0]", "precision[lite0]", "recall[lite0]", "memorization rate")
# Of models that translate; those of the way back carry its name before.
NEAR = ("L1 (of 255)", "PSNR (dB)", "SSIM", "PSNR of Y (dB)", "SSIM of Y", "VGG-feature distance", CHANGED, KEPT)
_HEADS = ("minutes", "model", "seed", "images seen")
# Colours that are told apart by those who see few of them (Okabe and Ito 2008).
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8B5A2B",
    "#7F3C8D",
    "#A0C000",
)


def read(path: Path) -> list[dict[str, Any]]:
    """The rows, in the order they came; `UsageError` where one is damaged."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [_renamed(json.loads(line)) for line in lines]
    except ValueError:
        raise UsageError(f"{path} has a line that is no JSON; correct it") from None


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the names that its scores have today."""
    scores = [{**each, "name": renamed.SCORES.get(each["name"], each["name"])} for each in row.get("scores", [])]
    return row | ({"scores": scores} if scores else {})


def add(path: Path, row: Row) -> None:
    """Add a row, in place of one of the same name and minutes."""
    files.make_folder(path.parent)
    with files.lock(path.parent):  # runs go side by side
        kept = [each for each in read(path) if _key(each) != _key(row)]
        lines = [json.dumps(each, allow_nan=False) for each in [*kept, row]]
        files.write_file(path, ("\n".join(lines) + "\n").encode())


def _key(row: Row) -> tuple[str, float]:
    return row["name"], row["minutes"]


def score(row: Row, name: str) -> dict[str, Any]:
    """The score of that name: its value, low, high, and what real images get."""
    found: dict[str, Any] = {each["name"]: each for each in row["scores"]}[name]
    return found


def label(row: Row) -> str:
    """The model, and the options that were named."""
    return " ".join([row["model"], *(f"{name}={value}" for name, value in row["chosen"].items())])


def line(row: Row) -> str:
    """A row in a few words."""
    name = _decisive(row)
    return (
        f"{label(row)} on {row['data']}, {row['minutes']:g} minutes, seed {row['seed']}: {row['images']:,} images, "
        f"{name} {_with_interval(score(row, name))}"
    )


def _translates(row: Row) -> bool:
    """Whether it is of a model that translates: others stand beside its scores."""
    return any("beside" in each for each in row["scores"])


def _shown(row: Row) -> list[str]:
    """The scores of a row that the table has columns for."""
    names = [each["name"] for each in row["scores"]]
    return [name for name in names if name in SCORES or name.rpartition(": ")[2] in (FID, *NEAR)]


def table(rows: Sequence[Row]) -> str:
    """A table for each data set, of equal minutes the best first, and the commands."""
    parts = ["# Quality against minutes", "", "Written by `python bench/quality.py --table`; see docs/quality.md.", ""]
    for data, chosen in _by_data(rows).items():
        heads = (*_HEADS, *_shown(chosen[0]))
        parts += [f"## {data}", "", *_about(chosen), "", _cells(heads), _cells(["---"] * len(heads))]
        parts += [_cells(_cells_of(row)) for row in sorted(chosen, key=lambda row: (row["minutes"], _place(row)))]
        parts += [*_beside(chosen[0]), "", "```"]
        parts += [*dict.fromkeys(row["command"] for row in _longest(_ranked(chosen))), "```", ""]
    return "\n".join(parts)


def _by_data(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row['data']}, {row['size']} pixels", []).append(row)
    return found


def _about(rows: Sequence[Row]) -> list[str]:
    def told(what: list[str]) -> str:
        return "; ".join(dict.fromkeys(what))

    machines = told([f"{row['machine']}, {row['threads']} thread" + "s" * (row["threads"] > 1) for row in rows])
    against = told([f"{row['samples']:,} samples against {row['against']}" for row in rows])
    made_with = told([f"torch {row['versions']['torch']}, revision {row['versions']['commit']}" for row in rows])
    return [f"{machines}. {against}. In brackets: 95 % intervals. Made with {made_with}."]


def _cells(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"


def _cells_of(row: Row) -> list[str]:
    cells = [f"{row['minutes']:g}", f"`{label(row)}`", str(row["seed"]), f"{row['images']:,}"]
    return [*cells, *(_with_interval(score(row, name)) for name in _shown(row))]


def _with_interval(found: Mapping[str, Any]) -> str:
    low, high = (format_score(math.nan if found[end] is None else found[end]) for end in ("low", "high"))
    return f"{format_score(found['value'])} ({low} to {high})"


def _beside(row: Row) -> list[str]:
    """The lines of who stands beside the models: others who translate, and real images."""
    found = [score(row, name) for name in _shown(row)]
    others = dict.fromkeys(other for each in found for other in each.get("beside", {}))
    lines = {other: [each.get("beside", {}).get(other) for each in found] for other in others}
    lines["real images"] = [each["real"] for each in found]
    return [
        _cells([f"*{name}*", "", "", "", *("" if value is None else format_score(value) for value in values)])
        for name, values in lines.items()
        if any(value is not None for value in values)
    ]


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """The runs by the last place of each, the rows of a run by minutes."""
    last = {row["name"]: _place(row) for row in sorted(rows, key=lambda row: row["minutes"])}
    return sorted(rows, key=lambda row: (last[row["name"]], row["name"], row["minutes"]))


def _decisive(row: Row) -> str:
    """The score that models of one data set are ordered by, the best lowest: FID, or where there is none the last."""
    names = _shown(row)
    return FID if FID in names else names[-1]


def _place(row: Row) -> float:
    value: float = score(row, _decisive(row))["value"]
    return value


def _longest(rows: Sequence[Row]) -> list[Row]:
    """The last row of each run."""
    return list({row["name"]: row for row in rows}.values())


def chart(rows: Sequence[Row], path: Path) -> None:
    """Draw FID of samples against minutes, both in powers, a panel for each data set; `UsageError` where there is nothing
    to draw."""
    rows = [row for row in rows if not _translates(row)]
    if not rows:
        raise UsageError("there are no results to draw; run a model first")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "the chart needs a package that is not here; install it: pip install 'zeuxis[bench]'"
        ) from None
    panels = _by_data(rows)
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(dict.fromkeys(label(row) for row in rows))}
    figure = Figure(figsize=(4.6 * len(panels) + 0.4, 4.4), layout="constrained")
    for axes, (data, chosen) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        _draw(axes, data, chosen, colours)
    files.make_folder(path.parent)
    figure.savefig(path, dpi=110)


def _draw(axes: Any, data: str, rows: Sequence[Row], colours: Mapping[str, str]) -> None:
    """One panel: a line for each run, its intervals, and what real images get."""
    named: set[str] = set()
    for run in dict.fromkeys(row["name"] for row in _ranked(rows)):
        points = sorted((row for row in rows if row["name"] == run), key=lambda row: row["minutes"])
        text, found = label(points[0]), [score(row, FID) for row in points]
        values = [each["value"] for each in found]
        spans = [
            [v - each["low"] for v, each in zip(values, found)],
            [each["high"] - v for v, each in zip(values, found)],
        ]
        minutes = [row["minutes"] for row in points]
        once = None if text in named else text
        axes.errorbar(minutes, values, spans, color=colours[text], marker="o", markersize=4, linewidth=1.6, label=once)
        named.add(text)
    real = score(rows[0], FID)["real"]
    if real:
        axes.axhline(real, color="#777777", linewidth=1, linestyle=":", label="real images")
    axes.set(xscale="log", yscale="log", title=data, xlabel="minutes of two cores", ylabel=FID)
    ticks = sorted({row["minutes"] for row in rows})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(_round_numbers())
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4)


def _round_numbers() -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1.0, 2.0, 5.0))
