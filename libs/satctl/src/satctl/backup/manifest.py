"""What a backup says of itself. It is written last: a backup without a manifest is none."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict

FORMAT = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Part(_Record):
    """An object of the backup: a piece of a stream, compressed by Zstandard.

    Attributes:
        stream: the stream that it is a piece of; pieces follow each other in the manifest's order.
        key: of the object, below the backups' folder or prefix.
        size: of the object, in bytes.
        digest: of the object, SHA-256.
        content_size: of the piece before compression, in bytes.
    """

    stream: str
    key: str
    size: int
    digest: str
    content_size: int


class TableCopy(_Record):
    """A table: its columns, in the copy's order, and its number of rows."""

    columns: list[str]
    rows: int


class RegionCopy(_Record):
    """How far a region was: the sequence of its last publication, and its watermark."""

    region: str
    sequence: int
    watermark: date | None


class Objects(_Record):
    """The objects that the ledger names: how many, their bytes, how many were lost before, and their list's digest."""

    count: int
    size: int
    lost: int
    digest: str


class Manifest(_Record):
    """A complete backup.

    Attributes:
        format: of this record and of the parts.
        name: of the backup.
        taken_at: the instant that its snapshot was taken; what was committed later is not in it.
        satctl: the version that took it.
        database: ``sqlite`` (the file) or ``postgresql`` (the rows of each table, as COPY writes them).
        revision: of the schema.
        store: the URL of the object store that the ledger belongs to.
        regions: how far each was.
        tables: by name, in an order in which rows can be entered.
        objects: what the ledger names in the store; their list is the stream ``objects``.
        parts: of all streams.
    """

    format: int
    name: str
    taken_at: datetime
    satctl: str
    database: str
    revision: str
    store: str
    regions: list[RegionCopy]
    tables: dict[str, TableCopy]
    objects: Objects
    parts: list[Part]

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def size(self) -> int:
        """The bytes of the backup's objects."""
        return sum(part.size for part in self.parts)
