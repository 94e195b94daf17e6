"""Which kernel computes a layer, chosen for each layer and direction by a measurement: columns and one matrix product
(Chellapilla 2006) against the library's convolution, and one matrix product against another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Product = Callable[[Tensor, Tensor], Tensor]  # m k, n k -> m n


_WORTH = 20e6  # operations of a layer below which no kernel is looked for
_GAIN = 0.9  # of the standard kernel's time, what another may take to be chosen
_AGREE = 1e-5  # relative difference from the standard kernel


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return product


PRODUCTS: dict[str, Product] = {"blas": lambda a, b: a @ b.t(), "onednn": _onednn}


class Layer(NamedTuple):
    """A linear map between images: `down` takes n c h w to n o h' w' by weights o c kh kw, `up` the other way; or
    between vectors, where `stride` is None."""

    small: tuple[int, ...]
    large: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, int] | None = None
    padding: tuple[int, int] = (0, 0)


class Choice(NamedTuple):
    """The kernel of each direction: `standard`, or the name of a matrix product."""

    down: str = "standard"
    up: str = "standard"
    weight: str = "standard"


def columns(image: Tensor, layer: Layer) -> Tensor:
    """The patches (n h' w', kh kw c) that the weights meet in an image (n c h w)."""
    if layer.stride is None:
        return image
    (sy, sx), (py, px), (kh, kw) = layer.stride, layer.padding, layer.weight[2:]
    rows = F.pad(image.permute(0, 2, 3, 1), (0, 0, px, px, py, py)).contiguous()  # n H W c
    n, _, _, c = rows.shape
    a, b, d, e = rows.stride()
    h, w = layer.small[2:]
    return rows.as_strided((n, h, w, kh, kw, c), (a, b * sy, d * sx, b, d, e)).reshape(n * h * w, kh * kw * c)


def fold(patches: Tensor, layer: Layer) -> Tensor:
    """The image (n c h w) that is the sum of its patches (n h' w', kh kw c): the transpose of `columns`."""
    if layer.stride is None:
        return patches
    (sy, sx), (py, px), (kh, kw) = layer.stride, layer.padding, layer.weight[2:]
    (n, c, h, w), (gh, gw) = layer.large, layer.small[2:]
    # The padded image in blocks of stride by stride: a patch covers some of each block it meets.
    high, wide = max(gh + -(-kh // sy) - 1, -(-(h + 2 * py) // sy)), max(gw + -(-kw // sx) - 1, -(-(w + 2 * px) // sx))
    image = patches.new_zeros(n, high, sy, wide, sx, c)
    parts = patches.view(n, gh, gw, kh, kw, c).permute(0, 1, 3, 2, 4, 5)  # n h' kh w' kw c
    for y in range(0, kh, sy):
        for x in range(0, kw, sx):
            part = parts[:, :, y : y + sy, :, x : x + sx]
            i, j = y // sy, x // sx
            image[:, i : i + gh, : part.shape[2], j : j + gw, : part.shape[4]] += part
    flat = image.view(n, high * sy, wide * sx, c)[:, py : py + h, px : px + w]
    return flat.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _convolution(
    image: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    *,
    transposed: bool,
    spare: tuple[int, int] = (0, 0),
) -> Tensor:
    """The library's own; named as the operator, which `Using` lets pass."""
    done: Tensor = torch.ops.aten.convolution(image, weight, None, stride, padding, (1, 1), transposed, spare, 1)
    return done


def _rows(image: Tensor) -> Tensor:
    """An image (n o h' w') as rows (n h' w', o)."""
    return image if image.ndim == 2 else image.permute(0, 2, 3, 1).reshape(-1, image.shape[1])


def _matrix(weight: Tensor) -> Tensor:
    """Weights (o c kh kw) as a matrix (o, kh kw c)."""
    return weight if weight.ndim == 2 else weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def down(image: Tensor, weight: Tensor, layer: Layer, kernel: str) -> Tensor:
    """The convolution (n o h' w') of an image (n c h w)."""
    if kernel == "standard":
        if layer.stride is None:
            return image @ weight.t()
        return _convolution(image, weight, layer.stride, layer.padding, transposed=False)
    rows = PRODUCTS[kernel](columns(image, layer), _matrix(weight))
    return rows if layer.stride is None else rows.view(len(image), *layer.small[2:], -1).permute(0, 3, 1, 2)


def up(image: Tensor, weight: Tensor, layer: Layer, kernel: str) -> Tensor:
    """The transposed convolution (n c h w) of an image (n o h' w'): the gradient of `down` for its image."""
    if kernel != "standard":
        return fold(PRODUCTS[kernel](_rows(image), _matrix(weight).t()), layer)
    if layer.stride is None:
        return image @ weight
    (gh, gw), (h, w), (kh, kw) = layer.small[2:], layer.large[2:], layer.weight[2:]
    (sy, sx), (py, px) = layer.stride, layer.padding
    spare = (h - (gh - 1) * sy + 2 * py - kh, w - (gw - 1) * sx + 2 * px - kw)
    return _convolution(image, weight, layer.stride, layer.padding, transposed=True, spare=spare)


def weight_gradient(large: Tensor, small: Tensor, layer: Layer, kernel: str) -> Tensor:
    """The weights (o c kh kw) that an image (n c h w) and the gradient (n o h' w') of its convolution ask for."""
    if kernel != "standard":
        matrix = PRODUCTS[kernel](_rows(small).t(), columns(large, layer).t())  # o, kh kw c
        if layer.stride is None:
            return matrix
        kh, kw = layer.weight[2:]
        return matrix.view(len(matrix), kh, kw, -1).permute(0, 3, 1, 2)
    if layer.stride is None:
        return small.t() @ large
    like = large.new_empty(layer.weight).to(memory_format=torch.channels_last)
    gradient: Tensor = torch.ops.aten.convolution_backward(
        small, large, like, None, layer.stride, layer.padding, (1, 1), False, (0, 0), 1, (False, True, False)
    )[1]
    return gradient


def _wanted(ctx: Any, index: int) -> bool:
    """Whether this backward pass needs the gradient of that tensor: with `inputs=` it may not, though it could be had."""
    if not ctx.needs_input_grad[index]:
        return False
    try:
        return bool(torch._C._will_engine_execute_node(ctx.next_functions[index][0]))
    except RuntimeError:  # `autograd.grad` does not say of leaves
        return True


# The three maps are each other's gradients, so they can be differentiated as often as one likes.
class _Down(Function):
    @staticmethod
    def forward(ctx: Any, large: Tensor, weight: Tensor, layer: Layer, choice: Choice) -> Tensor:
        ctx.save_for_backward(large, weight)
        ctx.how = (layer, choice)
        return down(large, weight, layer, choice.down)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        large, weight = ctx.saved_tensors
        to_large = _Up.apply(gradient, weight, *ctx.how) if _wanted(ctx, 0) else None
        to_weight = _Weight.apply(large, gradient, *ctx.how) if _wanted(ctx, 1) else None
        return to_large, to_weight, None, None


class _Up(Function):
    @staticmethod
    def forward(ctx: Any, small: Tensor, weight: Tensor, layer: Layer, choice: Choice) -> Tensor:
        ctx.save_for_backward(small, weight)
        ctx.how = (layer, choice)
        return up(small, weight, layer, choice.up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        small, weight = ctx.saved_tensors
        to_small = _Down.apply(gradient, weight, *ctx.how) if _wanted(ctx, 0) else None
        to_weight = _Weight.apply(gradient, small, *ctx.how) if _wanted(ctx, 1) else None
        return to_small, to_weight, None, None


class _Weight(Function):
    @staticmethod
    def forward(ctx: Any, large: Tensor, small: Tensor, layer: Layer, choice: Choice) -> Tensor:
        ctx.save_for_backward(large, small)
        ctx.how = (layer, choice)
        return weight_gradient(large, small, layer, choice.weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        large, small = ctx.saved_tensors
        to_large = _Up.apply(small, gradient, *ctx.how) if _wanted(ctx, 0) else None
        to_small = _Down.apply(large, gradient, *ctx.how) if _wanted(ctx, 1) else None
        return to_large, to_small, None, None


class Call(NamedTuple):
    """A call of a layer, as what it computes."""

    map: type[Function]
    layer: Layer
    image: Tensor
    weight: Tensor
    bias: Tensor | None


def _pair(value: Any) -> tuple[int, int]:
    a, b = (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))
    return a, b


def _plain(image: Tensor, weight: Tensor, ndim: int) -> bool:
    return (
        image.device.type == "cpu"
        and image.dtype == weight.dtype == torch.float32
        and image.ndim == weight.ndim == ndim
        and not torch.is_autocast_enabled("cpu")
    )


def _linear(image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Call | None:
    if not _plain(image, weight, 2):
        return None
    layer = Layer((len(image), len(weight)), tuple(image.shape), tuple(weight.shape))
    return Call(_Down, layer, image, weight, bias)


def _conv(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Call | None:
    if not _plain(image, weight, 4) or isinstance(padding, str) or groups != 1 or _pair(dilation) != (1, 1):
        return None
    s, p = _pair(stride), _pair(padding)
    h, w = ((image.shape[i + 2] + 2 * p[i] - weight.shape[i + 2]) // s[i] + 1 for i in (0, 1))
    layer = Layer((len(image), len(weight), h, w), tuple(image.shape), tuple(weight.shape), s, p)
    return Call(_Down, layer, image, weight, bias)


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
    if not _plain(image, weight, 4) or groups != 1 or _pair(dilation) != (1, 1):
        return None
    s, p, spare = _pair(stride), _pair(padding), _pair(output_padding)
    h, w = ((image.shape[i + 2] - 1) * s[i] - 2 * p[i] + weight.shape[i + 2] + spare[i] for i in (0, 1))
    layer = Layer(tuple(image.shape), (len(image), weight.shape[1], h, w), tuple(weight.shape), s, p)
    return Call(_Up, layer, image, weight, bias)


_CALLS: dict[Any, Callable[..., Call | None]] = {
    F.linear: _linear,
    torch.conv2d: _conv,
    torch.conv_transpose2d: _conv_transpose,
}


@lru_cache(maxsize=4096)
def name(layer: Layer) -> str:
    """The layer in words, as a run's files have it: `32x3x64x64 to 32x32x32x32 by 32x3x4x4, stride 2x2, padding 1x1`."""
    large, small, weight, stride, padding = (
        "x".join(map(str, sizes or ()))
        for sizes in (layer.large, layer.small, layer.weight, layer.stride, layer.padding)
    )
    return f"{large} to {small} by {weight}" + (f", stride {stride}, padding {padding}" if stride else "")


class Using(TorchFunctionMode):
    """While it lasts, layers are computed by the kernels of the table (of `choose`); all others as ever."""

    def __init__(self, table: Mapping[str, str]) -> None:
        super().__init__()
        self._table = {layer: Choice(*kernels.split()) for layer, kernels in table.items()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = _CALLS[func](*args, **kwargs or {}) if func in _CALLS else None
        choice = self._table.get(name(call.layer)) if call else None
        if call is None or choice is None:
            return func(*args, **kwargs or {})
        done: Tensor = call.map.apply(call.image, call.weight, call.layer, choice)  # type: ignore[no-untyped-call]
        if call.bias is None:
            return done
        return done + (call.bias if done.ndim == 2 else call.bias.view(-1, 1, 1))


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


def choose(step: Callable[[], object], *, seconds: float = 5.0) -> dict[str, str]:
    """The kernels that win, by layer, among the layers that `step` calls; at most about so many seconds are spent."""
    with _Seeing() as seen:
        step()
    end = time.monotonic() + seconds
    table: dict[str, str] = {}
    for layer in sorted(seen.layers, key=_operations, reverse=True):
        if _operations(layer) < _WORTH or time.monotonic() > end:
            break
        choice = _fastest(layer)
        if choice != Choice():
            table[name(layer)] = " ".join(choice)
    return table


def _operations(layer: Layer) -> float:
    return 2.0 * math.prod(layer.small) * math.prod(layer.weight[1:])


def _fastest(layer: Layer) -> Choice:
    """The fastest kernel in each direction, on noise."""
    large, small, weight = (
        torch.randn(sizes) if len(sizes) == 2 else torch.randn(sizes).to(memory_format=torch.channels_last)
        for sizes in (layer.large, layer.small, layer.weight)
    )
    return Choice(
        _winner(partial(down, large, weight, layer)),
        _winner(partial(up, small, weight, layer)),
        _winner(partial(weight_gradient, large, small, layer)),
    )


def _winner(compute: Callable[[str], Tensor]) -> str:
    wanted = compute("standard")
    best, least = "standard", _GAIN * _seconds(lambda: compute("standard"))
    for kernel in PRODUCTS:
        try:
            error = (compute(kernel) - wanted).norm() / wanted.norm()
        except (AttributeError, RuntimeError, NotImplementedError):  # a build of torch that lacks the product
            continue
        taken = _seconds(lambda: compute(kernel))  # noqa: B023
        if error < _AGREE and taken < least:
            best, least = kernel, taken
    return best


def _seconds(compute: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        compute()
        times.append(time.perf_counter() - begin)
    return min(times)
