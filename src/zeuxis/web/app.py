"""The application: a fixed list of files, `/api/model`, and the socket on which everything is asked and answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from zeuxis.web.clients import LATER, MALFORMED, POLICY, Client
from zeuxis.web.operations import FILES_ONLY, FOR_MINUTES, IN_BACKGROUND, OPERATIONS, most_bytes
from zeuxis.web.page_files import KINDS, PAGE, page_contents, preloading
from zeuxis.web.protocol import read_frame, write_error
from zeuxis.web.requests import BadRequest, Request
from zeuxis.web.security import Door, headers_for
from zeuxis.web.served import Served
from zeuxis.web.worker import Job, Worker

MOST_CLIENTS = 16
THREADS = "zeuxis-"  # how the names of the server's threads begin
_FAREWELL = 5.0  # seconds for a client to read what it asked for before its malformed message
File = tuple[bytes, str]  # content, and its type
_MISSING: File = (b"The files of the page are missing; install Zeuxis anew.\n", KINDS[".txt"])


def page_files(folder: Path = PAGE) -> dict[str, File]:
    """The files of the page by the path at which each is asked for: nothing else is ever sent."""
    page = page_contents(folder)
    found: dict[str, File] = {path: (content, KINDS[Path(path).suffix]) for path, content in page.items()}
    found[""] = (preloading(page), KINDS[".html"]) if "index.html" in page else _MISSING
    return found


class Application:
    """What the server does for its clients, each with one socket; at most 16 at a time."""

    def __init__(self, served: Sequence[Served], door: Door, *, raw: bool = True) -> None:
        self.served, self.door, self._raw = served, door, raw
        self.files = page_files()
        self.clients: set[Client] = set()
        self._workers = {
            "model": Worker(f"{THREADS}model"),
            "files": Worker(f"{THREADS}files"),
            "background": Worker(f"{THREADS}background", nice=True),
            "minutes": Worker(f"{THREADS}minutes", nice=True),
        }

    def starlette(self) -> ASGIApp:
        """The ASGI application."""
        routes = [
            Route("/api/model", self._about),
            WebSocketRoute("/api/socket", self._socket),
            Route("/{path:path}", self._file),
        ]
        app = Starlette(routes=routes, lifespan=self._life)
        return Guard(app, self.door, headers_for(self.files[""][0].decode()))

    @contextlib.asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        yield
        self.end()

    def end(self, patience: float = 0.0) -> None:
        """End the threads, each after the step it is at; so many seconds are waited for each."""
        for worker in self._workers.values():
            worker.end(patience)

    async def _file(self, request: HttpRequest) -> Response:
        file = self.files.get(request.path_params["path"])
        return Response(file[0], media_type=file[1]) if file else Response("not found", 404)

    async def _about(self, request: HttpRequest) -> Response:
        if not self.door.opens(request.query_params.get("key")):
            return Response("the key is missing or wrong; open the link that the terminal shows", 403)
        return JSONResponse({"version": 1, "models": [each.info for each in self.served]})

    async def _socket(self, socket: WebSocket) -> None:
        hosts, origins = (socket.headers.getlist(name) for name in ("host", "origin"))
        if not self.door.is_ours(hosts, origins) or not self.door.opens(socket.query_params.get("key")):
            await socket.close(POLICY)  # before it is accepted: the handshake fails
            return
        with contextlib.suppress(WebSocketDisconnect):  # it has left already
            await socket.accept()
            if len(self.clients) < MOST_CLIENTS:
                await self._serve(socket)
            else:
                await socket.close(LATER)

    async def _serve(self, socket: WebSocket) -> None:
        """Talk to a client until it leaves; one that leaves is no error."""
        client = Client(asyncio.get_running_loop(), raw=self._raw)
        self.clients.add(client)
        sender = asyncio.create_task(self._send(socket, client))
        try:
            while (message := await socket.receive())["type"] == "websocket.receive":
                self._take(client, message)
                await client.room()
        except BadRequest:
            client.close(MALFORMED)
            await asyncio.wait([sender], timeout=_FAREWELL)
        finally:
            self.clients.discard(client)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, socket: WebSocket, client: Client) -> None:
        """Send a client's answers as fast as it reads them."""
        try:
            while not client.gone:
                item = await client.outbox.get()
                if isinstance(item, int):
                    await socket.close(item)
                    return
                await socket.send_bytes(item)
                client.sent(item)
                self._look()
        except (WebSocketDisconnect, RuntimeError):
            pass  # gone while we drew: the reader sees it too
        finally:  # what it waits for ends, also where the reader itself waits for that
            client.gone = True
            self._look()

    def _look(self) -> None:
        for worker in self._workers.values():
            worker.look()

    def _take(self, client: Client, message: Message) -> None:
        """Check a message and queue what it asks for; a stream in its lane ends."""
        content = message.get("bytes")
        if content is None:
            raise BadRequest("a message of text")
        number, fields, payload = read_frame(content)
        request = Request.read(fields, payload, models=len(self.served))
        if len(content) > most_bytes(request.op, self.served[request.model]):
            raise BadRequest(f"a message of {len(content)} bytes")
        operation = OPERATIONS.get(request.op)
        if operation is None:
            client.send(write_error(number, f"this version of Zeuxis has no operation {request.op!a}"))
            return
        client.replace(request.lane)
        steps: Any = operation(self.served[request.model], client, request)
        job = Job(client, number, request.lane, request.op, len(content), steps)
        client.jobs.add(job)
        self._worker(request.op).submit(job)

    def _worker(self, op: str) -> Worker:
        places = {"files": FILES_ONLY, "background": IN_BACKGROUND, "minutes": FOR_MINUTES}
        return self._workers[next((name for name, ops in places.items() if op in ops), "model")]


class Guard:
    """Refuses requests under a foreign Host, and gives every answer the headers."""

    def __init__(self, app: ASGIApp, door: Door, headers: Mapping[str, str]) -> None:
        self._app, self._door = app, door
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self._headers]}
            await send(message)

        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        app = self._app if self._door.knows(hosts) else Response("this server has another name", 400)
        await app(scope, receive, with_headers)
