"""A sound family of each kind, small; and broken ones, each with one mistake and what `check_family` must say of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.adversarial import adam
from zeuxis.likelihood import Likelihoods, LikelihoodScore, silent
from zeuxis.mechanisms import Denoising, GibbsSampling, HasPosterior
from zeuxis.mixtures import mix_latents
from zeuxis.model import (
    Batch,
    Clock,
    Encoder,
    HasLikelihood,
    Latent,
    Model,
    StyleBased,
    SuperResolution,
    Translator,
    Turn,
    derived,
    option,
)
from zeuxis.nets.boltzmann import Machine, Noise
from zeuxis.samplers import Denoiser, Streams
from zeuxis.scores import Score, bootstrap_mean


@dataclass(eq=False)
class Sound(Latent):
    """A GAN of two linear layers."""

    latent_dim: int = option(4, "numbers in the latent vector", low=1, high=64)
    lr: float = option(1e-3, "learning rate (Adam)", low=0, high=1)

    training_only = ("judge",)

    def build(self) -> None:
        pixels = self.channels * self.size**2
        self.maker = nn.Linear(self.latent_dim, pixels)
        self.judge = nn.Sequential(nn.Linear(pixels, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return adam({"judge": self.judge, "maker": self.maker}, self.lr)

    def made(self, image: Tensor) -> Tensor:
        return self.decode(torch.randn(len(image), self.latent_dim, device=image.device))

    def score(self, image: Tensor) -> Tensor:
        return self.judge(image.flatten(1))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        fake = self.made(batch.image)
        yield "judge", {"real": F.softplus(-self.score(batch.image)).mean(), "fake": self.score(fake.detach()).mean()}
        yield "maker", {"adversarial": -self.score(fake).mean()}

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.maker(z)).view(-1, self.channels, self.size, self.size)


@dataclass(eq=False)
class SoundEncoder(Sound, Encoder):
    """The latents of images are sums of their pixels."""

    def encode(self, image: Tensor) -> Tensor:
        return image.flatten(1).sum(1, keepdim=True).expand(-1, self.latent_dim)


@dataclass(eq=False)
class SoundStyleBased(StyleBased, Sound):
    """One style for the one layer."""

    @property
    def styles(self) -> int:
        return 1

    def mapping(self, z: Tensor) -> Tensor:
        return 2 * z

    def synthesize(self, w: Tensor) -> Tensor:
        return Sound.decode(self, w.flatten(1))

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.synthesize(self.mapping(z))


@dataclass(eq=False)
class SoundTranslator(Translator):
    """A convolution of each pixel."""

    def build(self) -> None:
        self.layer = nn.Conv2d(self.source_channels, self.channels, 1)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return adam({"layer": self.layer}, 1e-3)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        assert batch.source is not None
        yield "layer", {"square": (self.layer(batch.source) - batch.image).square().mean()}

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        return torch.tanh(self.layer(source))


@dataclass(eq=False)
class SoundSuperResolution(SuperResolution):
    """Neighbours, then a convolution."""

    def build(self) -> None:
        self.layer = nn.Conv2d(self.source_channels, self.channels, 3, 1, 1)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return adam({"layer": self.layer}, 1e-3)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        assert batch.source is not None
        made = self.translate(batch.source)
        yield "layer", {"square": (made - batch.image[..., : made.shape[2], : made.shape[3]]).square().mean()}

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        return torch.tanh(self.layer(F.interpolate(source, scale_factor=self.scale)))

    @property
    def receptive_radius(self) -> int:
        return 1


@dataclass(eq=False)
class SoundLikelihood(SoundEncoder, HasLikelihood):
    """Scores that are no likelihoods, but fit for one."""

    def likelihood_scores(self, images: Tensor, generator: torch.Generator, progress: Any = silent) -> Likelihoods:
        noise = torch.rand(len(images), generator=generator)
        return {"mean of pixels (nats)": LikelihoodScore(bootstrap_mean(images.mean((1, 2, 3)) + noise))}


@dataclass(eq=False)
class SoundDenoising(Denoising):
    """A denoiser of one number: how much of a pixel is image."""

    latent_dim: int = derived()

    def build(self) -> None:
        self.latent_dim = self.channels * self.size**2
        self.share = nn.Parameter(torch.ones(()))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"denoiser": torch.optim.SGD(self.parameters(), 0.01)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        x = batch.image + torch.randn_like(batch.image)
        made = self.denoiser()(x, x.new_ones(len(x)))
        yield "denoiser", {"mse": (made - batch.image).square().mean()}

    def prior(self, seeds: Sequence[int]) -> Tensor:
        return Streams(seeds).normal(torch.empty(len(seeds), self.channels, self.size, self.size))

    @property
    def default_sampler(self) -> str:
        return "euler"

    def noise_levels(self, steps: int | None = None) -> list[float]:
        return [2.0 * (1 - i / (steps or 4)) for i in range((steps or 4) + 1)]

    def denoiser(self, label: Tensor | None = None) -> Denoiser:
        return lambda x, sigma: self.share * x / (1 + 4 * sigma.view(-1, 1, 1, 1) ** 2)


@dataclass(eq=False)
class SoundPosterior(Sound, HasPosterior):
    """The mean of the posterior is the mean of the pixels."""

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean = image.mean((1, 2, 3)).view(-1, 1).expand(-1, self.latent_dim)
        return mean, torch.zeros_like(mean)


@dataclass(eq=False)
class SoundGibbs(GibbsSampling):
    """A Boltzmann machine whose weights are trained to lower the free energy of the data, and small."""

    latent_dim: int = option(4, "hidden units", low=1, high=64)

    def build(self) -> None:
        self.weight = nn.Parameter(torch.randn(self.channels * self.size**2, self.latent_dim) * 0.1)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"machine": torch.optim.SGD(self.parameters(), 0.01)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        free = self.machine().free_energy((batch.image.flatten(1) + 1) / 2).mean()
        yield "machine", {"free_energy": free, "size": self.weight.square().sum()}

    def machine(self) -> Machine:
        none = self.weight.new_zeros(len(self.weight))
        return Machine(self.weight, none, self.weight.new_zeros(self.latent_dim), none)

    def visible(self, image: Tensor, noise: Noise) -> Tensor:
        return (image.flatten(1) > 0).to(image)

    def picture(self, visible: Tensor) -> Tensor:
        return visible.view(-1, self.channels, self.size, self.size) * 2 - 1


SOUND: tuple[type[Model], ...] = (
    Sound,
    SoundEncoder,
    SoundStyleBased,
    SoundTranslator,
    SoundSuperResolution,
    SoundLikelihood,
    SoundDenoising,
    SoundPosterior,
    SoundGibbs,
)
# The broken families: the check that must fail, and what it must say.
BROKEN: dict[type[Model], tuple[str, str]] = {}


def broken(check: str, said: str) -> Any:
    """Note a family as broken."""

    def note(family: type[Model]) -> type[Model]:
        BROKEN[family] = (check, said)
        return family

    return note


@broken("options_are_declared", r"the option layers of toys:NoDecorator is not read.*write @dataclass\(eq=False\)")
class NoDecorator(Sound):
    layers: int = option(2, "layers")


@broken("options_are_declared", r"toys:NoEq cannot be hashed, as torch needs; write @dataclass\(eq=False\)")
@dataclass
class NoEq(Sound):
    layers: int = option(2, "layers")


@broken("options_are_declared", r"the field layers has no meaning .* layers: int = option\(2, \"what it means\"\)")
@dataclass(eq=False)
class NoOption(Sound):
    layers: int = 2


@broken("nothing_is_missing", "encode is missing")
class NoEncode(Sound, Encoder):
    pass


def _inside() -> type[Model]:
    @broken("its_name_finds_it", "is a class inside a function; move it to the top of a module")
    class Inside(Sound):
        pass

    return Inside


_inside()


@broken("never_yields_inside_with", r"YieldsInWith yields inside a with, in line \d+")
class YieldsInWith(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        with torch.no_grad():
            fake = self.made(batch.image)
            yield None, {"mean": fake.mean()}
        yield from super().losses(batch, clock)


@broken("networks_have_parameters", "NoParameters has no parameters; assign its networks in build")
class NoParameters(Sound):
    def build(self) -> None:
        pass


@broken("networks_have_parameters", "training_only names 'critic', which build does not make")
class NoSuchNetwork(Sound):
    training_only = ("critic",)


@broken("every_parameter_has_one_player", "extra.weight is in no optimizer and never trained")
class Orphan(Sound):
    def build(self) -> None:
        super().build()
        self.extra = nn.Linear(2, 2)


@broken(
    "every_parameter_has_one_player", "maker.weight is in the optimizers of judge and maker; leave it to one player"
)
class TwoOwners(Sound):
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return adam({"judge": self, "maker": self.maker}, self.lr)


@broken("every_parameter_has_one_player", "the optimizer of extra has a tensor outside the model's parameters")
class Stranger(Sound):
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return super().optimizers() | adam({"extra": nn.Linear(2, 2)}, self.lr)


@broken("options_are_checked", r"--size may be '64'; call super\(\).__post_init__\(\)")
class Unchecked(Sound):
    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        self.build()


@broken("presets_are_options", "the preset paper sets 'momentum', which is no option")
class UnknownPreset(Sound):
    presets = {"paper": {"momentum": 0.9}}


@broken("presets_are_options", "--lr is 20.0; expected 0 to 1")
class WrongPreset(Sound):
    presets = {"paper": {"lr": 20}}


@broken(
    "losses_are_finite_scalars",
    "yields the player 'mentor', which has no optimizer; optimizers gives 'judge', 'maker'",
)
class NoOptimizer(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield from super().losses(batch, clock)
        yield "mentor", {"adversarial": self.maker.weight.sum()}


@broken("losses_are_finite_scalars", "losses gives a dict; expected turns, as: yield 'player'")
class NoTurns(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Any:
        return {"adversarial": self.made(batch.image).mean()}


@broken("losses_are_finite_scalars", "losses yields a Tensor; expected a player and its terms")
class NoPlayer(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Any:
        yield self.made(batch.image).mean()


@broken("losses_are_finite_scalars", "at step 1 no player has a turn")
class Idle(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        if clock.step != 1:
            yield from super().losses(batch, clock)


@broken("losses_are_finite_scalars", r"the term 'adversarial' of 'maker' has the shape \(4, 1\); expected a scalar")
class NoScalar(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield "maker", {"adversarial": self.score(self.made(batch.image))}


@broken("losses_are_finite_scalars", "the term 'adversarial' of 'maker' is inf at step 0")
class NotFinite(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield "maker", {"adversarial": self.score(self.made(batch.image)).mean() / clock.images}


@broken("turns_depend_on_the_clock_alone", "at step 0 other images give other turns.*let the clock alone decide")
class ByImage(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        for turn in super().losses(batch, clock):
            if turn[0] == "judge" or batch.image[0, 0, 0, 0] > 0 or clock.step:
                yield turn


@broken(
    "only_the_player_moves",
    "the loss of 'maker' was computed before another player moved; compute scores after the yield",
)
class TooEarly(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        fake = self.made(batch.image)
        fool = -self.score(fake).mean()
        yield "judge", {"fake": self.score(fake.detach()).mean()}
        yield "maker", {"adversarial": fool}


@broken("only_the_player_moves", "the loss of 'maker' is detached from its parameters")
class Detached(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield "maker", {"adversarial": self.score(self.made(batch.image)).mean().detach()}


@broken("only_the_player_moves", "the loss of 'maker' does not move it")
class Unmoved(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield "maker", {"real": self.score(batch.image).mean() + 0 * self.maker.weight.sum()}


@broken("only_the_player_moves", "has a gradient before a turn; losses must not call backward")
class CallsBackward(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        self.score(batch.image).mean().backward()
        yield None, {"mean": batch.image.mean()}
        yield from super().losses(batch, clock)


@broken("lr_scale_is_finite", "lr_scale is inf at step 0; expected a finite number")
class NoRate(Sound):
    def lr_scale(self, clock: Clock) -> float:
        return 1 / clock.step if clock.step else float("inf")


@broken("a_step_never_waits_for_the_device", r"a step asks for a tensor's value \(if, .item\(\), .tolist\(\)\)")
class Waits(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield from super().losses(batch._replace(image=batch.image / batch.image.abs().max().item()), clock)


@broken("micro_batches_play_the_same_turns", "of a whole batch come .*'size'.*, of parts")
class BySize(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield from super().losses(batch, clock)
        if len(batch.image) > 4:
            yield None, {"size": batch.image.sum()}


@broken(
    "buffers_change_after_the_last_turn",
    r"differ where another is played beside it \(.*\); change buffers after the last",
)
class EarlyBuffer(Sound):
    def build(self) -> None:
        super().build()
        self.register_buffer("mean", torch.zeros(()))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        self.mean.lerp_(batch.image.mean(), 0.5)
        yield from super().losses(batch._replace(image=batch.image - self.mean), clock)


@broken("penalties_stay_in_float32", "a gradient penalty is computed in bfloat16")
class Rounded(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        real = batch.image.requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.score(real).sum(), real, create_graph=True)
        yield "judge", {"penalty": gradient.square().sum((1, 2, 3)).mean()}
        yield "maker", {"adversarial": -self.score(self.made(batch.image)).mean()}


@broken("penalties_stay_in_float32", "a gradient penalty is computed in bfloat16")
class HalfRounded(Rounded):
    """The scores are computed before, under autocast; their gradient outside."""

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        real = batch.image.requires_grad_(True)
        score = self.score(real).float().sum()
        with torch.autocast(real.device.type, enabled=False):
            (gradient,) = torch.autograd.grad(score, real, create_graph=True)
        yield "judge", {"penalty": gradient.square().sum((1, 2, 3)).mean()}
        yield "maker", {"adversarial": -self.score(self.made(batch.image)).mean()}


@broken(
    "training_is_deterministic",
    "two trainings of seed 7 differ in .* at step 1; draw noise from torch's default generator",
)
class Numpy(Sound):
    def made(self, image: Tensor) -> Tensor:
        z = torch.tensor(np.random.default_rng().standard_normal((len(image), self.latent_dim)), dtype=torch.float32)
        return self.decode(z.to(image.device))


@broken("training_is_deterministic", "two trainings of seed 7 differ in judge/fake")
class ByChance(Sound):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield "judge", {"fake": self.score(self.made(batch.image).detach()).mean() * random.random()}
        yield "maker", {"adversarial": -self.score(self.made(batch.image)).mean()}


@broken("resuming_is_exact", "resumed at step 1 it ends with other bits in .*; keep what a step remembers in a buffer")
class Remembers(Sound):
    scale = 1.0

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield from super().losses(batch._replace(image=batch.image * self.scale), clock)
        self.scale = 0.5


@broken("resuming_is_exact", "resumed at step 1 it ends with other bits")
class OwnGenerator(Sound):
    def build(self) -> None:
        super().build()
        self.noise = torch.Generator().manual_seed(0)

    def made(self, image: Tensor) -> Tensor:
        return self.decode(torch.randn(len(image), self.latent_dim, generator=self.noise).to(image.device))


@broken(
    "schedule_breakpoints_are_complete", "step 720720 calls other layers than step 0; schedule_breakpoints must list it"
)
class TellsNoPhase(SoundTranslator):
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        part = batch if clock.step > 50 else batch._replace(source=batch.source[:2], image=batch.image[:2])  # type: ignore[index]
        yield from super().losses(part, clock)


@broken("schedule_breakpoints_are_complete", "schedule_breakpoints has step 9, which calls no other layers")
class TellsTooMuch(Sound):
    def schedule_breakpoints(self, batch_size: int) -> list[Clock]:
        return [Clock(), Clock(9, 9 * batch_size)]


@broken(
    "images_may_have_any_size", r"with size 28 and channels 1 a step fails \(.*\); build the networks from self.size"
)
class FixedSize(Sound):
    def build(self) -> None:
        pixels = 3 * 16**2
        self.maker = nn.Linear(self.latent_dim, pixels)
        self.judge = nn.Sequential(nn.Linear(pixels, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))


@broken("images_may_have_any_size", r"with size 28 and channels 1 sample gives images of the shape \(2, 1, 16, 16\)")
class FixedImage(Sound):
    def score(self, image: Tensor) -> Tensor:
        return self.judge(F.interpolate(image, (self.size, self.size)).flatten(1))

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return F.interpolate(super().decode(z), (16, 16))


@broken("samples_survive_saving", "makes other images .*; is a buffer missing?")
class Unsaved(Sound):
    def build(self) -> None:
        super().build()
        self.shift = torch.rand(()).item()

    def made(self, image: Tensor) -> Tensor:
        return super().decode(torch.randn(len(image), self.latent_dim, device=image.device))

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return (super().decode(z) + self.shift).clamp(-1, 1)


@broken("samples_survive_saving", "'SamplesByJudge' object has no attribute 'judge'.*without what only training uses")
class SamplesByJudge(Sound):
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return (super().decode(z) + self.judge[0].bias.mean()).clamp(-1, 1)


@broken(
    "options_are_declared", r"the option layers is a tuple\[int, ...\]; options are int, float, str, bool or Literal"
)
@dataclass(eq=False)
class NoPlainOption(Sound):
    layers: tuple[int, ...] = option((1, 2), "widths of the layers")


@broken("an_image_depends_on_its_seed_alone", r"decode gives values up to .*; expected \[-1, 1\]: end in torch.tanh")
class OutOfRange(Sound):
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return 3 * super().decode(z)


@broken("an_image_depends_on_its_seed_alone", r"decode gives the shape \(4, 768\); expected \(4, 3, 16, 16\)")
class Flat(Sound):
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return super().decode(z).flatten(1)


@broken("an_image_depends_on_its_seed_alone", "prior gives one seed two latents")
class ByOrder(Sound):
    def prior(self, seeds: Sequence[int]) -> Tensor:
        torch.manual_seed(seeds[0])
        return torch.randn(len(seeds), self.latent_dim)


@broken("an_image_depends_on_its_seed_alone", "another image of a latent alone than of one among others")
class Mixes(Sound):
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return super().decode(z + torch.randn_like(z))


@broken("mixtures_are_draws_of_the_prior", 'a mean .* from that of prior; try mixture = "sum"')
class BitsByNorm(Sound):
    def prior(self, seeds: Sequence[int]) -> Tensor:
        return (super().prior(seeds) > 0).float()


@broken(
    "mixtures_are_draws_of_the_prior",
    r"0\.4\d times the standard deviation of prior; scale the weights of mix to norm 1",
)
class Averages(Sound):
    def mix(self, latents: Tensor, weights: Tensor) -> Tensor:
        return mix_latents(latents, weights, "sum")


@broken("mixtures_are_draws_of_the_prior", "mix of one latent with weight 1 is another latent")
class MixesInHalf(Sound):
    def mix(self, latents: Tensor, weights: Tensor) -> Tensor:
        return super().mix(latents, weights).half().float()


@broken("encode_gives_latents", r"encode gives the shape \(3, 1\); expected that of prior, \(3, 4\)")
class OneNumber(SoundEncoder):
    def encode(self, image: Tensor) -> Tensor:
        return image.flatten(1).sum(1, keepdim=True)


@broken("encode_gives_latents", "encode finds another latent of an image alone")
class EncodesTogether(SoundEncoder):
    def encode(self, image: Tensor) -> Tensor:
        return super().encode(image - image.mean())


@broken("synthesize_agrees_with_decode", r"synthesize of styles \(n styles d\) is another image")
class OneStyle(SoundStyleBased):
    def synthesize(self, w: Tensor) -> Tensor:
        return Sound.decode(self, w if w.ndim == 2 else -w[:, 0])


@broken("images_of_any_shape_translate", r"forward makes the shape \(3, 3, 36, 50\)")
class EvenSides(SoundTranslator):
    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        height, width = (2 * (side // 2) for side in source.shape[2:])
        return super().translate(source[..., :height, :width])


@broken("images_of_any_shape_translate", r"forward gives values up to .*; expected \[-1, 1\]")
class Unbounded(SoundTranslator):
    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        return 3 * super().translate(source)


@broken(
    "receptive_radius_is_large_enough",
    "a source pixel changes the output beyond receptive_radius, which is 0; raise it",
)
class ReachesFurther(SoundSuperResolution):
    @property
    def receptive_radius(self) -> int:
        return 0


@broken("diagnostics_are_images", r"diagnostics has 'weights' in the shape \(768, 4\); expected images")
class NoPicture(Sound):
    def diagnostics(self) -> dict[str, Tensor]:
        return {"weights": self.maker.weight}


@broken("diagnostics_are_images", r"diagnostics has 'samples' with values up to .*; expected \[-1, 1\]")
class Glaring(Sound):
    counts: ClassVar[int] = 1

    def diagnostics(self) -> dict[str, Tensor]:
        return {"samples": 9 * self.sample(2)}


@broken("likelihood_scores_are_finite", "likelihood_scores has 'mean .nats.' as inf; expected a finite number")
class InfiniteScore(SoundLikelihood):
    def likelihood_scores(self, images: Tensor, generator: torch.Generator, progress: Any = silent) -> Likelihoods:
        return {"mean (nats)": LikelihoodScore(Score(float("inf")))}


@broken("likelihood_scores_are_finite", r"likelihood_scores has 'mean'; end it with its unit")
class NoUnit(SoundLikelihood):
    def likelihood_scores(self, images: Tensor, generator: torch.Generator, progress: Any = silent) -> Likelihoods:
        return {"mean": LikelihoodScore(Score(images.mean().item()))}


@broken("likelihood_scores_are_finite", "'mean .nats.' differs for one seed of the generator; draw from no other")
class OtherNoise(SoundLikelihood):
    def likelihood_scores(self, images: Tensor, generator: torch.Generator, progress: Any = silent) -> Likelihoods:
        return {"mean (nats)": LikelihoodScore(Score(torch.rand(()).item()))}


@broken("denoising_ends_at_decode", "decode gives another image than the last moment of denoising")
class OtherWay(SoundDenoising):
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return -super().decode(z)


@broken("denoising_ends_at_decode", r"noise_levels\(3\) has \(0.0, .*\); expected levels that fall")
class Rising(SoundDenoising):
    def noise_levels(self, steps: int | None = None) -> list[float]:
        return super().noise_levels(steps)[::-1]


@broken("denoising_ends_at_decode", r"noise_levels\(3\) gives 3 levels; expected one more than steps, with the 0")
class OneLess(SoundDenoising):
    def noise_levels(self, steps: int | None = None) -> list[float]:
        return super().noise_levels((steps or 4) - 1)


@broken("denoising_ends_at_decode", "default_sampler is 'best'; expected one of heun")
class UnknownSampler(SoundDenoising):
    @property
    def default_sampler(self) -> str:
        return "best"

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.share * z)


@broken("posterior_is_a_gaussian", "posterior gives an image two means; give the parameters, not a draw")
class Draws(SoundPosterior):
    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = super().posterior(image)
        return mean + 1e-6 * torch.randn(()), log_variance


@broken("posterior_is_a_gaussian", r"posterior gives a log variance of the shape \(3, 1\); expected \(3, 4\)")
class OneVariance(SoundPosterior):
    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return super().posterior(image)[0], torch.zeros(len(image), 1)


@broken("gibbs_sampling_fits_the_images", "decode gives another image than")
class OtherPicture(SoundGibbs):
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return -super().decode(z)


@broken("gibbs_sampling_fits_the_images", r"picture gives values up to .*; expected \[-1, 1\]")
class Doubled(SoundGibbs):
    def picture(self, visible: Tensor) -> Tensor:
        return 2 * super().picture(visible)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return super().decode(z).clamp(-1, 1)
