"""Every command of the documentation is one that the code has; each block is run by a test or says why not."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest
from satctl.main import main as satctl
from satserve.main import main as satserve

from tests.examples.shell_blocks import PAGES, ROOT, Block, blocks, commands, spans

BLOCKS = [block for page in PAGES for block in blocks(page)]
TARGETS = {
    word
    for line in re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for word in line.split()
} | {f"{what}-{name}" for what in ("deploy", "rollback") for name in ("ingest", "realtime", "reprocessing", "LOCATION")}
_PLACEHOLDER = re.compile(r"[A-Z_]{2,}|.*\.\.\..*|\$.*")


def fault(words: list[str], *, whole: bool = True) -> str:
    """Why a command can't be given like that, or "".

    Args:
        words: of the command, its program first.
        whole: whether arguments that it needs must be there.
    """
    program, *arguments = words
    if program == "make":
        asked = [word for word in arguments if not re.match(r"[A-Z_]+=|-", word) and word not in ("TARGET", "...")]
        return ", ".join(f"no target {word}" for word in asked if word not in TARGETS)
    try:
        _parse(
            {"satctl": satctl, "satserve": satserve}[program],
            click.Context(satctl, **satctl.context_settings),
            arguments,
            whole=whole,
        )
    except click.BadOptionUsage as error:
        return error.format_message() if whole else ""  # a sentence may name an option without its value
    except click.UsageError as error:
        return error.format_message()
    return ""


def _parse(command: click.Command, context: click.Context, arguments: list[str], *, whole: bool) -> None:
    """Parse as click does, without a callback or an effect: nothing is read or opened.

    Raises:
        click.UsageError: an option or command that does not exist, a value of another kind, too many or too few.
    """
    inner = click.Context(
        command,
        parent=context,  # a command keeps its option of help as the first context names it: with -h
        info_name=command.name,
        allow_interspersed_args=not isinstance(command, click.Group),
    )
    given, rest, _ = command.make_parser(inner).parse_args(args=list(arguments))
    for parameter in command.params:
        _check(parameter, given.get(parameter.name or ""), inner, whole=whole)
    if not isinstance(command, click.Group):
        if rest:
            raise click.UsageError(f"Got unexpected extra arguments ({' '.join(rest)})")
        return
    if rest and not _PLACEHOLDER.fullmatch(rest[0]):
        name, chosen, others = command.resolve_command(inner, rest)
        assert name is not None
        assert chosen is not None
        _parse(chosen, inner, others, whole=whole)


def _check(parameter: click.Parameter, value: object, context: click.Context, *, whole: bool) -> None:
    if not isinstance(value, str | list | tuple):
        if whole and parameter.required:
            raise click.MissingParameter(ctx=context, param=parameter)
        return
    for each in [value] if isinstance(value, str) else value:
        if isinstance(each, str) and not _PLACEHOLDER.fullmatch(each) and not isinstance(parameter.type, click.Path):
            parameter.type.convert(each, parameter, context)


@cache
def names_of_tests(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_of_commands_is_run_by_a_test_or_says_why_not(block: Block) -> None:
    assert block.mark, f'{block}: put "<!-- run by FILE::TEST -->" or "<!-- not run: why -->" on the line above'
    if block.mark == "run by":
        file, _, test = block.reason.partition("::")
        assert (ROOT / file).is_file(), f"{block}: {file} is gone"
        assert test in names_of_tests(ROOT / file), f"{block}: {file} has no {test}"


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_commands_of_a_block_can_be_given_like_that(block: Block) -> None:
    assert [f"{' '.join(words)}: {why}" for words in commands(block.text) if (why := fault(words))] == []


def test_the_commands_within_sentences_exist() -> None:
    wrong = [
        f"{page.relative_to(ROOT)}: `{span}`: {why}"
        for page in PAGES
        for span in spans(page)
        for words in commands(span)
        if (why := fault(words, whole=False))
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("satctl stauts", "No such command 'stauts'"),
        ("satctl status --reigon A", "No such option '--reigon'"),
        ("satctl fields import", "Missing argument 'FILE"),
        ("satctl fields list extra", "unexpected extra argument"),
        ("satctl regions add A --monitored-from May", "'May' is not a day"),
        ("satserve --workers two", "two"),
        ("make tset", "no target tset"),
    ],
)
def test_what_the_code_does_not_have_is_told(command: str, why: str) -> None:
    [words] = commands(command)

    assert why in fault(words)
