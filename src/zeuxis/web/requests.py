"""What a client asks for, and what it is answered; every number from outside is checked before an operation sees it."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST_LATENTS = 64
_FARTHEST = 100.0  # the largest number in a latent
_MOST_WORD = 64  # characters


class BadRequest(Exception):  # noqa: N818 (the page never sends one)
    """A malformed message: the socket is closed with code 1007."""


@dataclass(frozen=True)
class Request:
    """One request of a client; its methods raise `BadRequest` where a field is missing, or out of bounds."""

    op: str
    model: int
    lane: str
    fields: Mapping[str, Any]
    payload: bytes = b""

    @classmethod
    def read(cls, fields: Mapping[str, Any], payload: bytes, *, models: int) -> Request:
        """The request in the fields of a frame, to one of so many models."""
        plain = cls("", 0, "", fields)
        op, lane = plain.text("op"), plain.text("lane", default="others")
        return cls(op, plain.whole("model", low=0, high=models - 1, default=0), lane, fields, payload)

    def whole(self, name: str, *, low: int, high: int, default: int | None = None) -> int:
        """A whole number within bounds (inclusive)."""
        value = self.fields.get(name, default)
        if type(value) is not int or not low <= value <= high:
            raise BadRequest(f"{name} is no whole number from {low} to {high}")
        return value

    def number(self, name: str, *, low: float, high: float, default: float | None = None) -> float:
        """A finite number within bounds (inclusive)."""
        return _bounded(name, self.fields.get(name, default), low, high)

    def numbers(self, name: str, *, most: int, low: float, high: float) -> list[float]:
        """A list of at most so many finite numbers within bounds (inclusive)."""
        values = self.fields.get(name)
        if not isinstance(values, list) or len(values) > most:
            raise BadRequest(f"{name} is no list of at most {most} numbers")
        return [_bounded(name, value, low, high) for value in values]

    def wholes(self, name: str, *, most: int, low: int, high: int) -> list[int]:
        """A list of at most so many whole numbers within bounds (inclusive)."""
        values = self.numbers(name, most=most, low=low, high=high)
        if not all(type(value) is int for value in self.fields[name]):
            raise BadRequest(f"{name} has other than whole numbers")
        return [int(value) for value in values]

    def word(self, name: str, choices: Collection[str], default: str | None = None) -> str:
        """One of the choices."""
        value = self.text(name, default=default)
        if value not in choices:
            raise BadRequest(f"{name} is none of {', '.join(choices)}")
        return value

    def text(self, name: str, *, default: str | None = None) -> str:
        """A word of at most 64 characters."""
        value = self.fields.get(name, default)
        if not isinstance(value, str) or not 0 < len(value) <= _MOST_WORD:
            raise BadRequest(f"{name} is no word of at most {_MOST_WORD} characters")
        return value

    def latents(self, shape: Sequence[int], *, most: int = MOST_LATENTS) -> Tensor:
        """The payload as latents (n shape): 1 to `most`, finite, of at most 100 in magnitude; n is the field `n`, if given."""
        each = 4 * math.prod(shape)
        n, rest = divmod(len(self.payload), each)
        if rest or not 1 <= n <= most or n != self.whole("n", low=1, high=most, default=n):
            raise BadRequest(f"the payload has {len(self.payload)} bytes; expected 1 to {most} latents of {each}")
        found = np.frombuffer(self.payload, "<f4").astype(np.float32)
        if not np.isfinite(found).all() or np.abs(found).max() > _FARTHEST:
            raise BadRequest(f"a latent is not finite, or beyond {_FARTHEST:g}")
        return torch.from_numpy(found).reshape(n, *shape)

    def label(self, classes: int, n: int) -> Tensor | None:
        """The field `label` for n pictures (n), below `classes`; None where none is given, or -1."""
        label = self.whole("label", low=-1, high=classes - 1, default=-1)
        return None if label < 0 else torch.full((n,), label)

    def pixels(self, *, most_side: int = 1024) -> np.ndarray[Any, Any]:
        """The payload as one picture (h w c, uint8), by the fields h, w and c."""
        h, w = (self.whole(name, low=1, high=most_side) for name in "hw")
        c = self.whole("c", low=1, high=4)
        if len(self.payload) != h * w * c:
            raise BadRequest(f"the payload has {len(self.payload)} bytes; expected {h * w * c}")
        return np.frombuffer(self.payload, np.uint8).reshape(h, w, c).copy()


@dataclass(frozen=True)
class Reply:
    """One answer of an operation; a stream gives several."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    pictures: Tensor | np.ndarray[Any, Any] | None = None  # n c h w in [-1, 1], or n h w c uint8
    numbers: Tensor | np.ndarray[Any, Any] | None = None  # float32
    more: bool = False  # another answer follows, so that this one is sent at once


# What an operation gives: answers; pauses in seconds; or None: no answer yet, and others have their turn.
Steps = Generator[Reply | float | None, None, None]


def _bounded(name: str, value: Any, low: float, high: float) -> float:
    if type(value) not in (int, float) or not low <= value <= high:  # a NaN fails this too
        raise BadRequest(f"{name} is no number from {low} to {high}")
    return float(value)
