"""The scores equal what others compute of the same features, and what is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import torch
from sklearn.metrics import pairwise_distances
from torch import Tensor

from zeuxis import scores
from zeuxis.errors import DataError
from zeuxis.likelihood.bounds import BIN, Bounds, bits_per_dimension, dequantised, importance_weighted, log_weights
from zeuxis.metrics import distances, latent, neighbours, paired


def gaussian(count: int, dimensions: int = 24, *, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Draws (n d) of a Gaussian whose dimensions are correlated."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return torch.randn(count, dimensions, generator=random, dtype=torch.float64) @ mixing * scale + shift


def fid_by_root(real: Tensor, fake: Tensor) -> float:
    """Frechet's distance as its formula says, by the root of a matrix."""
    x, y = real.numpy(), fake.numpy()
    one, other = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(one @ other).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(one + other - 2 * root))


@pytest.mark.parametrize(("n", "m"), [(300, 400), (200, 20), (20, 200)])
def test_fid_is_its_formula(n: int, m: int) -> None:
    x, y = gaussian(n), gaussian(m, seed=1, scale=1.2, shift=0.3)
    # Where there are fewer images than dimensions scipy's root of a singular matrix is good to about 1e-7.
    assert distances.frechet(x, y) == pytest.approx(fid_by_root(x, y), rel=1e-6)
    assert distances.fid(x, y).value == pytest.approx(distances.frechet(x, y), rel=1e-9)


def test_fid_is_that_of_torchmetrics() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid")
    x, y = gaussian(300), gaussian(400, seed=1, scale=1.1)
    expected = fid._compute_fid(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T)).item()
    assert distances.fid(x, y).value == pytest.approx(expected, rel=1e-6)


def test_fid_of_gaussians_with_known_moments() -> None:
    d = 6
    one = distances.Moments(torch.zeros(d).double(), torch.diag(torch.arange(1.0, 7)).double())
    other = distances.Moments(torch.full((d,), 2.0).double(), torch.diag(torch.arange(1.0, 7) * 4).double())
    assert distances.between(one, other) == pytest.approx(4 * d + 21)  # of each 4, and (1 - 2)^2 times its variance
    assert distances.between(one, one) == pytest.approx(0, abs=1e-9)
    still = distances.Moments(torch.zeros(d).double(), torch.diag(torch.tensor([0.0, 0, 1, 2, 3, 4])).double())
    roots = [(math.sqrt(i) - math.sqrt(i + 2)) ** 2 for i in range(1, 5)]
    assert distances.between(still, one) == pytest.approx(1 + 2 + sum(roots))


def test_fid_with_a_dead_feature() -> None:
    x, y = gaussian(100), gaussian(120, seed=1)
    x[:, 3], y[:, 3] = 0, 0
    assert distances.frechet(x, y) == pytest.approx(fid_by_root(x, y), rel=1e-6)


def test_leaving_out_is_worked_out_as_if_by_hand() -> None:
    x = gaussian(103, 4) + 50
    for lesser, group in zip(distances._grouped_moments(x), [slice(0, 0), *scores.groups(103)], strict=True):
        direct = distances.moments(torch.cat([x[: group.start], x[group.stop :]]))
        assert torch.allclose(lesser.mean, direct.mean) and torch.allclose(lesser.covariance, direct.covariance)


def test_the_interval_of_fid_holds_the_truth_as_often_as_it_says() -> None:
    """Of 60 pairs of sets, large enough that the bias is small beside the noise."""
    one, other = gaussian(20_000, 3, seed=7), gaussian(20_000, 3, seed=8, shift=1.0)
    truth = distances.frechet(one, other)
    scores = [distances.fid(gaussian(400, 3, seed=i), gaussian(400, 3, seed=1000 + i, shift=1.0)) for i in range(60)]
    held = sum(score.low <= truth <= score.high for score in scores)
    assert 52 <= held <= 60
    width = np.mean([score.high - score.low for score in scores])
    spread = 3.92 * np.std([score.value for score in scores])
    assert 0.7 < width / spread < 1.7


def kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def test_kid_is_its_formula() -> None:
    x, y = gaussian(70, scale=0.3), gaussian(90, seed=1, scale=0.4)
    xx, yy = kernel(x, x), kernel(y, y)
    within = (xx.sum() - xx.trace()) / (70 * 69) + (yy.sum() - yy.trace()) / (90 * 89)
    found = distances.kid(x, y)
    assert found.value == pytest.approx(float(within - 2 * kernel(x, y).mean()), rel=1e-9)
    assert found.low < found.value < found.high
    single = distances.kid(x.float(), y.float())
    assert single.value == pytest.approx(found.value, rel=1e-4)


def test_kid_is_that_of_torchmetrics() -> None:
    kid = pytest.importorskip("torchmetrics.image.kid")
    x, y = gaussian(80, scale=0.3), gaussian(80, seed=1, scale=0.4)
    expected = kid.poly_mmd(x, y).item()
    assert distances.kid(x, y).value == pytest.approx(expected, rel=1e-6)


def test_kid_of_one_distribution_is_0_on_average() -> None:
    scores = [
        distances.kid(gaussian(40, 4, seed=i, scale=0.3), gaussian(40, 4, seed=500 + i, scale=0.3)) for i in range(80)
    ]
    values = np.array([score.value for score in scores])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(80) and (values < 0).any()
    assert sum(score.low <= 0 <= score.high for score in scores) >= 70


def test_too_few_or_broken_features_are_refused() -> None:
    x = gaussian(30)
    for score in (distances.fid, distances.kid):
        with pytest.raises(DataError, match="at least 20"):
            score(x, x[:19])
        with pytest.raises(DataError, match="not finite"):
            score(x, torch.where(x > 1, float("nan"), x))
    with pytest.raises(DataError, match="at least 6"):
        neighbours.manifold(x[:5])


def by_hand(real: Tensor, fake: Tensor, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage, from whole matrices of distances by scikit-learn."""
    x, y = real.numpy(), fake.numpy()
    balls = [np.sort(pairwise_distances(z), axis=1)[:, k] for z in (x, y)]
    across = pairwise_distances(x, y)
    inside = across < balls[0][:, None]
    covered = across.min(1) < balls[0]
    return inside.any(0).mean(), (across < balls[1]).any(1).mean(), inside.sum(0).mean() / k, covered.mean()


@pytest.mark.parametrize(("n", "m", "chunk"), [(150, 90, 1000), (90, 150, 40), (60, 60, 7)])
def test_precision_to_coverage(n: int, m: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS_AT_ONCE", chunk)
    x, y = gaussian(n), gaussian(m, seed=1, scale=0.8, shift=0.5)
    found = neighbours.fidelity(neighbours.manifold(x), neighbours.manifold(y))
    assert [score.value for score in found] == pytest.approx(by_hand(x, y, 5), abs=1e-6)
    assert all(score.low <= score.value <= score.high for score in found)
    assert 0 < found.precision.value < 1 and 0 < found.recall.value < 1


def test_precision_to_coverage_are_those_of_prdc() -> None:
    prdc = pytest.importorskip("prdc")
    x, y = gaussian(120), gaussian(150, seed=1, scale=0.8)
    expected = prdc.compute_prdc(x.numpy(), y.numpy(), nearest_k=5)
    found = neighbours.fidelity(neighbours.manifold(x), neighbours.manifold(y))
    assert {name: getattr(found, name).value for name in expected} == pytest.approx(expected, abs=1e-6)


def test_nearest_is_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS_AT_ONCE", 13)
    x, y = gaussian(50), gaussian(70, seed=1)
    found = neighbours.nearest(x, y)
    matrix = pairwise_distances(x.numpy(), y.numpy())
    assert np.array_equal(found.place, matrix.argmin(1)) and np.allclose(found.distance, matrix.min(1))
    own = neighbours.nearest(x, x, selves=True)
    matrix = pairwise_distances(x.numpy()) + np.diag(np.full(50, np.inf))
    assert np.array_equal(own.place, matrix.argmin(1)) and np.allclose(own.distance, matrix.min(1))
    copied = neighbours.nearest((y[[5, 60]] + 1e-5).float() + 1000, y.float() + 1000)
    assert copied.place.tolist() == [5, 60] and copied.distance.max() < 1e-2


def test_copies_are_found() -> None:
    training, unseen = gaussian(300), neighbours.nearest(gaussian(300, seed=1), gaussian(300)).distance
    fresh, learned = gaussian(200, seed=2), gaussian(200, seed=3)
    learned[:50] = training[:50] + 1e-3
    honest = neighbours.memorization(neighbours.nearest(fresh, training).distance, unseen)
    thief = neighbours.memorization(neighbours.nearest(learned, training).distance, unseen)
    assert honest.rate.low < 0.05 and honest.rate.value < 0.05
    assert thief.rate.value == pytest.approx(0.25, abs=0.03) and thief.rate.low > 0.15
    assert honest.samples.value == pytest.approx(honest.held_out.value, rel=0.1)


def test_bootstrap_is_that_of_a_mean() -> None:
    values = torch.randn(500, generator=torch.Generator().manual_seed(0)) + 3
    found = scores.bootstrap_mean(values)
    half = 1.96 * float(values.std()) / math.sqrt(500)
    assert found.value == pytest.approx(float(values.mean()), abs=1e-6)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)
    assert scores.bootstrap_mean(values) == found
    middle = scores.bootstrap_median(values)
    assert middle.low < float(values.median()) < middle.high


def test_psnr_and_ssim() -> None:
    random = torch.Generator().manual_seed(0)
    truth = torch.rand(3, 2, 24, 20, generator=random) * 2 - 1
    image = (truth + 0.2 * torch.randn(truth.shape, generator=random)).clamp(-1, 1)
    mse = (image - truth).square().mean((1, 2, 3)).double()
    assert torch.allclose(paired.psnr(image, truth), -10 * torch.log10(mse / 4), atol=1e-6)
    assert torch.isinf(paired.psnr(truth, truth)).all()
    found = [np.mean([ssim_plane(image[i, c], truth[i, c]) for c in range(2)]) for i in range(3)]
    assert paired.ssim(image, truth).tolist() == pytest.approx(found, abs=1e-7)
    assert torch.allclose(paired.ssim(truth, truth), torch.ones(3).double())


def ssim_plane(image: Tensor, truth: Tensor) -> float:
    """SSIM of one channel by scipy's Gaussian filter, of values from 0 to 2."""

    def local(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return scipy.ndimage.gaussian_filter(values, 1.5, truncate=3.5)[5:-5, 5:-5]

    x, y = image.double().numpy() + 1, truth.double().numpy() + 1
    mx, my = local(x), local(y)
    vx, vy, cov = local(x * x) - mx**2, local(y * y) - my**2, local(x * y) - mx * my
    return float(
        (((2 * mx * my + 0.0004) * (2 * cov + 0.0036)) / ((mx**2 + my**2 + 0.0004) * (vx + vy + 0.0036))).mean()
    )


def test_path_length_of_a_linear_decoder() -> None:
    matrix, shift = gaussian(5, 5), torch.randn(5).double()
    start = gaussian(7, 5, seed=1)
    move = gaussian(7, 5, seed=2)
    found = latent.squared_speeds(lambda z: z @ matrix + shift, lambda x: 2 * x, start, start + 0.01 * move, step=0.01)
    assert torch.allclose(found, (2 * move @ matrix).square().sum(1), rtol=1e-6)


def test_bounds_of_a_linear_model_are_its_likelihood() -> None:
    """x = W z + noise: with the true posterior both bounds are log p(x), with another the weighted one is nearer."""
    random = torch.Generator().manual_seed(0)
    # Columns at right angles, so that the true posterior is one with independent dimensions.
    w = torch.linalg.qr(torch.randn(5, 2, generator=random).double())[0] * torch.tensor([1.0, 2.0]).double()
    noise = 0.5
    z = torch.randn(8, 2, generator=random).double()
    x = z @ w.T + noise * torch.randn(8, 5, generator=random).double()

    def given(z: Tensor) -> Tensor:
        return torch.distributions.Normal(z @ w.T, noise).log_prob(x).sum(1)

    def bounds(draws: int, widen: float) -> Bounds:
        random = torch.Generator().manual_seed(1)
        return importance_weighted(
            log_weights(mean, (2 * math.log(widen) + variance.log()).expand(8, 2), given, draws=draws, generator=random)
        )

    truth = torch.distributions.MultivariateNormal(
        torch.zeros(5).double(), w @ w.T + noise**2 * torch.eye(5).double()
    ).log_prob(x)
    variance = 1 / (1 + torch.tensor([1.0, 4.0]).double() / noise**2)
    mean = x @ w / noise**2 * variance
    exact = bounds(3, 1.0)
    assert torch.allclose(exact.evidence, truth) and torch.allclose(exact.weighted, truth)
    loose = bounds(2000, 1.5)
    assert (loose.evidence < truth - 0.05).all() and torch.allclose(loose.weighted, truth, atol=0.1)


def test_bits_of_counted_values() -> None:
    """A density that is even over all 256 bins says 8 bits for each number."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 1, 6, 6), generator=random) / 127.5 - 1
    shown = dequantised(images, random)[0]
    assert ((shown - images).abs() <= BIN / 2 + 1e-6).all() and (shown != images).any()
    even = torch.full((4,), -36 * math.log(256 * BIN)) + 36 * math.log(BIN)
    assert bits_per_dimension(even, 36).tolist() == pytest.approx([8.0] * 4)
