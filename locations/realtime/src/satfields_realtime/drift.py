"""Where Dagster and the ledger differ: days that were never reported, partitions of unknown regions.

A run that ended between a commit and its report, wiped materializations, a deleted partition: the ledger is right, and
nothing else would tell Dagster.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from dagster import AssetKey, AssetMaterialization, DagsterInstance, RunsFilter
from satcommon.batch_runs import regions_of
from satcommon.contract import (
    FIELD_METRICS,
    FIRST_PARTITION,
    NOT_DUE,
    REGION,
    SCENES,
    content_tags,
    in_window,
    partition,
    reported_content,
)
from satcommon.db import ledger
from satcommon.db.engine import read_transaction
from satcommon.db.registry import regions
from satcommon.run_requests import UNFINISHED

if TYPE_CHECKING:
    from satcommon.environment import Environment


class Drift(NamedTuple):
    """What Dagster is to be told, the oldest day first, and the region partitions that the ledger does not know."""

    unreported: list[AssetMaterialization]
    strangers: list[str]


def drift(env: Environment, instance: DagsterInstance, now: datetime) -> Drift:
    """Compare Dagster's window with the ledger, by a fixed number of queries.

    Days of regions with a run under way are left out: what it has committed it is about to report.
    """

    partitions = instance.get_dynamic_partitions(REGION)  # first: a region is registered before it has a partition
    busy = _busy(instance)
    reported = {key: reported_content(instance, key) for key in (SCENES, FIELD_METRICS)}
    with read_transaction(env.engine) as connection:
        names = {region.bbox_id: region.name for region in regions(connection)}
        days = ledger.days_of_all(connection, FIRST_PARTITION, now.date())
    quiet = {bbox_id: name for bbox_id, name in names.items() if name in set(partitions) - busy}
    shown = [day for day in days if day.bbox_id in quiet and in_window(day.day, now)]
    unreported = [
        _event(key, partition(quiet[day.bbox_id], day.day), content, day)
        for day in shown
        for key, content in _contents(day)
        if reported[key].get(partition(quiet[day.bbox_id], day.day)) != content
    ]
    return Drift(unreported, sorted(set(partitions) - set(names.values())))


def _contents(day: ledger.Day) -> Iterator[tuple[AssetKey, str]]:
    """What the assets' partitions of a day hold, where they hold anything."""
    if day.scene_digest is not None or (day.due.owes_nothing and day.answered_at is not None):
        yield SCENES, day.scene_digest or NOT_DUE
    if day.closed_at is not None and day.content is not None:
        yield FIELD_METRICS, day.content


def _event(key: AssetKey, partition_key: str, content: str, day: ledger.Day) -> AssetMaterialization:
    facts: dict[str, str | int | None] = {
        "reported by": "the comparison with the ledger",
        "due": day.due.value,
        "scene": day.scene_digest or "none",
    }
    if key == FIELD_METRICS:
        facts |= {"version": day.version, "rows": day.row_count}
    return AssetMaterialization(key, partition=partition_key, metadata=facts, tags=content_tags(content))


def _busy(instance: DagsterInstance) -> set[str]:
    """The regions of runs that have begun; those in the queue have committed nothing."""
    begun = [status for status in UNFINISHED if status.value != "QUEUED"]
    runs = [record.dagster_run for record in instance.get_run_records(RunsFilter(statuses=begun))]
    return {region for run in runs for region in regions_of(run)}
