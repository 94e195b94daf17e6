"""Checks of training: the same bits each time, and after a resume; kernels; the times at which the work changes."""

from __future__ import annotations

from math import isclose

from zeuxis.model import Clock, Model
from zeuxis.nets import kernels
from zeuxis.nets.maps import Layer
from zeuxis.testing.case import LATE, SEED, Case, NoiseImages, continued, demand, first_difference, trained
from zeuxis.training.engine import State, train_step


def training_is_deterministic(case: Case) -> None:
    """Two trainings of one seed report the same numbers and end with the same bits."""
    one, other = State.start(case.model()), State.start(case.model())
    for step, (a, b) in enumerate(zip(trained(one, 7), trained(other, 7), strict=True), 1):
        changed = [name for name in a if a[name] != b.get(name)]
        demand(
            not changed,
            f"two trainings of seed {SEED} differ in {', '.join(changed)} at step {step}; draw noise from torch's default "
            "generator, which is seeded for each step, not from random, numpy or another generator",
        )
    found = first_difference(one, other)
    demand(found is None, f"two trainings of seed {SEED} end with different bits in {found}")


def resuming_is_exact(case: Case) -> None:
    """A training that is resumed ends with the bits of one that never stopped."""
    whole = State.start(case.model())
    trained(whole, 7)
    for cut in (1, 4):
        first = State.start(case.model())
        trained(first, cut)
        second = continued(case, first)
        trained(second, 7)
        found = first_difference(whole, second)
        demand(
            found is None,
            f"resumed at step {cut} it ends with other bits in {found}; keep what a step remembers in a buffer "
            "(register_buffer), or compute it from the clock",
        )


def chosen_kernels_change_nothing(case: Case) -> None:
    """With other kernels for its layers a step gives the same numbers, and resuming is exact."""
    table = dict.fromkeys(map(kernels.name, _layers(case.model(), 0)), "blas blas blas")
    if not table:
        return
    whole, plain = State.start(case.model()), State.start(case.model())
    (one,), (other,) = trained(plain, 1), trained(whole, 1, table)
    for name, value in one.items():
        near = isclose(value, other[name], rel_tol=1e-4, abs_tol=1e-6)
        demand(near, f"{name} is {value}, and {other[name]} with other kernels for the same layers")
    trained(whole, 5, table)
    first = State.start(case.model())
    trained(first, 2, table)
    second = continued(case, first)
    trained(second, 5, table)
    found = first_difference(whole, second)
    demand(found is None, f"with chosen kernels it ends, resumed at step 2, with other bits in {found}")


def schedule_breakpoints_are_complete(case: Case) -> None:
    """`schedule_breakpoints` gives the times from which other layers are called, so that each part is measured by itself."""
    model = case.model()
    clocks = model.schedule_breakpoints(4)
    begins = [clock.step for clock in clocks]
    name = "schedule_breakpoints"
    demand(
        begins[:1] == [0] and begins == sorted(set(begins)), f"{name} are {begins}; expected step 0, then later ones"
    )
    demand(all(clock.images == 4 * clock.step for clock in clocks), f"{name}(4) gives clocks without 4 images a step")
    for begin, end in zip(begins, [*begins[1:], LATE]):
        found, last = _layers(model, begin), end - (1 if end < LATE else 0)
        demand(_layers(model, last) == found, f"step {last} calls other layers than step {begin}; {name} must list it")
        demand(end == LATE or _layers(model, end) != found, f"{name} has step {end}, which calls no other layers")


def _layers(model: Model, step: int) -> set[Layer]:
    """The layers that a step calls."""
    batch, clock = NoiseImages(model).batch(0, 4), Clock(step, 4 * step)
    return set(kernels.called(lambda: train_step(model, model.optimizers(), batch, clock)))
