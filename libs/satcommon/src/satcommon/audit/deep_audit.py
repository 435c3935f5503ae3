"""The deep audit: every state is recomputed from the stored observations, and must be the published one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

import numpy as np
from sqlalchemy import Engine

from satcommon.audit.audit import Report
from satcommon.db import missed_days
from satcommon.db.engine import read_transaction
from satcommon.db.expectations import timelines
from satcommon.db.expected import Timeline
from satcommon.db.models import Region
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import published_days
from satcommon.stats import result_rows
from satcommon.stats.algorithm import algorithm
from satcommon.stats.carry_state import States, carry
from satcommon.stats.observation import observed_schema
from satcommon.storage.object_store import ObjectStore


def check_states(
    engine: Engine, store: ObjectStore, region: Region, report: Report, progress: Callable[[], None]
) -> None:
    """Carry the state through a region's days again, and report each final row that differs.

    Final rows are those before the field's first open miss; later ones are to be recomputed anyway.

    Args:
        engine: of the ledger.
        store: of the results.
        region: its row.
        report: of the audit; what differs is added to its problems.
        progress: called once a day.
    """
    rules = algorithm(region.algorithm_version)
    with read_transaction(engine) as connection:
        lines = {line.external_id: line for line in timelines(connection, region.bbox_id).values()}
        names = {line.field_id: name for name, line in lines.items()}
        first_miss: dict[str, date] = {}
        for miss in missed_days.misses(connection, region.bbox_id, date.min, date.max):
            first_miss.setdefault(names.get(miss.field_id, ""), miss.date_missed)
        for field_id, day in report.lost:
            first_miss[names[field_id]] = min(day, first_miss.get(names[field_id], day))
        published = published_days(connection, region.bbox_id, date.min, date.max)
    objects = ResultObjects(store)
    states = States.of(result_rows.empty(), rules)
    for day in published.layers:
        progress()
        if day in report.unreadable:
            continue
        table = published.rows(objects, day)
        final = [n for n in table["field"].to_pylist() if _is_final(lines, n, day, first_miss)]
        rows = result_rows.only(table, final).sort_by("field")
        final = rows["field"].to_pylist()
        before = states.gather(final, rules)
        fresh = np.array([i for i, n in enumerate(final) if lines[n].carried_from(day) == day], dtype=np.int64)
        before.put(fresh, States.of(result_rows.empty(), rules).gather([""] * len(fresh), rules))
        plantings = [span.planting for n in final if (span := lines[n].at(day))]
        observed = rows.select(observed_schema(rows.column_names).names)
        recomputed, states = carry(region.name, day, observed, plantings, before, rules)
        report.states += len(final)
        if result_rows.changed_fields(rows, recomputed):
            for stored, anew in zip(rows.to_pylist(), recomputed.to_pylist(), strict=True):
                if stored != anew:
                    differs = [name for name in stored if stored[name] != anew[name]]
                    report.lost.append((lines[stored["field"]].field_id, day))
                    report.problem(f"{region.name} {day} {stored['field']}: {', '.join(differs)} can't be recomputed")


def _is_final(lines: Mapping[str, Timeline], name: str, day: date, first_miss: Mapping[str, date]) -> bool:
    line = lines.get(name)
    return line is not None and line.at(day) is not None and day < first_miss.get(name, date.max)
