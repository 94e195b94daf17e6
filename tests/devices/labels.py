"""Labels of a pack that lie in memory."""

from __future__ import annotations

from typing import Any


class MemoryLabels:
    """Those of a pack in memory, as a pack asks for them."""

    def __init__(self, values: Any) -> None:
        self.values, self.nbytes = values, values.nbytes

    def whole(self) -> Any:
        return self.values

    def rows(self, places: Any) -> Any:
        return self.values[places]
