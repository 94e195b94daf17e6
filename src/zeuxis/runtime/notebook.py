"""What a person sees of a training run in a notebook: a live bar, the losses, and the newest samples under them."""

from __future__ import annotations

import contextlib
import html
import importlib
import io
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from zeuxis.escaping import printable
from zeuxis.runtime.kernel import in_kernel
from zeuxis.runtime.progress import Display, Tick, game, pace

if TYPE_CHECKING:
    from PIL.Image import Image

_NARROWEST, _WIDEST = 400, 800  # pixels of the samples: a notebook keeps them in its file
_MOST_NOTES = 100


def open_live() -> Display | None:
    """The display of a notebook; None outside its kernel."""
    return LiveCell() if in_kernel() else None


class LiveCell:
    """The output of the cell that trains; it is replaced in place, and needs no widgets."""

    every = 0.5

    def __init__(self) -> None:
        self._bar: Any = None  # handles of the two outputs, once they are there
        self._picture: Any = None
        self._notes: list[str] = []
        self._row: tuple[str, float, str, str] = ("", 0.0, "", "")  # what is done, its share, how far, the losses
        self._shown = 0.0

    def __enter__(self) -> LiveCell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._refresh()

    def note(self, text: str) -> None:
        self._notes = [*self._notes, printable(text)][-_MOST_NOTES:]
        self._refresh()

    def work(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._shown >= self.every:
            self._shown = now
            self._row = (what, done / max(total, 1), f"{done:,}/{total:,}", "")
            self._refresh()

    def tick(self, tick: Tick) -> None:
        self._row = ("training", tick.share, "  ".join(pace(tick)), "  ".join(game(tick.means)))
        self._refresh()

    def sheet(self, picture: Image) -> None:
        if picture.width > _WIDEST:
            picture = picture.resize((_WIDEST, round(picture.height * _WIDEST / picture.width)))
        if (scale := -(-_NARROWEST // picture.width)) > 1:
            picture = picture.resize((picture.width * scale, picture.height * scale), 0)  # whole pixels
        file = io.BytesIO()
        picture.save(file, "PNG")
        data = {"image/png": file.getvalue(), "text/plain": f"samples, {picture.width} x {picture.height}"}
        self._picture = _shown(self._picture, data)

    def _refresh(self) -> None:
        what, share, far, losses = self._row
        told = [f"{what} {share:.0%}  {far}".strip(), losses] if what else []
        bar = f'<progress value="{share:.4f}" max="1" style="width: 24em"></progress> {html.escape(far)}'
        body = [*map(html.escape, self._notes), f"{html.escape(what)} {bar}" if what else "", html.escape(losses)]
        page = f'<pre style="white-space: pre-wrap; margin: 0">{"<br>".join(filter(None, body))}</pre>'
        text = "\n".join(filter(None, [*self._notes, *map(printable, told)]))
        self._bar = _shown(self._bar, {"text/html": page, "text/plain": text})


def _shown(handle: Any, data: dict[str, Any]) -> Any:
    """Show the data, in place of what the handle shows; the handle. A client that has gone ends no run."""
    with contextlib.suppress(Exception):
        display: Any = importlib.import_module("IPython.display").display
        if handle is None:
            return display(data, raw=True, display_id=True)
        handle.update(data, raw=True)
    return handle
