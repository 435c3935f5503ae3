"""What a program may import of satcommon, with signatures and docstrings as they are in the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module

from satcommon import errors

# The names that the changelog covers, by purpose. Everything else may change without notice.
PUBLIC = {
    "Settings and what they name": {
        "satcommon.settings": ["settings"],
        "satcommon.environment": ["environment", "Environment"],
        "satcommon.db.engine": ["read_transaction"],
    },
    "Published rows": {
        "satcommon.db.registry": ["region", "regions"],
        "satcommon.publication.reader": ["published", "Published"],
        "satcommon.publication.objects": ["ResultObjects"],
    },
    "In Dagster": {
        "satcommon.contract": [
            "SCENES",
            "FIELD_REGISTRY",
            "FIELD_METRICS",
            "REGION",
            "DATE",
            "region_days",
            "partition",
        ],
        "satcommon.resources": ["resources", "SatfieldsResource"],
    },
}
OFFERED = {  # the methods of its classes that are meant for programs
    "Environment": ["store"],
    "Published": ["rows", "is_final"],
    "ResultObjects": [],
    "SatfieldsResource": ["environment"],
}
_SECTION = re.compile(r"^(Args|Returns|Raises):$", re.MULTILINE)


def public_names() -> set[tuple[str, str]]:
    """(module, name) of everything that a program may import."""
    listed = {(module, name) for part in PUBLIC.values() for module, names in part.items() for name in names}
    return listed | {(errors.__name__, each.__name__) for each in _errors()}


def python_api() -> Iterator[str]:
    """A section a purpose, with the objects of each module."""
    for purpose, modules in PUBLIC.items():
        yield f"## {purpose}"
        yield ""
        for module, names in modules.items():
            for name in names:
                yield from _told(module, name)


def error_tree() -> Iterator[str]:
    """A row for each error, the base before those that are derived from it."""
    yield "| error | is a | when |"
    yield "|---|---|---|"
    for each in _errors():
        base = each.__bases__[0].__name__
        yield f"| `{each.__name__}` | `{base}` | {' '.join(inspect.getdoc(each).split())} |"  # type: ignore[union-attr]


def _errors() -> list[type[Exception]]:
    return [each for each in vars(errors).values() if isinstance(each, type) and each.__module__ == errors.__name__]


def _told(module: str, name: str) -> Iterator[str]:
    value = getattr(import_module(module), name)
    yield f"### {name}"
    yield ""
    yield "```python"
    yield f"from {module} import {name}"
    if inspect.isroutine(value):
        yield ""
        yield f"{name}{_signature(value)}"
    yield "```"
    yield ""
    if not callable(value):
        yield f"A `{type(value).__name__}`: `{value}`." if isinstance(value, str) else f"A `{type(value).__name__}`."
        yield ""
        return
    yield from _documented(value)
    if isinstance(value, type):
        for method in OFFERED[name]:
            function = getattr(value, method)
            yield f"`.{method}{_signature(function)}`"
            yield ""
            yield from _documented(function)


def _signature(value: object) -> str:
    signature = inspect.signature(inspect.unwrap(value))  # type: ignore[arg-type]
    kept = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    return str(signature.replace(parameters=kept)).replace("'", "")


def _documented(value: object) -> Iterator[str]:
    """A docstring in the form of this project's, as Markdown."""
    text, *sections = _SECTION.split(inspect.getdoc(value) or "")
    yield text.strip()
    yield ""
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        entries = re.split(r"\n(?=\S)", inspect.cleandoc(body))
        yield f"{'Parameters' if title == 'Args' else title}:"
        yield ""
        for entry in entries:
            name, colon, meaning = " ".join(entry.split()).partition(": ")
            yield f"- `{name}`{colon}{meaning}" if title != "Returns" else f"- {name}{colon}{meaning}"
        yield ""
