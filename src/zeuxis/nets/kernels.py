"""Selection of convolution kernels, per layer and direction, by measurement at the start of training."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.overrides import TorchFunctionMode

from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.nets.maps import PRODUCTS, Choice, Down, Layer, Up, down, up, weight_gradient

WORTH = 20e6  # operations of a layer below which no kernel is measured
_GAIN = 0.9  # largest share of the standard kernel's time for another kernel
_PAYS = 0.98  # largest share of a step's time with standard kernels for one with chosen ones
_AGREE = {"fp32": 1e-5, "bf16": 1e-2}  # relative difference from the standard kernel
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Call(NamedTuple):
    """The signature of a layer's call: operation and shapes."""

    map: type[Function]
    layer: Layer
    image: Tensor
    weight: Tensor
    bias: Tensor | None


def _pair(value: Any) -> tuple[int, int]:
    a, b = (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))
    return a, b


def _precision(image: Tensor, weight: Tensor, ndim: int) -> str | None:
    """The number format that a call computes in; None where it keeps the standard kernel."""
    if image.device.type != "cpu" or not image.ndim == weight.ndim == ndim:
        return None
    if not torch.is_autocast_enabled("cpu"):
        return "fp32" if image.dtype == weight.dtype == torch.float32 else None
    castable = {image.dtype, weight.dtype} <= {torch.float32, torch.bfloat16}
    return "bf16" if castable and torch.get_autocast_dtype("cpu") == torch.bfloat16 else None


def _linear(image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Call | None:
    if (precision := _precision(image, weight, 2)) is None:
        return None
    layer = Layer((len(image), len(weight)), tuple(image.shape), tuple(weight.shape), precision=precision)
    return Call(Down, layer, image, weight, bias)


def _conv(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Call | None:
    precision = _precision(image, weight, 4)
    if precision is None or isinstance(padding, str) or groups != 1 or _pair(dilation) != (1, 1):
        return None
    s, p = _pair(stride), _pair(padding)
    h, w = ((image.shape[i + 2] + 2 * p[i] - weight.shape[i + 2]) // s[i] + 1 for i in (0, 1))
    layer = Layer((len(image), len(weight), h, w), tuple(image.shape), tuple(weight.shape), s, p, precision)
    return Call(Down, layer, image, weight, bias)


def _conv_transpose(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Call | None:
    precision = _precision(image, weight, 4)
    if precision is None or groups != 1 or _pair(dilation) != (1, 1):
        return None
    s, p, spare = _pair(stride), _pair(padding), _pair(output_padding)
    h, w = ((image.shape[i + 2] - 1) * s[i] - 2 * p[i] + weight.shape[i + 2] + spare[i] for i in (0, 1))
    layer = Layer(tuple(image.shape), (len(image), weight.shape[1], h, w), tuple(weight.shape), s, p, precision)
    return Call(Up, layer, image, weight, bias)


_CALLS: dict[Any, Callable[..., Call | None]] = {
    F.linear: _linear,
    torch.conv2d: _conv,
    torch.conv_transpose2d: _conv_transpose,
}


@lru_cache(maxsize=4096)
def name(layer: Layer) -> str:
    """The layer in words, as a run's files have it: `32x3x64x64 to 32x32x32x32 by 32x3x4x4, stride 2x2, padding 1x1`, and
    `, bf16` in that format."""
    large, small, weight, stride, padding = (
        "x".join(map(str, sizes or ()))
        for sizes in (layer.large, layer.small, layer.weight, layer.stride, layer.padding)
    )
    how = f", stride {stride}, padding {padding}" if stride else ""
    return f"{large} to {small} by {weight}{how}" + (", bf16" if layer.precision == "bf16" else "")


class _Cast(NamedTuple):
    """A weight, its version and whether gradients were recorded, and what it was cast to then."""

    weight: Tensor
    version: int
    recorded: bool
    made: Tensor


class Using(TorchFunctionMode):
    """A context in which the layers of the table (of `choose`) use its kernels; others use the standard ones.

    Under autocast a parameter is cast once until it changes, as by autocast itself, but for as long as the context lasts.
    Its version alone does not tell: fused optimizers leave it (torch 2.13). So every optimizer step ends the casts.
    """

    def __init__(self, table: Mapping[str, str]) -> None:
        super().__init__()
        self._table = {layer: Choice(*kernels.split()) for layer, kernels in table.items()}
        self._casts: dict[int, _Cast] = {}

    def __enter__(self) -> Self:
        self._hook = register_optimizer_step_post_hook(lambda *_: self._casts.clear())
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._hook.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = _CALLS[func](*args, **kwargs or {}) if func in _CALLS else None
        choice = self._table.get(name(call.layer)) if call else None
        if call is None or choice is None:
            return func(*args, **kwargs or {})
        image, weight = call.image, call.weight
        if call.layer.precision == "bf16":
            image, weight = image.bfloat16(), self._cast(weight)
        done: Tensor = call.map.apply(image, weight, call.layer, choice)  # type: ignore[no-untyped-call]
        if call.bias is None:
            return done
        bias = call.bias.to(done.dtype)
        return done + (bias if done.ndim == 2 else bias.view(-1, 1, 1))

    def _cast(self, weight: Tensor) -> Tensor:
        if not weight.is_leaf:  # computed anew for each call
            return weight.bfloat16()
        known, recorded = self._casts.get(id(weight)), torch.is_grad_enabled()
        if known is None or (known.version, known.recorded) != (weight._version, recorded):
            known = self._casts[id(weight)] = _Cast(weight, weight._version, recorded, weight.bfloat16())
        return known.made


def check(table: Mapping[str, str]) -> None:
    """Raise `UsageError` where the table from a file names a kernel that is unknown, or does not work here.

    A table decides no more than this: sizes are those of the layers that are called, and each kernel computes the same.
    """
    usable = {"standard", *filter(_works, PRODUCTS)} if table else set()
    for layer, text in table.items():
        words = text.split()
        if len(words) != 3 or not set(words) <= usable:
            raise UsageError(
                f"the kernels of {quote(layer)} are {quote(text)}; expected three of {', '.join(sorted(usable))}: "
                "restore config.yaml from a copy, or the version of torch that the run began with"
            )


def _works(kernel: str) -> bool:
    """Whether this build of torch has a product in more than name, and it is one."""
    try:
        return bool(PRODUCTS[kernel](torch.ones(2, 3), torch.ones(4, 3)).eq(3).all())
    except RuntimeError:
        return False


class _Seeing(TorchFunctionMode):
    """Notes the layers that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[Layer, None] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = _CALLS[func](*args, **kwargs or {}) if func in _CALLS else None
        if call is not None:
            self.layers[call.layer] = None
        return func(*args, **kwargs or {})


def called(step: Callable[[], object]) -> list[Layer]:
    """The layers that `step` calls, each once, in the order in which they come."""
    with _Seeing() as seen:
        step()
    return list(seen.layers)


def choose(step: Callable[[], object], *, seconds: float = 10.0) -> dict[str, str]:
    """The fastest kernels, by layer, among the layers that `step` calls; within about so many seconds.

    None where steps are not faster with them: in a step a kernel finds other memory in the caches than by itself.
    """
    layers = called(step)
    end = time.monotonic() + seconds
    table: dict[str, str] = {}
    for layer in sorted(layers, key=_operations, reverse=True):
        if _operations(layer) < WORTH or time.monotonic() > end:
            break
        choice = _fastest(layer)
        if choice != Choice():
            table[name(layer)] = " ".join(choice)
    return table if table and _pays(step, table, seconds) else {}


def _pays(step: Callable[[], object], table: Mapping[str, str], seconds: float) -> bool:
    """Whether steps with the kernels of the table are faster than with the standard ones."""

    def chosen() -> None:
        with Using(table):
            step()

    return _share(step, chosen, most=3, seconds=seconds) < _PAYS


def _operations(layer: Layer) -> float:
    return 2.0 * math.prod(layer.small) * math.prod(layer.weight[1:])


def _fastest(layer: Layer) -> Choice:
    """The fastest kernel in each direction, on noise."""
    large, small, weight = (
        torch.randn(sizes) if len(sizes) == 2 else torch.randn(sizes).to(memory_format=torch.channels_last)
        for sizes in (layer.large, layer.small, layer.weight)
    )
    large, small, weight = (each.to(_TYPES[layer.precision]) for each in (large, small, weight))
    return Choice(
        _winner(partial(down, large, weight, layer), _AGREE[layer.precision]),
        _winner(partial(up, small, weight, layer), _AGREE[layer.precision]),
        _winner(partial(weight_gradient, large, small, layer), _AGREE[layer.precision]),
    )


def _winner(compute: Callable[[str], Tensor], agree: float) -> str:
    wanted = compute("standard").float()
    best, least = "standard", _GAIN
    for kernel in PRODUCTS:
        try:
            error = (compute(kernel).float() - wanted).norm() / wanted.norm()
        except RuntimeError:  # a build of torch that has the product in name only
            continue
        share = _share(partial(compute, "standard"), partial(compute, kernel)) if error < agree else 1.0
        if share < least:
            best, least = kernel, share
    return best


def _share(
    standard: Callable[[], object], other: Callable[[], object], *, most: int = 5, seconds: float = 0.2
) -> float:
    """The share of the time of `standard` that `other` takes: the larger of the ratio of the least times and the median
    ratio of at most so many pairs of calls, in turns.

    Where other work takes the core for a while, the two differ, or no pair is much faster than another: no clear gain.
    """
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while not pairs or (len(pairs) < most and time.perf_counter() < end):
        pairs.append((_seconds(standard), _seconds(other)))
        if len(pairs) == 2 and all(new > old for old, new in pairs):
            break
    least = min(new for _, new in pairs) / min(old for old, _ in pairs)
    return max(least, statistics.median(new / old for old, new in pairs))


def _seconds(compute: Callable[[], object]) -> float:
    begin = time.perf_counter()
    compute()
    return time.perf_counter() - begin
