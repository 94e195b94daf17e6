"""Operations of the view Denoise: sampling level by level, futures of another seed, rough previews, and noise found back."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from zeuxis import capabilities
from zeuxis.io.images import from_uint8
from zeuxis.mechanisms import Denoising
from zeuxis.samplers import STEPPERS, DenoisingStep, Streams, ddpm_steps, heun_steps
from zeuxis.web.clients import Client
from zeuxis.web.requests import BadRequest, Reply, Request, Steps
from zeuxis.web.served import Served

PREVIEW_SAMPLER = "dpm++2m"  # the sampler of previews: the sharpest of those at few steps
_MOST_STEPS = 200
_MOST_SEED = 2**53 - 1  # the largest whole number of JSON in a browser


def answer_denoise(served: Served, client: Client, request: Request) -> Steps:
    """The moments of one sampling, as a stream: a picture of x_t and one of x_0 at each noise level.

    It starts from the latent in the payload, or else from a `seed`; a `label` names the class. With a `fork_seed` the
    moments follow the sampling silently up to the level `from`; from there x_t goes on by ancestral sampling with the
    noise of that seed.
    """
    model = capabilities.denoising_model(served.model)
    steps = request.whole("steps", low=1, high=_MOST_STEPS, default=len(model.noise_levels()) - 1)
    sampler = request.word("sampler", STEPPERS, default=model.default_sampler)
    first = request.whole("from", low=0, high=steps, default=0)
    seed = request.whole("fork_seed", low=-1, high=_MOST_SEED, default=-1)
    levels, start, label = model.noise_levels(steps), _start(model, request), _label(model, request, 1)
    for level, moment in enumerate(model.denoising(start, steps=steps, sampler=sampler, label=label)):
        if level >= first and seed >= 0:
            break
        yield _reply(level, steps, sampler, moment, shown=level >= first)
    else:
        return
    future = ddpm_steps(model.denoiser(label), moment.x, levels[first:], noise=Streams([seed]))
    for level, forked in enumerate(future, first):
        yield _reply(level, steps, "ddpm", forked)


def answer_preview(served: Served, client: Client, request: Request) -> Steps:
    """Rough pictures of the latents in the payload, by few `steps`."""
    model = capabilities.denoising_model(served.model)
    z, steps = request.latents(served.shape), request.whole("steps", low=1, high=_MOST_STEPS, default=4)
    label = _label(model, request, len(z))
    x = yield from _sampled(model.denoising(z.to(model.device), steps=steps, sampler=PREVIEW_SAMPLER, label=label))
    yield Reply(pictures=x.clamp(-1, 1))


def decode_by_steps(model: Denoising, z: Tensor, label: Tensor | None = None) -> Steps:
    """The pictures of `decode`, with a turn for others after each step.

    An answer without pictures comes first: from then on a newer request of the same lane ends this one.
    """
    yield Reply({"engine": "torch"}, more=True)
    label = None if label is None else label.to(model.device)
    x = yield from _sampled(model.denoising(z.to(model.device), label=label))
    yield Reply({"engine": "torch"}, x.clamp(-1, 1))


def answer_noise(served: Served, client: Client, request: Request) -> Steps:
    """The latent of the picture in the payload: the probability-flow ODE backwards, from the lowest level to the highest."""
    model = capabilities.denoising_model(served.model)
    image = from_uint8(request.pixels(most_side=model.size)[None])
    if tuple(image.shape[1:]) != (model.channels, model.size, model.size):
        raise BadRequest(f"the picture has the shape {tuple(image.shape[1:])}")
    levels = model.noise_levels()[-2::-1]
    denoiser = model.denoiser(_label(model, request, 1))
    x = yield from _sampled(heun_steps(denoiser, image.to(model.device), levels))
    yield Reply(numbers=(x / levels[-1]).cpu())


def _sampled(moments: Iterator[DenoisingStep]) -> Generator[None, None, Tensor]:
    """The images (n ...) of the last moment, with a turn for others after each."""
    for moment in moments:
        x = moment.x
        yield None
    return x


def _label(model: Denoising, request: Request, n: int) -> Tensor | None:
    label = request.label(model.label_classes, n)
    return None if label is None else label.to(model.device)


def _start(model: Denoising, request: Request) -> Tensor:
    shape = (model.channels, model.size, model.size)
    if request.payload:
        return request.latents(shape, most=1).to(model.device)
    return model.prior([request.whole("seed", low=0, high=_MOST_SEED)])


def _reply(level: int, steps: int, sampler: str, moment: DenoisingStep, *, shown: bool = True) -> Reply:
    """x_t (divided by the standard deviation of unit images with this noise) and x_0, as two pictures (2 c h w)."""
    seen = moment.x / (1 + moment.sigma**2) ** 0.5
    pictures = torch.cat([seen, moment.denoised]).clamp(-1, 1) if shown else None
    fields = {"level": level, "steps": steps, "sigma": moment.sigma, "sampler": sampler}
    return Reply(fields, pictures, more=level < steps)
