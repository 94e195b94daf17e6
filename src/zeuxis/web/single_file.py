"""The page as one file that opens without a server and without a network: the front end, the model and its runtime inside."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeuxis.io import files
from zeuxis.web import ort_web
from zeuxis.web.networks import Graphs
from zeuxis.web.page_files import modules_of, page_contents

# Whoever opens the page sends nothing anywhere: there is no address that a request could go to.
FILE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' data: blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; media-src blob:; font-src data:; connect-src 'none'; "
    "base-uri 'none'; form-action 'none'"
)
FOLDER_POLICY = (
    "default-src 'none'; script-src 'self' 'sha256-{imports}' 'wasm-unsafe-eval' blob:; worker-src blob:; style-src 'self'; "
    "img-src 'self' data: blob:; media-src blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
_STYLESHEET = re.compile(r'<link rel="stylesheet" href="([^"]+)">\n?')
_IMPORTS = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)
_START = re.compile(r'<script type="module" src="([^"]+)"></script>')
_ADDRESS = re.compile(r"url\(([\w./-]+)\)")
_BEGINNING = "start_file.js"
_TYPES = {".js": "text/javascript", ".ttf": "font/ttf", ".css": "text/css"}


@dataclass(frozen=True)
class Held:
    """What the page carries beside its own code: the model's networks and facts, the runtime, and a table of latents."""

    info: Mapping[str, Any]
    networks: Graphs
    runtime: ort_web.OrtWeb
    extra: Mapping[str, bytes]  # numbers by name: latents of seeds, steps of directions

    def blobs(self) -> dict[str, bytes]:
        """Everything binary, by the name under which the page asks for it."""
        graphs = {f"graph-{name}": content for name, content in self.networks.graphs.items()}
        worker = page_contents()["worker_file.js"]
        script = self.runtime.script.encode()
        return {"worker": worker, "runtime": script, "wasm": self.runtime.wasm, **graphs, **self.extra}


def is_file(out: Path) -> bool:
    """Whether a page goes into one file, by its name; else into a folder."""
    return out.suffix in (".html", ".htm")


def write_page(held: Held, out: Path) -> int:
    """Write the page as one .html file, or as a folder for a web host; its size in bytes."""
    if is_file(out):
        content = single_file(held).encode()
        files.make_folder(out.parent)
        files.write_file(out, content)
        return len(content)
    return _write_folder(held, out)


def single_file(held: Held) -> str:
    """The text of the file."""
    packed = "\n".join(
        f'<script type="application/octet-stream" id="held-{name}">{_base64(gzip.compress(content, 9, mtime=0))}</script>'
        for name, content in held.blobs().items()
    )
    return _assembled(held, packed)


def _assembled(held: Held, packed: str) -> str:
    """index.html with its stylesheets, modules and facts inside, and the start of the file's own engine."""
    page = needed_files()
    text = page["index.html"].decode()
    styles = "\n".join(_with_fonts(page, name) for name in _STYLESHEET.findall(text))
    text = _STYLESHEET.sub("", text)
    modules = {name: content for name, content in page.items() if name.endswith(".js")}
    imports = {f"zeuxis/{name}": _data_address(content, ".js") for name, content in modules.items()}
    head = f"<head>\n<!-- {ort_web.NOTICE} -->\n{_policy(FILE_POLICY)}"
    text = text.replace("<head>", head, 1).replace("</head>", f"<style>{styles}</style>\n</head>", 1)
    text = _IMPORTS.sub(
        lambda _: f'<script type="importmap">{_in_script(json.dumps({"imports": imports}))}</script>', text
    )
    text = _START.sub("", text)
    facts = _in_script(json.dumps(held.info))
    held_facts = f'<script type="application/json" id="held-info">{facts}</script>'
    body = f'{held_facts}\n{packed}\n<script type="module">import "zeuxis/{_BEGINNING}";</script>\n'
    return text.replace("</body>", f"{body}</body>", 1)


def _write_folder(held: Held, out: Path) -> int:
    """The page as a folder: its own files as they are, and what it holds beside them; loads faster from a web host."""
    page = needed_files()
    text = page["index.html"].decode()
    imports = _only(_IMPORTS, text)
    digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()
    policy = FOLDER_POLICY.format(imports=digest)
    text = text.replace("<head>", f"<head>\n<!-- {ort_web.NOTICE} -->\n{_policy(policy)}", 1)
    text = _START.sub(f'<script type="module" src="{_BEGINNING}"></script>', text)
    contents = {**page, "index.html": text.encode()}
    contents |= {f"held/{name}.gz": gzip.compress(content, 9, mtime=0) for name, content in held.blobs().items()}
    contents["held/info.json"] = json.dumps(held.info).encode()
    for name, content in contents.items():
        files.make_folder((out / name).parent)
        files.write_file(out / name, content)
    return sum(map(len, contents.values()))


def needed_files() -> dict[str, bytes]:
    """The files of a page without a server: the modules that its beginning needs, their stylesheets, and what those name."""
    page = page_contents()
    modules = modules_of(page, _BEGINNING)
    text = page["index.html"].decode()
    styles = [name for name in _STYLESHEET.findall(text) if _serves(name, modules)]
    page["index.html"] = _STYLESHEET.sub(lambda match: match[0] if match[1] in styles else "", text).encode()
    named = {
        posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        for name in styles
        for path in _ADDRESS.findall(page[name].decode())
    }
    return {name: page[name] for name in sorted({"index.html", *modules, *styles, *named} & page.keys())}


def _serves(stylesheet: str, modules: Collection[str]) -> bool:
    """Whether one of the modules needs a stylesheet: a view that of its name, all of them the page's own."""
    folder = posixpath.dirname(stylesheet)
    return not folder or any(
        module.startswith(f"{folder}/") and (folder != "views" or module == stylesheet.replace(".css", ".js"))
        for module in modules
    )


def _with_fonts(page: Mapping[str, bytes], name: str) -> str:
    """A stylesheet with the files that it names inside."""
    folder = posixpath.dirname(name)

    def inside(match: re.Match[str]) -> str:
        path = match[1]
        return f"url({_data_address(page.get(posixpath.join(folder, path), b''), Path(path).suffix)})"

    return _ADDRESS.sub(inside, page[name].decode())


def _policy(text: str) -> str:
    return f'<meta http-equiv="Content-Security-Policy" content="{text}">'


def _data_address(content: bytes, suffix: str) -> str:
    return f"data:{_TYPES[suffix]};base64,{_base64(content)}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _in_script(text: str) -> str:
    """JSON that can stand inside a script element, whatever names it holds."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _only(pattern: re.Pattern[str], text: str) -> str:
    (found,) = pattern.findall(text)
    return str(found)
