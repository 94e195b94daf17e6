"""How fast a U-Net that removes noise is, learning and drawing: ours against diffusers and denoising-diffusion-pytorch.

    pip install 'zeuxis[bench]' && pip install --no-deps denoising-diffusion-pytorch==2.3.4
    python bench/denoisers.py [train call] [--windows 5] [--seconds 2] [--threads 1]

(With its dependencies the second would bring torchvision and another torch; only what its trainer uses is missed here.)

`train` is a step of each one's own training on 8 images of 32 pixels: its noise, its loss, its optimizer. `call` is one call
of the denoiser, as samplers make them, on 8 images. All have 64 channels at 32 pixels, then 128, and two blocks a size;
`diffusers` has our sizes and number of weights, `denoising-diffusion-pytorch` is as it comes, with a fourth size, 512
channels there and linear attention at the others: the table says how many weights each has, and how many operations a call.

Each side has a process of its own; they take turns of a few seconds, on noise in memory. Counted are images per second of
the processor's time (minimum, median, maximum over the windows) and how many times a peer's median each is.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from unittest.mock import MagicMock, patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, AdamW
from torch.utils.flop_counter import FlopCounterMode

import speed
from cases import Case
from strong import Book, Step
from taking_turns import Work, turns
from zeuxis.families.diffusion import Diffusion
from zeuxis.runtime.device import memory_kept

SIZE, WIDTH, BLOCKS, BATCH = 32, 64, 2, 8
HUGGING, LUCID = "diffusers", "denoising-diffusion-pytorch"
# What the trainer of denoising-diffusion-pytorch imports, and its networks do not.
_OTHERS = ("accelerate", "ema_pytorch", "pytorch_fid", "pytorch_fid.fid_score", "pytorch_fid.inception", "torchvision")


def ours() -> Diffusion:
    """Our family at the widths and blocks of the others, learning as the DDPM does."""
    return Diffusion(size=SIZE, base_channels=WIDTH, blocks=BLOCKS, objective="ddpm")


def hugging() -> nn.Module:
    """The U-Net of diffusers with our widths, blocks and heads, attention at 8 pixels."""
    made: nn.Module = _part("diffusers.models.unets.unet_2d", "UNet2DModel")(
        sample_size=SIZE,
        block_out_channels=(WIDTH, 2 * WIDTH, 2 * WIDTH),
        layers_per_block=BLOCKS,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        resnet_time_scale_shift="scale_shift",
    )
    return made


def lucid() -> nn.Module:
    """The U-Net of denoising-diffusion-pytorch of that width, as its README makes it."""
    made: nn.Module = _lucid("Unet")(dim=WIDTH)
    return made


def _part(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise SystemExit(f"{error}; the first lines of this file say what to install") from None


def _lucid(name: str) -> Any:
    """A part of its main module, which is imported without what only the trainer there needs."""
    missing = [other for other in _OTHERS if importlib.util.find_spec(other.split(".")[0]) is None]
    with patch.dict(sys.modules, {other: MagicMock() for other in missing}):
        return _part("denoising_diffusion_pytorch.denoising_diffusion_pytorch", name)


def hugging_step() -> Step:
    """A step as examples/unconditional_image_generation of diffusers takes it, on images (n c h w, in [-1, 1])."""
    network, schedule = hugging().train(), _part("diffusers", "DDPMScheduler")()
    adam = AdamW(network.parameters(), 1e-4, betas=(0.95, 0.999), weight_decay=1e-6)

    def step(image: Tensor) -> float:
        noise, t = torch.randn_like(image), torch.randint(1000, (len(image),))
        return _moved(F.mse_loss(network(schedule.add_noise(image, noise, t), t).sample, noise), network, adam)

    return step


def lucid_step() -> Step:
    """A step as the trainer of denoising-diffusion-pytorch takes it, without its average."""
    game = _lucid("GaussianDiffusion")(lucid(), image_size=SIZE).train()
    adam = Adam(game.parameters(), 8e-5, betas=(0.9, 0.99))
    return lambda image: _moved(game((image + 1) / 2), game, adam)


def _moved(loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """The loss, after the step that both trainers end with."""
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.item())


class Peer(NamedTuple):
    """A library's network, and its training step."""

    network: Callable[[], nn.Module]
    step: Callable[[], Step]


PEERS = {HUGGING: Peer(hugging, hugging_step), LUCID: Peer(lucid, lucid_step)}
SIDES = (*PEERS, "ours", "ours, bf16")


def step(side: str) -> Callable[[], object]:
    """One training step of a side."""
    case = Case(ours, lambda: Book((), (), PEERS[side].step()), SIZE, 3, BATCH)
    return speed.step_of(speed.Side("textbook"), case) if side in PEERS else speed.ours(case, True, _format(side))


def _format(side: str) -> Any:
    return "bf16" if side.endswith("bf16") else "fp32"


def call(side: str) -> Callable[[], Tensor]:
    """One call of a side's denoiser."""
    x = torch.randn(BATCH, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    if side in PEERS:
        network, t = PEERS[side].network().eval(), torch.full((BATCH,), 500)
        found: Callable[[], Any] = lambda: network(x, t)  # noqa: E731
    else:
        model, sigma = ours().eval(), torch.full((BATCH,), 1.5)
        found = lambda: model.denoise(x, sigma)  # noqa: E731

    def without_gradients() -> Tensor:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=_format(side) == "bf16"):
            answer: Any = found()
        shown: Tensor = answer.sample if side == HUGGING else answer
        return shown

    return without_gradients


def sizes(side: str) -> tuple[float, float]:
    """Millions of weights, and of multiplications with an addition in one call for one image."""
    network = PEERS[side].network() if side in PEERS else ours()
    inputs = torch.randn(1, 3, SIZE, SIZE), torch.full((1,), 5.0)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        network.denoise(*inputs) if isinstance(network, Diffusion) else network(*inputs)
    return sum(p.numel() for p in network.parameters()) / 1e6, counted.get_total_flops() / 2e6


def work(question: str, side: str, threads: int, pipe: Connection) -> None:
    """A worker: for every number of seconds that is sent, the images a second of such a window."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    make = {"train": step, "call": call}[question]
    if side in PEERS:
        speed.answer(make(side), BATCH, pipe)
    else:
        with memory_kept():
            speed.answer(make(side), BATCH, pipe)


def main() -> None:
    """Answer the questions named, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", default=["train", "call"], metavar="train call")
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    about = {side: sizes(side) for side in SIDES}
    print(f"| | side | weights (M) | operations (M) | min | median | max | of {HUGGING} | of {LUCID} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for question in arguments.questions:
        workers: dict[str, Work] = {side: (work, (question, side, arguments.threads)) for side in SIDES}
        found = turns(workers, windows=arguments.windows, seconds=arguments.seconds)
        rates = {side: sorted(used for _, used in pairs) for side, pairs in found.items()}
        middle = {side: statistics.median(each) for side, each in rates.items()}
        for side, each in rates.items():
            of = [f"{middle[side] / middle[peer]:.2f}" for peer in PEERS]
            numbers = [f"{x:.1f}" for x in (each[0], middle[side], each[-1])]
            print("| " + " | ".join([question, side, *(f"{x:,.1f}" for x in about[side]), *numbers, *of]) + " |")


if __name__ == "__main__":
    main()
