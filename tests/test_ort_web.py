"""The browser's runtime is the pinned one, wherever it comes from."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from zeuxis.errors import UsageError
from zeuxis.web import ort_web

SCRIPT = b"var a=import.meta.url,b=2;export{a as env,b as default};\n//# sourceMappingURL=x.map"
FILES = {ort_web.SCRIPT: SCRIPT, ort_web.WASM: b"\0asm"}


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files stand for the runtime's, under their own sums."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(ort_web, "SUMS", sums)


def folder(place: Path) -> Path:
    place.mkdir()
    for name, content in FILES.items():
        (place / name).write_bytes(content)
    return place


def test_exports_become_properties_of_an_object(tmp_path: Path) -> None:
    found = ort_web.runtime(folder(tmp_path / "given"))
    assert found.script == 'var a=self.location.href,b=2;self.ort={"env":a,"default":b};' and found.wasm == b"\0asm"


def test_the_package_as_it_is_packed_will_do(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "runtime.tgz", "w:gz") as packed:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    assert ort_web.runtime(tmp_path / "runtime.tgz").wasm == b"\0asm"


def test_what_is_not_the_pinned_version_is_refused(tmp_path: Path) -> None:
    (folder(tmp_path / "other") / ort_web.WASM).write_bytes(b"\0asM")
    with pytest.raises(UsageError, match=r"is not that of onnxruntime-web .* \(SHA-256\)"):
        ort_web.runtime(tmp_path / "other")


@pytest.mark.parametrize("kind", ["nothing", "empty", "rubbish"])
def test_a_place_without_it_is_refused(kind: str, tmp_path: Path) -> None:
    place = tmp_path / kind
    if kind == "empty":
        place.mkdir()
    elif kind == "rubbish":
        place.write_bytes(b"no archive")
    with pytest.raises(UsageError, match="--runtime") as error:
        ort_web.runtime(place)
    assert ort_web.VERSION in str(error.value) and "\n" not in str(error.value)


def test_a_module_that_exports_nothing_is_said() -> None:
    with pytest.raises(UsageError, match="list of exports"):
        ort_web.as_object("var a=1;")
