"""Ingesting a day: ask the source, mosaic its acquisitions into a scene, store and register it.

If that changes a closed day, its fields are opened as missed in the same transaction.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, insert, select, update

from satcommon.db import answers, ledger, missed_days, region_source
from satcommon.db.answers import stands_for
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.expectations import timelines
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Acquisition as AcquisitionRow
from satcommon.db.models import Cause, Scene
from satcommon.db.quarantine import Decisions, Doubt, decisions, decisions_of, judged, still_refused
from satcommon.db.registry import area_to_read
from satcommon.errors import RetryableError
from satcommon.raster import cog
from satcommon.raster.layers import PixelClass
from satcommon.raster.scene import Acquisition
from satcommon.raster.scene import Scene as UnitedScene
from satcommon.sources import referenced_scene
from satcommon.sources.mosaic import UnreadableDayError, mosaic_scene, piecewise
from satcommon.sources.source import BY_REFERENCE, AreaOfInterest, Due, SceneSource
from satcommon.stats.observation import NO_SCENE, NOT_ASKED, NOT_TAKEN
from satcommon.storage.object_store import ObjectStore
from satcommon.telemetry.work import work

_Known = tuple[str | None, Due | None, datetime | None, dict[str, str], Decisions]
_TRIES = 3  # at an answer, while other runs register others


@dataclass(frozen=True)
class Answer:
    """What a source answered for a day, as the ledger now has it.

    Args:
        due: whether imagery is owed.
        scene_digest: of the day's scene; None where there is none (yet).
        object_key: of the scene.
        items: the acquisitions that it was mosaicked from.
        fractions: of the region: observed and clear; empty without a scene.
        refused: acquisitions of the day that were refused: the reason by name.
        unplaced: refused acquisitions whose day the source can't tell, likewise.
        new: whether it changed the ledger.
    """

    due: Due
    scene_digest: str | None
    object_key: str | None
    items: tuple[str, ...]
    fractions: dict[str, float]
    refused: dict[str, str]
    unplaced: dict[str, str]
    new: bool

    @property
    def pixels(self) -> str:
        """Where the scene's pixels are kept, in words; empty without a scene."""
        if self.object_key is None:
            return ""
        return "by reference" if self.object_key.endswith(BY_REFERENCE) else "copied"

    @property
    def settled(self) -> bool:
        """Whether the answer is complete: a scene, or that none is due."""
        return self.scene_digest is not None or (self.due.owes_nothing and not self.refused)


@dataclass(frozen=True)
class Asked:
    """What a source said of a region's day. Its scene is stored, but nothing is registered.

    `before` is what the ledger knew of the day: listing, due answer, time of the answer, refused acquisitions, and what
    somebody decided of such. `further` are the bands that were wanted besides `layers.BANDS`, `doubts` what is known of
    the refused besides the reason.
    """

    bbox_id: int
    collection: str
    day: date
    now: datetime
    before: _Known
    due: Due
    acquisitions: Sequence[Acquisition]
    further: tuple[str, ...]
    refused: dict[str, str]
    unplaced: dict[str, str]
    scene: UnitedScene | None
    key: str
    unreadable: UnreadableDayError | None
    doubts: dict[str, Doubt]
    lost: frozenset[str]  # keys of scenes of this day that are not in the store


def ask(
    engine: Engine,
    store: ObjectStore,
    source: SceneSource,
    bbox_id: int,
    day: date,
    now: datetime,
    clock: Callable[[], datetime] | None = None,
) -> Answer:
    """Ask a source for a region's day, and register the answer. Asking again changes nothing unless the answer differs.

    Args:
        engine: of the ledger.
        store: where the scene is put.
        source: to be asked.
        bbox_id: the region.
        day: the day.
        now: the present, by which the source lists.
        clock: gives the time of effects; without one it is `now`.

    Raises:
        UnreadableDayError: the day has acquisitions, and none can be read. That is registered too: the day closes at
            its deadline, and its fields are missed until one can be read.
        RetryableError: a file that may be of the day is being written, or other runs keep registering other answers.
        SettingError: the region belongs to another source.
    """
    with work("source asked", day=day) as told:
        for _ in range(_TRIES):
            asked = fetch(engine, store, source, bbox_id, day, now)
            answer = enter(engine, asked, clock() if clock else now)
            if answer is None:
                continue
            told |= {"due": answer.due.value, "scene": answer.scene_digest, "refused": len(answer.refused)}
            if asked.unreadable:
                raise asked.unreadable
            return answer
        raise RetryableError(f"region {bbox_id} {day}: other runs registered other answers {_TRIES} times meanwhile")


def fetch(engine: Engine, store: ObjectStore, source: SceneSource, bbox_id: int, day: date, now: datetime) -> Asked:
    """Ask a source, and store the scene if the listing is new.

    Args:
        engine: of the ledger.
        store: where the scene is put.
        source: to be asked.
        bbox_id: the region.
        day: the day.
        now: the present.

    Raises:
        RetryableError: the source has nothing, but a file that may be of the day is being written.
        SettingError: the region belongs to another source.
        AlgorithmError: the region's version, which tells the bands, is not supported here.
    """
    with read_transaction(engine) as connection:
        region = ledger.region(connection, bbox_id)
        before = _known(connection, bbox_id, day)
    region_source.require(engine, region, source)
    where = area_to_read(region)
    listing = source.list(where, day, day, now)
    decided = before[-1]
    acquisitions = judged(listing.acquisitions.get(day, []), decided)
    if listing.unsettled and not acquisitions:
        names = ", ".join(listing.unsettled[:3])
        raise RetryableError(f"{where.name} {day}: {names} was being written a moment ago; ask again in a minute")
    refused = still_refused(listing.refused_on.get(day, {}), decided)
    placed = {name for names in listing.refused_on.values() for name in names}
    unplaced = {name: why for name, why in listing.refused.items() if name not in placed}
    scene: UnitedScene | None = None
    unreadable: UnreadableDayError | None = None
    key = ""
    lost: frozenset[str] = frozenset()
    checks: dict[str, str] = {}
    if acquisitions and _name(acquisitions, where.further) != before[0]:
        try:
            scene = mosaic_scene(source, where, acquisitions)
        except UnreadableDayError as error:
            unreadable = error
            refused |= error.refused
            checks = error.checks
    if scene is not None:
        refused |= scene.refused
        checks = scene.checks
        # A new key for each put, as for results: garbage collection must never find a live scene under an old key.
        key = f"scenes/{bbox_id}/{day:%Y/%m/%d}-{uuid.uuid4().hex}"
        document = referenced_scene.encode(source, where, scene, day)
        key += ".tif" if document is None else BY_REFERENCE
        store.put(key, cog.encode(scene, where.grid, day) if document is None else document)
        lost = _lost_scenes(engine, store, bbox_id, day)
    due = source.due(where, day)
    doubts = {a.item_id: Doubt(checks.get(a.item_id), a.digest) for a in acquisitions if a.item_id in refused}
    outcome = (refused, unplaced, scene, key, unreadable, doubts, lost)
    return Asked(bbox_id, source.collection, day, now, before, due, acquisitions, where.further, *outcome)


def enter(engine: Engine, asked: Asked, now: datetime) -> Answer | None:
    """Register an answer; None if another run has registered another answer since the source was asked.

    What is refused and missed by it is so from now on, not since the source was asked: reading can take minutes, and
    whoever reads as of an instant between sees what held then.
    """
    bbox_id, day, scene = asked.bbox_id, asked.day, asked.scene
    with write_transaction(engine) as connection:
        ledger.lock_region(connection, bbox_id)
        if _known(connection, bbox_id, day) != asked.before:
            return None
        listing = asked.before[0]
        if scene is not None:
            # The answered listing leaves out what could not be read, so that it stays new and is read again.
            listing = _name([a for a in asked.acquisitions if a.item_id not in scene.refused], asked.further)
            _record(connection, asked, scene)
        digest = scene.digest if scene else None
        basis = Basis(listing, asked.refused, asked.doubts)
        new = register(connection, bbox_id, day, asked.due, digest, now, basis)
        current = ledger.current_scene(connection, bbox_id, day)
    return Answer(
        due=asked.due,
        scene_digest=current.digest if current else None,
        object_key=current.object_key if current else None,
        items=tuple(json.loads(current.item_ids)) if current else (),
        fractions={"observed": current.observed_fraction, "clear": current.clear_fraction} if current else {},
        refused=asked.refused,
        unplaced=asked.unplaced,
        new=new,
    )


def _known(connection: Connection, bbox_id: int, day: date) -> _Known:
    row = ledger.region_day(connection, bbox_id, day)
    refused = answers.refusals(connection, bbox_id, day, day).get(day, {})
    decided = decisions(connection, bbox_id, day, day).get(day, {})
    return (row.listing, row.due, row.answered_at, refused, decided) if row else (None, None, None, refused, decided)


def news(
    engine: Engine, source: SceneSource, bbox_id: int, where: AreaOfInterest, first: date, last: date, now: datetime
) -> dict[date, str]:
    """The days of a span for which the source's answer differs from the ledger's, each with a name of that answer.

    Those are days that were never asked for, or with other acquisitions, another calendar answer, or other refusals.

    Args:
        engine: of the ledger.
        source: to be asked.
        bbox_id: the region.
        where: the region as its source is asked, of `registry.area_to_read`.
        first: first day of the span.
        last: last day of the span.
        now: the present.
    """
    with read_transaction(engine) as connection:
        (known,) = known_of(connection, [bbox_id], first, last).values()
    return compared(source, known, where, first, last, now)


class KnownDays(NamedTuple):
    """What the ledger knows of a span of a region's days, by day."""

    days: dict[date, ledger.Day]
    refused: dict[date, dict[str, str]]
    decided: dict[date, Decisions]


def known_of(connection: Connection, bbox_ids: Collection[int], first: date, last: date) -> dict[int, KnownDays]:
    """What the ledger knows of a span of days, by region: three queries, however many regions there are.

    Args:
        connection: of a read transaction.
        bbox_ids: the regions.
        first: first day of the span.
        last: last day of the span.
    """
    refused = answers.refusals_of(connection, bbox_ids, first, last)
    decided = decisions_of(connection, bbox_ids, first, last)
    days: dict[int, dict[date, ledger.Day]] = {}
    for row in ledger.days_of_all(connection, first, last, bbox_ids):
        days.setdefault(row.bbox_id, {})[row.day] = row
    return {n: KnownDays(days.get(n, {}), refused.get(n, {}), {**decided.get(n, {})}) for n in bbox_ids}


def compared(
    source: SceneSource, known_days: KnownDays, where: AreaOfInterest, first: date, last: date, now: datetime
) -> dict[date, str]:
    """The `news` of a span of a region's days, by what the ledger knew of them before the source was asked.

    Args:
        source: to be asked.
        known_days: what the ledger knows.
        where: the region's area and grid.
        first: first day of the span.
        last: last day of the span.
        now: the present.
    """
    listing = source.list(where, first, last, now)
    calendar = source.calendar(where, first, last)
    days, refused, decided = known_days
    different: dict[date, str] = {}
    for day, due in calendar.items():
        known, of_day = days.get(day), decided.get(day, {})
        items = judged(listing.acquisitions.get(day, []), of_day)
        now_refused = still_refused(listing.refused_on.get(day, {}), of_day)
        name = _name(items, where.further) if items else None
        if known is None or known.answered_at is None:
            different[day] = name[:12] if name else "answer"
        elif name is not None and known.listing != name:
            different[day] = name[:12]
        elif known.due is not due:
            different[day] = due.value
        # All of an answered listing was taken: it leaves out what could not be read.
        elif refused.get(day, {}) != now_refused:
            content: Any = now_refused  # alone where nothing is decided, as ever
            if of_day:
                content = [now_refused, *sorted([*key, verdict] for key, verdict in of_day.items())]
            different[day] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    return different


def _name(acquisitions: Sequence[Acquisition], further: Sequence[str]) -> str:
    """Identifies a day's listing: its items with their content, newer rules to read them by, which were accepted.

    Further bands that are wanted are part of it, so that a day is read again when a version needs others.
    """
    items: list[Any] = sorted(
        (a.item_id, a.digest, *([a.reading] if a.reading else []), *(["accepted"] if a.accepted else []))
        for a in acquisitions
    )
    if piecewise(acquisitions):
        items.append("mosaic")  # earlier, one item of a pass and tile was taken, and the others ignored
    if further:
        items.append({"further": list(further)})
    return hashlib.sha256(json.dumps(items).encode()).hexdigest()


def _registered(connection: Connection, bbox_id: int, day: date) -> set[tuple[str, str]]:
    statement = select(AcquisitionRow.item_id, AcquisitionRow.digest).where(
        AcquisitionRow.bbox_id == bbox_id, AcquisitionRow.day == day
    )
    return {(row.item_id, row.digest) for row in connection.execute(statement)}


def _lost_scenes(engine: Engine, store: ObjectStore, bbox_id: int, day: date) -> frozenset[str]:
    statement = select(Scene.object_key).where(Scene.bbox_id == bbox_id, Scene.day == day)
    with read_transaction(engine) as connection:
        keys = connection.execute(statement).scalars().all()
    return frozenset(key for key in keys if not store.exists(key))


def _record(connection: Connection, asked: Asked, scene: UnitedScene) -> None:
    """Write the acquisitions that are new, and the scene if it is, or was lost."""
    bbox_id, day = asked.bbox_id, asked.day
    known = _registered(connection, bbox_id, day)
    rows = [
        {
            "bbox_id": bbox_id,
            "item_id": a.item_id,
            "digest": a.digest,
            "collection": asked.collection,
            "day": day,
            "platform": a.platform,
            "overpass": a.overpass,
            "tile": a.tile,
            "baseline": a.baseline,
            "sensed_at": a.sensed_at,
            "published_at": a.published_at,
            "seen_at": asked.now,
        }
        for a in asked.acquisitions
        if (a.item_id, a.digest) not in known
    ]
    if rows:
        connection.execute(insert(AcquisitionRow), rows)
    same = (Scene.bbox_id == bbox_id, Scene.day == day, Scene.digest == scene.digest)
    known_key = connection.execute(select(Scene.object_key).where(*same)).scalar()
    if known_key in asked.lost:
        connection.execute(update(Scene).where(*same).values(object_key=asked.key))
    elif known_key is None:
        classes = scene.layers.classes
        connection.execute(
            insert(Scene).values(
                bbox_id=bbox_id,
                day=day,
                digest=scene.digest,
                object_key=asked.key,
                item_ids=json.dumps([a.item_id for a in scene.items]),
                sensed_at=scene.items[0].sensed_at,
                observed_fraction=float(np.mean(classes != PixelClass.NODATA)),
                clear_fraction=float(np.mean(classes == PixelClass.CLEAR)),
                registered_at=asked.now,
            )
        )


class Basis(NamedTuple):
    """What an answer rests on.

    Args:
        listing: a name of the acquisitions, so that the same ones are no news; None keeps the name that is known.
        refused: what was not taken of the day, and why, by item.
        doubts: what is known of some of these besides.
    """

    listing: str | None = None
    refused: Mapping[str, str] = MappingProxyType({})
    doubts: Mapping[str, Doubt] = MappingProxyType({})


def register(
    connection: Connection,
    bbox_id: int,
    day: date,
    due: Due,
    scene_digest: str | None,
    now: datetime,
    basis: Basis = Basis(),  # noqa: B008  # immutable
) -> bool:
    """Enter a day's answer; on a closed day, open as missed what another answer changes.

    A scene stays even if the source later answers that it has none: what was delivered is not undone.

    Args:
        connection: of a write transaction.
        bbox_id: the region.
        day: the day.
        due: whether imagery is owed.
        scene_digest: of the day's scene; None where there is none (yet).
        now: the time of the answer.
        basis: what the answer rests on.

    Returns:
        False if the answer is the one that was known.
    """
    ledger.lock_region(connection, bbox_id)
    before = ledger.region_day(connection, bbox_id, day)
    was = before.scene_digest if before else None
    scene_digest = scene_digest or was
    listing = basis.listing or (before.listing if before else None)
    others = answers.refuse(connection, bbox_id, day, basis.refused, now, basis.doubts)
    same = before is not None and (before.due, was) == (due, scene_digest) and not others
    if before is not None and before.answered_at is not None and same:
        ledger.set_day(connection, bbox_id, day, listing=listing)
        return False
    ledger.set_day(connection, bbox_id, day, listing=listing, due=due, scene_digest=scene_digest, answered_at=now)
    if others:  # what a day failed for may be so no more, as a file of a scene by reference that was gone
        missed_days.forget_failures(connection, bbox_id, None, day, day)
    old, new = stands_for(before), stands_for(ledger.region_day(connection, bbox_id, day))
    if before is not None and before.closed_at is not None and old != new:
        late = old in (NOT_ASKED, NOT_TAKEN) or new == NOT_TAKEN or (old == NO_SCENE and scene_digest)
        cause = Cause.LATE_SCENE if late else Cause.REVISED_SCENE
        expected = [t.field_id for t in timelines(connection, bbox_id).values() if t.at(day)]
        missed_days.open_misses(connection, bbox_id, [OpenMiss(f, day, cause, new) for f in expected], now)
    return True
