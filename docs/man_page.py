"""The manual page of satctl, from the help of its commands: `make docs` writes it, the wheel of satctl has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
from satcommon.settings import PREFIX, Settings
from satctl.main import main as satctl

FILE = Path(__file__).parents[1] / "libs/satctl/man/satctl.1"


def man_page() -> str:
    """The page, in roff's macros `man`."""
    context = click.Context(satctl, info_name="satctl", **satctl.context_settings)
    lines = [
        '.TH SATCTL 1 "" "Satfields" "Satfields"',
        ".SH NAME",
        r"satctl \- administer Satfields",
        ".SH SYNOPSIS",
        r".B satctl",
        r"[OPTIONS] COMMAND [ARGUMENTS]",
        ".SH DESCRIPTION",
        *_text(satctl.help or ""),
        ".SH OPTIONS",
        *_options(satctl, context),
        ".SH COMMANDS",
        *_commands(satctl, context),
        ".SH ENVIRONMENT",
        *(line for name, field in Settings.model_fields.items() for line in _environment(name, field.description)),
    ]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    """The part of each command of a group, and of the groups in it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        elif not command.hidden:
            yield f".SS {_escaped(inner.command_path)} {_escaped(' '.join(command.collect_usage_pieces(inner)))}"
            yield from _text(command.help or "")
            yield from _options(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.params if context.parent else command.get_params(context):  # `--help` is told once
        if record := parameter.get_help_record(context):
            yield from _entry(*record)


def _environment(name: str, description: str | None) -> Iterator[str]:
    yield from _entry(f"{PREFIX}{name.upper()}", description or "")


def _entry(term: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield rf"\fB{_escaped(term)}\fR"
    yield _line(" ".join(text.split()))


def _text(text: str) -> Iterator[str]:
    """Paragraphs; one that click keeps as it is (after a backspace) keeps its lines here, too."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield ".PP"
        lines = [line.rstrip() for line in paragraph.splitlines() if line.strip()]
        if lines[0].strip() == "\b":
            yield ".nf"
            yield from (_line(line) for line in _dedented(lines[1:]))
            yield ".fi"
        else:
            yield _line(" ".join(line.strip() for line in lines))


def _dedented(lines: list[str]) -> list[str]:
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    return [line[margin:] for line in lines]


def _line(text: str) -> str:
    """A line of text: a name in backticks is bold, and nothing at its beginning is a command of roff."""
    shown = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", _escaped(text))
    return rf"\&{shown}" if shown[:1] in (".", "'") else shown


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-")
