"""Secrets from the environment, or from files that it names: ``NAME``, or ``NAME_FILE`` with a path.

A mounted file can change without a new process where it is read each time, and stays out of what shows environments.
"""

from __future__ import annotations

import os
from pathlib import Path

from satcommon.errors import SettingError

SUFFIX = "_FILE"


def secret(name: str) -> str:
    """The secret of a variable's name; empty where neither it nor its file is set.

    The end of the file's last line is no part of the secret.

    Raises:
        SettingError: both are set, or the file can't be read, is no text, or is empty. No message shows a secret.
    """
    value, path = os.environ.get(name, ""), os.environ.get(name + SUFFIX, "")
    if value and path:
        raise SettingError(f"{name} and {name}{SUFFIX} are both set; unset one of them")
    return content(name + SUFFIX, path) if path else value


def content(variable: str, path: str) -> str:
    """The secret in a file that a variable names.

    Raises:
        SettingError: it can't be read, is no text, or is empty.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingError(
            f"{variable}: {path} can't be read: {error.strerror}; correct the path or its mode"
        ) from error
    except UnicodeDecodeError:
        raise SettingError(f"{variable}: {path} is no text in UTF-8; expected the secret alone") from None
    if not text.strip():
        raise SettingError(f"{variable}: {path} is empty; expected the secret alone")
    return text
