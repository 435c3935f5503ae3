"""The shell commands of the documentation, and what each block says of itself: which test runs it, or why none does.

A block of `sh` has a comment directly above it, which a rendered page does not show:
`<!-- run by tests/examples/test_pages.py::test_name -->` or `<!-- not run: why -->`. A page of which a test runs every
block has `<!-- each block is run by ... -->` once, before the first.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("satctl", "satserve", "make")  # ours, whose commands are held against the code
_OURS = re.compile(rf"(?:[\w./-]*/)?({'|'.join(PROGRAMS)}) |\b(?:kubectl|helm|docker|curl|export) ")
_MARK = re.compile(r"<!-- (run by|not run:) (.*?) -->\s*", re.DOTALL)
_EACH = re.compile(r"<!-- each block is (run by) (.*?) -->\s*", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of shell commands of a page."""

    page: Path
    line: int
    text: str
    fenced: bool
    mark: str  # "run by", "not run:", or "" without one
    reason: str  # the test, or why none runs it

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of shell commands of a page, in order; those without a language, if a line begins with a program."""
    before: Token | None = None
    of_all: re.Match[str] | None = None
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            unnamed = not token.info and any(_OURS.match(f"{line} ") for line in token.content.splitlines())
            if token.info == "sh" or unnamed:
                mark = _MARK.fullmatch(before.content) if before and before.type == "html_block" else None
                mark = mark or of_all
                line = (token.map or [0])[0] + 1
                told = (mark[1], " ".join(mark[2].split())) if mark else ("", "")
                yield Block(page, line, token.content, token.type == "fence", *told)
        of_all = of_all or (_EACH.fullmatch(token.content) if token.type == "html_block" else None)
        before = token


def spans(page: Path) -> Iterator[str]:
    """The code within a page's sentences."""
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of ours in a piece of shell: `satctl status | head` gives `["satctl", "status"]`."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if inner := re.search(r"\$\((.*)\)", line):
            yield from commands(inner[1])
        for words in _split(re.sub(r"\$\(.*\)", "$INNER", line)):
            for place, word in enumerate(words):
                if (name := word.rpartition("/")[2]) in PROGRAMS and (place == 0 or words[0] == "docker"):
                    yield [name, *words[place + 1 :]]
                    break


def _split(line: str) -> Iterator[list[str]]:
    """The words of a line, cut where one command ends and another begins."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    command: list[str] = []
    try:
        for word in lexer:
            if re.fullmatch(r"[();<>|&]+", word):
                yield command
                command = []
            else:
                command.append(word)
    except ValueError:  # a quotation that goes on in the next line: what came before it counts
        pass
    yield command
