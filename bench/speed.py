"""How fast a step is: ours, as `zeuxis train` makes it, against the textbook's, at the same networks and losses.

    python bench/speed.py [dcgan-64 wgan-32 ddpm-32 stylegan2-64 pix2pix-256 ...] [--windows 8] [--seconds 3] [--threads 2]

Ours and the textbook's each have a process of their own (memory is kept differently); they take turns of a few seconds,
with the same batches in memory. Prints images/s (minimum, median, maximum over the windows) and the ratio of medians.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Adam

from textbook import cyclegan, dcgan, ddpm, gan, pix2pix, pythae, srgan, stylegan2, vae, wgan, wgan_gp
from zeuxis import families, training
from zeuxis.families.srgan import SRGAN
from zeuxis.metrics import vgg
from zeuxis.model import Batch, Model
from zeuxis.session.machine import memory_kept

Step = Callable[[Tensor], object]


class Case(NamedTuple):
    """What is compared: our model and the textbook's step, on images of a size."""

    ours: Callable[[], Model]
    textbook: Callable[[], Step]
    size: int
    channels: int
    batch: int
    scale: int = 0  # times that sources are smaller than the images, for models that have sources


def _dcgan(size: int, batch: int) -> Case:
    def plain() -> Step:
        networks = dcgan.networks(size, 3)
        players = dcgan.optimizers(*networks)
        return lambda real: dcgan.step(*networks, players, real)

    options: dict[str, Any] = {"size": size, "textbook": True}
    return Case(lambda: families.find("dcgan")(**options), plain, size, 3, batch)


def _critic(family: str, size: int, batch: int) -> Case:
    """The networks of the textbook's DCGAN on both sides; the critic's step is counted, the generator has every fifth."""

    def plain() -> Step:
        book: Any = wgan if family == "wgan" else wgan_gp
        networks = wgan_gp.networks(size, 3) if family == "wgan_gp" else dcgan.networks(size, 3)
        players, count = book.optimizers(*networks), itertools.count()
        return lambda real: book.step(*networks, players, real, next(count))

    options: dict[str, Any] = {"size": size, "textbook": True}
    return Case(lambda: families.find(family)(**options), plain, size, 3, batch)


def _gan(size: int) -> Case:
    def plain() -> Step:
        networks = gan.networks(size, 3)
        one, two = (Adam(each.parameters(), 2e-4, (0.5, 0.999)) for each in networks)
        return lambda real: gan.step(*networks, (one, two), real)

    options: dict[str, Any] = {"size": size, "r1": 0.0}
    return Case(lambda: families.find("gan")(**options), plain, size, 3, 64)


def _vae(size: int) -> Case:
    def plain() -> Step:
        encoder, decoder = vae.networks(size, 3)
        adam = Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
        return lambda image: vae.step(encoder, decoder, adam, image)

    return Case(lambda: families.find("vae")(size=size), plain, size, 3, 64)


def _stylegan2(size: int) -> Case:
    """The game alone on both sides, without augmentation and penalties."""

    def plain() -> Step:
        networks = stylegan2.networks(size, 3)
        players = stylegan2.optimizers(*networks)
        return lambda real: stylegan2.step(*networks, players, real)

    options: dict[str, Any] = {"size": size, "ada": 0.0, "r1": 0.0, "path": 0.0}
    return Case(lambda: families.find("stylegan2")(**options), plain, size, 3, 32)


def _srgan() -> Case:
    """The game of the paper's networks; the eyes of both see with the weights that they were born with."""

    def ours() -> Model:
        model = SRGAN(textbook=True)
        model.pretrain, model.eyes = 0, vgg.eyes(vgg.filled(vgg.VGG().state_dict()))
        return model

    def plain() -> Step:
        networks = srgan.networks(96)
        players = srgan.optimizers(*networks[:2])
        return lambda large: srgan.step(*networks, players, large[..., ::4, ::4], large)

    return Case(ours, plain, 96, 3, 8, scale=4)


def _pix2pix(size: int) -> Case:
    """The paper's width and networks on both sides; images are given as they are to be seen, and are their own sources."""

    def plain() -> Step:
        networks = pix2pix.networks(size)
        players = pix2pix.optimizers(*networks)
        return lambda image: pix2pix.step(*networks, players, image, image)

    options: dict[str, Any] = {"size": size, "width": 64, "upsampling": "transposed", "jitter": 1.0}
    return Case(lambda: families.find("pix2pix")(**options), plain, size, 3, 1, scale=1)


def _cyclegan(size: int) -> Case:
    """As for pix2pix, with the six blocks of the paper at 128 pixels."""

    def plain() -> Step:
        game = cyclegan.Game()
        return lambda image: game.step(image, image)

    options: dict[str, Any] = {"size": size, "width": 64, "blocks": 6, "upsampling": "transposed", "jitter": 1.0}
    return Case(lambda: families.find("cyclegan")(**options), plain, size, 3, 1, scale=1)


def _pythae() -> Case:
    def plain() -> Step:
        step = pythae.trainer()
        return lambda image: step((image + 1) / 2)

    return Case(pythae.PythaeVAE, plain, 28, 1, 64)


def _ddpm() -> Case:
    def plain() -> Step:
        network, alphas = ddpm.UNet(3), ddpm.schedule()
        adam = Adam(network.parameters(), 1e-3)
        return lambda image: ddpm.step(network, adam, alphas, image)

    options: dict[str, Any] = {"size": 32, "objective": "ddpm", "warmup": 0}
    return Case(lambda: families.find("diffusion")(**options), plain, 32, 3, 32)


CASES = {
    "dcgan-64": _dcgan(64, 32),
    "dcgan-64-batch-64": _dcgan(64, 64),
    "dcgan-32": _dcgan(32, 64),
    "wgan-32": _critic("wgan", 32, 64),
    "wgan-64": _critic("wgan", 64, 64),
    "wgan-gp-32": _critic("wgan_gp", 32, 64),
    "wgan-gp-64": _critic("wgan_gp", 64, 64),
    "vae-64": _vae(64),
    "vae-32": _vae(32),
    "ddpm-32": _ddpm(),
    "gan-32": _gan(32),
    "gan-64": _gan(64),
    "stylegan2-64": _stylegan2(64),
    "stylegan2-32": _stylegan2(32),
    "srgan-96": _srgan(),
    "pix2pix-256": _pix2pix(256),
    "cyclegan-128": _cyclegan(128),
    "pythae": _pythae(),
}


class Images:
    """Batches out of one tensor in memory: what both sides learn from (noise, as the time does not depend on it)."""

    def __init__(self, case: Case) -> None:
        self.scale, self.columns = case.scale, frozenset({"image", "source"} if case.scale else {"image"})
        shape = (case.batch * 8, case.channels, case.size, case.size)
        self.pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def batch(self, start: int, size: int) -> Batch:
        """The images from a position on, around and around."""
        some = self.pixels[start % len(self.pixels) :][:size]
        image = (some.float() / 127.5 - 1).to(memory_format=torch.channels_last)
        return Batch(image, image[..., :: self.scale, :: self.scale] if self.scale else None)

    def plain(self, start: int, size: int) -> Tensor:
        """The same as a loader gives them."""
        return self.pixels[start % len(self.pixels) :][:size].float() / 127.5 - 1


def ours(case: Case, kernels: bool, precision: training.Precision = "fp32") -> Callable[[], object]:
    """One step of our loop: data, game, average, report."""
    model, images = case.ours(), Images(case)
    state = training.State.start(model)
    table = training.choose_kernels(model, images.batch(0, case.batch), seconds=120) if kernels else {}
    made = training.train(
        model, images, steps=10**9, batch_size=case.batch, seed=0, precision=precision, kernels=table, resume=state
    )
    return lambda: next(made)


def textbook(case: Case) -> Callable[[], object]:
    """One step of the textbook's loop."""
    images, step = Images(case), case.textbook()
    place = 0

    def go() -> None:
        nonlocal place
        step(images.plain(place, case.batch))
        place += case.batch

    return go


def work(kind: str, name: str, threads: int, pipe: Connection) -> None:
    """A worker: for every number of seconds that is sent, the images a second of such a window."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    case = CASES[name]
    if kind == "textbook":
        answer(textbook(case), case.batch, pipe)
    elif kind == "ours":
        with memory_kept():
            answer(ours(case, kernels=True), case.batch, pipe)
    else:
        with memory_kept():
            answer(ours(case, kernels=False), case.batch, pipe)


def answer(step: Callable[[], object], batch: int, pipe: Connection) -> None:
    """For every number of seconds that is sent, send the images a second of such a window, by the clock and of processor time."""
    for _ in range(3):
        step()
    pipe.send("ready")
    while (seconds := pipe.recv()) > 0:
        begin, spent, steps = time.monotonic(), time.process_time(), 0
        while time.monotonic() - begin < seconds or steps < 2:
            step()
            steps += 1
        pipe.send((steps * batch / (time.monotonic() - begin), steps * batch / (time.process_time() - spent)))


def compare(name: str, *, windows: int, seconds: float, threads: int) -> dict[str, list[tuple[float, float]]]:
    """The images a second of each window, on the clock and by processor time, of each side."""
    workers = {kind: (work, (kind, name, threads)) for kind in ("textbook", "ours, standard kernels", "ours")}
    return turns(workers, windows=windows, seconds=seconds)


def turns(
    workers: Mapping[str, tuple[Callable[..., None], tuple[object, ...]]], *, windows: int, seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """The same of any workers (functions and their arguments but the pipe), a process each, in turns."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    for kind, (target, given) in workers.items():
        pipes[kind], end = context.Pipe()
        context.Process(target=target, args=(*given, end), daemon=True).start()
        pipes[kind].recv()
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in pipes}
    for _ in range(windows):
        for kind, pipe in pipes.items():
            pipe.send(seconds)
            found[kind].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(0)
    return found


def main() -> None:
    """Compare the cases named, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="case", help=", ".join(CASES))
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--processor-time", action="store_true", help="where others use the cores too (one thread)")
    arguments = parser.parse_args()
    which = int(arguments.processor_time)
    print("| case | batch | threads | side | min | median | max | ratio |\n|---|---|---|---|---|---|---|---|")
    for name in arguments.cases:
        if name not in CASES:
            parser.error(f"there is no case {name!r}; there are {', '.join(CASES)}")
        found = compare(name, windows=arguments.windows, seconds=arguments.seconds, threads=arguments.threads)
        base = statistics.median(pair[which] for pair in found["textbook"])
        for kind, pairs in found.items():
            rates = sorted(pair[which] for pair in pairs)
            middle = statistics.median(rates)
            row = [
                name,
                CASES[name].batch,
                arguments.threads,
                kind,
                *(f"{x:.1f}" if x >= 10 else f"{x:.2f}" for x in (rates[0], middle, rates[-1])),
            ]
            print("| " + " | ".join(map(str, [*row, f"{middle / base:.2f}"])) + " |", flush=True)


if __name__ == "__main__":
    main()
