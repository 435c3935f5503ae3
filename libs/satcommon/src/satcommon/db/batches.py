"""Long lists of ids in statements: in batches, since databases bound the number of parameters."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select
from sqlalchemy.orm import InstrumentedAttribute

_SIZE = 5000  # SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535


def batches(values: Collection[Any]) -> Iterator[tuple[Any, ...]]:
    """The values in pieces that fit a statement."""
    iterator = iter(values)
    while batch := tuple(itertools.islice(iterator, _SIZE)):
        yield batch


def rows_in(
    connection: Connection,
    statement: Select[Any],
    column: InstrumentedAttribute[Any],
    values: Collection[Any] | None,
) -> Sequence[Row[Any]]:
    """The rows whose column is one of the values; all rows where that is None."""
    if values is None:
        return connection.execute(statement).all()
    return [row for batch in batches(values) for row in connection.execute(statement.where(column.in_(batch)))]
