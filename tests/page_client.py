"""A client of the page's server, as the browser is one: frames over a socket."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

from waiting import PATIENCE
from zeuxis.web.app import THREADS
from zeuxis.web.protocol import read_frame, write_frame
from zeuxis.web.served import Served
from zeuxis.web.server import listen, running


@dataclass(frozen=True)
class Answer:
    """One answer: its fields, pictures (n h w c) and numbers."""

    fields: dict[str, Any]
    payload: bytes

    @property
    def pictures(self) -> np.ndarray[Any, Any]:
        form = self.fields["pictures"]
        shape = [form[name] for name in "nhwc"]
        return np.frombuffer(self.payload, np.uint8, count=int(np.prod(shape))).reshape(shape)

    @property
    def numbers(self) -> np.ndarray[Any, Any]:
        shape = self.fields["numbers"]["shape"]
        return np.frombuffer(self.payload[-4 * int(np.prod(shape)) :], np.float32).reshape(shape)


class Page:
    """One open socket, with requests that are answered in turn."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.last = socket, 0

    def send(self, op: str, payload: bytes = b"", *, lane: str = "hand", **fields: Any) -> int:
        self.last += 1
        self.socket.send(write_frame(self.last, {"op": op, "lane": lane, **fields}, payload))
        return self.last

    def receive(self) -> tuple[int, Answer]:
        message = self.socket.recv(timeout=PATIENCE)
        assert isinstance(message, bytes)
        number, fields, payload = read_frame(message)
        return number, Answer(fields, payload)

    def stream(self, op: str, payload: bytes = b"", **fields: Any) -> Iterator[Answer]:
        wanted, done = self.send(op, payload, **fields), False
        while not done:
            number, answer = self.receive()
            if number == wanted:
                done = answer.fields["done"]
                yield answer

    def ask(self, op: str, payload: bytes = b"", **fields: Any) -> Answer:
        *_, answer = self.stream(op, payload, **fields)
        return answer


@contextlib.contextmanager
def serving(*served: Served, host: str = "127.0.0.1") -> Iterator[str]:
    """The link of a server at work in this process, on a free port."""
    others = set(threading.enumerate())
    with (
        listen("127.0.0.1" if host == "127.0.0.1" else host, 0) as listening,
        running(served, listening, host) as (link, _),
    ):
        yield link
    # A thread that is still inside a network would end the process with an abort at the interpreter's own end.
    for thread in set(threading.enumerate()) - others:
        if thread.name.startswith(THREADS):
            thread.join(PATIENCE)


@contextlib.contextmanager
def opened(link: str, **headers: str | None) -> Iterator[Page]:
    """A socket to the server of a link; `Origin` and `Host` as a browser sends them, unless given."""
    address, _, query = link.removeprefix("http://").partition("/")
    url = f"ws://{address}/api/socket{query}"
    with connect(
        url, origin=headers.get("origin", f"http://{address}"), compression=None, max_size=None, ping_interval=None
    ) as socket:  # type: ignore[arg-type]
        yield Page(socket)


def floats(rows: Sequence[Sequence[float]] | np.ndarray[Any, Any]) -> bytes:
    """A payload of numbers."""
    return np.asarray(rows, "<f4").tobytes()


def raw_frame(number: int, fields: Mapping[str, Any] | bytes, payload: bytes = b"") -> bytes:
    """A frame that may be malformed: fields as bytes go as they are."""
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return number.to_bytes(4, "little") + len(text).to_bytes(4, "little") + text + payload
