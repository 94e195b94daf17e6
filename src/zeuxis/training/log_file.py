"""The lines of a run's log.txt with their times: what began, which steps were done, how it ended."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zeuxis.errors import UsageError
from zeuxis.io import files

TAIL = 1 << 16  # bytes at the end of a log that tell how a run stands
LONGEST_LOG = 1 << 26  # bytes of a log that are read at all, at its end
FAILED = "failed: "  # begins the last line of a run that an error ended
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)  (.*)")
_STEP = re.compile(r"step (\d{1,12}) ")
_BEGAN = re.compile(r"(?:began|resumed)\b")


class LogLine(NamedTuple):
    """A line of the log: when, in seconds since 1970, and what."""

    when: float
    text: str

    @property
    def step(self) -> int | None:
        """The step whose row of metrics the line has; None for other lines."""
        match = _STEP.match(self.text)
        return int(match[1]) if match else None

    @property
    def begins(self) -> bool:
        """Whether a run began here, or was resumed."""
        return bool(_BEGAN.match(self.text))


def log_lines(path: Path, *, tail: int = TAIL) -> Iterator[LogLine]:
    """The lines in the last `tail` bytes of a log; none of a log that is missing, or cannot be read."""
    try:
        with files.open_file(path, max_bytes=1 << 40, follow=False) as (file, size):
            file.seek(max(0, size - tail))
            text = file.read(tail).decode(errors="replace")
    except UsageError:
        return
    for line in text.splitlines():
        if match := _LINE.match(line):
            with contextlib.suppress(ValueError, OverflowError, OSError):
                when = datetime.datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").timestamp()
                yield LogLine(when, match[2])


def seconds_trained(lines: list[LogLine]) -> float:
    """Seconds of wall-clock time from each beginning to the last line before the next."""
    total, begin = 0.0, None
    for line, following in zip(lines, [*lines[1:], None]):
        begin = line.when if line.begins or begin is None else begin
        if following is None or following.begins:
            total, begin = total + max(0.0, line.when - begin), None
    return total
