"""The first lines of a run's log: what began or was resumed, and why resuming may be inexact."""

from __future__ import annotations

from zeuxis.runtime.callbacks import MessageCallback
from zeuxis.runtime.progress import Display
from zeuxis.storage import Checkpoint, RunFolder
from zeuxis.training.config import Recipe, versions


def noted_and_logged(run: RunFolder, display: Display) -> MessageCallback:
    """Says a line on the display and in log.txt."""

    def _say(text: str) -> None:
        display.note(text)
        run.log(text)

    return _say


def greet(run: RunFolder, recipe: Recipe, checkpoint: Checkpoint | None, display: Display) -> None:
    """Log what begins or goes on; the warnings are shown, too."""
    what = f"{recipe.family} on {recipe.data} ({recipe.images:,} images)"
    run.log(f"resumed at step {checkpoint.step:,}: {what}" if checkpoint else f"began: {what}")
    if recipe.chosen_kernels and not checkpoint:
        run.log(f"faster convolution kernels chosen for {len(recipe.chosen_kernels)} layers")
    for reason in checkpoint.skipped if checkpoint else ():
        display.note(f"warning: a newer checkpoint was skipped: {reason}")
    # Not refused: on another computer the table may have to go.
    if checkpoint and checkpoint.state.get("kernels", recipe.chosen_kernels) != recipe.chosen_kernels:
        display.note("warning: chosen_kernels of config.yaml are not those of the checkpoint: resuming may be inexact")
    now = versions()
    changed = [
        f"{name} {recipe.versions.get(name)} -> {now[name]}" for name in now if recipe.versions.get(name) != now[name]
    ]
    if changed:
        display.note(
            f"warning: versions changed since the start of the run, so resuming may be inexact: {', '.join(changed)}"
        )
