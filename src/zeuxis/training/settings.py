"""What a training run is asked to do, whatever the family: general options, their defaults and meanings (no torch)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

from zeuxis.errors import UsageError
from zeuxis.options import Device, Kernels, Precision, ResizeModeOrAuto

STEPS = 20_000  # that a run takes if nothing else is said


def setting(default: Any, meaning: str, *, low: float | None = None, high: float | None = None) -> Any:
    """A field that is a setting: its default, its meaning in one line, and its bounds (inclusive)."""
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high})


@dataclass(frozen=True)
class TrainSettings:
    """The general options of `zeuxis train`."""

    steps: int | None = setting(
        None,
        f"training steps, as 20000 or 20k (default: {STEPS // 1000}k, or what the minutes allow)",
        low=1,
        high=10**9,
    )
    minutes: float | None = setting(None, "stop after so many minutes, however many steps were done", low=0)
    cpu_minutes: float | None = setting(
        None, "stop after so many minutes of the processor in training steps, those before a resume included", low=0
    )
    batch_size: int | None = setting(None, "images per step (default: what suits the family)", low=1, high=65536)
    micro_batches: int = setting(1, "pieces a batch is worked through in, to save memory", low=1, high=65536)
    seed: int = setting(0, "one number that fixes weights, order of the images and noise", low=0, high=2**63 - 1)
    device: Device = setting("auto", "where to compute; auto takes the fastest there is")
    precision: Precision = setting(
        "auto",
        "number format of the networks' arithmetic; auto takes bf16 on a CPU made for it, in families that lose nothing",
    )
    ema_half_life: int | None = setting(
        None, "half-life of the average of the weights, in images (default: what suits the family)", low=0, high=10**12
    )
    resize_mode: ResizeModeOrAuto = setting(
        "auto",
        "how images become squares: their middle, all of them on white, or many squares out of each, unshrunk; "
        "auto: crop, or tiles in super-resolution",
    )
    max_images: int | None = setting(None, "use only so many of the images", low=1)
    hflip: bool = setting(False, "also learn from the images mirrored left to right")
    out: str = setting("runs", "folder that the numbered run folders are in")
    name: str | None = setting(None, "name of the run (default: family and data)")
    checkpoint_every: int = setting(500, "steps between checkpoints", low=1, high=10**9)
    sample_every: int = setting(1000, "steps between contact sheets of the fixed seeds", low=1, high=10**9)
    evaluate_every: int = setting(
        0, "steps between scores; model/ then holds the best (0: no scores)", low=0, high=10**9
    )
    evaluate_samples: int = setting(1000, "samples for each of these scores", low=20, high=100_000)
    log_every: int = setting(100, "steps between lines of metrics.jsonl", low=1, high=10**9)
    threads: int = setting(0, "CPU threads to compute with (0: one per core that is free)", low=0, high=4096)
    kernels: Kernels = setting(
        "auto", "on a CPU: auto measures which are fastest here; standard gives the same bits in every run of the seed"
    )
    init_from: str | None = setting(None, "start from the weights of this model (a new run, not a resumed one)")
    tensorboard: bool = setting(False, "also write events for TensorBoard into the run folder")

    @property
    def last_step(self) -> int:
        """The step that a run ends with, unless its minutes are over before."""
        if self.steps is not None:
            return self.steps
        return 10**12 if self.endless else STEPS

    @property
    def number_format(self) -> Literal["fp32", "bf16"]:
        """What is computed in; `auto` counts as fp32 until a device and a family have decided it."""
        return "bf16" if self.precision == "bf16" else "fp32"

    @property
    def endless(self) -> bool:
        """Whether minutes alone end the run."""
        return self.steps is None and (self.minutes is not None or self.cpu_minutes is not None)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for f in dataclasses.fields(self):
            _check(f, hints[f.name], getattr(self, f.name))


def _check(f: dataclasses.Field[Any], kind: Any, value: Any) -> None:
    """Raise `UsageError` where a value is not of the field's type, or out of bounds."""
    kinds = get_args(kind) or (kind,)
    words = [word for word in kinds if isinstance(word, str)]
    types = [each for each in kinds if isinstance(each, type)]
    flag = "--" + f.name.replace("_", "-")
    if words and value not in words:
        raise UsageError(f"{flag} is {value!r}; choose one of {', '.join(words)}")
    if types and type(value) not in types and not (float in types and type(value) is int):
        raise UsageError(f"{flag} is {value!r}; expected {types[0].__name__}")
    low, high = f.metadata["low"], f.metadata["high"]
    if value is None or (low is None and high is None):
        return
    # Written so that NaN, which compares as false, is refused too.
    if not (low is None or value >= low) or not (value <= (high if high is not None else float("inf"))):
        raise UsageError(f"{flag} is {value}; expected " + (f"at least {low}" if high is None else f"{low} to {high}"))
