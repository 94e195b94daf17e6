"""Tables of labels beside images: every form that is read, and every cell that is not, named with its line."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from test_data import COLOURS, classes, names, opened, png, reasons, write, zipped
from zeuxis.data import Attribute, Pack
from zeuxis.data.columns import classify, truth
from zeuxis.data.item_names import ItemNames
from zeuxis.data.table_files import may_be_table
from zeuxis.errors import DataError


def beside(
    folder: Path, table: str, text: str | bytes, files: tuple[str, ...] = ("a", "b", "c", "d", "e", "f")
) -> Pack:
    """The pack of images of these names, less their ending, and a table."""
    images = {name if "." in name else f"{name}.png": png(COLOURS[i]) for i, name in enumerate(files)}
    return opened(write(folder, images | {table: text if isinstance(text, bytes) else text.encode()}))


def said(pack: Pack) -> dict[str, list[int]]:
    """Attributes by the stem of each image."""
    assert pack.labels is not None
    return {name.partition(".")[0]: row.tolist() for name, row in zip(names(pack), pack.labels)}


def attributes(pack: Pack) -> list[str]:
    return [attribute.name for attribute in pack.attributes]


def notes(pack: Pack) -> str:
    return "\n".join(f"{name}: {note}" for name, note in pack.notes)


# Attributes.

YES_NO = {
    "digits": ("1", "0"),
    "floats, as pandas writes them beside an empty cell": ("1.0", "0.0"),
    "CelebA": ("1", "-1"),
    "CelebA by pandas": ("1.0", "-1.0"),
    "signs": ("+1", "-1"),
    "words": ("yes", "No"),
    "truth": ("TRUE", "False"),
    "letters": ("y", "n"),
    "letters of R": ("T", "F"),
    "quoted, with spaces": ('" 1 "', '"0"'),
}
TEXTS = {
    "plain": lambda rows: "\n".join(",".join(row) for row in rows),
    "semicolons, byte order mark, CRLF": lambda rows: "\ufeff" + "\r\n".join(";".join(row) for row in rows) + "\r\n",
    "tabs": lambda rows: "\n".join("\t".join(row) for row in rows) + "\n\n",
    "trailing commas": lambda rows: "\n".join(",".join(row) + ",," for row in rows),
    "old Mac": lambda rows: "\r".join(",".join(row) for row in rows),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("words", YES_NO)
def test_yes_and_no_are_read_in_any_form(words: str, text: str, tmp_path: Path) -> None:
    yes, no = YES_NO[words]
    rows = [["file", "Smiling", "Wearing_Hat"], ["a.png", yes, no], ["b.png", no, no], ["c.png", yes, yes]]
    pack = beside(tmp_path, "attributes.csv", TEXTS[text](rows), ("a", "b", "c"))
    assert pack.attributes == [Attribute("smiling", "neutral"), Attribute("wearing hat", "")]
    assert said(pack) == {"a": [1, 0], "b": [0, 0], "c": [1, 1]}
    assert (pack.left_out, pack.notes) == ([], [])


def test_a_table_in_utf_16_is_read(tmp_path: Path) -> None:
    pack = beside(tmp_path, "a.csv", "file\tsmiling\na.png\t1\nb.png\t0\n".encode("utf-16"), ("a", "b"))
    assert said(pack) == {"a": [1], "b": [0]}


@pytest.mark.parametrize("cell", ["", " ", "NaN", "N/A", "null", "None", "?"])
def test_a_missing_value_is_not_no(cell: str, tmp_path: Path) -> None:
    """The image is left out and named with its line; the attribute stays."""
    rows = "".join(f"{name}.png,{i % 2},1\n" for i, name in enumerate("abde"))
    pack = beside(tmp_path, "t.csv", f"file,smiling,hat\n{rows}c.png,{cell},1\nf.png,0,0\n")
    assert attributes(pack) == ["smiling", "hat"]
    assert said(pack) == {"a": [0, 1], "b": [1, 1], "d": [0, 1], "e": [1, 1], "f": [0, 0]}
    assert reasons(pack) == {"c.png": "has no value for smiling in t.csv (line 6)"}


def test_null_and_a_missing_key_are_not_no(tmp_path: Path) -> None:
    values = {"a": True, "b": False, "c": None, "d": 1, "e": 0.0, "f": 1.0}
    rows: dict[str, Any] = {f"{name}.png": {"smiling": value, "hat": True} for name, value in values.items()}
    pack = beside(tmp_path / "null", "t.json", json.dumps(rows))
    assert said(pack) == {"a": [1, 1], "b": [0, 1], "d": [1, 1], "e": [0, 1], "f": [1, 1]}
    assert reasons(pack) == {"c.png": "has no value for smiling in t.json (entry 3)"}
    del rows["c.png"]["smiling"]
    assert reasons(beside(tmp_path / "key", "t.json", json.dumps(rows))) == reasons(pack)
    rows["c.png"] = None
    assert list(reasons(beside(tmp_path / "row", "t.json", json.dumps(rows)))) == ["c.png"]


def test_a_column_with_many_missing_values_is_left_out_and_named(tmp_path: Path) -> None:
    rows = "".join(f"{name}.png,{'' if name in 'cde' else 1},{i % 2}\n" for i, name in enumerate("abcdef"))
    pack = beside(tmp_path, "t.csv", f"file,smiling,hat\n{rows}")
    assert attributes(pack) == ["hat"] and len(pack) == 6
    assert "t.csv: 'smiling' is left out: 3 of 6 rows have no value, the first line 4" in notes(pack)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (("1", "0", "maybe"), "'x' is no attribute: 'maybe' (line 4) is neither yes nor no"),
        (("1", "0", "2"), "'2' (line 4)"),
        (("0.5", "0", "1"), "'0.5' (line 2)"),
        (("1", "-1", "0"), "'x' is left out: it has 0 (line 4) and -1 (line 3), and one of them may mean unknown"),
        (("red", "blue", "green"), "'red' (line 2)"),
    ],
)
def test_a_column_that_is_no_attribute_is_named_with_its_line(
    column: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    rows = "".join(f"{name}.png,{cell},{i % 2}\n" for i, (name, cell) in enumerate(zip("abc", column)))
    pack = beside(tmp_path, "t.csv", f"file,x,hat\n{rows}", ("a", "b", "c"))
    assert attributes(pack) == ["hat"] and len(pack) == 3 and told in notes(pack)
    alone = beside(
        tmp_path / "alone", "t.csv", f"file,x,y\n{rows.replace(',0', ',u').replace(',1', ',v')}", ("a", "b", "c")
    )
    assert "line" in reasons(alone)["t.csv"], "where no column is an attribute, the first that is none is named"


def test_a_table_without_a_header_loses_no_image(tmp_path: Path) -> None:
    pack = beside(tmp_path / "attributes", "t.csv", "a.png,1,0\nb.png,0,0\nc.png,1,1\n", ("a", "b", "c"))
    assert attributes(pack) == ["column 2", "column 3"] and said(pack) == {"a": [1, 0], "b": [0, 0], "c": [1, 1]}
    pack = beside(tmp_path / "classes", "t.csv", "a.png,0\nb.png,1\nc.png,0\n", ("a", "b", "c"))
    assert classes(pack) == ["0", "1", "0"]
    pack = beside(tmp_path / "stems", "t.tsv", "a\tdog\nb\tcat\nc\tdog\n", ("a", "b", "c"))
    assert classes(pack) == ["dog", "cat", "dog"]
    part = beside(tmp_path / "part", "t.csv", "0.png,0,1\na.png,1,0\nb.png,0,1\n", ("a", "b"))
    assert attributes(part) == ["column 2", "column 3"], "the first row is of an image that is not here"
    assert "1 of its rows name no image here, the first '0.png' (line 1)" in notes(part)


def test_a_header_may_have_the_name_of_an_image(tmp_path: Path) -> None:
    pack = beside(tmp_path, "t.csv", "image,label\na.png,x\nimage.png,y\n", ("a", "image"))
    assert dict(zip(names(pack), classes(pack))) == {"a.png": "x", "image.png": "y"}


def test_columns_of_one_name_or_none_are_told_apart(tmp_path: Path) -> None:
    pack = beside(tmp_path, "t.csv", "file,hat,hat,\na.png,1,0,1\nb.png,0,1,1\n", ("a", "b"))
    assert attributes(pack) == ["hat", "hat column 3", "column 4"] and said(pack)["a"] == [1, 0, 1]


# Classes.


def test_a_stray_comma_costs_nothing_where_it_is_in_another_cell(tmp_path: Path) -> None:
    rows = "a,x,shirt,1\nb,y,shirt, blue,2\nc,x,hat,3\nd,y,hat,4,\n"
    pack = beside(tmp_path / "one", "styles.csv", f"id,label,title,size\n{rows}", ("a", "b", "c", "d"))
    assert classes(pack) == ["x", "y", "x", "y"] and pack.left_out == []
    pack = beside(tmp_path / "two", "t.csv", "file,smiling,title\na,1,x\nb,0,y, z, w\nc,1,\n", ("a", "b", "c"))
    assert said(pack) == {"a": [1], "b": [0], "c": [1]}


@pytest.mark.parametrize(
    "text",
    ["file,label\na.png,x\nb.png,y, z\nc.png,x\n", "file,title,hat,smile\na.png,t,1,0\nb.png,1,0,1,0\nc.png,t,0,1\n"],
)
def test_a_row_that_could_say_two_things_is_left_out_with_its_line(text: str, tmp_path: Path) -> None:
    pack = beside(tmp_path, "t.csv", text, ("a", "b", "c"))
    assert names(pack) == ["a.png", "c.png"] and "(line 3)" in reasons(pack)["b.png"]
    assert "cells, and the header has" in reasons(pack)["b.png"]


def test_an_image_without_a_class_or_with_two_is_left_out_with_its_line(tmp_path: Path) -> None:
    text = "file,label\na.png,x\nb.png,\nc.png,y\na.png,x\nc.png,x\nd.png,none\n"
    pack = beside(tmp_path, "labels.csv", text, ("a", "b", "c", "d", "e"))
    assert dict(zip(names(pack), classes(pack))) == {"a.png": "x", "d.png": "none"}
    assert reasons(pack) == {
        "b.png": "has no label in labels.csv (line 3)",
        "c.png": "has two rows in labels.csv that differ (one is line 6)",
        "e.png": "has no row in labels.csv",
    }
    rows = [["a.png", 3], ["b.png", None], ["c.png", 4]]
    pack = beside(tmp_path / "json", "dataset.json", json.dumps({"labels": rows}), ("a", "b", "c"))
    assert classes(pack) == ["3", "4"], "null is no class"
    assert reasons(pack) == {"b.png": "has no label in dataset.json (entry 2)"}


def test_attributes_beside_classes_are_named(tmp_path: Path) -> None:
    pack = beside(tmp_path, "t.csv", "file,label,smiling,note\na,x,1,i\nb,y,0,j\n", ("a", "b"))
    assert classes(pack) == ["x", "y"] and notes(pack) == "t.csv: smiling not used: label gives the classes"


# Public forms.


def test_celeba(tmp_path: Path) -> None:
    """With its own list, whose images may have been made PNGs; the other lists beside it are no harm."""
    files = {f"img_align_celeba/{i:06d}.png": png(COLOURS[i]) for i in range(1, 5)}
    rows = "".join(f"{i:06d}.jpg  {1 if i % 2 else -1} -1  {-1 if i == 4 else 1}\n" for i in range(1, 9))
    lists = {
        "list_attr_celeba.txt": f"8\r\nSmiling Bald No_Beard \r\n{rows}".encode(),
        "list_eval_partition.txt": b"000001.jpg 0\n000002.jpg 1\n",
        "identity_CelebA.txt": b"000001.jpg 2880\n000002.jpg 2937\n",
    }
    for source in (write(tmp_path / "celeba", files | lists), zipped(tmp_path / "a.zip", files | lists)):
        pack = opened(source)
        assert pack.attributes == [
            Attribute("smiling", "neutral"),
            Attribute("bald", ""),
            Attribute("no beard", "beard"),
        ]
        assert list(said(pack).values()) == [[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 0]]
        assert reasons(pack).keys() == {"list_eval_partition.txt", "identity_CelebA.txt"}
        assert "4 of its rows name no image here, the first '000005.jpg' (line 7)" in notes(pack)


def test_metadata_of_the_hub(tmp_path: Path) -> None:
    lines = [{"file_name": f"sub/{name}.png", "label": i % 2, "text": "a bird"} for i, name in enumerate("abc")]
    files = {f"sub/{name}.png": png(COLOURS[i]) for i, name in enumerate("abcd")}
    text = "\n".join(map(json.dumps, lines)) + "\n\n{broken\n"
    pack = opened(write(tmp_path, files | {"metadata.jsonl": text.encode()}))
    assert classes(pack) == ["0", "1", "0"] and reasons(pack) == {"sub/d.png": "has no row in metadata.jsonl"}
    assert "line 5" in notes(pack)
    flags = "\n".join(json.dumps({"file_name": f"sub/{n}.png", "hat": n < "c", "box": [1, 2]}) for n in "abcd")
    pack = opened(write(tmp_path, {"metadata.jsonl": flags.encode()}))
    assert said(pack) == {"sub/a": [1], "sub/b": [1], "sub/c": [0], "sub/d": [0]}
    assert "'box' is no attribute" in notes(pack)


def test_a_table_in_each_folder_is_one_table(tmp_path: Path) -> None:
    """As the hub has them in each split: names are those within the folder."""
    files = {
        f"{split}/{i}.png": png(COLOURS[2 * i + (split == "test")]) for split in ("train", "test") for i in range(3)
    }
    tables = {
        "train/metadata.jsonl": "\n".join(json.dumps({"file_name": f"{i}.png", "label": "xyz"[i]}) for i in range(3)),
        "test/metadata.jsonl": "\n".join(json.dumps({"label": "zyx"[i], "file_name": f"{i}.png"}) for i in range(2)),
    }
    pack = opened(write(tmp_path, files | {name: text.encode() for name, text in tables.items()}))
    assert dict(zip(names(pack), classes(pack))) == {
        "train/0.png": "x",
        "train/1.png": "y",
        "train/2.png": "z",
        "test/0.png": "z",
        "test/1.png": "y",
    }
    assert reasons(pack) == {"test/2.png": "has no row in metadata.jsonl"}
    (tmp_path / "test" / "metadata.jsonl").unlink()
    assert reasons(opened(tmp_path)) == {"train/metadata.jsonl": "a table that is not above all images"}


def test_stylegan_with_vectors_and_without_labels(tmp_path: Path) -> None:
    vectors = {"labels": [["a.png", [1, 0]], ["b.png", [0, 0]]]}
    assert said(beside(tmp_path, "dataset.json", json.dumps(vectors), ("a", "b"))) == {"a": [1, 0], "b": [0, 0]}
    pack = beside(tmp_path / "none", "dataset.json", json.dumps({"labels": None}), ("a", "b"))
    assert pack.labels is None and "dataset.json" in reasons(pack)


def test_texts_beside_images_are_no_tables(tmp_path: Path) -> None:
    """Captions may be called anything; only lists of labels are opened as tables."""
    stems = frozenset({"label_1", "sub/x"})
    assert may_be_table("list_attr_celeba.txt", stems) and may_be_table("d/Annotations.TXT", stems)
    assert not any(may_be_table(name, stems) for name in ("label_1.txt", "notes.txt", "labels/1.txt", "a.PNG"))
    pack = beside(tmp_path, "a.txt", "a caption, with a comma\n", ("a", "b"))
    assert reasons(pack) == {"a.txt": "not an image"}


# Names.


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_a_name_is_one_in_every_unicode_form(ending: str, forms: tuple[Any, Any], tmp_path: Path) -> None:
    files = [unicodedata.normalize(forms[0], name) for name in ("Vögel/é.png", "Vögel/ñ.png", "Zoë.png")]
    rows = [(unicodedata.normalize(forms[1], name), "äö"[i % 2]) for i, name in enumerate(files)]
    texts = {
        "csv": "file,label\n" + "".join(f"{name},{label}\n" for name, label in rows),
        "json": json.dumps(dict(rows)),
        "jsonl": "\n".join(json.dumps({"file_name": name, "label": label}) for name, label in rows),
    }
    pack = opened(write(tmp_path, {n: png() for n in files} | {f"labels.{ending}": texts[ending].encode()}))
    assert sorted(classes(pack)) == ["ä", "ä", "ö"] and pack.left_out == []


def test_a_class_of_a_table_is_one_in_every_unicode_form(tmp_path: Path) -> None:
    labels = [unicodedata.normalize(form, "Vögel") for form in ("NFC", "NFD")] + ["Zoë"]
    assert labels[0] != labels[1]
    rows = "".join(f"{name}.png,{label}\n" for name, label in zip("abc", labels))
    pack = beside(tmp_path, "labels.csv", f"file,label\n{rows}", ("a", "b", "c"))
    assert pack.classes == ["Vögel", "Zoë"] and classes(pack) == ["Vögel", "Vögel", "Zoë"]


def test_cells_find_their_image_by_case_ending_and_slash() -> None:
    found = ItemNames(["a/1.PNG", "a/2.jfif", "B.WEBP", "c.png", "c.jpg", "d.1.png"], ["a"])
    assert [found.find(cell) for cell in ("1.PNG", "a\\1.PNG", "./a/1.png", "1", "b", "d.1")] == [
        *["a/1.PNG"] * 4,
        "B.WEBP",
        "d.1.png",
    ]
    assert found.find("a/2.jpg") is None and found.find("a/2.jpg", any_ending=True) == "a/2.jfif"
    assert found.find("c") is None and found.find("c.webp", any_ending=True) is None, "two images are called so"
    assert found.find("c.png") == "c.png" and found.find("other/c.png", any_ending=True) is None
    assert found.find("") is found.find(None) is found.find("  ") is None


def test_a_row_of_another_ending_never_takes_the_place_of_an_exact_one(tmp_path: Path) -> None:
    pack = beside(tmp_path, "t.csv", "file,label\na.jpg,wrong\na.png,right\nb.jpg,other\n", ("a", "b"))
    assert classes(pack) == ["right", "other"]


def test_columns() -> None:
    assert [truth(word) for word in ("1", "0,0", " Yes", "f", "")] == [True, False, True, False, None]
    with pytest.raises(ValueError, match="perhaps"):
        truth("perhaps")
    column = classify("x", [1, None, "0"], ["l1", "l2", "l3"])
    assert (column.values, column.known, column.refused) == ([True, None, False], 2, "")
    assert classify("x", [None, ""], ["l1", "l2"]).refused.endswith("no row has a value for it")


def test_a_folder_whose_table_leaves_nothing_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no value for smiling in t.csv \(line 2\)"):
        beside(tmp_path, "t.csv", "file,smiling,hat\na.png,,1\nb.png,1,\n", ("a", "b"))
