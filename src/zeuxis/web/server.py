"""The server: a listening socket, uvicorn in a thread, and an end by a signal that loses nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.escaping import printable
from zeuxis.runtime.signals import Interrupt, signals
from zeuxis.web.app import THREADS, Application
from zeuxis.web.exports import EngineName, faster
from zeuxis.web.operations import MORE_BYTES, REQUEST_BYTES
from zeuxis.web.security import Door, is_loopback
from zeuxis.web.served import Served

PORT = 8765
_TRIED = 20  # ports, where nobody asks for one
_MOST_CONNECTIONS = 200  # open at once; each has at most one task
_GRACE = 2  # seconds that each thread may still take at the end


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that is bound to the address, unless a port is given on the first free one from 8765 on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tried = range(PORT, PORT + _TRIED) if port is None else [port]
    reason = ""
    for each in tried:
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            if sys.platform != "win32":  # there it would let two servers share a port
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host.strip("[]"), each))
            found.listen(128)
            return found
        except (OSError, OverflowError, UnicodeError) as error:
            found.close()
            reason = getattr(error, "strerror", None) or str(error)
    where = f"port {port}" if port is not None else f"ports {PORT} to {PORT + _TRIED - 1}"
    raise UsageError(f"cannot listen on {where} of {host!a}: {reason}; name another with --port or --host")


def serve_page(
    served: Sequence[Served],
    listening: socket.socket,
    host: str,
    told: Callable[[str], None],
    *,
    engine: EngineName = "auto",
) -> None:
    """Serve until a signal ends it; `told` gets the link once the page can be opened."""
    try:
        with signals() as stop, running(served, listening, host) as (address, thread), faster(served, engine):
            told(address)
            while thread.is_alive():  # in short waits, as some systems interrupt no long one
                thread.join(0.5)
                stop.check()  # a signal that has come, whatever became of its exception
            raise ZeuxisError("the server ended by itself; start it again")
    except Interrupt as interrupt:
        _leave(interrupt)
        raise


def _leave(interrupt: Interrupt) -> None:
    """End the process here where a thread is still inside a network: with the interpreter's end it would abort."""
    if any(each.name.startswith(THREADS) for each in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.write(f"zeuxis: {interrupt}\n")
        sys.stderr.flush()
        os._exit(128 + interrupt.number)


@contextlib.contextmanager
def running(served: Sequence[Served], listening: socket.socket, host: str) -> Iterator[tuple[str, threading.Thread]]:
    """The server at work in a thread, on a socket that `listen` has made: its link, and the thread."""
    port = listening.getsockname()[1]
    door = Door.at(host, port)
    app = Application(served, door, raw=is_loopback(host))
    _log_in_lines()
    server = uvicorn.Server(_config(app.starlette()))
    thread = threading.Thread(target=server.run, args=([listening],), name=f"{THREADS}server", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield link(host, port, door.key), thread
    finally:
        server.should_exit = True
        thread.join(_GRACE)
        app.end(_GRACE)


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws="websockets-sansio",
        ws_max_size=max(REQUEST_BYTES, *MORE_BYTES.values(), 0),
        ws_per_message_deflate=False,
        limit_concurrency=_MOST_CONNECTIONS,
    )


def link(host: str, port: int, key: str) -> str:
    """What to open in a browser."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    shown = f"[{name}]" if ":" in name and not name.startswith("[") else name
    return f"http://{shown}:{port}/" + (f"?key={key}" if key else "")


class _Lines(logging.Handler):
    """Writes what the server logs to stderr, each record on one line, without tracebacks: clients can cause some."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        told = record.getMessage().partition("\n")[0] + (f" ({type(error).__name__})" if error else "")
        sys.stderr.write(f"zeuxis: {printable(told)}\n")


def _log_in_lines() -> None:
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], False
        logger.setLevel(logging.ERROR)  # below it: what clients do wrong
        logger.addHandler(_Lines())
