"""Functions stay small: at most 60 lines besides their docstring, and 7 parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES, MOST_PARAMETERS = 60, 7
EXCUSED = {"add_region", "ask_anew"}  # each parameter of them is a column of the ledger, or an option of a command
INTERFACES = ("command", "router.")  # decorators of what has a parameter for each option, or part of a request


def too_large(source: str) -> Iterator[str]:
    """The functions of a module that are too large, with what is."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = node.body[0] if ast.get_docstring(node) else None
        lines = _lines(node) - (_lines(docstring) if docstring else 0)
        parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = sum(parameter.arg not in ("self", "cls") for parameter in parameters)
        decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
        if lines > MOST_LINES:
            yield f"{node.name}: {lines} lines"
        if count > MOST_PARAMETERS and not any(name in decorators for name in INTERFACES):
            yield f"{node.name}: {count} parameters"


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_function_is_too_large() -> None:
    files = [*ROOT.glob("libs/*/src/**/*.py"), *ROOT.glob("locations/*/src/**/*.py")]
    assert len(files) > 200
    found = [f"{file.relative_to(ROOT)} {what}" for file in files for what in too_large(file.read_text())]
    assert [each for each in found if each.split()[1].rstrip(":") not in EXCUSED] == []
    assert len(found) == len(EXCUSED)


def test_a_large_function_is_found() -> None:
    wide = "def wide(a, b, c, d, e, f, g, h):\n    pass\n"
    long = 'def long():\n    """Doc."""\n' + "    pass\n" * 60
    route = "@router.get('/')\n" + wide

    assert list(too_large(wide + long + route)) == ["wide: 8 parameters", "long: 61 lines"]
