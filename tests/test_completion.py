"""Scripts of completion: valid in their shells, and in bash asked as the shell asks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from commandline import refused, typed
from zeuxis import cli, families

SHELLS = ["bash", "zsh", "fish"]
ASK = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _zeuxis; printf "%s\\n" "${COMPREPLY[@]}"'


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        code, out, err = typed("completion", shell)
        assert (code, err) == (0, "")
        (folder / shell).write_text(out)
    return {shell: folder / shell for shell in SHELLS}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_that_the_shell_reads(shell: str, scripts: dict[str, Path]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    done = subprocess.run([shell, "-n", str(scripts[shell])], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_it_has_each_command_family_and_flag(shell: str, scripts: dict[str, Path]) -> None:
    text = scripts[shell].read_text()
    for word in (*cli.ORDER, *families.names(), "gp-weight", "latent-dim", "hflip", "reencode"):
        assert word in text, f"{shell} is not told of {word}"


def asked(script: Path, *words: str, here: Path | None = None) -> set[str]:
    """What bash offers for the last word."""
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", ASK, str(script), "zeuxis", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=here,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_families_flags_and_values(scripts: dict[str, Path], tmp_path: Path) -> None:
    bash = scripts["bash"]
    assert asked(bash, "") == {*cli.ORDER}
    assert asked(bash, "in") == {"interpolate", "invert"}
    assert asked(bash, "train", "wgan") == {"wgan", "wgan_gp"}
    assert asked(bash, "train", "") >= {*families.names()}
    assert asked(bash, "train", "wgan_gp", "--gp") == {"--gp-weight"}
    assert asked(bash, "train", "dcgan", "--gp") == set()
    assert asked(bash, "train", "dcgan", "avatars", "--steps", "20k", "--hf") == {"--hflip"}
    assert asked(bash, "train", "dcgan", "--loss", "") == {"non-saturating", "least-squares", "hinge"}
    assert asked(bash, "train", "vae", "digits", "--logger", "") == {"mlflow", "tensorboard", "wandb"}
    assert asked(bash, "interpolate", "1", "--pa") == {"--path"}
    assert asked(bash, "interpolate", "1", "--path", "s") == {"slerp"}
    (tmp_path / "me.png").write_bytes(b"")
    (tmp_path / "model").mkdir()
    assert asked(bash, "sample", "mo", here=tmp_path) == {"model"}
    assert asked(bash, "train", "dcgan", "m", here=tmp_path) == {"me.png", "model"}


FISH = [
    ("train dcgan --hf", "--hflip"),
    ("train wgan_g", "wgan_gp"),
    ("train dcgan x --augment trans", "translation"),
    ("interpolate 1 --path s", "slerp"),
    ("samp", "sample"),
]


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes_commands_families_flags_and_values(scripts: dict[str, Path]) -> None:
    asked = "; ".join(f'complete -C "zeuxis {typed}"; echo --' for typed, _ in FISH)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {scripts['fish']}; {asked}"], capture_output=True, text=True, check=True
    )
    for (words, wanted), found in zip(FISH, done.stdout.split("--\n"), strict=False):
        assert wanted in {line.split("\t")[0] for line in found.splitlines()}, words


# An interactive zsh in a terminal of its own: what is typed, TAB, and then what the line becomes.
ZSH = """
zmodload zsh/zpty
zpty -b z "PS1= zsh -f -i"
zpty -w z "fpath=($1 \\$fpath); autoload -Uz compinit; compinit -u -D; $2; echo rea''dy"
zpty -r -m z line "*ready*"
while read -r typed wanted; do
  zpty -w -n z "zeuxis ${typed//_/ }"$'\t'
  zpty -r -m z line "*$wanted*" && echo "$wanted"
  zpty -w -n z $'\x15'
done
zpty -d z
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
@pytest.mark.parametrize("way", ["autoloaded", "sourced"])
def test_zsh_completes_commands_families_flags_and_values(way: str, scripts: dict[str, Path], tmp_path: Path) -> None:
    functions, then = tmp_path, f"source {scripts['zsh']}"
    if way == "autoloaded":
        shutil.copy(scripts["zsh"], tmp_path / "_zeuxis")
        then = "true"
    wanted = {
        "samp": "sample",
        "train_dcg": "dcgan",
        "train_dcgan_x_--hf": "--hflip",
        "interpolate_1_--path_sl": "slerp",
    }
    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH, "zsh", str(functions), then],
        input="".join(f"{words} {completed}\n" for words, completed in wanted.items()),
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TERM": "xterm"},
    )
    assert done.stdout.split() == [*wanted.values()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_folder_called_as_a_command_is_none(scripts: dict[str, Path]) -> None:
    assert asked(scripts["bash"], "train", "dcgan", "data", "--hf") == {"--hflip"}
    assert asked(scripts["bash"], "sample", "vae", "--colu") == {"--columns"}


def test_another_shell_is_refused_with_those_there_are() -> None:
    assert '"bash", "zsh", "fish"' in refused("completion", "csh")
