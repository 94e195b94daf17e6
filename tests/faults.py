"""Faults to test against: a volume that refuses, a power cut at any moment, and (run as a program) kills while saving."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from release import RELEASE

SCALE = 20 if RELEASE else 1
LONG = 1200 if SCALE == 1 else 36_000  # seconds after which a test hangs


class Refusal:
    """A volume that refuses from the k-th change on (or the k-th alone); `reached` tells whether it came to that."""

    def __init__(self, number: int, at: int, *, once: bool = False) -> None:
        self.number, self.at, self.once = number, at, once
        self.count = 0
        self.sites: list[str] = []
        self.halved = False

    @property
    def reached(self) -> bool:
        return self.count >= self.at

    @contextlib.contextmanager
    def active(self) -> Iterator[Refusal]:
        names = ("open", "write", "fsync", "replace", "rename", "mkdir")
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(mock.patch.object(os, name, self._wrap(name, getattr(os, name))))
            yield self

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:  # a full disk can be read
                return call(*args, **kwargs)
            if not self.halved:
                self.count += 1
            if self.count == self.at or (self.count > self.at and not self.once):
                if name == "write" and not self.halved and len(args[1]) > 1:  # part of it fits
                    self.halved = True
                    return call(args[0], bytes(args[1])[: len(args[1]) // 2])
                self.halved = False
                self.sites.append(name)
                raise OSError(self.number, os.strerror(self.number))
            return call(*args, **kwargs)

        return wrapped


@dataclass(eq=False)
class File:
    """A file as the system sees it and as the disk has it."""

    seen: bytes = b""
    kept: bytes = b""


@dataclass(eq=False)
class Folder:
    """Names as the system sees them, as the disk has them, and the changes between the two, in order."""

    seen: dict[str, File | Folder] = field(default_factory=dict)
    kept: dict[str, File | Folder] = field(default_factory=dict)
    changes: list[tuple[str, File | Folder | None]] = field(default_factory=list)

    def set(self, name: str, node: File | Folder | None) -> None:
        self.changes.append((name, node))
        _change(self.seen, name, node)


def _change(names: dict[str, File | Folder], name: str, node: File | Folder | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


Tree = dict[str, Any]  # name -> bytes, or a tree


class PowerCut:
    """A disk that keeps only what was synced. After every change, `look` is called with this disk."""

    def __init__(self, root: Path, look: Callable[[PowerCut], None]) -> None:
        self.root, self.look = root, look
        self.top = Folder()
        self.open_files: dict[int, File | Folder] = {}

    @contextlib.contextmanager
    def active(self) -> Iterator[PowerCut]:
        names = ("open", "close", "write", "fsync", "ftruncate", "replace", "rename", "mkdir", "unlink")
        with contextlib.ExitStack() as stack:
            for name in names:
                wrapped = self._wrap(getattr(self, "_" + name), getattr(os, name), real=name != "fsync")
                stack.enter_context(mock.patch.object(os, name, wrapped))
            rmtree = self._wrap(self._rmtree, shutil.rmtree, real=True)
            stack.enter_context(mock.patch.object(shutil, "rmtree", rmtree))
            yield self

    def _wrap(self, note: Callable[..., bool], call: Callable[..., Any], *, real: bool) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self.busy:
                return call(*args, **kwargs)
            self.busy = True
            try:
                result = call(*args, **kwargs) if real else None
                if note(result, *args):
                    self.look(self)
            finally:
                self.busy = False
            return result

        return wrapped

    busy = False

    def _at(self, path: str | Path) -> tuple[Folder, str]:
        parts = Path(path).relative_to(self.root).parts
        folder = self.top
        for part in parts[:-1]:
            inner = folder.seen[part]
            assert isinstance(inner, Folder)
            folder = inner
        return folder, parts[-1] if parts else ""

    def _node(self, path: str | Path) -> File | Folder:
        folder, name = self._at(path)
        return folder.seen[name] if name else folder

    def _open(self, result: int, path: str | Path, flags: int, *_: Any) -> bool:
        folder, name = self._at(path)
        new = bool(name) and name not in folder.seen
        if new:
            folder.set(name, File())
        self.open_files[result] = self._node(path)
        return new

    def _close(self, result: None, descriptor: int) -> bool:
        self.open_files.pop(descriptor, None)
        return False

    def _write(self, result: int, descriptor: int, data: bytes) -> bool:
        node = self.open_files[descriptor]
        assert isinstance(node, File)
        node.seen += bytes(data)[:result]
        return True

    def _ftruncate(self, result: None, descriptor: int, size: int) -> bool:
        node = self.open_files[descriptor]
        assert isinstance(node, File)
        node.seen = node.seen[:size]
        return True

    def _fsync(self, result: None, descriptor: int) -> bool:
        node = self.open_files[descriptor]
        if isinstance(node, File):
            node.kept = node.seen
        else:
            node.kept = dict(node.seen)
            node.changes.clear()
        return True

    def _replace(self, result: None, source: str | Path, target: str | Path) -> bool:
        (folder, old), (there, new) = self._at(source), self._at(target)
        assert folder is there, "a rename between folders is not one change"
        folder.set(new, folder.seen[old])
        folder.changes[-1] = (f"{old}\0{new}", folder.seen[new])  # one change: both names or neither
        folder.seen.pop(old)
        return True

    _rename = _replace

    def _mkdir(self, result: None, path: str | Path, *_: Any) -> bool:
        folder, name = self._at(path)
        folder.set(name, Folder())
        return True

    def _unlink(self, result: None, path: str | Path) -> bool:
        folder, name = self._at(path)
        folder.set(name, None)
        return True

    def _rmtree(self, result: None, path: str | Path, *_: Any) -> bool:
        folder, name = self._at(path)
        node = folder.seen.get(name)
        if isinstance(node, Folder):  # the files may be gone from the disk before the folder's name is
            for inner in list(node.seen):
                node.set(inner, None)
        folder.set(name, None)
        return True

    def remains(self, chance: random.Random | None, *, names: bool) -> Tree:
        """The tree after a cut: synced data alone, with all changes of names or none; or, by chance, any of them."""
        return self._remains(self.top, chance, names)

    def _remains(self, folder: Folder, chance: random.Random | None, names: bool) -> Tree:
        entries = dict(folder.seen if names else folder.kept)
        if chance:
            entries = dict(folder.kept)
            for change in folder.changes[: chance.randint(0, len(folder.changes))]:
                name, node = change
                if "\0" in name:
                    old, name = name.split("\0")
                    entries.pop(old, None)
                _change(entries, name, node)
        return {
            name: self._remains(node, chance, names) if isinstance(node, Folder) else _data(node, chance)
            for name, node in entries.items()
        }


def _data(file: File, chance: random.Random | None) -> bytes:
    if chance is None or file.seen == file.kept:
        return file.kept
    synced = len(file.kept) if file.seen.startswith(file.kept) else 0  # what was appended to stays
    cut = chance.randint(synced, len(file.seen))
    return chance.choice([file.kept, file.seen, file.seen[:cut], file.seen[:cut] + bytes(len(file.seen) - cut)])


def lay(tree: Tree, path: Path) -> None:
    """Write the tree to a folder."""
    path.mkdir()
    for name, node in tree.items():
        if isinstance(node, bytes):
            (path / name).write_bytes(node)
        else:
            lay(node, path / name)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """The data with a few changes: bits, cuts, repeats, and words that parsers trip over."""
    words = [
        b"9" * 30,
        b"-1",
        b"1e999",
        b"NaN",
        b"null",
        b"true",
        b"[",
        b"{",
        b"}",
        b'"',
        b"\\u d800",
        b"\x00",
        b"..",
        b"/",
    ]
    words += [
        b"\\ud800",
        b"\xff\xfe",
        b"!!bool x",
        b"&a ",
        b"*a",
        b": ",
        b"\n",
        b"!!timestamp 1",
        b"0x",
        b"\x80\x04",
        b"PK\x03\x04",
    ]
    for _ in range(chance.randint(1, 4)):
        at, other = sorted(chance.choices(range(len(data) + 1), k=2))
        kind = chance.randrange(6)
        if kind == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + data[other:]
        elif kind == 3:
            data = data[:other] + data[at:other] * chance.choice([1, 2, 300]) + data[other:]
        else:
            data = data[:at] + chance.choice(words) + data[at + chance.randrange(3) :]
        data = data[:100_000]
    return data


def renew(path: Path, data: bytes) -> None:
    """Put a new file at the path: one that is written over, ext4 sends to the disk before it is closed."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def sign(checkpoint: Path) -> None:
    """Write the manifest of a checkpoint anew, as somebody may who changed its files."""
    entries = {
        path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in checkpoint.iterdir()
        if path.name != "manifest.json"
    }
    (checkpoint / "manifest.json").write_text(json.dumps({"files": entries}))


@contextlib.contextmanager
def no_sync() -> Iterator[None]:
    """For reading what is there: only what must outlive the test's machine needs the disk."""
    with mock.patch.object(os, "fsync", lambda descriptor: None):
        yield


def state_at(step: int) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What a checkpoint of the step holds, in these tests."""
    import torch

    noise = torch.Generator().manual_seed(step)
    tensors = {
        "model": {"weight": torch.randn(40, 50, generator=noise), "count": torch.tensor(step)},
        "optimizer-player": {"0/exp_avg": torch.randn(2000, generator=noise)},
        "sums": {},
    }
    return tensors, {"step": step, "images": 32 * step, "rate": 0.1 * step}


def row_at(step: int) -> dict[str, float]:
    return {"step": step, "critic/distance": 1 / step}


def verify(path: Path, *, at_least: int) -> int:
    """Open the run as `resume` does; its step. Asserts that all of it is as it was written."""
    import torch

    from zeuxis.storage import RunFolder

    run = RunFolder.open(path)
    left = [entry.name for entry in path.rglob(".tmp-*")]
    assert not left, left
    found = run.load_checkpoint()
    step = found.step if found else 0
    assert step >= at_least, (step, at_least, found and found.skipped)
    if found:
        tensors, state = state_at(step)
        assert found.state == state
        assert found.tensors.keys() == tensors.keys()
        for group in tensors:
            assert found.tensors[group].keys() == tensors[group].keys()
            assert all(torch.equal(found.tensors[group][name], tensors[group][name]) for name in tensors[group])
    run.truncate_metrics(step)
    assert run.metrics() == [row_at(n) for n in range(1, step + 1)]
    return step


def save_until_killed(path: Path, report: int) -> None:
    from zeuxis.storage import RunFolder

    run = RunFolder.open(path)
    with run.lock():
        found = run.load_checkpoint()
        step = found.step if found else 0
        run.truncate_metrics(step)
        while True:
            step += 1
            run.append_metrics(row_at(step))
            run.save_checkpoint(step, *state_at(step))
            os.write(report, step.to_bytes(4, "little"))


def kill_while_saving(root: Path, kills: int, seed: int) -> dict[str, int]:
    """Fork, save in a loop, kill at a random moment, look; again and again on one run."""
    import torch

    from zeuxis.storage import RunFolder

    torch.set_num_threads(1)
    run = RunFolder.create(root, "killed", {"steps": 1})
    chance = random.Random(seed)
    step = inside = lost = 0
    # Seconds; they follow the machine's speed, so that about two kills in three come after the first save.
    reach = 0.045
    for _ in range(kills):
        receive, report = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receive)
            save_until_killed(run.path, report)
        os.close(report)
        time.sleep(chance.uniform(0.0, reach))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(receive, "rb") as pipe:
            told = pipe.read()
        reach *= 0.95 if told else 1.1
        confirmed = int.from_bytes(told[-4:], "little") if told else step
        inside += any(run.path.rglob(".tmp-*"))
        with no_sync():
            step = verify(run.path, at_least=confirmed)
        assert step <= confirmed + 1
        lost += step == confirmed
    return {"kills": kills, "inside": inside, "lost": lost, "step": step}


if __name__ == "__main__":
    print(json.dumps(kill_while_saving(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201
