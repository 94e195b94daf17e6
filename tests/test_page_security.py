"""What the page's server refuses: foreign hosts and origins, malformed messages, paths beyond its list, a 17th client."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import random
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import torch
from starlette.types import ASGIApp
from websockets.exceptions import ConnectionClosed, InvalidStatus

from page_client import floats, opened, raw_frame, serving
from release import RELEASE
from waiting import PATIENCE
from zeuxis.families import find
from zeuxis.web.app import MOST_CLIENTS, Application, page_files
from zeuxis.web.operations import MORE_BYTES, REQUEST_BYTES
from zeuxis.web.security import Door, headers_for
from zeuxis.web.served import Served, open_served

MESSAGES = 200_000 if RELEASE else 10_000
SOCKETS = 2_000 if RELEASE else 100
LATENT = 8
MOST_OF_ALL = max(REQUEST_BYTES, *MORE_BYTES.values(), 0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("models") / "small"
    torch.manual_seed(0)
    find("vae")(size=8, channels=1, latent_dim=LATENT, base_channels=4).save(folder)
    return open_served(folder, device="cpu")


@pytest.fixture(scope="module")
def link(served: Served) -> Iterator[str]:
    with serving(served) as found:
        yield found


def asked(link: str, path: str, *, method: str = "GET", host: str | None = None) -> http.client.HTTPResponse:
    """A request whose path and Host go as they are."""
    there = urlsplit(link)
    connection = http.client.HTTPConnection(str(there.hostname), there.port, timeout=PATIENCE)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", host if host is not None else there.netloc)
    connection.endheaders()
    return connection.getresponse()


@pytest.mark.parametrize("name", ["/", "/api/model", "/nothing"])
def test_every_answer_has_the_headers(link: str, name: str) -> None:
    found = asked(link, name)
    policy = found.getheader("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    wanted = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    assert {name: found.getheader(name) for name in wanted} == wanted
    assert not any(
        name.lower().startswith(("access-control", "set-cookie", "server")) for name, _ in found.getheaders()
    )


def test_the_policy_admits_the_import_map_alone() -> None:
    import base64
    import hashlib

    text = '{"imports": {}}'
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    index = f'<script type="importmap">{text}</script><script>alert(1)</script>'
    policy = headers_for(index)["Content-Security-Policy"]
    assert re.findall(r"'sha256-[^']+'", policy) == [f"'sha256-{digest}'"]


@pytest.mark.parametrize(
    "host", ["evil.test", "", "127.0.0.1", "localhost:1", "127.0.0.1.evil.test:80", "0.0.0.0", "[::1"]
)
def test_a_foreign_host_is_refused(link: str, host: str) -> None:
    for path in ("/", "/api/model"):
        assert asked(link, path, host=host).status == 400


def test_our_own_names_are_known(link: str) -> None:
    port = urlsplit(link).port
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert asked(link, "/api/model", host=f"{name}:{port}").status == 200


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.test", "https://{here}", "http://localhost:1", "http://{here}/", "{here}"]
)
def test_a_foreign_origin_is_closed_before_it_is_accepted(link: str, origin: str | None) -> None:
    given = origin.format(here=urlsplit(link).netloc) if origin else None
    with pytest.raises(InvalidStatus) as caught, opened(link, origin=given):
        pass
    assert caught.value.response.status_code == 403


def test_only_reading_is_allowed(link: str) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
        assert asked(link, "/api/model", method=method).status == 405
    assert asked(link, "/api/model", method="HEAD").read() == b""


def traversals() -> Iterator[str]:
    """Ways to name a file that is not on the list."""
    ups = ["..", "%2e%2e", "%252e%252e", ".%2e", "..;", "%c0%ae%c0%ae", "%uff0e%uff0e", "..%00", "....", "%2e%2e%2f"]
    slashes = ["/", "%2f", "\\", "%5c", "%252f", "//", "/./", "%c0%af", "%e2%88%95"]
    targets = ["etc/passwd", "pyproject.toml", "index.html", "app.py", "windows%5cwin.ini", "web/security.py"]
    for up, slash, target in itertools.product(ups, slashes, targets):
        yield f"/{up}{slash}{up}{slash}{target}"
    for target in targets:
        yield from (f"//{target}", f"/./{target}x", f"/views/../../{target}", f"/{target}%00.js", f"/file:///{target}")
    package = Path(__file__).parent.parent / "src" / "zeuxis" / "web"
    yield from (quote(str(path)) for path in sorted(package.glob("*.py")))
    yield from (
        "/C:/Windows/win.ini",
        "/~root/.ssh/id_rsa",
        "/proc/self/environ",
        "/" + "a" * 4000,
        "/%ff%fe",
        "/index.html/",
    )


def test_nothing_beyond_the_list_is_sent(link: str) -> None:
    forms = list(traversals())
    assert len(forms) >= 500
    for form in forms:
        with asked(link, form) as answer:
            assert (answer.status, answer.read()) == (404, b"not found"), form


def test_the_list_is_fixed(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    for name in ("index.html", "app.js", "views/explore.js", "secret.key", "module.py"):
        (tmp_path / name).write_text(name)
    assert page_files(tmp_path).keys() - {"aileron.ttf"} == {"", "index.html", "app.js", "views/explore.js"}


class Wire:
    """A socket without a network: what the application is sent, and what it answers."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app, self.port = app, port

    async def closed(self, message: Any) -> int | None:
        """The code with which one message ends the socket; None where it is answered."""
        ended, waiting = asyncio.Event(), [{"type": "websocket.connect"}, {"type": "websocket.receive", **message}]
        codes: list[int | None] = []

        async def receive() -> Any:
            if waiting:
                return waiting.pop(0)
            await ended.wait()
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(event: Any) -> None:
            if event["type"] in ("websocket.close", "websocket.send"):
                codes.append(event.get("code"))
                ended.set()

        here = f"127.0.0.1:{self.port}".encode()
        headers = [(b"host", here), (b"origin", b"http://" + here)]
        scope = {"type": "websocket", "path": "/api/socket", "raw_path": b"/api/socket", "query_string": b""}
        scope |= {"headers": headers, "subprotocols": [], "asgi": {"version": "3.0", "spec_version": "2.4"}}
        await asyncio.wait_for(self.app(scope, receive, send), PATIENCE)
        return codes[0]


ODD_JSON = (
    *(b"", b"null", b"[]", b"7", b"{" * 99, b"[" * 5000, b"\xff\xfe\x00\x00", b'"decode"', b"{}", b'{"op": 1e999}'),
    *(b'{"op":"decode","op":"prior"}', b'{"op":NaN}', b'{"op":"decode"', b'{"op":"decode"}{}', b'{"op":"\\ud800"x}'),
)
ODD_LATENTS = (
    *(floats([[value] * LATENT]) for value in (float("nan"), float("inf"), -float("inf"), 101.0, -1e30)),
    *(
        b"",
        floats([[0.0] * LATENT])[:-1],
        floats([[0.0] * (LATENT + 1)]),
        floats([[0.0] * LATENT] * 65),
        bytes(REQUEST_BYTES),
    ),
)
ODD_FIELDS: dict[str, tuple[Any, ...]] = {
    "n": (0, 2, -1, 65, 1e300, 1.0, "1", None, [1], True, 2**70),
    "op": (7.5, "", "x" * 65, None, {}, ["a"], True),
    "lane": (7.5, "", "x" * 65, None, {}, ["a"], True),
    "model": (1, -1, 0.5, "0", None, True, 2**70),
    "space": ("x", 7, None, ["z"]),
}
ODD_SEEDS = (None, 7, "0", [0.5], [-1], [2**63], ["0"], list(range(65)), [True], [None], {}, [[1]], [2**80])


def malformed(chance: random.Random) -> dict[str, Any]:
    """A message that no page sends: bytes by chance, or a request with one thing wrong."""
    good: dict[str, Any] = {"op": "decode", "lane": "hand"}
    latent = floats([[0.0] * LATENT])
    ways: list[Callable[[], dict[str, Any]]] = [
        lambda: {"bytes": chance.randbytes(chance.randrange(200))},
        lambda: {"text": chance.choice(["", "{}", "decode", "\x00", "\U0001f600" * 100])},
        lambda: {"bytes": with_length(chance.choice([0, 1, 33, 2**31, 2**32 - 1]))},
        lambda: {"bytes": padded(chance.choice(ODD_JSON), chance.choice([b"", latent]))},
        lambda: {"bytes": padded(good, chance.choice(ODD_LATENTS))},
        lambda: {"bytes": padded(good | odd_field(chance), latent)},
        lambda: {"bytes": padded({"op": "prior", "seeds": chance.choice(ODD_SEEDS)})},
        lambda: {"bytes": padded({chance.choice("abc"): chance.random()}, chance.randbytes(40))},
    ]
    return chance.choice(ways)()


def with_length(length: int) -> bytes:
    """A frame that says so of the length of its JSON."""
    return bytes(4) + length.to_bytes(4, "little") + b'{"op":"prior","seeds":[1]}  '


def odd_field(chance: random.Random) -> dict[str, Any]:
    name = chance.choice(list(ODD_FIELDS))
    return {name: chance.choice(ODD_FIELDS[name])}


def padded(fields: dict[str, Any] | bytes, payload: bytes = b"") -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return raw_frame(7, text + b" " * (-len(text) % 4), payload)


@pytest.mark.long
def test_malformed_messages_close_the_socket(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(0)
    application = Application([served], Door.at("127.0.0.1", 9))

    async def all_of_them() -> None:
        wire = Wire(application.starlette(), 9)
        for _ in range(MESSAGES):
            message = malformed(chance)
            code = await wire.closed(message)
            assert code == 1007, message
        good = padded(b'{"op":"decode"}', floats([[0.0] * LATENT]))
        assert await wire.closed({"bytes": good}) is None and not application.clients

    try:
        asyncio.run(all_of_them())
    finally:
        application.end()
    assert capfd.readouterr().err == ""


def test_a_malformed_message_over_the_network(link: str, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(1)
    for _ in range(SOCKETS):
        message = malformed(chance)
        with opened(link) as page, pytest.raises(ConnectionClosed) as caught:
            page.socket.send(message.get("text", message.get("bytes")))
            page.socket.recv(timeout=PATIENCE)
        too_long = len(message.get("bytes", b"")) > MOST_OF_ALL
        code = caught.value.rcvd.code if caught.value.rcvd else None
        # What is too long may still be on its way, and reset the connection, when the reason comes.
        assert code in ((1009, None) if too_long else (1007,))
    with opened(link) as page:
        assert page.ask("prior", seeds=[3]).numbers.shape == (1, LATENT)
    assert capfd.readouterr().err == ""


def test_bytes_that_are_no_protocol_at_all(link: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Malformed HTTP, and malformed frames after a handshake: no 5xx, no traceback, and the next request is answered."""
    chance, there = random.Random(2), urlsplit(link)
    starts = [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /api/socket HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: " + there.netloc.encode() + b"\r\n\r\n",
        handshake(there.netloc),
    ]
    for _ in range(SOCKETS):
        sent = chance.choice(starts) + chance.randbytes(chance.randrange(100))
        assert not re.match(rb"HTTP/1.1 5", exchanged(link, sent)), sent
    assert asked(link, "/api/model").status == 200
    assert "Traceback" not in capfd.readouterr().err


def handshake(here: str) -> bytes:
    lines = [
        "GET /api/socket HTTP/1.1",
        f"Host: {here}",
        f"Origin: http://{here}",
        "Upgrade: websocket",
        "Connection: Upgrade",
    ]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]
    return "\r\n".join(lines).encode()


def exchanged(link: str, sent: bytes) -> bytes:
    """What comes back for bytes, after which nothing is sent any more."""
    there = urlsplit(link)
    found = b""
    with socket.create_connection((str(there.hostname), there.port), timeout=PATIENCE) as plain:
        plain.sendall(sent)
        plain.shutdown(socket.SHUT_WR)
        try:
            while part := plain.recv(1 << 16):
                found += part
        except ConnectionError:
            pass
    return found


def test_a_message_may_have_so_many_bytes(link: str) -> None:
    with opened(link) as page, pytest.raises(ConnectionClosed):
        page.socket.send(bytes(MOST_OF_ALL + 1))
        page.socket.recv(timeout=PATIENCE)
    with opened(link) as page:
        assert page.ask("prior", seeds=[0]).fields["ok"]


def test_the_seventeenth_client_comes_later(link: str) -> None:
    import contextlib

    with contextlib.ExitStack() as stack:
        for _ in range(MOST_CLIENTS):
            page = stack.enter_context(opened(link))
            assert page.ask("prior", seeds=[0]).fields["ok"]
        with opened(link) as one_more, pytest.raises(ConnectionClosed) as caught:
            one_more.socket.recv(timeout=PATIENCE)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1013


def test_beyond_loopback_a_key_is_needed(served: Served) -> None:
    with serving(served, host="0.0.0.0") as link:
        key = urlsplit(link).query.removeprefix("key=")
        assert len(key) >= 22, "128 bits"
        port = urlsplit(link).port
        here = f"http://127.0.0.1:{port}/"
        assert asked(here, "/").status == 200 and asked(here, f"/api/model?key={key}").status == 200
        wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
        for query in ("", "?key=", f"?key={wrong}", f"?key={key}x", "?key=%ff%00", f"?Key={key}"):
            assert asked(here, f"/api/model{query}").status == 403
            with pytest.raises(InvalidStatus), opened(here + query):
                pass
        with opened(f"{here}?key={key}") as page:
            assert page.ask("prior", seeds=[0]).fields["ok"]


def test_keys_are_for_strangers_and_never_the_same() -> None:
    assert Door.at("0.0.0.0", 1).key != Door.at("0.0.0.0", 1).key
    assert not any(Door.at(host, 1).key for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"))
    assert all(Door.at(host, 1).key for host in ("0.0.0.0", "::", "192.168.1.7", "my-machine"))
