"""How fast a folder of images is read: the first time, into a pack, and ever after; beside a loader as it is usually written.

    python bench/data.py [--count 400] [--rounds 5] [--seed 0]
    python bench/data.py --quality [--count 400] [--seed 0]
    python bench/data.py --reads [--rounds 5]

The images are drawn into a temporary folder: JPEG of 178 x 218 (quality 92) from photographs of scikit-learn and
from avatars, JPEG of 640 x 427, and PNG of 178 x 218. The two take turns; what is counted is the processor's time, in images
per second of one core, so that other work on the machine disturbs little. `floor` is what opening and decoding at an eighth
costs: no loader on this decoder can be faster.

The usual loader does in Pillow and torch what torchvision's ImageFolder, Resize(64), CenterCrop(64), ToTensor and
Normalize(0.5, 0.5) do, and it does so in every epoch.

`--quality` asks what decoding a JPEG at half its size changes: how far the pixels are from those of a full decode and
Lanczos (decibels), beside what the JPEG itself lost and what other filters change, and the same as FID[lite0].

`--reads` asks what checksums cost: the processor's time of a pass over 40,000 images (492 MB) in the order of training, the
first, which verifies each block, and the second, which does not.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from zeuxis.data import DataSpec
from zeuxis.data.batches import PackSource
from zeuxis.data.catalog import avatars
from zeuxis.data.checked import CheckedImages, SummedWriter
from zeuxis.data.order import Order
from zeuxis.io import images
from zeuxis.metrics import extractors
from zeuxis.metrics.distances import frechet
from zeuxis.metrics.features import extract_features

SIZE = 64
SMALL, LARGE = (178, 218), (640, 427)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--reads", action="store_true")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    rng = np.random.default_rng(arguments.seed)
    if arguments.quality:
        quality(arguments.count, rng)
        return
    if arguments.reads:
        reads(arguments.rounds, rng)
        return
    kinds: list[tuple[str, Callable[[int], Iterator[Image.Image]], str]] = [
        ("JPEG 178 x 218, photographs", lambda count: photographs(count, SMALL, rng), "JPEG"),
        ("JPEG 178 x 218, avatars", faces, "JPEG"),
        ("JPEG 640 x 427, photographs", lambda count: photographs(count, LARGE, rng), "JPEG"),
        ("PNG 178 x 218, avatars", faces, "PNG"),
    ]
    print("images/s of one core: median (least to most) | kB a file | pack built | usual loader | ratio | floor")
    with tempfile.TemporaryDirectory() as place:
        os.environ["ZEUXIS_CACHE"] = str(Path(place) / "cache")
        for name, draw, kind in kinds:
            folder = Path(place) / name.replace(" ", "-")
            write(draw(arguments.count), folder, kind)
            print(compared(name, folder, arguments.rounds), flush=True)
        print(f"avatars drawn into a pack | {spread(rates(lambda: new_pack('avatars:300'), 300, arguments.rounds))}")
        print(f"fashion-mnist into a pack | {spread(rates(lambda: new_pack('fashion-mnist', 32), 60_000, 1))}")


def photographs(count: int, size: tuple[int, int], rng: np.random.Generator) -> Iterator[Image.Image]:
    """Parts of scikit-learn's two photographs (640 x 427), brought to the size; half of them mirrored."""
    photos = [Image.fromarray(each) for each in load_sample_images().images]
    for i in range(count):
        photo = photos[i % 2]
        scale = rng.uniform(0.4, 1.0) * min(photo.width / size[0], photo.height / size[1])
        width, height = int(size[0] * scale), int(size[1] * scale)
        left, top = int(rng.integers(0, photo.width - width + 1)), int(rng.integers(0, photo.height - height + 1))
        part = photo.crop((left, top, left + width, top + height)).resize(size, Image.Resampling.LANCZOS)
        yield part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if i % 4 > 1 else part


def faces(count: int) -> Iterator[Image.Image]:
    """Avatars of 178 x 218."""
    margin = (SMALL[1] - SMALL[0]) // 2
    for i in range(count):
        yield Image.fromarray(avatars.draw_avatar(i, size=SMALL[1])[:, margin : margin + SMALL[0]])


def write(drawn: Iterator[Image.Image], folder: Path, kind: str) -> None:
    folder.mkdir()
    for i, image in enumerate(drawn):
        image.save(folder / f"{i:06}.{kind.lower()}", kind, **({"quality": 92} if kind == "JPEG" else {}))


def compared(name: str, folder: Path, rounds: int) -> str:
    """A line of the table."""
    files = sorted(folder.iterdir())
    variants: dict[str, Callable[[], object]] = {
        "ours": lambda: new_pack(folder),
        "usual": lambda: [usual(file) for file in files],
        "floor": lambda: [least(file) for file in files],
    }
    for each in variants.values():  # once without being counted: files in memory, modules imported
        each()
    found: dict[str, list[float]] = {variant: [] for variant in variants}
    for _ in range(rounds):
        for variant, work in variants.items():
            found[variant] += rates(work, len(files), 1)
    ratio = statistics.median(one / other for one, other in zip(found["ours"], found["usual"], strict=True))
    size = sum(file.stat().st_size for file in files) / len(files) / 1000
    parts = [spread(found["ours"]), spread(found["usual"]), f"{ratio:.2f}", spread(found["floor"])]
    again = len(files) / statistics.median(epoch(folder, len(files)) for _ in range(rounds))
    return f"{name} | {size:.1f} | {' | '.join(parts)} | later epochs from the pack {again:,.0f}"


def rates(work: Callable[[], object], count: int, rounds: int) -> list[float]:
    """Images per second of the processor's time."""
    found = []
    for _ in range(rounds):
        if hasattr(os, "sched_setaffinity"):  # on one core the pack is built in this process, whose time is counted
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        begin = time.process_time()
        work()
        found.append(count / (time.process_time() - begin))
    return found


def spread(found: list[float]) -> str:
    return f"{statistics.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f})"


def new_pack(data: str | Path, size: int = SIZE) -> Any:
    """A pack, built anew: listing, decoding, sums, writing, all of it."""
    packs = Path(os.environ["ZEUXIS_CACHE"]) / "packs"
    for path in sorted(packs.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return DataSpec.parse(data).open(size)


def epoch(folder: Path, count: int) -> float:
    """Seconds of the processor's time for one epoch out of the pack, in batches of 32."""
    source = PackSource(DataSpec.parse(folder).open(SIZE), seed=0)
    begin = time.process_time()
    for start in range(0, count, 32):
        source.batch(start, 32)
    return time.process_time() - begin


def usual(path: Path) -> torch.Tensor:
    """An image (3 64 64, in [-1, 1]) as torchvision's transforms make it."""
    with path.open("rb") as file:
        image: Image.Image = Image.open(file).convert("RGB")
    width, height = image.size
    short = min(width, height)
    target = (int(SIZE * width / short), int(SIZE * height / short))
    image = image.resize(target, Image.Resampling.BILINEAR)  # Pillow's always averages over what it leaves out
    left, top = round((image.width - SIZE) / 2), round((image.height - SIZE) / 2)
    image = image.crop((left, top, left + SIZE, top + SIZE))
    tensor = torch.from_numpy(np.array(image, np.uint8, copy=True)).permute(2, 0, 1).contiguous()
    tensor = tensor.to(torch.float32).div(255)
    half = torch.tensor([0.5, 0.5, 0.5]).view(3, 1, 1)
    return tensor.clone().sub_(half).div_(half)


def least(path: Path) -> Image.Image:
    """The file read, its header parsed, its pixels unpacked at an eighth of its size where the format can."""
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.draft(None, (image.width // 8, image.height // 8))
    image.load()
    return image


def reads(rounds: int, rng: np.random.Generator) -> None:
    """Print the processor's seconds of a first and of a second pass over a large pack."""
    count, shape = 40_000, (SIZE, SIZE, 3)
    passes: tuple[list[float], list[float]] = [], []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "images.bin"
        with path.open("wb") as file:
            writer = SummedWriter(file, SIZE * SIZE * 3)
            for _ in range(count):
                writer.write(rng.integers(0, 256, shape, np.uint8).data)
        for seed in range(rounds):
            stored, order = CheckedImages.open(path, (count, *shape), writer.sums()), Order(count, seed)
            for which, found in enumerate(passes):
                order.places(which * count, 1)  # the order of an epoch is drawn once, and not counted
                begin = time.process_time()
                for start in range(which * count, (which + 1) * count, SIZE):
                    images.from_uint8(stored.rows(order.places(start, SIZE)))
                found.append(time.process_time() - begin)
    for name, found in zip(("first", "second"), passes, strict=True):
        print(f"{name} pass: {statistics.median(found):.3f} s ({min(found):.3f} to {max(found):.3f})")


def quality(count: int, rng: np.random.Generator) -> None:
    """Print how far each way to 64 pixels is from a full decode and Lanczos."""
    print("width | decibels: as a pack has it | the JPEG itself | bicubic | bilinear | FID[lite0], in this order")
    extractor = extractors.find_extractor("lite0")
    for width in (172, 178, 200, 255, 260, 320):
        found: dict[str, list[Any]] = {"full": [], "pack": [], "before": [], "bicubic": [], "bilinear": []}
        for image in photographs(count, (width, round(width * 218 / 178)), rng):
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=92)
            decoded = Image.open(buffer).convert("RGB")
            found["full"].append(reduced(decoded, Image.Resampling.LANCZOS))
            found["pack"].append(images.decode_square(buffer.getvalue(), SIZE, 3))
            found["before"].append(reduced(image, Image.Resampling.LANCZOS))
            found["bicubic"].append(reduced(decoded, Image.Resampling.BICUBIC))
            found["bilinear"].append(reduced(decoded, Image.Resampling.BILINEAR))
        stacks = {name: np.stack(each) for name, each in found.items()}
        full = stacks.pop("full")
        near = [f"{decibels(full, other):.1f}" for other in stacks.values()]
        reference = extract_features(extractor, images.from_uint8(full))
        far = [frechet(reference, extract_features(extractor, images.from_uint8(other))) for other in stacks.values()]
        print(f"{width} | {' | '.join(near)} | {', '.join(f'{each:.1f}' for each in far)}", flush=True)


def reduced(image: Image.Image, filter: Image.Resampling) -> Any:
    """The middle square at 64 pixels (64 64 3, uint8)."""
    top = (image.height - image.width) / 2
    return np.asarray(image.resize((SIZE, SIZE), filter, box=(0, top, image.width, top + image.width)))


def decibels(one: Any, other: Any) -> float:
    """Peak signal to noise, the mean over images (n h w c, uint8)."""
    errors = np.square(one.astype(np.float64) - other).mean((1, 2, 3))
    return float((10 * np.log10(255**2 / np.maximum(errors, 1e-9))).mean())


if __name__ == "__main__":
    main()
