"""What there is for ingest to do, read from the ledger, the source, and what was materialized of the registry."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from dagster import DagsterInstance
from satcommon.contract import FIELD_REGISTRY, FIRST_PARTITION, in_window, lane, partition, rescan_config
from satcommon.db.expected import ONE_DAY
from satcommon.environment import environment
from satcommon.run_requests import WantedRun, in_turn

if TYPE_CHECKING:
    from satcommon.db.models import Region

REVISION = "registry revision"  # in the registry's counts, and so in the metadata of its materializations
_FIRST_LOOK = "answer"  # ends the name of the work of a day that was never answered, in place of a listing's name


@dataclass(frozen=True)
class Look:
    """What ingest sees to do in one tick.

    Args:
        works: days to be fetched: of each region the oldest first, the regions in turn.
        last: the region that was last compared with the source, from which the next tick goes on.
        troubles: why regions could not be compared, or are not asked for, by region.
    """

    works: Iterator[WantedRun]
    last: str | None
    troubles: dict[str, Exception]


def scenes_to_ask_for(known_regions: Collection[str], now: datetime, looks: int = 0, after: str | None = None) -> Look:
    """Regions' days to be fetched: those without an answer, and those for which the source has news.

    The ledger tells the first, for all regions in one query. For news the source is asked, which costs: `looks` regions
    are, going on after the one of the last tick.

    Only days of the allowed lateness, and of regions that have their Dagster partition; for older ones see
    `older_days_to_ask_for`.

    Raises:
        SatfieldsError: what the source says of each region that was looked at, or that it is none's own; where it
            answers for some, the others are troubles of the tick.
    """
    from satcommon.db import ledger
    from satcommon.db.engine import read_transaction
    from satcommon.db.region_source import refusal
    from satcommon.db.registry import aoi_of, regions
    from satcommon.errors import SatfieldsError, SettingError
    from satcommon.pipeline.ingest_day import news

    env = environment()
    last = now.date() - ONE_DAY
    earliest = last - timedelta(days=env.settings.lateness_days)
    with read_transaction(env.engine) as connection:
        active = sorted((r for r in regions(connection, active=True) if r.name in known_regions), key=lambda r: r.name)
        answered = ledger.answered_days(connection, earliest, last)
    # Of no region is another source asked than its own; without regions none is needed.
    source = env.source() if active else None
    refused = {r.name: SettingError(why) for r in active if source and (why := refusal(r, source.identity))}
    if refused and len(refused) == len(active):
        raise next(iter(refused.values()))
    active = [r for r in active if r.name not in refused]
    spans = {r.name: (max(r.monitored_from, earliest), min(last, r.monitored_until or last)) for r in active}
    turn = sorted(active, key=lambda r: (r.name <= (after or ""), r.name))[:looks]
    fresh: dict[str, dict[date, str]] = {}
    troubles: dict[str, Exception] = {}
    for region in turn:
        try:
            fresh[region.name] = news(
                env.engine, env.source(), region.bbox_id, aoi_of(region), *spans[region.name], now
            )
        except SatfieldsError as error:
            troubles[region.name] = error
    if troubles and not fresh:
        raise next(iter(troubles.values()))

    def works_of(region: Region) -> list[WantedRun]:
        first, until = (day.toordinal() for day in spans[region.name])
        there, new = answered.get(region.bbox_id, set()), fresh.get(region.name, {})
        days = [day for n in range(first, until + 1) if (day := date.fromordinal(n)) in new or day not in there]
        return [
            WantedRun(
                f"fetch:{region.name}:{day}:{new[day] if day in there else _FIRST_LOOK}",
                lane("ingest", region.name),
                partition(region.name, day),
            )
            for day in days
            if in_window(day, now)
        ]

    todo = {region.name: works for region in active if (works := works_of(region))}
    turns = in_turn(dict(sorted(todo.items(), key=lambda one: str(one[1][0].partition_key))))
    return Look(turns, turn[-1].name if turn else after, refused | troubles)


def is_first_look(name: str) -> bool:
    """Whether a work, by its name, is to ask for a day for the first time."""
    return name.startswith("fetch:") and name.endswith(f":{_FIRST_LOOK}")


def older_days_to_ask_for(now: datetime) -> Iterator[WantedRun]:
    """Days that `scenes_to_ask_for` leaves out, a run for each region, which asks for days without partitions, too.

    First those that closed and were never asked for, the oldest before others; then all older days of the regions that
    were not looked at for `SATFIELDS_RESCAN_DAYS`.
    """
    from satcommon.db import answers
    from satcommon.db.engine import read_transaction
    from satcommon.pipeline.rescan import last_older_day

    env = environment()
    older = last_older_day(now, env.settings.lateness_days)
    # Days before Dagster's window have no partition to be fetched by, however recent they are.
    without_partition = max(older, FIRST_PARTITION - ONE_DAY)
    with read_transaction(env.engine) as connection:
        unasked = answers.never_asked(connection)
        due = answers.rescans_due(connection, now - timedelta(days=env.settings.rescan_days), older)
    for days in unasked:
        if days.first <= without_partition:
            last = min(days.last, without_partition)
            config = rescan_config(days.region, days.first, last, only_never_asked=True)
            yield WantedRun(
                f"never asked:{days.region}:{days.first}:{last}", lane("rescan", days.region), config=config
            )
    for region in due:
        name = f"rescan:{region.name}:{region.rescanned_at or region.created_at}"
        config = rescan_config(region.name, region.monitored_from, older)
        yield WantedRun(name, lane("rescan", region.name), config=config)


def registry_to_publish(instance: DagsterInstance) -> Iterator[WantedRun]:
    """The registry, where its revision is not the one of its last materialization."""
    from satcommon.db.engine import read_transaction
    from satcommon.db.registry import revision

    with read_transaction(environment().engine) as connection:
        current = revision(connection)
    last = next(iter(instance.fetch_materializations(FIELD_REGISTRY, limit=1).records), None)
    published = last.asset_materialization.metadata.get(REVISION) if last and last.asset_materialization else None
    if current != (published.value if published else 0):
        yield WantedRun(f"registry:{current}", {})
