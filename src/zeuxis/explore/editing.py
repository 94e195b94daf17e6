"""Image editing in latent space: inversion of images, directions, and edited images."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zeuxis import explore
from zeuxis.data import DataSpec
from zeuxis.data.specs import Data
from zeuxis.errors import UsageError
from zeuxis.explore import directions as ways
from zeuxis.explore.directions import Direction, Supervised, Unsupervised
from zeuxis.explore.figures import interpolation_figure
from zeuxis.explore.inversion import Search, invert_by_descent
from zeuxis.explore.latent_files import images_of_latents as images_of_latents
from zeuxis.explore.latent_files import load_latents as load_latents
from zeuxis.explore.latent_files import save_latents as save_latents
from zeuxis.explore.spaces import Space, SpaceName, decode_latents, encode_images, space_of
from zeuxis.io import images
from zeuxis.io.paths import expanded
from zeuxis.io.pictures import Figure, Images
from zeuxis.loading import labelled_data
from zeuxis.metrics import extractors, paired, vgg
from zeuxis.metrics.attributes import reader_for
from zeuxis.model import Encoder, Model
from zeuxis.runtime.callbacks import MessageCallback, ProgressCallback, StageCallback, in_stage
from zeuxis.runtime.ranks import ALONE, Ranks

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # of an edit
STRIP = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of a direction
PEOPLE = 300  # that a score is taken over
SAMPLES = 4096  # whose features have components


@dataclass(frozen=True, eq=False, repr=False)
class Inversion(Figure):
    """Images (n c h w), their latents (n ..., on the CPU), reconstructions, and reconstruction errors."""

    pictures: Tensor
    latents: Tensor
    images: Tensor
    psnr: Tensor  # n, dB
    distance: Tensor  # n, of VGG features
    family: str  # of the model
    space: SpaceName = "z"  # of the latents
    names: Sequence[str] = ()  # of the images

    def __repr__(self) -> str:
        return f"Inversion of {len(self.images)} images by {self.family}"

    def pil(self) -> Image.Image:
        """Rows of ten images, each above its reconstruction."""
        columns = 10
        pairs = zip(torch.split(self.pictures, columns), torch.split(self.images, columns))
        blank = columns - len(self.pictures) % columns if len(self.pictures) > columns else 0
        rows = [_filled(each, blank) for pair in pairs for each in pair]
        across = min(columns, len(self.pictures))
        scale = -(-96 // self.pictures.shape[-1])  # to 96 pixels or more, to be judged by eye
        return images.sheet(torch.cat([row[:across] for row in rows]), columns=across, scale=scale)

    def save(self, path: str | Path) -> None:
        """Write the figure (.png), or the latents (.safetensors), which `edit`, `decode` and `interpolate` read."""
        if Path(path).suffix == ".safetensors":
            save_latents(path, self.latents, family=self.family, space=self.space, names=self.names)
        else:
            super().save(path)

    def describe(self) -> str:
        """A line for the user."""
        return (
            f"reconstruction of {len(self.pictures)} picture{'s' * (len(self.pictures) > 1)}: "
            f"PSNR {float(self.psnr.mean()):.1f} dB, VGG-feature distance {float(self.distance.mean()):.3f}"
        )


def invert_images(
    model: Model,
    pictures: Tensor,
    *,
    steps: int | None = None,
    restarts: int = Search.restarts,
    space: SpaceName = "z",
    seed: int = 0,
    names: Sequence[str] = (),
    progress: ProgressCallback | None = None,
) -> Inversion:
    """The latents of images (n c h w, in [-1, 1]): by the encoder where there is one, else by gradient descent.

    `steps` of descent in `space`, from `restarts` initial latents per image. With an encoder, explicit `steps` refine
    the encoded latents.
    """
    able = space_of(model, space)
    network = extractors.vgg16(device=model.device)
    measure = functools.partial(vgg.feature_distance_to, network)
    code = encode_images(able, pictures) if isinstance(able, Encoder) else None
    if code is None or steps:
        how = Search(restarts=restarts) if steps is None else Search(steps=steps, restarts=restarts)
        find = functools.partial(invert_by_descent, able, pictures, distance=measure, how=how, progress=progress)
        found = find(seed=seed, begin=code)
    else:
        found = code
    made = decode_latents(able, found)
    with torch.no_grad():
        far = measure(pictures.to(model.device))(made.to(model.device)).cpu()
    return Inversion(pictures, found, made, paired.psnr(made, pictures), far, model.family(), space, names)


def located(
    model: Model,
    text: str,
    seeds: Sequence[int] | None = None,
    *,
    space: SpaceName = "z",
    order: int = 0,
    work: StageCallback | None = None,
) -> Tensor:
    """Latents (n ...) of the source `text`, one per seed: a latents file, an image, or a data set's images.

    Without seeds: all latents of a file, or one. `order` as in `examples`; `work` reports progress (stage, done, total).
    """
    text = expanded(text)
    if text.endswith(".safetensors"):
        held = load_latents(text, model, space=space)
        return held if seeds is None else held[[seed % len(held) for seed in seeds]]
    chosen = [0] if seeds is None or explore.is_picture(text) else list(seeds)
    reading, descending = in_stage(work, "reading images"), in_stage(work, "descending")
    find = functools.partial(explore.examples, size=model.size, channels=model.channels, progress=reading)
    found = latents_of_images(model, find(text, chosen, order=order), space, descending)
    return found.expand(len(seeds or chosen), *found.shape[1:])


def latents_of_images(
    model: Model, pictures: Tensor, space: SpaceName, progress: ProgressCallback | None = None
) -> Tensor:
    """The latents of images (n c h w), without reconstruction errors."""
    able = space_of(model, space)
    if isinstance(able, Encoder):
        return encode_images(able, pictures)
    return invert_images(model, pictures, space=space, progress=progress).latents


def unsupervised_directions(
    model: Model,
    *,
    method: Unsupervised = "components",
    count: int = 5,
    space: SpaceName = "z",
    samples: int | None = None,
    ranks: Ranks = ALONE,
) -> list[Direction]:
    """Unsupervised directions: `components` of the features of `samples`, or `factors` of the first layer."""
    able = space_of(model, space)
    if method == "factors":
        return ways.factors(model, able, count=count)
    if method != "components":
        raise UsageError(f"--method is {method!r}; choose components or factors, or name attributes")
    extractor = extractors.find_extractor("lite0", device=model.device)
    return ways.components(able, extractor, count=count, seeds=range(samples or SAMPLES), ranks=ranks)


@dataclass(frozen=True)
class Editor:
    """The attributes of a labelled data set in a model's latent space."""

    model: Space
    words: explore.Vocabulary
    among: explore.Candidates
    reader: explore.ReadsAttributes
    method: Supervised = "means"
    space: SpaceName = "z"

    def steps(self, change: str) -> list[tuple[float, Direction]]:
        """The steps of an edit such as "+ glasses - smiling": weights (negative removes) and directions."""
        terms = explore.parse_terms(change, self.words)
        found = []
        for term in terms:
            for index, present in term.wanted.items():
                sign = term.weight if present else -term.weight
                found.append((sign, ways.towards(index, self.among, self.words, method=self.method)))
        return found

    def edit(self, latents: Tensor, change: str, strengths: Sequence[float] = STRENGTHS) -> Images:
        """Images (n strengths c h w) of latents (n ...) edited at each strength."""
        made = _moved(self.model, latents, self.steps(change), strengths, space=self.space)
        return Images(made, functools.partial(interpolation_figure, labels=_labels(strengths), title=change))

    def score(self, change: str, *, strengths: Sequence[float] = STRENGTHS, people: int = PEOPLE) -> list[EditScore]:
        """The success rate of an edit and its side effects, over images without the target attributes."""
        steps = self.steps(change)
        wanted = explore.target(explore.parse_terms(change, self.words), self.words)
        chosen = self._without(wanted, people)
        before = self.reader.read(decode_latents(self.model, chosen)).cpu()
        made = _moved(self.model, chosen, steps, strengths, space=self.space).unbind(1)
        read = [self.reader.read(images).cpu() for images in made]
        return [_score(strength, before, after, wanted, self.words) for strength, after in zip(strengths, read)]

    def _without(self, wanted: dict[int, bool], people: int) -> Tensor:
        """Latents of images with none of the target attributes."""
        opposite = {index: not present for index, present in wanted.items()}
        found = self.among.matching(opposite, 0.5)[:people]
        if not len(found):
            raise UsageError("every candidate has the target attributes; choose attributes that some images lack")
        return self.among.latents[found]


@dataclass(frozen=True)
class EditScore:
    """The success rate and the side effects of an edit at a strength."""

    strength: float
    asked: float  # share of edits classified as the target
    others: float  # share of the other attributes whose classification changed
    people: int

    def describe(self) -> str:
        """A line for the user."""
        return (
            f"strength {self.strength:g}: target reached by {100 * self.asked:.0f} % of {self.people} edits, "
            f"{100 * self.others:.1f} % of the other attributes changed"
        )


def strips(
    model: Model,
    steps: Sequence[Direction],
    *,
    seed: int = 0,
    strengths: Sequence[float] = STRIP,
    space: SpaceName = "z",
) -> Images:
    """The image of a seed moved along each direction: images (directions strengths c h w)."""
    able = space_of(model, space)
    start = able.prior([seed]).cpu()
    made = torch.cat([_moved(able, start, [(1.0, step)], strengths, space=space) for step in steps])
    names = [step.name for step in steps]
    return Images(made, functools.partial(interpolation_figure, labels=_labels(strengths), names=names))


def _labels(strengths: Sequence[float]) -> list[str]:
    return [f"{value:g}" for value in strengths]


def _moved(
    model: Space,
    latents: Tensor,
    steps: Sequence[tuple[float, Direction]],
    strengths: Sequence[float],
    *,
    space: SpaceName,
) -> Tensor:
    """Images (n strengths c h w) of moved latents; in z each keeps its norm, as Gaussian latents need."""
    kept = space == "z"
    return torch.stack(
        [decode_latents(model, ways.moved(latents, steps, strength, keep=kept)) for strength in strengths], 1
    )


def _filled(row: Tensor, blank: int) -> Tensor:
    """A row of images (n c h w), padded with so many white ones."""
    return torch.cat([row, torch.ones(blank, *row.shape[1:])])


def _score(
    strength: float, before: Tensor, after: Tensor, wanted: dict[int, bool], words: explore.Vocabulary
) -> EditScore:
    right = torch.stack([(after[:, index] > 0.5) == present for index, present in wanted.items()]).all(0)
    others = [] if words.exclusive else [i for i in range(after.shape[1]) if i not in wanted]
    flipped = ((after > 0.5) != (before > 0.5))[:, others].float()
    return EditScore(strength, float(right.float().mean()), float(flipped.mean()) if others else 0.0, len(after))


def editor(
    model: Model,
    *,
    data: Data | None = None,
    method: Supervised = "means",
    space: SpaceName = "z",
    seed: int = 0,
    report: MessageCallback | None = None,
    progress: ProgressCallback | None = None,
    ranks: Ranks = ALONE,
) -> Editor:
    """The editor of a model's images by the attributes of `data`, by default of its training data.

    `report` and `progress` as in `arithmetic`; `ranks` share out the candidates. `UsageError` without that data or labels.
    """
    able = space_of(model, space)
    spec = DataSpec.parse(labelled_data(model) if data is None else data)
    pack = spec.open(model.size, model.channels, progress=progress)
    words = explore.vocabulary(pack.attributes, pack.classes)
    reader = reader_for(pack, device=str(model.device), progress=report)
    among = explore.candidates(able, pack, reader=reader, seed=seed, ranks=ranks)
    return Editor(able, words, among, reader, method, space)
