"""Pictures turned into numbers: latents, and the probabilities of attributes."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from zeuxis.api.given import NUMBER, GivenImages, as_tensor, square_images
from zeuxis.capabilities import encoder
from zeuxis.data import DataSpec, Pack
from zeuxis.data.specs import Data
from zeuxis.explore.spaces import encode_images
from zeuxis.io.pictures import Images
from zeuxis.metrics.attributes import LARGEST, reader_for
from zeuxis.model import Model
from zeuxis.runtime.callbacks import MessageCallback, ProgressCallback, StageCallback, in_stage

_LEAST = 32  # pixels of the images that a reader learns from


def encode(
    model: Model, pictures: GivenImages, *, number: int = NUMBER, progress: StageCallback | None = None
) -> Tensor:
    """Latents (n ..., on the CPU) by the encoder, for pictures of every kind that `invert` takes.

    `UsageError` where the model has no encoder, or a picture cannot be used.
    """
    able = encoder(model)
    given = square_images(pictures, size=model.size, channels=model.channels, number=number, work=progress)
    return encode_images(able, given)


def read(
    pictures: GivenImages,
    data: Data | Pack,
    *,
    number: int = NUMBER,
    report: MessageCallback | None = None,
    progress: StageCallback | None = None,
) -> dict[str, list[float]]:
    """Probabilities (n each) of the attributes or classes of `data` in pictures, by name: columns that pandas takes.

    A small network learns them from `data`, once; `report` is told its held-out accuracy. `pictures` are those that
    `invert` takes, tensors of any size. `progress` is called with the stage, the work done, and its total.
    `UsageError` where `data` has no labels, or a picture cannot be used; `DataError` where it has too few images.
    """
    pack = data if isinstance(data, Pack) else _opened(DataSpec.parse(data), in_stage(progress, "reading images"))
    reader = reader_for(pack, progress=report)
    if isinstance(pictures, (Images, Tensor, np.ndarray)):
        given = as_tensor(pictures)
    else:
        size, channels = reader.task.size, reader.task.channels
        given = square_images(pictures, size=size, channels=channels, number=number, work=progress)
    return dict(zip(reader.names, reader.read(given).T.tolist()))


def _opened(spec: DataSpec, progress: ProgressCallback | None) -> Pack:
    size = max(_LEAST, spec.size or LARGEST)  # the network learns little of images that are smaller
    return spec.open(size, spec.channels or 3, progress=progress)
