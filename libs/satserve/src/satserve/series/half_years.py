"""Rows of half a year sorted by field, so that one field's rows lie together; a cache on disk, made when asked for.

The log keeps a day's rows together. Two seasons of one field are then 730 objects, which take seconds to read. Here
each column of a region's half year is one Arrow file, sorted by field and day: a field's values are one slice of it,
which is mapped into memory. A folder is named by the objects that gave its rows, so that it is never out of date:
another publication is another folder, made of the one before and the days that changed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from satcommon.publication.objects import ResultObjects
from satcommon.stats import result_rows
from satcommon.telemetry.logs import logger

from satserve.metrics import count_built
from satserve.series.snapshots import HalfYear, Snapshot

_OPEN = 4096  # files that this process keeps mapped
_DAYS_ONCE = 31  # days whose rows are read before they are put together


class HalfYears:
    """The cache.

    Args:
        folder: where it is; processes share it.
        most_bytes: of it; the folders that were longest unused go first.
        objects: of the store.
    """

    def __init__(self, folder: Path, most_bytes: int, objects: ResultObjects) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._objects = objects
        self._open: OrderedDict[str, pa.Array] = OrderedDict()
        self._current: dict[tuple[int, HalfYear], str] = {}
        self._lock = threading.Lock()

    def rows(self, snapshot: Snapshot, halves: Sequence[HalfYear], field: str, columns: Sequence[str]) -> pa.Table:
        """A field's rows of some half years, by day.

        Args:
            snapshot: what gives the region's rows.
            halves: the half years, one or more of the snapshot's, in order.
            field: by external id.
            columns: that are read; `day` comes first, whether or not it is among them.

        Raises:
            ObjectMissingError: an object is lost, or was removed meanwhile.
            DamagedObjectError: an object is not the one that was put.
        """
        names = ["day", *(name for name in columns if name not in ("day", "field"))]
        parts = [self._values(snapshot, half, field, names) for half in halves]
        return pa.table([pa.concat_arrays(values) for values in zip(*parts, strict=True)], names=names)

    def _values(self, snapshot: Snapshot, half: HalfYear, field: str, names: Sequence[str]) -> list[pa.Array]:
        # As text: to make and hash paths took a tenth of a request.
        folder = f"{self._folder}/{snapshot.bbox_id}/{half.name}-{snapshot.versions[half]}"
        self._follow((snapshot.bbox_id, half), folder)
        try:
            return self._sliced(folder, field, names)
        except (FileNotFoundError, pa.ArrowInvalid):  # not made yet, or cut off by the end of the machine
            self._make(snapshot, half, Path(folder), names)
            return self._sliced(folder, field, names)

    def _follow(self, place: tuple[int, HalfYear], folder: str) -> None:
        """Let go of the files before: while they are mapped, their removal gives no room on the disk."""
        before = self._current.get(place)
        if before != folder:
            with self._lock:
                self._current[place] = folder
                for file in [file for file in self._open if file.startswith(f"{before}/")]:
                    del self._open[file]

    def _sliced(self, folder: str, field: str, names: Sequence[str]) -> list[pa.Array]:
        fields, ends = self._column(folder, "fields"), self._column(folder, "ends")
        at = bisect_left(range(len(fields)), field, key=lambda i: fields[i].as_py())
        start = end = 0
        if at < len(fields) and fields[at].as_py() == field:
            start, end = ends[at - 1].as_py() if at else 0, ends[at].as_py()
        slices = [self._column(folder, name).slice(start, end - start) for name in names]
        return [s.dictionary_decode() if pa.types.is_dictionary(s.type) else s for s in slices]

    def _column(self, folder: str, name: str) -> pa.Array:
        file = f"{folder}/{name}.arrow"
        column = self._open.get(file)
        if column is None:
            with pa.memory_map(file) as source:
                column = pa.ipc.open_file(source).get_batch(0).column(0)
            with self._lock:
                self._open[file] = column
                while len(self._open) > _OPEN:
                    self._open.popitem(last=False)
        return column

    # --- making ----------------------------------------------------------------------------------------------------

    def _make(self, snapshot: Snapshot, half: HalfYear, folder: Path, names: Sequence[str]) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.parent / f"{half.year}.{half.half}.lock"):
            missing = [name for name in names if not _is_whole(folder / f"{name}.arrow")]
            if not missing and _is_whole(folder / "ends.arrow"):
                with self._lock:  # another process has made them
                    self._open.clear()
                return
            before = self._newest(folder, half)
            if before is not None and not folder.exists():
                missing = sorted(
                    {*missing, *(file.stem for file in before.glob("*.arrow")), "day"} - {"fields", "ends"}
                )
            rows = self._read(snapshot, half, before, missing)
            _write(folder, rows, snapshot.halves[half])
            count_built(len(missing))
            if before is not None:
                logger(__name__).info("half year sorted anew", folder=folder.name, before=before.name)
                shutil.rmtree(before, ignore_errors=True)  # who has its files mapped keeps them
        self._shrink(folder)

    def _newest(self, folder: Path, half: HalfYear) -> Path | None:
        """The folder of the same half year that was made last, of older rows."""
        found = [f for f in folder.parent.glob(f"{half.name}-*") if f != folder and (f / "days.json").exists()]
        return max(found, key=lambda f: f.stat().st_mtime, default=None)

    def _read(self, snapshot: Snapshot, half: HalfYear, before: Path | None, names: Sequence[str]) -> pa.Table:
        """The rows of half a year: those of days that are the same from the folder before, the others from the log."""
        versions = snapshot.halves[half]
        columns = ["field", *(name for name in names if name != "day")]
        parts: list[pa.Table] = []
        same: set[date] = set()
        if before is not None:
            with suppress(FileNotFoundError, pa.ArrowInvalid):
                parts, same = self._same(before, versions, columns)
        reading: list[pa.Table] = []
        for day in versions:
            if day not in same:
                rows = snapshot.days.rows(self._objects, day, columns)
                reading.append(_narrow(rows).append_column("day", pa.array([day] * rows.num_rows, pa.date32())))
            if len(reading) == _DAYS_ONCE:
                parts.append(pa.concat_tables(reading).unify_dictionaries().combine_chunks())
                reading = []
        schema = pa.schema([result_rows.column(name) for name in [*columns, "day"]])
        parts = [*parts, *reading] or [_narrow(schema.empty_table())]
        return pa.concat_tables(parts).unify_dictionaries().combine_chunks()

    def _same(
        self, before: Path, versions: Mapping[date, str], columns: Sequence[str]
    ) -> tuple[list[pa.Table], set[date]]:
        known = json.loads((before / "days.json").read_text())
        same = {day for day, version in versions.items() if known.get(day.isoformat()) == version}
        fields, ends = self._column(str(before), "fields"), self._column(str(before), "ends").to_numpy()
        codes = np.repeat(np.arange(len(fields), dtype=np.int32), np.diff(ends, prepend=0))
        arrays = [pa.DictionaryArray.from_arrays(codes, fields)]
        arrays += [self._column(str(before), name) for name in [*columns[1:], "day"]]
        rows = pa.table(arrays, names=[*columns, "day"])
        return [rows.filter(pc.is_in(rows["day"], value_set=pa.array(sorted(same), pa.date32())))], same

    def _shrink(self, folder: Path) -> None:
        """Remove the folders that were longest unused, until the cache is as small as it may be."""
        with suppress(OSError):
            folder.touch()
        sizes: dict[Path, tuple[float, int]] = {}
        for each in self._folder.glob("*/*-*"):
            with suppress(OSError):
                sizes[each] = (each.stat().st_mtime, sum(file.stat().st_size for file in each.iterdir()))
        total = sum(size for _, size in sizes.values())
        for each, (_, size) in sorted(sizes.items(), key=lambda item: item[1][0]):
            if total <= self._most_bytes or each == folder:
                break
            shutil.rmtree(each, ignore_errors=True)
            total -= size


def _narrow(rows: pa.Table) -> pa.Table:
    """Rows whose text is told by numbers: few texts are in many rows."""
    for i, column in enumerate(rows.schema):
        if pa.types.is_string(column.type):
            rows = rows.set_column(i, column.name, rows[column.name].dictionary_encode())
    return rows


def _write(folder: Path, rows: pa.Table, versions: Mapping[date, str]) -> None:
    """Write columns, each into a file that appears whole."""
    names = rows["field"].combine_chunks()
    names = names.chunk(0) if isinstance(names, pa.ChunkedArray) else names
    fields = sorted(set(names.dictionary.to_pylist()) if len(names) else set())
    place = {name: i for i, name in enumerate(fields)}
    codes = (
        np.array([place[name] for name in names.dictionary.to_pylist()], np.int64)[names.indices.to_numpy()]
        if len(names)
        else np.zeros(0, np.int64)
    )
    days = rows["day"].combine_chunks().cast(pa.int32()).to_numpy(zero_copy_only=False)
    order = pa.array(np.argsort(codes * 1_000_000 + days, kind="stable"))
    ends = np.cumsum(np.bincount(codes, minlength=len(fields)))
    folder.mkdir(exist_ok=True)
    for name in rows.column_names:
        if name != "field":
            column = rows[name].combine_chunks()
            _put(
                folder / f"{name}.arrow",
                name,
                (column.chunk(0) if isinstance(column, pa.ChunkedArray) else column).take(order),
            )
    _put(folder / "fields.arrow", "fields", pa.array(fields, pa.string()))
    _put(folder / "ends.arrow", "ends", pa.array(ends, pa.int64()))
    told = {day.isoformat(): version for day, version in versions.items()}
    _replace(folder / "days.json", lambda path: path.write_text(json.dumps(told)))


def _put(file: Path, name: str, column: pa.Array) -> None:
    batch = pa.record_batch([column], names=[name])

    def write(path: Path) -> None:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)

    _replace(file, write)


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
    os.close(handle)
    write(Path(name))
    Path(name).replace(file)


def _is_whole(file: Path) -> bool:
    try:
        with pa.memory_map(str(file)) as source:
            pa.ipc.open_file(source)
    except (FileNotFoundError, pa.ArrowInvalid):
        return False
    return True


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One process and thread at a time, whatever ends it."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
