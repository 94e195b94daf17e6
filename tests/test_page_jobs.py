"""Turns of the page's clients: lanes, round robin, streams that end early, slow readers, clients that leave, errors."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from websockets.exceptions import ConnectionClosed

from page_client import Page, opened, serving
from waiting import PATIENCE, wait_for
from zeuxis.errors import UsageError
from zeuxis.families import find
from zeuxis.web import operations
from zeuxis.web.app import MOST_CLIENTS
from zeuxis.web.clients import Client
from zeuxis.web.requests import Reply, Request, Steps
from zeuxis.web.served import Served, open_served
from zeuxis.web.worker import Job, Worker

MEGABYTE = np.zeros(1 << 18, np.float32)


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models") / "small"
    torch.manual_seed(0)
    find("vae")(size=8, channels=1, latent_dim=8, base_channels=4).save(folder)
    with serving(open_served(folder, device="cpu")) as found:
        yield found


@pytest.fixture
def page(link: str) -> Iterator[Page]:
    with opened(link) as found:
        yield found


def offer(monkeypatch: pytest.MonkeyPatch, name: str, steps: Callable[[Request], Steps]) -> None:
    """Add an operation for a test."""
    monkeypatch.setitem(operations.OPERATIONS, name, lambda served, client, request: steps(request))


def happens(event: threading.Event) -> bool:
    return event.wait(PATIENCE)


@pytest.mark.parametrize("more", [True, False])
def test_a_stream_is_answered_step_by_step(page: Page, monkeypatch: pytest.MonkeyPatch, more: bool) -> None:
    def steps(request: Request) -> Steps:
        for number in range(5):
            yield Reply({"number": number}, more=more and number < 4)
            yield None

    offer(monkeypatch, "count", steps)
    answers = list(page.stream("count"))
    assert [answer.fields["number"] for answer in answers if "number" in answer.fields] == [0, 1, 2, 3, 4]
    assert [answer.fields["done"] for answer in answers] == [False] * (len(answers) - 1) + [True]


def test_one_answer_is_one_frame(page: Page) -> None:
    assert len(list(page.stream("prior", seeds=[1]))) == 1


def test_a_newer_request_in_its_lane_ends_a_stream(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    def forever(request: Request) -> Steps:
        try:
            while True:
                yield Reply({"going": True}, more=True)
        finally:
            closed.set()

    offer(monkeypatch, "forever", forever)
    first = page.send("forever", lane="photo")
    assert page.receive()[1].fields["going"]
    second = page.send("prior", lane="photo", seeds=[1])
    ended = dict[int, bool]()
    while ended.keys() != {first, second}:
        number, answer = page.receive()
        if answer.fields["done"]:
            ended[number] = answer.fields.get("cancelled", False)
    assert ended == {first: True, second: False} and happens(closed)


def test_requests_with_one_answer_are_all_answered(page: Page) -> None:
    """Also in one lane: a page that comes back asks for everything again at once."""
    numbers = [page.send("prior", lane="prior", seeds=[seed]) for seed in range(20)]
    answers = dict(page.receive() for _ in numbers)
    assert all(answers[number].numbers.shape == (1, 8) for number in numbers)


def test_a_client_that_leaves_is_no_error(
    link: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    closed = threading.Event()

    def forever(request: Request) -> Steps:
        try:
            while True:
                yield Reply(numbers=MEGABYTE, more=True)
        finally:
            closed.set()

    offer(monkeypatch, "forever", forever)
    for way in ("close", "drop"):
        closed.clear()
        with opened(link) as leaving:
            leaving.send("forever")
            leaving.receive()
            if way == "drop":
                leaving.socket.socket.close()
        assert happens(closed)
    with opened(link) as other:
        assert other.ask("prior", seeds=[0]).fields["ok"]
    assert capfd.readouterr().err == ""


def test_clients_leave_with_more_under_way_than_they_may(link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their readers wait for room while their answers wait to be read: none waits for ever, and each place is free again."""

    def forever(request: Request) -> Steps:
        while True:
            yield Reply(numbers=MEGABYTE, more=True)

    def answered() -> bool:
        with opened(link) as other:
            try:
                return bool(other.ask("prior", seeds=[0]).fields["ok"])
            except ConnectionClosed:  # there are sixteen yet
                return False

    offer(monkeypatch, "forever", forever)
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_CLIENTS):
            leaving = stack.enter_context(opened(link))
            stack.callback(leaving.socket.socket.shutdown, socket.SHUT_RDWR)  # without a word
            for lane in range(40):
                leaving.send("forever", lane=f"lane {lane}")
            leaving.receive()
        assert not answered()
    wait_for(answered, "a place for another client")


def test_a_slow_reader_hurts_itself_alone(link: str, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def flood(request: Request) -> Steps:
        for number in range(60):
            made.append(number)
            yield Reply({"number": number}, numbers=MEGABYTE, more=True)

    offer(monkeypatch, "flood", flood)
    with opened(link) as slow:
        wanted = slow.send("flood")
        wait_for(lambda: len(made) > 2, "the first answers")
        for seed in range(50):
            assert page.ask("prior", seeds=[seed]).numbers.shape == (1, 8)
        assert len(made) < 60, "what it does not read is not computed"
        found = []
        while not found or not found[-1].fields["done"]:
            number, answer = slow.receive()
            assert number == wanted
            found.append(answer)
        assert [answer.fields["number"] for answer in found[:-1]] == list(range(60)) == made


def test_errors_are_told_in_a_sentence(
    page: Page, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuses(request: Request) -> Steps:
        raise UsageError("the picture is \x1b[31m\nbroken")
        yield

    def fails(request: Request) -> Steps:
        yield Reply({"number": 1}, more=True)
        raise ValueError("secret\npath")

    offer(monkeypatch, "refuses", refuses)
    offer(monkeypatch, "fails", fails)
    assert page.ask("refuses").fields == {"ok": False, "done": True, "error": "the picture is \\x1b[31m broken"}
    assert capfd.readouterr().err == ""
    assert page.ask("fails").fields["error"] == "internal error; the terminal says more"
    told = capfd.readouterr().err
    assert told.startswith("zeuxis: fails: ValueError: secret path (") and told.count("\n") == 1
    assert page.ask("prior", seeds=[0]).fields["ok"]


def test_a_pause_lets_others_work(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(request: Request) -> Steps:
        yield 3600.0

    offer(monkeypatch, "waits", waits)
    page.send("waits", lane="a")
    assert page.ask("prior", seeds=[0]).fields["ok"]


class Order:
    """Jobs of several clients for one worker, which is held until all have come; the order of their turns."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.worker, self.turns, self.begin = Worker("test"), list[str](), threading.Event()
        self.add(self.client(), "others", "first", wait=self.begin)
        wait_for(lambda: self.turns, "the first turn")

    def client(self) -> Client:
        return Client(self.loop, raw=True)

    def add(self, client: Client, lane: str, name: str, *, times: int = 1, wait: threading.Event | None = None) -> None:
        def steps() -> Steps:
            for _ in range(times):
                self.turns.append(name)
                if wait:
                    wait.wait(PATIENCE)
                yield None

        self.worker.submit(Job(client, 1, lane, name, 0, steps()))

    def found(self, count: int) -> list[str]:
        self.begin.set()
        wait_for(lambda: len(self.turns) > count, "all turns")
        self.worker.end()
        self.loop.close()
        return self.turns[1:]


def test_the_picture_in_hand_goes_first() -> None:
    order = Order()
    client = order.client()
    for lane in ("wall", "others", "line", "hand", "sum"):
        order.add(client, lane, lane)
    found = order.found(5)
    assert found[0] == "hand" and set(found) == {"wall", "others", "line", "hand", "sum"}
    without_oldest = [lane for lane in found if lane != "wall"]  # which had waited longest, and got a turn early
    assert without_oldest == ["hand", "sum", "line", "others"]


def test_clients_take_turns() -> None:
    order = Order()
    for name in "abc":
        order.add(order.client(), "wall", name, times=4)
    found = order.found(12)
    assert all(set(found[i : i + 3]) == {"a", "b", "c"} for i in range(0, 12, 3)), found


def test_no_lane_starves() -> None:
    """Hands that never rest leave one turn in four to what has waited longest."""
    order = Order()
    for name in "abcdefgh":
        order.add(order.client(), "hand", name, times=100)
    order.add(order.client(), "wall", "wall", times=1)
    found = order.found(60)
    assert "wall" in found[:60]


def test_the_oldest_photograph_goes() -> None:
    order = Order()
    photos = order.client().photos
    numbers = [photos.add(name) for name in "abcdef"]
    assert len(photos) == 4 and photos.get(numbers[1]) is None and photos.get(numbers[5]) == "f"
    order.found(0)


def test_what_takes_long_has_threads_of_its_own(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads files alone does not wait for the model, nor a picture for what takes minutes."""
    names = []

    def tells(request: Request) -> Steps:
        names.append(threading.current_thread().name)
        yield Reply()

    from zeuxis.web import app

    for name in ("model", "FILES_ONLY", "IN_BACKGROUND", "FOR_MINUTES"):
        offer(monkeypatch, name, tells)
        if name != "model":
            monkeypatch.setattr(app, name, frozenset({name}))
        page.ask(name)
    assert names == ["zeuxis-model", "zeuxis-files", "zeuxis-background", "zeuxis-minutes"]


def test_a_served_model_has_a_name(tmp_path: Path) -> None:
    find("rbm")(size=8, channels=1, latent_dim=4, chains=4).save(tmp_path / "odd \x1b name")
    served: Served = open_served(tmp_path / "odd \x1b name", device="cpu")
    assert served.name == "odd \\x1b name" and served.run is None and served.data is None


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_card_that_is_a_link_is_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    find("rbm")(size=8, channels=1, latent_dim=4, chains=4).save(folder)
    (tmp_path / "secret").write_text("secret")
    (folder / "README.md").symlink_to(tmp_path / "secret")
    assert open_served(folder, device="cpu").info["card"] == ""
    (folder / "README.md").unlink()
    (folder / "README.md").write_text("# Card \u00fc", encoding="utf-8")
    assert open_served(folder, device="cpu").info["card"] == "# Card \u00fc"
