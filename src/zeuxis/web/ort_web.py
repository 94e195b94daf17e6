"""onnxruntime-web (MIT; Microsoft), which runs ONNX in a browser: fetched once, checked by SHA-256, kept in the cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from zeuxis.data import downloads
from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.io.paths import expanded

VERSION = "1.30.0"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"  # the build for processors alone
SUMS = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_ORIGINS = [
    downloads.web(f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/", list(SUMS)),
    downloads.npm(f"onnxruntime-web@{VERSION}", [f"dist/{name}" for name in SUMS]),
]
_HINT = (
    f"connect to the web, install npm, or give --runtime FOLDER with {SCRIPT} and {WASM} of onnxruntime-web {VERSION}"
)
NOTICE = f"Contains onnxruntime-web {VERSION}, Copyright (c) Microsoft Corporation, MIT License."


@dataclass(frozen=True)
class OrtWeb:
    """The runtime: a classic script that defines `self.ort`, and its WebAssembly."""

    script: str
    wasm: bytes


def runtime(folder: str | Path | None = None) -> OrtWeb:
    """The pinned runtime, from a folder, from .tgz of the npm package, or fetched once.

    `UsageError` where the folder's files are not those of the pinned version.
    """
    if folder is None:
        found: Mapping[str, bytes] = downloads.fetched(f"onnxruntime-web-{VERSION}", SUMS, _ORIGINS, hint=_HINT)
    else:
        found = _given(Path(expanded(str(folder))))
    return OrtWeb(as_object(found[SCRIPT].decode()), found[WASM])


def _given(place: Path) -> dict[str, bytes]:
    """The files of a folder, or of the npm package as a .tgz."""
    if place.is_dir():
        found = {}
        for name in SUMS:
            if not (place / name).is_file():
                raise UsageError(f"--runtime {place} has no {name}; {_HINT}")
            found[name] = files.read_bytes(place / name, max_bytes=downloads.MOST_DOWNLOADED)
    elif place.is_file():
        data = files.read_bytes(place, max_bytes=downloads.MOST_DOWNLOADED)
        try:
            contents = downloads.in_tar(data, [f"package/dist/{name}" for name in SUMS])
        except downloads.Refused as error:
            raise UsageError(f"--runtime {place}: {error}; {_HINT}") from None
        found = dict(zip(SUMS, contents))
    else:
        raise UsageError(f"--runtime {place} does not exist; {_HINT}")
    for name, wanted in SUMS.items():
        if sha256(found[name]).hexdigest() != wanted:
            raise UsageError(f"--runtime {place}: {name} is not that of onnxruntime-web {VERSION} (SHA-256); {_HINT}")
    return found


def as_object(source: str) -> str:
    """The runtime's module as a classic script that defines `self.ort`.

    A page opened from disk can start no module worker (Chromium), so the exports become the properties of an object.
    """
    whole = re.fullmatch(r"(.*)export\{([^{}]*)\};\s*(?://[^\n]*)?\s*", source, re.DOTALL)
    if whole is None:
        raise UsageError(f"{SCRIPT} ends in no list of exports; this version of onnxruntime-web cannot be used here")
    head, names = whole.groups()
    pairs = [pair.split(" as ") for pair in names.split(",")]
    properties = ",".join(f'"{public}":{private}' for private, public in pairs)
    return f"{head.replace('import.meta.url', 'self.location.href')}self.ort={{{properties}}};"
