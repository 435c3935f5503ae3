"""A configuration in TOML, checked by a pydantic model; messages name file, key and value, and what is expected."""

from __future__ import annotations

import tomllib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from satcommon.errors import SettingError
from satcommon.messages import rejected

Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], content: bytes, where: str) -> Model:
    """The configuration in the bytes of a file.

    Args:
        model: of the configuration.
        content: TOML.
        where: the file's path, for messages.

    Raises:
        SettingError: naming the file and each key that is wrong, its value and what was expected.
    """
    try:
        return model.model_validate(tomllib.loads(content.decode()))
    except ValidationError as error:
        raise SettingError("; ".join(_message(where, *each) for each in rejected(error))) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, no TOML, or nested without end
        raise SettingError(f"{where}: is no TOML ({error}); correct it") from error


def _message(where: str, keys: tuple[int | str, ...], value: Any, reason: str) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in keys).lstrip(".")
    if not key:
        return f"{where}: {reason}"
    shown = "" if isinstance(value, dict | list) else f" = {value!r:.100}"
    return f"{where}: {key}{shown}: {reason}"
