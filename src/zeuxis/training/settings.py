"""What a training run is asked to do, whatever the family: general options, their defaults and meanings (no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zeuxis.io.paths import expanded
from zeuxis.options import (
    LEAST_HELD_OUT,
    MOST_HELD_OUT,
    Device,
    Kernels,
    Precision,
    Preset,
    ResizeModeOrAuto,
    checked_options,
    option,
)

STEPS = 20_000  # that a run takes if nothing else is said
LIMITS = frozenset({"steps", "minutes", "cpu_minutes"})  # what may end a run
# Settings that a branch has from its parent, and why.
FIXED = {
    "seed": "the order of the images and the noise of every step follow from it",
    "batch_size": "the place of every step in the data follows from it",
    "resize_mode": "the images would be others",
    "max_images": "the images would be others",
    "hold_out": "the images would be others",
    "preset": "a branch has its parent's options; name those to change",
    "init_from": "a branch begins with the weights of its parent's checkpoint",
}


@dataclass(frozen=True)
class TrainSettings:
    """The general options of `zeuxis train`."""

    steps: int | None = option(
        None,
        f"training steps, as 20000 or 20k (default: {STEPS // 1000}k, or what the minutes allow)",
        low=1,
        high=10**9,
        group="optimisation",
    )
    minutes: float | None = option(None, "stop after this many minutes of wall-clock time", low=0, group="optimisation")
    cpu_minutes: float | None = option(
        None,
        "stop after this many minutes of CPU time in training steps, counted across resumes",
        low=0,
        group="optimisation",
    )
    batch_size: int | None = option(
        None, "images per step (default: the family's)", low=1, high=65536, group="optimisation"
    )
    micro_batches: int = option(
        1,
        "micro-batches per step (gradient accumulation), to save memory; under torchrun at least one per process",
        low=1,
        high=65536,
        group="optimisation",
    )
    ema_half_life: int | None = option(
        None,
        "half-life of the moving average (EMA) of the weights, in images (default: the family's)",
        low=0,
        high=10**12,
        group="optimisation",
    )
    precision: Precision = option(
        "auto",
        "number format of the networks; auto: bf16 on hardware that has it, in families measured to lose nothing, else tf32 on a "
        "GPU, fp32 on a CPU",
        group="optimisation",
    )
    preset: Preset | None = option(
        None, "other defaults: paper for those of the family's paper; a flag that is given wins", group="run"
    )
    seed: int = option(0, "seed of weights, data order and noise", low=0, high=2**63 - 1, group="run")
    device: Device = option(
        "auto", "device to train on; auto: cuda, else mps, else cpu; cuda:1: the second GPU", group="run"
    )
    resize_mode: ResizeModeOrAuto = option(
        "auto",
        "how images become squares: centre crop, pad with white, or tiles at full resolution; auto: crop, or tiles "
        "in super-resolution",
        group="data",
    )
    max_images: int | None = option(None, "use only this many images, evenly spaced", low=1, group="data")
    hold_out: float | None = option(
        None,
        "share of the images never learned from, by content, as 20% or 0.2: zeuxis evaluate compares with them",
        low=LEAST_HELD_OUT,
        high=MOST_HELD_OUT,
        group="data",
        percent=True,
    )
    hflip: bool = option(False, "random horizontal flips", group="data")
    out: str = option("runs", "folder of the numbered run folders", group="run")
    name: str | None = option(None, "name of the run (default: family and data)", group="run")
    checkpoint_every: int = option(500, "steps between checkpoints", low=1, high=10**9, group="run")
    keep_checkpoints: int = option(
        2, "newest checkpoints to keep, from each of which zeuxis branch forks the run", low=2, high=10**9, group="run"
    )
    sample_every: int = option(1000, "steps between contact sheets of fixed seeds", low=1, high=10**9, group="run")
    evaluate_every: int = option(
        0, "steps between evaluations (FID); model/ then keeps the best; 0: off", low=0, high=10**9, group="run"
    )
    evaluate_samples: int = option(1000, "samples per evaluation", low=20, high=100_000, group="run")
    log_every: int = option(100, "steps between rows of metrics.jsonl", low=1, high=10**9, group="run")
    threads: int = option(0, "CPU threads; 0: one per idle core", low=0, high=4096, group="run")
    kernels: Kernels = option(
        "auto",
        "convolution kernels: auto measures the fastest here; standard gives the same bits on every run (on a CPU)",
        group="run",
    )
    compile: bool = option(
        False, "compile the networks (torch.compile), player by player; says which cannot be, and why", group="run"
    )
    init_from: str | None = option(
        None, "start from the weights of this model: a run, a folder, or an installed model's name", group="run"
    )
    logger: tuple[str, ...] = option(
        (),
        "also log to tensorboard, wandb, mlflow, an installed logger, or your own as my_module:MyLogger; may be repeated",
        group="run",
    )

    @property
    def last_step(self) -> int:
        """The step that a run ends with, unless its minutes are over before."""
        if self.steps is not None:
            return self.steps
        return 10**12 if self.endless else STEPS

    @property
    def number_format(self) -> Literal["fp32", "bf16"]:
        """What the networks compute in. tf32 is fp32 as far as a program sees; `auto` counts so until it is decided."""
        return "bf16" if self.precision == "bf16" else "fp32"

    @property
    def endless(self) -> bool:
        """Whether minutes alone end the run."""
        return self.steps is None and (self.minutes is not None or self.cpu_minutes is not None)

    def __post_init__(self) -> None:
        given: object = self.init_from
        if isinstance(given, int) and not isinstance(given, bool):  # the number of a run
            object.__setattr__(self, "init_from", str(given))
        for name, value in checked_options(self):
            # Frozen: the check may have made a float of an int. Of the settings `out` and `init_from` are paths.
            path = name in ("out", "init_from") and isinstance(value, str)
            object.__setattr__(self, name, expanded(value) if path else value)
