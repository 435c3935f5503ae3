"""Where a command's bytes go: stdout, or a file that appears complete or not at all."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
from satcommon.errors import InputError, StoreError

STDOUT = "-"
_LONGEST_NAME = 200  # bytes of a name before its ending; file systems take 255

force_option = click.option("--force", is_flag=True, help="Overwrite the file where it exists.")


def file_name(name: str, ending: str) -> str:
    """A file's name: letters and digits of any script, dashes, inner dots; anything else becomes an underscore.

    Args:
        name: of a field or region.
        ending: of the file, kept as it is.
    """
    safe = re.sub(r"[^\w.-]+", "_", name).lstrip(".-") or "unnamed"
    return safe.encode()[:_LONGEST_NAME].decode(errors="ignore") + ending


@contextmanager
def sink(output: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Yields a binary file: stdout, or a file that appears at the end of the block.

    Raises:
        InputError: the file exists and `force` is false, or its folder can't be written to.
        StoreError: the file could not be written; no part of it is left.
    """
    if output == STDOUT:
        check_sink(output, force=force)
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # as of `| head`
            raise
        except OSError as error:
            raise StoreError(f"--output -: could not be written: {error.strerror or error}") from error
        return
    with whole_file(output, force=force) as path, path.open("wb") as file:
        yield file


@contextmanager
def temporary_space(what: str, errors: tuple[type[Exception], ...] = (OSError,)) -> Iterator[None]:
    """A block that writes to the temporary folder.

    Args:
        what: is written.
        errors: that say so; a library may have its own.

    Raises:
        StoreError: the folder is full.
    """
    try:
        yield
    except errors as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(
            f"the temporary folder {tempfile.gettempdir()} can't keep {what}: {reason}; "
            "make room there, or name another folder in TMPDIR"
        ) from error


def check_sink(output: str, *, force: bool) -> None:
    """Refuse an output that can't be written to; arguments and errors are those of `sink`."""
    if output == STDOUT:
        if sys.stdout is None:
            raise InputError("--output -: stdout is closed; name a file")
        return
    path = Path(output)
    if path.exists() and (not force or not path.is_file()):
        raise InputError(f"--output {path}: exists already; name another file, or overwrite it with --force")
    if not path.parent.is_dir():
        raise InputError(f"--output {path}: can't be written: there is no folder {path.parent}")


@contextmanager
def whole_file(output: str, *, force: bool, suffix: str = "") -> Iterator[Path]:
    """A path to write to, in a temporary folder beside the file; the file appears when the block ends without an error.

    Args:
        output: path of the file.
        force: replace a file that exists.
        suffix: of the temporary path.

    Raises:
        InputError, StoreError: as `sink`.
    """
    check_sink(output, force=force)
    path = Path(output)
    try:
        folder = tempfile.TemporaryDirectory(prefix=".satctl-", suffix=".part", dir=path.parent)
    except OSError as error:
        raise InputError(f"--output {path}: can't be written: {error.strerror}") from error
    with folder as name:
        unfinished = Path(name, f"unfinished{suffix}")
        try:
            yield unfinished
            unfinished.replace(path)
        except OSError as error:  # such as a full disk
            reason = f"could not be written: {error.strerror or error}; no part of it is left"
            raise StoreError(f"--output {path}: {reason}") from error
