"""What the command line, the page and a notebook call: load, sample, interpolate, arithmetic, evaluate, data, train, resume."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zeuxis import explore, families, loading, onnx
from zeuxis.capabilities import encode, encoder, enlarge, latent, matrix, style_based, translate, translator
from zeuxis.data import DataSpec, Pack
from zeuxis.data.report import DataReport, inspect
from zeuxis.errors import UsageError
from zeuxis.explore import Equation, LayerGroup, PathKind, Space, SpaceName
from zeuxis.explore.arithmetic import AVERAGE, LENGTH
from zeuxis.explore.spaces import decode_latents, space_of
from zeuxis.io import files
from zeuxis.io.paths import expanded
from zeuxis.judging.comparison import Comparison, compared_run
from zeuxis.judging.image_to_image import evaluate_translator
from zeuxis.judging.reference import choose_reference
from zeuxis.judging.report import Evaluation
from zeuxis.judging.samples import evaluate_samples
from zeuxis.metrics import extractors
from zeuxis.metrics.attributes import reader_for
from zeuxis.model import Model, Translator
from zeuxis.onnx import Exported
from zeuxis.options import ResizeMode
from zeuxis.runtime.callbacks import MessageCallback, ProgressCallback, StageCallback, in_stage, silent
from zeuxis.training import runs
from zeuxis.training.settings import TrainSettings

HandPicked = Sequence[tuple[float, Sequence[int]]]
Data = str | Path | DataSpec  # what a person types, or that parsed
Family = type[Model] | str | None
Options = Mapping[str, Any] | None

__all__ = [
    "Equation",
    "arithmetic",
    "compare",
    "decode_latents",
    "dry_run",
    "encode",
    "enlarge",
    "evaluate",
    "export",
    "inspect_data",
    "interpolate",
    "latent",
    "load",
    "matrix",
    "mix",
    "resume",
    "sample",
    "train",
    "translate",
    "translator",
    "walk",
]


def load(path: str | Path, *, device: str = "auto", family: Family = None, options: Options = None) -> Model:
    """The model saved in a folder, a run's folder, or the run of this number or name under runs/; ready to be sampled.

    A model of a family outside Zeuxis is only loaded when `family` names its class. `options` are those that a trained
    model may be given anew, as by `Model.adjust`.
    """
    return loading.load_model(path, device=runs.choose_device(device), family=family, options=options)


def sample(model: Model, n: int = 64, *, seed: int = 0, seeds: Sequence[int] | None = None) -> Tensor:
    """Images (n c h w, in [-1, 1]) for the seeds, or for `seed ... seed + n - 1`; image i depends on its seed alone."""
    chosen = list(seeds) if seeds is not None else list(range(seed, seed + n))
    if not chosen:
        raise UsageError(f"n is {n}; expected at least 1 image")
    return decode_latents(model, latent(model).prior(chosen))


def interpolate(
    model: Model,
    *,
    rows: int = 5,
    columns: int = 10,
    seeds: Sequence[int] | None = None,
    ends: tuple[Tensor, Tensor] | None = None,
    path: PathKind | None = None,
    space: SpaceName = "z",
    reencode: int = 0,
) -> Tensor:
    """Images (rows columns c h w) from one end of each row to the other.

    The ends of a row are two seeds that follow each other in `seeds` (0, 1, 2 ... if not given), or two latents of
    `ends` (each rows ...), as `encode` and `invert` give them. `reencode` times each picture is encoded and decoded again.
    In the space w of a styled model the path is linear, else slerp unless it is given.
    """
    able = space_of(model, space)
    z1, z2 = _ends(able, rows, seeds, ends)
    z = explore.interpolate_latents(z1, z2, columns, path=path or explore.path_in(space))
    images = _decoded(model, able, z.flatten(0, 1), reencode)
    return images.reshape(len(z1), columns, *images.shape[1:])


def walk(
    model: Model,
    *,
    frames: int = 120,
    seeds: Sequence[int] = range(6),
    ends: tuple[Tensor, Tensor] | None = None,
    path: PathKind | None = None,
    space: SpaceName = "z",
    reencode: int = 0,
) -> Tensor:
    """The frames (frames c h w) of a walk through the seeds' latents, or those of `ends`, row by row, and back."""
    able = space_of(model, space)
    z = torch.stack(ends, 1).flatten(0, 1) if ends else able.prior(seeds)
    steps = explore.loop(z, frames, path=path or explore.path_in(space))
    return _decoded(model, able, steps, reencode)


def mix(model: Model, *, rows: Sequence[int], columns: Sequence[int], layers: LayerGroup = "coarse") -> Tensor:
    """Images (1 + rows, 1 + columns, c h w): a third of the layers in the column's style, the rest in the row's.

    The first row and column show the seeds themselves, their crossing nothing (zeros).
    """
    return explore.mix_styles(style_based(model), rows, columns, layers)


def arithmetic(
    model: Model,
    terms: str | HandPicked,
    *,
    data: Data | Pack = "zeuxis:avatars",
    average: int | None = None,
    seed: int = 0,
    triples: int = 0,
    space: SpaceName = "z",
    report: MessageCallback | None = None,
    progress: ProgressCallback | None = None,
) -> Equation:
    """Add and subtract what images have in common.

    `terms` is an expression such as "smiling woman - neutral woman + neutral man", whose words are the attributes of
    `data`, or pairs (weight, seeds) picked by eye. `average` examples are averaged per term (100 if not given), in
    `space`; with `triples`, as many random choices of examples are scored. `report` is told how well the attributes
    can be read, `progress` how many images are decoded, of how many.
    """
    able = space_of(model, space)
    if not isinstance(terms, str):
        if triples:
            raise UsageError("terms picked by hand have no target to score; write an expression of attributes")
        outcome = explore.from_seeds(able, terms)
        return Equation(outcome, explore.pictures(able, outcome))
    if not isinstance(data, Pack):
        data = DataSpec.parse(data).open(model.size, model.channels, progress=progress)
    reader = reader_for(data, device=str(model.device), progress=report)
    length = LENGTH if space == "z" else None  # in w a short average is near to the mean, where a model is surest
    solve = functools.partial(explore.solve_equation, able, terms, data, reader, seed=seed, triples=triples)
    return solve(average=average or AVERAGE, length=length)


def evaluate(
    model: Model,
    data: Data,
    *,
    images: int = 10_000,
    features: str = "lite0",
    weights: str | Path | None = None,
    resize_mode: ResizeMode | None = None,
    max_images: int | None = None,
    seed: int = 0,
    baselines: Mapping[str, Model] | None = None,
    progress: StageCallback = silent,
) -> Evaluation:
    """Scores of a model by at most `images` samples, each with an interval and the score of real images.

    A translator is judged by its translations, beside those of the unchanged source, of the mean colour, and of `baselines`;
    super-resolution by whole photographs.

    `data` is what it was trained on, `resize_mode` (crop unless given) and `max_images` as then; images are held out where
    that is a named set. `features` is `lite0`, `inception` (its file in `weights`) or `module:function`. `progress` is
    called with the stage, the work done, and its total.
    """
    able = model if isinstance(model, Translator) else latent(model)
    finding = functools.partial(extractors.find_extractor, features, weights=weights, device=able.device)
    spec = DataSpec.parse(data, resize_mode=resize_mode, max_images=max_images)
    if isinstance(able, Translator):
        return evaluate_translator(able, spec, finding, images=images, baselines=baselines or {}, progress=progress)
    extractor = finding()
    reading = in_stage(progress, "reading images")
    chosen = choose_reference(spec, count=images, size=model.size, channels=model.channels, progress=reading)
    return evaluate_samples(able, chosen, extractor, seed=seed, progress=progress)


def compare(runs: Sequence[str | Path], *, columns: int = 10, seed: int = 0, device: str = "auto") -> Comparison:
    """Runs side by side: the scores that `evaluate` wrote into each, and samples of the seeds `seed ... seed + columns - 1`,
    or translations of the same sources."""
    folders = [loading.find_run(run) for run in runs]
    seeds = range(seed, seed + columns)
    return Comparison([compared_run(folder, load(folder, device=device), seeds) for folder in folders])


def export(model: str | Path, out: str | Path | None = None, *, family: str | None = None) -> Exported:
    """Write a saved model's way from latents to images as an ONNX file, by default `model.onnx` in its run's folder.

    The model's card goes with it. `UsageError` where the extra `export` is missing, or ONNX cannot do what the family does.
    """
    folder = loading.find_model(model)
    run = folder.parent if (folder.parent / "config.yaml").is_file() else Path()
    card = folder / "README.md"
    text = files.read_bytes(card, max_bytes=1 << 20).decode("utf-8", "replace") if card.is_file() else ""
    target = expanded(str(out)) if out else run / "model.onnx"
    return onnx.export_onnx(latent(load(folder, device="cpu", family=family)), target, card=text)


def inspect_data(
    data: Data,
    *,
    size: int | None = None,
    channels: int | None = None,
    resize_mode: ResizeMode | None = None,
    max_images: int | None = None,
    progress: ProgressCallback | None = None,
) -> DataReport:
    """What a source of images holds: counts, sizes, classes, duplicates, and every file left out with its reason.

    `size` and `channels` of the pack are 64 and 3, or a named set's own, and `resize_mode` is crop, unless given.
    """
    spec = DataSpec.parse(data, resize_mode=resize_mode, max_images=max_images)
    size, channels = size or spec.size or 64, channels or spec.channels or 3
    return inspect(spec.open(size, channels, progress=progress))


def train(
    family: str | type[Model],
    data: Data,
    *,
    settings: TrainSettings | None = None,
    options: Options = None,
    began: runs.Began | None = None,
) -> Path:
    """Train a model of a family on data; the run's folder. `options` are the family's by name, `began` as of `runs.start`."""
    kind = families.find(family) if isinstance(family, str) else family
    chosen = settings or TrainSettings()
    if chosen.init_from is not None:
        chosen = dataclasses.replace(chosen, init_from=str(loading.find_model(chosen.init_from)))
    return runs.start(chosen, kind, options or {}, data=DataSpec.parse(data), began=began)


def dry_run(
    family: str | type[Model],
    data: Data | None = None,
    *,
    settings: TrainSettings | None = None,
    options: Options = None,
) -> runs.Plan:
    """What training would take: options, parameters, memory, seconds per step, measured on a few steps of noise.

    No data is read; `data` only matters where it names a set that has its own size and channels."""
    kind = families.find(family) if isinstance(family, str) else family
    shape = {} if data is None else DataSpec.parse(data).own_shape
    return runs.plan_run(settings or TrainSettings(), kind, options or {}, shape=shape)


def resume(
    run: str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    cpu_minutes: float | None = None,
    family: Family = None,
) -> Path:
    """Go on with a run that was stopped (a folder, or a number or name under runs/), exactly; the run's folder.

    A run of a family outside Zeuxis is only resumed when `family` names its class.
    """
    return runs.resume_run(loading.find_run(run), steps=steps, minutes=minutes, cpu_minutes=cpu_minutes, family=family)


def _decoded(model: Model, space: Space, z: Tensor, reencode: int) -> Tensor:
    return explore.reencoded(encoder(model), z, reencode) if reencode else decode_latents(space, z)


def _ends(
    space: Space, rows: int, seeds: Sequence[int] | None, ends: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """The latents of the first and of the last column (each rows ...)."""
    if ends is not None:
        return ends
    chosen = list(range(2 * rows)) if seeds is None else list(seeds)
    if len(chosen) < 2 or len(chosen) % 2:
        raise UsageError(f"there are {len(chosen)} seeds; expected two for each row, its ends, as in --seeds 3,8,5,9")
    z = space.prior(chosen)
    return z[0::2], z[1::2]
