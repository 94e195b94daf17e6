"""Millions of small images: building a pack in shards, a kill in the middle, memory, the first step, the order by ranks.

    python bench/many_images.py [--count 2000000] [--seed 0]

The images are noise, 8 x 8 in colour and of ten classes, in IDX files that are made here, and removed with the cache of this
run. Every row is measured in a process of its own. Peak memory is that of the kernel (`ru_maxrss`), in MB, pages of mapped
files included. Which images are held out is read from their records the first time, and from a bit for each afterwards.
The build is ended by SIGKILL once half of its shards are whole, and started again. `first step` is the time from the start of the
process to the end of the first step of `zeuxis.train`. The order is read by 1, 2 and 4 processes that `torchrun` starts.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

SIZE, CHANNELS = 8, 3
_AT_ONCE = 1 << 16  # images that are made at once
_STEPS, _BATCH = 3, 4096  # of the order, from shortly before the end of the first epoch on

OPEN = (
    "from zeuxis.data import DataSpec\nbegin = time.process_time()\n"
    "pack = DataSpec.parse(sys.argv[1], hold_out=float(sys.argv[2]) if len(sys.argv) > 2 else None).open(8)\n"
    "print(f'{time.process_time() - begin:.3f} s of it in open', pack.fingerprint[:12])"
)
REPORT = (
    "from zeuxis.data import DataSpec\nfrom zeuxis.data.report import inspect\n"
    "print(inspect(DataSpec.parse(sys.argv[1]).open(8)).count)"
)
FIRST = (
    "import zeuxis\nshare = float(sys.argv[4]) or None\ndef told(progress):\n    took = time.time() - float(sys.argv[2])\n"
    "    print(f'{took:.2f} s to the first step', flush=True)\n    os._exit(0)\n"
    "zeuxis.train('gan', sys.argv[1], size=8, steps=2, evaluate_every=0, hold_out=share, callbacks=[told], out=sys.argv[3])"
)
ORDER = (
    "from zeuxis.data import DataSpec\nfrom zeuxis.data.batches import PackSource\n"
    "data, start, out = PackSource(DataSpec.parse(sys.argv[1]).open(8), seed=3), int(sys.argv[2]), sys.argv[3]\n"
    "rank, ranks = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])\n"
    f"share = {_BATCH} // ranks\n"
    f"found = [data.batch(start + {_BATCH} * step + share * rank, share).image.numpy() for step in range({_STEPS})]\n"
    "np.save(f'{out}-{ranks}-{rank}.npy', np.stack(found))"
)


class Ran(NamedTuple):
    """A process that has ended."""

    code: int
    seconds: float
    cpu: float
    megabytes: float
    output: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"ZEUXIS_CACHE": str(Path(place) / "cache"), "OMP_NUM_THREADS": "1"}
        few, many = (made(Path(place), count, arguments.seed) for count in (arguments.count // 8, arguments.count))
        print("what | images | seconds | of the processor | peak memory, MB | said")
        tell("build", few, ran(OPEN, few))
        tell("build until SIGKILL", many, killed(many, Path(place)))
        tell("build again", many, ran(OPEN, many))
        for path in (few, many):
            tell("open", path, ran(OPEN, path))
            for time_ in ("for the first time", "again"):
                tell(f"open with --hold-out 10% {time_}", path, ran(OPEN, path, 0.1))
            tell("report", path, ran(REPORT, path))
            for what, share in (("first step", 0.0), ("first step with --hold-out 10%", 0.1)):
                tell(what, path, ran(FIRST, path, str(time.time()), f"{place}/runs", share))
        print(f"order equal for 1, 2, 4 ranks: {ordered(many, arguments.count, Path(place))}")
        print(f"a batch of 64 x 64 positions: {positions(arguments.count):.2f} ms")


def made(place: Path, count: int, seed: int) -> Path:
    """An IDX file of so many images, and one of their classes beside it."""
    path, draw = place / f"images-{count}.idx", np.random.default_rng(seed)
    head = b"\0\0\x08\x01" + count.to_bytes(4, "big")
    (place / f"labels-{count}.idx").write_bytes(head + draw.integers(0, 10, count, np.uint8).tobytes())
    with path.open("wb") as file:
        file.write(b"\0\0\x08\x04" + b"".join(n.to_bytes(4, "big") for n in (count, SIZE, SIZE, CHANNELS)))
        for start in range(0, count, _AT_ONCE):
            file.write(draw.bytes(min(_AT_ONCE, count - start) * SIZE * SIZE * CHANNELS))
    return path


def started(code: str, *words: object) -> subprocess.Popen[str]:
    before = "import os, sys, time\nimport numpy as np\n"
    command = [sys.executable, "-c", before + code, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def ended(child: subprocess.Popen[str], begin: float) -> Ran:
    """Wait for a process; what it took."""
    assert child.stdout is not None
    output = child.stdout.read().strip()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - begin, usage.ru_utime + usage.ru_stime
    return Ran(child.returncode, *took, usage.ru_maxrss / 1024, output)


def ran(code: str, *words: object) -> Ran:
    begin = time.monotonic()
    return ended(started(code, *words), begin)


def killed(path: Path, place: Path) -> Ran:
    """A build that is killed once half of its shards are whole."""
    from zeuxis.data import building

    with path.open("rb") as file:
        count = int.from_bytes(file.read(8)[4:], "big")
    half, begin = -(-count // building.SHARD_ITEMS) // 2, time.monotonic()
    child = started(OPEN, path)
    while len(whole := list((place / "cache" / "packs").glob("*.parts/shard*.json"))) < half:
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    return ended(child, begin)._replace(output=f"{len(whole)} shards were whole")


def tell(what: str, path: Path, found: Ran) -> None:
    """Print a row."""
    assert found.code in (0, -signal.SIGKILL), (what, found)
    count = int(path.stem.partition("-")[2])
    print(
        f"{what} | {count:,} | {found.seconds:.2f} | {found.cpu:.2f} | {found.megabytes:,.0f} | {found.output}",
        flush=True,
    )


def ordered(path: Path, count: int, place: Path) -> bool:
    """Whether the batches of a few steps, over the end of an epoch, have the same pixels by any number of processes."""
    start, script = count - _BATCH - 100, place / "order.py"
    script.write_text("import os, sys\nimport numpy as np\n" + ORDER)
    found = []
    for ranks in (1, 2, 4):
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        subprocess.run([*launcher, str(script), str(path), str(start), str(place / "batch")], check=True)
        shares = [np.load(place / f"batch-{ranks}-{rank}.npy", allow_pickle=False) for rank in range(ranks)]
        found.append(hashlib.sha256(np.concatenate(shares, 1).tobytes()).hexdigest())
    return len(set(found)) == 1


def positions(count: int) -> float:
    """Milliseconds of the processor for the places of 4096 positions: the least of 50."""
    from zeuxis.data.order import Order

    order, found = Order(count, 0), []
    for start in range(0, 50 * _BATCH, _BATCH):
        begin = time.process_time()
        order.places(start, _BATCH)
        found.append(time.process_time() - begin)
    return 1000 * min(found)


if __name__ == "__main__":
    main()
