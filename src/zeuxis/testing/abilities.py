"""Checks of what a model can be asked for: images of every size, samples, latents, translations, a saved copy of itself."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from zeuxis import families
from zeuxis.errors import UsageError
from zeuxis.io.images import from_uint8, to_uint8
from zeuxis.model import Clock, Encoder, HasLikelihood, Latent, Model, StyleBased, SuperResolution, Translator
from zeuxis.storage.models import fill, read_model_folder
from zeuxis.testing.case import Case, FamilyCheckError, NoiseImages, demand, given, listed, trained
from zeuxis.training.engine import State, train_step

SHAPES = ((28, 1), (32, 3), (50, 3))


def images_may_have_any_size(case: Case) -> None:
    """A model of any size and number of channels trains, and makes images of that size; or says that it cannot."""
    built = 0
    for size, channels in SHAPES:
        shape = {"size": size, "channels": channels}
        changes = {name: value for name, value in shape.items() if case.accepts(name)}
        try:
            model = case.model(changes)
        except UsageError:
            continue  # the family says in a sentence that this size is not for it
        except RuntimeError as error:
            raise FamilyCheckError(_unfit(f"build fails ({error})", size, channels)) from error
        built += 1
        _fits(model, size, channels)
    demand(built > 0, f"it refuses all of these sizes and channels: {', '.join(map(str, SHAPES))}")


def _fits(model: Model, size: int, channels: int) -> None:
    try:
        report = train_step(model, model.optimizers(), NoiseImages(model).batch(0, 4), Clock())
    except RuntimeError as error:
        raise FamilyCheckError(_unfit(f"a step fails ({error})", size, channels)) from error
    odd = [name for name, value in report.items() if not torch.isfinite(value)]
    demand(not odd, _unfit(f"{listed(odd)} is not finite", size, channels))
    if isinstance(model, Latent):
        made, wanted = tuple(model.eval().sample(2).shape), (2, model.channels, model.size, model.size)
        demand(made == wanted, _unfit(f"sample gives images of the shape {made}", size, channels))


def _unfit(what: str, size: int, channels: int) -> str:
    return f"with size {size} and channels {channels} {what}; build the networks from self.size and self.channels"


def samples_survive_saving(case: Case) -> None:
    """A saved model has the options of the first and makes the same images, without what only training uses."""
    state = State.start(case.model())
    trained(state, 3)
    options = state.model.options
    with TemporaryDirectory() as folder:
        state.average.save(Path(folder))
        config, weights = read_model_folder(folder)
    loaded = families.find(config["family"])(**config["options"])
    fill(loaded, weights)
    demand(loaded.options == options, f"saved with {options} it comes back with {loaded.options}")
    demand(
        loaded.family() == case.family.family(),
        f"it is saved as {case.family.family()}, and loaded as {loaded.family()}",
    )
    kept = {key.split(".")[0] for key in weights} & set(state.model.training_only)
    demand(not kept, f"{listed(sorted(kept))} is saved, though training_only says that only training uses it")
    # Laid out as in training, so that the sums are the same.
    lean = loaded.drop_training_only().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    made, wanted = _made(lean), _made(state.average)
    for way, images in wanted.items():
        demand(torch.equal(made[way], images), f"saved and loaded, it makes other images ({way}); is a buffer missing?")


def _made(model: Model) -> dict[str, Tensor]:
    """Images that the model makes, in each way that it can."""
    images = {"sample": model.sample(3)} if isinstance(model, Latent) else {}
    if isinstance(model, Translator):
        with torch.no_grad():
            images |= {f"translate {way}": model.translate(given(model, way, 3), way) for way in model.directions}
    return images


def an_image_depends_on_its_seed_alone(case: Case) -> None:
    """Image i is in shape and range, and depends on seed i alone: not on chance, nor on the images drawn with it."""
    model = _latent(case)
    z = model.prior([3, 1, 4, 1])
    demand(
        torch.equal(z[1], z[3]) and torch.equal(model.prior([1])[0], z[1]) and not torch.equal(z[0], z[1]),
        "prior gives one seed two latents, or two seeds one; draw each row from a generator of its seed alone",
    )
    with torch.no_grad():
        image = model.decode(z)
    wanted = (4, model.channels, model.size, model.size)
    demand(tuple(image.shape) == wanted, f"decode gives the shape {tuple(image.shape)}; expected {wanted} (n c h w)")
    most = image.abs().max().item()
    demand(most <= 1, f"decode gives values up to {most:.3g}; expected [-1, 1]: end in torch.tanh, or clamp")
    _alike(image[2:3], model.sample(1, seed=4), "decode makes another image of a latent alone than of one among others")
    _alike(model.sample(5, batch_size=2), model.sample(5), "sample makes other images in batches of another size")


def _latent(case: Case) -> Latent:
    model = case.model().eval()
    assert isinstance(model, Latent)
    return model


def _alike(one: Tensor, other: Tensor, message: str, *, within: float = 1e-5) -> None:
    apart = (one - other).abs().max().item() if one.shape == other.shape else float("inf")
    demand(apart <= within, f"{message} (apart by {apart:.2g}); does it draw at random, or normalise over the batch?")


def mixtures_are_draws_of_the_prior(case: Case) -> None:
    """A mixture of one latent is that latent; mixtures of four keep the prior's mean, and for a norm its variance."""
    model = _latent(case)
    z = model.prior(range(256)).cpu()
    alone = model.mix(z[None, :2], torch.tensor([[1.0, 0.0]]))
    demand(torch.equal(alone, z[:1]), "mix of one latent with weight 1 is another latent")
    mixed = model.mix(z.reshape(-1, 4, *z.shape[1:]), torch.ones(len(z) // 4, 4))
    spread = z.std().item()
    moved = abs(mixed.mean().item() - z.mean().item()) / spread
    other = "sum" if model.mixture == "norm" else "norm"
    demand(
        moved < 0.4, f'mixtures have a mean {moved:.2g} standard deviations from that of prior; try mixture = "{other}"'
    )
    ratio = mixed.std().item() / spread
    demand(
        model.mixture == "sum" or 0.7 < ratio < 1.4,
        f"mixtures have {ratio:.2g} times the standard deviation of prior; scale the weights of mix to norm 1",
    )


def encode_gives_latents(case: Case) -> None:
    """`encode` gives images latents of the shape that `prior` has, each by itself."""
    model = _latent(case)
    assert isinstance(model, Encoder)
    images = NoiseImages(model).batch(0, 3).image
    with torch.no_grad():
        z, alone = model.encode(images), model.encode(images[:1])
    wanted = tuple(model.prior([0, 1, 2]).shape)
    demand(tuple(z.shape) == wanted, f"encode gives the shape {tuple(z.shape)}; expected that of prior, {wanted}")
    scale = 1 + z.abs().max().item()
    _alike(z[:1], alone, "encode finds another latent of an image alone than of one among others", within=1e-5 * scale)


def synthesize_agrees_with_decode(case: Case) -> None:
    """The image of a latent is that of its styles, given once or for each layer."""
    model = _latent(case)
    assert isinstance(model, StyleBased)
    with torch.no_grad():
        z = model.prior([0, 1])
        w = model.mapping(z)
        each = w[:, None].expand(-1, model.styles, -1)
        _alike(model.synthesize(w), model.decode(z), "synthesize(mapping(z)) is another image than decode(z)")
        _alike(model.synthesize(each), model.decode(z), "synthesize of styles (n styles d) is another image")


def likelihood_scores_are_finite(case: Case) -> None:
    """Likelihood scores are finite, named with their unit, and a function of images and generator alone."""
    model = case.model().eval()
    assert isinstance(model, HasLikelihood)
    images = from_uint8(to_uint8(NoiseImages(model).batch(0, 20).image))
    with torch.no_grad():
        found, again = (model.likelihood_scores(images, torch.Generator().manual_seed(3)) for _ in range(2))
    demand(bool(found), "likelihood_scores gives no score; name at least one")
    for name, (score, _) in found.items():
        demand(isfinite(score.value), f"likelihood_scores has {name!r} as {score.value}; expected a finite number")
        demand(
            name.endswith(")") and "(" in name, f"likelihood_scores has {name!r}; end it with its unit: 'ELBO (nats)'"
        )
        demand(again[name].score == score, f"{name!r} differs for one seed of the generator; draw from no other")


def images_of_any_shape_translate(case: Case) -> None:
    """Grey becomes colour and colour grey, of any height and width, each image by itself."""
    for channels in ({"source_channels": 1, "channels": 3}, {"source_channels": 3, "channels": 1}):
        model = case.model({name: value for name, value in channels.items() if case.accepts(name)})
        assert isinstance(model, Translator)
        report = train_step(model, model.optimizers(), NoiseImages(model).batch(0, 4), Clock())
        demand(all(torch.isfinite(value) for value in report.values()), f"with {channels} a step gives {report}")
        model.eval()
        for way in model.directions:
            _translates(model, way)


def _translates(model: Translator, way: str) -> None:
    made, scale = (model.channels if way == "forward" else model.source_channels), model.size // model.source_size
    source = given(model, way, 3, height=37, width=51)
    with torch.no_grad():
        image, alone = model.translate(source, way), model.translate(source[1:2], way, seed=1)
    shape, wanted = tuple(image.shape), (3, made, 37 * scale, 51 * scale)
    demand(shape == wanted, f"{way} makes the shape {shape} of {tuple(source.shape)}; expected {wanted}")
    most = image.abs().max().item()
    demand(most <= 1, f"{way} gives values up to {most:.3g}; expected [-1, 1]: end in torch.tanh, or clamp")
    _alike(image[1:2], alone, f"{way} makes another image of a source alone than of one among others")


def receptive_radius_is_large_enough(case: Case) -> None:
    """No output pixel depends on a source pixel beyond `receptive_radius`, so that tiles overlap enough."""
    model = case.model().eval()
    assert isinstance(model, SuperResolution)
    radius = model.receptive_radius
    source = given(model, "forward", 1, height=3, width=2 * radius + 3)
    other = source.clone()
    other[..., 0] = -other[..., 0]
    with torch.no_grad():
        apart = (model.translate(source) - model.translate(other)).abs()
    beyond = apart[..., (radius + 1) * model.scale :].max().item()
    demand(beyond == 0, f"a source pixel changes the output beyond receptive_radius, which is {radius}; raise it")


def diagnostics_are_images(case: Case) -> None:
    """`diagnostics` gives images by name, also of a model that no longer trains."""
    state = State.start(case.model())
    with torch.no_grad():
        for name, images in state.average.diagnostics().items():
            shape = tuple(images.shape)
            fits = len(shape) == 4 and shape[1] in (1, 3, 4)
            demand(fits, f"diagnostics has {name!r} in the shape {shape}; expected images (n c h w)")
            most = images.abs().max().item()
            demand(most <= 1, f"diagnostics has {name!r} with values up to {most:.3g}; expected [-1, 1]")
