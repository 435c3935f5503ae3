"""Rows of the database as typed records: a row of `regions` is a `Region` to the type checker, with its columns only.

SQLAlchemy types a Core row by position, so that each of its attributes is `Any` and a misspelt column passes. Here a
SELECT of all columns of a model is typed by the model, and so are its rows. At run time they stay rows of SQLAlchemy
Core: read-only, as fast as ever, and known to no session. Read their columns as attributes, and nothing else of the
model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Connection, Select, select
from sqlalchemy.orm import InstrumentedAttribute

from satcommon.db.models import Base
from satcommon.db.statement_batches import rows_in

Record = TypeVar("Record")
Model = TypeVar("Model", bound=Base)
Parameters = Mapping[str, Any]


def select_all(model: type[Model], *more: ColumnElement[Any]) -> Select[tuple[Model]]:
    """A SELECT of a model's columns.

    Args:
        model: of the table.
        more: labelled columns besides, each an attribute that `model` declares.
    """
    return select(*model.__table__.columns, *more)


def typed(rows: Iterable[Any], record: type[Record]) -> Iterable[Record]:  # noqa: ARG001  # for the type checker
    """The rows themselves, of which each has the attributes of `record`.

    This is the one cast between rows and records. Whoever calls it answers for the statement's columns.
    """
    return cast("Iterable[Record]", rows)


def all_of(
    connection: Connection, statement: Select[tuple[Record]], parameters: Parameters | None = None
) -> Sequence[Record]:
    """All rows of a statement of `select_all`."""
    return cast("Sequence[Record]", connection.execute(statement, parameters).all())


def first(
    connection: Connection, statement: Select[tuple[Record]], parameters: Parameters | None = None
) -> Record | None:
    """The first row of a statement of `select_all`; None where there is none."""
    return cast("Record | None", connection.execute(statement, parameters).first())


def one(connection: Connection, statement: Select[tuple[Record]], parameters: Parameters | None = None) -> Record:
    """The only row of a statement of `select_all`.

    Raises:
        sqlalchemy.exc.NoResultFound: there is none.
        sqlalchemy.exc.MultipleResultsFound: there are several.
    """
    return cast("Record", connection.execute(statement, parameters).one())


def all_in(
    connection: Connection,
    statement: Select[tuple[Record]],
    column: InstrumentedAttribute[Any],
    values: Collection[Any] | None,
) -> Sequence[Record]:
    """The rows of a statement of `select_all` whose column has one of the values, in batches.

    Args:
        connection: of a transaction.
        statement: of `select_all`.
        column: that is compared.
        values: any number of them; None for all rows.
    """
    return cast("Sequence[Record]", rows_in(connection, statement, column, values))
