"""What is typed: counts, seeds, flags and configs arrive as meant; what is wrong is named in one line, exit code 2."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commandline import refused, typed
from release import RELEASE
from zeuxis import families
from zeuxis.cli import flags
from zeuxis.errors import UsageError
from zeuxis.options import checked, checked_options, flag_of, option, options_of
from zeuxis.training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("elsewhere")
SCALE = 10 if RELEASE else 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("500", 500), ("20k", 20_000), ("1.5M", 1_500_000), ("0.5k", 500), ("1e3", 1000), ("20_000", 20_000), ("-3", -3)],
)
def test_count(text: str, value: int) -> None:
    assert flags.count(text) == value


@pytest.mark.parametrize("text", ["", "k", "1.5", "20kk", "1e999", "nan", "inf", "0x10", "1 000", "٣", "1" * 50])
def test_no_count(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        flags.count(text)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_seeds_keep_their_order(numbers: list[int]) -> None:
    assert flags.seeds(",".join(map(str, numbers))) == numbers


def test_seeds() -> None:
    assert flags.seeds("0-3,88, 2-2") == [0, 1, 2, 3, 88, 2]
    for wrong in ("", ",", "3-1", "-1", "1-", "a", "0-99999999999", "1--2", f"{2**63}", "1" * 400):
        with pytest.raises(ValueError, match=r"expected|ask for fewer"):
            flags.seeds(wrong)


def test_train_gets_what_was_typed(training: list[dict[str, Any]]) -> None:
    code, out, err = typed(
        "train", "dcgan", "faces/", "--steps", "20k", "--base-channels=16", "--preset", "paper", "--lr", "1e-3"
    )
    assert (code, out, err) == (0, "run runs/00000-x\n", "")
    (asked,) = training
    assert asked["family"] == "dcgan" and asked["data"] == "faces/"
    assert asked["settings"] == TrainSettings(steps=20_000, preset="paper")
    assert asked["options"] == {"base_channels": 16, "lr": 0.001}


def test_flags_may_stand_before_the_family(training: list[dict[str, Any]]) -> None:
    words = ["--steps", "7", "--hflip", "--name", "gan", "--no-logger", "dcgan", "faces", "--minutes", "1.5"]
    assert typed("train", *words)[0] == 0
    assert training[0]["family"] == "dcgan"
    assert training[0]["settings"] == TrainSettings(steps=7, hflip=True, name="gan", minutes=1.5)


def test_flags_override_the_config(training: list[dict[str, Any]], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        textwrap.dedent("""\
            family: dcgan
            data: avatars:100
            options: {size: 32, base_channels: 16, lr: 5e-4, spectral-norm: true, loss: hinge}
            settings: {steps: 20k, batch-size: 8, minutes: null, hflip: false}
            versions: {zeuxis: 0.1.0}
            """)
    )
    assert typed("train", "--config", str(config), "--base-channels", "8", "--no-spectral-norm")[0] == 0
    assert typed("train", "dcgan", "other", f"--config={config}", "--steps=5")[0] == 0
    first, second = training
    assert first["family"] == "dcgan" and first["data"] == "avatars:100" and second["data"] == "other"
    assert first["options"] == {"size": 32, "base_channels": 8, "lr": 5e-4, "spectral_norm": False, "loss": "hinge"}
    assert first["settings"] == TrainSettings(steps=20_000, batch_size=8)
    assert second["settings"].steps == 5 and second["options"]["base_channels"] == 16


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("family: dcgan\ndata: x\nbase_chanels: 3", "did you mean base_channels"),
        ("family: dcgan\ndata: x\nbase_channels: [3]", "base_channels"),
        ("family: dcgan\ndata: x\nbase_channels: 3.5", "--base-channels"),
        ("family: dcgan\ndata: x\nloss: none", "--loss"),
        ("family: dcgan\ndata: x\noptions: 3", "options"),
        ("- 1\n- 2", "--config"),
        ("a: [", "not valid YAML"),
        ("a: &a [x]\nb: *a", "alias"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        ("family: [dcgan]\ndata: x", "family"),
    ],
)
def test_wrong_config(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(content)
    assert told in refused("train", "--config", str(tmp_path / "c.yaml"))


def test_missing_config() -> None:
    assert "nowhere.yaml" in refused("train", "dcgan", "x", "--config", "nowhere.yaml")
    assert "--config" in refused("train", "dcgan", "x", "--config")


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        (["trian"], 'Did you mean "train"'),
        (["train"], "family"),
        (["train", "dcgn", "x"], "did you mean dcgan"),
        (["train", "dcgan"], "DATA is missing"),
        (["train", "dcgan", "x", "--base-chanels", "3"], "Did you mean --base-channels"),
        (["train", "dcgan", "x", "--steps"], "--steps requires an argument"),
        (["train", "dcgan", "x", "--loss", "no"], '"non-saturating", "least-squares", "hinge"'),
        (["train", "dcgan", "a", "b"], "unexpected argument 'b'"),
        (["train", "no_such_module:Model", "x"], "no_such_module"),
        (["train", "os:path", "x"], "is not a zeuxis.Model"),
        (["sample"], "MODEL requires an argument"),
        (["sample", "x", "--seeds", "3-1"], "--seeds"),
        (["sample", "x", "-n", "0"], "-n"),
        (["sample", "x", "--out", "a.jpg"], "--out"),
        (["interpolate", "x", "--path", "round"], "--path"),
        (["interpolate", "x", "--out", "a.txt"], "--out"),
        (["arithmetic", "x"], "expected an expression, or seeds"),
        (["arithmetic", "x", "a - b", "--plus", "1"], "one of the two"),
        (["arithmetic", "x", "--plus", "one"], "--plus"),
        (["data", "x", "--size", "1M"], "--size"),
        (["evaluate", "x", "--images", "0"], "--images"),
        (["evaluate", "x", "y", "z"], "unexpected argument 'z'"),
        (["resume", "x", "--steps", "0"], "--steps"),
    ],
)
def test_wrong_words(tokens: list[str], told: str) -> None:
    assert told in refused(*tokens)


@pytest.mark.parametrize(
    ("words", "flag", "value", "told"),
    [
        ("sample x", "--columns", "0", "1 to 1000"),
        ("interpolate x", "--rows", "101", "1 to 100"),
        ("edit x a +b", "--strength", "100.5", "-100 to 100"),
        ("edit x a +b", "--strength", "nan", "a finite number"),
        ("translate x y", "--size", "16385", "1 to 16384"),
        ("evaluate x", "--images", "19", "20 to 1000000"),
        ("data x", "--size", "7", "8 to 1024"),
        ("resume x", "--minutes", "-0.5", "at least 0"),
        ("resume x", "--minutes", "nan", "a finite number"),
        ("resume x", "--cpu-minutes", "inf", "a finite number"),
        ("train dcgan x", "--lr", "nan", "a finite number"),
    ],
)
def test_a_flag_says_what_it_takes(words: str, flag: str, value: str, told: str) -> None:
    """Also where it is no option of a model, which would be checked once more."""
    message = refused(*words.split(), f"{flag}={value}")
    assert flag in message and f"expected {told}" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_option_without_bounds_is_finite_too(value: float) -> None:
    @dataclass(eq=False)
    class Free:
        some_value: float = option(0.5, "any number")

    assert list(checked_options(Free(-1e300))) == [("some_value", -1e300)]
    with pytest.raises(UsageError, match=f"--some-value is {value}; expected a finite number"):
        list(checked_options(Free(value)))


def _wrong_values(kind: str) -> st.SearchStrategy[str]:
    text = st.text(max_size=60).filter(lambda value: not value.startswith("-"))
    huge = st.sampled_from(["1" * 400, "9e99", str(2**70)])
    if kind == "count":
        return st.one_of(text.filter(_no_count), st.sampled_from(["nan", "inf", "", "1.5", "0x1"]), huge)
    if kind == "number":
        return st.one_of(text.filter(_no_number), st.sampled_from(["nan", "inf", "-inf", "NaN", ""]))
    return text.filter(
        lambda value: value not in {"auto", "cpu", "cuda", "mps", "hinge", "batch", "none", "pad", "crop"}
    )


def _no_count(value: str) -> bool:
    try:
        flags.count(value)
    except ValueError:
        return True
    return False


def _no_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return True
    return False


BOOLEANS = {"", "1", "0", "y", "n", "t", "f", "yes", "no", "true", "false"}
FLAGS = {
    **dict.fromkeys(
        ["--steps", "--batch-size", "--micro-batches", "--base-channels", "--size", "--channels", "--r1-interval"],
        "count",
    ),
    **dict.fromkeys(["--minutes", "--lr", "--beta1", "--r1-gamma", "--ema-half-life"], "number"),
    **dict.fromkeys(["--device", "--loss", "--discriminator-norm", "--resize-mode", "--preset", "--hflip"], "choice"),
}


@settings(max_examples=120 * SCALE)
@given(st.data(), st.sampled_from(sorted(FLAGS)))
def test_any_wrong_value_is_named(data: st.DataObject, name: str) -> None:
    value = data.draw(_wrong_values(FLAGS[name]))
    if name in {"--preset", "--hflip"} and value.lower() in BOOLEANS:
        return
    assert name in refused("train", "dcgan", "x", f"{name}={value}")


PARTS = ["--out", "--seeds", "-n", "--plus", "--config", "=", "--", "-", "0-3"]


def _leads_nowhere(word: str) -> bool:
    """Not "/" or "..": a command given those would read every image of the machine."""
    return "/" not in word and "." not in word


@settings(max_examples=300 * SCALE)
@given(
    st.sampled_from(
        [
            "sample",
            "interpolate",
            "arithmetic",
            "evaluate",
            "data",
            "resume",
            "families",
            "train",
            "train vae",
            "nothing",
            "",
        ]
    ),
    st.lists(st.text(max_size=12).filter(_leads_nowhere) | st.sampled_from(PARTS), max_size=4),
)
def test_no_words_give_a_traceback(command: str, words: list[str]) -> None:
    where = (
        ["/nonexistent/model"]
        if command in {"sample", "interpolate", "arithmetic", "evaluate", "data", "resume"}
        else []
    )
    code, _, err = typed(*command.split(), *where, *(word for word in words if word != "--debug"))
    assert code in {0, 2, 4}, err
    assert "Traceback" not in err and err.count("\n") == (code != 0)


@pytest.mark.parametrize(
    "value", [10**5000, -(10**400), [0] * 1000, "x" * 1000, "a\nb\x1b[2J", {"a": 10**5000}], ids=type
)
def test_a_refusal_is_short_whatever_was_given(value: Any) -> None:
    for name in ("steps", "device", "seed", "minutes", "preset"):
        with pytest.raises(UsageError, match=f"--{name} is ") as caught:
            TrainSettings(**{name: value})
        assert len(str(caught.value)) < 200 and str(caught.value).isprintable()


WRONG: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([[], {}, b"", 1j, float("nan"), float("-inf"), -1, True, "auto "]),
    st.text(max_size=8).filter(lambda text: text not in {"auto", "cpu", "cuda", "mps"}),
    st.integers(max_value=-1),
)


@settings(max_examples=1000 * SCALE)
@given(st.sampled_from(["steps", "batch_size", "seed", "minutes", "device", "ema_half_life", "micro_batches"]), WRONG)
def test_settings_refuse_what_they_cannot_be(name: str, wrong: Any) -> None:
    with pytest.raises(UsageError, match="--" + name.replace("_", "-")):
        TrainSettings(**{name: wrong})


@settings(max_examples=1000 * SCALE)
@given(st.sampled_from(["size", "channels", "latent_dim", "base_channels", "lr", "loss", "r1_interval"]), WRONG)
def test_options_refuse_what_they_cannot_be(name: str, wrong: Any) -> None:
    with pytest.raises(UsageError, match="--" + name.replace("_", "-")):
        families.find("dcgan")(**{name: wrong})


FIELDS = {
    f"{owner.__name__}.{field.name}": (field, get_type_hints(owner)[field.name])
    for owner in (TrainSettings, *map(families.find, families.names()))
    for field in options_of(owner)
}
ANY: st.SearchStrategy[Any] = st.one_of(
    WRONG,
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.binary(max_size=4),
    st.sampled_from([10**400, -(10**400), 10**5000, "1" * 400, "auto", "hinge", "none", [[]], {"x": 1}, object, 1e308]),
)


@settings(max_examples=2300 * SCALE)
@given(st.sampled_from(sorted(FIELDS)), ANY)
def test_any_value_of_any_option_is_taken_as_its_type_or_refused_by_its_name(name: str, value: Any) -> None:
    field, kind = FIELDS[name]
    try:
        taken = checked(field, kind, value)
    except UsageError as error:
        assert str(error).startswith(f"{flag_of(field.name)} is ") and len(str(error)) < 400
        assert str(error).isprintable()
    else:
        low, high = field.metadata["low"], field.metadata["high"]
        assert taken == value and (isinstance(taken, bool) or not isinstance(taken, float) or math.isfinite(taken))
        assert taken is None or ((low is None or taken >= low) and (high is None or taken <= high))
        assert taken is None or any(type(taken) is each or each is taken for each in kinds_of(kind))


def kinds_of(kind: Any) -> list[Any]:
    """The types that a value may have, and for the words of a `Literal` the type of each."""
    parts = get_args(kind)
    return (
        [each for part in parts for each in kinds_of(part)]
        if parts
        else [kind if isinstance(kind, type) else type(kind)]
    )
