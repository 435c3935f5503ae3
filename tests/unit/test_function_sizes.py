"""Functions stay small: at most 60 lines besides their docstring, and 7 parameters; four and more are told each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES, MOST_PARAMETERS = 60, 7
FEW_PARAMETERS = 3  # of a public function, which its first sentence can tell
TOLD = ("Args:", "see `", "are those of `")  # in docstrings
LIBRARIES = {"settings_customise_sources"}  # pydantic tells what it is given
EXCUSED = {"add_region", "ask_anew"}  # each parameter of them is a column of the ledger, or an option of a command
INTERFACES = ("command", "router.")  # decorators of what has a parameter for each option, or part of a request


def too_large(source: str) -> Iterator[str]:
    """The functions of a module that are too large, with what is."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = node.body[0] if ast.get_docstring(node) else None
        lines = _lines(node) - (_lines(docstring) if docstring else 0)
        count = _parameters(node)
        if lines > MOST_LINES:
            yield f"{node.name}: {lines} lines"
        if count > MOST_PARAMETERS and not _is_interface(node):
            yield f"{node.name}: {count} parameters"


def untold(source: str) -> Iterator[str]:
    """The public functions of a module with more than a few parameters whose docstring does not tell these."""
    module = ast.parse(source)
    classes = [each for each in module.body if isinstance(each, ast.ClassDef) and not each.name.startswith("_")]
    for node in [node for body in (module.body, *(each.body for each in classes)) for node in body]:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name not in LIBRARIES:
            docstring = (ast.get_docstring(node) or "").replace("See `", "see `")
            if _parameters(node) > FEW_PARAMETERS and not _is_interface(node) and not any(t in docstring for t in TOLD):
                yield node.name


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(parameter.arg not in ("self", "cls") for parameter in parameters)


def _is_interface(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
    return any(name in decorators for name in INTERFACES)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


FILES = [*ROOT.glob("libs/*/src/**/*.py"), *ROOT.glob("locations/*/src/**/*.py")]


def test_no_function_is_too_large() -> None:
    assert len(FILES) > 200
    found = [f"{file.relative_to(ROOT)} {what}" for file in FILES for what in too_large(file.read_text())]
    assert [each for each in found if each.split()[1].rstrip(":") not in EXCUSED] == []
    assert len(found) == len(EXCUSED)


def test_a_large_function_is_found() -> None:
    wide = "def wide(a, b, c, d, e, f, g, h):\n    pass\n"
    long = 'def long():\n    """Doc."""\n' + "    pass\n" * 60
    route = "@router.get('/')\n" + wide

    assert list(too_large(wide + long + route)) == ["wide: 8 parameters", "long: 61 lines"]


def test_docstrings_tell_each_of_four_parameters() -> None:
    assert [f"{file.relative_to(ROOT)} {name}" for file in FILES for name in untold(file.read_text())] == []


def test_parameters_that_are_not_told_are_found() -> None:
    four = 'def %s(a, b, c, d):\n    """%s"""\n'

    assert list(untold(four % ("four", "Four.") + four % ("told", "See `four`.") + four % ("_own", "Ours."))) == [
        "four"
    ]
