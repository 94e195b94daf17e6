"""A model's networks as ONNX graphs for a browser: its decoder, and where it has them its mapping network and denoiser."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeuxis import onnx
from zeuxis.errors import UsageError
from zeuxis.io.images import to_uint8
from zeuxis.mechanisms import Denoising
from zeuxis.model import Latent, StyleBased
from zeuxis.samplers import STEPPERS, result

COMPARED, DENOISED = 64, 8  # seeds whose pictures are compared before anything is written, and of a denoiser
DENOISING_STEPS, ROUGH_STEPS = 12, 4  # of a denoiser in the browser, and of its first pictures
SAMPLER = "dpm++2m"  # that the browser has
LARGEST_HALF = 65504.0  # the largest float16
FEWEST = 64  # values of a tensor that is stored in float16; smaller ones save nothing


@dataclass(frozen=True)
class Graphs:
    """The graphs of a model by name, their bytes, and how their weights are stored."""

    graphs: dict[str, bytes]
    precision: str  # "float16" or "float32"


def networks_of(model: Latent) -> Graphs:
    """The graphs that turn a seed's latent into a picture, in float16 where that changes no pixel by more than one level.

    `UsageError` where a package is missing, the family has operations outside ONNX, or the pictures differ.
    """
    for name in onnx.PACKAGES:
        onnx.package(name)
    plain = copy.deepcopy(model).cpu().eval()
    z = plain.prior(range(DENOISED if isinstance(plain, Denoising) else COMPARED))
    wanted = to_uint8(_pictures(plain, z)).astype(int)
    whole = {name: step.graph(plain) for name, step in steps_of(plain, z[:2]).items()}
    for precision, kept in (("float16", {name: in_float16(each) for name, each in whole.items()}), ("float32", whole)):
        graphs = {name: each.SerializeToString(deterministic=True) for name, each in kept.items()}
        difference = np.abs(to_uint8(run_graphs(plain, graphs, z)) - wanted).max()
        if difference <= 1:
            return Graphs(graphs, precision)
    raise UsageError(f"{model.family()} as ONNX differs from the model by {difference} levels; nothing was written")


@dataclass(frozen=True)
class Step:
    """A function of a model, examples of its inputs (two rows each), and the name of its output."""

    function: Callable[..., Tensor]
    inputs: Mapping[str, Tensor]
    output: str

    def graph(self, model: Latent) -> Any:
        """The function as an ONNX graph."""
        return onnx.graph(model, self.function, self.inputs, self.output)


@torch.no_grad()
def steps_of(model: Latent, z: Tensor) -> dict[str, Step]:
    """The networks from a latent (2 ...) to a picture, in their order; of a denoiser one step of the way."""
    if isinstance(model, Denoising):
        return {"denoiser": Step(model.denoiser(), {"z": z, "sigma": torch.ones(2)}, "image")}
    if isinstance(model, StyleBased):
        return {
            "mapping": Step(model.mapping, {"z": z}, "w"),
            "decoder": Step(model.synthesize, {"z": model.mapping(z)}, "image"),
        }
    return {"decoder": Step(model.decode, {"z": z}, "image")}


@torch.no_grad()
def _pictures(model: Latent, z: Tensor) -> Tensor:
    """What the model draws; a denoiser in the few steps of a browser."""
    if isinstance(model, Denoising):
        return result(model.denoising(z, steps=DENOISING_STEPS, sampler=SAMPLER)).clamp(-1, 1)
    return model.decode(z)


def run_graphs(model: Latent, graphs: Mapping[str, bytes], z: Tensor) -> Tensor:
    """Pictures (n c h w) of latents (n ...) by onnxruntime, each network after the other, or the denoiser step by step."""
    run = {name: session(content) for name, content in graphs.items()}
    if isinstance(model, Denoising):
        levels = model.noise_levels(DENOISING_STEPS)
        return result(STEPPERS[SAMPLER](run["denoiser"], levels[0] * z, levels)).clamp(-1, 1)
    for each in run.values():
        z = each(z)
    return z


def session(content: bytes) -> Callable[..., Tensor]:
    opened = onnx.package("onnxruntime").InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [each.name for each in opened.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        given = {name: value.numpy() for name, value in zip(names, inputs)}
        return torch.from_numpy(opened.run(None, given)[0])

    return run


def in_float16(proto: Any) -> Any:
    """The graph with large float32 weights stored as float16; a cast, folded as a session starts, brings them back."""
    library, half = onnx.package("onnx"), copy.deepcopy(proto)
    casts = []
    for tensor in half.graph.initializer:
        if tensor.data_type != library.TensorProto.FLOAT:
            continue
        values = library.numpy_helper.to_array(tensor)
        if values.size < FEWEST or not np.abs(values).max() < LARGEST_HALF:
            continue
        name = tensor.name
        tensor.CopyFrom(library.numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(library.helper.make_node("Cast", [f"{name}_half"], [name], to=library.TensorProto.FLOAT))
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    library.checker.check_model(half)
    return half
