"""Write the table of indices from spyndex's catalogue, Awesome Spectral Indices: `make indices`. A test compares them.

spyndex itself stays out of the images: it loads xarray and pandas, and reads its catalogue anew at each call.
"""

import ast
import json
from pathlib import Path
from typing import Any

import spyndex
from satcommon.raster.formula import FormulaError, compiled
from satcommon.raster.indices import CATALOGUE, LETTERS

DOMAINS = ("vegetation", "water", "soil", "burn", "snow")
# Statistics are of clear cells, where indices of clouds say nothing; fields have no buildings.
LEFT_OUT = ("BaI", "mSR705")  # differ from BAI and MSR705 by capitals alone; a column's name has none


def catalogue() -> dict[str, dict[str, Any]]:
    """The indices that can be computed here, by column: of our bands, and of constants with a default."""
    found = {}
    for name, index in spyndex.indices.items():
        used = sorted({node.id for node in ast.walk(ast.parse(index.formula)) if isinstance(node, ast.Name)})
        constants = {one: spyndex.constants[one].default for one in used if one in spyndex.constants}
        if name in LEFT_OUT or index.application_domain not in DOMAINS or None in constants.values():
            continue
        try:
            compiled(index.formula, constants, LETTERS)
        except FormulaError:
            continue
        found[name.lower()] = {
            "name": name,
            "long_name": index.long_name,
            "domain": index.application_domain,
            "formula": index.formula,
            "constants": {one: float(value) for one, value in constants.items()},
            "platforms": index.platforms,
            "reference": index.reference,
        }
    return dict(sorted(found.items()))


def table() -> str:
    """The file: an index a line."""
    lines = (f"{json.dumps(column)}: {json.dumps(index)}" for column, index in catalogue().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    Path(CATALOGUE).write_text(table(), encoding="utf-8")
