"""How long from the command to the first picture, how many images a second, and what writing them to files adds.

    python bench/sampling.py runs/00001-dcgan-avatars [--rounds 5] [--files 10000]

Starts whole processes for the first, and takes turns for the second. Counted is the processor's time on one thread, so that
other work on the machine disturbs little; the least of the starts also by the clock. The variants of PyTorch are what is
said to make a generator faster without another package. Needs the extra `export`.
"""

from __future__ import annotations

import argparse
import copy
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from zeuxis import api
from zeuxis.capabilities import latent
from zeuxis.model import Latent

STEPS = """\
import sys, time
begin = time.process_time()
def lap(name):
    global begin
    print(f"{name} {time.process_time() - begin:.3f}")
    begin = time.process_time()
import torch; lap("torch")
from zeuxis import api; lap("the rest of Zeuxis")
model = api.load(sys.argv[1], device="cpu"); lap("the model, checked")
picture = api.sample(model, seeds=[0]); lap("the picture")
picture.save(sys.argv[2]); lap("its file")
"""
RUNTIME = """\
import sys
import numpy, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
z = numpy.random.default_rng(0).standard_normal((1, session.get_inputs()[0].shape[1]), numpy.float32)
image = session.run(["image"], {"z": z})[0][0]
pixels = ((image + 1) * 127.5).clip(0, 255).round().astype(numpy.uint8).transpose(1, 2, 0)
Image.fromarray(pixels.squeeze()).save(sys.argv[2])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=10_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as place:
        file, picture = Path(place) / "model.onnx", str(Path(place) / "picture.png")
        api.export(arguments.model, file)
        starts(arguments.model, file, picture, arguments.rounds)
        speeds(arguments.model, file, arguments.rounds)
        writing(arguments.model, Path(place), arguments.files)


def starts(model: str, file: Path, picture: str, rounds: int) -> None:
    """Print what starting costs, as a whole and in parts."""
    commands = {
        "zeuxis sample -n 1": ["-m", "zeuxis", "sample", model, "-n", "1", "--out", picture],
        "the same by onnxruntime": ["-c", RUNTIME, str(file), picture],
        "import torch": ["-c", "import torch"],
        "zeuxis --help": ["-m", "zeuxis", "--help"],
    }
    print(
        "to the first picture, in a new process: seconds of the processor, median (least to most); least by the clock"
    )
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, words in commands.items():
            found[name].append(process(words))
    for name, each in found.items():
        used = [cpu for cpu, _ in each]
        clock = min(wall for _, wall in each)
        print(
            f"  {name:24} {statistics.median(used):.2f} ({min(used):.2f} to {max(used):.2f}); {clock:.2f}", flush=True
        )
    done = subprocess.run([sys.executable, "-c", STEPS, model, picture], capture_output=True, text=True, check=True)
    print("  of which:", ", ".join(done.stdout.splitlines()))


def process(words: list[str]) -> tuple[float, float]:
    """Seconds of the processor, and by the clock, of a Python process."""
    before, begin = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - begin, os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system, wall


def speeds(name: str, file: Path, rounds: int) -> None:
    """Print images per second for each variant, at batch 1 and 64."""
    model = latent(api.load(name, device="cpu"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    variants: dict[str, Callable[[Tensor], Any]] = {
        "as it is": lambda z: without_gradients(model, z),
        "inference_mode": lambda z: inference(model, z),
        "norms folded": lambda z: without_gradients(slim, z),
        "folded, channels_last": lambda z: without_gradients(last, z),
        "onnxruntime": lambda z: session.run(["image"], {"z": z.numpy()})[0],
    }
    slim = folded(model)
    last = copy.deepcopy(slim)
    last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for size in (1, 64):
        z = model.prior(range(size))
        repeats = 200 // size + 1
        found: dict[str, list[float]] = {variant: [] for variant in variants}
        for _ in range(2 * rounds + 1):
            for variant, draw in variants.items():
                begin = time.process_time()
                for _ in range(repeats):
                    draw(z)
                found[variant].append(repeats * size / (time.process_time() - begin))
        print(f"batch {size}: images/s of one core, median (least to most), largest difference from `as it is`")
        wanted = without_gradients(model, z)
        for variant, each in found.items():
            rates = each[1:]  # the first one warms up
            off = (torch.as_tensor(variants[variant](z)) - wanted).abs().max().item()
            print(f"  {variant:24} {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}), {off:.0e}")


def writing(name: str, place: Path, count: int) -> None:
    """Print what it takes to draw very many samples, and to write each into a file; and the most memory of the two."""
    model = api.load(name, device="cpu")
    found: dict[str, float] = {}
    peak: dict[str, float] = {}
    for what in ("drawn", "written"):
        begin = time.perf_counter()
        if what == "drawn":
            for _ in api.sample_batches(model, range(count)):
                pass
        else:
            api.write_samples(model, place / "files", count)
        found[what] = time.perf_counter() - begin
        peak[what] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} samples: {found['drawn']:.1f} s to draw, {found['written']:.1f} s to draw and write "
        f"({found['written'] / found['drawn']:.2f} times); at most {peak['drawn']:,.0f} and {peak['written']:,.0f} MiB"
    )


def without_gradients(model: Latent, z: Tensor) -> Tensor:
    with torch.no_grad():
        return model.decode(z)


def inference(model: Latent, z: Tensor) -> Tensor:
    with torch.inference_mode():
        return model.decode(z).clone()


def folded(model: Latent) -> Latent:
    """A copy whose batch norms that follow a convolution are folded into it."""
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, nn.Sequential):
            layers: list[nn.Module] = []
            for layer in module:
                if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.ConvTranspose2d):
                    layers[-1] = fuse_conv_bn_eval(layers[-1], layer, transpose=True)
                else:
                    layers.append(layer)
            module._modules = {str(i): layer for i, layer in enumerate(layers)}
    return plain


if __name__ == "__main__":
    main()
