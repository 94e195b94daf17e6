"""Images in files of the user's own: a folder and all below it, a zip, tars, Parquet, or an IDX file."""

from __future__ import annotations

import difflib
import hashlib
import os
import posixpath
import stat
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from zeuxis.data import catalog, idx, shards, tables
from zeuxis.data.class_folders import by_folder, notes_on_folders
from zeuxis.data.derived_sources import DERIVATIONS
from zeuxis.data.listing import Content, LeftOut, Listing, shown
from zeuxis.data.listing import natural as natural
from zeuxis.data.pairs import HALVES
from zeuxis.data.parquet import parquet_content
from zeuxis.data.readers import Files, Members, folder_of, member, members_by_path, path_within
from zeuxis.data.table_files import may_be_table
from zeuxis.data.tar_samples import tar_content
from zeuxis.errors import DataError, UsageError
from zeuxis.io import formats, images
from zeuxis.runtime.callbacks import ProgressCallback

_MOST_MEMBERS = 5_000_000
_KINDS = "a folder, a zip, a tar, a Parquet file or an IDX file"


@dataclass(frozen=True)
class FileSet:
    """The images at a path, whether or not there is anything; the path is as it was typed, and may be any text."""

    path: str
    # Images come in every size, with and without colours, and none are known to be held out.
    size: ClassVar[None] = None
    channels: ClassVar[None] = None

    def __str__(self) -> str:
        return self.path

    @property
    def title(self) -> str:
        """The name of the folder or the file, without where it lies."""
        return shown(os.path.basename(folder_of(self.path)) or "folder")  # noqa: PTH119

    @property
    def paths(self) -> list[str]:
        """What is read: the path alone, or the files of a pattern."""
        path, _ = shards.parted(self.path)
        return [path] if os.path.lexists(path) else shards.matching(path) or [path]

    def absolute(self) -> FileSet:
        """The same images, as they are found from any folder."""
        return FileSet(folder_of(self.path))

    def held_out(self, count: int) -> None:
        """Nothing."""

    def whole(self) -> FileSet:
        """Itself: files can be read at their own height and width."""
        return self

    @property
    def has_photographs(self) -> bool:
        """Whether each image is a file, as in a folder, a zip, a tar or Parquet, which tiles can be cut out of."""
        path = self.paths[0]
        if os.path.isdir(path):  # noqa: PTH112
            return True
        return os.path.isfile(path) and (zipfile.is_zipfile(path) or shards.of_files([path]) is not None)  # noqa: PTH113

    def listing(self, progress: ProgressCallback | None = None) -> Listing:
        """What is there; `UsageError` where that is nothing, `DataError` where it is no set of images."""
        path, part = shards.parted(self.path)
        try:
            about = os.stat(path)  # noqa: PTH116
        except (OSError, ValueError) as error:
            if not (found := shards.matching(path)):
                raise UsageError(_unknown(self.path, error)) from None
            return _of_shards(self.path, shards.of_files(found, part))
        if stat.S_ISDIR(about.st_mode):
            return folder_listing(Path(path), part)
        if not stat.S_ISREG(about.st_mode):
            raise UsageError(f"{shown(path)} is neither a folder nor a regular file; give {_KINDS}")
        return _file_listing(Path(path), about, part)


def _file_listing(path: Path, about: os.stat_result, part: str) -> Listing:
    """The images of one file, by its first bytes."""
    if found := shards.of_files([str(path)], part):
        return shard_listing(found)
    _check_part(str(path), part)
    if idx.looks_like_idx(path):
        return idx.idx_listing(path)
    if zipfile.is_zipfile(path):
        return zip_listing(path, about)
    with path.open("rb") as file:
        kind = formats.named(file.read(formats.HEAD))
    raise DataError(
        f"{shown(str(path))} is {kind or f'none of these: {_KINDS}; give one, or the folder of the images'}"
    )


def _of_shards(text: str, found: shards.Shards | None) -> Listing:
    if found is None:
        raise DataError(f"{shown(text)} names files that are neither tars nor Parquet; give these, or one folder")
    return shard_listing(found)


def _check_part(path: str, part: str) -> None:
    if part:
        raise UsageError(
            f"{shown(path)} has no {shards.PART_MARK}{shown(part)}: only tars and Parquet have parts; leave it out"
        )


def shard_listing(found: shards.Shards) -> Listing:
    """The pictures of tars, or of Parquet files."""
    digest = hashlib.sha256(repr((found.kind, found.part, found.labels)).encode("utf-8", "surrogateescape"))
    for path in found.paths:
        about = os.stat(path)  # noqa: PTH116
        digest.update(f"{folder_of(path)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    absolute = found._replace(paths=[folder_of(path) for path in found.paths])
    return Listing(shown(found.name), f"{found.kind} {digest.hexdigest()}", partial(content_of_shards, absolute))


def content_of_shards(found: shards.Shards) -> Content:
    """What is in tars, or in Parquet files."""
    content = tar_content(found) if found.kind == "tar" else parquet_content(found)
    if splits := shards.splits_in(found):
        content.notes.append(
            (" and ".join(splits), "are splits, and all are used; for one alone give its files by a pattern")
        )
    return content


def _unknown(path: str, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{shown(path)}: no permission to read it; change that, or give another folder"
    if path in (*DERIVATIONS, *HALVES):
        return f"{path} makes sources of images, and goes before them, as in: {path} DATA; there is no folder ./{path}"
    names = catalog.set_names()
    close = difflib.get_close_matches(path.partition(":")[0].partition("/")[0], names, 1, 0.6)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{shown(path)}: no such folder or file; {hint}data sets known by name are {', '.join(names)}"


def folder_listing(path: Path, part: str = "") -> Listing:
    """The files of a folder and of all below it, each once; of a folder of tars or of Parquet files what is in these."""
    root = folder_of(path)
    found, left_out = _scanned(root)
    names = sorted(found, key=lambda name: (natural(name), name))
    if inside := shards.of_folder(root, names, part):
        return shard_listing(inside)
    _check_part(str(path), part)
    digest = hashlib.sha256(root.encode("utf-8", "surrogateescape"))
    for name in names:
        digest.update(f"{name}\0{found[name].st_size}\0{found[name].st_mtime_ns}\n".encode("utf-8", "surrogateescape"))

    def gather() -> Content:
        content = _content(names, Files(root), partial(_table_file, root))
        content.left_out = sorted(left_out) + content.left_out
        return content

    return Listing(shown(path.resolve().name or "folder"), f"folder {digest.hexdigest()}", gather)


def _table_file(root: str, name: str) -> bytes:
    with images.open_regular(os.path.join(root, name)) as file:  # noqa: PTH118
        return file.read()


def _scanned(root: str) -> tuple[dict[str, os.stat_result], LeftOut]:
    """Path within the folder -> what `stat` says, of every regular file that is not empty; and the rest."""
    found: dict[str, os.stat_result] = {}
    left_out: LeftOut = []
    waiting, seen = [""], {_identity(os.stat(root))}  # noqa: PTH116
    while waiting:
        inside = waiting.pop()
        try:
            entries = sorted(os.scandir(os.path.join(root, inside)), key=lambda entry: entry.name)  # noqa: PTH118
        except OSError as error:
            left_out.append((inside, f"the folder cannot be read: {error.strerror or error}"))
            continue
        for entry in entries:
            name = inside + entry.name
            try:
                about = entry.stat()
            except OSError as error:
                left_out.append((name, f"cannot be read: {error.strerror or error}"))
                continue
            if reason := _refused(entry.name, about, seen):
                left_out.append((name, reason))
            elif stat.S_ISDIR(about.st_mode):
                seen.add(_identity(about))
                waiting.append(name + "/")
            else:
                found[name] = about
    return found, left_out


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _refused(name: str, about: os.stat_result, seen: set[tuple[int, int]]) -> str:
    """Why an entry of a folder is not looked into; "" where it is."""
    if name.startswith(".") or name == "__MACOSX":
        return "hidden"
    if stat.S_ISDIR(about.st_mode):
        return "a link to a folder that is read already" if about.st_ino and _identity(about) in seen else ""
    if not stat.S_ISREG(about.st_mode):
        return "not a regular file"
    return "" if about.st_size else "empty file"


def zip_listing(path: Path, about: os.stat_result) -> Listing:
    """The members of a zip, read without unpacking it."""
    key = f"zip {folder_of(path)} {about.st_size} {about.st_mtime_ns}"

    def gather() -> Content:
        with _zip(path) as opened:
            found, left_out = _members(opened)
            names = sorted(found, key=lambda name: (natural(name), name))
            content = _content(names, Members(folder_of(path)), partial(_table_member, opened, members_by_path(opened)))
        content.left_out = sorted(left_out) + content.left_out
        return content

    return Listing(shown(path.stem), key, gather)


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{shown(str(path))} is a damaged zip ({error}); use another copy") from None


def _table_member(opened: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> bytes:
    return member(opened, members[name], image=False).read()


def _members(opened: zipfile.ZipFile) -> tuple[list[str], LeftOut]:
    found: dict[str, None] = {}
    left_out: LeftOut = []
    if len(opened.infolist()) > _MOST_MEMBERS:
        raise DataError(f"the zip has over {_MOST_MEMBERS:,} members; make several of it")
    for each in opened.infolist():
        name = path_within(each)
        if name.endswith("/"):
            continue
        if any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
            left_out.append((name, "hidden"))
        elif name in found:
            left_out.append((name, "its name is there twice"))
        elif not each.file_size:
            left_out.append((name, "empty file"))
        else:
            found[name] = None
    return list(found), left_out


def _content(names: list[str], reader: Files | Members, load: tables.ReadTable) -> Content:
    """The images among the names, with the classes or attributes that a table beside them gives, or their folders."""
    stems = frozenset(posixpath.splitext(name)[0] for name in names if not name.lower().endswith(".txt"))
    candidates = [name for name in names if may_be_table(name, stems)]
    tables_too = set(candidates)
    items = [name for name in names if name not in tables_too]
    table, left_out = tables.table_beside(items, candidates, load)
    if table is None:
        return Content(items, reader, by_folder, left_out, notes_on_folders(items))
    missing = [
        (name, table.reasons.get(name, f"has no row in {table.name}")) for name in items if name not in table.rows
    ]
    kept = [name for name in items if name in table.rows]
    notes = [(table.name, note) for note in table.notes] + notes_on_folders(items, labelled=True)
    return Content(kept, reader, table.labels, left_out + missing, notes)
