"""The scale of a set's integers: a picture that uses few of 16 or 32 bits is dark, where others of the set use all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from zeuxis.data.listing import Picture, shown
from zeuxis.data.messages import Result
from zeuxis.io import depth


class Scales:
    """What the pictures of a set, each seen once, say of its depths."""

    def __init__(self, used: Collection[int] = (), dark: Sequence[tuple[str, int]] = ()) -> None:
        self._used = set(used)  # depths of pictures whose uppermost bits are in use
        self.dark = list(dark)  # pictures that were refused for using few bits, and their depths

    def see(self, item: str, result: Result) -> None:
        """Note a picture, or the reason why there is none."""
        if isinstance(result, Picture):
            self._used |= {result.bits} - {8}
        elif bits := depth.dark_bits(result):
            self.dark.append((item, bits))

    @property
    def used(self) -> list[int]:
        """Depths of pictures whose uppermost bits are in use."""
        return sorted(self._used)

    @property
    def known(self) -> list[int]:
        """Depths of pictures that were refused, of which others show that their scale is that of the depth."""
        return sorted(self._used & {bits for _, bits in self.dark})

    def notes(self) -> list[tuple[str, str]]:
        """Which pictures these are, the first by its name; to be told, as no single one of them shows it."""
        found = []
        for bits in self.known:
            names = [item for item, each in self.dark if each == bits]
            more = f"and {len(names) - 1:,} more " if len(names) > 1 else ""
            told = f"{more}of {bits} bits, few of them used: read as dark, as others use all"
            found.append((shown(names[0].rpartition("@")[2]), told))
        return found
