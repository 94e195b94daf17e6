"""The training loop of a run: rows of metrics, contact sheets and checkpoints at fixed steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from zeuxis.errors import DivergedError, UsageError, ZeuxisError
from zeuxis.judging.periodic import PeriodicEvaluation, describe_scores
from zeuxis.loggers.feeding import Loggers
from zeuxis.runtime.progress import Display
from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.runtime.signals import PATIENCE, Interrupt, Stop, Stopped
from zeuxis.storage import RunFolder
from zeuxis.training import contact_sheets, diagnostics, engine, histograms
from zeuxis.training.agreement import FAILURE, NOTHING, STOP, callbacks_outcome, time_is_over
from zeuxis.training.batch_sizes import out_of_memory
from zeuxis.training.budget import Budget
from zeuxis.training.compiling import compile_as_asked
from zeuxis.training.config import Recipe
from zeuxis.training.curves import keep_curves
from zeuxis.training.divergence import check_finite
from zeuxis.training.engine import Progress, Source, State
from zeuxis.training.micro_batches import gather
from zeuxis.training.model_card import save_model
from zeuxis.training.state import Tensors
from zeuxis.training.stepping import due, training_steps
from zeuxis.training.stopping import Callback, reason_to_stop
from zeuxis.training.ticker import Ticker

_REPEAT = 20  # rows before a warning is given again


@dataclass
class Training:
    """A run in progress: its outputs, its data, and the training state. Of many processes the first one writes."""

    run: RunFolder
    recipe: Recipe
    source: Source
    state: State
    stop: Stop
    display: Display
    loggers: Loggers
    reals: contact_sheets.Reals | None  # None: this process does not write
    budget: Budget
    evaluation: PeriodicEvaluation | None
    settled: bool  # whether the row and the sheet that are due at the clock's step are there
    rows: list[dict[str, Any]]  # of metrics, the newest
    saved: int  # the step of the newest checkpoint, or -1
    owed: dict[str, Any] = field(default_factory=dict)  # histograms of a row that was due when the run was saved
    callbacks: Sequence[Callback] = ()
    ranks: Ranks = ALONE
    failure: Exception | None = field(default=None, init=False)  # of a callback
    warned: dict[str, int] = field(default_factory=dict, init=False)  # warnings given -> their step

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.clock.step

    def go(self) -> None:
        """Train to the end; an earlier end is logged, and one by a signal or a callback saves a checkpoint."""
        try:
            # Of many processes none stops by itself: they agree after a step.
            with self.stop.later() if self.ranks.size > 1 else contextlib.nullcontext():
                self._go()
        except Interrupt as interrupt:
            stopped = self._leave(interrupt)
            self._farewell(stopped)
            raise stopped from None
        except DivergedError as error:
            diverged = DivergedError(f"{error}; {self._kept()}")
            self._farewell(diverged)
            raise diverged from None
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            full = UsageError(f"out of memory at step {self.step}; use a smaller --batch-size, or more --micro-batches")
            self._farewell(full)
            raise full from error
        except ZeuxisError as error:
            self._farewell(error)
            raise
        if self.failure is not None:
            raise self.failure

    def _go(self) -> None:
        self.stop.check()
        if not self.settled:
            self._settle()
        for progress in self._steps():
            if self._marked():
                self._settle()
            if self.step % self.recipe.settings.checkpoint_every == 0:
                self.save()
            if self._told_to_stop(progress):
                return
        self._finish()

    def _steps(self) -> Iterator[Progress]:
        """The steps of the run, up to its last or until its minutes are over; a signal waits for the end of a step."""
        compile_as_asked(self.recipe, self.source, self.state, self._say)
        settings, many = self.recipe.settings, self.ranks.size > 1
        steps = training_steps(self.recipe, self.source, self.state, self.ranks)
        ticker = Ticker(settings, self.state, self.budget, self.display)
        while not self.budget.used_up:
            with self.stop.later(None if many else PATIENCE):
                with self.budget.step():
                    progress = next(steps, None)
                if progress is None:
                    return
                self.settled = not self._marked()
                ticker.see()
            over = time_is_over(self.ranks, self.stop, self.budget)
            yield progress
            if over or (self.budget.over and not many):
                return

    def _told_to_stop(self, progress: Progress) -> bool:
        """Tell the callbacks of a step; whether one of them ended the run, which is then saved, or failed."""
        reason = ""
        try:
            reason = reason_to_stop(self.callbacks, progress)
        except Exception as error:  # the callback's own, whatever it is: nothing is wrong with the training
            self.failure = error
        found = callbacks_outcome(self.ranks, reason, self.failure) if self.callbacks else NOTHING
        if found == FAILURE:
            self._keep(self.failure)
        if found != STOP or self.step >= self.recipe.settings.last_step:
            return found == FAILURE
        self._end_with_sheet()
        self._say(f"stopped by {reason or 'a callback'}, saved at step {self.step}; {self.run.how_on}")
        return True

    def _keep(self, error: Exception | None) -> None:
        """Save what a failed callback leaves behind, and say so where it failed: in the log, and in a note to its error."""
        with contextlib.suppress(ZeuxisError):  # the disk may be full: the checkpoint before still stands
            if self.saved != self.step:
                self.save()
        if error is not None:
            text = f"ended by {type(error).__name__} in a callback{self._left_at()}; {self.run.how_on}"
            error.add_note(text)
            self._farewell(f"{text}: {error}")

    def _marked(self) -> bool:
        return self._row_due() or self._sheet_due() or self._score_due()

    def _row_due(self) -> bool:
        return due(self.step, self.recipe.settings.log_every)

    def _sheet_due(self) -> bool:
        return due(self.step, self.recipe.settings.sample_every, first=100)

    def _score_due(self) -> bool:
        every = self.recipe.settings.evaluate_every
        return bool(every) and self.step % every == 0

    def _settle(self) -> None:
        """Draw the sheet and write the row that are due at this step: both, before a checkpoint can say so."""
        gather(self.state, self.recipe.settings.micro_batches, self.ranks)
        scores = self._score() if self._score_due() else {}
        if self.ranks.first:
            self._write_due(scores)
        elif self._row_due():
            self.state.take_means()
        self.settled = True

    def _write_due(self, scores: dict[str, float]) -> None:
        seen = (self._draw() if self._sheet_due() else {}) | scores
        with self.stop.later():
            # Sorted: sums come back from a checkpoint in another order than they were first reported in.
            means = dict(sorted(self.state.take_means().items())) if self._row_due() else {}
            row = {"step": self.step, "images": self.state.clock.images, **means, **seen}
            if means and (found := histograms.of(self.state.values) or self.owed):
                self.run.append_histograms({"step": self.step, "images": self.state.clock.images, **found})
            self.owed = {}
            self.run.append_metrics(row)
            self.loggers.row(self.step, {**means, **seen})
            self.rows = [*self.rows[-99:], row]
            self.settled = True
        if means:
            self.run.log("  ".join([f"step {self.step}", *(f"{name} {value:.4g}" for name, value in means.items())]))
        self._warn()
        if self._sheet_due():
            keep_curves(self.run, self.recipe)

    def _draw(self) -> dict[str, float]:
        """Draw the contact sheets; the diversity of the samples relative to real images."""
        # A model may draw numbers (a Markov chain does): as a function of the step, whatever was drawn before.
        assert self.reals is not None
        torch.manual_seed(engine.hash_seed(self.recipe.settings.seed, self.step))
        for name, shown in contact_sheets.inside(self.state.average, self.reals).items():
            contact_sheets.draw(shown, self.run.sheet_path(self.step, name))
        if (sheet := contact_sheets.samples(self.state.average, self.reals)) is None:
            return {}
        picture = contact_sheets.draw(sheet, self.run.sheet_path(self.step))
        self.loggers.sheet(self.step, picture)
        self.display.sheet(picture)
        return self.reals.compare(sheet.made)

    def _score(self) -> dict[str, float]:
        """Evaluate the EMA; the best so far is saved as the model, before its row is written."""
        assert self.evaluation is not None
        torch.manual_seed(engine.hash_seed(self.recipe.settings.seed, self.step))
        scores = self.evaluation.scores(self.state.average, self.ranks)
        if scores and self.ranks.first:
            best = self._best()
            better = best is None or scores[self.evaluation.name] < best
            if better:
                check_finite(self.state.tensors(), self.step)
                self._save_model()
            self._say(f"step {self.step:,}: {describe_scores(scores)}{', the best so far' if better else ''}")
        return scores

    def _best(self) -> float | None:
        """The best score before this step, from the run's rows, so that a resume keeps it; of a branch since its fork."""
        if self.evaluation is None:
            return None
        rows = [row for row in self.run.metrics() if row.get("step", 0) > self.recipe.fork]
        return self.evaluation.best(rows, before=self.step)

    def _warn(self) -> None:
        found = diagnostics.findings(self.rows, self.recipe.options)
        for finding in diagnostics.news(found, self.warned, self.step, every=_REPEAT * self.recipe.settings.log_every):
            self.warned[finding.name] = self.step
            self._say(f"warning: {finding.message}")

    def _say(self, text: str) -> None:
        self.display.note(text)
        if self.ranks.first:
            self.run.log(text)

    def save(self) -> None:
        """Write a checkpoint and the model; raise before writing values that are not finite."""
        gather(self.state, self.recipe.settings.micro_batches, self.ranks)
        with self.stop.later():
            tensors = self.state.tensors()
            check_finite(tensors, self.step)
            if self.ranks.first:
                self._write(tensors)
            self.saved = self.step

    def _write(self, tensors: Tensors) -> None:
        own = {"settled": self.settled, "run": self.recipe.identity(), "kernels": self.recipe.chosen_kernels}
        own |= {} if self.settled else {"histograms": histograms.of(self.state.values) or self.owed}
        scalars = self.state.scalars() | self.budget.saved() | own
        self.run.save_checkpoint(self.step, tensors, scalars, keep=self.recipe.settings.keep_checkpoints)
        self.saved = self.step
        if self._best() is None:  # else the model is the best, and this one may be worse
            self._save_model()

    def _save_model(self) -> None:
        with self.stop.later():
            save_model(self.run, self.recipe, self.state)

    def _end_with_sheet(self) -> None:
        gather(self.state, self.recipe.settings.micro_batches, self.ranks)
        if self.ranks.first and not self.run.sheet_path(self.step).exists():
            self._draw()
        self.save()

    def _finish(self) -> None:
        self._end_with_sheet()
        if self.ranks.first:
            keep_curves(self.run, self.recipe)
        self._say(f"done at step {self.step:,}: {self.run.path / 'model'}")

    def _leave(self, interrupt: Interrupt) -> Stopped:
        """Save where the state is consistent; the `Stopped` to raise."""
        if not interrupt.cut:
            with contextlib.suppress(Interrupt):  # raised where the signal is no longer held back
                if self.saved != self.step:
                    self.save()
        return interrupt.stopped(f"{interrupt}{self._left_at(cut=interrupt.cut)}; {self.run.how_on}")

    def _left_at(self, *, cut: bool = False) -> str:
        """Where the run is left: saved, or in the midst of a step."""
        if self.saved == self.step and not cut:
            return f", saved at step {self.step}"
        newest = f"the newest checkpoint is step {self.saved}" if self.saved >= 0 else "no checkpoint was due yet"
        return f" during step {self.step + 1}; {newest}"

    def _farewell(self, error: ZeuxisError | str) -> None:
        if not self.ranks.first:
            return
        with contextlib.suppress(ZeuxisError, Interrupt), self.stop.later():  # the disk may be what is full
            self.run.log(str(error))

    def _kept(self) -> str:
        if self.saved < 0:
            return "no checkpoint was due yet, nothing was saved"
        return (
            f"the checkpoint of step {self.saved} is kept, but resuming it would diverge again: "
            f"start a new run, with --init-from {self.run.path} if its weights are still good"
        )
