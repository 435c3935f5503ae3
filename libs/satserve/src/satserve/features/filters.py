"""Filters of fields in CQL2 text: parsed by the library, checked against a list of properties, computed by Arrow.

No part of a filter ever reaches a database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import cql2
import pyarrow as pa
import pyarrow.compute as pc

from satserve.features.field_index import PROPERTIES, SCHEMA
from satserve.problem import Problem, wrong

LONGEST = 1_000  # letters
DEEPEST = 6  # parentheses: the time of the parser doubles with each that is open
_EXPECTED = f"CQL2 text over {', '.join(PROPERTIES)}"
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_COMPARISONS: dict[str, Callable[[pa.Array, pa.Scalar], pa.Array]] = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def matching(text: str, fields: pa.Table) -> pa.Array:
    """Whether each field matches a filter; a comparison with nothing does not.

    Args:
        text: comparisons, BETWEEN, IN, LIKE and IS NULL, joined by AND, OR and NOT.
        fields: columns of `features.field_index.SCHEMA`.

    Raises:
        Problem: the filter is too long or deep, can't be parsed, or asks for what there is not.
    """
    _check_size(text)
    try:
        tree = cql2.parse_text(text).to_json()
    except (cql2.ParseError, cql2.ValidationError, ValueError, TypeError) as error:
        raise wrong("filter", text, _EXPECTED, "it can't be parsed; text stands in 'single quotes'") from error
    return pc.fill_null(_Filter(text, fields).mask(tree), False)  # noqa: FBT003  # Arrow's signature


def _check_size(text: str) -> None:
    if len(text) > LONGEST:
        raise wrong("filter", text, f"at most {LONGEST} letters")
    if "\\" in text or '"' in text:  # with them, where quoted text ends would be in doubt
        raise wrong("filter", text, _EXPECTED, "without backslashes and double quotes")
    depth = deepest = 0
    for letter in _QUOTED.sub("", text):
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise wrong("filter", text, f"at most {DEEPEST} parentheses within each other")


class _Filter:
    """A parsed filter over fields."""

    def __init__(self, text: str, fields: pa.Table) -> None:
        self._text = text
        self._fields = fields

    def mask(self, node: Any) -> pa.Array:
        """Whether each field matches; null where that is unknown."""
        if isinstance(node, bool):
            return pa.array([node] * self._fields.num_rows, pa.bool_())
        if isinstance(node, dict) and "property" in node:
            column, kind = self._column(node)
            return (
                column if pa.types.is_boolean(kind) else self._refuse(f"{node['property']} is no condition by itself")
            )
        if not isinstance(node, dict) or "op" not in node:
            return self._refuse("it is no condition")
        op, arguments = str(node["op"]).lower(), node["args"]
        if op in ("and", "or"):
            joined = self.mask(arguments[0])
            for argument in arguments[1:]:
                joined = (pc.and_kleene if op == "and" else pc.or_kleene)(joined, self.mask(argument))
            return joined
        if op == "not":
            return pc.invert(self.mask(arguments[0]))
        if op in _COMPARISONS:
            return self._compared(op, *arguments)
        if op in ("between", "in", "like", "isnull"):
            return self._special(op, arguments)
        return self._refuse(f"{op} is not one of the operators here")

    def _special(self, op: str, arguments: Sequence[Any]) -> pa.Array:
        column, kind = self._column(arguments[0])
        if op == "isnull":
            return column.is_null()
        if op == "between":
            low, high = (self._scalar(value, kind) for value in arguments[1:])
            return pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high))
        if op == "in":
            values = [self._scalar(value, kind).as_py() for value in arguments[1]]
            return pc.if_else(column.is_valid(), pc.is_in(column, value_set=pa.array(values, kind)), None)
        if not pa.types.is_string(kind) or not isinstance(arguments[1], str):
            return self._refuse("LIKE compares text")
        return pc.match_like(column, arguments[1])

    def _compared(self, op: str, left: Any, right: Any) -> pa.Array:
        if not (isinstance(left, dict) and "property" in left):
            left, right, op = right, left, _MIRRORED[op]
        column, kind = self._column(left)
        if pa.types.is_boolean(kind) and op not in ("=", "<>"):
            return self._refuse(f"{op} has no meaning for true and false")
        return _COMPARISONS[op](column, self._scalar(right, kind))

    def _column(self, node: Any) -> tuple[pa.ChunkedArray, pa.DataType]:
        name = node.get("property") if isinstance(node, dict) else None
        if name not in PROPERTIES:
            self._refuse("it compares something else than a property of fields", name)
        column: pa.ChunkedArray = self._fields[name]
        return column, SCHEMA.field(name).type

    def _scalar(self, value: Any, kind: pa.DataType) -> pa.Scalar:
        if isinstance(value, dict) and set(value) == {"date"}:
            value = value["date"]
        try:
            if pa.types.is_date(kind) and isinstance(value, str):
                return pa.scalar(date.fromisoformat(value), kind)
            is_bool = isinstance(value, bool)
            if pa.types.is_boolean(kind) and is_bool:
                return pa.scalar(value, kind)
            if pa.types.is_floating(kind) and isinstance(value, int | float) and not is_bool:
                return pa.scalar(float(value), kind)
            if pa.types.is_string(kind) and isinstance(value, str):
                return pa.scalar(value, kind)
        except (ValueError, OverflowError):
            pass
        return self._refuse(f"{value!r} is no {kind}")

    def _refuse(self, why: str, name: object = None) -> Any:
        shown = f" ({str(name)[:50]!r})" if name is not None else ""
        raise Problem(
            400, "Wrong parameter", f"filter: {why[:300]}{shown}; expected {_EXPECTED}",
            parameter="filter", value=self._text[:200], expected=_EXPECTED,
        )  # fmt: skip
