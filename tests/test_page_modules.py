"""The page's modules: latents equal PyTorch's and those of `zeuxis.explore`, types hold, and no file needs a build."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from zeuxis.explore import arithmetic, atlas, directions, paths
from zeuxis.mixtures import Mixture, mix_latents
from zeuxis.web.app import page_files

HERE = Path(__file__).parent / "page"
PAGE = Path(__file__).parent.parent / "src" / "zeuxis" / "web" / "page"
LENGTHS = (1, 2, 3, 7, 15, 16, 17, 31, 32, 100, 513)
SEEDS = (0, 1, 88, 12345, 2**31, 2**32 + 7, 2**53 - 1, 2**63 - 1)
MIXTURES = {"norm": "slerp", "sum": "linear"}


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_vectors(draw) -> list[dict]:
    return [
        {"seed": str(seed), "count": count, "numbers": draw(count, torch.Generator().manual_seed(seed)).tolist()}
        for seed in SEEDS
        for count in LENGTHS
    ]


def path_vectors() -> list[dict]:
    z = drawn(5, 3, 24)
    zero = torch.zeros(24)
    pairs = [(z[0], z[1]), (z[0], 2 * z[0]), (z[0], -z[0]), (z[0], zero), (zero, z[1]), (z[1], 0.01 * z[2])]
    return [
        {
            "z1": a.tolist(),
            "z2": b.tolist(),
            "weight": weight,
            "path": path,
            "numbers": paths.mixture(path)(a[None], b[None], weight)[0].tolist(),
        }
        for a, b in pairs
        for weight in (0.0, 0.2, 0.5, 0.9, 1.0)
        for path in MIXTURES.values()
    ]


def loop_vectors() -> list[dict]:
    keys = drawn(6, 3, 20)
    return [
        {
            "keys": keys.tolist(),
            "frames": 10,
            "mixture": mixture,
            "numbers": paths.loop(keys, 10, path=path).tolist(),
        }
        for mixture, path in MIXTURES.items()
    ]


def moved_vectors() -> list[dict]:
    z, steps = drawn(7, 1, 20), drawn(8, 2, 20)
    named = [directions.Direction(str(i), step) for i, step in enumerate(steps)]
    return [
        {
            "z": z[0].tolist(),
            "steps": [[weight, step.tolist()] for weight, step in zip(weights, steps)],
            "mixture": mixture,
            "numbers": directions.moved(z, list(zip(weights, named)), 1.0, keep=mixture == "norm")[0].tolist(),
        }
        for weights in ((1.5, -0.5), (0.0, 2.0), (0.0, 0.0))
        for mixture in MIXTURES
    ]


def arithmetic_vectors() -> list[dict]:
    found = []
    for norm in (4.5, None):
        latents, spread = drawn(9, 6, 20), drawn(10, 20).abs()
        terms = [latents[:3], latents[3:5], latents[5:]]
        picks = [arithmetic.Pick(weight, "", term, []) for weight, term in zip((1.0, -1.0, 1.0), terms)]
        result = arithmetic.outcome(picks, norm=norm, spread=spread)
        found.append(
            {
                "terms": [term.tolist() for term in terms],
                "spread": spread.tolist(),
                "length": norm,
                "averages": result.averages.tolist(),
                "neighbourhood": result.neighbourhood.tolist(),
            }
        )
    return found


class NormalSpace:
    """The latent space of a normal prior, with the mixture of a Gaussian prior or another."""

    device = torch.device("cpu")

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def prior(self, seeds):
        return torch.stack([drawn(seed, 24) for seed in seeds])

    def mix(self, latents, weights):
        return mix_latents(latents, weights, self.mixture)


def atlas_vectors() -> list[dict]:
    places = [(0.0, 0.0), (-2.0, 1.0), (0.5, 0.0), (0.25, -3.75), (-1.1, 2.6), (1000.3, -7.0)]
    return [
        {"x": x, "y": y, "mixture": mixture, "numbers": atlas.atlas_latents(NormalSpace(mixture), [(x, y)])[0].tolist()}
        for x, y in places
        for mixture in MIXTURES
    ]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What PyTorch and `zeuxis.explore` give, for the browser's functions to equal."""
    many = drawn(11, 40, 20)
    found = {
        "randn": random_vectors(lambda count, generator: torch.randn(count, generator=generator)),
        "rand": random_vectors(lambda count, generator: torch.rand(count, generator=generator)),
        "paths": path_vectors(),
        "loops": loop_vectors(),
        "moved": moved_vectors(),
        "arithmetic": arithmetic_vectors(),
        "atlas": atlas_vectors(),
        "places": [
            {"seed": seed, "place": atlas.place_of(seed)} for seed in (*range(50), 2**31, 67108863**2 - 1, 2**53 - 1)
        ],
        "deviation": {"latents": many.tolist(), "numbers": many.std(0).tolist()},
    }
    path = tmp_path_factory.mktemp("page") / "vectors.json"
    path.write_text(json.dumps(found))
    return path


def test_modules_equal_the_package(vectors: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node here; the page itself needs none")
    tests = sorted(str(path) for path in HERE.glob("*.test.mjs"))
    ran = subprocess.run(
        [node, "--import", (HERE / "register.mjs").as_uri(), "--test", *tests],
        env={**os.environ, "ZEUXIS_VECTORS": str(vectors)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert re.search(r"^# pass [1-9]", ran.stdout, re.MULTILINE), ran.stdout[-4000:]


@pytest.mark.long
def test_types_hold() -> None:
    compiler = HERE / "node_modules" / "typescript" / "bin" / "tsc"
    if shutil.which("node") is None or not compiler.is_file():
        pytest.skip("TypeScript is not installed; `npm ci --prefix tests/page` installs it")
    ran = subprocess.run(["node", str(compiler), "-p", str(HERE)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-4000:]


def test_a_server_s_page_asks_for_all_its_modules_at_once() -> None:
    """After the import map, which they are named by."""
    page = page_files()
    text = page[""][0].decode()
    linked = re.findall(r'<link rel="modulepreload" href="([^"]+)">', text)
    views = {path.relative_to(PAGE).as_posix() for path in (PAGE / "views").glob("*.js")}
    assert {"start.js", "app.js", *views} <= set(linked) <= page.keys() and "start_file.js" not in linked
    assert text.index("importmap") < text.index("modulepreload") < text.index('src="start.js"')


def test_modules_are_short_and_self_contained() -> None:
    """No file has over 300 lines, none is built, and none reaches beyond the page."""
    for path in sorted(PAGE.rglob("*.js")):
        if "vendor" in path.parts:
            continue
        text = path.read_text()
        assert len(text.splitlines()) <= 300, path
        for name in re.findall(r'^(?:import|export) .*?from "([^"]+)"', text, re.MULTILINE):
            assert (PAGE / name.removeprefix("zeuxis/")).is_file(), f"{path.name} imports {name}"
        assert "innerHTML" not in text and not re.search(r"https?://(?!www\.w3\.org/)", text), path
