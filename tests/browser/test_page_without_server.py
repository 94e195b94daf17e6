"""The page as one file: opened from disk without a network, in Chromium and in Firefox, it draws what the model draws."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firefox
import zeuxis
from driving import SETTLED, WHOLE, Driver
from models import saved_model
from zeuxis.errors import DataError
from zeuxis.families import find
from zeuxis.io.images import to_uint8
from zeuxis.web import ort_web, single_file
from zeuxis.web.carried import TABLED, carried
from zeuxis.web.served import open_served
from zeuxis.web.single_file import Held

SEEDS = [0, 7, 88, 12345, 2**31]
LIVE = """(() => {
  const canvas = document.querySelector("canvas.live"), context = canvas.getContext("2d");
  return JSON.stringify([...context.getImageData(0, 0, canvas.width, canvas.height).data]);
})()"""


@pytest.fixture(scope="session")
def runtime() -> ort_web.OrtWeb:
    """The browser's runtime: from the cache, or fetched."""
    pytest.importorskip("onnxscript")
    try:
        return ort_web.runtime()
    except DataError as error:
        pytest.skip(f"onnxruntime-web is out of reach: {error}")


@pytest.fixture(scope="module")
def held(folder: Path, runtime: ort_web.OrtWeb) -> Held:
    return held_of(folder, runtime)


def held_of(folder: Path, runtime: ort_web.OrtWeb, **options: Any) -> Held:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ort_web, "runtime", lambda folder=None: runtime)
        return carried(open_served(folder, device="cpu"), **options)


@pytest.fixture(scope="module")
def file(held: Held, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "faces.html"
    single_file.write_page(held, out)
    return out


@pytest.fixture
def opened(chromium: Any) -> Iterator[Any]:
    drivers: list[Driver] = []

    def from_disk(path: Path, **options: Any) -> Driver:
        drivers.append(Driver(chromium, path.as_uri(), offline=True, **options))
        return drivers[-1]

    yield from_disk
    for driver in drivers:
        driver.close()
        assert driver.errors == [] and driver.foreign == []


def apart(shown: np.ndarray, wanted: np.ndarray) -> int:
    return int(np.abs(shown.astype(int) - wanted.astype(int)).max())


def test_chromium_draws_the_seeds_of_sample_from_disk(opened: Any, file: Path, folder: Path) -> None:
    driver = opened(file)
    wanted = zeuxis.sample(zeuxis.load(folder, device="cpu"), seeds=SEEDS).numpy()
    for seed, picture in zip(SEEDS, wanted):
        driver.find(seed)
        assert apart(driver.picture(), picture) <= 1, seed
    driver.page.click("#card-open")
    assert driver.page.inner_text("#card-text > h3") == "Faces of noise"


def test_the_size_of_the_file_follows_the_model(file: Path, folder: Path) -> None:
    assert file.stat().st_size <= 5e6 + 1.4 * (folder / "model.safetensors").stat().st_size


def test_firefox_draws_the_same(file: Path, folder: Path) -> None:
    program = firefox.found()
    if program is None:
        pytest.skip("there is no Firefox here; the page is not driven in it")
    (wanted,) = zeuxis.sample(zeuxis.load(folder, device="cpu"), seeds=[0]).numpy()
    with firefox.running(program) as tab:
        tab.open(file.as_uri())
        tab.until(f"!!window.zeuxis && {WHOLE} && {SETTLED}")
        shown = np.array(json.loads(tab.evaluate(LIVE))).reshape(*wanted.shape[:2], 4)[..., :3]
        assert apart(shown, wanted) <= 1
        assert tab.errors == []
        assert [url for url in tab.requests if not url.startswith(("data:", "blob:", "file:", "about:"))] == []


def test_a_folder_works_on_a_plain_web_host(chromium: Any, held: Held, folder: Path, tmp_path: Path) -> None:
    single_file.write_page(held, tmp_path / "site")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        driver = Driver(chromium, f"http://127.0.0.1:{host.server_address[1]}/")
        (wanted,) = zeuxis.sample(zeuxis.load(folder, device="cpu"), seeds=[7]).numpy()
        driver.find(7)
        assert apart(driver.picture(), wanted) <= 1
        driver.close()
        host.shutdown()
    assert driver.errors == [] and driver.foreign == []


@pytest.mark.long
@pytest.mark.parametrize("family", ["dcgan", "gan", "progan", "stylegan2", "rbm", "diffusion", "wgan", "wgan_gp"])
def test_every_family_opens_from_disk(family: str, opened: Any, runtime: ort_web.OrtWeb, tmp_path: Path) -> None:
    if family == "diffusion":
        find(family)(size=16, channels=3, base_channels=8).save(tmp_path / "model")
    else:
        saved_model(family, tmp_path / "model")
    held = held_of(tmp_path / "model", runtime)
    single_file.write_page(held, tmp_path / "page.html")
    driver, seed = opened(tmp_path / "page.html"), 8
    driver.find(seed)
    model = zeuxis.load(tmp_path / "model", device="cpu")
    if family == "diffusion":
        from zeuxis.web.networks import run_graphs

        wanted = to_uint8(run_graphs(model, held.networks.graphs, model.prior([seed])))[0]
    else:
        wanted = zeuxis.sample(model, seeds=[seed]).numpy()[0]
    assert apart(driver.picture(), wanted) <= 1
    if family == "rbm":
        assert held.info["table"]["seeds"] == TABLED
