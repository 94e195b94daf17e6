"""Frames of the socket, both ways: an id, fields as JSON, and a payload of pixels and numbers."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.io.images import to_uint8
from zeuxis.io.parsing import parse_json
from zeuxis.web.requests import BadRequest, Reply

_HEAD = struct.Struct("<II")  # id, bytes of JSON
_MOST_JSON = 1 << 18  # bytes
JPEG_QUALITY = 90

Coding = Literal["raw", "jpeg"]


def read_frame(message: bytes) -> tuple[int, dict[str, Any], bytes]:
    """The id, the fields and the payload of a message; `BadRequest` where it is no frame."""
    if len(message) < _HEAD.size:
        raise BadRequest("the message has no head")
    number, length = _HEAD.unpack_from(message)
    end = _HEAD.size + length
    if length > _MOST_JSON or end > len(message) or end % 4:
        raise BadRequest("the length of the JSON is wrong")
    try:
        fields = parse_json(message[_HEAD.size : end], "the message", max_depth=8)
    except UsageError as error:
        raise BadRequest(str(error)) from None
    if not isinstance(fields, dict):
        raise BadRequest("the JSON is no object")
    return number, fields, message[end:]


def write_frame(number: int, fields: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """A frame; the JSON is padded so that the payload begins at a multiple of four bytes."""
    text = json.dumps(fields, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return _HEAD.pack(number, len(text)) + text + payload


def write_reply(number: int, reply: Reply, *, done: bool, raw: bool) -> bytes:
    """The frame of an answer. Pictures of over 256 pixels go as JPEG, and all of them unless `raw`."""
    fields: dict[str, Any] = {**reply.fields, "ok": True, "done": done}
    payload = b""
    if reply.pictures is not None:
        pixels = as_pixels(reply.pictures)
        coding: Coding = "raw" if raw and max(pixels.shape[1:3]) <= 256 else "jpeg"
        n, h, w, c = pixels.shape
        fields["pictures"] = {"n": n, "h": h, "w": w, "c": c, "coding": coding}
        parts = [pixels.tobytes()] if coding == "raw" else list(_jpegs(pixels))
        if coding == "jpeg":
            fields["lengths"] = [len(part) for part in parts]
        payload = b"".join(parts)
    if reply.numbers is not None:
        numbers = np.asarray(reply.numbers, dtype="<f4")
        fields["numbers"] = {"shape": list(numbers.shape)}
        payload += b"\0" * (-len(payload) % 4) + numbers.tobytes()
    return write_frame(number, fields, payload)


def write_error(number: int, message: str) -> bytes:
    """The frame of an error that a person can understand."""
    return write_frame(number, {"ok": False, "done": True, "error": message})


def write_cancelled(number: int) -> bytes:
    """The last frame of a request that a newer one in its lane has replaced."""
    return write_frame(number, {"ok": True, "done": True, "cancelled": True})


def as_pixels(pictures: Tensor | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Pictures (n c h w in [-1, 1], or n h w c uint8) as n h w c uint8 of 1, 3 or 4 channels."""
    if isinstance(pictures, np.ndarray) and pictures.dtype == np.uint8:
        return np.ascontiguousarray(pictures)
    return np.ascontiguousarray(to_uint8(torch.as_tensor(pictures).float().cpu()))


def _jpegs(pixels: np.ndarray[Any, Any]) -> Iterator[bytes]:
    for picture in pixels:
        file = io.BytesIO()
        shown = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture[..., :3])
        shown.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        yield file.getvalue()


def split_pictures(payload: bytes, lengths: Sequence[int]) -> list[bytes]:
    """The parts of a payload of JPEG pictures, for a client in Python."""
    ends = np.cumsum([0, *lengths])
    return [payload[start:end] for start, end in zip(ends, ends[1:])]
