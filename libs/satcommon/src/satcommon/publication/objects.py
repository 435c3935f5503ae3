"""Result objects: rows of a region, immutable, each under a key never used before.

All rows of a day are a Parquet object, sorted by field. Its row groups hold 5,000 rows: one field is read without the
others, and all of them as fast as in one group (groups of 1,000 take twice as long to read, and 1.6 times to write).
A reader of parts checks the footer by its digest in the key, and row groups by their digests in the footer (Parquet's
checksums leave out the headers of pages); one of the whole checks the object's digest.

A patch is an Arrow stream, compressed by Zstandard as a whole, sorted by day and field: 30 rows take 11 kB and 0.1 ms
to read, as Parquet 20 kB and 1.5 ms, of which a day with eight patches would take eight.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import uuid
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from satcommon.db.publications import Layer, StoredObject
from satcommon.errors import DamagedObjectError, ObjectMissingError, StoreError
from satcommon.stats.result_rows import OPTIONAL, SCHEMA, completed, only, schema_of
from satcommon.storage.object_store import ObjectStore

CAUSE, WITHDRAWN = "cause", "withdrawn"


def patch_schema(names: Iterable[str] = ()) -> pa.Schema:
    """The columns of a patch: a row's, why it was recomputed, and whether the row is taken out instead.

    Args:
        names: of columns, among them those of further indices that its rows have.
    """
    return schema_of(names).append(pa.field(CAUSE, pa.string())).append(pa.field(WITHDRAWN, pa.bool_()))


PATCH = patch_schema()
"""The columns of every patch."""

_GROUP_ROWS = 5000
_FEW_FIELDS = 64  # looked up in a group before its rows are read
_GROUPS = "satfields.groups"  # in the footer: start, end and digest of each row group
_FOOTER_OF_KEY = re.compile(r"-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{16})\.parquet$")
_FOOTER_END = 8  # bytes: the footer's length, and the format's name
_KEPT_PATCHES = 64 << 20  # bytes of patches that are kept: the next day of a chunk needs the same ones


def encode(table: pa.Table) -> bytes:
    """The canonical bytes of a day's rows, sorted by field: the same for the same rows, whatever their history.

    A column of `OPTIONAL` that no row has is left out: without them an object is what it was before they came.
    """
    sink = io.BytesIO()
    rows = _cast(table, schema_of(table.column_names)).sort_by("field").combine_chunks()
    pq.write_table(_filled(rows), sink, compression="zstd")
    return sink.getvalue()


def decode(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """The rows of a Parquet object's bytes. One thread reads them: a pool takes longer than a small object needs."""
    return completed(_read(pq.ParquetFile(pa.BufferReader(data)), columns), columns)


def digest(data: bytes | memoryview) -> str:
    """Identifies an object's content."""
    return hashlib.sha256(data).hexdigest()


class _Patch(NamedTuple):
    """A patch in memory."""

    rows: pa.Table
    days: NDArray[np.int32]  # of the rows, ascending, since 1970
    size: int  # in bytes


class ResultObjects:
    """The result objects of a store."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._patches: OrderedDict[str, _Patch] = OrderedDict()  # the latest

    def put_day(self, bbox_id: int, day: date, rows: pa.Table, now: datetime) -> StoredObject:
        """Store all rows of a day.

        Args:
            bbox_id: the region.
            day: the day.
            rows: of `stats.result_rows`.
            now: the present.
        """
        sink = io.BytesIO()
        rows = _filled(_cast(rows, schema_of(rows.column_names)).sort_by("field").combine_chunks())
        with pq.ParquetWriter(sink, rows.schema, compression="zstd", write_statistics=["field"]) as writer:
            groups = []
            for first in range(0, rows.num_rows, _GROUP_ROWS):
                start = sink.tell()
                writer.write_table(rows.slice(first, _GROUP_ROWS))
                groups.append([start, sink.tell(), digest(sink.getbuffer()[start:])])
            writer.add_key_value_metadata({_GROUPS: json.dumps(groups)})
        data = sink.getvalue()
        footer = digest(data[-_footer_length(data[-_FOOTER_END:]) :])[:16]
        return self._put(bbox_id, day, data, f"-{footer}.parquet", now)

    def put_patch(self, bbox_id: int, rows: pa.Table, now: datetime) -> StoredObject:
        """Store the rows of a patch.

        Args:
            bbox_id: the region.
            rows: with the columns of `PATCH`; not none.
            now: the present.
        """
        rows = _cast(rows, patch_schema(rows.column_names))
        rows = _filled(rows.sort_by([("day", "ascending"), ("field", "ascending")]).combine_chunks())
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream, pa.ipc.new_stream(stream, rows.schema) as writer:
            writer.write_table(rows)
        return self._put(bbox_id, rows["day"][0].as_py(), sink.getvalue().to_pybytes(), ".arrow.zst", now)

    def _put(self, bbox_id: int, day: date, data: bytes, suffix: str, now: datetime) -> StoredObject:
        told = digest(data)
        key = f"results/{bbox_id}/{day:%Y/%m/%d}-{uuid.uuid4().hex}-{told[:16]}{suffix}"
        self.store.put(key, data)
        return StoredObject(key, told, now)

    def read_day(
        self, layer: Layer, columns: list[str] | None = None, fields: Collection[str] | None = None
    ) -> pa.Table:
        """The rows of an object of all rows of a day, by field, without optional columns that none has.

        Args:
            layer: the publication.
            columns: that are read; None for all.
            fields: whose rows are read; None for all.

        Raises:
            ObjectMissingError: it is lost, or was removed meanwhile.
            DamagedObjectError: it is not the one that was put.
            StoreError: the store could not be read, whatever the object is.
        """
        if layer.object_key is None:
            rows = SCHEMA.empty_table()
            return rows if columns is None else rows.select(columns)
        footer = _FOOTER_OF_KEY.search(layer.object_key)
        try:
            if fields is None or footer is None:
                rows = _read(pq.ParquetFile(pa.BufferReader(self._bytes(layer))), columns)
                return rows if fields is None else only(rows, sorted(fields))
            return self._some(layer.object_key, footer[1], columns, fields)
        except ObjectMissingError as error:
            raise self._missing(layer) from error
        except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the system's own, which say nothing of content
                raise StoreError(
                    f"the store {self.store.url} (SATFIELDS_STORE) could not be read for {layer.object_key!r}: {error}"
                ) from error
            raise self._damaged(layer) from error

    def read_patch(self, layer: Layer) -> pa.Table:
        """The rows of a patch of a layer's day, with the columns of `PATCH`, without optional ones that none has.

        Raises:
            ObjectMissingError: it is lost, or was removed meanwhile.
            DamagedObjectError: it is not the one that was put.
        """
        assert layer.object_key is not None
        known = self._patches.get(layer.object_key)
        if known is None:
            known = self._patches[layer.object_key] = self._decoded_patch(layer)
            while len(self._patches) > 1 and sum(patch.size for patch in self._patches.values()) > _KEPT_PATCHES:
                self._patches.popitem(last=False)
        self._patches.move_to_end(layer.object_key)
        number = layer.day.toordinal() - _EPOCH
        start, end = np.searchsorted(known.days, [number, number + 1])
        return known.rows.slice(start, end - start)

    def _decoded_patch(self, layer: Layer) -> _Patch:
        try:
            with pa.CompressedInputStream(pa.BufferReader(self._bytes(layer)), "zstd") as stream:
                data = stream.read()
            rows = pa.ipc.open_stream(data).read_all()  # one batch
        except ObjectMissingError as error:
            raise self._missing(layer) from error
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(layer) from error
        days = rows["day"].chunk(0).cast(pa.int32()).to_numpy()
        return _Patch(rows, days, len(data))

    def check(self, layer: Layer) -> None:
        """Read a whole object.

        Raises:
            ObjectMissingError: it is lost, or was removed meanwhile.
            DamagedObjectError: it is not the one that was put.
        """
        if layer.object_key is not None and layer.object_key not in self._patches:
            try:
                self._bytes(layer)
            except ObjectMissingError as error:
                raise self._missing(layer) from error

    def _bytes(self, layer: Layer) -> bytes:
        assert layer.object_key is not None
        data = self.store.get(layer.object_key)
        if layer.object_digest is not None and digest(data) != layer.object_digest:
            raise self._damaged(layer)
        return data

    def _some(self, key: str, footer: str, columns: list[str] | None, fields: Collection[str]) -> pa.Table:
        """The rows of some fields, from the row groups that can hold them."""
        with _opened(self.store, key) as source:
            size = source.size()
            source.seek(max(0, size - _FOOTER_END))
            length = _footer_length(source.read())
            source.seek(max(0, size - length))
            if not digest(source.read()).startswith(footer):
                raise pa.ArrowInvalid("another footer")
            file = pq.ParquetFile(source)
            groups = _groups(file, fields)
            told = json.loads(file.metadata.metadata[_GROUPS.encode()])
            for start, end, its_digest in (told[group] for group in groups):
                source.seek(start)
                if digest(source.read(end - start)) != its_digest:
                    raise pa.ArrowInvalid("another row group")
            if len(fields) <= _FEW_FIELDS:
                wanted = set(fields)
                groups = [g for g in groups if not wanted.isdisjoint(_names(file, g))]
            return only(_read(file, columns, groups), sorted(fields))

    def _missing(self, layer: Layer) -> ObjectMissingError:
        return ObjectMissingError(
            f"{layer.day}: the object {layer.object_key} of {layer.name} is not in {self.store.url} (SATFIELDS_STORE); "
            "run `satctl audit --repair`, which puts its days on the list"
        )

    def _damaged(self, layer: Layer) -> DamagedObjectError:
        return DamagedObjectError(
            f"{layer.day}: the object {layer.object_key} of {layer.name} in {self.store.url} (SATFIELDS_STORE) is not "
            "the one that was put there; run `satctl audit --repair`, which puts its days on the list"
        )


_EPOCH = date(1970, 1, 1).toordinal()


def _filled(table: pa.Table) -> pa.Table:
    """The table without the optional columns that no row has."""
    optional = _OPTIONAL.intersection(table.column_names)
    return table.drop_columns([name for name in optional if table[name].null_count == table.num_rows])


_OPTIONAL = frozenset(OPTIONAL)


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return completed(table, schema.names).cast(schema)


def _read(file: pq.ParquetFile, columns: list[str] | None, groups: list[int] | None = None) -> pa.Table:
    """The columns that the file has."""
    if groups is None:
        rows = file.read(columns=columns, use_threads=False)
    else:
        rows = file.read_row_groups(groups, columns=columns, use_threads=False)
    return rows.replace_schema_metadata(None)  # that is the footer's


def _groups(file: pq.ParquetFile, fields: Collection[str]) -> list[int]:
    """The row groups between whose first and last field one of the fields lies."""
    position = file.schema_arrow.get_field_index("field")
    bounds = [file.metadata.row_group(g).column(position).statistics for g in range(file.num_row_groups)]
    ordered = sorted(fields)
    return [
        group
        for group, bound in enumerate(bounds)
        if bound is None or bisect_left(ordered, bound.min) < bisect_right(ordered, bound.max)
    ]


def _names(file: pq.ParquetFile, group: int) -> list[str]:
    names: list[str] = file.read_row_group(group, columns=["field"], use_threads=False)["field"].to_pylist()
    return names


def _footer_length(end: bytes) -> int:
    """The length of a Parquet footer, which its last bytes tell."""
    if len(end) != _FOOTER_END:
        raise pa.ArrowInvalid("no Parquet")
    return int(struct.unpack("<I", end[:4])[0]) + _FOOTER_END


@contextmanager
def _opened(store: ObjectStore, key: str) -> Iterator[pa.NativeFile]:
    """An object, to be read in parts.

    Raises:
        ObjectMissingError: nothing is under the key.
        StoreError: the store could not be reached.
    """
    file = store.file_of(key)
    if isinstance(file, str):
        try:
            source = pa.OSFile(file)  # a memory map would end the process where the disk fails
        except FileNotFoundError:
            raise ObjectMissingError(key) from None
        with source:
            yield source
        return
    file.begin()
    try:
        with pa.PythonFile(file.opener(), "r") as source:
            yield source
    except (pa.ArrowInvalid, OSError):
        if file.failed is not None:  # looks like a short object
            raise file.failed from None
        raise
