"""One thread that runs the jobs of all clients in turn: the lane of the picture in hand first, then round robin."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field

import torch

from zeuxis.errors import ZeuxisError
from zeuxis.escaping import printable
from zeuxis.web.clients import MALFORMED, Client
from zeuxis.web.protocol import write_cancelled, write_error, write_reply
from zeuxis.web.requests import BadRequest, Reply, Steps

LANES = ("hand", "sum", "line", "wall")  # by the first word of their names; the first goes first, any other after them
_NICE = 10
_OLDEST_EVERY = 4  # turns: one of so many goes to the job that has waited longest, whatever its lane


@dataclass(eq=False)
class Job:
    """A request under way: its answers come step by step; a step may also be a pause in seconds, or None: no answer yet."""

    client: Client
    number: int  # the id of the request
    lane: str
    op: str
    size: int  # of the request, in bytes
    steps: Steps
    replaced: bool = False  # by a newer request in its lane: a stream ends at its next step
    arrived: int = 0
    not_before: float = 0.0
    held: Reply | None = None  # an answer that may turn out to be the last
    answered: bool = False
    rank: int = field(init=False)

    def __post_init__(self) -> None:
        kind = self.lane.partition(" ")[0]
        self.rank = LANES.index(kind) if kind in LANES else len(LANES)


class Worker:
    """A thread and the jobs that wait for it; a `nice` one leaves the processor to the others, where the system can."""

    def __init__(self, name: str, *, nice: bool = False) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._arrivals, self._turns = itertools.count(1), itertools.count(1)
        self._ended, self._nice = False, nice
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job."""
        with self._changed:
            job.arrived = next(self._arrivals)
            self._waiting.append(job)
            self._changed.notify()

    def look(self) -> None:
        """Look for a job again: a client has read its answers, or has gone."""
        with self._changed:
            self._changed.notify()

    def end(self, patience: float = 0.0) -> None:
        """End the thread after the step it is at, and wait for that so many seconds."""
        with self._changed:
            self._ended = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(patience)

    def _work(self) -> None:
        torch.set_grad_enabled(False)  # of this thread; a descent enables it for itself
        if (
            self._nice and sys.platform == "linux"
        ):  # where each thread has a priority, which those that it starts inherit
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (job := self._next()) is not None:
            if self._step(job):
                self.submit(job)
            else:
                job.client.finish(job)
            del job  # with its request, which may hold a photograph

    def _next(self) -> Job | None:
        """The job whose turn it is; None at the end."""
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                ready = [job for job in self._waiting if _is_ready(job, now)]
                if ready:
                    turn = next(self._turns)
                    job = min(ready, key=_age if turn % _OLDEST_EVERY == 0 else _place)
                    self._waiting.remove(job)
                    job.client.served = turn
                    return job
                pauses = [job.not_before - now for job in self._waiting if job.not_before > now]
                self._changed.wait(min(pauses, default=None))
        return None

    def _step(self, job: Job) -> bool:
        """Take one step of a job; whether there are more to come."""
        try:
            if job.client.gone or (job.replaced and job.answered):
                job.steps.close()
                job.client.send(write_cancelled(job.number))
                return False
            fresh = job.held is None
            alive = _advance(job)
            # Whether a first answer is the last shows at once: most operations give one.
            return _advance(job) if alive and fresh and job.held is not None else alive
        except BadRequest:
            job.client.close(MALFORMED)
        except ZeuxisError as error:
            job.client.send(write_error(job.number, printable(" ".join(str(error).split()))))
        except Exception as error:
            _report(job, error)
            job.client.send(write_error(job.number, "internal error; the terminal says more"))
        return False


def _advance(job: Job) -> bool:
    """Let a job go on to its next answer, pause or end; whether it has not ended."""
    try:
        found = next(job.steps)
    except StopIteration:
        _answer(job, job.held or Reply(), done=True)
        return False
    if isinstance(found, Reply):
        if job.held is not None:
            _answer(job, job.held, done=False)
        job.held = None if found.more else found
        if found.more:
            _answer(job, found, done=False)
    job.not_before = time.monotonic() + found if isinstance(found, float | int) else 0.0
    return True


def _is_ready(job: Job, now: float) -> bool:
    """Whether a job may have its turn; one of a client that has gone ends in it."""
    return job.client.gone or (job.client.keeps_up and job.not_before <= now)


def _age(job: Job) -> int:
    return job.arrived


def _place(job: Job) -> tuple[int, int, int]:
    return job.rank, job.client.served, job.arrived


def _answer(job: Job, reply: Reply, *, done: bool) -> None:
    job.answered = True
    job.client.send(write_reply(job.number, reply, done=done, raw=job.client.raw))


def _report(job: Job, error: Exception) -> None:
    """One line on the terminal: where in the code it happened, and what."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    told = f"{job.op}: {type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"
    sys.stderr.write(f"zeuxis: {printable(' '.join(told.split()))}\n")
