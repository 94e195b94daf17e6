"""Markdown as prose: its sentences and their length. `python docs/site/prose.py README.md docs/*.md` prints the counts."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

LONG, LONGEST = 30, 45  # words: few sentences may have more than the first, none more than the second

FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*(?P=fence)[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)(?P<ticks>`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)(?P=ticks)(?!`)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+")
# Headings, tables, HTML, rules and definitions of links: text, but no sentences.
_NO_PROSE = re.compile(r"[ \t]*(?:#{1,6}[ \t]|\||<[a-zA-Z/!]|\[[^\]]+\]:[ \t]|(?:[-*_=][ \t]*){3,}$)")
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
# A sentence ends where a mark is followed by what may begin another: a capital, a number, code, a quotation.
_END = re.compile(r"[.!?][\"')\]*_”’]*\s+(?=[\"'(\[*_“‘]*[A-Z0-9`À-Þ])")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:e\.g|i\.e|al|cf|vs|ca|approx|resp|[Ff]igs?|[Ee]qs?|[Ss]ec|[Cc]h|[Nn]o|[Pp]p?|Dr|St)\.$"
)


class Count(NamedTuple):
    """How many sentences there are, how many of them have over `LONG` words, and the longest."""

    sentences: int
    long: int
    longest: str

    @property
    def share(self) -> float:
        """The share of long sentences."""
        return self.long / max(self.sentences, 1)


def blocks(markdown: str) -> Iterator[str]:
    """The paragraphs and list items of a page, each on one line, as plain text: code is one word, a picture none."""
    block: list[str] = []
    listed = blank = False
    for line in [*_COMMENT.sub("", FENCE.sub("\n", markdown)).splitlines(), ""]:
        text = re.sub(r"^[ \t]*(?:>[ \t]?)+", "", line)
        item = _ITEM.match(text)
        if blank and text[:1].strip() and not item:
            listed = False
        code = blank and not listed and re.match(r" {4}|\t", text)
        ends = not text.strip() or code or _NO_PROSE.match(text)
        if (ends or item) and block:
            yield _plain(" ".join(block))
            block = []
        listed = listed or bool(item)
        if not ends:
            block.append(text[item.end() :] if item else text.strip())
        blank = not text.strip() or bool(code)


def _plain(text: str) -> str:
    coded = INLINE.sub("`x`", text)
    return _LINK.sub(r"\1", _IMAGE.sub("", coded)).replace("**", "").strip()


def sentences(block: str) -> Iterator[str]:
    """The sentences of a paragraph or list item; text without an end mark is one too."""
    begin = 0
    for end in _END.finditer(block):
        if not _ABBREVIATION.search(block[begin : end.start() + 1]):
            yield block[begin : end.end()].strip()
            begin = end.end()
    if words(block[begin:]):
        yield block[begin:].strip()


def words(sentence: str) -> list[str]:
    """The words: what stands between spaces and has a letter or a digit."""
    return [word for word in sentence.split() if any(map(str.isalnum, word))]


def count(pages: Sequence[str]) -> Count:
    """The counts of several pages of Markdown together."""
    found = [sentence for page in pages for block in blocks(page) for sentence in sentences(block)]
    lengths = [len(words(sentence)) for sentence in found]
    longest = found[lengths.index(max(lengths))] if found else ""
    return Count(len(found), sum(length > LONG for length in lengths), longest)


def main(paths: Sequence[str]) -> None:
    """Print a line for each file, and one for all of them."""
    texts = {path: Path(path).read_text(encoding="utf-8") for path in paths}
    print(f"sentences  over {LONG}   share  longest  page")
    for name, pages in [*((path, [text]) for path, text in texts.items()), ("all", [*texts.values()])]:
        total = count(pages)
        print(
            f"{total.sentences:9}  {total.long:7}  {total.share:6.1%}  {len(words(total.longest)):4} words  {name}: "
            f"{total.longest[:60]}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
