"""Eight clients that drag at once: all get their share, the picture in hand goes before the wall, memory stays bounded."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import torch
from websockets.asyncio.client import connect

from page_client import floats, serving
from release import RELEASE
from waiting import PATIENCE
from zeuxis.families import find
from zeuxis.web.protocol import read_frame, write_frame
from zeuxis.web.served import Served, open_served

CLIENTS = 8
DRAGGED = 1_000 if RELEASE else 60  # pictures in hand of each client
TILES = 8  # of the wall, in a request


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("models") / "model"
    torch.manual_seed(0)
    find("vae")(size=32, channels=3, latent_dim=16).save(folder)
    return open_served(folder, device="cpu")


@pytest.fixture(scope="module")
def link(served: Served) -> Iterator[str]:
    with serving(served) as found:
        yield found


class Dragging:
    """Clients that each keep a picture in hand and tiles of the wall under way, and what they have got."""

    def __init__(self, link: str) -> None:
        self.here = urlsplit(link).netloc
        self.hands, self.walls = [0] * CLIENTS, [0] * CLIENTS
        self.shares: list[int] = []  # of all clients, when the first has all its pictures
        self.wrong = 0

    async def all(self) -> None:
        await asyncio.gather(*(self.one(which) for which in range(CLIENTS)))

    async def one(self, which: int) -> None:
        place = np.random.default_rng(which)
        url, origin = f"ws://{self.here}/api/socket", f"http://{self.here}"
        async with connect(url, origin=origin, compression=None, max_size=None, ping_interval=None) as socket:  # type: ignore[arg-type]
            number, lanes = 0, dict[int, str]()
            for lane in ("wall", "hand"):
                number += 1
                lanes[number] = lane
                await socket.send(asking(number, lane, place))
            while self.hands[which] < DRAGGED:
                message = await asyncio.wait_for(socket.recv(), PATIENCE)
                assert isinstance(message, bytes)
                answered, fields, payload = read_frame(message)
                lane = lanes.pop(answered)
                self.count(which, lane, fields["pictures"]["n"], len(payload))
                number += 1
                lanes[number] = lane
                await socket.send(asking(number, lane, place))

    def count(self, which: int, lane: str, pictures: int, size: int) -> None:
        wanted = 1 if lane == "hand" else TILES
        self.wrong += pictures != wanted or size != wanted * 32 * 32 * 3
        (self.hands if lane == "hand" else self.walls)[which] += 1
        if self.hands[which] == DRAGGED and not self.shares:
            self.shares = [hand + wall for hand, wall in zip(self.hands, self.walls)]


def asking(number: int, lane: str, place: np.random.Generator) -> bytes:
    n = 1 if lane == "hand" else TILES
    return write_frame(number, {"op": "decode", "lane": lane}, floats(place.normal(size=(n, 16))))


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


@pytest.mark.long
def test_eight_clients_share_fairly_and_memory_stays_bounded(link: str) -> None:
    asyncio.run(Dragging(link).all())  # what the first pictures load and allocate stays
    dragging, before = Dragging(link), resident()
    asyncio.run(dragging.all())
    assert dragging.wrong == 0
    # Each of eight would get an eighth; their threads and sockets may lag a little behind.
    assert min(dragging.shares) > 0.75 * max(dragging.shares), dragging.shares
    assert all(wall > 0 for wall in dragging.walls), "the wall goes on behind the picture in hand"
    assert sum(dragging.hands) > sum(dragging.walls), "which goes first"
    assert resident() - before < 50e6


@pytest.mark.parametrize("path", ["/", "/api/model", "/api/socket"])
def test_a_huge_body_is_not_read(link: str, path: str) -> None:
    there = urlsplit(link)
    connection = http.client.HTTPConnection(str(there.hostname), there.port, timeout=PATIENCE)
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    with connection.getresponse() as answer:
        assert answer.status in (404, 405)
    connection.close()
