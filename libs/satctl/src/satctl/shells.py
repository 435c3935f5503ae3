"""Installs shell completion: click's script for a shell, in the folder where that shell looks for it."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from satcommon.errors import InputError

SHELLS = ("bash", "zsh", "fish")
_PROGRAM = "satctl"


def install(command: click.Command, shell: str | None) -> tuple[Path, str]:
    """Write the script that completes `satctl`; returns its file, and what is left to do.

    The user's own start-up files are not touched. An older script is replaced.

    Args:
        command: the root command.
        shell: one of SHELLS; None: the login shell, by the variable SHELL.

    Raises:
        InputError: the shell is not one of SHELLS, or the file can't be written.
    """
    name = shell or Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise InputError(
            f"the shell is {name or 'not known'}; name one of {', '.join(SHELLS)}: --install-completion zsh"
        )
    file, rest = _place(name)
    kind = get_completion_class(name)
    assert kind is not None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(kind(command, {}, _PROGRAM, "_SATCTL_COMPLETE").source(), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; make its folder writable") from error
    return file, rest


def _place(shell: str) -> tuple[Path, str]:
    """A script's file, and what its user still does."""
    home = Path.home()
    if shell == "bash":
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
        return (
            data / "bash-completion/completions" / _PROGRAM,
            "Open a new shell; it needs the package bash-completion.",
        )
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return config / "fish/completions" / f"{_PROGRAM}.fish", "Open a new shell."
    folder = Path(os.environ.get("ZDOTDIR") or home) / ".zfunc"
    return (
        folder / f"_{_PROGRAM}",
        f"Add to .zshrc, if it is not there: fpath+=({folder}); autoload -Uz compinit && compinit",
    )
