"""The conformance suite, for families from inside and outside the package: `check_family` in a test of your own.

from my_family import MyFamily
from zeuxis.testing import check_family

def test_my_family():
    check_family(MyFamily)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

import torch

from zeuxis.errors import UsageError
from zeuxis.mechanisms import Denoising, GibbsSampling, HasPosterior
from zeuxis.model import Encoder, HasLikelihood, Latent, Model, StyleBased, SuperResolution, Translator
from zeuxis.testing import abilities, declaration, game, learning, mechanisms, steps
from zeuxis.testing.case import Case, FamilyCheckError

__all__ = ["FamilyCheckError", "check_family", "family_checks"]

Check = Callable[[Case], None]

# Each check with the type of models that it is for, in the order in which they build on each other: what a family must not
# lack comes before what would fail without it.
CHECKS: tuple[tuple[Check, type[Any]], ...] = (
    (declaration.options_are_declared, Model),
    (declaration.nothing_is_missing, Model),
    (declaration.its_name_finds_it, Model),
    (declaration.never_yields_inside_with, Model),
    (declaration.networks_have_parameters, Model),
    (declaration.every_parameter_has_one_player, Model),
    (declaration.options_are_checked, Model),
    (declaration.presets_are_options, Model),
    (game.losses_are_finite_scalars, Model),
    (game.turns_depend_on_the_clock_alone, Model),
    (game.only_the_player_moves, Model),
    (game.lr_scale_is_finite, Model),
    (learning.training_is_deterministic, Model),
    (learning.resuming_is_exact, Model),
    (steps.micro_batches_play_the_same_turns, Model),
    (steps.buffers_change_after_the_last_turn, Model),
    (steps.penalties_stay_in_float32, Model),
    (steps.a_step_never_waits_for_the_device, Model),
    (learning.chosen_kernels_change_nothing, Model),
    (learning.schedule_breakpoints_are_complete, Model),
    (mechanisms.denoising_ends_at_decode, Denoising),
    (mechanisms.posterior_is_a_gaussian, HasPosterior),
    (mechanisms.gibbs_sampling_fits_the_images, GibbsSampling),
    (abilities.an_image_depends_on_its_seed_alone, Latent),
    (abilities.mixtures_are_draws_of_the_prior, Latent),
    (abilities.encode_gives_latents, Encoder),
    (abilities.synthesize_agrees_with_decode, StyleBased),
    (abilities.likelihood_scores_are_finite, HasLikelihood),
    (abilities.samples_survive_saving, Model),
    (abilities.images_may_have_any_size, Model),
    (abilities.images_of_any_shape_translate, Translator),
    (abilities.receptive_radius_is_large_enough, SuperResolution),
    (abilities.diagnostics_are_images, Model),
)


def check_family(family: type[Model], *, options: Mapping[str, Any] | None = None, skip: Collection[str] = ()) -> None:
    """Run all checks on a family, and raise `FamilyCheckError` at the first that fails: what is wrong, in a sentence.

    `options` make it small, so that this takes seconds; `skip` names checks (of `family_checks`) to leave out.
    """
    checks = dict(family_checks(family, options=options))
    for name in skip:
        if name not in checks:
            raise UsageError(f"there is no check {name!r} of {family.__name__}; skip some of {', '.join(checks)}")
    for name, check in checks.items():
        if name not in skip:
            check()


def family_checks(
    family: type[Model], *, options: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks of a family, by name, in the order in which they build on each other: for a test of each."""
    if not (inspect.isclass(family) and issubclass(family, Model)):
        raise UsageError(f"{family!r} is not a zeuxis.Model; derive it from Model, Latent, Encoder or Translator")
    case = Case(family, dict(options or {}))
    for check, kind in CHECKS:
        if issubclass(family, kind):
            yield check.__name__, partial(_run, check, case)


def _run(check: Check, case: Case) -> None:
    """The check, with the random state of torch left as it was; whatever fails becomes a `FamilyCheckError`."""
    name = case.family.__name__
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            check(case)
    except (FamilyCheckError, UsageError) as error:
        raise FamilyCheckError(f"{name}: {error}") from error.__cause__
    except Exception as error:
        rule = (check.__doc__ or "").strip().rstrip(".")
        raise FamilyCheckError(f"{name}: {type(error).__name__}: {error} (while checking: {rule})") from error
