"""What `speed.py` compares: for each case our model, and the textbook's step of the same networks and losses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from torch.optim import Adam

from strong import Book
from textbook import cyclegan, dcgan, ddpm, gan, pix2pix, progan, pythae, srgan, stylegan2, vae, wgan, wgan_gp
from zeuxis import families
from zeuxis.families.srgan import SRGAN
from zeuxis.metrics import vgg
from zeuxis.model import Model


class Case(NamedTuple):
    """What is compared: our model and the textbook's game, on images of a size."""

    ours: Callable[[], Model]
    textbook: Callable[[], Book]
    size: int
    channels: int
    batch: int
    scale: int = 0  # times that sources are smaller than the images, for models that have sources
    cycle: int = 1  # steps after which the work of a step comes again


def _dcgan(size: int, batch: int) -> Case:
    def plain() -> Book:
        networks = dcgan.networks(size, 3)
        players = dcgan.optimizers(*networks)
        return Book(networks, players, lambda real: dcgan.step(*networks, players, real))

    return Case(lambda: _paper("dcgan", size), plain, size, 3, batch)


def _paper(family: str, size: int) -> Model:
    """A model of the family with its paper's settings."""
    kind = families.find(family)
    return kind(size=size, **kind.presets["paper"])


def _critic(family: str, size: int, batch: int) -> Case:
    """The networks of the textbook's DCGAN on both sides; the critic's step is counted, the generator has every fifth."""

    def plain() -> Book:
        book: Any = wgan if family == "wgan" else wgan_gp
        networks = wgan_gp.networks(size, 3) if family == "wgan_gp" else dcgan.networks(size, 3)
        players, count = book.optimizers(*networks), itertools.count()
        return Book(networks, players, lambda real: book.step(*networks, players, real, next(count)))

    return Case(lambda: _paper(family, size), plain, size, 3, batch, cycle=wgan_gp.CRITIC_STEPS)


def _gan(size: int) -> Case:
    def plain() -> Book:
        networks = gan.networks(size, 3)
        one, two = (Adam(each.parameters(), 2e-4, (0.5, 0.999)) for each in networks)
        return Book(networks, (one, two), lambda real: gan.step(*networks, (one, two), real))

    options: dict[str, Any] = {"size": size, "r1_gamma": 0.0}
    return Case(lambda: families.find("gan")(**options), plain, size, 3, 64)


def _vae(size: int) -> Case:
    def plain() -> Book:
        encoder, decoder = vae.networks(size, 3)
        adam = Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
        return Book((encoder, decoder), (adam,), lambda image: vae.step(encoder, decoder, adam, image))

    return Case(lambda: families.find("vae")(size=size), plain, size, 3, 64)


def _stylegan2(size: int) -> Case:
    """The game alone on both sides, without augmentation and penalties."""

    def plain() -> Book:
        networks = stylegan2.networks(size, 3)
        players = stylegan2.optimizers(*networks)
        return Book(networks, players, lambda real: stylegan2.step(*networks, players, real))

    options: dict[str, Any] = {"size": size, "ada_target": 0.0, "r1_gamma": 0.0, "path_length_weight": 0.0}
    return Case(lambda: families.find("stylegan2")(**options), plain, size, 3, 32)


def _progan(size: int) -> Case:
    """The paper's game on both sides, at the last size: a stage of one image is over before the first windows."""

    def plain() -> Book:
        networks = progan.networks(size, 3)
        players = progan.optimizers(*networks)
        return Book(networks, players, lambda real: progan.step(*networks, players, real))

    options: dict[str, Any] = {"size": size, "images_per_stage": 1, "loss": "wgan-gp"}
    return Case(lambda: families.find("progan")(**options), plain, size, 3, 16)


def _srgan() -> Case:
    """The game of the paper's networks; the VGG of both has its first random weights."""

    def ours() -> Model:
        model = SRGAN(**SRGAN.presets["paper"])
        model.pretrain_steps, model.feature_network = 0, vgg.feature_network(vgg.vgg_network(vgg.VGG().state_dict()))
        return model

    def plain() -> Book:
        networks = srgan.networks(96)
        players = srgan.optimizers(*networks[:2])
        return Book(networks, players, lambda large: srgan.step(*networks, players, large[..., ::4, ::4], large))

    return Case(ours, plain, 96, 3, 8, scale=4)


def _pix2pix(size: int) -> Case:
    """The paper's width and networks on both sides; images are given as they are to be seen, and are their own sources."""

    def plain() -> Book:
        networks = pix2pix.networks(size)
        players = pix2pix.optimizers(*networks)
        return Book(networks, players, lambda image: pix2pix.step(*networks, players, image, image))

    options: dict[str, Any] = {
        "size": size,
        "base_channels": 64,
        "norm": "instance",
        "upsampling": "transposed",
        "jitter_scale": 1.0,
    }
    return Case(lambda: families.find("pix2pix")(**options), plain, size, 3, 1, scale=1)


def _cyclegan(size: int) -> Case:
    """As for pix2pix, with the six blocks of the paper at 128 pixels."""

    def plain() -> Book:
        game = cyclegan.Game()
        return Book(game.networks, (game.makers, game.judges), lambda image: game.step(image, image))

    options: dict[str, Any] = {
        "size": size,
        "base_channels": 64,
        "blocks": 6,
        "upsampling": "transposed",
        "jitter_scale": 1.0,
    }
    return Case(lambda: families.find("cyclegan")(**options), plain, size, 3, 1, scale=1)


def _pythae() -> Case:
    def plain() -> Book:
        model, adam, step = pythae.trainer()
        return Book((model,), (adam,), lambda image: step((image + 1) / 2))

    return Case(pythae.PythaeVAE, plain, 28, 1, 64)


def _ddpm() -> Case:
    def plain() -> Book:
        network, alphas = ddpm.UNet(3), ddpm.schedule()
        adam = Adam(network.parameters(), 1e-3)
        return Book((network,), (adam,), lambda image: ddpm.step(network, adam, alphas, image))

    options: dict[str, Any] = {"size": 32, "objective": "ddpm", "lr_warmup": 0}
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
    "progan-64": _progan(64),
    "srgan-96": _srgan(),
    "pix2pix-256": _pix2pix(256),
    "cyclegan-128": _cyclegan(128),
    "pythae": _pythae(),
}
