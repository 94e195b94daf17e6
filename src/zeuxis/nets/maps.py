"""Layers as three linear maps, each computed by the library's convolution or by columns and one matrix product
(Chellapilla 2006); each map's gradients are the other two, so they can be differentiated again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

Product = Callable[[Tensor, Tensor], Tensor]  # m k, n k -> m n


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return product


PRODUCTS: dict[str, Product] = {"blas": lambda a, b: a @ b.t()}
if hasattr(torch.ops.mkldnn, "_linear_pointwise"):  # not a public name of torch: where it is gone, we do without
    PRODUCTS["onednn"] = _onednn


class Layer(NamedTuple):
    """A linear map between images: `down` takes n c h w to n o h' w' by weights o c kh kw, `up` the other way; or
    between vectors, where `stride` is None."""

    small: tuple[int, ...]
    large: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, int] | None = None
    padding: tuple[int, int] = (0, 0)
    precision: str = "fp32"  # or bf16


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
    """The library's own; named as the operator, which a mode that chooses kernels lets pass."""
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


class Down(Function):
    """`down`, with its gradients."""

    @staticmethod
    def forward(ctx: Any, large: Tensor, weight: Tensor, layer: Layer, choice: Choice) -> Tensor:
        ctx.save_for_backward(large, weight)
        ctx.how = (layer, choice)
        return down(large, weight, layer, choice.down)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        large, weight = ctx.saved_tensors
        to_large = Up.apply(gradient, weight, *ctx.how) if _wanted(ctx, 0) else None  # type: ignore[no-untyped-call]
        to_weight = Weight.apply(large, gradient, *ctx.how) if _wanted(ctx, 1) else None  # type: ignore[no-untyped-call]
        return to_large, to_weight, None, None


class Up(Function):
    """`up`, with its gradients."""

    @staticmethod
    def forward(ctx: Any, small: Tensor, weight: Tensor, layer: Layer, choice: Choice) -> Tensor:
        ctx.save_for_backward(small, weight)
        ctx.how = (layer, choice)
        return up(small, weight, layer, choice.up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        small, weight = ctx.saved_tensors
        to_small = Down.apply(gradient, weight, *ctx.how) if _wanted(ctx, 0) else None  # type: ignore[no-untyped-call]
        to_weight = Weight.apply(gradient, small, *ctx.how) if _wanted(ctx, 1) else None  # type: ignore[no-untyped-call]
        return to_small, to_weight, None, None


class Weight(Function):
    """`weight_gradient`, with its gradients."""

    @staticmethod
    def forward(ctx: Any, large: Tensor, small: Tensor, layer: Layer, choice: Choice) -> Tensor:
        ctx.save_for_backward(large, small)
        ctx.how = (layer, choice)
        return weight_gradient(large, small, layer, choice.weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        large, small = ctx.saved_tensors
        to_large = Up.apply(small, gradient, *ctx.how) if _wanted(ctx, 0) else None  # type: ignore[no-untyped-call]
        to_small = Down.apply(large, gradient, *ctx.how) if _wanted(ctx, 1) else None  # type: ignore[no-untyped-call]
        return to_large, to_small, None, None
