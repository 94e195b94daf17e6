"""Tars and Parquet files: the same pictures as in a folder, whoever wrote them, and no harm from those that mean it."""

from __future__ import annotations

import io
import itertools
import json
import sys
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from commandline import refused, typed
from zeuxis.data import DataSpec, Pack, image_files, shards, tars, workers
from zeuxis.data.image_files import FileSet
from zeuxis.data.listing import Picture, Shape
from zeuxis.data.parquet import ParquetPictures
from zeuxis.data.places import missing, paths_of
from zeuxis.data.tar_samples import TarPictures
from zeuxis.errors import DataError, UsageError
from zeuxis.io import images

Contents = dict[str, bytes]


def encoded(seed: int, *, kind: str = "PNG", size: tuple[int, int] = (12, 10)) -> bytes:
    """A picture whose pixels depend on a seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def some(count: int, form: str = "{:03d}.png") -> Contents:
    return {form.format(number): encoded(number) for number in range(count)}


def folder(path: Path, contents: Contents) -> Path:
    for name, data in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def tar(path: Path, contents: Contents, *, kind: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as file:
        for name, data in contents.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            file.addfile(about, io.BytesIO(data))
    return path


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def opened(source: str | Path, size: int = 8, **options: Any) -> Pack:
    return DataSpec.parse(source, **options).open(size)


def names(pack: Pack) -> list[str]:
    return [record["name"] for record in pack.records()]


def members(path: Path) -> list[tars.TarMember]:
    with path.open("rb") as file:
        return list(tars.members_of(file))


LONG = "a/" * 70 + "long name of a picture, ä€😀" + "x" * 90 + ".png"


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_that_python_finds(tmp_path: Path, kind: int) -> None:
    """Names of any length and any letters, in each of the formats; what is in a member too."""
    long = LONG if kind != tarfile.USTAR_FORMAT else "b/" * 60 + "x" * 90 + ".png"
    contents = {"a.png": b"1", "folder/b.png": b"", "ä€.png": bytes(range(256)) * 5, long: b"x" * 512}
    path = tar(tmp_path / "a.tar", contents, kind=kind)
    found = members(path)
    with tarfile.open(path) as oracle:
        assert [(each.name, each.offset, each.size) for each in found] == [
            (each.name, each.offset_data, each.size) for each in oracle
        ]
    with path.open("rb") as file:
        assert [tars.read_member(file, each, image=False).read() for each in found] == [*contents.values()]
    assert tars.is_tar(path) and not any(each.refused for each in found)


def test_a_size_in_base_256_is_read(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"a.png": b"12345", "b.png": b"6"})
    data = bytearray(path.read_bytes())
    data[124:136] = b"\x80" + (5).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(data)
    assert [(each.name, each.size) for each in members(path)] == [("a.png", 5), ("b.png", 1)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=4)), max_size=8))
def test_a_damaged_tar_ends_and_asks_for_no_memory(changes: list[tuple[int, bytes]]) -> None:
    """Whatever its bytes are: each member lies within the file, and the headers end."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as file:
        for name in ("a.png", "n" * 200, "b.png"):
            about = tarfile.TarInfo(name)
            about.size = 600
            file.addfile(about, io.BytesIO(bytes(600)))
    data = bytearray(buffer.getvalue())
    for place, new in changes:
        data[place : place + len(new)] = new
    for start in range(0, len(data), 512):  # sums that hold, so that what they guard is read
        block = data[start : start + 512]
        if any(block[:100]):
            total = sum(block) - sum(block[148:156]) + 256
            data[start + 148 : start + 156] = b"%06o\0 " % total
    found = list(tars.members_of(io.BytesIO(bytes(data))))
    assert len(found) <= len(data) // 512
    assert all(each.offset + each.size <= len(data) or each.refused for each in found)


def special(name: str, kind: bytes, target: str = "") -> bytes:
    about = tarfile.TarInfo(name)
    about.type, about.linkname = kind, target
    return about.tobuf(tarfile.GNU_FORMAT)


def test_a_hostile_tar_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links, devices and paths that lead out of it; nothing is written outside of the cache, and the pictures are read."""
    (tmp_path / "secret.png").write_bytes(encoded(99))
    good = tar(tmp_path / "good.tar", {"../../out.png": encoded(0), "/etc/in.png": encoded(1), "ok.png": encoded(2)})
    end = good.read_bytes().rstrip(b"\0")
    end += b"\0" * (-len(end) % 512)
    kinds = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
    odd = b"".join(special(f"{name}.png", kind, str(tmp_path / "secret.png")) for name, kind in kinds.items())
    work = tmp_path / "work"
    work.mkdir()
    (work / "bad.tar").write_bytes(odd + end + bytes(1024))
    monkeypatch.chdir(work)
    before = sorted(tmp_path.rglob("*"))
    pack = opened("bad.tar")
    assert sorted(tmp_path.rglob("*")) == before
    assert names(pack) == ["../../out.png", "etc/in.png", "ok.png"]
    reasons = dict(pack.left_out)
    assert reasons == {
        "link.png": "a link", "hard.png": "a hard link", "device.png": "a device", "pipe.png": "a pipe",
    }  # fmt: skip
    assert pack.fingerprint == opened(folder(tmp_path / "f", some(3))).fingerprint


def test_a_tar_that_promises_too_much_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", some(3))
    whole = path.read_bytes()
    starts = [each.offset - 512 for each in members(path)]
    path.write_bytes(whole[: starts[2] + 600])
    pack = opened(path)
    assert names(pack) == ["000.png", "001.png"]
    assert pack.left_out == [("002.png", "cut short; what follows it is not read")]
    broken = bytearray(whole)
    broken[starts[1] + 10] ^= 1
    path.write_bytes(broken)
    pack = opened(path)
    assert names(pack) == ["000.png"]
    assert pack.left_out == [(f"byte {starts[1]:,}", "the tar is damaged here, and what follows is not read")]


@pytest.mark.parametrize("kind", [b"x", b"L"])
def test_a_name_of_a_gigabyte_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    about = tarfile.TarInfo("header")
    about.type, about.size = kind, 1 << 30
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(about.tobuf(tarfile.GNU_FORMAT))
        file.seek(1 << 30, 1)  # sparse: it takes no room on the disk
        file.write(tar(tmp_path / "b.tar", {"a.png": encoded(0), "b.png": encoded(1)}).read_bytes())
    tracemalloc.start()
    try:
        found = members(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    assert [(each.name, each.refused) for each in found] == [("a.png", "its name has over 1 MB"), ("b.png", "")]


def test_many_headers_before_a_member_are_no_recursion(tmp_path: Path) -> None:
    record = b"18 path=fooled.png"
    record = b"%d path=fooled.png\n" % (len(record) + 1)
    about = tarfile.TarInfo("header")
    about.type, about.size = b"x", len(record)
    header = about.tobuf(tarfile.GNU_FORMAT) + record.ljust(512, b"\0")
    path = tmp_path / "a.tar"
    path.write_bytes(header * 5000 + tar(tmp_path / "b.tar", {"a.png": encoded(0)}).read_bytes())
    assert names(opened(path)) == ["fooled.png"]


def test_a_tar_of_a_folder_gives_what_the_folder_gives(tmp_path: Path) -> None:
    """Pixels, order, classes; also written by `tar` with `./` before each name."""
    contents = some(7, "cats/{}.png") | some(3, "dogs/x/{}.png") | {"cats/.hidden.png": b"x", "dogs/empty.png": b""}
    plain = opened(folder(tmp_path / "f", contents))
    packed = opened(tar(tmp_path / "f.tar", {f"./{name}": data for name, data in contents.items()}))
    assert packed.fingerprint == plain.fingerprint
    assert packed.classes == plain.classes == ["cats", "dogs"]
    assert names(packed) == names(plain)
    assert sorted(packed.left_out) == sorted(plain.left_out) and len(packed.left_out) == 2


def shard_writer(path: Path, samples: list[dict[str, Any]], *, most: int = 4) -> str:
    path.mkdir()
    with webdataset.ShardWriter(str(path / "s-%03d.tar"), maxcount=most, verbose=0) as writer:
        for place, sample in enumerate(samples):
            writer.write({"__key__": f"{place:05d}", **sample})
    return str(path / "s-{000..002}.tar")


def test_shards_of_webdataset_give_what_a_folder_gives(tmp_path: Path) -> None:
    """As a folder, by braces and by a star; classes by .cls, and what is not used is said."""
    pictures = [encoded(place) for place in range(10)]
    pattern = shard_writer(tmp_path / "w", [{"png": each, "cls": n % 3, "txt": "x"} for n, each in enumerate(pictures)])
    folder(tmp_path / "f", {f"{'abc'[n % 3]}/{n:05d}.png": each for n, each in enumerate(pictures)})
    (tmp_path / "f" / "labels.csv").write_text("".join(f"{n:05d}.png,{n % 3}\n" for n in range(10)))
    wanted = opened(folder(tmp_path / "g", {f"{n:05d}.png": each for n, each in enumerate(pictures)}))
    packs = [opened(each) for each in (tmp_path / "w", pattern, str(tmp_path / "w" / "*.tar"))]
    for pack in packs:
        assert (pack.images == wanted.images).all()
        assert pack.labels is not None and pack.labels.tolist() == [n % 3 for n in range(10)]
        assert pack.classes == ["0", "1", "2"]
        assert names(pack)[4] == "s-001.tar/00004.png"
        assert pack.name == "s" and ("members .txt", "are not used (10)") in pack.notes
    assert len({pack.fingerprint for pack in packs}) == 1


def test_attributes_of_json_are_read_and_captions_are_none(tmp_path: Path) -> None:
    rows = [{"smiling": n % 2 == 0, "caption": f"face {n}", "id": n} for n in range(10)]
    shard_writer(tmp_path / "w", [{"png": encoded(n), "json": row} for n, row in enumerate(rows)])
    pack = opened(tmp_path / "w")
    assert [each.name for each in pack.attributes] == ["smiling"]
    assert pack.labels is not None and pack.labels[:, 0].tolist() == [1, 0] * 5
    assert ("keys of .json", "not used: caption, id") in pack.notes
    words = [{"label": ("cat", "dog")[n % 2]} for n in range(6)]
    shard_writer(tmp_path / "v", [{"png": encoded(n), "json": row} for n, row in enumerate(words)])
    assert opened(tmp_path / "v").classes == ["cat", "dog"]


def test_a_sample_without_its_label_is_left_out_and_a_broken_label_is_named(tmp_path: Path) -> None:
    contents: Contents = {
        "a.png": encoded(0),
        "a.cls": b"1",
        "b.png": encoded(1),
        "c.png": encoded(2),
        "c.cls": b"\xff",
    }
    contents |= {"d.png": encoded(3), "d.cls": b"0", "d.json": b"{", "e.png": encoded(4), "e.cls": b"1" * 300}
    pack = opened(tar(tmp_path / "a.tar", contents))
    assert names(pack) == ["a.png", "d.png"] and pack.classes == ["0", "1"]
    left_out = dict(pack.left_out)
    assert left_out.keys() == {"b.png", "c.png", "c.cls", "d.json", "e.png", "e.cls"}
    assert "no label" in left_out["b.png"] and "300 bytes" in left_out["e.cls"]


def test_of_several_pictures_of_a_sample_one_is_used_and_another_can_be_named(tmp_path: Path) -> None:
    contents: Contents = {}
    for n in range(4):
        contents |= {f"{n}.png": encoded(n), f"{n}.seg.png": encoded(50 + n), f"{n}.jpg": encoded(n, kind="JPEG")}
    path = tar(tmp_path / "a.tar", contents)
    pack = opened(path)
    assert names(pack) == ["0.png", "1.png", "2.png", "3.png"]
    assert dict(pack.left_out)["2.seg.png"] == "another picture of the sample 2; #seg.png takes those instead"
    masks = opened(f"{path}#seg.png")
    assert masks.fingerprint == opened(folder(tmp_path / "m", some_from(50, 4))).fingerprint
    pairs = DataSpec.parse(f"{path}#seg.png -> {path}#png").open_pairs((8, 3), (8, 3))
    assert len(pairs) == 4 and (pairs.source.images == masks.images).all() and (pairs.image.images == pack.images).all()
    assert "endings are jpg, png, seg.png" in str(_refusal(f"{path}#webp"))
    dotted = tar(tmp_path / "b.tar", {"2021.01.05.png": encoded(0), "2021.01.06.png": encoded(1)})
    assert len(opened(dotted)) == 2


def some_from(first: int, count: int) -> Contents:
    return {f"{n}.png": encoded(first + n) for n in range(count)}


def _refusal(source: str | Path) -> Exception:
    with pytest.raises((UsageError, DataError)) as error:
        opened(source)
    assert "\n" not in str(error.value)
    return error.value


def features(**columns: dict[str, Any]) -> dict[bytes, bytes]:
    return {b"huggingface": json.dumps({"info": {"features": columns}}).encode()}


def with_metadata(path: Path, columns: dict[str, Any], about: dict[bytes, bytes]) -> Path:
    pq.write_table(pa.table(columns).replace_schema_metadata(about), path)
    return path


def structs(pictures: list[bytes | None]) -> pa.Array:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": each, "path": "/etc/passwd"} for each in pictures], kind)


def test_parquet_of_hugging_face_gives_what_the_folder_gives(tmp_path: Path) -> None:
    """Written by their library itself; the names of the classes in their order, those too that no picture has."""
    import datasets

    pictures = [encoded(n) for n in range(10)]
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["zebra", "ant", "bee", "cow"])}
    )
    rows = {"image": [{"bytes": each, "path": None} for each in pictures], "label": [n % 3 for n in range(10)]}
    datasets.Dataset.from_dict(rows, features=kinds).to_parquet(str(tmp_path / "a.parquet"), batch_size=4)
    pack = opened(tmp_path / "a.parquet")
    plain = opened(folder(tmp_path / "f", {f"{n}.png": each for n, each in enumerate(pictures)}))
    assert (pack.images == plain.images).all()
    assert pack.classes == ["zebra", "ant", "bee", "cow"]
    assert pack.labels is not None and pack.labels.tolist() == [n % 3 for n in range(10)]


def test_parquet_of_pandas_is_read_by_row_groups_and_by_shards(tmp_path: Path) -> None:
    import pandas

    pictures = [encoded(n) for n in range(12)]
    frame = pandas.DataFrame({"photo": pictures, "category": ["b", "a"] * 6, "id": range(12)})
    frame.to_parquet(tmp_path / "all.parquet", row_group_size=5)
    (tmp_path / "d").mkdir()
    for place in range(3):
        frame[4 * place : 4 * place + 4].to_parquet(tmp_path / "d" / f"train-{place:05d}-of-00003.parquet")
    (tmp_path / "d" / "README.md").write_text("x")
    one, many = opened(tmp_path / "all.parquet"), opened(tmp_path / "d")
    assert one.fingerprint == many.fingerprint and one.classes == ["a", "b"] and len(one) == 12
    assert names(many)[5] == "train-00001-of-00003.parquet/1"
    assert ("column id", "not used") in one.notes
    assert len(opened(tmp_path / "all.parquet", max_images=5)) == 5


def test_categories_of_pandas_are_classes_and_splits_are_told(tmp_path: Path) -> None:
    import pandas

    frame = pandas.DataFrame({"photo": [encoded(n) for n in range(4)], "label": pandas.Categorical(["b", "a"] * 2)})
    for name in ("train-0.parquet", "train-1.parquet", "test-0.parquet"):
        frame.to_parquet(tmp_path / name)
    pack = opened(tmp_path)
    assert pack.classes == ["a", "b"] and len(pack) == 12
    told = ("test and train", "are splits, and all are used; for one alone give its files by a pattern")
    assert told in pack.notes and told not in opened(f"{tmp_path}/train-*.parquet").notes


def test_a_path_in_parquet_is_never_followed(tmp_path: Path) -> None:
    secret = folder(tmp_path, {"secret.png": encoded(9)}) / "secret.png"
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": encoded(0), "path": "x"}, {"bytes": None, "path": str(secret)}, None], kind)
    pack = opened(parquet(tmp_path / "a.parquet", {"image": rows}))
    assert names(pack) == ["0"]
    assert {reason for _, reason in pack.left_out} == {
        "no picture in this row, or only the path of one, which is not followed"
    }


def test_items_without_a_class_are_left_out_unless_none_has_one(tmp_path: Path) -> None:
    about = features(label={"_type": "ClassLabel", "names": ["a", "b"]}, image={"_type": "Image"})
    pictures = structs([encoded(n) for n in range(4)])
    pack = opened(with_metadata(tmp_path / "a.parquet", {"image": pictures, "label": [0, -1, 7, 1]}, about))
    assert names(pack) == ["0", "3"] and pack.classes == ["a", "b"]
    pack = opened(with_metadata(tmp_path / "b.parquet", {"image": pictures, "label": [-1] * 4}, about))
    assert (
        len(pack) == 4 and pack.labels is None and ("the column label", "are none: no item has a class") in pack.notes
    )


def test_which_column_is_meant_is_told_or_asked(tmp_path: Path) -> None:
    two = {"left": [encoded(n) for n in range(3)], "right": [encoded(9 + n) for n in range(3)], "x": ["a", "b", "c"]}
    path = parquet(tmp_path / "a.parquet", two)
    assert f"name one, as in {path}#left" in str(_refusal(path))
    assert len(opened(f"{path}#right")) == 3
    assert "x is no column of pictures" in str(_refusal(f"{path}#x")) and "y is no column" in str(_refusal(f"{path}#y"))
    pairs = DataSpec.parse(f"{path}#left -> {path}#right").open_pairs((8, 3), (8, 3))
    assert len(pairs) == 3 and (pairs.image.images == opened(f"{path}#right").images).all()
    words = parquet(tmp_path / "b.parquet", {"a": ["x"], "b": [1]})
    assert "has no column of pictures (encoded bytes, or bytes and path) among a, b" in str(_refusal(words))
    usual = parquet(tmp_path / "c.parquet", {"hash": [b"x"], "image": [encoded(0)]})
    assert len(opened(usual)) == 1


def test_malformed_parquet_is_an_error_of_one_line(tmp_path: Path) -> None:
    """Cut, overwritten, or with metadata that lie; a page that is damaged costs its pictures alone."""
    whole = parquet(tmp_path / "a.parquet", {"image": [encoded(n) for n in range(30)]}, row_group_size=10).read_bytes()
    for place, data in enumerate(
        [whole[:200], b"PAR1" + bytes(100) + b"PAR1", whole[:-40] + b"\xff" * 32 + whole[-8:]]
    ):
        path = tmp_path / f"bad-{place}.parquet"
        path.write_bytes(data)
        assert f"{path} is a damaged Parquet file (" in str(_refusal(path))
    about = {b"huggingface": b'{"info": {"features": [1, 2]}}'}
    assert len(opened(with_metadata(tmp_path / "l.parquet", {"image": [encoded(0)]}, about))) == 1
    start = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(1).column(0).data_page_offset
    (tmp_path / "p.parquet").write_bytes(whole[:start] + b"\xff" * 60 + whole[start + 60 :])
    pack = opened(tmp_path / "p.parquet")
    assert names(pack) == [str(n) for n in itertools.chain(range(10), range(20, 30))]
    assert all("in a damaged part of the file" in reason for _, reason in pack.left_out)


def test_parquet_of_any_bytes_is_read_or_refused(tmp_path: Path) -> None:
    """Bytes of its footer changed: pyarrow ends the process at some statistics, if it is asked for them."""
    rows = {"image": [encoded(n) for n in range(6)], "label": [n % 3 for n in range(6)], "happy": [True, False] * 3}
    path = parquet(tmp_path / "a.parquet", rows, row_group_size=4)
    whole, chance = path.read_bytes(), np.random.default_rng(5)
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    outcomes = set()
    for _ in range(200):
        changed = bytearray(whole)
        changed[len(whole) - int(chance.integers(1, footer))] = int(chance.integers(256))
        path.write_bytes(changed)
        try:
            content = image_files.content_of_shards(shards.Shards("parquet", [str(path)]))
            outcomes |= {type(workers.attempt(content.reader, item, Shape(8, 3))) for item in content.items}
        except DataError as error:
            assert "\n" not in str(error)
            outcomes.add(DataError)
    assert {Picture, DataError} <= outcomes


def test_parquet_that_says_it_has_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": [encoded(n) for n in range(6)]})
    monkeypatch.setattr("zeuxis.data.parquet._MOST_FILE", 5)
    assert "says that it has 6 rows; at most 5 are read" in str(_refusal(path))


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": [encoded(0)]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = typed("data", str(path))
    assert (
        code == 2
        and err == "zeuxis: Parquet needs the package pyarrow; install it with: pip install 'zeuxis[parquet]'\n"
    )


def test_hundreds_of_rows_that_are_one_large_value_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    """As a dictionary has them: 4 MB on the disk, 1.6 GB where all rows are in memory."""
    large = encoded(0) + b"\0" * (4 << 20)
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), pa.array([large], pa.binary()))
    path = parquet(
        tmp_path / "a.parquet",
        {"image": column},
        store_schema=False,
        dictionary_pagesize_limit=8 << 20,
        compression="zstd",
    )
    assert path.stat().st_size < 1 << 20
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    reader = ParquetPictures([str(path)], [""], "image")
    for item in ("0", "150", "399"):
        assert isinstance(reader.picture(item, Shape(8, 3)), Picture)
        assert pool.bytes_allocated() - before < 200 << 20


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_large_shards_are_read_in_flat_memory(tmp_path: Path, kind: str) -> None:
    """64 pictures of 0.5 MB each: no more than a few of them are in memory at once."""
    large = [encoded(n, size=(420, 420)) for n in range(64)]
    assert sum(map(len, large)) > 32 << 20
    path = tmp_path / f"a.{kind}"
    reader: TarPictures | ParquetPictures
    if kind == "tar":
        tar(path, {f"{n:02d}.png": data for n, data in enumerate(large)})
        reader, items = TarPictures([str(path)], [""]), [f"{n:02d}.png" for n in range(64)]
    else:
        parquet(
            path, {"image": large}, use_dictionary=False, write_batch_size=2
        )  # rows of a page: the least that is read
        reader, items = ParquetPictures([str(path)], [""], "image"), [str(n) for n in range(64)]
    del large
    pool, held = pa.default_memory_pool(), 0
    before = pool.bytes_allocated()
    tracemalloc.start()
    try:
        for item in items:
            assert reader.picture(item, Shape(8, 3)).size == (420, 420)
            held = max(held, pool.bytes_allocated() - before)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20 and held < 8 << 20


def test_many_items_are_decoded_in_other_processes_as_here(tmp_path: Path) -> None:
    """A hundred pictures and one that is none: the same pixels, order and reasons as one by one."""
    contents = some(100) | {"zzz.png": b"\x89PNG\r\n\x1a\n" + bytes(20)}
    plain = opened(folder(tmp_path / "f", contents))
    packed = opened(tar(tmp_path / "f.tar", contents))
    rows = opened(parquet(tmp_path / "f.parquet", {"image": [*contents.values()]}, row_group_size=30))
    assert plain.fingerprint == packed.fingerprint == rows.fingerprint and len(plain) == 100
    assert plain.left_out == packed.left_out
    assert [reason for _, reason in rows.left_out] == [reason for _, reason in plain.left_out]


def test_tiles_are_cut_out_of_pictures_in_shards(tmp_path: Path) -> None:
    contents = {f"{n}.png": encoded(n, size=(96, 96)) for n in range(3)}
    wanted = opened(folder(tmp_path / "f", contents), 32, resize_mode="tiles")
    found = opened(tar(tmp_path / "f.tar", contents), 32, resize_mode="tiles")
    rows = opened(parquet(tmp_path / "f.parquet", {"image": [*contents.values()]}), 32, resize_mode="tiles")
    assert found.fingerprint == wanted.fingerprint == rows.fingerprint
    assert FileSet(str(tmp_path / "f.tar")).has_photographs and FileSet(str(tmp_path / "f.parquet")).has_photographs


def test_patterns_spell_files_and_say_which_is_missing(tmp_path: Path) -> None:
    for number in (8, 9, 10):
        tar(tmp_path / f"s-{number:02d}.tar", some(1))
    assert shards.matching(str(tmp_path / "s-{08..10}.tar")) == [
        str(tmp_path / f"s-{n}.tar") for n in ("08", "09", "10")
    ]
    assert shards.matching(f"{tmp_path}/{{s,s}}-{{08,10}}.tar") == [f"{tmp_path}/s-{n}.tar" for n in ("08", "10")] * 2
    assert shards.matching(str(tmp_path / "s-0?.tar")) == [str(tmp_path / f"s-{n}.tar") for n in ("08", "09")]
    assert shards.matching(str(tmp_path / "s-08.tar")) == shards.matching(str(tmp_path / "none-*.tar")) == []
    assert f"{tmp_path}/s-11.tar: no such file, of the 4 of" in str(_refusal(f"{tmp_path}/s-{{08..11}}.tar"))
    assert "stands for over 100,000 files" in str(_refusal("{000..999}{000..999}.tar"))
    assert "counts no files" in str(_refusal("{5..3}.tar"))
    assert "no such folder or file" in str(_refusal(f"{tmp_path}/none-*.tar"))
    spec = DataSpec.parse(f"{tmp_path}/s-*.tar")
    assert paths_of(spec) == [f"{tmp_path}/s-{n}.tar" for n in ("08", "09", "10")] and missing(spec) is None
    assert missing(DataSpec.parse(f"{tmp_path}/t-*.tar")) == f"{tmp_path}/t-*.tar"


def test_kinds_are_not_mixed_and_parts_are_of_shards_alone(tmp_path: Path) -> None:
    tar(tmp_path / "d" / "a.tar", some(1))
    parquet(tmp_path / "d" / "b.parquet", {"image": [encoded(0)]})
    assert "give those of one kind" in str(_refusal(tmp_path / "d"))
    pictures = folder(tmp_path / "f", some(2) | {"x.tar": (tmp_path / "d" / "a.tar").read_bytes()})
    assert len(opened(pictures)) == 2, "a folder of pictures stays one, whatever else is in it"
    assert "only tars and Parquet have parts" in str(_refusal(f"{pictures}#png"))
    odd = folder(tmp_path / "odd#name", some(2))
    assert len(opened(odd)) == 2, "a path that exists is a path, whatever is in its name"
    (tmp_path / "b.tar.gz").write_bytes(b"\x1f\x8b" + bytes(50))
    assert "none of these" in str(_refusal(tmp_path / "b.tar.gz"))


def test_a_changed_shard_is_another_pack(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", some(3))
    before = opened(path)
    tar(path, some(4))
    after = opened(path)
    assert len(before) == 3 and len(after) == 4 and before.fingerprint != after.fingerprint
    assert opened(path).path == after.path


def test_a_run_on_shards_refuses_changed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And resumes on those that it began with, from any folder."""
    monkeypatch.chdir(tmp_path)
    tar(Path("s/a-0.tar"), some(6))
    tar(Path("s/a-1.tar"), some_from(6, 6))
    small = ("--size", "16", "--base-channels", "8", "--batch-size", "4", "--device", "cpu")
    code, _, error = typed("train", "vae", "s/*.tar", "--steps", "2", *small)
    assert code == 0, error
    (tmp_path / "else").mkdir()
    monkeypatch.chdir("else")
    assert typed("resume", "../runs/00001-vae-a", "--steps", "3")[0] == 0
    tar(tmp_path / "s" / "a-1.tar", some_from(9, 6))
    code, _, error = typed("resume", "../runs/00001-vae-a", "--steps", "4")
    assert code == 4 and "has changed since the run began" in error
    (tmp_path / "s" / "a-1.tar").unlink()
    (tmp_path / "s" / "a-0.tar").unlink()
    code, _, error = typed("resume", "../runs/00001-vae-a", "--steps", "4")
    assert code == 2 and "s/*.tar is no longer there" in error


def test_the_command_line_takes_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tar(Path("shards/a-0.tar"), some(3))
    tar(Path("shards/a-1.tar"), some(2))
    parquet(Path("photos.parquet"), {"image": [encoded(n) for n in range(4)]})
    for source, said in (
        ("shards/*.tar", "a: 5 images"),
        ("photos.parquet", "photos: 4 images"),
        ("shards", "a: 5 images"),
    ):
        code, out, _ = typed("data", source, "--size", "8")
        assert code == 0 and said in out
    Path("x.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    code, _, err = typed("data", "x.parquet")
    assert code == 4 and "x.parquet is a damaged Parquet file" in err and err.count("\n") == 1
    assert "no such file" in refused("data", "shards/a-{0..3}.tar")
    assert "quote a pattern of several files" in refused("data", "shards/a-0.tar", "shards/a-1.tar")


def test_a_member_over_the_bound_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_BYTES", 2000)
    contents = {"a.png": encoded(0), "b.png": encoded(1, size=(40, 40))}
    pack = opened(tar(tmp_path / "a.tar", contents))
    rows = opened(parquet(tmp_path / "a.parquet", {"image": [*contents.values()]}))
    assert names(pack) == ["a.png"] and names(rows) == ["0"]
    assert [reason for _, reason in pack.left_out + rows.left_out] == ["over 0 MB"] * 2
