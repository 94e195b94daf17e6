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
from torch import Generator, Tensor
from torch.optim import Optimizer

import zeuxis
from commandline import refused, typed
from zeuxis import api, families, loading
from zeuxis.data import DataSpec, Pack
from zeuxis.errors import DataError, UsageError
from zeuxis.families.vae import VAE
from zeuxis.io.images import from_uint8
from zeuxis.judging import capability_scores, real_scores, reference
from zeuxis.judging.reference import ReferenceImages, choose_reference
from zeuxis.judging.report import Evaluation, ScoreRow, read_evaluation
from zeuxis.judging.samples import CLOSEST, evaluate_samples
from zeuxis.judging.training_data import selected
from zeuxis.likelihood import Likelihoods, LikelihoodScore, StageCallback, bounds, partition, silent
from zeuxis.metrics.features import Extractor
from zeuxis.model import Batch, Clock, Encoder, HasLikelihood, Latent, Model, Turn, option
from zeuxis.scores import Score, bootstrap_mean

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


def test_held_out_images_are_the_reference_and_the_baseline_was_trained_on() -> None:
    chosen = choose_reference(DataSpec.parse("digits"), count=100, size=8, channels=1)
    assert chosen.reference_pack is chosen.held_out and chosen.reference_pack.name == "digits-test"
    assert len(chosen.reference) == len(chosen.train_baseline) == 100
    assert chosen.describe() == "100 held-out images of digits-test"
    assert np.isin(chosen.train_baseline, chosen.searched).all() and len(chosen.searched) == len(chosen.training) > 1400
    again = choose_reference(DataSpec.parse("digits"), count=100, size=8, channels=1)
    assert np.array_equal(chosen.train_baseline, again.train_baseline) and np.array_equal(
        chosen.reference, again.reference
    )


def test_of_millions_only_some_places_are_drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MOST_SORTED", 20)
    monkeypatch.setattr(reference, "MOST_TRAINING", 45)
    one, again = (choose_reference(DataSpec.parse(folder), count=25, size=8, channels=3) for _ in range(2))
    assert len({*one.reference, *one.train_baseline}) == 50 and len(one.searched) == 45
    assert np.isin(one.train_baseline, one.searched).all() and np.array_equal(one.searched, again.searched)
    held = choose_reference(DataSpec.parse(folder, hold_out=0.5), count=100, size=8, channels=3)
    assert held.held_out is not None
    assert len(held.reference) == len(held.train_baseline) == min(len(held.held_out), len(held.training)) >= 20
    assert np.array_equal(held.searched, np.arange(len(held.training))), "all where there are no more"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_a_folder_is_cut_in_two(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = choose_reference(DataSpec.parse(folder), count=1000, size=8, channels=3)
    assert chosen.held_out is None and chosen.reference_pack is chosen.training
    assert len(chosen.reference) == len(chosen.train_baseline) == 30
    assert not np.isin(chosen.train_baseline, chosen.reference).any()
    assert "nothing is held out" in chosen.describe()
    assert len(choose_reference(DataSpec.parse(folder), count=25, size=8, channels=3).train_baseline) == 25
    monkeypatch.setattr(reference, "MOST_TRAINING", 50)
    assert len(choose_reference(DataSpec.parse(folder), count=25, size=8, channels=3).searched) == 50
    with pytest.raises(DataError, match="gives 15 images to compare with"):
        choose_reference(DataSpec.parse(folder, max_images=30), count=100, size=8, channels=3)


def judged(model: Latent, chosen: ReferenceImages) -> Evaluation:
    return evaluate_samples(model, chosen, EYES)


def test_a_model_that_replays_its_training_images_is_caught() -> None:
    chosen = choose_reference(DataSpec.parse("digits"), count=100, size=8, channels=1)
    found = judged(Replay(8, 1).of(chosen.training, range(400, 500)), chosen)
    assert found["memorization rate"].value == 1
    assert found["distance to nearest training image"].value == 0
    assert any("memorize" in text for text in found.warnings)
    assert found["FID[eyes]"].low < next(row.real or 0 for row in found.rows if row.name == "FID[eyes]") * 2
    assert found["precision[eyes]"].value > 0.8
    for pair in found.closest:
        assert pair.distance == 0 and torch.equal(pair.sample, pair.training)
    assert len(found.closest) == CLOSEST and found.picture().width > 10 * 80


def test_a_model_that_shows_unseen_images_is_as_good_as_real() -> None:
    chosen = choose_reference(DataSpec.parse("digits"), count=170, size=8, channels=1)
    unseen = DataSpec.parse("digits/test").open(8, 1)
    found = judged(Replay(8, 1).of(unseen, range(170, 340)), chosen)  # those after the reference, of other hands
    assert found["memorization rate"].value < 0.06
    fid = next(row for row in found.rows if row.name == "FID[eyes]")
    assert fid.real is not None and fid.score.value < 3 * fid.real
    assert found["precision[eyes]"].value > 0.8 and found["recall[eyes]"].value > 0.8
    assert not any("memorize" in text for text in found.warnings)
    noise = Replay(8, 1)
    noise.shown = torch.rand(170, 1, 8, 8) * 2 - 1
    worse = judged(noise, chosen)
    assert worse["FID[eyes]"].value > 5 * found["FID[eyes]"].value
    assert worse["precision[eyes]"].value < 0.2 and worse["KID[eyes]"].low > 0


def test_scores_of_real_images_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = choose_reference(DataSpec.parse("digits"), count=90, size=8, channels=1)
    first = judged(Replay(8, 1).of(chosen.training, range(300, 390)), chosen)
    worked_out: list[object] = []
    monkeypatch.setattr(real_scores, "_worked_out", lambda *given: worked_out.append(given))
    again = judged(Replay(8, 1).of(chosen.training, range(300, 390)), chosen)
    assert again.rows == first.rows and not worked_out
    alike = judged(Replay(8, 1).of(chosen.training, range(600, 690)), chosen)
    assert [row.real for row in alike.rows] == [row.real for row in first.rows] and alike.rows != first.rows


def test_the_same_again_and_other_seeds() -> None:
    chosen = choose_reference(DataSpec.parse("digits"), count=40, size=8, channels=1)
    torch.manual_seed(0)
    model = families.find("gan")(size=8, channels=1).eval()
    assert isinstance(model, Latent)
    first = evaluate_samples(model, chosen, EYES, seed=3)
    torch.rand(5)
    assert evaluate_samples(model, chosen, EYES, seed=3).to_json() == first.to_json()
    assert evaluate_samples(model, chosen, EYES, seed=4)["FID[eyes]"] != first["FID[eyes]"]
    assert first["path length[eyes]"].value > 0
    assert torch.equal(first.closest[0].sample, _with_the_least(model, chosen, first))


def _with_the_least(model: Latent, chosen: ReferenceImages, found: Evaluation) -> Tensor:
    """The sample of the smallest distance to a training image, found by looking at all."""
    drawn = torch.cat([model.sample(1, seed=seed) for seed in range(3, 43)])
    training = EYES(from_uint8(chosen.training.images))
    distance = torch.cdist(EYES(drawn), training).min(1).values
    assert found.closest[0].distance == pytest.approx(float(distance.min()), rel=1e-4)
    return drawn[distance.argmin()]


@pytest.mark.parametrize("kind", ["gaussian", "bernoulli"])
def test_a_vae_is_asked_for_its_likelihood_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "DRAWS", 7)
    torch.manual_seed(0)
    model = families.find("vae")(size=16, channels=1, latent_dim=4, base_channels=4, likelihood=kind).eval()
    assert isinstance(model, Latent)
    chosen = choose_reference(DataSpec.parse("digits"), count=40, size=16, channels=1)
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


def test_the_bound_of_a_vae_is_its_formula_on_a_stream_of_random_numbers() -> None:
    torch.manual_seed(0)
    model = VAE(size=16, channels=1, latent_dim=4, base_channels=4).eval()
    images = from_uint8(DataSpec.parse("digits/test").open(16, 1).images[:40])
    found = model.likelihood_scores(images, torch.Generator().manual_seed(3))
    random, weights = torch.Generator().manual_seed(3), []
    with torch.no_grad():
        for image in images.split(32):
            shown = image + (torch.rand(image.shape, generator=random) - 0.5) * bounds.BIN
            mean, log_variance = model.posterior(image)
            for _ in range(50):
                noise = torch.randn(mean.shape, generator=random)
                z = mean + noise * (log_variance / 2).exp()
                ratio = (noise.square() + log_variance - z.square()).double().sum(1) / 2
                weights.append(model.log_likelihood(shown, model.decoder(z)).double() + ratio)
    whole = torch.cat([torch.stack(weights[:50], 1), torch.stack(weights[50:], 1)]) + 256 * math.log(bounds.BIN)
    assert found["ELBO (nats/image)"].score == bootstrap_mean(whole.mean(1))
    tighter = bootstrap_mean(whole.logsumexp(1) - math.log(50))
    assert found["importance-weighted bound, 50 draws (nats/image)"].score == tighter


def test_a_diffusion_is_asked_for_a_bound_of_its_likelihood() -> None:
    torch.manual_seed(0)
    model = families.find("diffusion")(size=16, channels=1, base_channels=8, num_inference_steps=2).eval()
    assert isinstance(model, Latent)
    found = judged(model, choose_reference(DataSpec.parse("digits"), count=40, size=16, channels=1))
    nats, bits = found["variational bound (nats/image)"], found["variational bound (bits/dim)"]
    assert bits.value == pytest.approx(-nats.value / 256 / math.log(2)) and bits.low < bits.value < bits.high
    # Untrained it takes the pixels for a Gaussian of deviation 0.5, each for itself: near 8 bits for each, as of no idea.
    assert 7 < bits.value < 12
    assert found["reconstruction PSNR (dB)"].value > 0


def test_of_a_model_that_takes_long_fewer_images_are_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(capability_scores, "NETWORK_CALLS", 200)
    monkeypatch.setattr(capability_scores, "LEAST_IMAGES", 5)
    torch.manual_seed(0)
    model = families.find("diffusion")(size=16, channels=1, base_channels=8, num_inference_steps=4).eval()
    assert isinstance(model, Encoder) and (model.decode_nfe, model.encode_nfe) == (4, 6)
    found = judged(model, choose_reference(DataSpec.parse("digits"), count=40, size=16, channels=1))
    counts = {row.name: row.of for row in found.rows}
    assert (
        counts["reconstruction PSNR (dB)"] == counts["reconstruction SSIM"] == 20 and counts["path length[eyes]"] == 25
    )
    assert counts["variational bound (bits/dim)"] == 40 and counts["FID[eyes]"] is None
    assert any(line.startswith("reconstruction PSNR (dB), of 20 ") for line in found.lines())
    (tmp_path / "evaluation.json").write_text(found.to_json())
    assert read_evaluation(tmp_path / "evaluation.json").rows == found.rows
    vae = families.find("vae")(size=16, channels=1, latent_dim=4, base_channels=4).eval()
    assert isinstance(vae, Latent)
    plain = judged(vae, choose_reference(DataSpec.parse("digits"), count=40, size=16, channels=1))
    assert {row.of for row in plain.rows if "reconstruction" in row.name} == {40}


@pytest.mark.parametrize("units", ["binary", "gaussian"])
def test_an_rbm_is_asked_for_its_likelihood_in_nats(units: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "TEMPERATURES", 300)
    torch.manual_seed(0)
    model = families.find("rbm")(size=8, channels=1, latent_dim=6, units=units, sample_steps=3).eval()
    assert isinstance(model, Latent)
    torch.nn.init.normal_(model.weight, std=0.1)
    chosen = choose_reference(DataSpec.parse("digits"), count=60, size=8, channels=1)
    counted = judged(model, chosen)
    monkeypatch.setattr(partition, "MOST_HIDDEN", 0)
    found = judged(model, chosen)
    exact = counted["log-likelihood, counted (nats/image)"]
    assert exact.low < exact.value < exact.high < 0
    assert found["log Z by AIS (nats)"].value == pytest.approx(counted["log Z, counted (nats)"].value, abs=0.1)
    for name in ("AIS", "reverse AIS"):
        assert found[f"log-likelihood by {name} (nats/image)"].value == pytest.approx(exact.value, abs=0.3)
    assert judged(model, chosen).to_json() == found.to_json()


@dataclass(eq=False)
class Gaussian(Latent, HasLikelihood):
    """A family from outside the package: each pixel has a Gaussian of its own, so that the likelihood is known exactly."""

    sigma: float = option(0.7, "standard deviation of every pixel", low=0)

    def build(self) -> None:
        self.mean = torch.nn.Parameter(torch.linspace(-0.8, -0.2, self.size**2).view(1, 1, self.size, self.size))

    def optimizers(self) -> dict[str, Optimizer]:
        return {"gaussian": torch.optim.SGD(self.parameters(), 0.1)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield "gaussian", {"nll": -self.log_prob(batch.image).mean()}

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return (self.mean + self.sigma * z[:, : self.size**2].view(-1, 1, self.size, self.size)).clamp(-1, 1)

    def log_prob(self, images: Tensor) -> Tensor:
        return torch.distributions.Normal(self.mean, self.sigma).log_prob(images).sum((1, 2, 3))

    def likelihood_scores(self, images: Tensor, generator: Generator, progress: StageCallback = silent) -> Likelihoods:
        with torch.no_grad():
            nats = self.log_prob(images)
        progress("exact likelihood", len(images), len(images))
        bits = bounds.bits_per_dimension(nats, images[0].numel())
        return {
            "log-likelihood (nats/image)": LikelihoodScore(bootstrap_mean(nats)),
            "negative log-likelihood (bits/dim)": LikelihoodScore(bootstrap_mean(bits), "lower"),
        }


def closed_form(model: Gaussian, images: Tensor) -> float:
    """The mean log density of images (n 1 h w) in nats: -|x - mean|^2 / 2 sigma^2 - d log(sigma sqrt(2 pi))."""
    apart = (images - model.mean.detach()).double().square().sum((1, 2, 3)).mean()
    return float(-apart / (2 * model.sigma**2)) - model.size**2 * math.log(model.sigma * math.sqrt(2 * math.pi))


@pytest.mark.usefixtures("coarse_pixels")
def test_a_family_from_outside_is_asked_for_its_likelihood() -> None:
    model, told = Gaussian(8, 1, latent_dim=64).eval(), []
    found = zeuxis.evaluate(
        model, "digits", images=60, features="coarse_pixels:look", progress=lambda *at: told.append(at)
    )
    chosen = choose_reference(DataSpec.parse("digits"), count=60, size=8, channels=1)
    expected = closed_form(model, from_uint8(chosen.reference_pack.images[chosen.reference]))
    rows = {row.name: row for row in found.rows}
    nats, bits = rows["log-likelihood (nats/image)"], rows["negative log-likelihood (bits/dim)"]
    assert nats.score.value == pytest.approx(expected, rel=1e-5) and nats.score.low < expected < nats.score.high
    assert bits.score.value == pytest.approx(-expected / 64 / math.log(2), rel=1e-5)
    assert (nats.better, nats.of, bits.better, bits.of) == ("higher", None, "lower", None)
    assert ("exact likelihood", 60, 60) in told


@pytest.mark.usefixtures("coarse_pixels")
def test_a_likelihood_of_so_many_images_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gaussian, "likelihood_images", 20)
    model = Gaussian(8, 1, latent_dim=64).eval()
    found = zeuxis.evaluate(model, "digits", images=60, features="coarse_pixels:look")
    chosen = choose_reference(DataSpec.parse("digits"), count=60, size=8, channels=1)
    (row,) = (row for row in found.rows if row.name == "log-likelihood (nats/image)")
    spread = from_uint8(chosen.reference_pack.images[chosen.reference[::3]])
    assert row.of == 20 and row.score.value == pytest.approx(closed_form(model, spread), rel=1e-5)
    assert any(line.startswith("log-likelihood (nats/image), of 20 ") for line in found.lines())


def test_a_report_reads_well() -> None:
    rows = [
        ScoreRow("FID[lite0]", Score(1234.56, 1200.0, 1250.04), 11.42, "lower"),
        ScoreRow("x", Score(0.00123, -0.5, 2.0), None, "higher"),
        ScoreRow("PSNR", Score(math.inf)),
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
def coarse_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature function of the user's own, in the current folder."""
    (tmp_path / "coarse_pixels.py").write_text("def look(x): return x[:, 0, ::2, ::2].flatten(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def run(tmp_path: Path, coarse_pixels: None) -> Path:
    """A run with a model of the digits, and a feature function beside it."""
    path = tmp_path / "runs" / "00001-gan-digits"
    torch.manual_seed(0)
    families.find("gan")(size=8, channels=1).save(path / "model")
    (path / "config.yaml").write_text("family: gan\ndata: digits\nsettings: {fit: pad, limit: 300}\n")
    return path


def test_evaluate_writes_into_the_run(run: Path) -> None:
    words = ["evaluate", "1", "--images", "50", "--features", "coarse_pixels:look"]
    code, out, err = typed(*words)
    assert code == 0, err
    assert out.startswith("50 samples of gan against 50 held-out images of digits-test\n")
    assert out.endswith("\nwrote runs/00001-gan-digits/evaluation.json\nwrote runs/00001-gan-digits/closest.png\n")
    assert "FID[coarse_pixels:look]" in out and "warning: precision, recall" in out
    kept = json.loads((run / "evaluation.json").read_text())
    assert kept["about"]["training_images"] == 300 and kept["about"]["features"] == "coarse_pixels:look"
    assert Image.open(run / "closest.png").width > 500
    code, out, _ = typed(*words, "--json", "--out", "elsewhere")
    assert code == 0 and json.loads(out) == kept == json.loads(Path("elsewhere/evaluation.json").read_text())
    assert json.loads(typed(*words, "--json", "--seed", "9")[1]) != kept


def test_an_evaluation_that_is_stopped_shows_what_it_had(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And writes nothing: what lies in the run's folder is never a part of an evaluation."""

    def ended(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(capability_scores, "_path_length", ended)
    words = ["evaluate", "1", "--images", "50", "--features", "coarse_pixels:look"]
    code, out, _ = typed(*words)
    assert code == 130 and not (run / "evaluation.json").exists()
    assert "memorization rate" in out and "path length" not in out
    assert out.endswith("stopped: the scores that come after these are missing, and nothing was written\n")
    assert typed(*words, "--no-path-length")[0] == 0  # is not even begun
    assert "path length" not in (run / "evaluation.json").read_text()


def test_evaluate_of_what_cannot_be_judged(run: Path, tmp_path: Path) -> None:
    families.find("gan")(size=8, channels=1).save("loose")
    assert "name the DATA after it" in refused("evaluate", "loose")
    assert "choose lite0" in refused("evaluate", "1", "--features", "resnet")
    assert "--images" in refused("evaluate", "1", "--images", "19")
    assert "needs --weights FILE" in refused("evaluate", "1", "--features", "inception")
    assert "no run" in refused("evaluate", "7")
    digits, mnist = DataSpec.parse("digits"), DataSpec.parse("mnist")
    assert selected("1", digits) == DataSpec.parse(digits, resize_mode="pad", max_images=300)
    assert selected("1", mnist) == mnist


def test_the_data_of_a_run_is_known_by_a_relative_path_too(run: Path, tmp_path: Path) -> None:
    (run / "config.yaml").write_text(f"family: gan\ndata: {tmp_path / 'birds'}\nsettings: {{max_images: 300}}\n")
    own = loading.data_of("1")
    assert own == DataSpec.parse(tmp_path / "birds")
    for data in ("birds", "./birds", str(tmp_path / "birds")):
        assert selected("1", DataSpec.parse(data)).max_images == 300
    for other in ("bird", "edges -> birds", "digits"):
        assert selected("1", DataSpec.parse(other)) == DataSpec.parse(other)


@pytest.fixture
def two_runs(run: Path) -> list[str]:
    """The run, judged, and one of colour and another size that has not been."""
    assert typed("evaluate", "1", "--images", "50", "--features", "coarse_pixels:look")[0] == 0
    other = run.parent / "00002-<vae>"
    families.find("vae")(size=16, channels=3, base_channels=4).save(other / "model")
    (other / "config.yaml").write_text("family: vae\ndata: digits\n")
    return ["1", "2"]


def test_runs_side_by_side(two_runs: list[str]) -> None:
    code, out, err = typed("compare", *two_runs, "--columns", "3", "--out", "both")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split() == ["score", "00001-gan-digits", "00002-<vae>", "real", "images", "better"]
    assert lines[1].startswith("FID[coarse_pixels:look]") and " ± " in lines[1] and lines[1].endswith("lower")
    assert "warning: 00002-<vae> has not been evaluated; run zeuxis evaluate on it first" in lines
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
    assert torch.equal(found.runs[1].samples, api.sample(model, seeds=[0, 1, 2]).tensor)


def test_runs_judged_otherwise_are_not_compared_in_silence(two_runs: list[str]) -> None:
    assert typed("evaluate", "2", "--images", "40", "--features", "coarse_pixels:look")[0] == 0
    told = " ".join(api.compare(two_runs, columns=1).warnings())
    assert "evaluated differently (samples: 40; 50)" in told and "has not been evaluated" not in told
    assert "trained further" not in told
    families.find("gan")(size=8, channels=1).save("runs/00001-gan-digits/model")
    assert "00001-gan-digits has been trained further since it was evaluated" in " ".join(
        api.compare(two_runs).warnings()
    )


def test_scores_of_before_have_the_names_of_today(two_runs: list[str]) -> None:
    stored = Path("runs/00001-gan-digits/evaluation.json")
    text = stored.read_text()
    assert text.count('"memorization rate"') == 1
    names = [row.name for row in read_evaluation(stored).rows]
    stored.write_text(text.replace('"memorization rate"', '"copies (share of samples)"'))
    assert [row.name for row in read_evaluation(stored).rows] == names
    Path("runs/00002-<vae>/evaluation.json").write_text(text)
    lines = [line for line in api.compare(two_runs, columns=1).cells() if "copies" in line[0] or "memoriz" in line[0]]
    assert [line[0] for line in lines] == ["memorization rate"] and lines[0][1] == lines[0][2] != ""


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
