"""Kernels that may be chosen give what the standard ones give: forward, gradients, gradients of gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from waiting import PATIENCE
from zeuxis.errors import UsageError
from zeuxis.families.gan import GAN
from zeuxis.model import Clock
from zeuxis.nets import kernels, maps
from zeuxis.testing.case import NoiseImages, first_difference
from zeuxis.training.engine import Progress, State, train, train_step

Layers = tuple[nn.Module, tuple[int, ...]]
LAYERS: dict[str, Callable[[], Layers]] = {
    "4x4 stride 2": lambda: (nn.Conv2d(3, 8, 4, 2, 1), (4, 3, 16, 16)),
    "4x4 stride 2, odd": lambda: (nn.Conv2d(5, 7, 4, 2, 1, bias=False), (2, 5, 13, 15)),
    "3x3": lambda: (nn.Conv2d(6, 4, 3, 1, 1), (3, 6, 9, 7)),
    "1x1": lambda: (nn.Conv2d(6, 4, 1), (3, 6, 5, 5)),
    "1x1 stride 2": lambda: (nn.Conv2d(6, 4, 1, 2), (3, 6, 7, 6)),
    "5x3 stride 3x2": lambda: (nn.Conv2d(3, 4, (5, 3), (3, 2), (2, 0)), (2, 3, 17, 12)),
    "4x4 valid": lambda: (nn.Conv2d(4, 1, 4), (3, 4, 4, 4)),
    "transposed": lambda: (nn.ConvTranspose2d(8, 3, 4, 2, 1), (4, 8, 7, 8)),
    "transposed, row more": lambda: (nn.ConvTranspose2d(4, 5, 4, 2, 1, output_padding=1, bias=False), (2, 4, 6, 3)),
    "transposed, from a point": lambda: (nn.ConvTranspose2d(6, 4, 4, 1, 0), (3, 6, 1, 1)),
    "linear": lambda: (nn.Linear(12, 5), (7, 12)),
}


def everything(module: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, the gradients, and the gradients of the squared norm of the input's gradient (as R1 takes them)."""
    y = module(x)
    score = y.tanh().square().sum()
    weights = list(module.parameters())
    first = torch.autograd.grad(score, [x, *weights], create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), [x, *weights], allow_unused=True)
    return [y, *first, *(value for value in second if value is not None)]


def table_of(module: nn.Module, x: Tensor, kernel: str) -> dict[str, str]:
    with kernels._Seeing() as seen:
        module(x)
    (layer,) = seen.layers
    return {kernels.name(layer): f"{kernel} {kernel} {kernel}"}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel", [*maps.PRODUCTS, "standard"])
@pytest.mark.parametrize("what", LAYERS)
def test_as_the_standard_kernel(what: str, kernel: str, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    module, shape = LAYERS[what]()
    x = torch.randn(shape)
    if x.ndim == 4:
        module, x = module.to(memory_format=layout), x.to(memory_format=layout)
    x.requires_grad_()
    wanted = everything(module, x)
    with kernels.Using(table_of(module, x, kernel)):
        found = everything(module, x)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert a.shape == b.shape
        assert (a - b).norm() <= 1e-5 * b.norm()


@pytest.mark.parametrize("kernel", [*maps.PRODUCTS, "standard"])
@pytest.mark.parametrize("what", LAYERS)
def test_as_the_standard_kernel_in_bfloat16(what: str, kernel: str) -> None:
    torch.manual_seed(0)
    module, shape = LAYERS[what]()
    x = torch.randn(shape, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        table = table_of(module, x, kernel)
        assert next(iter(table)).endswith(", bf16")
        wanted = everything(module, x)
        with kernels.Using(table):
            found = everything(module, x)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert (a.float() - b.float()).norm() <= 0.05 * b.float().norm()


def test_a_weight_is_cast_again_only_when_it_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x, made = nn.Linear(4, 3, bias=False), torch.ones(2, 4), []
    plain = kernels._Cast
    monkeypatch.setattr(kernels, "_Cast", lambda *values: made.append(plain(*values)) or made[-1])
    with torch.autocast("cpu", torch.bfloat16), kernels.Using(table_of(layer, x, "blas")):
        (layer(x).sum() + layer(x).sum()).backward()
        assert len(made) == 1
        assert layer.weight.grad is not None
        assert layer.weight.grad.eq(4).all()
        with torch.no_grad():
            layer.weight.fill_(2)
            assert layer(x).eq(8).all()  # no stale weight, and none with a graph where none is recorded
        assert not made[1].made.requires_grad
        assert layer(x).requires_grad


@pytest.mark.parametrize("fused", [True, False])
def test_a_weight_is_cast_again_after_a_step_of_its_optimizer(fused: bool) -> None:
    """A fused optimizer does not mark what it changes."""
    layer, x = nn.Linear(4, 3, bias=False), torch.ones(2, 4)
    optimizer = torch.optim.Adam(layer.parameters(), 0.5, fused=fused)
    with torch.autocast("cpu", torch.bfloat16), kernels.Using(table_of(layer, x, "blas")):
        before = layer(x)
        before.sum().backward()
        optimizer.step()
        moved = (before - layer(x)).detach().float()
    torch.testing.assert_close(moved, torch.full((2, 3), 4 * 0.5), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("kernel", ["blas", "standard"])
@pytest.mark.parametrize("kind", [maps.Down, maps.Up, maps.Weight])
def test_derivatives_are_those_of_finite_differences(kind: type, kernel: str) -> None:
    torch.manual_seed(0)
    layer = maps.Layer((2, 3, 2, 3), (2, 2, 5, 6), (3, 2, 4, 3), (2, 2), (1, 1))
    sizes = {maps.Down: ("large", "weight"), maps.Up: ("small", "weight"), maps.Weight: ("large", "small")}
    a, b = (torch.randn(getattr(layer, each), dtype=torch.float64, requires_grad=True) for each in sizes[kind])
    choice = maps.Choice(kernel, kernel, kernel)
    assert torch.autograd.gradcheck(lambda a, b: kind.apply(a, b, layer, choice), (a, b))
    assert torch.autograd.gradgradcheck(lambda a, b: kind.apply(a, b, layer, choice), (a, b))


def test_only_the_gradients_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = nn.Conv2d(3, 4, 4, 2, 1), torch.randn(2, 3, 8, 8, requires_grad=True)
    asked: list[str] = []
    for direction in ("up", "weight_gradient"):
        plain = getattr(maps, direction)
        monkeypatch.setattr(maps, direction, lambda *a, d=direction, f=plain: (asked.append(d), f(*a))[1])
    with kernels.Using(table_of(module, x, "blas")):
        module(x).sum().backward(inputs=[x])
        assert asked == ["up"]
        module(x).sum().backward(inputs=list(module.parameters()))
        assert asked == ["up", "weight_gradient"]


def test_other_number_formats_and_shapes_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = nn.Conv2d(4, 4, 3, 1, 1), torch.randn(2, 4, 8, 8)
    table = table_of(module, x, "blas")
    monkeypatch.setattr(maps, "columns", lambda *_: pytest.fail("not the standard kernel"))
    with kernels.Using(table):
        module(x[:1])
        F.conv2d(x, module.weight[:, :1], padding=1, groups=4)
        F.conv2d(x, module.weight, padding=2, dilation=2)
        F.conv2d(x, module.weight, padding="same")
        module.double()(x.double())
        with torch.autocast("cpu", torch.bfloat16):  # measured in float32
            module.float()(x)
        with torch.autocast("cpu", torch.float16):
            assert kernels._precision(x, module.weight, 4) is None
        assert module.to("meta")(x.to("meta")).shape == x.shape


def test_the_measurement_keeps_what_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.Flatten(), nn.Linear(8 * 64, 4)), torch.randn(64, 8, 8, 8)
    assert kernels.choose(lambda: module(x)) == {}  # too little work to be worth a choice
    monkeypatch.setattr(kernels, "WORTH", 0.0)
    taken = {"standard": 1.0, "blas": 0.5, "onednn": 0.7}
    monkeypatch.setattr(kernels, "_seconds", lambda compute: taken[compute.args[-1]])
    monkeypatch.setattr(kernels, "_pays", lambda *_: True)
    found = kernels.choose(lambda: module(x), seconds=PATIENCE)
    assert list(found) == [
        "64x8x8x8 to 64x8x8x8 by 8x8x3x3, stride 1x1, padding 1x1",
        "64x512 to 64x4 by 4x512",
    ]
    assert set(" ".join(found.values()).split()) == {"blas"}
    with torch.autocast("cpu", torch.bfloat16):
        assert list(kernels.choose(lambda: module(x), seconds=PATIENCE)) == [f"{layer}, bf16" for layer in found]
    assert kernels.choose(lambda: module(x), seconds=-1) == {}
    monkeypatch.setattr(kernels, "_pays", lambda *_: False)
    assert kernels.choose(lambda: module(x), seconds=PATIENCE) == {}  # steps are no faster with what won by itself


@pytest.mark.parametrize(
    ("standard", "other", "clear"),
    [
        ([1.0] * 5, [0.5] * 5, True),
        ([1.0] * 5, [0.95] * 5, False),
        ([3.0, 1.0, 1.0, 1.0, 1.0], [1.0] * 5, False),  # the standard was disturbed once
        ([3.0, 3.0, 3.0, 1.0, 3.0], [1.0] * 5, False),  # most of the time
        ([1.0] * 5, [0.5, 1.0, 1.0, 1.0, 1.0], False),  # a lucky call
        ([1.0, 3.0, 1.0, 1.0, 1.0], [0.5, 0.5, 1.5, 0.5, 0.5], True),  # one pair of five disturbed
    ],
)
def test_a_busy_core_decides_nothing(
    standard: list[float], other: list[float], clear: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [time for pair in zip(standard, other) for time in pair]
    monkeypatch.setattr(kernels, "_seconds", lambda compute: times.pop(0))
    assert (kernels._share(lambda: None, lambda: None, seconds=PATIENCE) < kernels._GAIN) is clear


def test_steps_with_a_table_are_compared_with_steps_without(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, image = nn.Linear(8, 4), torch.randn(3, 8)
    table = table_of(layer, image, "blas")
    used: list[bool] = []
    apply = maps.Down.apply
    monkeypatch.setattr(maps.Down, "apply", lambda *a: (used.append(True), apply(*a))[1])
    monkeypatch.setattr(kernels, "_seconds", lambda compute: (used.clear(), compute(), 0.5 if used else 1.0)[2])
    assert kernels._pays(lambda: layer(image), table, PATIENCE)
    assert not kernels._pays(lambda: layer(image), {}, PATIENCE)


def test_a_run_in_bfloat16_resumes_exactly_with_chosen_kernels() -> None:
    torch.manual_seed(0)
    model = GAN(size=8, hidden_dim=8, layers=1)
    images = NoiseImages(model)

    def trained(state: State, steps: int, table: dict[str, str]) -> list[Progress]:
        play = partial(train, state.model, images, batch_size=4, seed=0, precision="bf16", kernels=table)
        return list(play(steps=steps, resume=state))

    batch, whole, cut, plain = images.batch(0, 4), *(State.start(copy.deepcopy(model)) for _ in range(3))
    trial = copy.deepcopy(model)
    step = partial(train_step, trial, trial.optimizers(), batch, Clock(), precision="bf16")
    table = {kernels.name(layer): "blas blas blas" for layer in kernels.called(step)}
    assert any(layer.endswith(", bf16") for layer in table)
    assert any(not layer.endswith(", bf16") for layer in table)  # of the penalty
    found, wanted = trained(whole, 4, table), trained(plain, 4, {})
    for name, value in wanted[0].report.items():
        assert float(found[0].report[name]) == pytest.approx(float(value), rel=0.02, abs=0.02)
    trained(cut, 2, table)
    continued = State.start(copy.deepcopy(model))
    continued.restore(cut.tensors(), cut.scalars())
    trained(continued, 4, table)
    assert first_difference(whole, continued) is None


def test_a_kernel_in_name_only_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table from another computer may name what this build of torch lists and lacks, or computes wrongly."""

    def lacking(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("not built with it")

    monkeypatch.setitem(maps.PRODUCTS, "lacking", lacking)
    monkeypatch.setitem(maps.PRODUCTS, "wrong", lambda a, b: a @ b.t() + 1)
    for kernel in ("lacking", "wrong"):
        with pytest.raises(UsageError, match="expected three of blas, .*standard: restore config.yaml"):
            kernels.check({"one": f"standard {kernel} standard"})
    kernels.check({})


def test_a_table_for_other_layers_or_of_any_names_decides_nothing() -> None:
    """Sizes are those of the layers that are called: a table gives none of them another."""
    layer, image = torch.nn.Linear(8, 4), torch.randn(3, 8)
    wanted = layer(image)
    own = kernels.name(kernels.called(lambda: layer(image))[0])
    odd = dict.fromkeys(("", "9" * 5000, own.replace("3x", "99999999x"), own + " ", "\x00", "../.."), "blas blas blas")
    kernels.check(odd)
    with kernels.Using(odd):
        assert torch.equal(layer(image), wanted)
    with kernels.Using({own: "blas blas blas"}):
        assert torch.allclose(layer(image), wanted, atol=1e-6)


def test_a_table_out_of_a_file_is_checked() -> None:
    kernels.check({"one": "standard blas standard"})
    for text in ("blas", "blas blas cuda", "standard standard standard standard", ""):
        with pytest.raises(UsageError, match="restore"):
            kernels.check({"one": text})
