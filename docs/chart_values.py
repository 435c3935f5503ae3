"""The table of a chart's values: descriptions of its values.schema.json, defaults of its values.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).parents[1] / "k8s" / "charts"
_WHOLE = {"resources": "requests and limits of its container"}  # shapes of Kubernetes' own, a row each


def chart_values(chart: str) -> Iterator[str]:
    """A row for each value of a chart; a group of values has none of its own.

    Raises:
        ValueError: the schema does not describe a value.
    """
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((CHARTS / chart / "values.yaml").read_text(encoding="utf-8"))
    yield "| value | default | what it is |"
    yield "|---|---|---|"
    for name, told, default in _leaves(schema, defaults, schema["$defs"]):
        if not told:
            raise ValueError(f"k8s/charts/{chart}/values.schema.json: {name} has no description")
        shown = "" if default in (None, "") else f"`{json.dumps(default)}`"
        yield f"| `{name}` | {shown} | {told} |"


def _leaves(
    node: dict[str, Any], defaults: dict[str, Any], shapes: dict[str, Any], path: str = ""
) -> Iterator[tuple[str, str, object]]:
    """(name, description, default) of each value below a node."""
    for key, value in node["properties"].items():
        if key not in defaults:  # what Helm itself or a parent chart adds
            continue
        shape = value.get("$ref", "").rpartition("/")[2]
        full = shapes[shape] if shape else value
        if "properties" in full and shape not in _WHOLE:
            yield from _leaves(full, defaults[key], shapes, f"{path}{key}.")
        else:
            yield f"{path}{key}", _WHOLE.get(shape) or value.get("description", ""), defaults[key]
