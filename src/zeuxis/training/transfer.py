"""A new run's first weights, those of another model where they fit, and the lines that say what starts fresh instead."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from zeuxis import loading, registry, renamed
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.escaping import quote
from zeuxis.hub import SCHEME
from zeuxis.io import files
from zeuxis.io.parsing import Layout
from zeuxis.model import Model
from zeuxis.storage import RunFolder, models
from zeuxis.training.state import State

_DESCRIPTION = 1 << 20  # bytes of config.json
_WEIGHTS = "model.safetensors"
_MOST_NAMED = 3  # tensors in a line


@dataclass(frozen=True)
class StartingModel:
    """A model that a new run starts from: its options for such a run, and its weights by name.

    Where it lies in its run's folder they include those of networks that only training uses, out of the newest checkpoint.
    `sha256` is of the file of weights, `checkpoint` of the checkpoint's manifest, empty where there is none.
    """

    name: str
    folder: Path
    options: Mapping[str, Any]
    weights: Mapping[str, Tensor] = field(repr=False)
    sha256: str
    checkpoint: str = ""
    problem: str = ""  # of a checkpoint that cannot be used

    @property
    def record(self) -> dict[str, str]:
        """Where the weights came from, by content, as config.yaml has it."""
        return {"model": self.name, "sha256": self.sha256, "checkpoint": self.checkpoint}


@dataclass(frozen=True)
class Transfer:
    """The names of a model's tensors that were taken from another, and of those that start fresh."""

    taken: Collection[str]
    fresh: Collection[str]  # as they have other shapes there, or are none of its networks
    lacking: Collection[str]  # networks that only training uses, of which nothing is there

    def lines(self, start: StartingModel) -> Iterator[str]:
        """What was taken, and what starts fresh."""
        total = len(self.taken) + len(self.fresh)
        of = f"{start.name} ({start.options['size']} pixels)" if "size" in start.options else start.name
        yield f"starts from the weights of {of}: {len(self.taken):,} of {total:,} tensors"
        if self.fresh:
            yield f"{len(self.fresh):,} of other shapes, which start fresh: {_named(self.fresh)}"
        if self.lacking:
            why = start.problem or f"{start.name} is a model without the checkpoint of its run"
            yield f"fresh weights: {', '.join(self.lacking)}; {why}"


@dataclass
class FirstWeights:
    """What gives a new run's model its first weights: those of the model that it starts from, if it does."""

    start: StartingModel | None
    found: Transfer | None = None

    @classmethod
    def of(cls, given: str | None, family: type[Model]) -> FirstWeights:
        """Those of the model that `find_start` finds; where none is given, the family's own."""
        return cls(None if given is None else find_start(given, family))

    def __call__(self, model: Model) -> None:
        """Fill the model (in place), as `transfer_weights` does."""
        if self.start is None:
            check_frozen(model)
        else:
            self.found = transfer_weights(model, self.start)

    def lines(self) -> list[str]:
        """What was taken, and what starts fresh; empty without a model to start from."""
        return [*self.found.lines(self.start)] if self.start and self.found else []


def find_start(given: str, family: type[Model]) -> StartingModel:
    """The model of a run's number, a folder, an installed model's name, a model.safetensors, or `hf://USER/NAME`.

    `UsageError` where there is none, its files do not fit each other, or it is of another family.
    """
    path = Path(given)
    folder = loading.find_model(path.parent if path.name == _WEIGHTS and path.is_file() else given)
    name = given if given.startswith(SCHEME) else _name(folder)
    _check_family(folder, name, family)
    with files.explained(folder):
        before = (folder / _WEIGHTS).lstat()
        model = loading.load_model(folder, family=family)
        networks, checkpoint, problem = _of_checkpoint(folder.parent, family)
        digest = _sha256(folder / _WEIGHTS)
        after = (folder / _WEIGHTS).lstat()
    if (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
        raise UsageError(f"{folder} was written while it was read, as its run is training; give the command again")
    weights = {**networks, **model.state_dict()}
    return StartingModel(name, folder, model.starting_options, weights, digest, checkpoint, problem)


def _name(folder: Path) -> str:
    """The name of the run or of the model's folder, without where it lies."""
    whole = folder.resolve()
    return whole.parent.name if whole.name == "model" else whole.name


def _check_family(folder: Path, name: str, family: type[Model]) -> None:
    path = folder / "config.json"
    found = models.parse_description(files.read_bytes(path, max_bytes=_DESCRIPTION, follow=False), path)["family"]
    if found not in (family.family(), registry.address(family)):
        raise UsageError(
            f"{name} is a model of {found}, whose weights are no {family.family()}'s: train {found}, or give --init-from "
            f"a model of {family.family()}"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with files.open_file(path, max_bytes=1 << 36, follow=False) as (file, _):
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def _of_checkpoint(run: Path, family: type[Model]) -> tuple[dict[str, Tensor], str, str]:
    """The networks that only training uses, out of a run's newest checkpoint, the checkpoint's digest, and what is wrong."""
    if not (run / "config.yaml").is_file():
        return {}, "", ""
    try:
        folder = RunFolder(run)  # not opened: that removes what interrupted writes have left
        checkpoint = folder.load_checkpoint(_fitting(folder, family))
    except ZeuxisError as error:
        return {}, "", f"the checkpoint of {run.resolve().name} cannot be used ({error})"
    if checkpoint is None:
        return {}, "", ""
    tensors = renamed.tensors(family.family(), checkpoint.tensors["model"])
    found = {name: value for name, value in tensors.items() if name.split(".")[0] in family.training_only}
    return found, checkpoint.digest, ""


def _fitting(run: RunFolder, family: type[Model]) -> Callable[[Mapping[str, Layout]], None]:
    """The check that a checkpoint's tensors are those of the run's options, before any is read."""
    options, path = run.config.get("options"), run.path / "config.yaml"
    if not isinstance(options, dict):
        raise UsageError(f"{path} has options: {quote(options)}, expected a table")
    unfilled = State.unfilled(family, options, path)

    def check(layouts: Mapping[str, Layout]) -> None:
        try:
            unfilled.check(layouts)
        except ValueError as error:
            raise UsageError(f"it does not fit the run's options: {error}") from None

    return check


def transfer_weights(model: Model, start: StartingModel) -> Transfer:
    """Copy the weights that fit into the model (in place).

    The rest keeps the values that it has: tensors of other shapes, networks that are not there, and what training keeps
    beside its networks. `UsageError` where nothing fits, a weight is not finite, or a frozen network would stay random.
    """
    own, there = model.state_dict(), start.weights
    wanted = own.keys() - _of_the_game(model) - _of_options(model, start)
    taken = [name for name in own if name in wanted and name in there and there[name].shape == own[name].shape]
    if not any(own[name].ndim > 1 for name in taken):
        raise UsageError(_nothing(own, start))
    for name in taken:
        if there[name].is_floating_point() and not bool(there[name].isfinite().all()):
            raise UsageError(f"weight {quote(name)} of {start.name} is not finite; give another model")
    check_frozen(model, taken)
    model.load_state_dict({name: there[name] for name in taken}, strict=False)
    known = {_module(name) for name in there}
    lacking = dict.fromkeys(_module(name) for name in own if name in wanted).keys() & {*model.training_only} - known
    fresh = [name for name in own if name in wanted - {*taken} and _module(name) not in lacking]
    return Transfer(taken, fresh, sorted(lacking))


def _module(name: str) -> str:
    return name.split(".")[0]


def _of_the_game(model: Model) -> set[str]:
    """The tensors of what training keeps beside the networks.

    Such are the probability of ADA, the scale of adaptive R1, the mean path length and pools of images: they follow the
    data and the players of one run, and a new run begins with its own.
    """
    beside = _modules_of_the_game(model)
    return {name for name in model.state_dict() if _module(name) in beside}


def _modules_of_the_game(model: Model) -> set[str]:
    return {*model.training_only} - {_module(name) for name, _ in model.named_parameters()}


def fitted_state(tensors: Mapping[str, Mapping[str, Tensor]], model: Model) -> dict[str, Mapping[str, Tensor]]:
    """A checkpoint's tensors by group for a model of other options: of what training keeps beside the networks, that which
    only one of the two has is left out, or as the model has it."""
    saved, own = renamed.tensors(model.family(), tensors["model"]), model.state_dict()
    modules = _modules_of_the_game(model)
    kept = {name: value for name, value in saved.items() if name in own or _module(name) not in modules}
    fresh = {name: own[name] for name in _of_the_game(model) if name not in saved}
    return {**tensors, "model": {**kept, **fresh}}


def _of_options(model: Model, start: StartingModel) -> set[str]:
    """The scalars that hold other values of options, such as sigma, where the run has other options than the model."""
    if all(model.options.get(name) == value for name, value in start.options.items()):
        return set()
    scalars = [(name, value) for name, value in model.named_buffers() if value.ndim == 0 and value.is_floating_point()]
    return {name for name, value in scalars if name in start.weights and not value.equal(start.weights[name])}


def check_frozen(model: Model, taken: Collection[str] = ()) -> None:
    """Raise `UsageError` where `--freeze-layers` would keep weights that no model has learned."""
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    if model.options.get("freeze_layers") and not set(frozen) <= set(taken):
        raise UsageError(
            f"--freeze-layers is {model.options['freeze_layers']} and would keep random weights; give --init-from a run "
            "whose checkpoint has the discriminator, in the same shape, or leave it out"
        )


def _nothing(own: Mapping[str, Tensor], start: StartingModel) -> str:
    name = next((name for name in own if name in start.weights and own[name].ndim > 1), None)
    if name is None:
        return f"{start.name} has no weight of such a model; give --init-from another"
    here, there = ("x".join(map(str, value.shape)) for value in (own[name], start.weights[name]))
    return (
        f"no weight of {start.name} fits: {name} is {there} there, and would be {here}; leave the options of its networks "
        "as they are, or give another model"
    )


def _named(names: Collection[str]) -> str:
    some = ", ".join(list(names)[:_MOST_NAMED])
    return f"{some}, ..." if len(names) > _MOST_NAMED else some
