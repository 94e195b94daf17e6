"""Models on the Hugging Face hub, against a stand-in of its HTTP: published, loaded, refused, and read without the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch
import yaml
from huggingface_hub import _tree_cache, constants
from PIL import Image

import zeuxis
from commandline import in_a_process, refused, typed
from hub_server import TOKEN, Hub, serving
from zeuxis import api, loading
from zeuxis.errors import UsageError
from zeuxis.families.dcgan import DCGAN
from zeuxis.hub import HubModel
from zeuxis.judging.report import Evaluation, ScoreRow
from zeuxis.loading import hub_models
from zeuxis.scores import Score
from zeuxis.training.published_card import head_of, without_head

SMALL = {"size": 16, "channels": 3, "base_channels": 4, "latent_dim": 8}
SCORES = Evaluation(
    {"model": "dcgan", "data": "avatars", "against": "20 images of avatars-test", "samples": 20},
    [ScoreRow("FID[lite0]", Score(91.25, 90.0, 92.5), 4.3, "lower"), ScoreRow("recall[lite0]", Score(0.6, 0.5, 0.7))],
)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, with ann logged in and an empty cache."""
    with serving() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", found.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        _forget()
        yield found
        _forget()


def _forget() -> None:
    """As in a new process: nothing is known of what was asked for before."""
    hub_models.downloaded.cache_clear()
    _tree_cache._IN_MEMORY_TREE_CACHE.clear()


def saved(folder: Path, *, seed: int = 0, scored: bool = True, data: str | None = "avatars:20") -> DCGAN:
    """A small model in a folder, with a card and scores, as one of a named set."""
    torch.manual_seed(seed)
    model = DCGAN(**SMALL)  # type: ignore[arg-type]
    model.save(folder)
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | ({"data": data} if data else {})))
    (folder / "README.md").write_text('# dcgan on avatars\n\nText.\n\n    model = zeuxis.load("path/to/this/folder")\n')
    if scored:
        (folder / "evaluation.json").write_text(SCORES.to_json())
    model.drop_training_only()
    return model.eval()


def files_of(hub: Hub, name: str, branch: str = "main") -> dict[str, bytes]:
    found = hub.repositories[name]
    return found.commits[found.branches[branch]]


def test_a_published_model_is_loaded_by_its_name_with_the_same_pictures(hub: Hub, tmp_path: Path) -> None:
    model = saved(tmp_path / "faces")
    code, out, err = typed("publish", "faces", "ann/small-faces", "--license", "apache-2.0")
    assert (code, err) == (0, "")
    commit = hub.repositories["ann/small-faces"].branches["main"]
    assert out == f"published {hub.url}/ann/small-faces/commit/{commit}\nload it as hf://ann/small-faces\n"
    assert hub.repositories["ann/small-faces"].messages == ["dcgan, published by Zeuxis"]
    assert hub.repositories["ann/small-faces"].private is False
    assert set(files_of(hub, "ann/small-faces")) == {
        "README.md",
        "config.json",
        "evaluation.json",
        "model.safetensors",
        "samples.png",
    }
    assert torch.equal(zeuxis.load("hf://ann/small-faces", device="cpu").sample(3), model.sample(3))
    code, out, err = typed("sample", "hf://ann/small-faces", "-n", "4", "--out", "four.png")
    assert (code, out) == (0, "wrote four.png\n")
    assert api.sample(model, 4).shape == (4, 3, 16, 16) and Image.open("four.png").width > 4 * 16


def test_the_card_has_the_head_and_the_pictures_that_the_hub_expects(hub: Hub, tmp_path: Path) -> None:
    saved(tmp_path / "faces")
    api.publish("faces", "ann/small-faces", license="cc-by-4.0")
    card = files_of(hub, "ann/small-faces")["README.md"].decode()
    head = yaml.safe_load(card.split("---\n")[1])
    (listed,) = head.pop("model-index")
    assert head == {
        "library_name": "zeuxis",
        "license": "cc-by-4.0",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["zeuxis", "dcgan", "generative-model", "unconditional-image-generation"],
        "datasets": ["avatars"],
        "thumbnail": f"{hub.url}/ann/small-faces/resolve/main/samples.png",
        "metrics": ["fid", "recall"],
    }
    assert listed["name"] == "small-faces" and listed["results"][0]["dataset"] == {"name": "avatars", "type": "avatars"}
    assert listed["results"][0]["metrics"][0] == {"type": "fid", "name": "FID[lite0]", "value": 91.25}
    assert huggingface_hub.ModelCard(card).data.eval_results[0].metric_value == 91.25, "as the library reads it"
    text = without_head(card)
    assert text.startswith("# dcgan on avatars\n\n![Samples](samples.png)\n\nText.\n")
    assert 'zeuxis.load("hf://ann/small-faces")' in text and "path/to" not in text
    assert "| FID\\[lite0\\] | 91.2 | 90.0 to 92.5 | 4.30 |" in text
    assert head_of(card) == yaml.safe_load(card.split("---\n")[1])


def test_a_card_is_renewed_not_doubled(hub: Hub, tmp_path: Path) -> None:
    saved(tmp_path / "faces")
    once = api.publish("faces", "ann/a", license="mit", out="once")
    twice = api.publish(once, "ann/a", out="twice")
    assert Path(twice, "README.md").read_text() == Path(once, "README.md").read_text()
    assert {path.name for path in Path(twice).iterdir()} == {path.name for path in Path(once).iterdir()}
    assert hub.asked == [], "with --out nothing is published"
    assert "not empty" in refused("publish", "faces", "ann/a", "--out", "once")


def test_float16_halves_the_weights_and_the_pictures_stay(hub: Hub, tmp_path: Path) -> None:
    model = saved(tmp_path / "faces")
    api.publish("faces", "ann/half", precision="fp16")
    stored = safetensors.torch.load(files_of(hub, "ann/half")["model.safetensors"])
    assert {value.dtype for value in stored.values() if value.ndim > 1} == {torch.float16}
    assert zeuxis.load("hf://ann/half", device="cpu").state_dict().keys() == model.state_dict().keys()


def test_a_private_repository_and_a_branch(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = saved(tmp_path / "faces"), saved(tmp_path / "other", seed=1)
    api.publish("faces", "ann/mine", private=True)
    code, out, _ = typed("publish", "other", "ann/mine", "--revision", "second")
    assert code == 0 and out.endswith("load it as hf://ann/mine@second\n")
    assert hub.repositories["ann/mine"].private and len(hub.repositories["ann/mine"].commits) == 2
    assert torch.equal(zeuxis.load("hf://ann/mine", device="cpu").sample(1), model.sample(1))
    assert torch.equal(zeuxis.load("hf://ann/mine@second", device="cpu").sample(1), other.sample(1))
    commit = hub.repositories["ann/mine"].branches["second"]
    assert torch.equal(zeuxis.load(f"hf://ann/mine@{commit}", device="cpu").sample(1), other.sample(1))
    _forget()
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache-of-another"))
    assert "there is no hf://ann/mine, or it is private" in refused("sample", "hf://ann/mine")


def test_only_the_files_of_a_model_are_downloaded_and_only_once(hub: Hub, tmp_path: Path) -> None:
    saved(tmp_path / "faces")
    api.publish("faces", "ann/faces")
    hub.repositories["ann/faces"].commit(
        {"run.py": b"raise SystemExit", "pytorch_model.bin": b"\x80\x02", "big.zip": b"0"}
    )
    found = loading.find_model("hf://ann/faces")
    assert found.name == "faces" and {path.name for path in found.iterdir()} <= {*hub_models.FILES}
    assert not any(path.is_symlink() for path in found.iterdir())
    sent = hub.downloads()
    assert sorted(sent) == sorted({*sent}) and not {"run.py", "pytorch_model.bin", "big.zip"} & {*sent}
    _forget()
    assert loading.find_model("hf://ann/faces") == found
    assert hub.downloads() == sent, "the cache has them"


def test_without_the_network_the_cache_serves(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = saved(tmp_path / "faces")
    api.publish("faces", "ann/faces")
    zeuxis.load("hf://ann/faces", device="cpu")
    _forget()
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert torch.equal(zeuxis.load("hf://ann/faces", device="cpu").sample(2), model.sample(2))
    assert "cannot be reached, and the cache does not have hf://ann/other" in refused("sample", "hf://ann/other")
    assert len(hub.asked) == asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    _forget()
    nowhere = "http://127.0.0.1:9"  # nobody listens there
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere + "/{repo_id}/resolve/{revision}/{filename}")
    assert torch.equal(zeuxis.load("hf://ann/faces", device="cpu").sample(2), model.sample(2))
    assert "the hub cannot be reached" in refused("sample", "hf://ann/other")
    assert "the hub cannot be reached" in refused("publish", "faces", "ann/faces")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hf://ann/nothing", "there is no hf://ann/nothing, or it is private"),
        ("hf://ann/faces@v9", "hf://ann/faces has no revision v9"),
        ("hf://bob/gated", "hf://bob/gated is gated; ask for access"),
        ("hf://bob/text", "hf://bob/text is no model of Zeuxis: its repository has no config.json"),
        ("hf://bob/bert", """config.json of hf://bob/bert has "family": None"""),
        ("hf://bob/pickled", "hf://bob/pickled has no model.safetensors"),
        ("hf://faces", "'faces' is no model's name on the hub; expected USER/NAME"),
        ("hf://datasets/ann/faces", "expected USER/NAME"),
        ("hf://ann/../faces", "expected USER/NAME"),
        ("hf://ann/faces@", "'' is no revision"),
        ("hf://ann/faces@../../x", "is no revision"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_a_line(hub: Hub, tmp_path: Path, name: str, told: str) -> None:
    saved(tmp_path / "faces")
    api.publish("faces", "ann/faces")
    config = (tmp_path / "faces" / "config.json").read_bytes()
    hub.add("bob/gated", {"config.json": config}, gated=True)
    hub.add("bob/text", {"README.md": b"# Nothing"})
    hub.add("bob/bert", {"config.json": b'{"architectures": ["Bert"]}', "model.safetensors": b"0" * 1000})
    hub.add("bob/pickled", {"config.json": config, "pytorch_model.bin": b"\x80\x02"})
    before = len(hub.downloads())
    said = refused("sample", name)
    assert told in said and TOKEN not in said
    assert "model.safetensors" not in hub.downloads()[before:]


def test_a_file_of_the_hub_is_read_as_suspiciously_as_any(hub: Hub, tmp_path: Path) -> None:
    saved(tmp_path / "faces")
    config = json.loads((tmp_path / "faces" / "config.json").read_text())
    weights = (tmp_path / "faces" / "model.safetensors").read_bytes()
    foreign = json.dumps(config | {"family": "os:system"}).encode()
    hub.add("bob/code", {"config.json": foreign, "model.safetensors": weights})
    hub.add("bob/cut", {"config.json": json.dumps(config).encode(), "model.safetensors": weights[:-9]})
    told = json.dumps(config | {"data": "/etc"}).encode()
    hub.add("bob/nosy", {"config.json": told, "model.safetensors": weights})
    assert "it needs code from outside Zeuxis, os:system" in refused("sample", "hf://bob/code")
    assert "it may be cut short" in refused("sample", "hf://bob/cut")
    assert loading.data_of("hf://bob/nosy") is None, "a file never says which folder of the disk is read"
    assert str(loading.data_of(str(tmp_path / "faces"))) == "avatars:20"


@pytest.mark.parametrize(
    ("status", "told"),
    [(500, "the hub answered 500"), (403, "does not let you read hf://ann/x (403)"), (429, "the hub answered 429")],
)
def test_an_answer_that_is_a_failure_is_a_line(
    hub: Hub, status: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.failure = status
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library tries again, later and later
    assert told in refused("sample", "hf://ann/x") or "cannot be reached" in refused("sample", "hf://ann/x")


def test_who_may_not_publish_is_told_and_nothing_changes(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "faces")
    hub.add("bob/faces", {"README.md": b"bob's"})
    said = refused("publish", "faces", "bob/faces")
    assert "does not let you write hf://bob/faces (403); log in by: hf auth login" in said
    assert files_of(hub, "bob/faces") == {"README.md": b"bob's"}
    said = refused("publish", "faces", "ann/a", "--license", "mine")
    assert "hf://ann/a could not be published: Invalid metadata in README.md" in said
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    said = refused("publish", "faces", "ann/b")
    assert "does not let you write hf://ann/b (401)" in said and "hf_wrong" not in said
    assert "ann/b" not in hub.repositories
    assert "expected USER/NAME" in refused("publish", "faces", "faces")


def test_pictures_of_somebodys_own_data_stay_at_home(hub: Hub, tmp_path: Path) -> None:
    """The translations of a translator show its sources; and no path of this machine is published."""
    folder = tmp_path / "pix"
    from zeuxis.families.pix2pix import Pix2Pix

    Pix2Pix(size=16, channels=3, source_channels=1, base_channels=4).save(folder)
    (folder / "README.md").write_text("# pix2pix on drawings -> photos\n")
    api.publish("pix", "ann/pix")
    files = files_of(hub, "ann/pix")
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    assert str(tmp_path) not in "".join(files[name].decode() for name in ("README.md", "config.json"))
    assert head_of(files["README.md"].decode())["pipeline_tag"] == "image-to-image"
    assert "does not say what it was trained on" in refused("translate", "hf://ann/pix")


def test_the_library_is_imported_only_when_it_is_asked_for(tmp_path: Path) -> None:
    saved(tmp_path / "faces")
    code = "import sys, zeuxis; zeuxis.load(sys.argv[1]).sample(1); print('huggingface_hub' in sys.modules)"
    assert in_a_process("-c", code, str(tmp_path / "faces")).stdout.split()[-1:] == [b"False"]


def test_without_the_library_a_line_names_the_extra(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "faces")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for line in (("sample", "hf://ann/faces"), ("publish", "faces", "ann/faces")):
        assert "pip install 'zeuxis[hub]'" in refused(*line)


def test_an_installed_zeuxis_takes_address_and_token_from_the_environment(hub: Hub, tmp_path: Path) -> None:
    """A process of its own, which knows the stand-in by HF_ENDPOINT alone."""
    saved(tmp_path / "faces")
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    env = {**os.environ, **own, "PYTHONPATH": str(Path(zeuxis.__file__).parents[1])}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "zeuxis", *words]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)

    done = run("publish", "faces", "ann/faces")
    assert done.returncode == 0 and done.stdout.startswith("published "), done.stderr
    done = run("sample", "hf://ann/faces", "--out", "a.png")
    assert done.returncode == 0 and (tmp_path / "a.png").exists(), done.stderr
    assert TOKEN not in done.stdout + done.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert kept == [], "the token is stored nowhere"


def test_names_on_the_hub_are_told_apart() -> None:
    assert HubModel.parse("hf://ann/faces") == HubModel("ann/faces")
    assert str(HubModel.parse("hf://ann/faces@refs/pr/1")) == "hf://ann/faces@refs/pr/1"
    for wrong in ("hf://ann", "hf:///x", "hf://a b/c", "hf://ann/faces/more", "hf://ann/x--y", "hf://ann/x.git"):
        with pytest.raises(UsageError, match="USER/NAME"):
            HubModel.parse(wrong)
