"""Checks of the mechanisms behind a latent space: denoising level by level, the posterior, Gibbs sampling."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from zeuxis.mechanisms import Denoising, GibbsSampling, HasPosterior
from zeuxis.samplers import STEPPERS, Chance
from zeuxis.testing.case import Case, NoiseImages, demand

_STEPS = 3  # of the samplings that are checked


def denoising_ends_at_decode(case: Case) -> None:
    """The moments of denoising fall from the highest noise level to the image that `decode` gives, one per level."""
    model = case.model().eval()
    assert isinstance(model, Denoising)
    z = model.prior([0, 1])
    wanted = (2, model.channels, model.size, model.size)
    demand(tuple(z.shape) == wanted, f"prior gives the shape {tuple(z.shape)}; expected noise like images, {wanted}")
    known = ", ".join(STEPPERS)
    demand(model.default_sampler in STEPPERS, f"default_sampler is {model.default_sampler!r}; expected one of {known}")
    for levels, steps in ((model.noise_levels(_STEPS), _STEPS), (model.noise_levels(), None)):
        _fall(levels, steps)
    with torch.no_grad():
        moments = list(model.denoising(z))
        _pictures([moment.denoised for moment in moments], wanted, "denoiser")
        demand(
            [moment.sigma for moment in moments] == model.noise_levels(),
            "denoising yields other levels than noise_levels; yield one moment per level",
        )
        apart = (moments[-1].x.clamp(-1, 1) - model.decode(z)).abs().max().item()
    demand(apart <= 1e-5, f"decode gives another image than the last moment of denoising (apart by {apart:.2g})")


def _fall(levels: list[float], steps: int | None) -> None:
    enough = len(levels) >= 2 if steps is None else len(levels) == steps + 1
    demand(enough, f"noise_levels({steps or ''}) gives {len(levels)} levels; expected one more than steps, with the 0")
    rise = next((pair for pair in pairwise([*levels, 0.0]) if pair[0] < pair[1] or pair[0] == pair[1] != 0), None)
    demand(
        rise is None, f"noise_levels({steps or ''}) has {rise}; expected levels that fall, each below the one before"
    )
    demand(levels[-1] == 0, f"noise_levels({steps or ''}) ends at {levels[-1]:g}; expected 0")


def _pictures(images: list[Tensor], wanted: tuple[int, ...], maker: str) -> None:
    for image in images:
        demand(
            tuple(image.shape) == wanted, f"{maker} gives the shape {tuple(image.shape)}; expected {wanted} (n c h w)"
        )
        demand(bool(torch.isfinite(image).all()), f"{maker} gives values that are not finite")


def posterior_is_a_gaussian(case: Case) -> None:
    """The posterior of an image is a mean and a log variance for each latent, and `encode` gives the mean."""
    model = case.model().eval()
    assert isinstance(model, HasPosterior)
    images = NoiseImages(model).batch(0, 3).image
    with torch.no_grad():
        (mean, log_variance), again, encoded = model.posterior(images), model.posterior(images), model.encode(images)
    for name, value in (("a mean", mean), ("a log variance", log_variance)):
        wanted = (3, model.latent_dim)
        demand(
            tuple(value.shape) == wanted, f"posterior gives {name} of the shape {tuple(value.shape)}; expected {wanted}"
        )
        demand(bool(torch.isfinite(value).all()), f"posterior gives {name} that is not finite")
    demand(torch.equal(mean, again[0]), "posterior gives an image two means; give the parameters, not a draw")
    demand(torch.equal(mean, encoded), "encode gives other latents than the mean of posterior")


def gibbs_sampling_fits_the_images(case: Case) -> None:
    """The machine has a visible unit per pixel and a hidden unit per latent, and `decode` is its conditional p(v|h)."""
    model = case.model().eval()
    assert isinstance(model, GibbsSampling)
    pixels, noise = model.channels * model.size**2, Chance(torch.Generator().manual_seed(0))
    with torch.no_grad():
        machine, image = model.machine(), NoiseImages(model).batch(0, 3).image
        shape, wanted = tuple(machine.weight.shape), (pixels, model.latent_dim)
        demand(shape == wanted, f"machine has weights of the shape {shape}; expected pixels and latents, {wanted}")
        visible = model.visible(image, noise)
        demand(
            tuple(visible.shape) == (3, pixels),
            f"visible gives the shape {tuple(visible.shape)}; expected (3, {pixels})",
        )
        shown = model.picture(visible)
        _pictures([shown], (3, model.channels, model.size, model.size), "picture")
        most = shown.abs().max().item()
        demand(most <= 1, f"picture gives values up to {most:.3g}; expected [-1, 1]")
        hidden = (machine.hidden_input(visible) > 0).to(visible)
        expected = model.picture(machine.mean_visible(machine.visible_input(hidden)))
        apart = (model.decode(hidden) - expected).abs().max().item()
    demand(apart <= 1e-5, f"decode gives another image than p(v|h) of the machine (apart by {apart:.2g})")
