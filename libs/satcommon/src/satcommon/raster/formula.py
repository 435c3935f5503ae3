"""Formulas of bands: texts as ``(N-R)/(N+R)``, parsed once, computed in float64, never evaluated as code.

Only operations that IEEE 754 rounds alike on every machine and in vectors of any length are taken: the four of
arithmetic, whole powers, which are products here, and the square root. numpy's power, whose last bit depends on the
processor, is not.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Surfaces = Mapping[str, NDArray[np.float64]]
Formula = Callable[[Surfaces], NDArray[np.float64]]
_Part = float | Formula

_OPERATIONS: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


class FormulaError(ValueError):
    """A formula has something else than bands, constants and the operations that are taken."""


def compiled(text: str, constants: Mapping[str, float], bands: Collection[str]) -> Formula:
    """The function of a formula, which takes the bands' reflectances by name, arrays of one shape.

    Args:
        text: in Python's notation; its order of operations is kept.
        constants: by name.
        bands: names that it may have besides.

    Raises:
        FormulaError: it can't be taken; the message says what is in it.
    """
    try:
        whole = _part(ast.parse(text, mode="eval").body, constants, bands)
    except SyntaxError as error:
        raise FormulaError(f"{text!r} is no formula: {error}") from error
    if isinstance(whole, float):
        raise FormulaError(f"{text!r} has no band")
    return whole


def _part(node: ast.expr, constants: Mapping[str, float], bands: Collection[str]) -> _Part:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id in constants:
        return float(constants[node.id])
    if isinstance(node, ast.Name) and node.id in bands:
        return operator.itemgetter(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _negative(_part(node.operand, constants, bands))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = (_part(side, constants, bands) for side in (node.left, node.right))
        if isinstance(left, float) and isinstance(right, float):
            return float(_OPERATIONS[type(node.op)](left, right))
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        return _joined(_OPERATIONS[type(node.op)], left, right)
    raise FormulaError(f"{ast.unparse(node)!r} is none of the bands {', '.join(bands)}, nor an operation that is taken")


def _negative(part: _Part) -> _Part:
    return -part if isinstance(part, float) else lambda surfaces: -part(surfaces)


def _joined(operation: Callable[..., NDArray[np.float64]], left: _Part, right: _Part) -> Formula:
    if isinstance(left, float):
        assert not isinstance(right, float)
        return lambda surfaces: operation(left, right(surfaces))
    if isinstance(right, float):
        return lambda surfaces: operation(left(surfaces), right)
    return lambda surfaces: operation(left(surfaces), right(surfaces))


def _power(base: _Part, exponent: _Part) -> Formula:
    if isinstance(base, float) or exponent not in (0.5, 2.0, 3.0, 4.0):
        raise FormulaError("a power is taken of bands, to 0.5, 2, 3 or 4: others are not the same on every processor")
    if exponent == 0.5:
        return lambda surfaces: np.sqrt(base(surfaces))

    def product(surfaces: Surfaces) -> NDArray[np.float64]:
        value = base(surfaces)
        square = value * value
        return square if exponent == 2 else square * value if exponent == 3 else square * square

    return product
