"""Every family passes every check of `zeuxis.testing`, and can be asked for all that the matrix of abilities says."""

from __future__ import annotations

import ast
import re
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
from page_client import floats, opened, serving
from waiting import PATIENCE
from zeuxis import api, capabilities, families, registry
from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.likelihood import partition
from zeuxis.metrics import extractors
from zeuxis.metrics.features import Extractor
from zeuxis.metrics.vgg import VGG
from zeuxis.model import Batch, Clock, Latent, Model, Translator, options_of
from zeuxis.nets import kernels as choosing
from zeuxis.testing import family_checks
from zeuxis.testing.abilities import SHAPES
from zeuxis.testing.case import NoiseImages, first_difference
from zeuxis.testing.case import trained as trained_on
from zeuxis.training import engine
from zeuxis.training.engine import State, train
from zeuxis.web.served import open_served

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
FAMILIES = registry.built_in()


def small(family: type[Model]) -> dict[str, Any]:
    """The options that make models of the family small."""
    known = {field.name for field in options_of(family)}
    return {key: value for key, value in TINY.items() if key in known}


def checks_of(family: type[Model]) -> dict[str, Callable[[], None]]:
    """The checks of the family, by name; what stands in for features in them takes no time."""
    return dict(family_checks(family, options={k: v for k, v in small(family).items() if k != "vgg_weight"}))


CHECKS = [
    pytest.param(family, check, id=f"{name}-{check}")
    for name, family in ((name, families.find(name)) for name in FAMILIES)
    for check in checks_of(family)
]


def build(name: str, **changes: Any) -> Model:
    """A small model of the family, the same weights each time."""
    family = families.find(name)
    torch.manual_seed(0)
    return family(**{"size": 16, **small(family), **changes})


@pytest.fixture(params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(("family", "check"), CHECKS)
def test_every_family_passes_every_check(family: type[Model], check: str) -> None:
    checks_of(family)[check]()


def test_the_step_that_chooses_kernels_leaves_no_trace(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WORTH", 0.0)
    monkeypatch.setattr(choosing, "WORTH", 0.0)
    monkeypatch.setattr(choosing, "_winner", lambda compute, agree: "blas")
    monkeypatch.setattr(choosing, "_pays", lambda *_: True)
    chosen, plain = State.start(build(name)), State.start(build(name))
    table = engine.choose_kernels(chosen.model, NoiseImages(chosen.model).batch(0, 4), seconds=PATIENCE)
    assert first_difference(chosen, plain) is None
    layers = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
    assert bool(table) == any(isinstance(module, layers) for module in chosen.model.modules())
    assert trained_on(chosen, 1, table)[0] == pytest.approx(trained_on(plain, 1)[0], rel=1e-4, abs=1e-6)


def test_kernels_are_chosen_for_the_layers_of_every_phase(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WORTH", 0.0)
    seen: list[int] = []
    plain = engine.train_step
    monkeypatch.setattr(engine, "train_step", lambda *a, **b: (seen.append(a[3].step), plain(*a, **b))[1])
    model = build(name)
    begins = [clock.step for clock in model.schedule_breakpoints(4)]
    engine.choose_kernels(model, NoiseImages(model).batch(0, 4))
    assert seen == begins
    engine.choose_kernels(model, NoiseImages(model).batch(0, 4), steps=max(begins[-1], 1))
    assert seen == begins + begins[: -1 if len(begins) > 1 else 1]


@pytest.mark.parametrize(("size", "channels"), SHAPES)
def test_no_size_is_refused(name: str, size: int, channels: int) -> None:
    """As the checks would leave out one that is."""
    with torch.device("meta"):
        model = build(name, size=size, channels=channels)
    assert (model.size, model.channels) == (size, channels)


@pytest.mark.parametrize("module", [*FAMILIES, "adversarial"])
def test_no_game_yields_inside_with(module: str) -> None:
    """Nor the functions that play a part of it, which are not in the family's class."""
    path = Path(families.__file__).parent / f"{module}.py"
    tree = ast.parse((path if path.is_file() else path.parents[1] / path.name).read_text(encoding="utf-8"))
    inside = [y for node in ast.walk(tree) if isinstance(node, ast.With) for y in ast.walk(node)]
    assert not [y for y in inside if isinstance(y, ast.Yield | ast.YieldFrom)]


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
    options = {"batch_size": 4, "checkpoint_every": 2, "device": "cpu", "threads": 1, "kernels": "standard"}
    return api.train(name, data, steps=steps, out=out, **options, size=16, **small(families.find(name))).path


def weights_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "checkpoints" / "step-00000004").glob("*.safetensors")}


def asked_to_resume(run: Path, model: Model, folder: Path) -> None:
    data = str(files.read_yaml(run / "config.yaml")["data"])
    cut = trained(model.family(), data, folder, steps=2)
    assert weights_of(api.resume(cut, steps=4).path) == weights_of(run) != {}


def asked_to_train(run: Path, model: Model, folder: Path) -> None:
    first = build(model.family(), size=model.size).state_dict()
    now = api.load(run, device="cpu").state_dict()
    assert not all(torch.equal(value, first[name]) for name, value in now.items()), "it has learned something"


def asked_to_sample(run: Path, model: Model, folder: Path) -> None:
    assert api.sample(model, 3).shape == (3, model.channels, model.size, model.size)


def asked_to_interpolate(run: Path, model: Model, folder: Path) -> None:
    row = api.interpolate(model, rows=1, columns=3).tensor[0]
    assert row.shape == (3, model.channels, model.size, model.size)
    torch.testing.assert_close(row[[0, 2]], api.sample(model, 2).tensor, atol=1e-5, rtol=0)


def asked_for_arithmetic(run: Path, model: Model, folder: Path) -> None:
    found = api.arithmetic(model, [(1.0, [0, 1]), (-1.0, [2]), (1.0, [3])])
    assert min(found.pil().size) > model.size


def asked_to_encode(run: Path, model: Model, folder: Path) -> None:
    z = api.encode(model, NoiseImages(model).batch(0, 2).image)
    assert z.shape[0] == 2 and torch.isfinite(z).all()


def asked_to_translate(run: Path, model: Model, folder: Path) -> None:
    source = torch.rand(1, 3, 20, 28) * 2 - 1
    made = api.translate(model, source).tensor
    assert made.shape[2] / made.shape[3] == 20 / 28 and made.abs().max() <= 1


def asked_to_evaluate(run: Path, model: Model, folder: Path) -> None:
    data = str(files.read_yaml(run / "config.yaml")["data"])
    found = api.evaluate(model, data, images=40)
    assert found.rows and all(np.isfinite(row.score.value) for row in found.rows if row.name != "log Z by AIS (nats)")


def asked_to_explore(run: Path, model: Model, folder: Path) -> None:
    served = open_served(run, device="cpu")
    assert served.run is not None and served.run.path == run and served.name == run.name and served.data is not None
    assert {"latent", "translator"} & set(served.info["capabilities"]) and "run" in served.info["capabilities"]
    with serving(served) as link, opened(link) as page:
        answer = page.ask("prior", seeds=[3, 1])
        if isinstance(model, Latent):
            drawn = page.ask("decode", floats(answer.numbers)).pictures
            wanted = api.sample(model, seeds=[3, 1]).numpy()
            assert np.abs(drawn.astype(int) - wanted).max() <= 1
        else:
            assert "has no latent space" in answer.fields["error"]


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
    "explore": asked_to_explore,
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
        with pytest.raises(UsageError, match=rf"{name} (has no|cannot).*these families"):
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
    files.write_file(tmp_path / "torn.py", b"class Torn(\n")
    for wrong in ("mine:word", "mine:Other", "absent:Model", "torn:Torn", "dcgann"):
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
    for _ in train(model, NoiseImages(model), steps=steps, batch_size=8, seed=0, micro_batches=micro_batches):
        pass
    return model.layer.weight.detach()


def test_parts_give_the_gradient_of_the_whole_batch() -> None:
    torch.testing.assert_close(_linear(5, 1), _linear(5, 4), atol=1e-6, rtol=1e-6)
