"""The Hugging Face hub, by the extra `hub`: files of a model downloaded into its cache, and published, only when asked.

Tokens are found and kept by huggingface_hub (`hf auth login`, HF_TOKEN); nothing here reads one.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zeuxis.errors import UsageError
from zeuxis.escaping import printable, quote

SCHEME = "hf://"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[\w][\w./-]{0,199}", re.ASCII)
_LOGIN = "log in by: hf auth login"


@dataclass(frozen=True)
class HubModel:
    """A model on the hub by its name, USER/NAME, and its revision: a branch, a tag or a commit; None: main."""

    name: str
    revision: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or "--" in self.name or ".." in self.name or self.name.endswith(".git"):
            raise UsageError(f"{quote(self.name)} is no model's name on the hub; expected USER/NAME, as in ann/faces")
        if self.revision is not None and (not _REVISION.fullmatch(self.revision) or ".." in self.revision):
            raise UsageError(
                f"{quote(self.revision)} is no revision; expected a branch, a tag or a commit, as in {self.name}@v1"
            )

    @classmethod
    def parse(cls, text: str) -> HubModel:
        """The model that `hf://USER/NAME` or `hf://USER/NAME@REVISION` names; `UsageError` for any other text."""
        name, at, revision = text.removeprefix(SCHEME).partition("@")
        return cls(name, revision if at else None)

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}" + (f"@{self.revision}" if self.revision else "")

    def at(self, revision: str) -> HubModel:
        """The same model at another revision."""
        return replace(self, revision=revision)


def download(model: HubModel, names: Sequence[str]) -> Path:
    """The folder in huggingface_hub's cache with those of the files that the model has; its name is the commit.

    Without the network, or with HF_HUB_OFFLINE=1, what the cache has. `UsageError` where neither has the model.
    """
    hub = _library()
    with _explained(model, "read"):
        found = hub.snapshot_download(
            model.name, revision=model.revision, allow_patterns=list(names), library_name="zeuxis"
        )
    return Path(found)


def upload(model: HubModel, folder: Path, *, private: bool, message: str) -> str:
    """Publish the files of a folder as one commit, in a repository that is made if need be; the address of the commit.

    `private` decides about a new repository alone. `UsageError` where the hub cannot be reached or refuses.
    """
    hub = _library()
    files = sorted(path for path in folder.iterdir() if path.is_file())
    with _explained(model, "write"):
        api = hub.HfApi(library_name="zeuxis")
        api.create_repo(model.name, private=private, exist_ok=True)
        if model.revision is not None:
            api.create_branch(model.name, branch=model.revision, exist_ok=True)
        added = [hub.CommitOperationAdd(path.name, str(path)) for path in files]
        commit = api.create_commit(model.name, added, commit_message=message, revision=model.revision)
    return str(commit.commit_url)


def page_of(name: str) -> str:
    """The address of a model's page."""
    _library()
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{name}"


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError("the hub needs the package huggingface_hub: pip install 'zeuxis[hub]'") from None
    return huggingface_hub


@contextlib.contextmanager
def _explained(model: HubModel, verb: str) -> Iterator[None]:
    """What the library raises, as a `UsageError` of one line; no message of it is shown that could hold a token."""
    try:
        with _quiet():
            yield
    except Exception as error:  # of httpx, of the system, of its own: it names no common base
        cause = error.__cause__ if type(error) is RuntimeError and isinstance(error.__cause__, Exception) else error
        raise UsageError(_reason(cause, model, verb)) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library's warnings are hidden meanwhile, as an error is told in one line; its progress bars only on terminals,
    since it draws them into files and pipes too."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    utils: Any = importlib.import_module("huggingface_hub.utils")
    hidden = not sys.stderr.isatty() and not utils.are_progress_bars_disabled()
    if hidden:
        utils.disable_progress_bars()
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
        if hidden:
            utils.enable_progress_bars()


def _reason(error: Exception, model: HubModel, verb: str) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{model} is gated; ask for access on its page, then {_LOGIN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{SCHEME}{model.name} has no revision {model.revision or 'main'}; name one of its branches, tags or commits"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no {SCHEME}{model.name}, or it is private; check the name, or {_LOGIN}"
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error.response.status_code, error.server_message, model, verb)
    if isinstance(error, errors.LocalEntryNotFoundError):
        return f"the hub cannot be reached, and the cache does not have {model}; check the network"
    if isinstance(error, ConnectionError) or type(error).__module__.startswith("httpx"):
        return f"the hub cannot be reached ({type(error).__name__}); check the network"
    why = getattr(error, "strerror", None) or type(error).__name__
    if isinstance(error, ValueError) and str(error).startswith("Invalid metadata"):  # such as an unknown licence
        why = printable(" ".join(str(error).split()))[:300]
    return f"{model} could not be {'downloaded' if verb == 'read' else 'published'}: {why}; mend that and try again"


def _refusal(status: int, told: str | None, model: HubModel, verb: str) -> str:
    """What the hub's answer means."""
    if status in (401, 403):
        return f"the hub does not let you {verb} {SCHEME}{model.name} ({status}); {_LOGIN}, with a token that may"
    reason = f": {printable(told)[:200]}" if told else ""
    return f"the hub answered {status} to {model}{reason}; try again later"
