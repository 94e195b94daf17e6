"""Build the sdist, from it the wheel; install that without extras into an empty environment, and walk through it.

    make wheel

Nothing is downloaded: the environment gets links to what the package requires, and to nothing of the extras.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

ROOT = Path(__file__).parents[1]
TINY = ["--size", "8", "--batch-size", "4", "--threads", "1", "--kernels", "standard"]


def main() -> None:
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        wheel = build(folder)
        walk = Walk(folder, wheel)
        walk.check_extras_are_away()
        walk.commands()
        walk.page()
        for made in wheel.parent.iterdir():
            (ROOT / "dist").mkdir(exist_ok=True)
            shutil.copy(made, ROOT / "dist" / made.name)
    tell(f"walked through {wheel.name} in {time.monotonic() - begin:.0f} s; it is in dist/")


def tell(line: str) -> None:
    print(line, flush=True)


def build(folder: Path) -> Path:
    """The wheel, made from the sdist: so the sdist has all that it takes."""
    hatchling = [sys.executable, "-m", "hatchling", "build", "-d", str(folder / "dist")]
    subprocess.run([*hatchling, "-t", "sdist"], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    shutil.unpack_archive(
        sdist, folder / "source"
    )  # without a filter, which Python 3.11.2 does not know: it is our own
    (source,) = (folder / "source").iterdir()
    subprocess.run([*hatchling, "-t", "wheel"], cwd=source, check=True, stderr=subprocess.DEVNULL)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def required(requirements: list[str], found: dict[str, importlib.metadata.Distribution]) -> None:
    """Add the distributions that the requirements need on this machine, and theirs."""
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        extras = ["", *requirement.extras]
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        if name not in found:
            found[name] = importlib.metadata.distribution(name)
            required(found[name].requires or [], found)


class Walk:
    """The environment, and what is done in it."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.here = folder / "here"
        self.here.mkdir()
        venv.create(folder / "env", with_pip=False)
        self.bin = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        # Nothing of whoever runs this: neither their packages nor their cache.
        self.env = {
            "PATH": os.pathsep.join([str(self.bin), os.defpath]),
            "HOME": str(folder),
            "ZEUXIS_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "--python",
            str(self.bin / "python"),
        ]
        subprocess.run([*pip, "install", "--no-index", "--no-deps", str(wheel)], check=True)
        self.about = next((folder / "env").rglob("zeuxis-*.dist-info"))
        self.needs: dict[str, importlib.metadata.Distribution] = {}
        self.requires = importlib.metadata.Distribution.at(self.about).requires or []
        required([line for line in self.requires if "extra ==" not in line], self.needs)
        for distribution in self.needs.values():
            self._link(distribution)
        subprocess.run([*pip, "check"], check=True)

    def _link(self, distribution: importlib.metadata.Distribution) -> None:
        """Show the environment what an installed distribution has at its top."""
        for name in {path.parts[0] for path in distribution.files or []} - {"..", "__pycache__"}:
            target = self.about.parent / name
            if not target.exists():
                target.symlink_to(Path(str(distribution.locate_file(name))).resolve())

    def check_extras_are_away(self) -> None:
        """Raise where a package of an extra can be imported: then the walk would prove less."""
        names = {canonicalize_name(Requirement(line).name) for line in self.requires} - self.needs.keys()
        code = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
        there = set(map(canonicalize_name, self.run("python", "-c", code).split()))
        assert not names & there, f"extras are installed: {names & there}"
        assert {"wandb", "onnx", "av"} <= names and {"torch", "zeuxis"} <= there

    def run(self, *words: str, code: int = 0) -> str:
        """Run a program of the environment; what it said, on both streams."""
        begin = time.monotonic()
        program = [str(self.bin / words[0]), *words[1:]]
        done = subprocess.run(program, cwd=self.here, env=self.env, text=True, capture_output=True)
        if done.returncode != code:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        tell(f"  {time.monotonic() - begin:4.1f} s  {' '.join(words)[:100]}")
        return done.stdout + done.stderr

    def commands(self) -> None:
        """What the README begins with, on pictures of noise."""
        (self.here / "pictures").mkdir()
        for i in range(12):
            Image.effect_noise((16, 16), 10.0 + i).convert("RGB").save(self.here / "pictures" / f"{i}.png")
        assert "Train, explore and judge" in self.run("zeuxis", "--help")
        assert "complete -o default" in self.run("zeuxis", "completion", "bash")
        assert "12 images" in self.run("zeuxis", "data", "pictures", "--size", "8")
        self.run("zeuxis", "train", "vae", "pictures", "--steps", "4", *TINY)
        assert "step 6" in self.run("zeuxis", "resume", "1", "--steps", "6")
        self.run("zeuxis", "sample", "1", "-n", "16", "--out", "samples.png")
        self.run("zeuxis", "interpolate", "1", "--rows", "2", "--out", "rows.png")
        missing = self.run("zeuxis", "train", "vae", "pictures", *TINY, "--logger", "wandb", code=2)
        assert "pip install 'zeuxis[wandb]'" in missing, missing
        for name in ("samples.png", "rows.png"):
            with Image.open(self.here / name) as picture:
                assert min(picture.size) > 16

    def page(self) -> None:
        """Each file of the page, as the server sends it, is the one in the sources."""
        words = [str(self.bin / "zeuxis"), "explore", "1", "--no-browser", "--device", "cpu"]
        server = subprocess.Popen(
            words, cwd=self.here, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert server.stdout
            link = server.stdout.readline().split()[-1]
            page = ROOT / "src" / "zeuxis" / "web" / "page"
            files = [path for path in page.rglob("*") if path.suffix in (".js", ".css")]
            for path in files:
                address = f"{link.partition('?')[0]}{path.relative_to(page).as_posix()}"
                with urllib.request.urlopen(address) as answer:
                    assert answer.read() == path.read_bytes(), f"{path} is not what {address} sends"
            with urllib.request.urlopen(link) as answer:
                assert b"<title>" in answer.read()
            tell(f"  {link} sends {len(files)} files of the page")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)


if __name__ == "__main__":
    main()
