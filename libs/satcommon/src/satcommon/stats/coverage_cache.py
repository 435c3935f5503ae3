"""Coverage, computed once for each polygon and kept in the object store.

Coverage depends on geometry, grid and rule alone, so it is kept in packs under a key that names grid and rule. A pack
is written once and never changed; writers that race write the same coverage twice, harmlessly. Where there are many
small packs, whoever writes one more joins some. The cache is never the truth: delete it, and it is rebuilt.

A pack is an Arrow file: Parquet's levels and dictionaries make it no smaller and five times as slow to read.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from satcommon.errors import ObjectMissingError
from satcommon.geo.grid import Grid
from satcommon.stats.algorithm import Algorithm
from satcommon.stats.coverage import Coverage, Part, cover
from satcommon.storage.object_store import ObjectStore

_MANY_PACKS = 16  # from this many on, some are joined: a process reads all of them before its first day
_LISTINGS = 3  # of packs, while others are joined


class CoverageCache:
    """The coverage of polygons on a grid, by geometry digest.

    Args:
        store: where packs are kept.
        grid: of the region.
        rules: of the algorithm version, whose coverage rule counts.
    """

    def __init__(self, store: ObjectStore, grid: Grid, rules: Algorithm) -> None:
        self._store, self.grid, self._rules = store, grid, rules
        self._prefix = f"coverage/{grid.digest}/{rules.coverage_rule}/"
        self._packs: dict[str, int] = {}  # those read or written, and the number of their polygons
        self._known: list[Coverage] = []
        self._starts: list[int] = [0]  # of each of them, in the count of all polygons, and their number
        self._at: dict[str, int] = {}  # where each polygon is, in that count
        self._last: tuple[list[str], Coverage] = ([], Coverage.of([]))

    def get(
        self, digests: Sequence[str], geometries_of: Callable[[list[str]], Mapping[str, bytes]]
    ) -> tuple[Coverage, dict[str, str]]:
        """Coverage of polygons in the order of their digests.

        Args:
            digests: of the geometries.
            geometries_of: gives WKB for the digests that are not cached.

        Returns:
            The coverage, empty for polygons that failed; and for each of those the reason, by digest.
        """
        if self._last[0] == digests:  # the usual case, day after day
            return self._last[1], {}
        if any(digest not in self._at for digest in digests):
            self._load()
        missing = [digest for digest in dict.fromkeys(digests) if digest not in self._at]
        failed: dict[str, str] = {}
        if missing:
            geometries = geometries_of(missing)
            # In the order of the request, in which they'll be requested again: then a pack is used as it is.
            fresh, failed = self._compute({digest: geometries[digest] for digest in missing if digest in geometries})
            if fresh:
                self._add(list(fresh), Coverage.of(list(fresh.values())))
                self._save(list(fresh))
        found = self._taken(np.array([self._at.get(digest, -1) for digest in digests], np.int64))
        if not failed:
            self._last = (list(digests), found)
        return found, failed

    def _taken(self, numbers: NDArray[np.int64]) -> Coverage:
        """The coverage of polygons by their number; empty at -1. Neighbours are taken together, without a copy."""
        packs = np.searchsorted(self._starts, numbers, "right") - 1
        cuts = np.flatnonzero((np.diff(numbers) != 1) | (np.diff(packs) != 0)) + 1
        runs: list[tuple[Coverage, int, int]] = []
        for first, end in pairwise([0, *cuts.tolist(), len(numbers)]):
            if first < end and packs[first] >= 0:
                start = self._starts[packs[first]]
                runs.append((self._known[packs[first]], int(numbers[first]) - start, int(numbers[end - 1]) - start + 1))
        if len(runs) == 1 and not len(cuts):
            known, first, end = runs[0]
            return known.part(first, end)
        sizes = np.concatenate([*(np.diff(known.offsets) for known in self._known), [0]])[numbers]  # the last is of -1
        entries = [(known, slice(known.offsets[first], known.offsets[end])) for known, first, end in runs]
        joined = Coverage.of([(known.cells[some], known.fractions[some]) for known, some in entries])
        return Coverage(np.concatenate(([0], np.cumsum(sizes))), joined.cells, joined.fractions)

    def _add(self, digests: Sequence[str], coverage: Coverage) -> None:
        for number, digest in enumerate(digests, self._starts[-1]):
            self._at.setdefault(digest, number)
        self._known.append(coverage)
        self._starts.append(self._starts[-1] + len(coverage))

    def _compute(self, geometries: Mapping[str, bytes]) -> tuple[dict[str, Part], dict[str, str]]:
        digests = list(geometries)
        try:
            parts = cover([geometries[d] for d in digests], self.grid, self._rules)
            return dict(zip(digests, parts, strict=True)), {}
        except Exception:  # noqa: BLE001  # one bad polygon aborts exactextract's whole call: find it below, keep the rest
            fresh, failed = {}, {}
            for digest in digests:
                try:
                    [fresh[digest]] = cover([geometries[digest]], self.grid, self._rules)
                except Exception as error:  # noqa: BLE001  # recorded for this field; the others go on
                    failed[digest] = f"coverage: {error}"
            return fresh, failed

    def _load(self) -> None:
        for _ in range(_LISTINGS):
            unread = [key for key in self._store.list(self._prefix) if key not in self._packs]
            read = [self._read(key) for key in unread]
            pa.default_memory_pool().release_unused()  # as much again as the coverage itself, after decompressing it
            if all(read):
                return  # otherwise a pack was joined to another meanwhile, or deleted

    def _read(self, key: str) -> bool:
        """Read a pack; False where it is gone."""
        try:
            digests, coverage = _decoded(self._store.get(key))
        except ObjectMissingError:
            return False
        except (pa.ArrowInvalid, OSError, KeyError):
            fits = False
        else:
            fits = coverage.fits(self.grid)
        if not fits:  # damaged: it is computed again
            self._packs[key] = 0
            return True
        self._packs[key] = len(coverage)
        self._add(digests, coverage)
        return True

    def _save(self, digests: list[str]) -> None:
        """Write a pack of polygons, joined with smaller packs where there are too many; those are deleted."""
        smallest_first = sorted(self._packs.items(), key=lambda pack: pack[1])
        joined: list[str] = []
        if len(smallest_first) >= _MANY_PACKS:
            total = 0
            for key, polygons in smallest_first:
                if len(joined) >= _MANY_PACKS // 2 and polygons > total:
                    break  # a pack larger than all those joined stays: it would be rewritten again and again
                joined.append(key)
                total += polygons
        own = set(digests)
        for key in joined:
            with suppress(ObjectMissingError, pa.ArrowInvalid, OSError, KeyError):
                own |= self._at.keys() & set(_decoded(self._store.get(key))[0])
        everything = sorted(own, key=self._at.__getitem__)
        key = f"{self._prefix}{uuid.uuid4().hex}.arrow"
        self._store.put(key, _encoded(everything, self._taken(np.array([self._at[digest] for digest in everything]))))
        self._packs[key] = len(everything)
        for key in joined:
            self._store.delete(key)
            del self._packs[key]


def _encoded(digests: Sequence[str], coverage: Coverage) -> bytes:
    """A pack. Cells are stored as steps from entry to entry: nearly all are 1."""
    offsets = pa.array(coverage.offsets)
    columns = [
        pa.array(digests, pa.string()),
        pa.LargeListArray.from_arrays(offsets, pa.array(np.diff(coverage.cells, prepend=coverage.cells.dtype.type(0)))),
        pa.LargeListArray.from_arrays(offsets, pa.array(coverage.fractions)),
    ]
    table = pa.table(columns, names=["digest", "cells", "fractions"])
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _decoded(pack: bytes) -> tuple[list[str], Coverage]:
    table = pa.ipc.open_file(pa.BufferReader(pack)).read_all()
    lists, fractions = table["cells"].combine_chunks(), table["fractions"].combine_chunks()
    steps = lists.values.to_numpy()
    coverage = Coverage(lists.offsets.to_numpy(), np.cumsum(steps, dtype=steps.dtype), fractions.values.to_numpy())
    return table["digest"].to_pylist(), coverage
