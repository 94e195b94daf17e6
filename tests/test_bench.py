"""The bench of quality against minutes keeps its books: marks, stops and resumes, rows, the table and the chart."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import by_heart
import denoisers
import peers
import quality
import standings
from textbook import ddpm
from waiting import PATIENCE, wait_for
from zeuxis import loading, scores, storage
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError
from zeuxis.families.dcgan import DCGAN
from zeuxis.families.diffusion import Diffusion
from zeuxis.io import files
from zeuxis.metrics import extractors, features, vgg
from zeuxis.training import budget, runs

TINY = {"base_channels": 4, "batch_size": 8, "latent_dim": 8}


@pytest.fixture(autouse=True)
def _few_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that are quickly found: only the books matter here."""

    def find(name: str, **given: Any) -> features.Extractor:
        return features.own_extractor(name, lambda images: F.avg_pool2d(images, 8).flatten(1))

    monkeypatch.setattr(extractors, "find_extractor", find)
    monkeypatch.setattr(scores, "RESAMPLES", 40)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which every step takes 1 s."""
    ticks = iter(np.arange(0.0, 1e6, 1.0).tolist())
    clock = SimpleNamespace(process_time=lambda: next(ticks), monotonic=time.monotonic)
    monkeypatch.setattr(budget, "time", clock)


def job(model: str = "dcgan", **changed: Any) -> quality.Job:
    chosen = {name: value for name, value in TINY.items() if model == "dcgan" or name == "base_channels"}
    return quality.Job(**{"model": model, "data": "digits", "size": 16, "samples": 40, "chosen": chosen, **changed})


def minutes(steps: int) -> float:
    """The mark at which so many steps of 1 s are done."""
    return steps / 60 / quality.CORES


@pytest.mark.usefixtures("passing")
@pytest.mark.parametrize(("model", "batch"), [("dcgan", 8), ("textbook", 64)])
def test_marks_are_reached_once_and_a_longer_run_goes_on(tmp_path: Path, model: str, batch: int) -> None:
    results, home = tmp_path / "results" / "quality.jsonl", tmp_path / "home"
    quality.run(job(model), [minutes(2), minutes(5)], home=home, results=results, machine="here")
    rows = standings.read(results)
    assert [(row["steps"], row["images"]) for row in rows] == [(2, 2 * batch), (5, 5 * batch)]
    assert [row["cpu_minutes"] for row in rows] == [round(2 / 60, 4), round(5 / 60, 4)]
    assert rows[0]["options"]["base_channels"] == 4 and rows[0]["channels"] == 1 and rows[0]["machine"] == "here"
    names = [each["name"] for each in rows[0]["scores"]]
    assert set(standings.SCORES) <= set(names) and (home / f"mark-{minutes(2):g}" / "samples.png").is_file()

    (home / f"mark-{minutes(5):g}" / "row.json").unlink()  # as if stopped while scoring
    quality.run(job(model), [minutes(2), minutes(5), minutes(9)], home=home, results=results, machine="here")
    again = standings.read(results)
    assert [row["steps"] for row in again] == [2, 5, 9]
    assert again[:2] == rows, "what was done is neither done again nor written twice, and scores the same"
    assert len(list(home.glob("0*"))) == 1, "one run"
    kept = loading.load_model(home / f"mark-{minutes(2):g}", family=peers.PEERS.get(model))
    assert kept.options == rows[0]["options"]
    last = loading.load_model(next(home.glob("0*")), family=peers.PEERS.get(model))
    assert not torch.equal(kept.sample(2), last.sample(2))  # type: ignore[attr-defined]


@pytest.mark.usefixtures("passing")
def test_a_model_that_translates_is_scored_by_held_out_truths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors, "vgg16", lambda **named: vgg.VGG().eval().requires_grad_(False))
    results, home = tmp_path / "quality.jsonl", tmp_path / "home"
    asked = quality.Job("pix2pix", "grey -> digits", 16, samples=40, chosen={"base_channels": 4, "batch_size": 8})
    quality.run(asked, [minutes(2)], home=home, results=results)
    (found,) = standings.read(results)
    assert found["options"]["source_channels"] == 1 and found["against"].startswith("40 ")
    assert {each["name"] for each in found["scores"]} >= {"L1 (of 255)", "PSNR (dB)", "VGG-feature distance"}
    assert set(found["scores"][0]["beside"]) == {"identity", "mean colour"}
    assert (home / f"mark-{minutes(2):g}" / "translations.png").is_file()


@pytest.mark.usefixtures("passing")
def test_a_peer_goes_on_bit_for_bit_from_its_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def weights(home: Path) -> dict[str, torch.Tensor]:
        return files.read_tensors(next(home.glob("0*")) / "model" / "model.safetensors")

    straight, killed = tmp_path / "straight", tmp_path / "killed"
    quality._trained(job("textbook"), straight, minutes(6))

    class Killed(BaseException):
        pass

    learn, done = peers.TextbookDCGAN.learn, [0]

    def dying(self: Any, players: Any, real: Any) -> None:
        done[0] += 1
        if done[0] == 5:
            raise Killed
        learn(self, players, real)

    monkeypatch.setattr(peers, "SAVE_EVERY", 2.0)
    with monkeypatch.context() as patch:
        patch.setattr(peers.TextbookDCGAN, "learn", dying)
        with pytest.raises(Killed):
            quality._trained(job("textbook"), killed, minutes(6))
    (run,) = killed.glob("0*")
    checkpoint = storage.RunFolder.open(run).load_checkpoint()
    assert checkpoint is not None and checkpoint.step == 4 and checkpoint.state["processor_seconds"] == 4.0
    quality._trained(job("textbook"), killed, minutes(6))
    found, expected = weights(killed), weights(straight)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    assert not any(name.startswith("discriminator") for name in found)


def test_the_textbook_is_sampled_with_its_last_weights() -> None:
    torch.manual_seed(0)
    peer = peers.TextbookDCGAN(size=16, channels=1, base_channels=4)
    players, real = peer.optimizers(), torch.rand(8, 1, 16, 16) * 2 - 1
    before = [p.detach().clone() for p in peer.parameters()]
    peer.learn(players, real)
    assert all(not torch.equal(old, new) for old, new in zip(before, peer.parameters()))
    z = torch.randn(3, 100)
    peer.eval()
    assert torch.equal(peer.decode(z), torch.tanh(peer.generator(z.view(3, 100, 1, 1))))
    torch.testing.assert_close(peer.sample(3)[2:], peer.sample(1, seed=2), atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="bench/quality.py textbook"):
        peer.losses(None, None)  # type: ignore[arg-type]


def test_what_a_discriminator_has_by_heart(tmp_path: Path) -> None:
    """r_v is that of the paper: 0 where held-out images score as training images do, 1 where they score as samples do."""
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -1.0])
    assert [by_heart.overfitting(real, held_out, fake) for held_out in (real, torch.tensor([0.5]), fake)] == [0, 0.5, 1]
    settings = job().settings(tmp_path, 0.0)
    settings = dataclasses.replace(settings, cpu_minutes=None, steps=1)
    run = storage.RunFolder.open(
        runs.start(settings, DCGAN, {"size": 16, "base_channels": 4}, data=DataSpec.parse("digits"))
    )
    found = by_heart.scores_of(run, 24)
    assert [len(scores) for scores in found.values()] == [24] * 5
    rolled, training = found["training images, rolled"], found["training images"]
    assert not torch.equal(rolled, training)


def test_the_denoisers_compared_are_alike_and_learn() -> None:
    pytest.importorskip("diffusers")
    weights, operations = denoisers.sizes("ours")
    assert denoisers.sizes(denoisers.HUGGING) == (pytest.approx(weights, rel=0.01), pytest.approx(operations, rel=0.01))
    torch.manual_seed(0)
    step, image = denoisers.hugging_step(), torch.rand(4, 3, 32, 32) * 2 - 1
    first, *_, last = (cast("float", step(image)) for _ in range(6))
    assert last < first


def test_pythae_learns_its_own_loss_and_is_decoded_to_our_range() -> None:
    pytest.importorskip("pythae")
    torch.manual_seed(0)
    peer = peers.PythaeVAE(latent_dim=4)
    players, real = peer.optimizers(), torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.manual_seed(1)
        before = peer.network({"data": (real + 1) / 2}).loss.item()
    for _ in range(3):
        torch.manual_seed(1)
        peer.learn(players, real)
    with torch.no_grad():
        torch.manual_seed(1)
        assert peer.network({"data": (real + 1) / 2}).loss.item() < before
        peer.eval()
        image = peer.decode(peer.encode(real))
    assert image.shape == real.shape and image.min() < 0 < image.abs().max() <= 1
    with pytest.raises(UsageError, match="64 pixels in colour"):
        peers.PythaeVAE(size=32)


def test_a_job_is_named_by_all_that_is_asked() -> None:
    assert job().name == job().name and job().name.startswith("dcgan-digits-16-seed0-")
    others = [job(seed=1), job(samples=50), job(chosen={}), job(size=None), job(model="textbook")]
    assert len({each.name for each in [job(), *others]}) == 6
    words = job(seed=3).command(15)
    assert words == (
        "python bench/quality.py dcgan digits --size 16 --minutes 15 --seed 3 --images 40 "
        "--set base_channels=4 --set batch_size=8 --set latent_dim=8"
    )
    assert job().settings(Path("x"), 15).cpu_minutes == 30, "two cores"
    assert job().settings(Path("x"), 15).batch_size == 8 and "batch_size" not in job().options()
    assert quality._pair("lr=1e-3") == ("lr", 1e-3) and quality._pair("loss=hinge") == ("loss", "hinge")
    with pytest.raises(UsageError, match="NAME=VALUE"):
        quality._pair("width")


def row(model: str, minute: float, fid: float, *, seed: int = 0, data: str = "avatars:5000") -> dict[str, Any]:
    scores = [
        {
            "name": name,
            "value": fid / (i * 1000 + 1),
            "low": fid * 0.9,
            "high": fid * 1.1,
            "real": 4.37,
            "better": "lower",
        }
        for i, name in enumerate(standings.SCORES)
    ]
    common = {"threads": 1, "machine": "AMD EPYC", "samples": 5000, "against": "5,000 held-out images", "chosen": {}}
    made = {"size": 64, "images": int(minute * 1000), "versions": {"torch": "2.13.0", "commit": "abc"}}
    told = {"model": model, "data": data, "minutes": minute, "seed": seed, "scores": scores}
    return {**common, **made, **told, "name": f"{model}-{data}-{seed}", "command": f"run {model} {seed} {minute:g}"}


ROWS = [
    row("textbook", 5, 1500.0),
    row("textbook", 15, 1279.0),
    row("dcgan", 15, 304.0),
    row("dcgan", 5, 635.0),
    row("dcgan", 15, 298.0, seed=1),
    row("vae", 15, 700.0, data="satellite"),
]


def test_rows_are_added_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "quality.jsonl"
    assert standings.read(path) == []
    for each in [*ROWS, {**ROWS[0], "machine": "another"}]:
        standings.add(path, each)
    found = standings.read(path)
    assert found == [*ROWS[1:], {**ROWS[0], "machine": "another"}]
    assert all(json.loads(line) for line in path.read_text().splitlines())
    path.write_text("{}\n{cut")
    with pytest.raises(UsageError, match="no JSON"):
        standings.read(path)


def test_table_ranks_models_at_equal_minutes() -> None:
    text = standings.table(ROWS)
    lines = [line for line in text.splitlines() if line.startswith(("| 5 ", "| 15 "))]
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| 5", "`dcgan`", "0"],
        ["| 5", "`textbook`", "0"],
        ["| 15", "`dcgan`", "1"],
        ["| 15", "`dcgan`", "0"],
        ["| 15", "`textbook`", "0"],
        ["| 15", "`vae`", "0"],
    ]
    assert "| 15,000 | 304.0 (273.6 to 334.4) |" in lines[3]
    assert text.count("*real images*") == 2 and "## satellite, 64 pixels" in text
    assert "run dcgan 0 15" in text and "run dcgan 0 5" not in text, "the command that gives all marks of a run"


def test_models_that_translate_stand_beside_those_that_do_nothing(tmp_path: Path) -> None:
    scores = [
        {"name": "L1 (of 255)", "value": 40.1, "low": 38.9, "high": 41.3, "real": None, "beside": {"identity": 77.7}},
        {
            "name": "FID[lite0]",
            "value": 716.0,
            "low": 703.0,
            "high": 729.0,
            "real": 45.0,
            "beside": {"identity": 900.0},
        },
    ]
    told = {"scores": scores, "chosen": {"gan_weight": 0}}
    rows = [row("dcgan", 15, 304.0), row("pix2pix", 20, 0.0, data="grey-to-colour") | told]
    lines = standings.table(rows).splitlines()
    assert "| minutes | model | seed | images seen | L1 (of 255) | FID[lite0] |" in lines
    assert "| 20 | `pix2pix gan_weight=0` | 0 | 20,000 | 40.1 (38.9 to 41.3) | 716.0 (703.0 to 729.0) |" in lines
    assert "| *identity* |  |  |  | 77.7 | 900.0 |" in lines and "| *real images* |  |  |  |  | 45.0 |" in lines
    pytest.importorskip("matplotlib")
    standings.chart(rows, tmp_path / "with.png")
    standings.chart(rows[:1], tmp_path / "without.png")
    assert (tmp_path / "with.png").read_bytes() == (tmp_path / "without.png").read_bytes(), "curves are of samples"


def test_chart_has_a_panel_for_each_data_set(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    standings.chart(ROWS, tmp_path / "pictures" / "both.png")
    standings.chart(ROWS[:2], tmp_path / "pictures" / "one.png")
    both, one = (
        np.asarray(Image.open(tmp_path / "pictures" / f"{name}.png").convert("RGB")) for name in ("both", "one")
    )
    assert both.shape[1] > 1.7 * one.shape[1]
    colours = {tuple(pixel) for pixel in both.reshape(-1, 3)}
    assert {(0, 114, 178), (213, 94, 0), (0, 158, 115)} <= colours, "a line for each model"
    with pytest.raises(UsageError, match="no results"):
        standings.chart([], tmp_path / "none.png")


def test_a_stop_saves_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """In a process of its own, as a person has it."""
    home = Path(quality.__file__).parent
    words = ["textbook", "digits", "--size", "16", "--set", "base_channels=4", "--minutes", "5", "--out", str(tmp_path)]
    paths = os.pathsep.join([str(Path(storage.__file__).parents[1]), str(home)])
    code = "import peers, quality; peers.SAVE_EVERY = 0.02; quality.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words, "--results", str(tmp_path / "q.jsonl")],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
    )
    there = "*/0*/checkpoints/step-*"
    wait_for(lambda: process.poll() is not None or list(tmp_path.glob(there)), "a checkpoint")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and told.startswith(b"quality: ended by SIGINT") and told.count(b"\n") == 1, told
    (run,) = tmp_path.glob("*/0*")
    checkpoint = storage.RunFolder.open(run).load_checkpoint()
    assert checkpoint is not None and checkpoint.step > 0 and checkpoint.state["processor_seconds"] > 0
    assert not (tmp_path / "q.jsonl").exists()


def test_dcgan_and_the_textbook_are_trained_at_the_same_shape() -> None:
    options = job("textbook", data="fashion-mnist", size=32).options()
    assert options["channels"] == 1 and options["size"] == 32
    ours = DCGAN(size=options["size"], channels=options["channels"], base_channels=4).eval()
    theirs = peers.TextbookDCGAN(size=options["size"], channels=options["channels"], base_channels=4).eval()
    assert ours.sample(2).shape == theirs.sample(2).shape == (2, 1, 32, 32)


def test_diffusion_and_the_textbook_have_the_same_layers_but_at_the_ends_and_the_textbook_learns() -> None:
    def layers(network: torch.nn.Module) -> collections.Counter[tuple[int, ...]]:
        return collections.Counter(tuple(parameter.shape) for parameter in network.parameters())

    torch.manual_seed(0)
    book = ddpm.UNet(3)
    ours, theirs = layers(Diffusion(size=32, channels=3)), layers(book)
    # Ours alone sees eight differences of each number beside the image, and tells the noise's share in each beside the rest.
    assert theirs - ours == collections.Counter([(32, 3, 3, 3), (3, 32, 3, 3), (3,)])
    assert ours - theirs == collections.Counter([(32, 27, 3, 3), (27, 32, 3, 3), (27,)])
    adam, alphas = torch.optim.Adam(book.parameters(), 1e-3), ddpm.schedule()
    losses = [ddpm.step(book, adam, alphas, torch.full((4, 3, 32, 32), 0.5)) for _ in range(25)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
