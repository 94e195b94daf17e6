"""Inversion, directions and edits, checked on linear models, whose answers are known exactly; and their commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from commandline import refused, typed
from zeuxis import explore, families
from zeuxis.errors import UsageError
from zeuxis.explore import directions, editing
from zeuxis.explore.candidates import Candidates
from zeuxis.explore.expression import Vocabulary
from zeuxis.explore.inversion import Search
from zeuxis.metrics import extractors, vgg
from zeuxis.model import Batch, Clock, Encoder, Latent, Turn

LATENT = 12
WORDS = Vocabulary((("smiling", "neutral"), ("glasses", "no glasses"), ("beard", "")))


@dataclass(eq=False)
class Linear(Latent):
    """Images of 8 pixels that are linear in the latent."""

    def build(self) -> None:
        self.layer = nn.Linear(self.latent_dim, self.channels * self.size**2)

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield "linear", {}

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.layer(z).view(-1, self.channels, self.size, self.size)


class Twisted(Linear):
    """The same, bent: descent has to look for its way."""

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(2 * super().decode(z.sin() + z / 3))


class Encoding(Linear, Encoder):
    """The linear model with the way back."""

    def encode(self, image: Tensor) -> Tensor:
        return (image.flatten(1) - self.layer.bias) @ torch.linalg.pinv(self.layer.weight).T


def squared(images: Tensor, truth: Tensor) -> Tensor:
    """The squared distance of images."""
    return (images - truth).square().flatten(1).mean(1)


def squared_to(truth: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda images: squared(images, truth)


def model(kind: type[Linear] = Linear) -> Linear:
    torch.manual_seed(0)
    made = kind(size=8, latent_dim=LATENT).requires_grad_(False)
    made.layer.weight.copy_(torch.randn(made.layer.weight.shape) / 3)
    return made


# Inversion


def test_inversion_of_a_linear_model_is_ridge_regression() -> None:
    linear, prior, perceptual = model(), 0.05, 0.5
    truth = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    how = Search(steps=900, restarts=2, lr=0.05, perceptual=perceptual, prior=prior)
    found = explore.invert_by_descent(linear, truth, distance=squared_to, how=how)
    drawn = linear.prior(range(2048))
    centre, spread = drawn.mean(0).double(), drawn.std(0).double()
    # (1 + perceptual) |W z + b - x|^2 / pixels + prior |(z - centre) / spread|^2 / numbers has its least value where
    weight, bias = linear.layer.weight.double(), linear.layer.bias.double()
    scale = (1 + perceptual) / weight.shape[0]
    pull = torch.diag(prior / LATENT / spread**2)
    right = scale * (truth.flatten(1).double() - bias) @ weight + centre @ pull
    wanted = torch.linalg.solve(scale * weight.T @ weight + pull, right.T).T
    assert torch.allclose(found.double(), wanted, atol=2e-3)


def test_more_starts_find_pictures_that_one_misses() -> None:
    twisted = model(Twisted)
    truth = twisted.decode(twisted.prior(range(10_000, 10_024)))

    def left(restarts: int) -> Tensor:
        found = explore.invert_by_descent(twisted, truth, distance=squared_to, how=Search(steps=240, restarts=restarts))
        return squared(twisted.decode(found), truth)

    one, eight = left(1), left(8)
    drawn = twisted.decode(twisted.prior(range(2048))).flatten(1)
    nearest = torch.cdist(truth.flatten(1), drawn).min(1).values.square() / drawn.shape[1]
    assert one.mean() < 0.5 * nearest.mean()
    assert eight.mean() < 0.9 * one.mean()


def test_each_picture_is_found_on_its_own() -> None:
    twisted = model(Twisted)
    truth = twisted.decode(twisted.prior([5000, 5001, 5002]))
    how = Search(steps=30, restarts=2)
    together = explore.invert_by_descent(twisted, truth, distance=squared_to, how=how)
    alone = explore.invert_by_descent(twisted, truth[1:2], distance=squared_to, how=how)
    assert torch.allclose(together[1], alone[0], atol=1e-4)


def test_the_progress_of_inversion_ends_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore.inversion, "TOGETHER", 4)
    told: list[tuple[int, int]] = []
    truth = torch.zeros(3, 3, 8, 8)
    how = Search(steps=7, restarts=2)
    explore.invert_by_descent(model(), truth, distance=squared_to, how=how, progress=lambda *done: told.append(done))
    assert told == [(i, 14) for i in range(1, 15)]  # chunks of two pictures and of one
    with pytest.raises(UsageError, match="0 steps and 8 restarts"):
        explore.invert_by_descent(model(), truth, distance=squared_to, how=Search(steps=0))


# Directions


def correlated() -> Candidates:
    """Latents whose attributes are planes, of which the first two mostly go together."""
    random = torch.Generator().manual_seed(3)
    z = torch.randn(6000, LATENT, generator=random)
    planes = torch.eye(3, LATENT)
    z[:, 1] += 0.8 * z[:, 0]
    return Candidates(z, (30 * z @ planes.T).sigmoid(), torch.arange(6000))


def test_the_difference_of_means_is_free_of_what_goes_together() -> None:
    among = correlated()
    step = directions.towards(0, among, WORDS).step
    plain = among.latents[among.labels[:, 0] > 0.5].mean(0) - among.latents[among.labels[:, 0] < 0.5].mean(0)
    assert plain[1] / plain[0] > 0.7  # who has the first mostly has the second
    assert step[1] / step[0] < 0.35  # within those who have both, or neither, the numbers still go together
    assert step[2:].norm() < 0.1 * step.norm()


def test_the_boundary_is_that_of_logistic_regression() -> None:
    among = correlated()
    found = directions._boundary(among.latents, among.labels[:, 0])
    spread = among.latents.std(0).numpy()
    oracle = LogisticRegression(C=1 / (directions.RIDGE * len(among)), tol=1e-10, max_iter=1000)
    hard = (among.labels[:, 0] > 0.5).numpy()
    oracle.fit((among.latents.numpy() - among.latents.numpy().mean(0)) / spread, hard)
    wanted = torch.from_numpy(oracle.coef_[0] / spread)
    assert F.cosine_similarity(found, wanted, dim=0) > 0.9999
    step = directions.towards(0, among, WORDS, method="boundary").step
    assert F.cosine_similarity(step.double(), found, dim=0) == pytest.approx(1, abs=1e-6)
    apart = directions.towards(0, among, WORDS).step
    assert (step @ step) == pytest.approx(float(step @ apart), rel=1e-4)  # as far across the plane


def test_components_are_where_the_features_vary() -> None:
    linear = model()
    linear.layer.weight.mul_(0.01)
    linear.layer.weight[:, 7].fill_(2.0)  # images hardly depend on any other number
    found = directions.components(linear, lambda images: images.flatten(1), count=2, seeds=range(2000))
    assert F.cosine_similarity(found[0].step, torch.eye(LATENT)[7], dim=0).abs() > 0.99
    assert [each.name for each in found] == ["component 1", "component 2"]
    with pytest.raises(UsageError, match="3 samples have no 5 components"):
        directions.components(linear, lambda images: images.flatten(1), count=5, seeds=range(3))


def test_local_components_are_singular_vectors_of_the_jacobian() -> None:
    linear, z = model(), torch.randn(LATENT, generator=torch.Generator().manual_seed(3))
    found = directions.local_components(linear, z, count=4)
    steps = torch.stack([each.step for each in found])
    assert torch.allclose(steps @ steps.T, torch.eye(4), atol=1e-5)
    _, _, axes = np.linalg.svd(linear.layer.weight.numpy())
    for step, axis in zip(steps, axes):
        assert abs(np.dot(step.numpy(), axis)) == pytest.approx(1, abs=1e-3)
    again = directions.local_components(linear, z, count=4)
    assert all(torch.equal(one.step, other.step) for one, other in zip(found, again))
    assert [each.name for each in found] == ["local 1", "local 2", "local 3", "local 4"]


def test_local_components_of_a_curved_decoder_belong_to_its_latent() -> None:
    """They explain the change of its picture better than those of another latent do."""
    twisted = model(Twisted)
    here, there = twisted.prior([1])[0], twisted.prior([2])[0]
    jacobian = torch.autograd.functional.jacobian(lambda z: twisted.decode(z[None]).flatten(), here)

    def explained(z: torch.Tensor) -> float:
        steps = torch.stack([each.step for each in directions.local_components(twisted, z, count=3)])
        return float((jacobian @ steps.T).square().sum())

    best = float(torch.linalg.svdvals(jacobian)[:3].square().sum())
    assert explained(here) == pytest.approx(best, rel=0.01) and explained(there) < 0.95 * best


def test_local_components_of_a_large_latent_lie_in_random_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    linear, z = model(), torch.zeros(LATENT)
    monkeypatch.setattr(directions, "MOST_PROBED", LATENT - 1)
    monkeypatch.setattr(directions, "PROBES", 6)
    steps = torch.stack([each.step for each in directions.local_components(linear, z, count=3)])
    assert torch.allclose(steps @ steps.T, torch.eye(3), atol=1e-5)


def test_factors_are_the_singular_vectors_of_the_first_layer() -> None:
    linear = model()
    _, values, axes = np.linalg.svd(linear.layer.weight.numpy())
    assert values[0] > values[1]
    for each, axis in zip(directions.factors(linear, linear, count=4), axes):
        assert abs(np.dot(each.step.numpy() / np.linalg.norm(each.step.numpy()), axis)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UsageError, match="no linear layer that takes the latent"):
        directions.factors(model(Twisted), model(Twisted))


def test_a_moved_latent_keeps_its_norm_unless_told() -> None:
    z = torch.randn(4, LATENT)
    steps = [
        (1.0, directions.Direction("glasses", torch.eye(LATENT)[2])),
        (-2.0, directions.Direction("b", torch.eye(LATENT)[3])),
    ]
    free = directions.moved(z, steps, 1.5, keep=False)
    assert torch.allclose(free, z + 1.5 * torch.eye(LATENT)[2] - 3 * torch.eye(LATENT)[3])
    kept = directions.moved(z, steps, 1.5)
    assert torch.allclose(kept.norm(dim=1), z.norm(dim=1), atol=1e-5)
    assert torch.allclose(F.cosine_similarity(kept, free), torch.ones(4), atol=1e-5)


# Edits


class Planes:
    """Reads an attribute as present where its number of the latent is above 0."""

    def __init__(self, linear: Linear) -> None:
        self.linear, self.back = linear, torch.linalg.pinv(linear.layer.weight)

    def read(self, images: Tensor) -> Tensor:
        z = (images.flatten(1) - self.linear.layer.bias) @ self.back.T
        return (30 * z[:, :3]).sigmoid()


def known() -> editing.Editor:
    linear = model()
    reader = Planes(linear)
    among = explore.sampled(linear, reader, seeds=range(2000))
    return editing.Editor(linear, WORDS, among, reader)


def test_an_edit_gives_what_is_asked_and_keeps_the_rest() -> None:
    weak, strong = known().score("+ glasses", strengths=(0.0, 3.0), people=200)
    assert (weak.asked, weak.others, weak.people) == (0.0, 0.0, 200)
    assert strong.asked == 1.0 and strong.others < 0.1
    taken = known().score("- glasses", strengths=(3.0,), people=200)[0]
    assert taken.asked == 1.0
    both = known().score("+ glasses - smiling", strengths=(3.0,), people=100)[0]
    assert both.asked == 1.0
    assert strong.describe().startswith("strength 3: target reached by 100 % of 200 edits, ")


def test_edited_images_are_those_of_the_moved_latents() -> None:
    editor = known()
    z = editor.model.prior([3, 4])
    drawn = editor.edit(z, "+ beard", (0.0, 2.0)).tensor
    assert drawn.shape == (2, 2, 3, 8, 8)
    assert torch.allclose(drawn[:, 0], editor.model.decode(z), atol=1e-5)
    step = directions.towards(2, editor.among, WORDS)
    assert torch.allclose(drawn[:, 1], editor.model.decode(directions.moved(z, [(1.0, step)], 2.0)), atol=1e-5)
    with pytest.raises(UsageError, match="no attribute or class 'hat'"):
        editor.edit(z, "+ hat")


@pytest.fixture
def _networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feature networks that nobody has to fetch."""
    torch.manual_seed(0)
    network = vgg.VGG().requires_grad_(False)
    monkeypatch.setattr(extractors, "vgg16", lambda **named: network)
    monkeypatch.setattr(extractors, "find_extractor", lambda *given, **named: lambda images: images.flatten(1))


@pytest.mark.usefixtures("_networks")
def test_an_encoder_is_asked_and_can_be_improved_on() -> None:
    made = model(Encoding)
    assert isinstance(made, Encoding)
    pictures = made.decode(made.prior([1, 2]))
    found = editing.invert_images(made, pictures)
    assert torch.allclose(found.latents, made.prior([1, 2]), atol=1e-4)
    assert float(found.psnr.min()) > 60 and float(found.distance.max()) < 1e-4
    assert "reconstruction of 2 pictures: PSNR" in found.describe()
    made.encode = lambda image: torch.zeros(len(image), LATENT)  # type: ignore[method-assign]
    worse, better = editing.invert_images(made, pictures), editing.invert_images(made, pictures, steps=200)
    assert float(better.psnr.min()) > float(worse.psnr.max()) + 6
    hardly = editing.invert_images(made, pictures, steps=1).latents
    assert 0 < float(hardly.abs().max()) < 0.2  # from the code, not from samples


def test_latents_are_kept_in_a_file(tmp_path: Path) -> None:
    linear = model()
    z = linear.prior([1, 2, 3])
    editing.save_latents(tmp_path / "z.safetensors", z, family=linear.family(), names=["me.png"])
    assert torch.equal(editing.load_latents(tmp_path / "z.safetensors", linear), z)
    other = Linear(size=8, latent_dim=5)
    with pytest.raises(UsageError, match=r"has z of shape \(12,\); expected z of shape \(5,\)"):
        editing.load_latents(tmp_path / "z.safetensors", other)


# The commands


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained models of small pictures."""
    folder = tmp_path_factory.mktemp("models")
    for family in ("gan", "vae"):
        torch.manual_seed(0)
        families.find(family)(size=16, channels=3).save(folder / family)
    return {family: folder / family for family in ("gan", "vae")}


@pytest.fixture
def picture(tmp_path: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "me.png")
    return str(tmp_path / "me.png")


@pytest.mark.usefixtures("_networks", "elsewhere")
@pytest.mark.parametrize("family", ["gan", "vae"])
def test_invert_writes_latents_and_pictures(family: str, saved: dict[str, Path], picture: str, tmp_path: Path) -> None:
    place = tmp_path / "new" / "mine.safetensors"
    given = ["--steps", "3"] if family == "gan" else []
    code, out, err = typed("invert", str(saved[family]), picture, picture, *given, "--out", str(place))
    assert code == 0, err
    assert "reconstruction of 2 pictures: PSNR" in out and f"wrote {place}" in out
    assert editing.load_latents(place, families.find(family)(size=16)).shape[0] == 2
    assert Image.open(place.with_suffix(".png")).height > 2 * 96


def _labelled(monkeypatch: pytest.MonkeyPatch, linear: Sequence[Any] = ()) -> None:
    """A reader of two attributes in the place of the one that would be trained."""

    class Bright:
        def read(self, images: Tensor) -> Tensor:
            halves = torch.stack([part.flatten(1).mean(1) for part in images.chunk(2, dim=3)], 1)
            return (400 * (halves - halves.mean(0))).sigmoid()

    def made(model: Latent, **named: Any) -> editing.Editor:
        words = Vocabulary((("left", ""), ("right", "")))
        return editing.Editor(model, words, explore.sampled(model, Bright(), seeds=range(300)), Bright())

    monkeypatch.setattr(editing, "editor", made)


@pytest.mark.usefixtures("_networks", "elsewhere")
def test_edit_draws_a_strip_for_each_picture(
    saved: dict[str, Path], picture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _labelled(monkeypatch)
    place = tmp_path / "edited.png"
    words = ["edit", str(saved["gan"]), "+ left", "--seeds", "3,4", "--out", str(place)]
    assert typed(*words) == (0, f"wrote {place}\n", "")
    several = Image.open(place).width
    assert typed(*words, "--strength", "2")[0] == 0
    assert Image.open(place).width < several
    code, out, err = typed(*words, "- right", "--score")
    assert code == 0, err
    assert out.count("of the other attributes changed") == len(editing.STRENGTHS)
    assert typed("invert", str(saved["gan"]), picture, "--steps", "2", "--out", str(tmp_path / "z.safetensors"))[0] == 0
    assert typed("edit", str(saved["gan"]), str(tmp_path / "z.safetensors"), "+ left", "--out", str(place))[0] == 0
    assert Image.open(place).width == several


@pytest.mark.usefixtures("_networks", "elsewhere")
@pytest.mark.parametrize("words", [[], ["--method", "factors"], ["left", "--method", "boundary"]])
def test_directions_draws_a_strip_for_each(
    words: list[str], saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _labelled(monkeypatch)
    monkeypatch.setattr(editing, "SAMPLES", 200)
    place = tmp_path / "directions.png"
    given = [] if "left" in words else ["--number", "2"]
    assert typed("directions", str(saved["gan"]), *words, *given, "--out", str(place)) == (0, f"wrote {place}\n", "")
    rows = 1 if "left" in words else 2
    assert rows * 96 < Image.open(place).height < (rows + 1) * 110 + 96


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["invert", "MODEL"], "expected an image, or DATA"),
        (["invert", "MODEL", "me.png", "--out", "z.jpg"], "expected a .safetensors file"),
        (["invert", "MODEL", "nowhere.png"], "nowhere.png"),
        (["edit", "MODEL", "me.png"], "say what to change"),
        (["edit", "MODEL", "+ glasses"], "expected pictures, or --seeds"),
        (["edit", "MODEL", "me.png", "+ glasses", "--seeds", "3"], "expected pictures, or --seeds"),
        (["edit", "MODEL", "+ glasses", "--seeds", "3", "--strength", "1e9"], "expected -100 to 100"),
        (["directions", "MODEL", "glasses", "--method", "factors"], "leave out the attributes"),
        (["directions", "MODEL", "--method", "means"], "needs attributes"),
    ],
)
def test_what_cannot_be_is_said_on_one_line(words: list[str], message: str, saved: dict[str, Path]) -> None:
    assert message in refused(*(str(saved["gan"]) if word == "MODEL" else word for word in words))
