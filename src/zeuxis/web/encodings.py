"""Operations of the view Latent space: the posterior of a picture, which latents are used, and a map of encoded pictures."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional as F

from zeuxis import capabilities
from zeuxis.io.images import from_uint8
from zeuxis.mechanisms import HasPosterior
from zeuxis.web.clients import Client
from zeuxis.web.requests import BadRequest, Reply, Request, Steps
from zeuxis.web.served import Served
from zeuxis.web.training_pictures import TrainingPictures, training_pictures

ACTIVE_NATS = 0.01  # nats of KL divergence above which a latent is used (as `latent/active_units` of training)
SHEET = 8  # thumbnails in a row, and rows, of one answer
_THUMBNAIL = 32  # pixels, at most
_SAMPLES = 256  # pictures by which use is measured, where the training pictures are not known


@dataclass(frozen=True, eq=False)
class Encoded:
    """What is known of the encoded training pictures: places on the map (n 2), KL divergence of each latent (d)."""

    places: Tensor
    explained: list[float]  # share of the variance along each axis
    kl: Tensor


_ENCODED: WeakKeyDictionary[Served, Encoded] = WeakKeyDictionary()


def answer_posterior(served: Served, client: Client, request: Request) -> Steps:
    """Of one picture: itself and its reconstruction, and mean, spread and KL divergence of each latent (3 d).

    The payload is the picture's latent, or its pixels (`given`: "latent" or "pixels").
    """
    model = capabilities.posterior_model(served.model)
    if request.word("given", ("latent", "pixels"), default="latent") == "latent":
        image = model.decode(request.latents(served.shape, most=1).to(model.device))
    else:
        image = from_uint8(request.pixels(most_side=model.size)[None]).to(model.device)
        if tuple(image.shape[1:]) != (model.channels, model.size, model.size):
            raise BadRequest(f"the picture has the shape {tuple(image.shape[1:])}")
    yield _looked_at(model, image)


def answer_look(served: Served, client: Client, request: Request) -> Steps:
    """The same of a training picture, by its `index` on the map."""
    model, pictures = capabilities.posterior_model(served.model), training_pictures(served)
    index = request.whole("index", low=0, high=len(pictures) - 1)
    reply = _looked_at(model, pictures.images(index, index + 1).to(model.device))
    named = {
        grouping["name"]: grouping["groups"][labels[index]]
        for grouping, labels in zip(pictures.groupings, pictures.labels)
    }
    yield Reply({"index": index, "named": named}, reply.pictures, reply.numbers)


def answer_usage(served: Served, client: Client, request: Request) -> Steps:
    """The mean KL divergence of each latent (d), in nats, over pictures of the model itself."""
    model = capabilities.posterior_model(served.model)
    found = []
    for start in range(0, _SAMPLES, 32):
        mean, log_variance = model.posterior(model.decode(model.prior(range(start, start + 32))))
        found.append(latent_kl(mean, log_variance))
        yield None
    yield Reply({"active": ACTIVE_NATS, "measured": _SAMPLES}, numbers=torch.cat(found).mean(0).cpu())


def answer_encodings(served: Served, client: Client, request: Request) -> Steps:
    """The map of the encoded training pictures, as a stream: sheets of thumbnails, then all places (n 2).

    Places are the first two principal components of the posterior means; of two latents, the means themselves.
    """
    model, pictures = capabilities.posterior_model(served.model), training_pictures(served)
    moments: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(pictures), SHEET**2):
        images = pictures.images(start, start + SHEET**2)
        if served not in _ENCODED:
            moments.append(tuple(part.cpu() for part in model.posterior(images.to(model.device))))  # type: ignore[arg-type]
        yield Reply(
            {"start": start, "count": len(images), "of": len(pictures)}, thumbnail_sheet(images)[None], more=True
        )
    if served not in _ENCODED:
        _ENCODED[served] = _encoded(*(torch.cat(parts) for parts in zip(*moments)))
    found = _ENCODED[served]
    yield Reply(_described(pictures, found), numbers=found.places)


def latent_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The KL divergence (n d) of each latent's posterior from the standard normal prior, in nats."""
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def thumbnail_sheet(images: Tensor) -> Tensor:
    """Thumbnails of at most 64 images (n c h w) as one picture (c h' w'), eight in a row."""
    side = min(_THUMBNAIL, images.shape[-1])
    small = F.interpolate(images, (side, side), mode="area")
    full = torch.cat([small, small.new_full((SHEET**2 - len(small), *small.shape[1:]), -1.0)])
    rows = full.view(SHEET, SHEET, *small.shape[1:]).permute(2, 0, 3, 1, 4)  # c row y column x
    return rows.reshape(small.shape[1], SHEET * side, SHEET * side)


def principal_places(means: Tensor) -> tuple[Tensor, list[float]]:
    """Places (n 2) along the first two principal components of latents (n d), and their shares of the variance.

    Each axis points to where its largest coefficient is positive, so that a map is the same each time.
    """
    centred = means.double() - means.double().mean(0)
    _, lengths, axes = torch.linalg.svd(centred, full_matrices=False)
    axes, total = axes[:2], lengths.square().sum().clamp(min=1e-12)
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    places = F.pad(centred @ axes.T, (0, 2 - len(axes)))
    return places.float(), [*(lengths[:2].square() / total).tolist(), 0.0][:2]


def _encoded(mean: Tensor, log_variance: Tensor) -> Encoded:
    kl = latent_kl(mean, log_variance).mean(0)
    if mean.shape[1] == 2:
        shares = mean.var(0, correction=0) / mean.var(0, correction=0).sum().clamp(min=1e-12)
        return Encoded(mean, shares.tolist(), kl)
    places, explained = principal_places(mean)
    return Encoded(places, explained, kl)


def _described(pictures: TrainingPictures, found: Encoded) -> dict[str, object]:
    return {
        "explained": found.explained,
        "direct": len(found.kl) == 2,  # the axes are the two latents
        "groupings": pictures.groupings,
        "labels": pictures.labels,
        "active": int((found.kl > ACTIVE_NATS).sum()),
        "latents": len(found.kl),
    }


def _looked_at(model: HasPosterior, image: Tensor) -> Reply:
    mean, log_variance = model.posterior(image)
    rows = torch.cat([mean, (log_variance / 2).exp(), latent_kl(mean, log_variance)])
    return Reply(pictures=torch.cat([image, model.decode(mean)]), numbers=rows.cpu())
