"""Feature extraction: images in one size and bit depth, features cached by content."""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from zeuxis.errors import UsageError
from zeuxis.io import cache
from zeuxis.io.guard import open_file
from zeuxis.io.images import Array, from_uint8
from zeuxis.io.parsing import Choose, Layout, parse_layout, parse_tensors
from zeuxis.metrics.inception import INCEPTION_SIZE, inception_network
from zeuxis.metrics.lite0 import LITE0_SIZE, lite0_network
from zeuxis.runtime.callbacks import ProgressCallback
from zeuxis.runtime.steps import finished

_MOST_FEATURES = 4096  # of an image
_MOST_TENSORS, _MOST_BYTES = 20_000, 1 << 36  # in a file of the cache
_VERSION = 1  # of all that lies between an image and its features: a change must not read the old cache
ON_CPU, ELSEWHERE = 16, 256  # images at once: on a CPU those whose layers fit its cache, which is half as fast again

Network = Callable[[Tensor], Tensor]  # n 3 s s, values 0 to 255 -> n d


class Pixels(Protocol):
    """Images with a content fingerprint: a pack."""

    def rows(self, places: Array) -> Array: ...  # uint8 n h w c, of the images at these places alone
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Extractor:
    """Images (n c h w, in [-1, 1], any size, grey or colour) to features (n d, float32); `name` goes into every score.

    Images are quantised to 8 bits, and grey ones repeated over three channels, before `resize` and `network`. `key`
    identifies network and weights for the cache; "" disables it.
    """

    name: str
    key: str
    resize: Network
    network: Network
    device: str | torch.device = "cpu"
    sees: str = "as they are"  # how images are brought to the network, in words

    @property
    def batch(self) -> int:
        """How many images to give at once."""
        return ON_CPU if torch.device(self.device).type == "cpu" else ELSEWHERE

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return self._features(images, rounded=True)

    @torch.no_grad()
    def smooth(self, images: Tensor) -> Tensor:
        """The same without quantisation to 8 bits, for small differences."""
        return self._features(images, rounded=False)

    def _features(self, images: Tensor, *, rounded: bool) -> Tensor:
        values = (images.to(self.device).float() + 1) * 127.5
        values = values.round().clamp(0, 255) if rounded else values
        colour = values[:, :3] if values.shape[1] >= 3 else values[:, :1].expand(-1, 3, -1, -1)
        resized = self.resize(colour)
        resized = resized.round().clamp(0, 255) if rounded and self.resize is bicubic else resized
        features = self.network(resized.contiguous(memory_format=torch.channels_last))
        if features.shape[:1] != images.shape[:1] or features.ndim != 2:
            raise UsageError(f"{self.name} gave {tuple(features.shape)} for {len(images)} images; expected n d")
        return features.float().cpu()


def bicubic(values: Tensor) -> Tensor:
    """Antialiased bicubic resize to 128 pixels; the extractor then quantises to 8 bits again."""
    size = (LITE0_SIZE, LITE0_SIZE)
    return F.interpolate(values, size, mode="bicubic", antialias=True, align_corners=False)


def bilinear(values: Tensor) -> Tensor:
    """Bilinear resize to 299 pixels as in the official FID (TensorFlow 1: top-left origin, no antialiasing)."""
    for axis in (2, 3):
        count = values.shape[axis]
        place = torch.arange(INCEPTION_SIZE, device=values.device) * (count / INCEPTION_SIZE)
        low = place.long()
        weight = (place - low).reshape((-1, 1) if axis == 2 else (1, -1)).to(values.dtype)
        ends = values.index_select(axis, low), values.index_select(axis, (low + 1).clamp(max=count - 1))
        values = torch.lerp(*ends, weight)
    return values


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names and values of weights."""
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode() + weights[name].contiguous().cpu().numpy().tobytes())
    return total.hexdigest()


def lite0_extractor(weights: dict[str, Tensor], *, device: str | torch.device = "cpu") -> Extractor:
    """EfficientNet-Lite0: 1280 features at 128 pixels; `UsageError` for other than the published weights."""
    network = lite0_network(weights).to(device)
    sees = f"at {LITE0_SIZE} pixels, antialiased bicubic, 8 bits"
    return Extractor("lite0", f"lite0 {digest(weights)}", bicubic, network, device, sees)


def inception_extractor(weights: dict[str, Tensor], *, device: str | torch.device = "cpu") -> Extractor:
    """Inception-v3 of the official FID: 2048 features; `UsageError` for other than the published weights."""
    network = inception_network(weights).to(device)
    sees = f"at {INCEPTION_SIZE} pixels, bilinear as TensorFlow 1"
    return Extractor("inception", f"inception {digest(weights)}", bilinear, network, device, sees)


def own_extractor(name: str, function: Callable[[Tensor], Tensor], *, device: str | torch.device = "cpu") -> Extractor:
    """A user's function from images (n 3 h w, in [-1, 1], 8-bit values, original size) to features (n d)."""
    return Extractor(name, "", lambda values: values, lambda values: function(values / 127.5 - 1), device)


def extract_features(extractor: Extractor, images: Tensor) -> Tensor:
    """Features (n d) of many images (n c h w, in [-1, 1])."""
    return torch.cat([extractor(part) for part in torch.split(images, extractor.batch)])


def pack_features(
    extractor: Extractor, pack: Pixels, chosen: Array, *, progress: ProgressCallback | None = None
) -> Tensor:
    """Features (n d) of the images of a pack at the indices `chosen`, cached."""
    told = functools.partial(_tell, progress, len(chosen)) if progress else None
    return finished(feature_steps(extractor, pack, chosen), told)


def _tell(progress: ProgressCallback, total: int, done: int) -> None:
    progress(done, total)


def feature_steps(extractor: Extractor, pack: Pixels, chosen: Array) -> Generator[int, None, Tensor]:
    """As `pack_features`, batch by batch: yields how many images are done, and returns the features."""
    if not extractor.key:
        return (yield from _worked_out(extractor, pack, chosen))
    order = hashlib.sha256(np.ascontiguousarray(chosen, np.int64).tobytes()).hexdigest()
    key = hashlib.sha256(json.dumps([_VERSION, extractor.key, pack.fingerprint, order]).encode()).hexdigest()[:32]
    path = cache.folder("features") / f"{key}.safetensors"
    if kept := cached_tensors(path, functools.partial(_choose_features, len(chosen))):
        return kept["features"]
    found = yield from _worked_out(extractor, pack, chosen)
    data = safetensors.torch.save({"features": found})
    cache.make_room(len(data))
    cache.write_entry(path, data)
    return found


def _choose_features(count: int, found: Layout) -> list[str]:
    """Features of so many images, and no more than a network gives."""
    dtype, shape = found.get("features", ("", ()))
    if dtype != "F32" or len(shape) != 2 or shape[0] != count or not 0 < shape[1] <= _MOST_FEATURES:
        raise UsageError(f"it has features of shape {shape}, expected {count} rows")
    return ["features"]


def cached_tensors(path: Path, choose: Choose) -> dict[str, Tensor]:
    """The tensors of a safetensors file in the cache; none where there is no such file, or it is damaged, or does not fit."""
    try:
        with open_file(path, max_bytes=_MOST_BYTES) as (file, size):
            choose(parse_layout(file, size, path, max_tensors=_MOST_TENSORS))  # before any of it is in memory
        if (data := cache.read_entry(path)) is None:
            return {}
        return parse_tensors(io.BytesIO(data), len(data), path, max_tensors=_MOST_TENSORS, choose=choose)
    except UsageError:
        return {}


def _worked_out(extractor: Extractor, pack: Pixels, chosen: Array) -> Generator[int, None, Tensor]:
    parts, batch = [], extractor.batch
    for start in range(0, len(chosen), batch):
        parts.append(extractor(from_uint8(pack.rows(chosen[start : start + batch]))))
        yield min(start + batch, len(chosen))
    return torch.cat(parts)
