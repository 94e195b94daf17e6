"""The reference, written from the code: what stands for `<!-- reference: NAME -->` in the pages of docs/reference/."""

from __future__ import annotations

import ast
import dataclasses
import html
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import zeuxis
from zeuxis import cli, families, model
from zeuxis.errors import ZeuxisError
from zeuxis.training.settings import TrainSettings

_MARKER = re.compile(r"^<!-- reference: ([\w.]+) -->$", re.MULTILINE)
_WIDTH = 100  # of a signature on one line
_ELSEWHERE = ("zeuxis.errors", "zeuxis.training.settings")  # have sections of their own


def expanded(markdown: str) -> str:
    """The page with every marker replaced by what it names; `KeyError` where nothing has that name."""
    return _MARKER.sub(lambda match: _section(match[1]), markdown)


def _section(name: str) -> str:
    if name.startswith("zeuxis."):
        module, _, attribute = name.rpartition(".")
        return _entry(attribute, getattr(importlib.import_module(module), attribute))
    return SECTIONS[name]()


def _public() -> dict[str, Any]:
    """The names of `zeuxis.__all__` that are not of `zeuxis.model`, which has a page of its own."""
    return {name: getattr(zeuxis, name) for name in zeuxis.__all__ if name not in model.__all__}


def functions() -> str:
    """The functions of `zeuxis`."""
    return _entries({name: value for name, value in _public().items() if inspect.isfunction(value)})


def kinds() -> str:
    """The types of results: pictures, edits, equations."""
    found = {name: value for name, value in _public().items() if inspect.isclass(value)}
    return _entries({name: value for name, value in found.items() if value.__module__ not in _ELSEWHERE})


def modules() -> str:
    """The modules of `zeuxis` that are public, each with its functions."""
    found = {name: value for name, value in _public().items() if inspect.ismodule(value)}
    return "\n\n".join(_module(name, value) for name, value in found.items())


def _module(name: str, value: ModuleType) -> str:
    """A heading, the docstring, and the functions."""
    parts = [f"## {name}", inspect.cleandoc(value.__doc__ or "")]
    for each in value.__all__:
        function = getattr(value, each)
        parts += [f"### {name}.{each}", _code(_call(each, function)), inspect.cleandoc(function.__doc__ or "")]
    return "\n\n".join(parts)


def errors() -> str:
    """The exceptions, with the exit code that the command line gives each."""
    found = [value for value in _public().values() if inspect.isclass(value) and issubclass(value, ZeuxisError)]
    rows = [(f"`{each.__name__}`", str(each.exit_code), _first(each)) for each in found]
    return _table(("exception", "exit code", "meaning"), sorted(rows, key=lambda row: row[1]))


def types() -> str:
    """What a family is written with: the types of `zeuxis.model` in the order of its source, then its functions."""
    named = {name: getattr(model, name) for name in model.__all__}
    kinds = {name: value for name, value in named.items() if inspect.isclass(value)}
    lines = {name: inspect.getsourcelines(value)[1] for name, value in kinds.items()}
    others = {name: value for name, value in named.items() if inspect.isfunction(value)}
    return _entries({name: kinds[name] for name in sorted(kinds, key=lambda name: lines[name])} | others)


def settings() -> str:
    """The settings of a training run."""
    return _options(dataclasses.fields(TrainSettings), TrainSettings)


def family_options() -> str:
    """Each family: what it is, what it can be asked for, what its class says, and its options."""
    return "\n\n".join(map(_family, families.names()))


def _family(name: str) -> str:
    kind = families.find(name)
    can = [f"`{base.__name__}`" for base in kind.__mro__[1:] if base.__name__ in model.__all__]
    constants = {
        each: getattr(kind, each)
        for base in kind.__mro__
        for each, hint in vars(base).get("__annotations__", {}).items()
        if "ClassVar" in str(hint)
    }
    told = ", ".join(f"`{each} = {_value(value)}`" for each, value in constants.items())
    parts = (
        families.summary(name),
        f"Class `{kind.__name__}` ({', '.join(can)}): {_first(kind)}",
        f"Class variables: {told}.",
    )
    return "\n\n".join((f"### {name}", *parts, _options(dataclasses.fields(kind), kind)))


def commands() -> str:
    """What `--help` says of each command."""
    written = cli.build([]).generate_docs(output_format="markdown")
    written = re.sub(
        r"^(zeuxis (\w[\w-]*)) \2\b", r"\1", written, flags=re.MULTILINE
    )  # a usage of one's own names it too
    return written[written.index("\n## zeuxis ") :]


SECTIONS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "errors": errors,
    "families": family_options,
    "functions": functions,
    "kinds": kinds,
    "modules": modules,
    "settings": settings,
    "types": types,
}


def _entries(named: dict[str, Any]) -> str:
    return "\n\n".join(_entry(name, value) for name, value in named.items())


def _entry(name: str, value: Any) -> str:
    """A heading, the signature and the docstring of a function or class; of a class its fields and methods too."""
    heading, doc = f"## {name}", inspect.cleandoc(value.__doc__ or "")
    if not inspect.isclass(value):
        return "\n\n".join((heading, _code(_call(name, value)), doc))
    options = [f for f in dataclasses.fields(value) if f.metadata] if dataclasses.is_dataclass(value) else []
    own = [f for f in options if f.name in vars(value).get("__annotations__", {})]
    parts = [heading, _code(_class(name, value, options)), doc, _constants(value), _options(own, value) if own else ""]
    methods = [_method(name, value, each) for each in vars(value) if not each.startswith("_")]
    return "\n\n".join(part for part in (*parts, *methods) if part)


def _class(name: str, kind: type, options: Sequence[Any]) -> str:
    """The first line of a class; where it is made of plain fields, with these."""
    if dataclasses.is_dataclass(kind) and not options:
        return f"class {_call(name, kind).removesuffix(' -> None')}"
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object)
    return f"class {name}({bases})" if bases else f"class {name}"


def _constants(kind: type) -> str:
    """The fields of a class that a comment at their end explains."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines, rows = source.splitlines(), []
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        comment = lines[node.end_lineno - 1].partition("  # ")[2]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and comment:
            default = "" if node.value is None else f"`{ast.unparse(node.value)}`"
            rows.append((f"`{node.target.id}`", f"`{ast.unparse(node.annotation)}`", default, _escaped(comment)))
    return _table(("field", "type", "default", "meaning"), rows) if rows else ""


def _method(owner: str, kind: type, name: str) -> str:
    """A public method or property that the class itself explains."""
    value = vars(kind)[name]
    inner = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", value)
    if not inspect.isfunction(inner) or not inner.__doc__ or name in vars(kind).get("__annotations__", {}):
        return ""
    kinds = {property: "@property", cached_property: "@property", classmethod: "@classmethod"}
    marks = [mark for each, mark in kinds.items() if isinstance(value, each)]
    marks += ["@abstractmethod"] if getattr(value, "__isabstractmethod__", False) else []
    code = _code("\n".join([*marks, _call(name, inner)]))
    return "\n\n".join((f"### {owner}.{name}", code, inspect.cleandoc(inner.__doc__)))


def _call(name: str, function: Callable[..., Any]) -> str:
    """The call of a function or class: on one line, or with a line for each parameter."""
    signature = inspect.signature(function)
    words, starred = [], False
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        hint = "" if each.annotation is each.empty else f": {each.annotation}"
        value = each.default.__name__ if inspect.isfunction(each.default) else repr(each.default)
        given = "" if each.default is each.empty else f" = {value}" if hint else f"={value}"
        stars = "**" if each.kind is each.VAR_KEYWORD else ""
        words.append(f"{stars}{each.name}{hint}{given}")
    back = "" if signature.return_annotation is signature.empty else f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(words)}){back}"
    return line if len(line) <= _WIDTH else f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){back}"


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _options(fields: Iterable[dataclasses.Field[Any]], owner: type) -> str:
    """A table of options: the flag, its default, its values, its meaning."""
    hints = get_type_hints(owner)
    rows = [
        (f"`--{f.name.replace('_', '-')}`", f"`{_value(f.default)}`", _values(f, hints[f.name]), _meaning(f))
        for f in fields
        if f.init
    ]
    return _table(("option", "default", "values", "meaning"), rows) if rows else ""


def _values(f: dataclasses.Field[Any], hint: Any) -> str:
    """The choices of an option, or its type and bounds."""
    choices = [each for each in (hint, *get_args(hint)) if get_origin(each) is Literal]
    if choices:
        return ", ".join(f"`{each}`" for each in get_args(choices[0]))
    if get_origin(hint) is tuple:
        return f"{get_args(hint)[0].__name__}, one or several"
    kinds = [kind.__name__ for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
    low, high = f.metadata.get("low"), f.metadata.get("high")
    if low is None and high is None:
        return " or ".join(kinds)
    bounds = f"at least {low:,}" if high is None else f"at most {high:,}" if low is None else f"{low:,} to {high:,}"
    return f"{' or '.join(kinds)}, {bounds}"


def _meaning(f: dataclasses.Field[Any]) -> str:
    later = " (also when sampling)" if f.metadata.get("at_sampling") else ""
    return _escaped(str(f.metadata.get("meaning", ""))) + later


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "&#124;")


def _value(value: Any) -> str:
    """A default as Python writes it; sets in one order."""
    return "{" + ", ".join(map(repr, sorted(value))) + "}" if isinstance(value, frozenset) else repr(value)


def _first(value: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(value.__doc__ or "").split("\n\n")[0].split())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))
