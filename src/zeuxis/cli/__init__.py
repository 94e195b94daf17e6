"""The command line: one command per verb; errors are one line and an exit code. Importing it imports no torch."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator, Sequence

from cyclopts import App, CycloptsError, Group
from cyclopts.exceptions import UnusedCliTokensError

import zeuxis
from zeuxis.cli import (
    completion,
    demo,
    edit,
    explore,
    export,
    forks,
    from_export,
    judge,
    look,
    mix,
    models,
    new_family,
    overview,
    page,
    planning,
    publish,
    sampling,
    sweeps,
    train,
    translate,
)
from zeuxis.cli.output import say_aside
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.io.paths import expanded_word
from zeuxis.runtime import launch, signals, streams

HELP = """\
Train, explore and judge generative image models.

Start with `zeuxis train dcgan avatars`. `zeuxis COMMAND --help` explains a command;
with --debug, errors come with their traceback."""
ORDER = (
    "demo",
    "train",
    "resume",
    "runs",
    "curves",
    "story",
    "branch",
    "verify",
    "sweep",
    "families",
    "new-family",
    "data",
    "models",
    "plan",
    "explore",
    "sample",
    "interpolate",
    "arithmetic",
    "invert",
    "edit",
    "directions",
    "mix",
    "translate",
    "evaluate",
    "compare",
    "export",
    "publish",
    "completion",
    "version",
)
# By torchrun; another command is run by its first process alone.
SHARED_OUT = ("train", "resume", "evaluate", "sample", "data", "arithmetic", "edit", "directions")
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


def main() -> None:
    """The `zeuxis` command: run what was typed, then exit."""
    streams.prepare()
    sys.exit(run(sys.argv[1:]))


def run(tokens: Sequence[str]) -> int:
    """Run a command line, given as words; its exit code. Errors go to stderr, one line each."""
    debug = "--debug" in tokens
    try:
        with signals.signals():
            words = [expanded_word(token) for token in tokens if token != "--debug"]
            _check_words(words)
            _run(words)
            sys.stdout.flush()
    except BrokenPipeError:
        streams.abandon(sys.stdout)  # whoever read our output has gone
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            say_aside(*_traced(error))
        return _explain(error)
    return 0


def _run(words: Sequence[str]) -> None:
    if from_export.drawn_from_export(words):
        return
    command = build(words)
    if launch.world_size() == 1 or words[:1] in [[name] for name in SHARED_OUT]:
        command(words, exit_on_error=False, print_error=False)
    elif launch.rank() == 0:
        with launch.alone():
            command(words, exit_on_error=False, print_error=False)


def build(tokens: Sequence[str]) -> App:
    """The commands; those that train or draw have flags of the family or the model that the tokens name."""
    app = App(
        name="zeuxis",
        help=HELP,
        version=zeuxis.__version__,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        group_parameters=Group("Options", sort_key=1),
    )
    for with_flags in (train, forks, sweeps, explore, edit, judge):
        with_flags.register(app, tokens)
    for command in (mix.mix_command, translate.translate_command):
        app.command(sampling.accepting(command, tokens))
    for plain in (demo, export, publish, page, models, planning, look, overview, new_family):
        plain.register(app)
    completion.register(app, build)
    for place, name in enumerate(ORDER):
        app[name].sort_key = place
    return app


def _check_words(words: Sequence[str]) -> None:
    """Raise `UsageError` where a path is empty, as a shell's variable may be: it would mean the current folder."""
    for before, word in zip(["", *words], words):
        if word == "--out=" or (word == "" and (before == "--out" or not before.startswith("-"))):
            raise UsageError(f"an argument after {before or 'zeuxis'} is empty; give a path, or leave it out")


def _traced(error: Exception) -> Iterator[str]:
    """The lines of a traceback; a message, which may hold names from outside, is one."""
    for part in traceback.format_exception(error):
        code = part.startswith((" ", "Traceback ", "\nDuring ", "\nThe above "))
        yield from part.rstrip("\n").split("\n") if code else [part.rstrip("\n")]


def _explain(error: Exception) -> int:
    if isinstance(error, ZeuxisError):
        message, code = str(error), error.exit_code
    elif isinstance(error, CycloptsError):
        message, code = _usage(error), 2
    else:
        message, code = f"unexpected {type(error).__name__}: {error}; run with --debug for the traceback", 1
    if launch.speaks():
        say_aside(f"zeuxis: {' '.join(message.split())}")
    return code


def _usage(error: CycloptsError) -> str:
    command = " ".join(["zeuxis", *(error.command_chain or ())])
    if isinstance(error, UnusedCliTokensError):
        extra = " ".join(map(ascii, error.unused_tokens or ()))
        hint = "quote a pattern of several files, as in 'shards/*.tar', or " if _are_shards(error.unused_tokens) else ""
        return f"unexpected argument {extra}; {hint}see {command} --help"
    # The parser writes the name of an option out of a file as [name].
    told = re.sub(r"for \[(\w+)\]", lambda match: f"for --{match[1].replace('_', '-')}", str(error))
    return f"{told.rstrip('.')}; see {command} --help"


def _are_shards(words: Sequence[str] | None) -> bool:
    """Whether words that are left over are files which the shell made of a pattern."""
    return any(word.endswith((".tar", ".parquet")) for word in words or ())
