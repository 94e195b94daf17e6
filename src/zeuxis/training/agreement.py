"""What the processes of a run agree on after a step, so that all of them stop at the same one."""

from __future__ import annotations

from zeuxis.runtime.ranks import Ranks
from zeuxis.runtime.signals import Interrupt, Stop
from zeuxis.training.budget import Budget

NOTHING, STOP, FAILURE = range(3)  # what callbacks came to


def time_is_over(ranks: Ranks, stop: Stop, budget: Budget) -> bool:
    """Whether the minutes are spent, by the clock of any process, or by the CPU time of all together.

    Raises `Interrupt` on all of them where one has received a signal.
    """
    if ranks.size == 1:
        return False
    rows = ranks.exchange([stop.asked, budget.over, budget.newest])
    asked, over = (int(max(row[column] for row in rows)) for column in (0, 1))
    budget.count(sum(row[2] for row in rows))
    if asked:
        stop.asked = asked
        raise Interrupt(asked)
    return bool(over) or budget.used_up


def callbacks_outcome(ranks: Ranks, reason: str, failure: Exception | None) -> int:
    """What the callbacks of all processes came to: `NOTHING`, the `STOP` of the run, or the `FAILURE` of one of them."""
    own = FAILURE if failure else STOP if reason else NOTHING
    return int(max(row[0] for row in ranks.exchange([own])))
