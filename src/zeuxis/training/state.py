"""The state of a training, with all that resuming needs, and what a finished step tells."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from zeuxis import renamed
from zeuxis.io.parsing import Layout
from zeuxis.loading import build_unfilled
from zeuxis.model import Clock, Model
from zeuxis.runtime.accelerator import sum_format
from zeuxis.training import restoring
from zeuxis.training.players import check_parameters

Tensors = dict[str, dict[str, Tensor]]
Values = dict[str, list[Tensor]]  # term -> its values for each image, a tensor per micro-batch


@dataclass
class State:
    """The training state: weights, their EMA, optimizers, clock, and running sums of the reports."""

    model: Model
    average: Model
    optimizers: dict[str, Optimizer]
    clock: Clock = Clock()
    sums: dict[str, Tensor] = field(default_factory=dict)  # name -> (sum, count), in `sum_format`
    values: Values = field(default_factory=dict)  # of the newest step; not saved
    taken: dict[str, float] = field(default_factory=dict)  # the means taken last; not saved

    @classmethod
    def start(cls, model: Model) -> State:
        """The state before the first step; the model is converted to channels last, in place."""
        check_parameters(model)
        model.train()
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = copy.deepcopy(model).drop_training_only().eval().requires_grad_(False)
        return cls(model, average, model.optimizers())

    @classmethod
    def unfilled(cls, family: type[Model], options: Mapping[str, Any], config: Path) -> State:
        """The same without memory, to compare files with before they are read; `UsageError` where the options in `config`
        make no model."""
        return cls.start(build_unfilled(family, options, config))

    def tensors(self) -> Tensors:
        """All tensors in named groups, one file each in a checkpoint."""
        groups: Tensors = {"model": dict(self.model.state_dict()), "average": dict(self.average.state_dict())}
        for player, optimizer in self.optimizers.items():
            groups[f"optimizer-{player}"] = restoring.optimizer_tensors(optimizer)
        groups["sums"] = {name: pair.cpu().double() for name, pair in self.sums.items()}
        return groups

    def scalars(self) -> dict[str, Any]:
        """The rest of the state, as plain values."""
        groups = {player: optimizer.state_dict()["param_groups"] for player, optimizer in self.optimizers.items()}
        return {"step": self.clock.step, "images": self.clock.images, "optimizers": groups}

    def check(self, layouts: Mapping[str, Layout]) -> None:
        """Raise `ValueError` unless tensors of these types and shapes are those of this state."""
        restoring.check_layouts(layouts, self.model, self.average, self.optimizers)

    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]], scalars: Mapping[str, Any]) -> None:
        """Restore the state from `tensors` and `scalars`, bit for bit; `ValueError` where they are not of such a state."""
        self.check({group: restoring.layout_of(values) for group, values in tensors.items()})
        restoring.check_values(tensors)
        restoring.check_scalars(scalars, self.optimizers)
        for name in ("model", "average"):
            getattr(self, name).load_state_dict(renamed.tensors(self.model.family(), tensors[name]))
        for player, optimizer in self.optimizers.items():
            restoring.restore_optimizer(optimizer, tensors[f"optimizer-{player}"])
        device = self.model.device
        self.sums = {
            name: value.to(sum_format(device)).to(device) for name, value in renamed.metrics(tensors["sums"]).items()
        }
        self.clock = Clock(scalars["step"], scalars["images"])

    def means(self) -> dict[str, float]:
        """The mean reports since `take_means`, or those that it took where no step followed; this waits for the device."""
        if not self.sums:
            return self.taken
        pairs = torch.stack(list(self.sums.values())).cpu().tolist()
        return {name: total / count for name, (total, count) in zip(self.sums, pairs)}

    def take_means(self) -> dict[str, float]:
        """The mean reports since the last call; resets the sums."""
        self.taken = self.means() if self.sums else {}
        self.sums = {}
        return self.taken

    def add(self, report: Mapping[str, Tensor]) -> None:
        """Add one step's report to the running sums, without waiting for the device."""
        if not report:
            return
        found = torch.stack([value.to(sum_format(value.device)) for value in report.values()])
        for name, pair in zip(report, torch.stack((found, torch.ones_like(found)), 1).unbind()):
            self.sums[name] = self.sums[name] + pair if name in self.sums else pair.clone()


@dataclass(frozen=True)
class Progress:
    """A finished step, for a callback of `zeuxis.train` or a loop of your own. Its numbers leave the device when asked for."""

    clock: Clock
    report: dict[str, Tensor]  # the losses of this step, `player/term` -> scalar on the device
    state: State
    seconds: float = 0.0  # since the training began, or was resumed

    @property
    def step(self) -> int:
        """Steps done."""
        return self.clock.step

    @property
    def images(self) -> int:
        """Images seen."""
        return self.clock.images

    @property
    def losses(self) -> dict[str, float]:
        """The losses of this step, as `player/term`; reading them waits for the device."""
        return {name: float(value) for name, value in self.report.items()}

    @property
    def means(self) -> dict[str, float]:
        """The mean losses since the last row of metrics, at a row its own; reading them waits for the device."""
        return dict(self.state.means())

    @property
    def model(self) -> Model:
        """The EMA of the weights: the model to sample from, which `zeuxis.load` gives later. It changes with every step."""
        return self.state.average
