"""Judging whole models: what is compared with what, what is said of copies, and the command with its files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.optim import Optimizer

from commandline import refused, typed
from zeuxis import api, families, judging, loading
from zeuxis.data import DataSpec, Pack
from zeuxis.errors import DataError, UsageError
from zeuxis.io.images import from_uint8
from zeuxis.judging import abilities, report, runs, sets
from zeuxis.judging.report import Evaluation, Row
from zeuxis.metrics import partition
from zeuxis.metrics.features import Extractor
from zeuxis.metrics.resampling import Score
from zeuxis.model import Batch, Clock, Encoder, Latent, Model, Turn

pytestmark = pytest.mark.usefixtures("elsewhere")
# Pixels of 4 by 4 blocks: few features, so that few images do.
EYES = Extractor(
    "eyes", "eyes 1", lambda x: torch.nn.functional.adaptive_avg_pool2d(x, 4), lambda x: x[:, 0].flatten(1)
)


@dataclass(eq=False)
class Replay(Latent):
    """Shows images it was given, by their seed."""

    def build(self) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.shown: Tensor = torch.zeros(0)

    def of(self, pack: Pack, places: Sequence[int]) -> Replay:
        self.shown = from_uint8(pack.images[np.asarray(places)])
        return self

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield from ()

    def prior(self, seeds: Sequence[int]) -> Tensor:
        return torch.tensor(seeds, dtype=torch.float32)[:, None]

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.shown[z[:, 0].long() % len(self.shown)]


@pytest.mark.parametrize(
    ("spec", "halves"),
    [
        ("avatars", ("avatars", "avatars/test:70")),
        ("avatars:500", ("avatars:500", "avatars/test:70")),
        ("digits/train:99", ("digits/train:99", "digits/test:70")),
        ("mnist/test:9", ("mnist", "mnist/test:9")),
        ("birds", None),
        ("./avatars", None),
    ],
)
def test_named_sets_have_images_held_out(spec: str, halves: tuple[str, str] | None) -> None:
    found = DataSpec.parse(spec).held_out(70)
    assert (found and tuple(map(str, found))) == halves


def test_held_out_images_judge_and_the_twin_was_trained_on() -> None:
    chosen = sets.choose(DataSpec.parse("digits"), count=100, size=8, channels=1)
    assert chosen.judge is chosen.held_out and chosen.judge.name == "digits-test"
    assert len(chosen.reference) == len(chosen.twin) == 100
    assert chosen.describe() == "100 held-out images of digits-test"
    assert np.isin(chosen.twin, chosen.searched).all() and len(chosen.searched) == len(chosen.training) > 1400
    again = sets.choose(DataSpec.parse("digits"), count=100, size=8, channels=1)
    assert np.array_equal(chosen.twin, again.twin) and np.array_equal(chosen.reference, again.reference)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_a_folder_is_cut_in_two(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = sets.choose(DataSpec.parse(folder), count=1000, size=8, channels=3)
    assert chosen.held_out is None and chosen.judge is chosen.training
    assert len(chosen.reference) == len(chosen.twin) == 30 and not np.isin(chosen.twin, chosen.reference).any()
    assert "nothing is held out" in chosen.describe()
    assert len(sets.choose(DataSpec.parse(folder), count=25, size=8, channels=3).twin) == 25
    monkeypatch.setattr(sets, "MOST_TRAINING", 50)
    assert len(sets.choose(DataSpec.parse(folder), count=25, size=8, channels=3).searched) == 50
    with pytest.raises(DataError, match="gives 15 images to compare with"):
        sets.choose(DataSpec.parse(folder, max_images=30), count=100, size=8, channels=3)


def judged(model: Latent, chosen: sets.Sets) -> Evaluation:
    return judging.evaluate(model, chosen, EYES)


def test_a_model_that_replays_its_training_images_is_caught() -> None:
    chosen = sets.choose(DataSpec.parse("digits"), count=100, size=8, channels=1)
    found = judged(Replay(8, 1).of(chosen.training, range(400, 500)), chosen)
    assert found["copies (share of samples)"].value == 1
    assert found["distance to nearest training image"].value == 0
    assert any("learning by heart" in text for text in found.warnings)
    assert found["FID[eyes]"].low < next(row.real or 0 for row in found.rows if row.name == "FID[eyes]") * 2
    assert found["precision[eyes]"].value > 0.8
    for pair in found.closest:
        assert pair.distance == 0 and torch.equal(pair.sample, pair.training)
    assert len(found.closest) == judging.GAN_LOSSES and found.picture().width > 10 * 80


def test_a_model_that_shows_unseen_images_is_as_good_as_real() -> None:
    chosen = sets.choose(DataSpec.parse("digits"), count=170, size=8, channels=1)
    unseen = DataSpec.parse("digits/test").open(8, 1)
    found = judged(Replay(8, 1).of(unseen, range(170, 340)), chosen)  # those after the reference, of other hands
    assert found["copies (share of samples)"].value < 0.06
    fid = next(row for row in found.rows if row.name == "FID[eyes]")
    assert fid.real is not None and fid.score.value < 3 * fid.real
    assert found["precision[eyes]"].value > 0.8 and found["recall[eyes]"].value > 0.8
    assert not any("by heart" in text for text in found.warnings)
    noise = Replay(8, 1)
    noise.shown = torch.rand(170, 1, 8, 8) * 2 - 1
    worse = judged(noise, chosen)
    assert worse["FID[eyes]"].value > 5 * found["FID[eyes]"].value
    assert worse["precision[eyes]"].value < 0.2 and worse["KID[eyes]"].low > 0


def test_the_same_again_and_other_seeds() -> None:
    chosen = sets.choose(DataSpec.parse("digits"), count=40, size=8, channels=1)
    torch.manual_seed(0)
    model = families.find("gan")(size=8, channels=1).eval()
    assert isinstance(model, Latent)
    first = judging.evaluate(model, chosen, EYES, seed=3)
    torch.rand(5)
    assert judging.evaluate(model, chosen, EYES, seed=3).to_json() == first.to_json()
    assert judging.evaluate(model, chosen, EYES, seed=4)["FID[eyes]"] != first["FID[eyes]"]
    assert first["path length[eyes]"].value > 0
    assert torch.equal(first.closest[0].sample, _with_the_least(model, chosen, first))


def _with_the_least(model: Latent, chosen: sets.Sets, found: Evaluation) -> Tensor:
    """The sample of the smallest distance to a training image, found by looking at all."""
    samples = torch.cat([model.sample(1, seed=seed) for seed in range(3, 43)])
    training = EYES(from_uint8(chosen.training.images))
    distance = torch.cdist(EYES(samples), training).min(1).values
    assert found.closest[0].distance == pytest.approx(float(distance.min()), rel=1e-4)
    return samples[distance.argmin()]


@pytest.mark.parametrize("kind", ["gaussian", "bernoulli"])
def test_a_vae_is_asked_for_its_likelihood_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abilities, "DRAWS", 7)
    torch.manual_seed(0)
    model = families.find("vae")(size=16, channels=1, latent_dim=4, base_channels=4, likelihood=kind).eval()
    assert isinstance(model, Latent)
    chosen = sets.choose(DataSpec.parse("digits"), count=40, size=16, channels=1)
    found = judged(model, chosen)
    assert 0 < found["reconstruction PSNR (dB)"].value < 40 and -1 < found["reconstruction SSIM"].value < 1
    elbo, bound = found["ELBO (nats/image)"], found["importance-weighted bound, 7 draws (nats/image)"]
    assert elbo.value <= bound.value < 0
    bits = found["ELBO (bits/dim)"]
    assert bits.value == pytest.approx(-elbo.value / 256 / math.log(2)) and bits.low < bits.value < bits.high
    if kind == "gaussian":  # an untrained decoder, sure to 0.3 of a range of 2: some bits short of the 8 of no idea
        assert 4 < bits.value < 20
    else:
        assert 0.4 < bits.value < 2


def test_a_diffusion_is_asked_for_a_bound_of_its_likelihood() -> None:
    torch.manual_seed(0)
    model = families.find("diffusion")(size=16, channels=1, base_channels=8, num_inference_steps=2).eval()
    assert isinstance(model, Latent)
    found = judged(model, sets.choose(DataSpec.parse("digits"), count=40, size=16, channels=1))
    nats, bits = found["variational bound (nats/image)"], found["variational bound (bits/dim)"]
    assert bits.value == pytest.approx(-nats.value / 256 / math.log(2)) and bits.low < bits.value < bits.high
    # Untrained it takes the pixels for a Gaussian of deviation 0.5, each for itself: near 8 bits for each, as of no idea.
    assert 7 < bits.value < 12
    assert found["reconstruction PSNR (dB)"].value > 0


def test_of_a_model_that_takes_long_fewer_images_are_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(abilities, "CALLS", 200)
    monkeypatch.setattr(abilities, "FEWEST", 5)
    torch.manual_seed(0)
    model = families.find("diffusion")(size=16, channels=1, base_channels=8, num_inference_steps=4).eval()
    assert isinstance(model, Encoder) and (model.decode_nfe, model.encode_nfe) == (4, 6)
    found = judged(model, sets.choose(DataSpec.parse("digits"), count=40, size=16, channels=1))
    counts = {row.name: row.of for row in found.rows}
    assert (
        counts["reconstruction PSNR (dB)"] == counts["reconstruction SSIM"] == 20 and counts["path length[eyes]"] == 25
    )
    assert counts["variational bound (bits/dim)"] == 40 and counts["FID[eyes]"] is None
    assert any(line.startswith("reconstruction PSNR (dB), of 20 ") for line in found.lines())
    (tmp_path / "evaluation.json").write_text(found.to_json())
    assert report.read(tmp_path / "evaluation.json").rows == found.rows
    vae = families.find("vae")(size=16, channels=1, latent_dim=4, base_channels=4).eval()
    assert isinstance(vae, Latent)
    plain = judged(vae, sets.choose(DataSpec.parse("digits"), count=40, size=16, channels=1))
    assert {row.of for row in plain.rows if "reconstruction" in row.name} == {40}


@pytest.mark.parametrize("units", ["binary", "gaussian"])
def test_an_rbm_is_asked_for_its_likelihood_in_nats(units: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abilities, "TEMPERATURES", 300)
    torch.manual_seed(0)
    model = families.find("rbm")(size=8, channels=1, latent_dim=6, units=units, sample_steps=3).eval()
    assert isinstance(model, Latent)
    torch.nn.init.normal_(model.weight, std=0.1)
    chosen = sets.choose(DataSpec.parse("digits"), count=60, size=8, channels=1)
    counted = judged(model, chosen)
    monkeypatch.setattr(partition, "MOST_HIDDEN", 0)
    found = judged(model, chosen)
    exact = counted["log-likelihood, counted (nats/image)"]
    assert exact.low < exact.value < exact.high < 0
    assert found["log Z by AIS (nats)"].value == pytest.approx(counted["log Z, counted (nats)"].value, abs=0.1)
    for name in ("AIS", "reverse AIS"):
        assert found[f"log-likelihood by {name} (nats/image)"].value == pytest.approx(exact.value, abs=0.3)
    assert judged(model, chosen).to_json() == found.to_json()


def test_a_report_reads_well() -> None:
    rows = [
        Row("FID[lite0]", Score(1234.56, 1200.0, 1250.04), 11.42, "lower"),
        Row("x", Score(0.00123, -0.5, 2.0), None, "higher"),
        Row("PSNR", Score(math.inf)),
    ]
    about = {"samples": 5000, "model": "gan", "against": "images"}
    about |= {"features": "lite0", "dimensions": 1280, "images_seen": "at 128 pixels"}
    found = Evaluation(about, rows, ["mind this"])
    assert found.lines() == [
        "5,000 samples of gan against images",
        "features: 1,280 of lite0, of images at 128 pixels",
        "",
        "score        model   95 % interval  real images  better",
        "FID[lite0]   1,235  1,200 to 1,250         11.4  lower",
        "x           0.0012  -0.500 to 2.00               higher",
        "PSNR             -",
        "",
        "warning: mind this",
    ]
    plain = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert plain["scores"][2] == {"name": "PSNR", "value": None, "low": None, "high": None, "real": None, "better": ""}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a model of the digits, and a feature function beside it."""
    path = tmp_path / "runs" / "00001-gan-digits"
    torch.manual_seed(0)
    families.find("gan")(size=8, channels=1).save(path / "model")
    (path / "config.yaml").write_text("family: gan\ndata: digits\nsettings: {fit: pad, limit: 300}\n")
    (tmp_path / "own_eyes.py").write_text("def look(x): return x[:, 0, ::2, ::2].flatten(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return path


def test_evaluate_writes_into_the_run(run: Path) -> None:
    words = ["evaluate", "1", "--images", "50", "--features", "own_eyes:look"]
    code, out, err = typed(*words)
    assert code == 0, err
    assert out.startswith("50 samples of gan against 50 held-out images of digits-test\n")
    assert out.endswith("\nwrote runs/00001-gan-digits/evaluation.json\nwrote runs/00001-gan-digits/closest.png\n")
    assert "FID[own_eyes:look]" in out and "warning: precision, recall" in out
    kept = json.loads((run / "evaluation.json").read_text())
    assert kept["about"]["training_images"] == 300 and kept["about"]["features"] == "own_eyes:look"
    assert Image.open(run / "closest.png").width > 500
    code, out, _ = typed(*words, "--json", "--out", "elsewhere")
    assert code == 0 and json.loads(out) == kept == json.loads(Path("elsewhere/evaluation.json").read_text())
    assert json.loads(typed(*words, "--json", "--seed", "9")[1]) != kept


def test_evaluate_of_what_cannot_be_judged(run: Path, tmp_path: Path) -> None:
    families.find("gan")(size=8, channels=1).save("loose")
    assert "name the DATA after it" in refused("evaluate", "loose")
    assert "choose lite0" in refused("evaluate", "1", "--features", "resnet")
    assert "--images" in refused("evaluate", "1", "--images", "19")
    assert "needs --weights FILE" in refused("evaluate", "1", "--features", "inception")
    assert "no run" in refused("evaluate", "7")
    digits, mnist = DataSpec.parse("digits"), DataSpec.parse("mnist")
    assert runs.selected("1", digits) == DataSpec.parse(digits, resize_mode="pad", max_images=300)
    assert runs.selected("1", mnist) == mnist


def test_the_data_of_a_run_is_known_by_a_relative_path_too(run: Path, tmp_path: Path) -> None:
    (run / "config.yaml").write_text(f"family: gan\ndata: {tmp_path / 'birds'}\nsettings: {{max_images: 300}}\n")
    own = loading.data_of("1")
    assert own == DataSpec.parse(tmp_path / "birds")
    for data in ("birds", "./birds", str(tmp_path / "birds")):
        assert runs.selected("1", DataSpec.parse(data)).max_images == 300
    for other in ("bird", "edges -> birds", "digits"):
        assert runs.selected("1", DataSpec.parse(other)) == DataSpec.parse(other)


@pytest.fixture
def two_runs(run: Path) -> list[str]:
    """The run, judged, and one of colour and another size that has not been."""
    assert typed("evaluate", "1", "--images", "50", "--features", "own_eyes:look")[0] == 0
    other = run.parent / "00002-<vae>"
    families.find("vae")(size=16, channels=3, base_channels=4).save(other / "model")
    (other / "config.yaml").write_text("family: vae\ndata: digits\n")
    return ["1", "2"]


def test_runs_side_by_side(two_runs: list[str]) -> None:
    code, out, err = typed("compare", *two_runs, "--columns", "3", "--out", "both")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split() == ["score", "00001-gan-digits", "00002-<vae>", "real", "images", "better"]
    assert lines[1].startswith("FID[own_eyes:look]") and " ± " in lines[1] and lines[1].endswith("lower")
    assert "warning: 00002-<vae> has not been judged; do that first, with zeuxis evaluate" in lines
    rows = list(csv.DictReader(Path("both/comparison.csv").read_text().splitlines()))
    kept = json.loads(Path("runs/00001-gan-digits/evaluation.json").read_text())["scores"]
    assert [(row["score"], float(row["value"])) for row in rows] == [(row["name"], row["value"]) for row in kept]
    page = Path("both/comparison.html").read_text()
    assert "00002-&lt;vae&gt;" in page and "<vae>" not in page and 'src="data:image/png;base64,' in page
    assert "http" not in page
    sheet = Image.open("both/comparison.png")
    found = api.compare(two_runs, columns=3)
    assert sheet.size == found.picture().size and sheet.height > 200
    model = api.load("2")
    assert torch.equal(found.runs[1].samples, api.sample(model, seeds=[0, 1, 2]))


def test_runs_judged_otherwise_are_not_compared_in_silence(two_runs: list[str]) -> None:
    assert typed("evaluate", "2", "--images", "40", "--features", "own_eyes:look")[0] == 0
    told = " ".join(api.compare(two_runs, columns=1).warnings())
    assert "not judged alike (samples: 40; 50)" in told and "has not been judged" not in told
    assert "trained on since" not in told
    families.find("gan")(size=8, channels=1).save("runs/00001-gan-digits/model")
    assert "00001-gan-digits has been trained on since it was judged" in " ".join(api.compare(two_runs).warnings())


DAMAGED = ["[]", "{}", '{"about": 3, "scores": [], "warnings": []}', '{"about": {}, "scores": [{}], "warnings": []}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_evaluation_is_named(two_runs: list[str], content: str) -> None:
    Path("runs/00002-<vae>/evaluation.json").write_text(content)
    assert "is not what zeuxis evaluate writes" in refused("compare", *two_runs)
    assert "two or more" in refused("compare", "1")


def test_a_model_without_a_latent_space(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Model):
        def build(self) -> None: ...
        def optimizers(self) -> dict[str, Optimizer]:
            return {}

        def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
            yield from ()

    model: Any = Other(8, 1)
    assert isinstance(model, Model)
    with pytest.raises(UsageError, match="no latent space"):
        api.evaluate(model, "digits")
