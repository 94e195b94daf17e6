"""Images in memory: every kind gives the pack that the same pictures give as files, and a run on them resumes exactly."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from zeuxis import api, families
from zeuxis.data import DataSpec, Pack
from zeuxis.data.values import MemorySet, pixels
from zeuxis.errors import DataError, UsageError, ZeuxisError
from zeuxis.io import files, images
from zeuxis.io.pictures import Images
from zeuxis.loading import data_of, load_model
from zeuxis.training import runs
from zeuxis.training.settings import TrainSettings

COUNT, SIZE = 12, 16


def drawn(seed: int = 0, count: int = COUNT, size: int = SIZE, channels: int = 3) -> images.Array:
    """Pictures (n h w c, uint8)."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), np.uint8)


def written(folder: Path, array: images.Array) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{place:03d}.png" for place in range(len(array))]
    for path, each in zip(paths, array):
        Image.fromarray(each).save(path)
    return paths


def opened(value: Any, size: int = SIZE, channels: int = 3, **options: Any) -> Pack:
    return DataSpec.parse(value, **options).open(size, channels)


class Drawn(Dataset[Any]):
    """A dataset of torch, of whatever is made of each picture."""

    classes = ["zebra", "ant", "bee"]

    def __init__(self, make: Callable[[images.Array], Any], array: images.Array, labelled: bool = False) -> None:
        self.make, self.array, self.labelled = make, array, labelled

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, place: int) -> Any:
        made = self.make(self.array[place])
        return (made, place % 3) if self.labelled else made


def floats(array: images.Array) -> torch.Tensor:
    return torch.tensor(array).movedim(-1, -3) / 255


MAKE: dict[str, Callable[[images.Array], Any]] = {
    "array": lambda a: a,
    "channels first": lambda a: np.moveaxis(a, -1, -3),
    "float32 of 0 to 1": lambda a: a.astype(np.float32) / 255,
    "float64 of -1 to 1": lambda a: a / 127.5 - 1,
    "tensor": torch.tensor,
    "tensor as ToTensor gives it": floats,
    "tensor as Normalize gives it": lambda a: floats(a) * 2 - 1,
    "bfloat16 is near": lambda a: floats(a).bfloat16(),
}


@pytest.mark.parametrize("kind", MAKE)
def test_an_array_gives_the_pack_of_the_same_pictures_in_a_folder(tmp_path: Path, kind: str) -> None:
    array = drawn()
    written(tmp_path / "f", array)
    pack, wanted = opened(MAKE[kind](array)), opened(tmp_path / "f")
    if kind == "bfloat16 is near":
        assert np.abs(pack.images.astype(int) - wanted.images).max() <= 1
        return
    assert (pack.images == wanted.images).all() and pack.fingerprint == wanted.fingerprint
    assert pack.name == "array" and str(DataSpec.parse(MAKE[kind](array))) == str(DataSpec.parse(array))


@pytest.mark.parametrize("kind", [*MAKE][:-1])
@pytest.mark.parametrize("how", ["list", "dataset"])
def test_pictures_one_by_one_give_it_too(tmp_path: Path, kind: str, how: str) -> None:
    array = drawn()
    written(tmp_path / "f", array)
    made: Any = Drawn(MAKE[kind], array)
    pack = opened(made if how == "dataset" else [made[place] for place in range(COUNT)])
    assert pack.fingerprint == opened(tmp_path / "f").fingerprint
    assert pack.name == ("drawn" if how == "dataset" else "pictures")


def test_samples_are_data_too() -> None:
    held = torch.tensor(drawn()).movedim(-1, -3) / 127.5 - 1
    for given_images in (Images(held), Images(held.unflatten(0, (3, 4)))):
        assert opened(given_images).fingerprint == opened(drawn()).fingerprint


def test_files_and_pil_images_give_it_too(tmp_path: Path) -> None:
    """In the order of the list; a file that is not read yet stays as it is."""
    paths = written(tmp_path / "f", drawn())
    wanted = opened(tmp_path / "f").fingerprint
    lazy = [Image.open(path) for path in paths]
    assert opened(paths).fingerprint == opened([str(path) for path in paths]).fingerprint == wanted
    assert opened(tuple(paths)).fingerprint == opened(lazy).fingerprint == wanted
    assert opened(np.stack([np.asarray(image) for image in lazy])).fingerprint == wanted
    back = opened(paths[::-1])
    assert (back.images == opened(tmp_path / "f").images[::-1]).all() and back.fingerprint != wanted


def test_grey_bool_and_transparent_pictures(tmp_path: Path) -> None:
    grey = drawn(channels=1)
    assert opened(grey[..., 0], channels=1).fingerprint == opened(grey, channels=1).fingerprint
    assert (opened(grey > 127, channels=1).images == np.where(grey > 127, 255, 0)).all()
    clear = np.concatenate([drawn(), np.zeros((COUNT, SIZE, SIZE, 1), np.uint8)], 3)
    assert (opened(clear).images == 255).all() and (opened(np.moveaxis(clear, 3, 1)).images == 255).all()
    palette = [Image.fromarray(each).quantize(16) for each in drawn()]
    assert (opened(palette).images == np.stack([np.asarray(each.convert("RGB")) for each in palette])).all()


def test_a_list_of_files_has_the_classes_of_their_folders(tmp_path: Path) -> None:
    paths = [*written(tmp_path / "a", drawn(1)), *written(tmp_path / "b", drawn(2))]
    pack = opened(paths)
    assert pack.fingerprint == opened(tmp_path).fingerprint and pack.classes == ["a", "b"]
    assert pack.records()[0]["name"] == "a/000.png"


def test_labels_beside_an_array() -> None:
    array, numbers = drawn(), [place % 3 for place in range(COUNT)]
    wanted = opened((array, numbers))
    assert wanted.classes == ["0", "1", "2"] and wanted.labels is not None and wanted.labels.tolist() == numbers
    for each in (np.array(numbers), torch.tensor(numbers), np.array(numbers, np.float32), [*map(np.int64, numbers)]):
        assert opened((array, each)).fingerprint == wanted.fingerprint
    assert opened((array, numbers, ["zebra", "ant", "bee", "cow"])).classes == ["zebra", "ant", "bee", "cow"]
    words = opened((list(array), ["cat", "dog"] * 6))
    assert words.classes == ["cat", "dog"] and words.labels is not None and words.labels.tolist() == [0, 1] * 6
    rows = opened((array, np.eye(3, dtype=int)[numbers], ["Smiling", "Wearing_Hat", "x"]))
    assert [each.name for each in rows.attributes] == ["smiling", "wearing hat", "x"]
    assert opened((array, np.eye(2, dtype=bool)[[0, 1] * 6])).attributes[1].name == "attribute 2"
    assert opened((array, None)).fingerprint == opened(array).fingerprint != wanted.fingerprint


def test_a_dataset_of_torch_has_its_labels_and_its_names() -> None:
    array = drawn()
    whole = opened(Drawn(Image.fromarray, array, labelled=True))
    assert whole.classes == ["zebra", "ant", "bee"] and whole.labels is not None
    assert whole.labels.tolist() == [place % 3 for place in range(COUNT)]
    part = opened(Subset(Drawn(Image.fromarray, array, labelled=True), [1, 4, 2]))
    assert part.name == "drawn" and part.labels is not None and part.labels.tolist() == [1, 1, 2]
    assert part.classes == ["zebra", "ant", "bee"]
    tensors = opened(TensorDataset(floats(array), torch.arange(COUNT) % 2))
    assert tensors.classes == ["0", "1"] and opened(TensorDataset(floats(array))).labels is None
    faces = Drawn(Image.fromarray, array, labelled=True)
    faces.attr_names = ["Smiling", "Hat", ""]  # type: ignore[attr-defined]
    faces.__class__ = type(
        "Faces", (Drawn,), {"__getitem__": lambda self, n: (self.array[n], torch.tensor([n % 2, 1]))}
    )
    assert [each.name for each in opened(faces).attributes] == ["smiling", "hat"]
    tables = [{"pixel_values": each, "label": "b", "other": 1} for each in array]
    assert opened(tables).classes == ["b"] and (opened(tables).images == array).all()


def hugging(array: images.Array, **columns: Any) -> Any:
    """A dataset of Hugging Face, with pictures as their library writes them."""
    kinds = {"image": datasets.Image(), **{name: kind for name, (kind, _) in columns.items()}}
    rows = {"image": [*map(Image.fromarray, array)], **{name: values for name, (_, values) in columns.items()}}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))


def test_a_dataset_of_hugging_face_gives_the_pack_of_the_folder(tmp_path: Path) -> None:
    """Read as it is stored, whatever format it gives; class names in its own order; what is not used is said."""
    array, kind = drawn(), datasets.ClassLabel(names=["zebra", "ant", "bee", "cow"])
    data = hugging(array, label=(kind, [n % 3 for n in range(COUNT)]), text=(datasets.Value("string"), ["x"] * COUNT))
    pack = opened(data)
    written(tmp_path / "f", array)
    assert (pack.images == opened(tmp_path / "f").images).all() and pack.classes == kind.names
    assert ("column text", "not used") in pack.notes and pack.name == "dataset"
    data.to_parquet(str(tmp_path / "d.parquet"))
    assert opened(tmp_path / "d.parquet").fingerprint == pack.fingerprint
    assert opened(data.with_format("torch")).path == opened((data, "image")).path == pack.path
    assert len(opened(data.select([5, 3]))) == 2 and (opened(data.select([5, 3])).images == array[[5, 3]]).all()
    by_hand = data.with_transform(
        lambda rows: {"image": [each.rotate(90) for each in rows["image"]], "label": rows["label"]}
    )
    turned = opened(by_hand)
    assert (turned.images == np.rot90(array, axes=(1, 2))).all() and turned.classes == kind.names


def test_columns_of_hugging_face_are_found_or_asked_for() -> None:
    array = drawn(count=3)
    smiles = opened(hugging(array, smiling=(datasets.Value("bool"), [True, False, True])))
    assert [each.name for each in smiles.attributes] == ["smiling"]
    two = hugging(array, mask=(datasets.Image(), [*map(Image.fromarray, array[::-1])]))
    assert (opened(two).images == array).all() and (opened((two, "mask")).images == array[::-1]).all()
    renamed = two.rename_column("image", "left")
    assert "several columns of pictures, left, mask" in refusal(renamed)
    assert "nope is no column" in refusal((two, "nope"))
    assert "has no column of pictures" in refusal(datasets.Dataset.from_dict({"n": [1]}))
    some = hugging(array, label=(datasets.ClassLabel(names=["a"]), [0, -1, 0]))
    assert len(opened(some)) == 2 and opened(some).left_out == [("1", "has no class among the column label")]


def test_a_picture_that_is_damaged_in_a_dataset_is_left_out() -> None:
    good = hugging(drawn(count=2)).cast_column("image", datasets.Image(decode=False))[:]["image"]
    rows = [*good, {"bytes": b"no picture", "path": None}, {"bytes": None, "path": "/none.png"}]
    data = datasets.Dataset.from_dict({"image": rows}, features=datasets.Features({"image": datasets.Image()}))
    pack = opened(data)
    assert len(pack) == 2 and dict(pack.left_out) == {
        "2": "not an image", "3": "no picture in this row",
    }  # fmt: skip


def refusal(value: Any, **options: Any) -> str:
    with pytest.raises(ZeuxisError) as error:
        opened(value, **options)
    text = str(error.value)
    assert "\n" not in text and (": " in text or ", " in text or ";" in text), "one line, with what to do"
    return text


class Changing(Drawn):
    """Random, but for its first items: only a second reading of all of it shows that."""

    def __getitem__(self, place: int) -> Any:
        return self.array[place] if place < 5 else np.random.default_rng().integers(0, 256, (SIZE, SIZE, 3), np.uint8)


class Streamed(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(drawn())


class Broken(Drawn):
    def __getitem__(self, place: int) -> Any:
        raise KeyError("one\ntwo")


REFUSED: dict[str, tuple[Any, str]] = {
    "random": (
        Drawn(lambda a: np.random.default_rng().permuted(a), drawn()),
        "item 0 of drawn differs from one reading",
    ),
    "random later": (Changing(Image.fromarray, drawn()), "item 5 of changing differs from one reading"),
    "iterable": (Streamed(), "an IterableDataset has no order"),
    "loader": (DataLoader(Drawn(floats, drawn())), "give its dataset, as in loader.dataset"),
    "broken": (Broken(floats, drawn()), "item 0 of broken cannot be read (KeyError: 'one\\ntwo')"),
    "three parts": ([(each, 1, 2) for each in drawn()], "has 3 parts; expected a picture"),
    "one picture": (Image.fromarray(drawn()[0]), "one picture; give a list of pictures"),
    "one array": (drawn()[0], "which is one picture h w c, or many h w"),
    "nothing": ([], "is empty"),
    "no pictures": ([1, 2], "is an int; expected a PIL image"),
    "none": (None, "the data is NoneType; expected a path"),
    "a table": ({"a": 1}, "the data is dict; expected"),
    "integers": (drawn().astype(int), "no known black and white; where its values are 0 to 255, give .astype('uint8')"),
    "bytes as floats": (drawn().astype(float), "floating point values of 0 to 255; expected 0 to 1"),
    "an overshoot": (drawn() / 255 - 0.1, "which may be 0 to 1 or -1 to 1"),
    "a NaN": (drawn() * np.nan, "a NaN or an infinity"),
    "text": (np.array(["a"] * 3), "has values of the type"),
    "two axes": (np.zeros((4, 3, 5, 3), np.uint8), "two axes may be channels"),
    "no axis": (np.zeros((4, 5, 5, 5), np.uint8), "no axis may be channels"),
    "no size": (np.zeros((4, 0, 5, 3), np.uint8), "has the shape 4 x 0 x 5 x 3"),
    "few labels": ((drawn(), [1, 2]), "12 images and 2 labels"),
    "negative": ((drawn(), [-1] * COUNT), "number the classes from 0"),
    "unnamed": ((drawn(), [5] * COUNT, ["a"]), "and 1 classes are named"),
    "a missing label": ((drawn(), ["a"] * 11 + [None]), "has a label None"),
    "fractions": ((drawn(), [0.5] * COUNT), "has a label 0.5"),
    "twos": ((drawn(), [[0, 2]] * COUNT), "in rows; expected 0 and 1"),
    "no file": (["/nowhere/a.png"], "/nowhere/a.png: no such file"),
    "a folder": ([os.sep], "a folder; give it by itself"),
    "a column": ((drawn(), "image"), "a column is named, 'image', and array has none"),
    "splits": (
        datasets.DatasetDict({"train": hugging(drawn())}),
        "has the splits train; give one, as in data['train']",
    ),
    "streamed": (hugging(drawn()).to_iterable_dataset(), "a streamed dataset has no order"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_resumed_or_understood_is_refused(kind: str) -> None:
    value, said = REFUSED[kind]
    assert said.replace("\\n", "\n" if kind != "broken" else "\\n") in refusal(value)


def test_a_file_twice_or_gone_from_a_list_is_named(tmp_path: Path) -> None:
    paths = written(tmp_path / "f", drawn(count=2))
    assert "000.png is in the list twice" in refusal([*paths, paths[0]])
    paths[1].write_bytes(b"no picture")
    assert opened(paths).left_out == [("001.png", "not an image")]
    assert "leave the labels out" in refusal((paths, [0, 1]))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 2, st.sampled_from([1, 3]))))
def test_8_bits_come_back_from_floats(picture: images.Array) -> None:
    """Whatever the values, by either scale, in each type."""
    for kind in (np.float32, np.float64):
        assert (pixels.to_8bit((picture / 255).astype(kind), 0.0) == picture).all()
        assert (pixels.to_8bit((picture / 127.5 - 1).astype(kind), -1.0) == picture).all()
    half = (torch.tensor(picture) / 127.5 - 1).numpy()
    assert (pixels.to_8bit(half, -1.0) == images.to_uint8(torch.tensor(half).movedim(2, 0)[None])[0]).all()


def test_the_ends_of_floats_decide_their_scale() -> None:
    for low, high, black in ((0, 1, 0), (0, 0.3, 0), (-0.001, 1.001, 0), (-1, 1, -1), (-0.9, 0.2, -1), (-1.003, 1, -1)):
        assert pixels.black_of(pixels.Ends(low, high), "it") == black
    for low, high in ((-0.2, 1), (-1, 1.5), (0, 2), (-3, 0), (0, 255), (float("nan"), 1)):
        with pytest.raises(UsageError):
            pixels.black_of(pixels.Ends(low, high), "it")


def test_a_text_stands_for_the_pack_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same for the same content, another for any change; a size that was never built is asked for in Python."""
    array = drawn()
    spec = DataSpec.parse(array)
    pack = spec.open(SIZE)
    again = DataSpec.stored(str(spec.absolute()))
    assert isinstance(again.images, MemorySet) and again.images.is_recorded and str(again) == str(spec)
    assert again.open(SIZE).path == pack.path and again.title == "array"
    with pytest.raises(UsageError, match=r"resize mode; give the same data again in Python, as in zeuxis\.resume"):
        again.open(8)
    other = array.copy()
    other[3, 4, 5, 1] ^= 1
    assert str(DataSpec.parse(other)) != str(spec) != str(DataSpec.parse(array[::-1]))
    assert str(DataSpec.parse((array, [0] * COUNT))) != str(DataSpec.parse((array, [0] * COUNT, ["a"])))
    assert str(DataSpec.parse(array.copy())) == str(spec)


def test_an_array_that_changes_while_it_is_read_is_refused() -> None:
    array = drawn(7)
    spec = DataSpec.parse(array)
    told = str(spec)
    array[5] = 0
    with pytest.raises(DataError, match="item 5 of array differs from one reading to the next"):
        spec.open(SIZE)
    array[5] = drawn(7)[5]
    assert spec.open(SIZE).name == "array" and str(spec) == told


def test_two_ends_are_pairs(tmp_path: Path) -> None:
    """Of two arrays by their places, or made of one; and again from what a run records."""
    one, two = drawn(1), drawn(2)
    for value in ((one, two), (list(one), Drawn(floats, two)), ("grey", two), np.concatenate([one, two], 2)):
        spec = DataSpec.parse(value)
        form = (SIZE, 1 if isinstance(value, tuple) and isinstance(value[0], str) else 3)
        pairs = spec.open_pairs(form, (SIZE, 3))
        assert len(pairs) == COUNT and pairs.paired and (pairs.image.images == two).all()
        assert form[1] == 1 or (pairs.source.images == one).all()
        assert DataSpec.stored(str(spec.absolute())).open_pairs(form, (SIZE, 3)).fingerprint == pairs.fingerprint


def test_what_is_in_memory_is_inspected(tmp_path: Path) -> None:
    array = drawn()
    array[4] = array[2]
    report = api.inspect_data((array, [n % 2 for n in range(COUNT)]), size=SIZE)
    assert report.count == COUNT and report.classes == [("0", 6), ("1", 6)] and report.same_files == [["2", "4"]]
    assert json.loads(report.to_json())["name"] == "array"


def test_progress_is_told_while_a_dataset_is_read() -> None:
    told: list[tuple[int, int]] = []
    DataSpec.parse(Drawn(floats, drawn(9))).open(SIZE, progress=lambda done, total: told.append((done, total)))
    assert told == [(COUNT, COUNT)] * 2, "once to know the content, once to keep it"


def trained(data: Any, out: Path, *, steps: int, name: str = "run") -> Path:
    chosen = TrainSettings(out=str(out), name=name, steps=steps, batch_size=4, device="cpu")
    return runs.start(chosen, families.find("vae"), {"size": SIZE, "base_channels": 8}, data=DataSpec.parse(data))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_model(run).state_dict()


def test_a_run_resumes_exactly_in_another_process(tmp_path: Path) -> None:
    """From the pack alone; where that is gone the same images are asked for, and others are refused."""
    array = drawn(3, count=10)
    whole = trained(array, tmp_path, steps=6)
    part = trained(array, tmp_path, steps=3)
    recorded = files.read_yaml(part / "config.yaml")
    assert recorded["data"] == str(DataSpec.parse(array)) and data_of(part) is not None
    words = [sys.executable, "-m", "zeuxis", "resume", str(part), "--steps", "6"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(torch.equal(value, weights(part)[name]) for name, value in weights(whole).items())
    shutil.rmtree(opened(array).path)
    with pytest.raises(UsageError, match="give the same data again"):
        api.resume(part, steps=8)
    with pytest.raises(DataError, match="the data is pack@array-.* and that of the run pack@array-"):
        api.resume(part, steps=8, data=array[::-1])
    longer = trained(array, tmp_path, steps=8)
    shutil.rmtree(opened(array).path)
    api.resume(part, steps=8, data=torch.tensor(array))
    assert all(torch.equal(value, weights(part)[name]) for name, value in weights(longer).items())


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the Python of docs/data.md, one block after the other, in a folder with the files that it names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hub"))
    written(tmp_path / "photos", drawn())
    kind = datasets.ClassLabel(names=["robin", "wren"])
    hugging(drawn(), label=(kind, [n % 2 for n in range(COUNT)])).to_parquet(str(tmp_path / "birds.parquet"))
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/data.md", "exec"), names)
    assert names["report"].classes == [("robin", 20), ("wren", 20), ("finch", 20)]
    assert (names["run"].path / "checkpoints" / "step-00000006").is_dir()
