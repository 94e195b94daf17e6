"""Which family and options suit a person's pictures and minutes: by the pictures, a few measured steps, and recorded runs."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeuxis import families
from zeuxis.data import DataSpec
from zeuxis.data.batches import open_pairs_of
from zeuxis.data.image_files import FileSet
from zeuxis.data.pairs import Pairs, side_by_side
from zeuxis.data.specs import PairSpec
from zeuxis.errors import DataError, UsageError
from zeuxis.escaping import ascii_json
from zeuxis.judging.report import table_lines
from zeuxis.loading import build_unfilled
from zeuxis.model import Translator
from zeuxis.options import flag_of, options_of
from zeuxis.runtime.callbacks import ProgressCallback, StageCallback, silent
from zeuxis.training.advice import FEW_IMAGES, KnownPictures, Rule, pictures_of, rule_for, settings_for
from zeuxis.training.dry_run import plan_run
from zeuxis.training.recorded import RecordedRun, alike, expected_fid, longest, nearest_run
from zeuxis.training.settings import TrainSettings

MINUTES = 30.0
_SIZE = 64  # pixels: what a laptop trains within minutes
_WHERE = Path("the plan")
_SINGLE = ("dcgan", "wgan_gp", "progan", "stylegan2", "diffusion", "vae")


@dataclass(frozen=True)
class Proposal:
    """A family with options for the pictures: what it would see in the minutes, and what such runs reached."""

    family: str
    options: dict[str, Any]
    settings: dict[str, Any]  # of the run
    command: str
    seconds: float | None  # per step, as measured here; None: not measured
    steps: int | None
    images: int  # that it would see
    epochs: float
    recorded: RecordedRun | None
    expected: float = field(repr=False)  # FID, by which proposals are ordered


@dataclass(frozen=True)
class Advice:
    """Proposals for pictures and minutes, the best first."""

    pictures: KnownPictures
    minutes: float
    proposals: list[Proposal]
    device: str | None  # where steps were measured; None: nowhere
    kind: str = ""  # of the pictures, in words, where the table of advice has a line for them
    recorded: str = ""  # what it says that a run on such pictures reached

    def first_line(self) -> str:
        """The command that is proposed, for which kind of pictures, what it would see, and what such a run reached."""
        best = self.proposals[0]
        here = f"on this {self.device}" if self.device else "on the recorded machine"
        seen = f"sees about {_round(best.images):,} images {here}, each {_times(best.epochs)}"
        kind = f"{self.pictures.count:,} {self.kind}; " if self.kind else ""
        found = self.recorded or (best.recorded.told(self.pictures.size) if best.recorded else "")
        told = f"; recorded: {found}" if found else ""
        return f"{best.command}: {kind}{seen}{told}"

    def lines(self) -> list[str]:
        """The first line, the table of all families, and how to read it."""
        heads = ["family", "seconds/step", "steps", "images", "epochs", "recorded FID[lite0]", "after", "on"]
        cells = [heads, *(_cells(each, self.pictures.size) for each in self.proposals)]
        others = [f"  {each.command}" for each in self.proposals[1:]]
        notes = ["", "the other commands:", *others] if others else []
        return [self.first_line(), "", *table_lines(cells), *notes, "", *_remarks(self)]

    def to_json(self) -> str:
        """As strict JSON; the expected FID of a family without records is null."""
        values = dataclasses.asdict(self)
        for each in values["proposals"]:
            each["expected"] = each["expected"] if math.isfinite(each["expected"]) else None
        return ascii_json({**values, "advice": self.first_line()})


def _cells(each: Proposal, size: int) -> list[str]:
    found = each.recorded
    pace = "" if each.seconds is None else f"{each.seconds:.3f}"
    steps = "" if each.steps is None else f"{each.steps:,}"
    known = ["", "", ""] if found is None else [f"{found.fid:.0f}", f"{found.images:,}", found.where(size)]
    return [each.family, pace, steps, f"{_round(each.images):,}", f"{each.epochs:.1f}", *known]


def _remarks(advice: Advice) -> list[str]:
    real = {f"{each.recorded.data} {each.recorded.real:.0f}": None for each in advice.proposals if each.recorded}
    lines = [f"FID of real images, the best to hope for: {', '.join(real)}"] if real else []
    lines += ["the recorded runs are of other pictures: read the order of the families, not the values"] if real else []
    if advice.pictures.count < FEW_IMAGES:
        lines.append(
            f"{advice.pictures.count:,} images are few, even with augmentation: look at the memorization rate of zeuxis evaluate"
        )
    return lines


def _round(number: float) -> int:
    """Two significant digits: more are not known."""
    scale: int = 10 ** max(0, int(math.log10(max(number, 1))) - 1)
    return round(number / scale) * scale


def _times(epochs: float) -> str:
    return f"{_round(epochs):,} times" if epochs >= 2 else "about once" if epochs >= 0.7 else f"{epochs:.2g} times"


def look_at_pictures(data: DataSpec, *, typed: str, progress: ProgressCallback | None = None) -> KnownPictures:
    """Open the data once, and choose the form in which it is learned: a named set's own, else by sizes and modes."""
    if isinstance(data, PairSpec) or (isinstance(data.images, FileSet) and side_by_side(data.images.listing())):
        return _pairs(data, typed, progress)
    pack = data.open(data.size or _SIZE, data.channels or 3, progress=progress)
    return pictures_of(pack, data, typed=typed)


def _pairs(data: DataSpec, typed: str, progress: ProgressCallback | None) -> KnownPictures:
    """Pairs, or two sets where no names are in common."""
    size, named = data.size or _SIZE, data.size is not None
    options = {"size": size, **data.own_shape}
    for paired, name in ((True, "pix2pix"), (False, "cyclegan")):
        model = build_unfilled(families.find(name), options, _WHERE)
        assert isinstance(model, Translator)
        try:
            found: Pairs = open_pairs_of(data, model, paired=paired, progress=progress)
        except DataError:
            if not paired:
                raise
            continue
        return KnownPictures(typed, len(found), size, data.channels or 3, named, paired, data.title)
    raise UsageError(f"{data} gives neither pairs nor two sets of images; see docs/translation.md")


def advise(
    pictures: KnownPictures, *, minutes: float = MINUTES, measure: bool = True, progress: StageCallback = silent
) -> Advice:
    """Families for the pictures, the best first by recorded runs at as many images as each would see in the minutes.

    Where nothing is measured, their paces are those of the recorded machine.
    """
    if not minutes > 0:
        raise UsageError(f"--minutes is {minutes:g}; expected more than 0")
    names = _SINGLE if pictures.paired is None else ("pix2pix",) if pictures.paired else ("cyclegan",)
    rows, rule = alike(pictures.channels, pictures.size, names), rule_for(pictures)
    fitting = [name for name in names if _fits(pictures, name)]
    if not fitting:
        raise UsageError(f"no family takes images of {pictures.size} pixels; name another --size of zeuxis train")
    found = []
    for number, name in enumerate(fitting):
        progress("measuring steps", number, len(fitting))
        found.append(_measured(pictures, name, minutes) if measure else _as_recorded(rows, pictures, name, minutes))
    progress("measuring steps", len(fitting), len(fitting))
    proposals = [_proposal(pictures, minutes, name, rows, pace, rule) for name, pace in zip(fitting, found)]
    device = next((pace.device for pace in found if pace.device), None)
    return _ordered(Advice(pictures, minutes, proposals, device), rule)


def _ordered(advice: Advice, rule: Rule | None) -> Advice:
    """The best proposal first: that of the rule, the others by their recorded runs."""
    first = rule.family if rule else ""
    found = sorted(advice.proposals, key=lambda each: (each.family != first, each.expected, -each.images))
    if rule is None or found[0].family != first:
        return dataclasses.replace(advice, proposals=found)
    return dataclasses.replace(advice, proposals=found, kind=rule.kind, recorded=rule.told(advice.pictures.size))


@dataclass(frozen=True)
class _Pace:
    """What a family would do in the minutes."""

    images: int
    steps: int | None = None
    seconds: float | None = None  # per step
    device: str | None = None


def _measured(pictures: KnownPictures, name: str, minutes: float) -> _Pace:
    """By a few steps on noise."""
    options = _options(pictures, name)
    plan = plan_run(TrainSettings(minutes=minutes), families.find(name), options, shape=_shape(pictures))
    steps = max(1, int(plan.steps(60 * minutes)))
    return _Pace(steps * plan.batch_size, steps, plan.seconds(steps) / steps, plan.device)


def _as_recorded(rows: Sequence[RecordedRun], pictures: KnownPictures, name: str, minutes: float) -> _Pace:
    known = longest(rows, name)
    return _Pace(0 if known is None else int(known.speed(pictures.size) * minutes))


def _fits(pictures: KnownPictures, name: str) -> bool:
    """Whether the family takes images of this form."""
    try:
        build_unfilled(families.find(name), {**_shape(pictures), **_options(pictures, name)}, _WHERE)
    except UsageError:
        return False
    return True


def _proposal(
    pictures: KnownPictures,
    minutes: float,
    name: str,
    rows: Sequence[RecordedRun],
    pace: _Pace,
    rule: Rule | None,
) -> Proposal:
    options, settings = _options(pictures, name), settings_for(pictures, rule)
    flags = [word for option, value in {**options, **settings}.items() for word in (flag_of(option), _typed(value))]
    command = shlex.join(["zeuxis", "train", name, pictures.data, "--minutes", f"{minutes:g}", *flags])
    images, known = pace.images, nearest_run(rows, name, pace.images)
    learned = pictures.count * (1 - settings.get("hold_out", 0.0))
    epochs, expected = images / max(1, learned), expected_fid(rows, name, images)
    return Proposal(name, options, settings, command, pace.seconds, pace.steps, images, epochs, known, expected)


def _typed(value: Any) -> str:
    return f"{100 * value:g}%" if isinstance(value, float) else str(value)


def _shape(pictures: KnownPictures) -> dict[str, int]:
    return {"size": pictures.size, "channels": pictures.channels}


def _options(pictures: KnownPictures, name: str) -> dict[str, Any]:
    """The form of the pictures, as far as it is asked for or not what the family would take by itself."""
    defaults = {each.name: each.default for each in options_of(families.find(name))}
    shape = _shape(pictures).items()
    return {n: value for n, value in shape if n in pictures.asked or (not pictures.named and value != defaults[n])}
