"""`zeuxis completion`: what a shell needs to complete commands, families, flags and their values."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import App, Parameter

from zeuxis import families, registry
from zeuxis.cli import flags, train
from zeuxis.cli.output import say

Shell = Literal["bash", "zsh", "fish"]
# Text to the commands, which may be a path.
_PLACES = frozenset({"model", "run", "runs", "data", "target", "config", "init_from", "start", "end", "baseline"})
# A folder that is named as a command is, after the command, is no command: `zeuxis sample data`.
_ANY_WORD = 'if [[ " $all_commands " =~ " $word " ]]; then'
_FIRST_WORDS = 'if [[ ( ${#cmd_path[@]} -eq 0 || "${cmd_path[*]}" == train ) && " $all_commands " =~ " $word " ]]; then'

# Of a file of functions zsh runs the text and then expects the completion; read by `source` it has to be told of it.
_ZSH_END = """
if [[ "$funcstack[1]" == _zeuxis ]]; then
  _cyclopts_zeuxis "$@"
else
  compdef _cyclopts_zeuxis zeuxis
fi
"""


def register(app: App, build: Callable[[list[str]], App]) -> None:
    """Add the command; `build` gives the commands to complete."""

    def completion_command(
        shell: Annotated[Shell, Parameter(help="the shell")],
        /,
    ) -> None:
        """Print a script that completes commands, families and flags: source <(zeuxis completion bash).

        Families of packages that are installed later need a new one.
        """
        say(*completion_script(build([]), shell).splitlines())

    app.command(completion_command, name=flags.verb(completion_command))


def completion_script(app: App, shell: Shell) -> str:
    """The script for a shell; `train` has a command for each family, with the flags of that family."""
    told = App(name="zeuxis", help=app.help)
    for name in app:
        if not name.startswith("-"):
            told.command(_command(app[name], name))
    for name in families.names():
        family = App(name=name, help=registry.summary(name))
        family.default(_taking(train.parameters(families.find(name))[1:]))
        told["train"].command(family)
    script = told.generate_completion(prog_name="zeuxis", shell=shell)
    if shell == "zsh":
        return script.rstrip() + "\n" + _ZSH_END
    # Where nothing is known, as after the model, bash is to complete the names of files.
    return script.replace("complete -F _zeuxis", "complete -o default -F _zeuxis").replace(_ANY_WORD, _FIRST_WORDS)


def _command(command: App, name: str) -> App:
    found = App(name=name, help=command.help)
    if command.default_command:
        found.default(_taking(inspect.signature(command.default_command, eval_str=True).parameters.values()))
    return found


def _taking(parameters: Any) -> Callable[..., None]:
    """A function of these parameters, in which text that may be a path is one, and loggers are a choice."""

    def _nothing(*_words: Any, **_given: Any) -> None: ...

    told = [_as_choice(_as_path(each)) for each in parameters]
    _nothing.__signature__ = inspect.Signature(told)  # type: ignore[attr-defined]
    return _nothing


def _as_choice(parameter: inspect.Parameter) -> inspect.Parameter:
    if parameter.name != "logger":
        return parameter
    names = (*registry.OWN_LOGGERS, *registry.installed(registry.LOGGERS))
    return parameter.replace(annotation=tuple[Literal[names], ...])  # type: ignore[valid-type]


def _as_path(parameter: inspect.Parameter) -> inspect.Parameter:
    if parameter.name not in _PLACES:
        return parameter
    notes = [each for each in get_args(parameter.annotation) if isinstance(each, Parameter)]
    plain = [Parameter(help=note.help, group=note.group, name=note.name) for note in notes[:1]]
    several = parameter.kind is inspect.Parameter.VAR_POSITIONAL
    kind: Any = Path if several else Path | None
    return parameter.replace(annotation=Annotated[kind, *plain] if plain else kind)
