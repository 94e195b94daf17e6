"""FreezeD: a discriminator whose blocks next to the image stay as another model learned them (Mo 2020)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from zeuxis.errors import UsageError
from zeuxis.options import option


def freeze_option() -> Any:
    """The option for the number of blocks that `freeze` takes."""
    meaning = "discriminator blocks, from the image on, that stay as in the model of --init-from (FreezeD, Mo 2020)"
    return option(0, meaning, low=0, high=64, group="optimisation")


def freeze(blocks: Iterable[nn.Module], count: int) -> None:
    """Freeze the first `count` blocks of a discriminator (in place): Mo 2020, https://arxiv.org/abs/2002.10964.

    Gradients still pass through them: to generated images, and to real ones in penalties. Batch norms go on with the
    statistics of each batch. `UsageError` where there are fewer blocks.
    """
    found = list(blocks)
    if count > len(found):
        raise UsageError(f"--freeze-layers is {count}, and the discriminator has {len(found)} blocks; freeze fewer")
    for block in found[:count]:
        block.requires_grad_(False)


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not frozen."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
