"""Gradient clipping: against the moving average written out, what it leaves alone, and that what it keeps changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop

import toys
from zeuxis.testing.case import NoiseImages
from zeuxis.training import clipping, engine
from zeuxis.training.clipping import CLIP, WARM, Clipping

SHAPES = ((3, 4), (5,), (2, 2, 2))


def parameters() -> list[Tensor]:
    return [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]


def play(
    optimizer: Optimizer, weights: list[Tensor], norms: Iterable[float], clipper: Callable[[], Clipping]
) -> list[float]:
    """Steps with random gradients of these norms: the norms after clipping."""
    noise, seen = torch.Generator().manual_seed(1), []
    for wanted in norms:
        drawn = [torch.randn(weight.shape, generator=noise) for weight in weights]
        scale = wanted / torch.nn.utils.get_total_norm(drawn)
        for weight, gradient in zip(weights, drawn):
            weight.grad = gradient * scale
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        clipper().clip(optimizer, weights, torch.nn.utils.get_total_norm(gradients))
        seen.append(float(torch.nn.utils.get_total_norm(gradients)))
        optimizer.step()
    return seen


def expected(norms: Iterable[float], beta: float = 0.999) -> list[float]:
    """The same by the bias-corrected moving average of the squared norm, as numbers."""
    average, seen = 0.0, []
    for step, norm in enumerate(norms):
        limit = CLIP * math.sqrt(average / (1 - beta**step)) if step > WARM else math.inf
        seen.append(min(norm, limit))
        average = beta * average + (1 - beta) * seen[-1] ** 2
    return seen


def heavy(steps: int, seed: int) -> list[float]:
    """Norms that jump far up and fall low."""
    return torch.exp(2 * torch.randn(steps, generator=torch.Generator().manual_seed(seed))).tolist()


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("fused", [True, False])
def test_norms_are_those_of_the_moving_average_written_out(beta: float, fused: bool) -> None:
    weights, norms = parameters(), heavy(400, 2)
    kept = Clipping()
    seen = play(Adam(weights, 1e-3, (0.5, beta), fused=fused), weights, norms, lambda: kept)
    assert seen == pytest.approx(expected(norms, beta), rel=1e-4)
    assert sum(found < 0.99 * norm for found, norm in zip(seen, norms)) > 3, "some were clipped"


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_changes_no_bit(seed: int) -> None:
    made = []
    kept = Clipping()
    for clipper in (Clipping, lambda: kept):
        weights = parameters()
        play(Adam(weights, 1e-3, fused=True), weights, heavy(300, seed), clipper)
        made.append(weights)
    assert all(torch.equal(a, b) for a, b in zip(*made))


def test_the_sums_are_seldom_taken_where_nothing_is_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, kept, taken = parameters(), Clipping(), []
    isfinite = Tensor.isfinite
    monkeypatch.setattr(Tensor, "isfinite", lambda norm: (taken.append(1), isfinite(norm))[1])
    play(Adam(weights, 1e-3), weights, [1.0] * 1000, lambda: kept)
    assert len(taken) == 1


def test_penalties_every_16_steps_are_not_clipped() -> None:
    """The case that the limit leaves room for: no gradient between them, the whole of it at once."""
    weights, norms = parameters(), [16.0 if step % 16 == 0 else 1e-6 for step in range(1200)]
    kept = Clipping()
    assert play(Adam(weights, 1e-3), weights, norms, lambda: kept) == pytest.approx(norms)


def test_the_first_steps_and_other_optimizers_are_left_alone() -> None:
    early = [1.0] * (WARM - 1) + [1000.0]
    for make, norms in ((Adam, early), (SGD, [1.0] * 200 + [1000.0]), (RMSprop, [1.0] * 200 + [1000.0])):
        weights, kept = parameters(), Clipping()
        assert play(make(weights, 1e-3), weights, norms, lambda kept=kept: kept)[-1] == pytest.approx(1000)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_stays_for_the_check_that_ends_a_training(value: float) -> None:
    weights, kept = parameters(), Clipping()
    optimizer = Adam(weights, 1e-3)
    play(optimizer, weights, [1.0] * 200, lambda: kept)
    gradients = [torch.full(shape, value) for shape in SHAPES]
    for weight, gradient in zip(weights, gradients):
        weight.grad = gradient.clone()
    kept.clip(optimizer, weights, torch.tensor(value))
    assert all(torch.equal(w.grad, g) or w.grad.isnan().all() for w, g in zip(weights, gradients) if w.grad is not None)


def test_younger_parameters_are_corrected_by_their_own_age() -> None:
    """A block that joins later, as where ProGAN grows, has moments of few steps."""
    old, new = parameters(), [nn.Parameter(torch.zeros(4))]
    optimizer = Adam(old + new, 1e-3)
    play(optimizer, old, [1.0] * 300, Clipping)
    seen = play(optimizer, old + new, [1.0, *[2.0] * 5, 100.0], Clipping)
    share = 4 / (sum(math.prod(shape) for shape in SHAPES) + 4)
    assert seen[-2] == pytest.approx(2.0)
    assert CLIP < seen[-1] < 2 * CLIP * math.sqrt(1 + share), "by the larger, younger moments too"


def test_a_training_clips_and_reports_the_norm_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of almost nothing the weights hardly move, and the report tells the gradient's own norm."""
    ends = []
    for limit in (CLIP, 1e-3):
        monkeypatch.setattr(clipping, "CLIP", limit)
        torch.manual_seed(0)
        model = toys.Sound()
        *_, last = engine.train(model, NoiseImages(model), steps=WARM + 40, batch_size=4, seed=0)
        ends.append((next(v for k, v in last.report.items() if k.endswith("grad_norm")), last.state))
    (free, first), (held, second) = ends
    assert any(
        not torch.equal(a, b) for a, b in zip(first.model.state_dict().values(), second.model.state_dict().values())
    )
    assert held > 0.01 * free, "the norm before clipping"
