"""What is published is read in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
READERS = {"read_day", "read_patch", "decode"}


def uses(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in READERS - {"decode"}:
            yield node.attr
        if isinstance(node, ast.ImportFrom) and node.module == "satcommon.publication.objects":
            yield from (name.name for name in node.names if name.name in READERS)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("results/"):
            yield node.value


def test_only_the_publication_folder_opens_result_objects() -> None:
    sources = [*ROOT.glob("libs/*/src/**/*.py"), *ROOT.glob("locations/*/src/**/*.py")]
    found = {
        (str(path.relative_to(ROOT)), use)
        for path in sources
        if "publication" not in path.parts
        for use in uses(ast.parse(path.read_text()))
    }

    listings = {"libs/satcommon/src/satcommon/audit/garbage.py", "libs/satcommon/src/satcommon/audit/audit.py"}
    assert {each for each in found if each[0] not in listings or each[1] in READERS} == set()
