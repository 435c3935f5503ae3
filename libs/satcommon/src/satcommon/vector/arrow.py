"""Features of an Arrow table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from satcommon.errors import InputError
from satcommon.vector.crs import to_wgs84
from satcommon.vector.table import Features, from_wkb


def features_of(
    path: Path,
    table: Any,
    names: Sequence[str],
    chosen: Sequence[str],
    geometry: str,
    crs: Any,
    remarks: Sequence[str] = (),
) -> Features:
    """The features of a table's rows.

    Args:
        path: the file.
        table: a `pyarrow.Table`.
        names: of all attributes of the file.
        chosen: the columns to be read.
        geometry: the column of WKB.
        crs: of the geometries.
        remarks: warnings about the file so far.

    Raises:
        InputError: the CRS can't be used.
        ValueError: a column can't be read.
    """
    geometries, broken = from_wkb(table.column(geometry).to_numpy())
    for name in chosen:
        _refuse_lost_digits(path, name, table.column(name))
    columns = {name: table.column(name).to_pylist() for name in chosen}
    geometries, nowhere = to_wgs84(geometries, crs, path) if table.num_rows else (geometries, {})
    return Features(
        path, range(1, table.num_rows + 1), names, columns, geometries, broken | nowhere, remarks=list(remarks)
    )


def _refuse_lost_digits(path: Path, name: str, column: Any) -> None:
    """Refuse whole numbers too large for a narrow float, which has rounded them; doubles are checked one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    exact = {pa.float32(): 2**24, pa.float16(): 2**11}.get(column.type)
    if exact is None:
        return
    largest = pc.max(pc.abs(column.cast(pa.float64()))).as_py()
    if largest is not None and largest >= exact:
        raise InputError(
            f"{path}: column {name!r} holds {largest:.0f} as a {column.type}, which keeps whole numbers below {exact:,}"
            " alone: digits are lost; write the column as text or whole numbers"
        )
