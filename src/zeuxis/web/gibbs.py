"""Operations of the view Gibbs: steps of the Markov chain, held pixels, filters, and what turns a hidden unit on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from zeuxis import capabilities
from zeuxis.io.images import from_uint8
from zeuxis.mechanisms import GibbsSampling
from zeuxis.nets.boltzmann import Machine, draw
from zeuxis.samplers import Chance, Clamp, GibbsState, base_draws, gibbs_steps
from zeuxis.training.engine import hash_seed
from zeuxis.web.clients import Client
from zeuxis.web.requests import BadRequest, Reply, Request, Steps
from zeuxis.web.served import Served
from zeuxis.web.training_pictures import training_pictures

_MOST_FILTERS = 128  # in one answer
_TEMPERATURES = (0.25, 8.0)
_MOST_STEPS = 1000
_MOST_SEED = 2**53 - 1
_TURN = 50  # steps between two turns of others
_EXAMPLES = 16  # training pictures of a hidden unit
_AT_ONCE = 256
_START = -1  # the place in a chain of the noise that comes before its first step

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class _Given(NamedTuple):
    """What the payload brings: hidden units (1 k) and held pixels, each or neither."""

    hidden: Tensor | None
    clamp: Clamp | None


def answer_gibbs(served: Served, client: Client, request: Request) -> Steps:
    """Some `steps` of the chain at a `temperature`: pictures of v and of p(v|h), and the hidden units (k) to go on from.

    The payload has hidden units (k float32) if `hidden` is 1; then, if `held` is 1, pixels (h w c, uint8) and a mask
    (h w, uint8) of those to hold. Without hidden units the chain starts from independent pixels. The noise of a step is
    a function of `seed` and of its place in the chain, so a chain is the same however many steps are asked for at once.
    """
    model = capabilities.gibbs_model(served.model)
    steps = request.whole("steps", low=1, high=_MOST_STEPS, default=1)
    beta = 1 / request.number("temperature", low=_TEMPERATURES[0], high=_TEMPERATURES[1], default=1.0)
    position = request.whole("position", low=0, high=2**40, default=0)
    seed = request.whole("seed", low=0, high=_MOST_SEED, default=0)
    machine = model.machine().plain(torch.float32)
    hidden, clamp = _given(model, request)
    if hidden is None:
        hidden = torch.sigmoid(machine.hidden_input(base_draws(machine, 1, noise=_noise(seed, _START))))
    random = Generator().manual_seed(hash_seed(seed, position))
    noise = Chance(random)
    hidden = (noise.uniform(hidden) < hidden).float()  # probabilities, as of an encoded picture, become states
    chain = gibbs_steps(machine, hidden, noise=noise, beta=beta, clamp=clamp)
    state = next(chain)
    for done in range(1, steps):
        random.manual_seed(hash_seed(seed, position + done))
        state = next(chain)
        if done % _TURN == 0:
            yield None
    random.manual_seed(hash_seed(seed, position + steps))
    following = draw(beta * machine.hidden_input(state.visible), noise)  # as the chain does next
    yield _answer(model, machine, state, beta, following, position + steps)


def _answer(
    model: GibbsSampling, machine: Machine, state: GibbsState, beta: float, following: Tensor, position: int
) -> Reply:
    expected = machine.mean_visible(machine.visible_input(state.hidden, beta))
    pictures = torch.cat([model.picture(state.visible), model.picture(expected)]).clamp(-1, 1)
    free = machine.free_energy(state.visible).item()
    return Reply({"position": position, "free_energy": free}, pictures, following[0])


def answer_filters(served: Served, client: Client, request: Request) -> Steps:
    """The weights of hidden units as pictures, those with the largest norm first: 0 is 128, each scaled by itself."""
    model = capabilities.gibbs_model(served.model)
    norms = model.machine().weight.norm(dim=0).cpu()
    order = norms.argsort(descending=True, stable=True)
    first = request.whole("first", low=0, high=len(order) - 1, default=0)
    units = order[first : first + request.whole("count", low=1, high=_MOST_FILTERS, default=_MOST_FILTERS)]
    shown = (model.filters()[units.to(model.device)].cpu() * 127 + 128).round().to(torch.uint8)
    fields = {"units": units.tolist(), "norms": [round(norm, 4) for norm in norms[units].tolist()], "of": len(order)}
    yield Reply(fields, shown.permute(0, 2, 3, 1).numpy())


def answer_unit(served: Served, client: Client, request: Request) -> Steps:
    """The training pictures that turn a hidden `unit` on most, with its probability for each, and its mean."""
    model = capabilities.gibbs_model(served.model)
    machine, pictures = model.machine().plain(torch.float32), training_pictures(served)
    which = request.whole("unit", low=0, high=machine.weight.shape[1] - 1)
    noise, weight, found = _noise(0, _START), machine.weight[:, which], []
    scale = 1.0 if machine.variance is None else 1 / machine.variance
    for start in range(0, len(pictures), _AT_ONCE):
        visible = model.visible(pictures.images(start, start + _AT_ONCE), noise)
        found.append(scale * (visible @ weight) + machine.hidden_bias[which])
        yield None
    inputs = torch.cat(found)
    most = inputs.argsort(descending=True, stable=True)[:_EXAMPLES]
    fields = {
        "unit": which,
        "probabilities": [round(value, 4) for value in torch.sigmoid(inputs[most]).tolist()],
        "mean": round(torch.sigmoid(inputs).mean().item(), 4),
        "pictures_seen": len(pictures),
    }
    yield Reply(fields, pictures.pixels[most.numpy()])


def _given(model: GibbsSampling, request: Request) -> _Given:
    """The hidden units and the held pixels of the payload, checked."""
    has_hidden, has_held = (request.whole(name, low=0, high=1, default=0) for name in ("hidden", "held"))
    pixels, area, units = model.channels * model.size**2, model.size**2, 4 * model.latent_dim
    if len(request.payload) != has_hidden * units + has_held * (pixels + area):
        raise BadRequest(f"the payload has {len(request.payload)} bytes")
    hidden = clamp = None
    if has_hidden:
        found = np.frombuffer(request.payload[:units], "<f4").astype(np.float32)
        if not (np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1):
            raise BadRequest("a hidden unit is not between 0 and 1")
        hidden = torch.from_numpy(found)[None]
    if has_held:
        rest = np.frombuffer(request.payload[has_hidden * units :], np.uint8)
        clamp = _clamp(model, rest[:pixels], rest[pixels:])
    return _Given(hidden, clamp)


def _clamp(model: GibbsSampling, pixels: _Bytes, mask: _Bytes) -> Clamp | None:
    """The held pixels (h w c) where the mask (h w) is not 0; grey ones become the same states each time."""
    if not mask.any():
        return None
    side, channels = model.size, model.channels
    image = from_uint8(pixels.reshape(1, side, side, channels).copy())
    held = torch.from_numpy(mask.reshape(1, side, side) > 0).expand(channels, -1, -1)
    return Clamp(held.reshape(1, -1), model.visible(image, _noise(0, _START)).float())


def _noise(seed: int, position: int) -> Chance:
    return Chance(Generator().manual_seed(hash_seed(seed, position)))
