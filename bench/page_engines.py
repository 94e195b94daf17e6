"""Milliseconds in which each engine of the page draws 1 and 16 pictures: processor time, the least and the median of several.

python bench/page_engines.py [FAMILY...] [--size 64] [--rounds 40]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from zeuxis import families
from zeuxis.web.engines import Engine, OnnxEngine
from zeuxis.web.exporting import write_decoder
from zeuxis.web.served import open_served

FAMILIES = ("dcgan", "vae", "stylegan2", "progan", "rbm")
BATCHES = (1, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=FAMILIES)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| family | engine | 1 picture, least and median (ms) | 16 pictures, least and median (ms) |")
    print("|---|---|---|---|")
    for name in given.families:
        for row in rows(name, given.size, given.rounds):
            print(row, flush=True)


def rows(name: str, size: int, rounds: int) -> list[str]:
    """A row for each engine of an untrained model of a family."""
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        families.find(name)(size=size).save(Path(folder))
        served = open_served(folder, device="cpu")
        assert served.space is not None and served.engine is not None
        write_decoder(Path(folder), Path(folder) / "model.onnx", None)
        engines: list[Engine] = [served.engine, OnnxEngine(Path(folder) / "model.onnx")]
        latents = [served.space.prior(range(n)) for n in BATCHES]
        with torch.no_grad():
            return [
                f"| `{name}` | {engine.name} | {' | '.join(taken(engine.decode, z, rounds) for z in latents)} |"
                for engine in engines
            ]


def taken(decode: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor, rounds: int) -> str:
    """The least and the median of the processor's milliseconds."""
    found = []
    for _ in range(rounds + 3):
        before = time.process_time()
        decode(z)
        found.append(1000 * (time.process_time() - before))
    return f"{min(found[3:]):.2f} {statistics.median(found[3:]):.2f}"


if __name__ == "__main__":
    main()
