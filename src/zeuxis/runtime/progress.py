"""What a person sees of a training run: a live bar on a terminal, else one line a tick; both go to stderr."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from zeuxis.escaping import printable
from zeuxis.runtime import launch
from zeuxis.runtime.streams import lossy

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Tick:
    """How a run stands."""

    step: int
    steps: int | None  # the last one; None where only the minutes end it
    share: float  # done, from 0 to 1
    speed: float  # images/s
    left: float | None  # seconds; None: not known
    means: Mapping[str, float] = field(default_factory=dict)  # of what was reported


class Display(Protocol):
    """Where a run shows itself; entered before its first word, left after its last."""

    every: float  # seconds between two ticks

    def __enter__(self) -> Display: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def note(self, text: str) -> None:
        """Show a line that stays."""
        ...

    def work(self, what: str, done: int, total: int) -> None:
        """Show how far something before the first step is, such as reading the images."""
        ...

    def tick(self, tick: Tick) -> None:
        """Show how the run stands."""
        ...

    def sheet(self, picture: Image) -> None:
        """Show the newest contact sheet, where pictures can be shown."""
        ...


def open_display(stream: TextIO | None = None) -> Display:
    """The display that suits the stream (default: stderr); one that fails, as of a lost terminal, ends no run.

    Of many processes all but the first show nothing.
    """
    if launch.rank() > 0:
        return Silent()
    stream = lossy(stream or sys.stderr)
    return Bar(stream) if stream.isatty() else Lines(stream)


class _Notes(logging.Handler):
    """Gives what is logged to a display."""

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.note(record.getMessage())


@contextlib.contextmanager
def noting(display: Display) -> Iterator[None]:
    """Show what Zeuxis logs, of its cache say, as notes on the display; elsewhere it goes to stderr."""
    log, notes = logging.getLogger("zeuxis"), _Notes(display)
    log.addHandler(notes)
    try:
        yield
    finally:
        log.removeHandler(notes)


class Lines:
    """One line a tick, for files, pipes and job schedulers."""

    def __init__(self, stream: TextIO, *, every: float = 10.0) -> None:
        self._stream, self.every = stream, every
        self._worked = 0.0  # when `work` last wrote

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()

    def note(self, text: str) -> None:
        self._stream.write(printable(text) + "\n")
        self._stream.flush()

    def work(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._worked >= self.every:
            self._worked = now
            self.note(f"{what} {done:,}/{total:,}")

    def tick(self, tick: Tick) -> None:
        self.note(line(tick))

    def sheet(self, picture: Image) -> None:
        pass


class Silent:
    """Shows nothing, as of all but the first of many processes."""

    every = math.inf

    def __enter__(self) -> Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def note(self, text: str) -> None: ...

    def work(self, what: str, done: int, total: int) -> None: ...

    def tick(self, tick: Tick) -> None: ...

    def sheet(self, picture: Image) -> None: ...


class Bar:
    """A live bar and, under it, the losses; drawn anew at each tick, by no thread of its own."""

    every = 0.5

    def __init__(self, stream: TextIO) -> None:
        self._shown = 0.0
        self._live = Live(
            console=Console(file=stream), auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> Bar:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        self._live.console.print(Text(printable(text)))

    def work(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._shown >= 0.1:
            self._shown = now
            self._live.update(_row(what, done, total, f"{done:,}/{total:,}"), refresh=True)

    def tick(self, tick: Tick) -> None:
        bar = _row("training", round(1000 * tick.share), 1000, " ".join(pace(tick)))
        self._live.update(Group(bar, Text(printable("  ".join(game(tick.means))), style="dim")), refresh=True)

    def sheet(self, picture: Image) -> None:
        pass


def _row(what: str, done: int, total: int, text: str) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(printable(what)), ProgressBar(total=max(total, 1), completed=done, width=24), Text(text))
    return table


def line(tick: Tick) -> str:
    """The tick on one line, as it also stands in `log.txt`."""
    return "  ".join([*pace(tick), *game(tick.means)])


def pace(tick: Tick) -> Iterator[str]:
    """How far a run is, how fast, and how long it will take."""
    yield f"step {tick.step:,}" + (f"/{tick.steps:,}" if tick.steps else "")
    yield f"{tick.speed:,.0f} images/s" if tick.speed >= 10 else f"{tick.speed:.2g} images/s"
    if tick.left is not None:
        yield f"{duration(tick.left)} left"


def player_losses(means: Mapping[str, float]) -> dict[str, float]:
    """Each player's loss by its name; of a lone player its terms."""
    losses = {name.removesuffix("/loss"): value for name, value in means.items() if name.endswith("/loss")}
    if len(losses) == 1:
        (player,) = losses
        terms = {
            name.removeprefix(f"{player}/"): value for name, value in means.items() if name.startswith(f"{player}/")
        }
        losses = {term: value for term, value in terms.items() if term not in {"loss", "grad_norm"}} or losses
    return losses


def game(means: Mapping[str, float]) -> Iterator[str]:
    """The losses; then D(real) and D(fake), a critic's distance, a VAE's units."""
    yield from (f"{name} {value:.4g}" for name, value in player_losses(means).items())
    for name, key in (("D(real)", "discriminator/prob_real"), ("D(fake)", "discriminator/prob_fake")):
        if key in means:
            yield f"{name} {means[key]:.2f}"
    if "critic/wasserstein" in means:
        yield f"Wasserstein {means['critic/wasserstein']:.3g}"
    if "latent/active_units" in means:
        yield f"active units {means['latent/active_units']:.0%}"


def duration(seconds: float) -> str:
    """Seconds in words: `47 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
