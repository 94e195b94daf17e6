"""One suite that every family must pass: what the loop, the storage and the latent tools rely on."""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from commandline import typed
from zeuxis import api, capabilities, families
from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.likelihood import partition
from zeuxis.metrics import extractors
from zeuxis.metrics.features import Extractor
from zeuxis.metrics.vgg import VGG
from zeuxis.model import Batch, Clock, Encoder, Latent, Model, Translator, options_of
from zeuxis.nets import kernels as choosing
from zeuxis.storage import fill, read_model_folder
from zeuxis.training import engine
from zeuxis.training.engine import State, train, train_step
from zeuxis.training.settings import TrainSettings

TINY = {
    "base_channels": 8,
    "latent_dim": 6,
    "kl_warmup": 64,
    "blocks": 1,
    "pool_size": 10,
    "num_inference_steps": 4,
    "pretrain_steps": 2,
    "vgg_weight": 0.0,
}
FAMILIES = families.names()
LATE = 240_000  # a step at which all that comes every few steps comes


def build(name: str, **changes: Any) -> Model:
    """A small model of the family, the same weights each time."""
    family = families.find(name)
    wanted = {"size": 16, **TINY, **changes}
    torch.manual_seed(0)
    return family(**{key: value for key, value in wanted.items() if key in {f.name for f in options_of(family)}})


class Stripes:
    """An endless source of what the model needs; images depend on their position alone."""

    def __init__(self, model: Model) -> None:
        self.columns = model.needs
        self.shape = (model.channels, model.size, model.size)
        self.source = (
            (model.source_channels, model.source_size, model.source_size) if isinstance(model, Translator) else None
        )

    def batch(self, start: int, size: int) -> Batch:
        image = self.rows(self.shape, start, size)
        return Batch(image, None if self.source is None else self.rows(self.source, start + 10_000, size))

    def rows(self, shape: tuple[int, int, int], start: int, size: int) -> Tensor:
        rows = [torch.rand(shape, generator=torch.Generator().manual_seed(start + i)) for i in range(size)]
        return torch.stack(rows) * 2 - 1


def run(state: State, steps: int, kernels: dict[str, str] | None = None) -> list[dict[str, float]]:
    made = train(state.model, Stripes(state.model), steps=steps, batch_size=4, seed=7, kernels=kernels, resume=state)
    return [{name: value.item() for name, value in progress.report.items()} for progress in made]


def same(a: State, b: State) -> bool:
    one, two = a.tensors(), b.tensors()
    pairs = [(value, two[group][name]) for group, values in one.items() for name, value in values.items()]
    scalars = [json.loads(json.dumps(state.scalars())) for state in (a, b)]  # a tuple comes back as a list
    return scalars[0] == scalars[1] and all(torch.equal(x, y) for x, y in pairs)


@pytest.fixture(params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_parameter_belongs_to_one_player(name: str) -> None:
    model = build(name)
    owned = [id(p) for o in model.optimizers().values() for group in o.param_groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())


def test_terms_are_finite_and_named_and_turns_depend_on_the_clock_alone(name: str) -> None:
    def turns(seed: int, step: int) -> list[tuple[str | None, tuple[str, ...]]]:
        model = build(name)
        torch.manual_seed(seed)
        batch = Stripes(model).batch(seed * 100, 4)
        played = list(model.losses(batch, Clock(step, step * 4)))
        for player, terms in played:
            assert player is None or player in model.optimizers()
            assert terms and all(value.ndim == 0 and torch.isfinite(value) for value in terms.values())
        return [(player, tuple(terms)) for player, terms in played]

    for step in (0, 1, 16):
        assert turns(1, step) == turns(2, step)


def test_only_the_player_whose_turn_it_is_moves(name: str) -> None:
    model = build(name)
    optimizers = model.optimizers()
    owners = {id(p): player for player, o in optimizers.items() for g in o.param_groups for p in g["params"]}
    for player, terms in model.losses(Stripes(model).batch(0, 4), Clock(0, 0)):
        if player is None:
            assert not any(p.grad is not None for p in model.parameters())
            continue
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        mine = [p for g in optimizers[player].param_groups for p in g["params"]]
        torch.stack(list(terms.values())).sum().backward(inputs=mine)
        optimizers[player].step()
        optimizers[player].zero_grad()
        moved = {owners[id(p)] for n, p in model.named_parameters() if not torch.equal(before[n], p)}
        assert moved == {player}


@pytest.mark.parametrize("step", [0, 16, LATE])
def test_a_step_stays_on_its_device_and_never_waits_for_it(
    name: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device without data: asking for a value fails, and so does a tensor that was left on the CPU."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # it does not know that device
    model = build(name).to("meta")
    batch = Batch(*(None if column is None else column.to("meta") for column in Stripes(model).batch(0, 4)))
    optimizers = model.optimizers()
    for player, terms in model.losses(batch, Clock(step, 4 * step)):
        if player is not None:
            mine = [p for g in optimizers[player].param_groups for p in g["params"]]
            torch.stack(list(terms.values())).sum().backward(inputs=mine)
            assert any(p.grad is not None for p in mine)


def test_training_is_deterministic_and_resuming_is_bit_exact(name: str) -> None:
    whole, again = State.start(build(name)), State.start(build(name))
    assert run(whole, 7) == run(again, 7)
    assert same(whole, again)
    for cut in (1, 4):
        first = State.start(build(name))
        run(first, cut)
        saved = {group: {n: v.clone() for n, v in values.items()} for group, values in first.tensors().items()}
        scalars = json.loads(json.dumps(first.scalars()))
        torch.manual_seed(99)
        second = State.start(families.find(name)(**first.model.options))
        second.restore(saved, scalars)
        run(second, 7)
        assert same(whole, second)


def test_with_chosen_kernels_a_step_is_the_same_and_resuming_is_bit_exact(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WORTH", 0.0)
    monkeypatch.setattr(choosing, "WORTH", 0.0)
    monkeypatch.setattr(choosing, "_winner", lambda compute: "blas")
    whole, plain = State.start(build(name)), State.start(build(name))
    table = engine.choose_kernels(whole.model, Stripes(whole.model).batch(0, 4))
    assert same(whole, plain)  # the trial step leaves no trace
    layers = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
    if not any(isinstance(module, layers) for module in whole.model.modules()):
        assert not table
        pytest.skip("has no layers to choose kernels for")
    assert table
    assert run(whole, 1, table)[0] == pytest.approx(run(plain, 1)[0], rel=1e-4, abs=1e-6)
    run(whole, 5, table)
    first = State.start(build(name))
    run(first, 2, table)
    second = State.start(families.find(name)(**first.model.options))
    second.restore(first.tensors(), json.loads(json.dumps(first.scalars())))
    run(second, 5, table)
    assert same(whole, second)


def test_phases_are_where_the_work_of_a_step_changes(name: str) -> None:
    """The layers that are called are those of the phase, to its last step, and other ones from the next on."""
    model = build(name)
    optimizers = model.optimizers()

    def layers(step: int) -> set[str]:
        with choosing._Seeing() as seen:
            train_step(model, optimizers, Stripes(model).batch(0, 4), Clock(step, 4 * step))
        return {choosing.name(layer) for layer in seen.layers}

    schedule_breakpoints = model.schedule_breakpoints(4)
    begins = [clock.step for clock in schedule_breakpoints]
    assert begins[0] == 0 and begins == sorted(set(begins))
    assert all(clock.images == 4 * clock.step for clock in schedule_breakpoints)
    for begin, end in zip(begins, [*begins[1:], LATE]):
        found = layers(begin)
        assert layers(end - (1 if end < LATE else 0)) == found
        assert end == LATE or layers(end) != found


def test_kernels_are_chosen_for_the_layers_of_every_phase(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WORTH", 0.0)
    seen: list[int] = []
    plain = engine.train_step
    monkeypatch.setattr(engine, "train_step", lambda *a, **b: (seen.append(a[3].step), plain(*a, **b))[1])
    model = build(name)
    begins = [clock.step for clock in model.schedule_breakpoints(4)]
    engine.choose_kernels(model, Stripes(model).batch(0, 4))
    assert seen == begins
    engine.choose_kernels(model, Stripes(model).batch(0, 4), steps=max(begins[-1], 1))
    assert seen == begins + begins[: -1 if len(begins) > 1 else 1]


def test_options_round_trip_and_samples_survive_saving(name: str, tmp_path: Any) -> None:
    state = State.start(build(name))
    run(state, 3)
    state.average.save(tmp_path / "model")
    config, weights = read_model_folder(tmp_path / "model")
    loaded = families.find(config["family"])(**config["options"])
    fill(loaded, weights)
    assert loaded.options == state.model.options
    assert loaded.family() == name
    assert not {key.split(".")[0] for key in weights} & set(state.model.training_only)
    if isinstance(loaded, Latent):
        lean = loaded.drop_training_only().eval().to(memory_format=torch.channels_last)  # as in training: the same sums
        assert isinstance(lean, Latent) and isinstance(state.average, Latent)
        assert torch.equal(lean.sample(3), state.average.sample(3))
    if isinstance(loaded, Translator):
        lean = loaded.drop_training_only().eval().to(memory_format=torch.channels_last)
        assert isinstance(lean, Translator) and isinstance(state.average, Translator)
        for direction in lean.directions:
            source = given(lean, direction, 3)
            assert torch.equal(lean.translate(source, direction), state.average.translate(source, direction))


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (50, 3)])
def test_other_sizes_and_channels(name: str, size: int, channels: int) -> None:
    model = build(name, size=size, channels=channels)
    report = train_step(model, model.optimizers(), Stripes(model).batch(0, 4), Clock())
    assert all(torch.isfinite(value) for value in report.values())
    if isinstance(model, Latent):
        assert model.eval().sample(2).shape == (2, channels, size, size)


def given(model: Translator, direction: str, count: int, *, height: int = 0, width: int = 0) -> Tensor:
    """Images to translate in a direction: sources, or, back, images."""
    channels, size = (
        (model.source_channels, model.source_size) if direction == "forward" else (model.channels, model.size)
    )
    return (
        torch.rand(count, channels, height or size, width or size, generator=torch.Generator().manual_seed(5)) * 2 - 1
    )


def test_an_image_of_any_shape_is_translated_by_itself(name: str) -> None:
    """Grey to colour and colour to grey; larger than in training, of odd sides; whatever is translated with it."""
    if not issubclass(families.find(name), Translator):
        pytest.skip("does not translate")
    for source_channels, channels in ((1, 3), (3, 1)):
        model = build(name, source_channels=source_channels, channels=channels).eval()
        assert isinstance(model, Translator)
        report = train_step(model, model.optimizers(), Stripes(model).batch(0, 4), Clock())
        assert all(torch.isfinite(value) for value in report.values())
        for direction in model.directions:
            made = model.channels if direction == "forward" else model.source_channels
            scale = model.size // model.source_size
            source = given(model, direction, 3, height=37, width=51)
            with torch.no_grad():
                image = model.translate(source, direction)
                alone = model.translate(source[1:2], direction, seed=1)
            assert image.shape == (3, made, 37 * scale, 51 * scale)
            assert image.abs().max() <= 1
            torch.testing.assert_close(image[1:2], alone, atol=1e-5, rtol=0)


def test_image_i_is_a_function_of_seed_i_alone(name: str) -> None:
    model = build(name).eval()
    if not isinstance(model, Latent):
        pytest.skip("has no latent space")
    z = model.prior([3, 1, 4, 1])
    assert torch.equal(z[1], z[3]) and torch.equal(model.prior([1])[0], z[1]) and not torch.equal(z[0], z[1])
    with torch.no_grad():
        image = model.decode(z)
    assert image.shape == (4, model.channels, model.size, model.size)
    assert image.abs().max() <= 1
    torch.testing.assert_close(image[2:3], model.sample(1, seed=4), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.sample(5, batch_size=2), model.sample(5), atol=1e-5, rtol=0)


def test_encode_gives_latents(name: str) -> None:
    model = build(name).eval()
    if not isinstance(model, Encoder):
        pytest.skip("has no encoder")
    images = Stripes(model).batch(0, 3).image
    with torch.no_grad():
        z = model.encode(images)
        alone = model.encode(images[:1])
    assert z.shape == model.prior([0, 1, 2]).shape
    torch.testing.assert_close(z[:1], alone, atol=1e-5, rtol=1e-5)


def test_a_batch_in_parts_plays_the_same_turns(name: str) -> None:
    model = build(name)
    whole = train_step(build(name), model.optimizers(), Stripes(model).batch(0, 8), Clock())
    micro_batches = train_step(model, model.optimizers(), Stripes(model).batch(0, 8), Clock(), micro_batches=2)
    assert whole.keys() == micro_batches.keys()


def test_never_yields_inside_with(name: str) -> None:
    tree = ast.parse(inspect.getsource(sys.modules[families.find(name).__module__]))
    inside = [y for node in ast.walk(tree) if isinstance(node, ast.With) for y in ast.walk(node)]
    assert not [y for y in inside if isinstance(y, ast.Yield | ast.YieldFrom)]


def test_options_out_of_bounds_are_named(name: str) -> None:
    family = families.find(name)
    for bad in ({"size": 3}, {"size": "64"}, {"channels": 9}, {"lr": float("nan")}, {"latent_dim": True}):
        if set(bad) <= {f.name for f in options_of(family)}:
            flag = "--" + next(iter(bad)).replace("_", "-")
            with pytest.raises(UsageError, match=flag):
                family(**bad)


def test_summary_is_one_line(name: str) -> None:
    assert 20 < len(families.summary(name)) <= 110


# The matrix of families and abilities: whatever it says is done here, through the interface that everyone uses.


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A short run of a family on a folder of images, by its name; trained when it is first asked for."""
    root, made = tmp_path_factory.mktemp("matrix"), dict[str, Path]()
    (root / "images").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)):
        Image.fromarray(pixels).resize((32, 32)).save(root / "images" / f"{i}.png")

    def run(name: str) -> Path:
        if name not in made:
            made[name] = trained(name, data_for(name, root / "images"), root)
        return made[name]

    return run


def data_for(name: str, folder: Path) -> str:
    kind = families.find(name)
    return f"blur -> {folder}" if issubclass(kind, Translator) and kind.degradation is None else str(folder)


def trained(name: str, data: str, out: Path, *, steps: int = 4) -> Path:
    small = {
        key: value
        for key, value in {"size": 16, **TINY}.items()
        if key in {f.name for f in options_of(families.find(name))}
    }
    settings = TrainSettings(
        steps=steps, batch_size=4, checkpoint_every=2, device="cpu", threads=1, kernels="standard", out=str(out)
    )
    return api.train(name, data, settings=settings, options=small)


def weights_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "checkpoints" / "step-00000004").glob("*.safetensors")}


def asked_to_resume(run: Path, model: Model, folder: Path) -> None:
    data = str(files.read_yaml(run / "config.yaml")["data"])
    cut = trained(model.family(), data, folder, steps=2)
    assert weights_of(api.resume(cut, steps=4)) == weights_of(run) != {}


def asked_to_train(run: Path, model: Model, folder: Path) -> None:
    options = {"size": model.size, **TINY}
    first = build(model.family(), **{key: value for key, value in options.items() if key != "latent_dim"}).state_dict()
    now = api.load(run, device="cpu").state_dict()
    assert not all(torch.equal(value, first[name]) for name, value in now.items()), "it has learned something"


def asked_to_sample(run: Path, model: Model, folder: Path) -> None:
    assert api.sample(model, 3).shape == (3, model.channels, model.size, model.size)


def asked_to_interpolate(run: Path, model: Model, folder: Path) -> None:
    row = api.interpolate(model, rows=1, columns=3)[0]
    assert row.shape == (3, model.channels, model.size, model.size)
    torch.testing.assert_close(row[[0, 2]], api.sample(model, 2), atol=1e-5, rtol=0)


def asked_for_arithmetic(run: Path, model: Model, folder: Path) -> None:
    found = api.arithmetic(model, [(1.0, [0, 1]), (-1.0, [2]), (1.0, [3])])
    assert min(found.figure().size) > model.size


def asked_to_encode(run: Path, model: Model, folder: Path) -> None:
    z = api.encode(model, Stripes(model).batch(0, 2).image)
    assert z.shape[0] == 2 and torch.isfinite(z).all()


def asked_to_translate(run: Path, model: Model, folder: Path) -> None:
    source = torch.rand(1, 3, 20, 28) * 2 - 1
    made = api.translate(model, source)
    assert made.shape[2] / made.shape[3] == 20 / 28 and made.abs().max() <= 1


def asked_to_evaluate(run: Path, model: Model, folder: Path) -> None:
    data = str(files.read_yaml(run / "config.yaml")["data"])
    found = api.evaluate(model, data, images=40)
    assert found.rows and all(np.isfinite(row.score.value) for row in found.rows if row.name != "log Z by AIS (nats)")


def asked_to_load(run: Path, model: Model, folder: Path) -> None:
    model.save(folder / "again")
    again = api.load(folder / "again", device="cpu").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


ASKED: dict[str, Callable[[Path, Model, Path], None]] = {
    "train": asked_to_train,
    "exact resume": asked_to_resume,
    "sample": asked_to_sample,
    "interpolate": asked_to_interpolate,
    "arithmetic": asked_for_arithmetic,
    "encode": asked_to_encode,
    "translate": asked_to_translate,
    "evaluate": asked_to_evaluate,
    "save and load": asked_to_load,
}


@pytest.mark.parametrize("ability", capabilities.ABILITIES)
def test_every_cell_of_the_matrix_is_so(
    name: str, ability: str, runs: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filled cell works; what an empty one denies is refused, by a message that names who can."""
    feature_network = Extractor("eyes", "", lambda x: F.adaptive_avg_pool2d(x, 2), lambda x: x[:, 0].flatten(1))
    monkeypatch.setattr(extractors, "find_extractor", lambda *words, **named: feature_network)
    monkeypatch.setattr(extractors, "vgg16", lambda **named: VGG().eval().requires_grad_(False))
    monkeypatch.setattr(partition, "TEMPERATURES", 50)
    run = runs(name)
    model = api.load(run, device="cpu")
    if capabilities.matrix()[name][ability]:
        ASKED[ability](run, model, tmp_path)
    else:
        with pytest.raises(UsageError, match=rf"{name} (has no|cannot|translates no).*these families"):
            ASKED[ability](run, model, tmp_path)


def test_the_matrix_is_shown_and_the_readme_says_the_same() -> None:
    code, said, _ = typed("families", "--matrix")
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in said.splitlines()]
    known = capabilities.matrix()
    assert code == 0 and shown[0] == ["family", *capabilities.ABILITIES] and len(shown) == 2 + len(FAMILIES)
    assert {
        row[0]: dict(zip(capabilities.ABILITIES, (cell == "yes" for cell in row[1:]))) for row in shown[2:]
    } == known
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \| ?([^|]*) ?\|$", readme, re.MULTILINE)
    told = {family: (latent, encodes.strip()) for family, latent, encodes in rows if family in known}
    assert told.keys() == known.keys()
    for family, (latent, encodes) in told.items():
        can = known[family]
        assert latent.startswith("yes") == can["sample"] == can["interpolate"] == can["arithmetic"], family
        assert (latent == "`zeuxis translate`") == can["translate"] and (encodes == "yes") == can["encode"], family


def test_a_family_outside_the_package_is_found_by_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_file(tmp_path / "mine.py", b"from zeuxis.families.gan import GAN\nclass Mine(GAN): pass\nword = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert families.find("mine:Mine").family() == "mine:Mine"
    for wrong in ("mine:word", "mine:Other", "absent:Model", "dcgann"):
        with pytest.raises(UsageError):
            families.find(wrong)


def _linear(steps: int, micro_batches: int) -> Tensor:
    """A toy game without batch statistics: one player, a squared distance."""

    class Line(Model):
        def build(self) -> None:
            self.layer = torch.nn.Linear(self.size**2, 1)

        def optimizers(self) -> dict[str, torch.optim.Optimizer]:
            return {"line": torch.optim.SGD(self.parameters(), 0.1)}

        def losses(self, batch: Batch, clock: Clock) -> Iterator[Any]:
            yield "line", {"square": (self.layer(batch.image.flatten(1)) - 1).square().mean()}

    torch.manual_seed(0)
    model = Line(size=8, channels=1)
    for _ in train(model, Stripes(model), steps=steps, batch_size=8, seed=0, micro_batches=micro_batches):
        pass
    return model.layer.weight.detach()


def test_parts_give_the_gradient_of_the_whole_batch() -> None:
    torch.testing.assert_close(_linear(5, 1), _linear(5, 4), atol=1e-6, rtol=1e-6)
