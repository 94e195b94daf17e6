"""`check_family`: sound families pass, and of each broken one it says in a sentence what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import toys
from commandline import typed
from zeuxis import api
from zeuxis.errors import UsageError
from zeuxis.model import Batch, Clock, Model
from zeuxis.nets import maps
from zeuxis.testing import FamilyCheckError, check_family, family_checks
from zeuxis.testing.case import Case, NoiseImages
from zeuxis.training.engine import State, train_step


@pytest.mark.parametrize("family", toys.SOUND, ids=lambda family: family.__name__)
def test_a_sound_family_passes(family: type[Model]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    check_family(family)
    assert torch.equal(torch.get_rng_state(), before), "the random state is the caller's own"


@pytest.mark.parametrize("family", toys.BROKEN, ids=lambda family: family.__name__)
def test_of_a_broken_family_it_says_what_is_wrong(family: type[Model]) -> None:
    check, said = toys.BROKEN[family]
    with pytest.raises(FamilyCheckError, match=rf"^{family.__name__}: .*{said}") as caught:
        check_family(family)
    assert isinstance(caught.value, AssertionError)
    assert "\n" not in str(caught.value).split(" (while checking")[0], "it is one sentence"
    with pytest.raises(FamilyCheckError, match=said):
        dict(family_checks(family))[check]()


def test_every_check_can_fail() -> None:
    """Each has a broken family above, but for the kernels, which are broken below."""
    checks = {name for family in toys.SOUND for name, _ in family_checks(family)}
    assert checks - {check for check, _ in toys.BROKEN.values()} == {"chosen_kernels_change_nothing"}


def test_the_kernels_check_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(maps.PRODUCTS, "blas", lambda a, b: 1.1 * a @ b.t())
    with pytest.raises(FamilyCheckError, match="with other kernels for the same layers"):
        check_family(toys.Sound)


def test_options_make_it_small_and_checks_can_be_left_out() -> None:
    seen = Case(toys.Sound, {"latent_dim": 9}).model()
    assert isinstance(seen, toys.Sound) and seen.latent_dim == 9
    with pytest.raises(FamilyCheckError, match="has no option 'latent'; did you mean latent_dim"):
        check_family(toys.Sound, options={"latent": 9})
    check_family(toys.TellsTooMuch, skip=["schedule_breakpoints_are_complete"])
    with pytest.raises(UsageError, match="there is no check 'phases' of Sound"):
        check_family(toys.Sound, skip=["phases"])
    with pytest.raises(UsageError, match="is not a zeuxis.Model"):
        check_family(dict)  # type: ignore[arg-type]


def test_each_check_has_a_sentence() -> None:
    for family in toys.SOUND:
        for _, check in family_checks(family):
            doc = check.args[0].__doc__  # type: ignore[attr-defined]
            assert doc and doc.strip().endswith(".")


def test_training_says_it_too() -> None:
    """Where a KeyError, a StopIteration and a TypeError came."""
    model = Case(toys.NoOptimizer, {}).model()
    with pytest.raises(
        UsageError, match=r"yields the player 'mentor', which has no optimizer; optimizers gives 'judge'"
    ):
        train_step(model, model.optimizers(), NoiseImages(model).batch(0, 4), Clock())
    with pytest.raises(UsageError, match="has no parameters; assign its networks in build"):
        State.start(toys.NoParameters())
    for family in (toys.NoDecorator, toys.NoEq, toys.NoParameters):
        with pytest.raises(UsageError, match=r"@dataclass\(eq=False\)|has no parameters"):
            api.train(family, "digits", steps=1)


@pytest.mark.parametrize(("name", "said"), [("NoDecorator", "@dataclass(eq=False)"), ("NoParameters", "no parameters")])
def test_the_command_line_says_it_in_a_line(name: str, said: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = typed("train", f"toys:{name}", "digits", "--dry-run")
    assert code == 2 and said in err and err.count("\n") == 1


def test_images_are_what_the_model_needs() -> None:
    class Told(toys.Sound):
        @property
        def needs(self) -> frozenset[str]:
            return frozenset({"image", "source", "label"})

        def losses(self, batch: Batch, clock: Clock) -> Iterator[Any]:
            yield from super().losses(batch, clock)

    model = Case(Told, {}).model()
    batch = NoiseImages(model).batch(3, 2)
    assert batch.source is not None and batch.label is not None and batch.label.tolist() == [0, 0]
    assert isinstance(batch.image, Tensor) and torch.equal(batch.image[1], NoiseImages(model).batch(4, 1).image[0])
