"""What there is for ingest to do, read from the ledger, the source, and what was materialized of the registry."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta

from dagster import DagsterInstance
from satcommon.contract import FIELD_REGISTRY, Work, in_window, lane, partition
from satcommon.environment import environment
from satcommon.expected import ONE_DAY

REVISION = "registry revision"  # in the registry's census, and so in the metadata of its materializations


def scenes_to_ask_for(known_regions: Collection[str], now: datetime) -> Iterator[Work]:
    """A region's days to be fetched, oldest first: those without an answer, and those for which the source has news.

    Only days of the allowed lateness, and of regions that have their Dagster partition; older ones are history's.
    """
    from satcommon.db import ledger
    from satcommon.db.engine import reading
    from satcommon.db.registry import place, regions
    from satcommon.scenes.arrival import news

    env = environment()
    source = env.source()
    last = now.date() - ONE_DAY
    with reading(env.engine) as connection:
        active = [r for r in regions(connection, active=True) if r.name in known_regions]
    for region in active:
        first = max(region.monitored_from, last - timedelta(days=env.settings.lateness_days))
        until = min(last, region.monitored_until or last)
        fresh = news(env.engine, source, region.bbox_id, place(region), first, until, now)
        with reading(env.engine) as connection:
            answered = {
                day
                for day, row in ledger.region_days(connection, region.bbox_id, first, until).items()
                if row.answered_at is not None
            }
        for ordinal in range(first.toordinal(), until.toordinal() + 1):
            day = date.fromordinal(ordinal)
            if in_window(day, now) and (day in fresh or day not in answered):
                name = f"fetch:{region.name}:{day}:{fresh.get(day, 'answer')}"
                yield Work(name, lane("ingest", region.name), partition(region.name, day))


def registry_to_publish(instance: DagsterInstance) -> Iterator[Work]:
    """The registry, where its revision is not the one of its last materialization."""
    from satcommon.db.engine import reading
    from satcommon.db.registry import revision

    with reading(environment().engine) as connection:
        current = revision(connection)
    last = next(iter(instance.fetch_materializations(FIELD_REGISTRY, limit=1).records), None)
    published = last.asset_materialization.metadata.get(REVISION) if last and last.asset_materialization else None
    if current != (published.value if published else 0):
        yield Work(f"registry:{current}", {})
