"""Every family on a pretended device, from its first step to its figures; what was found is printed as JSON.

python tests/devices/phases.py cuda [FAMILY ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parents[2] / "src")]
KIND = sys.argv[1]

from devices import guard  # noqa: E402

guard.load(KIND)

import json  # noqa: E402
import os  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from types import SimpleNamespace  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from devices import watch  # noqa: E402
from devices.labels import MemoryLabels  # noqa: E402
from zeuxis import families, registry, samplers  # noqa: E402
from zeuxis.data.batches import PackSource, PairSource  # noqa: E402
from zeuxis.explore import atlas, directions, editing, inversion, mixing, paths, spaces  # noqa: E402
from zeuxis.families import rbm  # noqa: E402
from zeuxis.likelihood import HasLikelihood, bounds  # noqa: E402
from zeuxis.mechanisms import GibbsSampling, UsesFeatures  # noqa: E402
from zeuxis.metrics import attributes, features, inception, latent, lite0, paired, vgg  # noqa: E402
from zeuxis.model import Clock, Latent, Model, StyleBased, Translator, options_of  # noqa: E402
from zeuxis.nets.adaptive import Augmentation  # noqa: E402
from zeuxis.runtime.accelerator import on_host, sum_format  # noqa: E402
from zeuxis.training import contact_sheets, diagnostics, engine, state  # noqa: E402
from zeuxis.training.engine import State  # noqa: E402

DEVICE = torch.device(KIND)
BATCH, IMAGES, CLASSES = 4, 64, 3
DEEP = {"cyclegan", "diffusion", "pix2pix", "srgan"}  # which need 16 pixels to have all of their layers
LOOKED_AT = {"gan", "rbm", "stylegan2", "vae"}  # one of each kind of latent space
SMALL = {
    "size": 8, "base_channels": 8, "latent_dim": 6, "blocks": 1, "pool_size": 6, "num_inference_steps": 2,
    "sample_steps": 2, "temperatures": 3, "chains": 6, "mapping_layers": 2, "pretrain_steps": 8, "images_per_stage": 40,
}  # fmt: skip
# Beside the defaults, what takes another way through a family.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "dcgan": [{}, {"augment": "color+translation+cutout"}],
    "stylegan2": [{"augment": "ada", "noise_injection": True}],
    "progan": [{"loss": "wgan-gp"}, {}],
    "diffusion": [
        {"num_classes": CLASSES},
        {"objective": "ddpm", "sampler": "ddpm"},
        {"objective": "v"},
        {"objective": "flow"},
    ],
    "pix2pix": [{"r1_gamma": 4.0}, {"network": "resnet", "jitter_mode": "resize", "norm": "instance"}],
    "srgan": [{}, {"norm": "batch", "bicubic_skip": False}],
    "rbm": [{}, {"units": "gaussian", "sigma": 0.0, "sparsity": 0.1}, {"method": "cd", "sampler": "tempered"}],
    "vae": [{}, {"sigma": 0.0}],
}  # fmt: skip
KEPT: list[Any] = []  # torch dies where the storage of some fake tensors is freed, so nothing is


class Stored:
    """A pack of noise in memory."""

    def __init__(self, channels: int, size: int, labels: bool = False) -> None:
        self._images = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, channels), np.uint8)
        self.stored = SimpleNamespace(shape=self._images.shape, nbytes=self._images.nbytes)
        self.stored_labels = MemoryLabels(np.arange(IMAGES) % CLASSES) if labels else None

    def __len__(self) -> int:
        return IMAGES

    def rows(self, places: Any) -> Any:
        return self._images[places]


def source_for(model: Model) -> Any:
    """The batches of such packs, as a run reads them."""
    image = Stored(model.channels, model.size, "label" in model.needs)
    if not isinstance(model, Translator):
        return PackSource(image, seed=0, device=DEVICE, hflip=True)  # type: ignore[arg-type]
    source = Stored(model.source_channels, model.source_size)
    pairs = SimpleNamespace(source=source, image=image, places=(np.arange(IMAGES),) * 2, paired=model.paired)
    return PairSource(pairs, seed=0, device=DEVICE, hflip=True)  # type: ignore[arg-type]


def build(name: str, changes: dict[str, Any]) -> Model:
    family = families.find(name)
    known = {field.name for field in options_of(family)}
    chosen = {**SMALL, **({"size": 16} if name in DEEP else {}), **changes}
    model = family(**{key: value for key, value in chosen.items() if key in known})
    if isinstance(model, UsesFeatures) and model.needs_features:
        model.feature_network = vgg.feature_network(vgg.VGG().to(DEVICE))
    return model.to(DEVICE)


def copied(value: Any) -> Any:
    """A copy of a model on the device: `copy.deepcopy` refuses fake tensors."""
    made = type(value)(**value.options).to(DEVICE).to(memory_format=torch.channels_last)
    KEPT.append(made)
    return made


class Report:
    """What was found in each phase of each family."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self.crashes: list[list[str]] = []
        self.launches: list[list[Any]] = []
        self.family = ""

    def phase(self, label: str, work: Callable[[], object]) -> None:
        """Do the work and keep what was found; in a step everything counts, elsewhere copies and waits are meant."""
        with watch.Watch(KIND) as seen:
            try:
                KEPT.append(work())
            except Exception as error:
                lines = [
                    frame for frame in traceback.extract_tb(error.__traceback__) if "/src/zeuxis/" in frame.filename
                ]
                place = f"{lines[-1].filename.split('/src/zeuxis/')[-1]} (line {lines[-1].lineno})" if lines else "?"
                text = str(error).splitlines()[0][:160] if str(error) else ""
                self.crashes.append([self.family, label, place, f"{type(error).__name__}: {text}"])
        self.rows += [[self.family, label, *finding, count] for finding, count in seen.found.items()]
        self.launches.append([self.family, label, seen.launches])


def trained(found: State, source: Any, clock: Clock, steps: int, *, precision: Any = "fp32", parts: int = 1) -> State:
    """The state after some steps from a time on."""
    found.clock = clock
    last = clock.step + steps
    options: dict[str, Any] = {
        "steps": last,
        "batch_size": BATCH,
        "seed": 0,
        "micro_batches": parts,
        "precision": precision,
    }
    for _ in engine.train(found.model, source, resume=found, **options):
        pass
    return found


def hold_out(model: Model) -> None:
    """Give an automatic augmentation held-out images, as a run does."""
    found = [each for each in model.modules() if isinstance(each, Augmentation)]
    if found:
        source = source_for(model)
        source.batch(0, BATCH)
        for each in found:
            each.begin(IMAGES, lambda start, count: source.batch(start, count).image)


def train_phases(report: Report, first: State, *, every: bool) -> None:
    """A step of every phase, from 0 (where all lazy penalties are) on, and one in halves and in bfloat16."""
    model = first.model
    source = source_for(model)
    source.batch(0, BATCH)
    hold_out(model)
    starts = sorted({0, *(clock.step for clock in model.schedule_breakpoints(BATCH)[1:3])})
    for start in starts:
        report.phase(f"step {start}", lambda: trained(first, source, Clock(start, start * BATCH), 1))  # noqa: B023
    if every:
        late = Clock(100_001, 400_004)
        report.phase("step in bf16 and halves", lambda: trained(first, source, late, 1, precision="bf16", parts=2))


def figures(report: Report, model: Model, *, every: bool) -> None:
    """What contact sheets ask of the device: samples, translations, encodings, diagnostics."""
    source = source_for(model)
    batch = source.batch(0, BATCH)
    reals = contact_sheets.Reals(batch.image, None, batch)
    report.phase("sheets", lambda: contact_sheets.samples(model, reals))
    if not every:
        return
    report.phase("diagnostics", lambda: contact_sheets.inside(model, reals))
    report.phase("diversity", lambda: diagnostics.diversity(batch.image))
    if isinstance(model, Translator):
        for direction in model.directions:
            given = batch.source if direction == model.directions[0] else batch.image
            report.phase(f"translate {direction}", lambda: model.translate(given, direction))  # noqa: B023


def look(report: Report, model: Latent) -> None:
    """Interpolations, atlas, directions, mixing, inversion."""
    z = model.prior(range(4))
    report.phase("interpolate", lambda: (paths.interpolate_latents(z[:2], z[2:], 3), paths.loop(z, 5)))
    report.phase("atlas", lambda: atlas.atlas_latents(model, [(0.5, 0.5), (1.0, 2.0)]))
    extractor = features.Extractor("lite0", "", features.bicubic, lite0.Lite0().to(DEVICE), DEVICE)
    parts = directions.component_steps(model, extractor, count=1, seeds=range(4))
    report.phase("components", lambda: next(parts))  # the rest is of the CPU
    ways = list[directions.Direction]()
    report.phase("local components", lambda: ways.extend(directions.local_components(model, z[0].cpu(), count=2)))
    steps = [(1.0, ways[0]), (-0.5, ways[1])]
    report.phase("edit", lambda: editing._moved(model, z.cpu(), steps, editing.STRENGTHS, space="z"))
    task = attributes.Task(("hat", "beard"), False, model.size, model.channels)
    reader = attributes.AttributeReader(attributes._network(task).to(DEVICE).eval(), task, {})
    report.phase("attributes", lambda: reader.read(model.decode(z)))
    distance = vgg.VGG().to(DEVICE).eval().requires_grad_(False)

    def inverted() -> object:
        truth = torch.rand(2, model.channels, model.size, model.size) * 2 - 1
        how = inversion.Search(steps=3, restarts=2)
        return inversion.invert_by_descent(
            model, truth, distance=lambda t: vgg.feature_distance_to(distance, t), how=how
        )

    report.phase("invert", inverted)
    if isinstance(model, StyleBased):
        w = model.mapping(z)
        report.phase("factors", lambda: directions.factors(model, spaces.StyleSpace(model), count=1))
        report.phase("mix", lambda: mixing.mixed(w[:2], w[2:], mixing.third(model.styles, "middle")))
    ends = model.prior(range(2)), model.prior(range(2, 4))
    speeds = latent.squared_speeds
    report.phase("path length", lambda: speeds(model.decode, extractor.smooth, *ends, step=latent.PATH_STEP))


def likelihood(report: Report, model: HasLikelihood) -> None:
    images = torch.rand(2, model.channels, model.size, model.size) * 2 - 1  # type: ignore[attr-defined]
    report.phase("likelihood", lambda: model.likelihood_scores(images, torch.Generator()))


@torch.no_grad()
def scores(report: Report) -> None:
    """The features and scores of evaluations, of no family in particular."""
    report.family = "evaluate"
    images = torch.rand(2, 3, 32, 32, device=DEVICE) * 2 - 1
    networks = {"lite0": (features.bicubic, lite0.Lite0), "inception": (features.bilinear, inception.Inception)}
    for name, (resize, network) in networks.items():
        extractor = features.Extractor(name, "", resize, network().to(DEVICE), DEVICE)
        report.phase(name, lambda: extractor(images))  # noqa: B023
    report.phase("VGG-feature distance", lambda: vgg.feature_distance(vgg.VGG().to(DEVICE), images, images))
    full_reference = (paired.l1, paired.psnr, paired.ssim)
    report.phase("full reference", lambda: [measure(images, images) for measure in full_reference])
    report.phase("luminance", lambda: paired.luminance(images))


def moves(report: Report, first: State, name: str, changes: dict[str, Any]) -> None:
    """A state goes to the host, as a checkpoint does, and comes back; and from there into a state on the CPU."""

    def work() -> None:
        groups, scalars = {group: on_host(values) for group, values in first.tensors().items()}, first.scalars()
        second = State.start(build(name, changes))
        second.restore(groups, scalars)
        check_place(second, DEVICE)
        trained(second, source_for(second.model), second.clock, 1)
        second.take_means()
        third = State.start(build(name, changes).cpu())
        third.model, third.average = third.model.cpu(), third.average.cpu()
        third.restore(groups, scalars)
        check_place(third, torch.device("cpu"))

    report.phase("save and restore", work)


def check_place(found: State, device: torch.device) -> None:
    """Everything is on the device; sums are saved as float64 whatever that has."""
    groups = found.tensors().items()
    # An optimizer that is not fused counts its steps on the host.
    kept = {
        group: {key: value for key, value in values.items() if value.ndim}
        for group, values in groups
        if group != "sums"
    }
    wrong = [
        f"{group}/{key}"
        for group, values in kept.items()
        for key, value in values.items()
        if value.device.type != device.type
    ]
    formats = {value.dtype for value in found.sums.values()} - {sum_format(device)}
    saved = {value.dtype for value in found.tensors()["sums"].values()} - {torch.float64}
    if wrong or formats or saved:
        raise RuntimeError(f"after restore on {device}: {wrong[:3]}, sums in {formats}, saved in {saved}")


def faults(report: Report) -> None:
    """Each kind of fault, once: what is looked for is also found."""
    report.family = "faults"
    here, there = torch.zeros(3), torch.zeros(3, device=DEVICE)
    for kind, work in {
        "wait": lambda: there.sum().item(),
        "down": lambda: there.cpu(),
        "up": lambda: here.to(DEVICE),
        "sent": lambda: here.pin_memory().to(DEVICE, non_blocking=True),
        "mixed": lambda: here + there,
        "float64": lambda: there.double(),
        "no-mps": lambda: torch.special.ndtri(there),
        "up, a number": lambda: torch.where(there > 0, there, torch.tensor(1.0)),
        "up, an index": lambda: there[torch.tensor([0, 1])],
        "wait, in a kernel": lambda: torch.linalg.inv(torch.eye(3, device=DEVICE)),
        "no-mps, by its shape": lambda: torch.nn.functional.adaptive_avg_pool2d(
            torch.zeros(1, 1, 7, 7, device=DEVICE), 3
        ),
        "nothing": lambda: there * 2 + torch.full_like(there, 3),
    }.items():
        report.phase(kind, work)


def finite_check(report: Report) -> None:
    """A run of many steps, to count how often it waits."""
    report.family = "many steps"
    first = State.start(build("gan", {}))
    source = source_for(first.model)
    source.batch(0, BATCH)
    report.phase("step 0 to 17", lambda: trained(first, source, Clock(0, 0), 17))


def everything(report: Report, name: str, changes: dict[str, Any], *, first: bool) -> None:
    told = ",".join(f"{key}={value}" for key, value in changes.items())
    report.family = f"{name}({told})" if told else name
    found = State.start(build(name, changes))
    train_phases(report, found, every=first)
    if not first and "sampler" not in changes:
        return
    with torch.no_grad():
        figures(report, found.average, every=first)
    if not first:
        return
    with torch.no_grad():
        if isinstance(found.average, HasLikelihood) and not isinstance(found.average, GibbsSampling):  # of the CPU
            likelihood(report, found.average)
        if name in LOOKED_AT:
            look(report, found.average)  # type: ignore[arg-type]
    moves(report, found, name, changes)


OTHERS = {"evaluate": scores, "faults": faults, "many steps": finite_check}


def shortened() -> None:
    """Less of what repeats, and what a fake tensor cannot do."""
    State.check = lambda self, layouts: None  # type: ignore[method-assign,assignment]  # of names and shapes alone
    state.copy = SimpleNamespace(deepcopy=copied)  # type: ignore[attr-defined]
    plain = State.start.__func__  # type: ignore[attr-defined]
    State.start = classmethod(lambda cls, model: (KEPT.append(plain(cls, model)), KEPT[-1])[1])  # type: ignore[method-assign,assignment]
    inversion.DRAWN, contact_sheets.COUNT, bounds.DRAWS, bounds.NOISE_LEVELS = 8, BATCH, 2, 2  # type: ignore[misc]
    bounds.bootstrap_mean = lambda values: values  # type: ignore[assignment,attr-defined]
    samplers.seed_of = lambda row: 0  # type: ignore[assignment]
    sgd = rbm.SGD
    rbm.SGD = lambda groups, lr, momentum, fused: sgd(groups, lr, momentum, foreach=True)  # type: ignore[assignment,misc]


def main(wanted: Sequence[str]) -> None:
    report = Report()
    shortened()
    with watch.pretending():
        for name in wanted or [*registry.built_in(), *OTHERS]:
            if name in OTHERS:
                OTHERS[name](report)
                continue
            for place, changes in enumerate(VARIANTS.get(name, [{}])):
                everything(report, name, changes, first=place == 0)
    print(json.dumps({"rows": report.rows, "crashes": report.crashes, "launches": report.launches}))  # noqa: T201
    sys.stdout.flush()
    os._exit(0)  # no fake tensor is freed


if __name__ == "__main__":
    main(sys.argv[2:])
