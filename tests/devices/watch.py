"""What an operation would do on an accelerator, seen on fake tensors that say they are on one.

Each operation, forward and backward, is held against what an accelerator wants:
  mixed     tensors of two devices meet: an error. They are moved and it goes on, so that all are found at once.
  wait      the host reads a value of the device (.item(), bool(), .tolist()), or a kernel has it read
  down      a copy from the device to the host, which waits, too
  up        a copy from the host to the device, which waits unless it is from page-locked memory
  sent      such a copy, from page-locked memory
  float64   a number format that MPS does not have
  no-mps    an operation that this version of torch has no MPS kernel for, by its own table
"""

from __future__ import annotations

import collections
import contextlib
import functools
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
import torchgen
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

aten, prims = torch.ops.aten, torch.ops.prims
COPIES = {aten._to_copy.default, aten.copy_.default, prims.device_put.default}
READS = {aten._local_scalar_dense.default, aten.is_nonzero.default, aten.equal.default}
WAITS = {aten._linalg_check_errors.default}
_COMPOSITE = {"CompositeImplicitAutograd", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional"}
_WIDE = (torch.float64, torch.complex128)


class Finding(NamedTuple):
    """What was found, the line of the package that asked for it, and the operation."""

    kind: str
    where: str
    operation: str


@functools.cache
def kernels() -> dict[str, set[str]]:
    """By operation the backends that have a kernel, out of torch's own table."""
    table = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
    found: dict[str, set[str]] = {}
    same: dict[str, str] = {}
    for row in table.read_text(encoding="utf-8").split("\n- func: ")[1:]:
        name = row.split("(")[0]
        dispatch = re.search(r"^  dispatch:\n((?:    .*\n?|\s*#.*\n?)+)", row, re.MULTILINE)
        lines = re.findall(r"^    ([\w, ]+):", dispatch[1], re.MULTILINE) if dispatch else []
        found[name] = {key.strip() for line in lines for key in line.split(",")}
        if delegate := re.search(r"^  structured_delegate: (\S+)", row, re.MULTILINE):
            same[name] = delegate[1]
        elif not dispatch:
            found[name] = {"CompositeImplicitAutograd"}
    return found | {name: found[name] | found[other] for name, other in same.items()}


@functools.cache
def runs_on_mps(func: Any) -> bool:
    name = func._schema.name.split("::")[1] + (f".{func._schema.overload_name}" if func._schema.overload_name else "")
    there = kernels().get(name)
    return there is None or bool(there & {"MPS", *_COMPOSITE})  # None: not of ATen


class Watch(TorchDispatchMode):
    """Records what operations would do on the device while it is active."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.on = torch.device(device).type
        self.found: collections.Counter[Finding] = collections.Counter()
        self.launches = 0

    def note(self, kind: str, func: Any) -> None:
        self.found[Finding(kind, where(), str(func).removeprefix("aten."))] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:  # asked for more often than anything is done
            return func(*args, **kwargs)
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        if func in READS:
            return self._read(func, args, kwargs, given)
        try:
            done = func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException):
            self.note("wait", func)
            raise
        except RuntimeError as error:
            if "device" not in str(error).lower():
                raise
            self.note("mixed", func)
            args, kwargs = tree_map_only(Tensor, lambda value: value.to(self.on), (args, kwargs))
            done = func(*args, **kwargs)
        self._look(func, kwargs, given, [value for value in tree_flatten(done)[0] if isinstance(value, Tensor)])
        return done

    def _read(self, func: Any, args: Any, kwargs: Any, given: list[Tensor]) -> Any:
        """The value that the host reads: on the device it has none, so that anything will do."""
        if any(value.device.type == self.on for value in given):
            self.note("wait", func)
        else:
            with contextlib.suppress(DataDependentOutputException):
                return func(*args, **kwargs)
        if func is not aten._local_scalar_dense.default or given[0].dtype == torch.bool:
            return True
        return 1.0 if given[0].is_floating_point() else 1

    def _look(self, func: Any, kwargs: Any, given: list[Tensor], made: list[Tensor]) -> None:
        before, after = ({value.device.type for value in values} for values in (given, made))
        if func in COPIES and before | after >= {self.on, "cpu"}:
            locked = self.on == "mps" or any(getattr(value, "page_locked", False) for value in given)
            up = "sent" if kwargs.get("non_blocking") and locked else "up"
            self.note("down" if after == {"cpu"} else up, func)
            return
        if func.is_view or self.on not in before | after:
            return
        self.launches += 1
        if any(value.device.type == "cpu" and (value.ndim or func is aten.where.self) for value in given):
            self.note("up", func)  # a kernel takes one number from the host as its argument, but nothing else
        if func in WAITS:
            self.note("wait", func)
        if any(value.dtype in _WIDE and value.device.type == self.on for value in (*given, *made)):
            self.note("float64", func)
        if not runs_on_mps(func) or _uneven(func, given, made):
            self.note("no-mps", func)


def _uneven(func: Any, given: list[Tensor], made: list[Tensor]) -> bool:
    """Adaptive pooling to a size that does not divide the given one, which MPS refuses."""
    if "adaptive" not in str(func) or not made:
        return False
    return any(a % b and b % a for a, b in zip(given[0].shape[-2:], made[0].shape[-2:]))


def where() -> str:
    """The innermost line of the package that is being run."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        if "/src/zeuxis/" in (name := frame.f_code.co_filename):
            return f"{name.split('/src/zeuxis/')[-1]} {frame.f_code.co_name} (line {frame.f_lineno})"
        frame = frame.f_back
    return "torch"


def _apply(self: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    """`nn.Module._apply` without its swap of tensors, which fake ones refuse."""
    for module in self.children() if recurse else ():
        module._apply(change)
    for key, parameter in self._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                new = change(parameter)
            if new is not parameter:
                self._parameters[key] = nn.Parameter(new, parameter.requires_grad)
    for key, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[key] = change(buffer)
    return self


def _page_locked(self: Tensor) -> Tensor:
    self.page_locked = True  # type: ignore[attr-defined]
    return self


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What torch asks the device's own kernels for, which this build does not have."""
    return torch.softmax(query @ key.transpose(-2, -1) / key.shape[-1] ** 0.5, -1) @ value


@contextlib.contextmanager
def pretending() -> Iterator[None]:
    """Fake tensors, and torch as it is where there is such a device: what only asks its driver is answered."""

    def there(*args: Any, **named: Any) -> bool:
        return False

    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (nn.Module, "_apply", _apply),
            (torch.cuda.amp.common, "amp_definitely_not_available", there),
            (torch.amp.autocast_mode, "amp_definitely_not_available", there),
            (torch.cuda, "is_bf16_supported", lambda *args, **named: True),
            (torch.cuda, "mem_get_info", lambda *args: (1 << 34, 1 << 34)),
            (torch.cuda, "synchronize", lambda *args: None),
            (torch.mps, "recommended_max_memory", lambda: 1 << 34),
            (torch.mps, "driver_allocated_memory", lambda: 0),
            (torch.mps, "_get_default_mps_generator", lambda: torch.default_generator),
            (Tensor, "pin_memory", _page_locked),
            (nn.functional, "scaled_dot_product_attention", _attention),
        ):
            if hasattr(owner, name):
                stack.enter_context(mock.patch.object(owner, name, value))
        # On this thread, as a thread of a device that is not there would not end well.
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield
