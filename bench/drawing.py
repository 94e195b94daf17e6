"""How many pictures a second a model draws: as it is prepared here, against what a strong user writes.

    python bench/drawing.py [dcgan-64 dcgan-32 gan-64 wgan-64 vae-64 | MODEL ...] [--windows 8] [--batch 64] [--threads 2]

A strong user sets `channels_last` and bfloat16 autocast, and may fold batch norms with torch's own functions. All sides draw
the same latents in turns, in one process, so that other work on the machine disturbs them alike. Prints pictures per second
(minimum, median, maximum over the windows), the ratio to the fastest of the strong sides, and by how many levels of 255 the
8-bit pictures differ from the model's own at most. Differences mean something for a trained MODEL alone.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from sampling import folded
from zeuxis import api, families
from zeuxis.capabilities import latent
from zeuxis.explore.spaces import decode_latents
from zeuxis.io.images import to_uint8
from zeuxis.model import Latent
from zeuxis.options import Precision
from zeuxis.runtime.device import choose_precision

CASES: dict[str, tuple[str, int, int]] = {  # family, size, base channels (0: its own)
    "dcgan-64": ("dcgan", 64, 64),
    "dcgan-32": ("dcgan", 32, 64),
    "gan-64": ("gan", 64, 0),
    "wgan-64": ("wgan", 64, 64),
    "vae-64": ("vae", 64, 64),
}
STRONG = "strong"


def model_of(name: str) -> Latent:
    """A case's model with its first weights, or a saved one."""
    if name not in CASES:
        return latent(api.load(name, device="cpu"))
    family, size, width = CASES[name]
    kind = families.find(family)
    torch.manual_seed(0)
    model = latent(kind(size=size, **({"base_channels": width} if width else {})))
    model.drop_training_only()
    return model.eval().requires_grad_(False)


def ours(model: Latent, precision: Precision) -> Callable[[Tensor], Tensor]:
    own = copy.deepcopy(model)
    own.inference_precision = precision
    return lambda z: decode_latents(own, z)


def strong(model: Latent, *, bf16: bool) -> Callable[[Tensor], Tensor]:
    last = copy.deepcopy(model)
    last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def draw(z: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return last.decode(z).float()

    return draw


def sides(model: Latent) -> dict[str, Callable[[Tensor], Tensor]]:
    """What draws, by name; without bfloat16 on a CPU that has no instructions for it."""
    found: dict[str, Callable[[Tensor], Tensor]] = {
        "as it is": lambda z: model.decode(z),
        f"{STRONG}, fp32": strong(model, bf16=False),
        f"{STRONG}, fp32, folded": strong(folded(model), bf16=False),
        "ours": ours(model, "auto"),
    }
    if choose_precision("auto", torch.device("cpu"), suits=True) == "bf16":
        found[f"{STRONG}, bf16"] = strong(model, bf16=True)
        found[f"{STRONG}, bf16, folded"] = strong(folded(model), bf16=True)
        found["ours, bf16"] = ours(model, "bf16")
    return found


@torch.no_grad()
def rates(
    drawing: dict[str, Callable[[Tensor], Tensor]], z: Tensor, windows: int, seconds: float
) -> dict[str, list[float]]:
    """Pictures per second of each window, by side."""
    found: dict[str, list[float]] = {side: [] for side in drawing}
    for window in range(windows + 1):
        for side, draw in drawing.items():
            begin, count = time.perf_counter(), 0
            while time.perf_counter() - begin < seconds:
                draw(z)
                count += len(z)
            if window:  # the first one warms up
                found[side].append(count / (time.perf_counter() - begin))
    return found


def main() -> None:
    """Compare the cases named, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(
        "| case | batch | threads | side | min | median | max | to strong | levels |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name in given.cases:
        model = model_of(name)
        drawing, z = sides(model), model.prior(range(given.batch))
        wanted = to_uint8(model.decode(z)).astype(int)
        found = rates(drawing, z, given.windows, given.seconds)
        base = max(statistics.median(each) for side, each in found.items() if side.startswith(STRONG))
        for side, each in found.items():
            apart = abs(to_uint8(drawing[side](z)).astype(int) - wanted).max()
            speeds = [f"{x:,.0f}" for x in (min(each), statistics.median(each), max(each))]
            row = [name, str(given.batch), str(given.threads), side, *speeds]
            print("| " + " | ".join([*row, f"{statistics.median(each) / base:.2f}", str(apart)]) + " |", flush=True)


if __name__ == "__main__":
    main()
