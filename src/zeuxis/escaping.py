"""Text from outside, such as names of files and classes, made harmless for a terminal, a table and a page."""

from __future__ import annotations

import json
import re
import unicodedata

_JOINERS = "\u200c\u200d"  # in words of Persian and Hindi, and in emoji
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # what a spreadsheet takes for the start of one
_MARKUP = re.compile(r"[\\`\[\]<>|&!]")


def printable(text: str) -> str:
    """The text on one line: control characters, line ends, overrides of direction and the like are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(char if _is_shown(char) else char.encode("unicode_escape").decode() for char in text)


def _is_shown(char: str) -> bool:
    return char.isprintable() or char in _JOINERS or unicodedata.category(char) == "Zs"


def quote(value: object, *, limit: int = 60) -> str:
    """A value as it may stand in a one-line message: escaped, and cut to `limit` characters."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # Python writes no integer of over 4300 digits
        text = f"{type(value).__name__} too long to be shown"
    return text if len(text) <= limit else text[:limit] + "..."


def ascii_json(value: object) -> str:
    """A value as strict JSON, indented, in printable ASCII alone."""
    return json.dumps(value, indent=2, allow_nan=False).replace("\x7f", "\\u007f")


def table_cell(text: str) -> str:
    """The text as a cell of a CSV file, which no spreadsheet takes for a formula."""
    return "'" + printable(text) if text.startswith(_FORMULA) else printable(text)


def markdown(text: str) -> str:
    """The text for Markdown outside code: neither links, images, HTML nor the bars of a table."""
    return _MARKUP.sub(r"\\\g<0>", printable(text))


def markdown_code(text: str) -> str:
    """The text for Markdown between backticks."""
    return printable(text).replace("`", "'").replace("|", "/")
