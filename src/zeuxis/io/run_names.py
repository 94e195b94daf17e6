"""The run that a person means by a number or a name (no torch)."""

from __future__ import annotations

from pathlib import Path

RUNS = Path("runs")


def runs_called(text: str, runs: Path) -> tuple[list[Path], list[Path]]:
    """The runs of that number or name, and all there are."""
    found = [folder for folder in sorted(runs.glob("*")) if holds_file(folder, "config.yaml")]
    return [folder for folder in found if _answers_to(folder.name, text)], found


def holds_file(folder: Path, name: str) -> bool:
    """Whether a file of that name is there."""
    return path_exists(folder / name) and (folder / name).is_file()


def path_exists(path: Path) -> bool:
    """Whether that path is there; none, however odd or long, is an error here."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _answers_to(name: str, text: str) -> bool:
    number, _, rest = name.partition("-")
    return text in (name, rest) or (text.isascii() and text.isdigit() and number.isdigit() and int(text) == int(number))
