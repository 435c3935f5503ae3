"""Rescan: ask a source again for past days, in one run: those never asked for, and those whose answer changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

from sqlalchemy import Engine

from satcommon.db import answers, ledger, region_source
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.expected import ONE_DAY
from satcommon.db.registry import area_to_read
from satcommon.errors import RetryableError, SceneError, StoreError
from satcommon.geo.solar import last_day_over
from satcommon.pipeline.ingest_day import Answer, ask, news
from satcommon.sources.source import SceneSource, days_between
from satcommon.storage.object_store import ObjectStore

LISTED_DAYS = 31  # a listing: what was answered of the days before is not asked for again after a kill


def ask_anew(
    engine: Engine,
    store: ObjectStore,
    source: SceneSource,
    bbox_id: int,
    first: date,
    last: date,
    clock: Callable[[], datetime],
    lateness_days: int,
    *,
    only_never_asked: bool = False,
) -> Iterator[tuple[date, Answer | SceneError | RetryableError]]:
    """Ask for the days of a span whose answer differs from the ledger's, oldest first; yields each with its outcome.

    Days are compared by acquisitions, calendar answer and refusals. Days that are not monitored or not over are left
    out. A change to a closed day of any age opens misses, which are replayed.

    There are nine parameters because tests fix what the only caller takes from the environment and the settings.

    Args:
        engine: of the ledger.
        store: of scenes.
        source: to be asked.
        bbox_id: the region.
        first: first day of the span.
        last: last day of the span.
        clock: gives the present.
        lateness_days: the age up to which sensors ask for days anyway; a run over all older days is noted in the
            ledger, so that the next one is asked for in time.
        only_never_asked: leave out days that have an answer.

    Raises:
        StoreError: a store can't be reached; the days before stay as they were answered.
        SettingError: the region belongs to another source.
    """
    began = clock()
    with read_transaction(engine) as connection:
        region = ledger.region(connection, bbox_id)
    region_source.require(engine, region, source)
    where = area_to_read(region)
    start = max(first, region.monitored_from)
    last = min(last, region.monitored_until or last, last_day_over(began, where.bounds))
    of_all = region.monitored_from, min(last_older_day(began, lateness_days), region.monitored_until or date.max)
    complete = not only_never_asked and first <= of_all[0] and of_all[1] <= last
    while start <= last:
        end = min(last, start + timedelta(days=LISTED_DAYS - 1))
        asked = set(_unanswered(engine, bbox_id, start, end) if only_never_asked else days_between(start, end))
        found = news(engine, source, bbox_id, where, min(asked), max(asked), clock()) if asked else {}
        for day in sorted(asked & found.keys()):
            answer = _answer(engine, store, source, bbox_id, day, clock)
            complete = complete and not isinstance(answer, RetryableError)
            yield day, answer
        start = end + ONE_DAY
    if complete:
        with write_transaction(engine) as connection:
            ledger.lock_region(connection, bbox_id)
            if area_to_read(ledger.region(connection, bbox_id)) == where:  # else other bands are wanted of these days
                answers.note_rescan(connection, bbox_id, began)


def _unanswered(engine: Engine, bbox_id: int, first: date, last: date) -> list[date]:
    """The days of a span for which the source was never asked."""
    with read_transaction(engine) as connection:
        known = ledger.region_days(connection, bbox_id, first, last)
    return [day for day in days_between(first, last) if day not in known or known[day].answered_at is None]


def _answer(
    engine: Engine, store: ObjectStore, source: SceneSource, bbox_id: int, day: date, clock: Callable[[], datetime]
) -> Answer | SceneError | RetryableError:
    """The outcome of asking for a day; only an unreachable store ends the run."""
    try:
        return ask(engine, store, source, bbox_id, day, clock(), clock)
    except StoreError:
        raise
    except (SceneError, RetryableError) as error:
        return error


def last_older_day(now: datetime, lateness_days: int) -> date:
    """The last day before the allowed lateness; sensors ask for later ones anyway."""
    return now.date() - timedelta(days=lateness_days + 2)
