"""How a process talks with those that decode images for it: lines of JSON, and raw pixels after them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from zeuxis.data.listing import WHOLE, Picture, Shape
from zeuxis.io import images

Result = Picture | str  # a picture, or the reason why there is none


def send_result(pipe: Any, result: Result, shape: Shape) -> None:
    """Write a result to a pipe at once: by it the reader knows which image comes next, should this process die of that."""
    if isinstance(result, str):
        send(pipe, result)
        return
    whole = {"pixels": result.pixels.shape} if shape.resize_mode == WHOLE else {}
    pipe.write(json.dumps(record_of(result) | whole).encode() + b"\n")
    pipe.write(np.ascontiguousarray(result.pixels).data)
    pipe.flush()


def receive_result(pipe: Any, shape: Shape) -> Result:
    """The next result of a pipe; `OSError` where it has ended."""
    record = receive(pipe)
    if isinstance(record, str):
        return record
    height, width, channels = record["pixels"] if shape.resize_mode == WHOLE else (shape.size, *shape[:2])
    count = math.prod((height, width, channels))
    if not 0 < count <= images.MOST_PIXELS * 3:
        raise ValueError(f"no picture has {count} values")
    data = pipe.read(count)
    if len(data) < count:
        raise OSError("the pipe ended")
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, channels)
    about = record["mode"], record["digest"], record.get("note", ""), record.get("frames", 1), record.get("bits", 8)
    return Picture(pixels, tuple(record["size"]), *about)


def record_of(picture: Picture) -> dict[str, Any]:
    """What is known of a picture's file, as JSON."""
    found: dict[str, Any] = {"size": picture.size, "mode": picture.mode, "digest": picture.digest}
    found |= {"note": picture.note} if picture.note else {}
    found |= {"frames": picture.frames} if picture.frames > 1 else {}
    return found | ({"bits": picture.bits} if picture.bits > 8 else {})


def send(pipe: Any, message: Any) -> None:
    """Write a message to a pipe, as a line of JSON."""
    pipe.write(json.dumps(message).encode() + b"\n")
    pipe.flush()


def receive(pipe: Any) -> Any:
    """The next message of a pipe; `OSError` where it has ended."""
    if not (line := pipe.readline()):
        raise OSError("the pipe ended")
    return json.loads(line)
