"""Writes that survive a crash, locks, and parsers that take any bytes."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import json
import math
import os
import pickle
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import faults
from faults import LONG, SCALE, mutate, renew
from waiting import least_seconds, quick
from zeuxis.errors import DiskFullError, UsageError, ZeuxisError
from zeuxis.escaping import quote
from zeuxis.io import files, guard
from zeuxis.io.parsing import MAX_HEADER, dump_yaml, parse_json, parse_yaml
from zeuxis.storage import RunFolder
from zeuxis.training.settings import TrainSettings


def test_it_imports_without_torch() -> None:
    code = (
        "import sys, zeuxis.io.files; print([n for n in ('torch', 'numpy', 'yaml', 'safetensors') if n in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no XDG folders")
def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", "/a/b")
    assert files.cache_dir() == Path("/a/b")
    monkeypatch.delenv("ZEUXIS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert files.cache_dir() == Path("/c/zeuxis")
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    for ignored in ("", "relative"):  # the XDG specification takes absolute paths alone
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert files.cache_dir() == own / "zeuxis"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert files.cache_dir() == own / "zeuxis" and not own.exists(), "it is named and not made"


# Writing


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)  # the longest names leave no room for a suffix
    for data in (b"old", b"", b"new" * 100_000):
        files.write_file(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_with_their_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("a/b/c", tmp_path / "a/b/d", "a", "."):
        files.make_folder(path)
        assert Path(path).is_dir()
    (tmp_path / "file").touch()
    for bad in ("file", "file/inner"):
        with pytest.raises(UsageError, match="file"):
            files.make_folder(bad)


def test_folders_are_made_by_many_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def make(number: int) -> None:
        try:
            files.make_folder(tmp_path / "a/b/c/d/e" / str(number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(list((tmp_path / "a/b/c/d/e").iterdir())) == 8


def test_what_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for path in ("missing/x", "file/x", "", "fifo", "n" * 300, "a\0b", "\ud800"):
        with pytest.raises(UsageError) as caught:
            files.write_file(tmp_path / path if path else tmp_path, b"data")
        assert "\n" not in str(caught.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["fifo", "file"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="Permission denied; check the path and its permissions"):
        files.write_file(tmp_path / "x", b"")


def test_permission_errors_are_usage_errors(tmp_path: Path) -> None:
    with faults.Refusal(errno.EACCES, 1).active(), pytest.raises(UsageError, match="x: Permission denied; check"):
        files.write_file(tmp_path / "x", b"data")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_full_disk_at_any_call_keeps_the_old_file(tmp_path: Path, number: int) -> None:
    path, sites = tmp_path / "x", []
    for at in range(1, 20):
        files.write_file(path, b"old data")
        refusal = faults.Refusal(number, at)
        try:
            with refusal.active():
                files.write_file(path, b"new data")
        except DiskFullError as error:
            assert str(path) in str(error) and "the volume /" in str(error) and os.strerror(number) in str(error)
        else:
            break
        sites.append(refusal.sites[0])
        assert path.read_bytes() in (b"old data", b"new data")
        assert list(tmp_path.iterdir()) == [path]
    assert sites == ["open", "write", "fsync", "replace", "fsync"]
    assert path.read_bytes() == b"new data"


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_file(tmp_path / "x", b"data")
    with pytest.raises(KeyboardInterrupt):
        files.write_folder(tmp_path / "y", {"a": b"data"})
    assert not list(tmp_path.iterdir())


def test_a_power_cut_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    chance, found = random.Random(1), set()
    written = [b"", b"old", b"new data"]

    def look(disk: faults.PowerCut) -> None:
        trees = [disk.remains(None, names=False), disk.remains(None, names=True)]
        for tree in trees + [disk.remains(chance, names=True) for _ in range(10)]:
            assert tree.get("x", b"") in written[stage:], "what was written before is gone"
            found.add(tree.get("x", b""))

    with faults.PowerCut(tmp_path, look).active():
        for stage in range(2):
            files.write_file(tmp_path / "x", written[stage + 1])
    assert found == set(written)


def test_a_power_cut_leaves_the_folders_of_what_was_written(tmp_path: Path) -> None:
    disk = faults.PowerCut(tmp_path, lambda _: None)
    with disk.active():
        files.make_folder(tmp_path / "a" / "b")
        files.write_file(tmp_path / "a" / "b" / "x", b"data")
    assert disk.remains(None, names=False) == {"a": {"b": {"x": b"data"}}}


# Folders under a manifest


def test_a_folder_is_read_back_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for contents in ({"a": b"1", "b.json": b""}, {"a": b"2"}, {}):
        files.write_folder(path, contents)
        assert files.read_folder(path) == contents
        assert list(tmp_path.iterdir()) == [path]


def test_a_folder_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="is not a folder that Zeuxis wrote; choose another name"):
        files.write_folder(tmp_path / "f", {"a": b""})
    assert (tmp_path / "f" / "thesis.tex").exists()


@pytest.mark.parametrize(
    "manifest",
    ["[]", "{}", '{"files": [1]}', '{"files": {"a": 1}}', '{"files": {"a": {"bytes": -1, "sha256": ""}}}']
    + [
        json.dumps({"files": {name: {"bytes": 6, "sha256": "0" * 64}}})
        for name in ("../secret", "/secret", "..", "", "a/b", "a\0")
    ]
    + [json.dumps({"files": {"a": {"bytes": size, "sha256": "0" * 64}}}) for size in (3, 10**30, 1.5, True, None)],
)
def test_a_manifest_that_does_not_hold_is_refused(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    files.write_folder(tmp_path / "f", {"a": b"data"})
    (tmp_path / "f" / "manifest.json").write_text(manifest, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        files.read_folder(tmp_path / "f")
    assert "\n" not in str(caught.value) and "/f/" in str(caught.value)


def test_only_leftovers_are_swept(tmp_path: Path) -> None:
    for name in (".tmp-1-0123456789ab", ".tmp-99-ffffffffffff"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    (tmp_path / ".tmp-2-0123456789ab").touch()
    (tmp_path / ".tmp-3-0123456789ab").symlink_to(tmp_path / "kept")
    for name in ("kept", ".tmp-mine", ".tmp-1-0123456789ab.txt"):
        (tmp_path / name).mkdir()
    files.remove_leftovers(tmp_path)
    files.remove_leftovers(tmp_path / "missing")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".tmp-1-0123456789ab.txt", ".tmp-mine", "kept"]


# Locks


def test_a_lock_is_for_one_thread_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(3):
            with files.lock(tmp_path):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 12 and set(most) == {1}


def test_a_lock_that_is_held_names_its_process(tmp_path: Path) -> None:
    message = rf"is in use by process {os.getpid()} on .*; wait until it ends, or end it"
    with files.lock(tmp_path), pytest.raises(UsageError, match=message), files.lock(tmp_path, wait=0.1):
        pass
    with files.lock(tmp_path, wait=0.0):
        pass
    with pytest.raises(UsageError, match="No such file"), files.lock(tmp_path / "missing"):
        pass


def test_a_volume_without_locks_does_not_stop_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with files.lock(tmp_path, wait=0.0):
        assert (tmp_path / ".lock").exists()


def test_a_volume_that_fails_to_lock_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(UsageError, match=r"\.lock: Input/output error; check the path"), files.lock(tmp_path):
        pass


def test_the_owner_can_be_read_where_the_first_byte_of_a_lock_cannot(tmp_path: Path) -> None:
    with files.lock(tmp_path):  # Windows keeps others from the locked byte
        assert (tmp_path / ".lock").read_bytes()[1:].startswith(f"process {os.getpid()} on ".encode())


def test_a_killed_process_frees_its_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from zeuxis.io import files\n"
        "with files.lock(sys.argv[1]): print('held', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"is in use by process {holder.pid} on "), files.lock(tmp_path, wait=0.0):
            pass
        holder.kill()
    with files.lock(tmp_path, wait=0.0):
        pass


# Reading


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    server = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    server.bind("socket")
    (tmp_path / "big").write_bytes(b"x" * 11)
    names = ["fifo", "loop", "socket", "big", "missing", "", "n" * 300, "a\0", "\ud800"]
    for path in [*(tmp_path / name for name in names), Path("/dev/zero")]:
        with pytest.raises(UsageError) as caught:
            files.read_bytes(path, max_bytes=10)
        assert "\n" not in str(caught.value)
        str(caught.value).encode()
    server.close()


def test_a_fifo_is_known_before_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open a device can already do something to it, as to rewind a tape."""
    os.mkfifo(tmp_path / "fifo")
    tried: list[str] = []
    monkeypatch.setattr(os, "open", lambda path, *_: tried.append(str(path)))
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        for flags in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND):
            with pytest.raises(UsageError, match="is not a regular file"):
                guard.open_guarded(path, flags)
    assert tried == []


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs O_NOFOLLOW")
def test_a_link_that_appears_after_the_look_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thesis").write_bytes(b"ten years")
    (tmp_path / "x").symlink_to(tmp_path / "thesis")
    monkeypatch.setattr(guard, "_kind", lambda *_, **__: None)  # as where it was not there yet
    for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_APPEND | os.O_CREAT):
        with pytest.raises(OSError, match="symbolic links"):
            guard.open_guarded(tmp_path / "x", flags)
    with pytest.raises(UsageError, match="x: .*symbolic links"):
        files.read_bytes(tmp_path / "x", max_bytes=100, follow=False)
    assert files.read_bytes(tmp_path / "x", max_bytes=100) == b"ten years", "a link that is the user's is followed"


def test_a_device_that_appears_after_the_look_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(guard, "_kind", lambda *_, **__: None)
    closed, close = list[int](), os.close
    monkeypatch.setattr(os, "close", lambda descriptor: closed.append(descriptor) or close(descriptor))
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(UsageError, match="is not a regular file"):
            files.read_bytes(path, max_bytes=10)
    assert len(closed) >= 2, "what was opened is closed again"


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@example({"\x85": None})
@example(["a\x85b", "\u2028", "a\u2029", "\ufeff", " ", "\t", "\r\n", "ü", "1e5", "null", "~", "=", "<<", "2001-01-01"])
@given(plain)
def test_json_and_yaml_come_back(value: Any) -> None:
    assert parse_yaml(dump_yaml(value), "x") == value
    if "Infinity" not in (text := json.dumps(value)):
        assert parse_json(text.encode(), "x") == value


@pytest.mark.parametrize("text", ["5e-4", "1e5", "-.5E+3", "1.e3", "5.0e-4"])
def test_yaml_knows_numbers_with_exponents(text: str) -> None:
    assert parse_yaml(text.encode(), "x") == float(text)
    assert parse_yaml(dump_yaml(text), "x") == text


@pytest.mark.parametrize("unit", ["[", '{"a":', "[],", '"', '"\\', '\\"', "1", "1,", '"a",', "{},", "[1e9,"])
def test_json_takes_time_in_proportion(unit: str) -> None:
    def parse(size: int) -> None:
        with pytest.raises(UsageError, match="x is not valid JSON"):
            parse_json(b"[" + (unit * (size // len(unit))).encode(), "x")

    short, long = least_seconds(lambda: parse(10_000), lambda: parse(1_000_000))
    assert long < 1000 * short  # 100 times where it is linear, 10,000 were it quadratic


@pytest.mark.parametrize(
    "text",
    [
        "!!bool x",
        "!!int x",
        "!!float x",
        "!!timestamp x",
        "2001-99-99",
        "!!binary '%'",
        "!!set [a]",
        "!!omap 1",
        "!!pairs [1]",
        "a: b: c",
        "\t",
        "%",
        "&a a",
        "!!python/name:os.system",
        "!!python/object/apply:os.system ['true']",
        "? [a]\n: b",
        "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]",
        "1:" * 200,
        "9" * 5000,
        "0b",
        "\x00",
        "- " * 3000,
    ],
)
def test_yaml_raises_our_error_alone(text: str) -> None:
    try:
        with quick(1.0):
            parse_yaml(text.encode(), "x")
    except UsageError as error:
        assert str(error).startswith("x is not valid YAML: ") and "\n" not in str(error)


@pytest.mark.parametrize(
    "text", ["0x1F", "0o17", "017", "0b101", "1:30", "1:30.5", "2024-05-01", "<<", "=", "0x" + "f" * 9999]
)
def test_yaml_reads_numbers_in_base_ten_alone(text: str) -> None:
    value = parse_yaml(f"a: {text}".encode(), "x")["a"]
    assert value == text, "what YAML 1.1 takes for a number or a date is text"
    assert quote(value) and str(value)
    with pytest.raises(UsageError, match="steps is '"):
        TrainSettings(steps=value)
    with pytest.raises(UsageError, match="x is not valid YAML"):
        parse_yaml(f"a: !!int {text}".encode(), "x")


@pytest.mark.parametrize("text", ["9" * 401, "-" + "9" * 5000, "1" + "_0" * 3000, "." + "1" * 5000, "1e" + "9" * 5000])
def test_yaml_refuses_numbers_of_too_many_digits(text: str) -> None:
    with pytest.raises(UsageError, match="at most 400 digits"):
        parse_yaml(f"a: {text}".encode(), "x")


@pytest.mark.parametrize(
    ("text", "value"),
    [("-7", -7), ("+7", 7), ("1_000", 1000), ("-.5", -0.5), (".inf", math.inf), ("-.INF", -math.inf), ("7.", 7.0)],
)
def test_yaml_reads_what_people_write(text: str, value: float) -> None:
    found = parse_yaml(text.encode(), "x")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(("before", "after"), [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("[{a: ", "}]")])
def test_yaml_is_bounded_in_depth(before: str, after: str) -> None:
    per = before.count("[") + before.count("{") + before.count("-") + before.count("?")
    fits = 31 // per
    with contextlib.suppress(UsageError):  # a table for a key
        assert parse_yaml((before * fits + "1" + after * fits).encode(), "x")
    for deep in (32 // per + 1, 300, 60_000 // len(before)):
        with pytest.raises(UsageError, match="or is nested deeper than 32"):
            parse_yaml((before * deep).encode(), "x")


def test_yaml_is_bounded_in_number() -> None:
    assert len(parse_yaml(b"- 1\n" * 4998, "x")) == 4998
    for text in ("- 1\n" * 6000, "[" + "a," * 30_000 + "]", "".join(f"a{i}: 1\n" for i in range(6000))):
        with pytest.raises(UsageError, match="it has over 5,000 values"):
            parse_yaml(text.encode(), "x")


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{a: 1, b: 2, a: 1}", "a: {b: 1, b: 1}"])
def test_yaml_refuses_a_repeated_key(text: str) -> None:
    with pytest.raises(UsageError, match="a key is repeated"):
        parse_yaml(text.encode(), "x")


@pytest.mark.parametrize("text", ["a: &a 1\nb: *a", "&a [*a]", "a: &a {<<: *a}", "[&a x, " + "*a, " * 9999 + "1]"])
def test_yaml_refuses_aliases(text: str) -> None:
    with pytest.raises(UsageError, match="it has an alias"):
        parse_yaml(text.encode(), "x")


CODE = (
    "!!python/object/apply:sung.sing []",
    "!!python/object/apply:sung.Song [1]",
    "!!python/object/new:sung.Song [1]",
    "!!python/object/new:sung.Song {args: [1], state: {a: 1}}",
    "!!python/object:sung.Song {a: 1}",
    "!!python/name:sung.sing",
    "!!python/module:sung",
    "a: !!python/module:sung",
    "[1, !!python/object/apply:sung.sing {}]",
    "? !!python/object/apply:sung.sing []\n: 1",
    "!<tag:yaml.org,2002:python/object/apply:sung.sing> []",
    "%TAG ! tag:yaml.org,2002:python/\n---\n!object/apply:sung.sing []",
)


@pytest.mark.parametrize("text", CODE)
def test_code_in_yaml_never_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not it raises: each of these is an import or a call that leaves a file and gives a plain value."""
    canary = tmp_path / "canary"
    run = f"open({str(canary)!r}, 'w').close()"
    (tmp_path / "sung.py").write_text(
        f"{run}\ndef sing():\n    {run}\n    return 'a plain value'\n"
        f"class Song:\n    def __init__(self, *_):\n        {run}\n    def __setstate__(self, _):\n        {run}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for known in (False, True):  # a loader may only refuse what has not been imported
        if known:
            importlib.import_module("sung")
            canary.unlink()
        with contextlib.suppress(UsageError):
            parse_yaml(text.encode(), "x")
        imported = sys.modules.pop("sung", None) is not None and not known
        assert not canary.exists() and not imported


def test_values_are_quoted_on_one_short_line() -> None:
    assert quote("a\nb\ud800") == r"'a\nb\ud800'"
    assert len(quote("x" * 1000)) == 63
    assert quote(10**5000) == "int too long to be shown" and quote([10**5000]) == "list too long to be shown"


def tensor_file(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin: Any = 0, end: Any = 8, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


EIGHT = bytes(8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "its header would have 0 bytes"),
        (b"\0" * 100, "its header would have 0 bytes"),
        (b"\xff" * 100, "its header would have 18,446,744,073,709,551,615 bytes, the file has 100"),
        (tensor_file({"a": entry()}, EIGHT, length=1 << 30), "its header would have 1,073,741,824 bytes"),
        (tensor_file(b"[" * 1000), "nested deeper"),
        (tensor_file([]), "should be a table"),
        (tensor_file({str(n): entry() for n in range(50)}, EIGHT), "at most 40 tensors"),
        (tensor_file(b'{"a": {}, "a": {}}'), "a key is repeated"),
        (tensor_file({"a": None}), "tensor 'a' has the entry None"),
        (tensor_file({"a": entry(dtype="F4")}, EIGHT), "tensor 'a' has the entry"),
        (tensor_file({"a": entry(dtype=["F32"])}, EIGHT), "tensor 'a' has the entry"),
        (tensor_file({"a": entry(shape=[-2])}, EIGHT), "tensor 'a' has the entry"),
        (tensor_file({"a": entry(shape=[2.0])}, EIGHT), "tensor 'a' has the entry"),
        (tensor_file({"a": entry(shape=[True])}, EIGHT), "tensor 'a' has the entry"),
        (tensor_file({"a": entry(shape=2)}, EIGHT), "tensor 'a' has the entry"),
        (tensor_file({"a": entry(shape=[10**40] * 10)}, EIGHT), "cannot have 8 bytes"),
        (tensor_file({"a": entry(shape=[1 << 62, 4])}, EIGHT), "cannot have 8 bytes"),
        (tensor_file({"a": entry(shape=[1] * 40 + [2])}, EIGHT), "cannot have 8 bytes"),
        (tensor_file({"a": entry(0, 4)}, EIGHT), "cannot have 4 bytes"),
        (tensor_file({"a": entry(8, 16)}, EIGHT * 2), "begins at byte 8, expected 0"),
        (tensor_file({"a": entry(), "b": entry()}, EIGHT), "begins at byte 0, expected 8"),
        (tensor_file({"a": entry()}, EIGHT * 2), "its tensors take 8 bytes, the file holds 16"),
        (tensor_file({"a": entry()}, EIGHT[:3]), "its tensors take 8 bytes, the file holds 3: it may be cut short"),
        (tensor_file({"a": entry(0, 1 << 40, [1 << 38])}, EIGHT), "the file holds 8: it may be cut short"),
        (tensor_file({"a": entry(), "__metadata__": 3}, EIGHT), "is not a safetensors file"),
        (tensor_file(b'{"\\ud800": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', EIGHT), "safetensors"),
    ],
)
def test_a_tensor_file_that_is_not_one_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught, quick(0.5):
        files.read_tensors(path, max_tensors=40)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_the_header_of_a_tensor_file_is_bounded(tmp_path: Path) -> None:
    """One byte above the bound nothing is read, however well formed; at the bound it is."""
    path, text = tmp_path / "x.safetensors", json.dumps({"a": entry()}).encode()
    path.write_bytes(tensor_file(text.ljust(MAX_HEADER), EIGHT))
    assert files.read_tensors(path)["a"].shape == (2,)
    path.write_bytes(tensor_file(text.ljust(MAX_HEADER + 1), EIGHT))
    with pytest.raises(UsageError, match="its header would have 4,194,305 bytes"):
        files.read_tensors(path)


def test_tensors_are_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(1), "c": torch.zeros(2, 0)}
    files.write_file(path, safetensors.torch.save(tensors, metadata={"format": "pt"}))
    found = files.read_tensors(path)
    assert found.keys() == tensors.keys() and all(found[name].equal(tensors[name]) for name in tensors)
    with pytest.raises(UsageError, match="at most 100 are read"):
        files.read_tensors(path, max_bytes=100)
    with pytest.raises(UsageError, match="at most 1 tensors"):
        files.read_tensors(path, max_tensors=1)


@pytest.mark.timeout(LONG)
def test_mutated_tensor_files_raise_our_errors_alone(tmp_path: Path) -> None:
    path, chance, refused = tmp_path / "x.safetensors", random.Random(4), 0
    original = safetensors.torch.save({"a": torch.randn(3, 4), "b": torch.tensor(1), "c": torch.zeros(2, 0)})
    for _ in range(8000 if SCALE == 1 else 100_000):
        renew(path, mutate(original, chance))
        try:
            with quick(0.5):
                files.read_tensors(path)
        except ZeuxisError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 600
    assert refused > 4000


# Pickles


class Canary:
    """An object whose unpickling leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return (open, (str(self.path), "w"))


def zipped(name: str, data: bytes, before: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    buffer.write(before)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def disguises(canary: Path) -> list[bytes]:
    bomb = Canary(canary)
    found = [pickle.dumps(bomb, protocol) for protocol in range(6)]
    for modern in (True, False):
        buffer = io.BytesIO()
        torch.save({"weight": bomb}, buffer, _use_new_zipfile_serialization=modern)
        found.append(buffer.getvalue())
    found += [zipped("archive/data.pkl", found[2]), zipped("inner.zip", zipped("archive/data.pkl", found[2]))]
    found += [zipped("data.pkl", found[4], before=tensor_file({"a": entry()}, EIGHT))]
    found += [tensor_file(data) for data in found[:6]] + [data + b" " * 5000 for data in found[:6]]
    return [*found, b"\x1f\x8b" + found[0], b"\x93NUMPY\x01\x00" + found[1]]


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580, 0x1_0280, 0x04_4B50])
def test_no_length_of_a_header_is_taken_for_a_pickle(tmp_path: Path, length: int) -> None:
    """80 02 to 80 05 begin a pickle, and 50 4B a zip; a header of 640 bytes also begins with 80 02."""
    weight, path = torch.arange(3.0), tmp_path / "model.safetensors"
    header = b'{"weight":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'.ljust(length)
    path.write_bytes(length.to_bytes(8, "little") + header + weight.numpy().tobytes())
    assert torch.equal(files.read_tensors(path)["weight"], weight)


def test_pickles_in_disguise_are_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    readers: dict[str, Callable[[Path], Any]] = {
        "model.safetensors": files.read_tensors,
        "model.pt": files.read_tensors,
        "config.json": files.read_json,
        "config.yaml": lambda path: (
            RunFolder(path.parent).config
        ),  # a pickle of protocol 0 is text, and so a YAML string
        "manifest.json": lambda path: files.read_folder(path.parent),
    }
    tried = 0
    chance = random.Random(5)
    for turn in range(3 if SCALE == 1 else 30):
        for data in disguises(canary):
            for name, read in readers.items():
                renew(tmp_path / name, data + chance.randbytes(chance.randrange(20) if turn else 0))
                with pytest.raises(UsageError) as caught, quick(0.1):
                    read(tmp_path / name)
                assert "\n" not in str(caught.value)
                tried += 1
    assert not canary.exists() and tried >= 300
    pickle.loads(disguises(canary)[0])
    assert canary.exists(), "the canary sings when it is let out"


def test_a_pickle_is_called_one(tmp_path: Path) -> None:
    for data in disguises(tmp_path / "canary")[2:8]:
        (tmp_path / "x.pt").write_bytes(data)
        with pytest.raises(UsageError, match=r"it is a pickle .*, and pickles are not read as they can run any code"):
            files.read_tensors(tmp_path / "x.pt")
