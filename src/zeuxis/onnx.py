"""Export of a generator to one ONNX file, for runtimes without Python and PyTorch (onnx.ai)."""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.model import Latent, Model
from zeuxis.version import __version__

OPSET = 18  # of the operators; every runtime since the spring of 2023 has it
CLOSE = 1e-4  # what a pixel, in [-1, 1], may differ from the model's
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_SEEDS = range(64)  # compared before anything is written
_MOST_BYTES = (1 << 31) - 1  # what one ONNX file can hold
_ABOUT = """\
z (n {latent}): samples of a standard normal distribution, one row per image.
image (n {channels} {size} {size}): values in [-1, 1]; (image + 1) * 127.5 gives 8-bit values."""


@dataclass(frozen=True)
class Exported:
    """The written file, its size in bytes, and the largest difference from the model's images (in [-1, 1])."""

    path: Path
    size: int
    difference: float


class Applied(nn.Module):
    """A function of a model as a module with `forward`, as the exporter needs it."""

    def __init__(self, model: nn.Module, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model = model  # for its weights
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def export_onnx(model: Latent, path: str | Path, *, card: str = "") -> Exported:
    """Write z -> image as an ONNX file for any batch size, after comparing its images with the model's.

    `card` becomes the description in the file. `UsageError` where packages are missing, or the family has operations
    outside ONNX.
    """
    for name in PACKAGES:
        package(name)
    plain = copy.deepcopy(model).cpu().eval()
    z = plain.prior(_SEEDS)
    content = _content(plain, z, card)
    difference = _difference(plain, z, content)
    if not difference <= CLOSE:  # a NaN fails this too
        raise UsageError(f"{model.family()} as ONNX differs from the model by {difference:.2g}; nothing was written")
    files.make_folder(Path(path).parent)
    files.write_file(path, content)
    return Exported(Path(path), len(content), difference)


def package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"export needs the package {name}; install it with: pip install 'zeuxis[export]'") from None


def _content(model: Latent, z: Tensor, card: str) -> bytes:
    """The ONNX file of a model."""
    program = graph(model, model.decode, {"z": z[:2]}, "image")
    return _described(program, model, z, card)


def graph(model: Model, function: Callable[..., Tensor], inputs: Mapping[str, Tensor], output: str) -> Any:
    """A function of a model as an ONNX graph (a ModelProto) for any batch size; `inputs` are examples of two rows."""
    rows = torch.export.Dim("n")
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                Applied(model, function).eval(),
                tuple(inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=[output],
                dynamic_shapes=(tuple({0: rows} for _ in inputs),),
                verbose=False,
            )
    except Exception as error:  # the exporter raises a kind of its own for each of its stages
        reason = str(error.__cause__ or error).strip().partition("\n")[0] or type(error).__name__
        raise UsageError(f"{model.family()} cannot be written as ONNX: {reason}") from error
    assert program is not None  # as `dynamo` is asked for
    return without_traces(program.model_proto)


def without_traces(proto: Any) -> Any:
    """The graph (in place) without the exporter's stack traces, which name local paths."""
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output, proto.graph):
        del part.metadata_props[:]
        part.doc_string = ""
    proto.producer_name, proto.producer_version = "zeuxis", __version__
    del proto.metadata_props[:]
    return proto


def _described(proto: Any, model: Latent, z: Tensor, card: str) -> bytes:
    """The file's bytes, with the description."""
    latent = " ".join(map(str, z.shape[1:]))
    about = _ABOUT.format(latent=latent, channels=model.channels, size=model.size)
    proto.doc_string = f"{about}\n\n{card}".strip()
    facts = {"family": model.family(), "options": json.dumps(model.options), "torch": torch.__version__}
    for key, value in facts.items():
        proto.metadata_props.add(key=key, value=value)
    if proto.ByteSize() > _MOST_BYTES:
        raise UsageError(f"the model has {proto.ByteSize() >> 20} MB; an ONNX file holds 2 GB")
    package("onnx").checker.check_model(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _difference(model: Latent, z: Tensor, content: bytes) -> float:
    """The largest difference of the file's images from the model's, at batch size 1 and in one batch."""
    runtime = package("onnxruntime")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = [session.run(["image"], {"z": part.numpy()})[0] for part in (z[:1], z[1:])]
    with torch.no_grad():
        wanted = model.decode(z).numpy()
    return float(np.abs(np.concatenate(found) - wanted).max())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of packages that are not needed here."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
