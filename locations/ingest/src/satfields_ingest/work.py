"""What there is for ingest to do, read from the ledger, the source, and what was materialized of the registry.

Only ticks and runs import this module: it loads what sources of scenes need.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from dagster import DagsterInstance
from satcommon.contract import (
    FETCH_JOB,
    FIELD_REGISTRY,
    FIRST_PARTITION,
    RESCAN_JOB,
    in_window,
    lane,
    partition,
    rescan_config,
)
from satcommon.db import answers, ledger
from satcommon.db.engine import read_transaction
from satcommon.db.expected import ONE_DAY
from satcommon.db.region_source import refusal
from satcommon.db.registry import aoi_of, area_to_read, regions, revision
from satcommon.errors import AlgorithmError, SatfieldsError, SettingError
from satcommon.geo.solar import last_day_over
from satcommon.pipeline.ingest_day import compared, known_of
from satcommon.pipeline.rescan import last_older_day
from satcommon.run_requests import WantedRun

if TYPE_CHECKING:
    from satcommon.db.models import Region
    from satcommon.environment import Environment

REVISION = "registry revision"  # in the registry's counts, and so in the metadata of its materializations
_FIRST_LOOK = "answer"  # ends the name of the work of a day that was never answered, in place of a listing's name


@dataclass(frozen=True)
class Look:
    """What ingest sees to do in one tick.

    Args:
        works: days to be fetched, the oldest first, region after region, those with the oldest day first.
        last: the region that was last compared with the source, from which the next tick goes on.
        troubles: why regions could not be compared, or are not asked for, by region.
    """

    works: Iterator[WantedRun]
    last: str | None
    troubles: dict[str, Exception]


def scenes_to_ask_for(
    env: Environment, known_regions: Collection[str], now: datetime, looks: int = 0, after: str | None = None
) -> Look:
    """Regions' days to be fetched: those without an answer, and those for which the source has news.

    The ledger tells the first, for all regions in one query. For news the source is asked, which costs: `looks` regions
    are, going on after the one of the last tick.

    Only days of the allowed lateness, and of regions that have their Dagster partition; for older ones see
    `older_days_to_ask_for`.

    Args:
        env: with the ledger and the source.
        known_regions: the names of the regions that have their partition.
        now: the present.
        looks: how many regions are compared with the source.
        after: the region that was last compared.

    Raises:
        SatfieldsError: what the source says of each region that was looked at, or that it is none's own; where it
            answers for some, the others are troubles of the tick.
    """
    yesterday = now.date() - ONE_DAY
    earliest = yesterday - timedelta(days=env.settings.lateness_days)
    with read_transaction(env.engine) as connection:
        active = sorted((r for r in regions(connection, active=True) if r.name in known_regions), key=lambda r: r.name)
        answered = ledger.answered_days(connection, earliest, yesterday)
        answered_today = ledger.answered_days(connection, now.date(), now.date())
    refused = _of_another_source(env, active) | _of_unknown_version(active)
    active = [r for r in active if r.name not in refused]
    spans = {r.name: (max(r.monitored_from, earliest), _last_day(r, now)) for r in active}
    turn = sorted(active, key=lambda r: (r.name <= (after or ""), r.name))[:looks]
    fresh, troubles = _news(env, turn, spans, now)

    def answered_of(region: Region) -> set[date]:
        return answered.get(region.bbox_id, set()) | answered_today.get(region.bbox_id, set())

    wanted = {
        region.name: runs
        for region in active
        if (runs := _fetches(region, spans[region.name], answered_of(region), fresh.get(region.name, {}), now))
    }
    oldest_first = sorted(wanted.values(), key=lambda works: str(works[0].partition_key))
    return Look(chain.from_iterable(oldest_first), turn[-1].name if turn else after, refused | troubles)


def _last_day(region: Region, now: datetime) -> date:
    """The last day that may be asked for."""
    over = last_day_over(now, aoi_of(region).bounds)
    return min(over, region.monitored_until or over)


def _of_another_source(env: Environment, active: Sequence[Region]) -> dict[str, Exception]:
    """The regions that belong to another source than the settings name, and why they are not asked for.

    Raises:
        SettingError: all do; or no source is named, and there are regions.
    """
    if not active:
        return {}
    source = env.source()
    refused: dict[str, Exception] = {
        region.name: SettingError(why) for region in active if (why := refusal(region, source.identity))
    }
    if len(refused) == len(active):
        raise next(iter(refused.values()))
    return refused


def _of_unknown_version(active: Sequence[Region]) -> dict[str, Exception]:
    """The regions whose version, which tells the bands of their scenes, is not supported here, and why."""
    unknown: dict[str, Exception] = {}
    for region in active:
        try:
            area_to_read(region)
        except AlgorithmError as error:
            unknown[region.name] = error
    return unknown


def _news(
    env: Environment, turn: Sequence[Region], spans: Mapping[str, tuple[date, date]], now: datetime
) -> tuple[dict[str, dict[date, str]], dict[str, Exception]]:
    """What is new of each region's span, by day, and what went wrong, by region.

    Raises:
        SatfieldsError: the source answered for none of the regions.
    """
    fresh: dict[str, dict[date, str]] = {}
    troubles: dict[str, Exception] = {}
    if not turn:
        return fresh, troubles
    span = min(spans[region.name][0] for region in turn), max(spans[region.name][1] for region in turn)
    with read_transaction(env.engine) as connection:
        known = known_of(connection, [region.bbox_id for region in turn], *span)
    for region in turn:
        first, last = spans[region.name]
        try:
            fresh[region.name] = compared(env.source(), known[region.bbox_id], area_to_read(region), first, last, now)
        except SatfieldsError as error:
            troubles[region.name] = error
    if troubles and not fresh:
        raise next(iter(troubles.values()))
    return fresh, troubles


def _fetches(
    region: Region,
    span: tuple[date, date],
    answered: Collection[date],
    new: Mapping[date, str],
    now: datetime,
) -> list[WantedRun]:
    """The runs for a region's days that have no answer yet, or news."""
    first, last = (day.toordinal() for day in span)
    days = [day for n in range(first, last + 1) if (day := date.fromordinal(n)) in new or day not in answered]
    return [
        WantedRun(
            f"fetch:{region.name}:{day}:{new[day] if day in answered else _FIRST_LOOK}",
            lane("ingest", region.name),
            partition(region.name, day),
            job=FETCH_JOB,
        )
        for day in days
        if in_window(day, now)
    ]


def is_first_look(name: str) -> bool:
    """Whether a work, by its name, is to ask for a day for the first time."""
    return name.startswith("fetch:") and name.endswith(f":{_FIRST_LOOK}")


def older_days_to_ask_for(env: Environment, now: datetime) -> Iterator[WantedRun]:
    """Days that `scenes_to_ask_for` leaves out, a run for each region, which asks for days without partitions, too.

    First those that closed and were never asked for, the oldest before others; then all older days of the regions that
    were not looked at for `SATFIELDS_RESCAN_DAYS`.
    """

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
            name = f"never asked:{days.region}:{days.first}:{last}"
            yield WantedRun(name, lane("rescan", days.region), job=RESCAN_JOB, config=config)
    for region in due:
        name = f"rescan:{region.name}:{region.rescanned_at or region.created_at}"
        config = rescan_config(region.name, region.monitored_from, older)
        yield WantedRun(name, lane("rescan", region.name), job=RESCAN_JOB, config=config)


def registry_to_publish(env: Environment, instance: DagsterInstance) -> Iterator[WantedRun]:
    """The registry, where its revision is not the one of its last materialization."""

    with read_transaction(env.engine) as connection:
        current = revision(connection)
    last = next(iter(instance.fetch_materializations(FIELD_REGISTRY, limit=1).records), None)
    published = last.asset_materialization.metadata.get(REVISION) if last and last.asset_materialization else None
    if current != (published.value if published else 0):
        yield WantedRun(f"registry:{current}", {})


def region_names(env: Environment) -> list[str]:
    """The names of all registered regions, paused ones too."""
    with read_transaction(env.engine) as connection:
        return [region.name for region in regions(connection)]
