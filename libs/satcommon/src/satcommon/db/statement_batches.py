"""Long lists in statements: in batches, since databases limit the number of parameters, and many rows per statement.

PostgreSQL spends more on each statement than on its row. It gets one array a column: two to three times as fast as a
statement a row. SQLite gets many new rows as JSON: otherwise SQLAlchemy prepares every value of every row, even those
that all rows have in common.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, Row, Select, Update, bindparam, func, literal, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute

from satcommon.db.models import Base

_SIZE = 5000  # SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535
_FEW_ROWS = 100  # on SQLite, written one by one
_ROWS = 10_000  # per statement on PostgreSQL: more gain nothing, and make a statement long


def batches(values: Collection[Any], size: int = _SIZE) -> Iterator[tuple[Any, ...]]:
    """The values in pieces that fit a statement."""
    iterator = iter(values)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch


def rows_in(
    connection: Connection,
    statement: Select[Any],
    column: InstrumentedAttribute[Any],
    values: Collection[Any] | None,
) -> Sequence[Row[Any]]:
    """The rows whose column is one of the values; all rows where that is None.

    Args:
        connection: of a transaction.
        statement: without the condition on `column`.
        column: that is compared.
        values: any number of them.
    """
    if values is None:
        return connection.execute(statement).all()
    return [row for batch in batches(values) for row in connection.execute(statement.where(column.in_(batch)))]


def upsert(connection: Connection) -> Any:
    """The database's own INSERT with ON CONFLICT; both databases take the same SQL here."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def insert_rows(
    connection: Connection,
    model: type[Base],
    rows: Collection[Mapping[str, Any]],
    same: Mapping[str, Any],
    on_conflict: Callable[[Any], Any] = lambda statement: statement,
) -> None:
    """Insert many rows.

    Args:
        connection: of a write transaction.
        model: the table's.
        rows: what differs, by column; each has the same columns. No two may conflict with each other.
        same: what all rows have in common, by column.
        on_conflict: adds the ON CONFLICT clause, if there is to be one.
    """
    statement = upsert(connection)(model)
    postgres = connection.dialect.name == "postgresql"
    if not postgres and len(rows) < _FEW_ROWS:
        if rows:
            connection.execute(on_conflict(statement), [{**row, **same} for row in rows])
        return
    columns = model.__table__.c
    common = [literal(value, columns[name].type) for name, value in same.items()]
    for batch in batches(rows, _ROWS):
        keys = {name: name for name in batch[0]}
        given = _given(model, keys, batch) if postgres else _given_as_json(connection, model, keys, batch)
        # SQLite parses ON CONFLICT as part of a join, unless a WHERE precedes it.
        statement_of_all = statement.from_select([*keys, *same], select(*given.values(), *common).where(true()))
        connection.execute(on_conflict(statement_of_all))


def for_each(
    connection: Connection,
    model: type[Base],
    keys: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    statement: Callable[[Mapping[str, ColumnElement[Any]]], Update | Delete],
) -> None:
    """Update or delete many rows.

    Args:
        connection: of a write transaction.
        model: the table's.
        keys: the column whose type each key of a row has.
        rows: by key.
        statement: what to do, made of what stands for a row's keys; at most one row of the table fits each.
    """
    if connection.dialect.name != "postgresql":
        if rows:
            connection.execute(statement({name: bindparam(name) for name in keys}), rows)
        return
    for batch in batches(rows, _ROWS):
        connection.execute(statement(_given(model, keys, batch)))


def _given(
    model: type[Base], keys: Mapping[str, str], rows: Collection[Mapping[str, Any]]
) -> dict[str, ColumnElement[Any]]:
    """Columns of rows that the statement brings along."""
    types = {name: model.__table__.c[column].type for name, column in keys.items()}
    arrays = [literal([row[name] for row in rows], postgresql.ARRAY(kind)) for name, kind in types.items()]
    table = func.unnest(*arrays).table_valued(*keys, name="given").render_derived()
    return {name: table.c[name] for name in keys}


def _given_as_json(
    connection: Connection, model: type[Base], keys: Mapping[str, str], rows: Collection[Mapping[str, Any]]
) -> dict[str, ColumnElement[Any]]:
    """As `_given`, for SQLite, whose values are numbers, texts and NULL."""
    processors = {
        name: model.__table__.c[column].type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
        for name, column in keys.items()
    }
    columns = [
        [row[name] if processor is None else processor(row[name]) for row in rows]
        for name, processor in processors.items()
    ]
    table = func.json_each(json.dumps(list(zip(*columns, strict=True)))).table_valued("value", name="given")
    return {name: func.json_extract(table.c.value, f"$[{i}]") for i, name in enumerate(keys)}
