"""What the runs of ingest do: fetch a day's scene or many regions', publish the registry, ask again for past days.

Only runs import this module: it loads NumPy and GDAL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    AssetMaterialization,
    AssetObservation,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    OpExecutionContext,
    TableRecord,
)
from satcommon.batch_runs import BatchConfig, BatchedWork, Trouble, work_off
from satcommon.contract import (
    DATE,
    LANE_TAG,
    NOT_DUE,
    REGION,
    SCENES,
    content_tags,
    in_window,
    is_by_hand,
    lane,
    left,
    monitored_region,
    partition,
)
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction
from satcommon.db.heartbeat import beating
from satcommon.db.region_source import refusal
from satcommon.environment import utc_now
from satcommon.errors import PermanentError, RetryableError, SatfieldsError, SceneError, SettingError
from satcommon.geo.solar import last_day_over
from satcommon.pipeline.ingest_day import ask
from satcommon.pipeline.reconcile import LACKING, Reconciliation, reconcile, span_of
from satcommon.pipeline.rescan import ask_anew
from satcommon.run_logs import of_run
from satcommon.sources.open_source import open_other

from satfields_ingest.jobs import RescanConfig
from satfields_ingest.work import is_first_look

if TYPE_CHECKING:
    from satcommon.db.models import Region
    from satcommon.environment import Environment
    from satcommon.pipeline.ingest_day import Answer
    from satcommon.storage.object_store import ObjectStore

SHOWN_DIFFERENCES = 100  # of a region, in Dagster; `satctl scenes reconcile` lists all


def fetch_scene(context: AssetExecutionContext, env: Environment) -> Iterator[MaterializeResult[None]]:
    """Ask the source for a region's day, and store and register its answer."""
    key = context.partition_key.keys_by_dimension
    day = date.fromisoformat(key[DATE])
    by_hand = is_by_hand(context.run)
    region = monitored_region(env, context.run, key[REGION], day)
    if isinstance(region, str):
        context.log.info(region)
        yield left(region, answer="not asked")
        return
    if day > last_day_over(utc_now(), registry.aoi_of(region).bounds):
        yield left(f"region {region.name}: {day} is not over there", answer="not asked")
        return
    source = env.source()
    if by_hand and (why := refusal(region, source.identity)):
        context.log.warning(why)
        yield left(why, answer="not asked")
        return
    lane_name = lane("ingest", region.name)[LANE_TAG]
    try:
        alive = beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds)
        with alive, of_run(context.run, region.name, day):
            answer = ask(env.engine, env.store(), source, region.bbox_id, day, utc_now(), utc_now)
    except SceneError as error:
        if not by_hand:
            raise
        yield left(f"region {region.name} {day}: {error}", answer="can't be read")
        return
    _tell_refused(context, region.name, day, answer)
    if not answer.settled:
        why = (
            f"region {region.name} {day}: the scene is {answer.due.value} and not there yet; it is looked for until "
            f"{env.settings.lateness_days} days after the day's end"
        )
        context.log.info(why)
        if by_hand:
            yield left(why, answer="not there yet")
        return
    yield MaterializeResult(metadata=_metadata(answer), data_version=DataVersion(answer.scene_digest or NOT_DUE))


def fetch_batch(context: OpExecutionContext, env: Environment, config: BatchConfig) -> None:
    """Ask for the days of many regions, one region after another."""
    store, source = env.store(), env.source()

    def fetch(name: str, works: Sequence[BatchedWork]) -> Iterator[Trouble]:
        for work in works:
            day = date.fromisoformat(work.day)
            region = monitored_region(env, context.run, name, day)
            if isinstance(region, str):
                context.log.info(region)
                continue
            if is_first_look(work.work) and _is_answered(env, region, day):
                continue  # by another run meanwhile
            try:
                answer = ask(env.engine, store, source, region.bbox_id, day, utc_now(), utc_now)
            except Exception as error:  # noqa: BLE001  # told on the day's partition; the other days go on
                yield Trouble(error, SCENES, partition(name, day) if in_window(day, utc_now()) else None)
                continue
            _tell_refused(context, name, day, answer)
            _report(context, name, day, answer, _metadata(answer))

    def ask_again(_name: str, works: Sequence[BatchedWork]) -> Iterator[Trouble]:
        for work in works:
            try:
                _rescan(context, env, store, RescanConfig(**work.config))
            except SatfieldsError as error:
                yield Trouble(error, SCENES)

    work_off(context, env, config, fetch if config.kind == "ingest" else ask_again)


def _is_answered(env: Environment, region: Region, day: date) -> bool:
    with read_transaction(env.engine) as connection:
        row = ledger.region_day(connection, region.bbox_id, day)
    return row is not None and row.answered_at is not None


def _tell_refused(context: AssetExecutionContext | OpExecutionContext, region: str, day: date, answer: Answer) -> None:
    """Tell what was not taken of an answer; on the partition, where nothing else is told of it."""
    for name, why in (answer.refused | answer.unplaced).items():
        context.log.warning("%s was not taken: %s", name, why)
    if not answer.settled and answer.refused and in_window(day, utc_now()):
        refused = MetadataValue.json(answer.refused)
        context.log_event(AssetObservation(SCENES, partition=partition(region, day), metadata={"refused": refused}))


def _metadata(answer: Answer) -> dict[str, Any]:
    """What a materialization of `scenes` says of an answer."""
    return {
        "answer": "scene" if answer.scene_digest else NOT_DUE,
        "items": MetadataValue.json(list(answer.items)),
        "refused": MetadataValue.json(answer.refused),
        "object key": answer.object_key or "",
        "pixels": answer.pixels,
        "new to the ledger": answer.new,
        **{f"{part} fraction": value for part, value in answer.fractions.items()},
    }


def _report(
    context: OpExecutionContext, region: str, day: date, answer: Answer, told: dict[str, Any] | None = None
) -> None:
    """Report a day's answer as a materialization of its partition, if it has one."""
    if answer.settled and in_window(day, utc_now()):
        tags = content_tags(answer.scene_digest or NOT_DUE)
        context.log_event(AssetMaterialization(SCENES, partition=partition(region, day), tags=tags, metadata=told))


def publish_registry(context: AssetExecutionContext, env: Environment) -> MaterializeResult[None]:
    """Count what is registered."""
    alive = beating(env.engine, context.run.run_id, "registry", env.settings.heartbeat_seconds)
    with alive, read_transaction(env.engine) as connection:
        counted = registry.registry_counts(connection)
    return MaterializeResult(metadata=counted)


def rescan(context: OpExecutionContext, env: Environment, config: RescanConfig) -> None:
    """Ask for the days of a span where source and ledger differ."""
    lane_name = lane("rescan", config.region)[LANE_TAG]
    alive = beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds)
    with alive, of_run(context.run, config.region):
        counts = _rescan(context, env, env.store(), config)
    context.add_output_metadata({"first day": config.first, "last day": config.last, **counts})


def _rescan(context: OpExecutionContext, env: Environment, store: ObjectStore, config: RescanConfig) -> dict[str, int]:
    """Ask for the days of a region's span where source and ledger differ; gives what was counted.

    Raises:
        RetryableError: some days have no answer yet; the others have.
    """
    first, last = date.fromisoformat(config.first), date.fromisoformat(config.last)
    with read_transaction(env.engine) as connection:
        region = registry.region(connection, config.region)
    counts = {"asked": 0, "changed": 0, "refused": 0}
    later: list[str] = []
    answers = ask_anew(
        env.engine,
        store,
        env.source(),
        region.bbox_id,
        first,
        last,
        utc_now,
        env.settings.lateness_days,
        only_never_asked=config.only_never_asked,
    )
    for day, answer in answers:
        counts["asked"] += 1
        if isinstance(answer, SatfieldsError):
            context.log.warning("%s: %s", day, answer)
            counts["refused"] += isinstance(answer, PermanentError)
            later += [str(answer)] if isinstance(answer, RetryableError) else []
            continue
        counts["changed"] += answer.new
        for name, why in answer.refused.items():
            context.log.warning("%s: %s was not taken: %s", day, name, why)
        _report(context, region.name, day, answer)
    if later:
        raise RetryableError(f"{len(later)} days have no answer yet; the first: {later[0]}")
    return counts


def reconcile_regions(context: OpExecutionContext, env: Environment) -> None:
    """Compare each active region's days within the lateness with another catalogue, and report what differs.

    Raises:
        SettingError: no other catalogue is named.
        RetryableError: it could not be searched to the end for some regions; the others are reported.
    """
    stated = env.settings.reconcile_against
    if stated is None:
        raise SettingError("SATFIELDS_RECONCILE_AGAINST is not set; name the catalogue to compare with")
    now = utc_now()
    last = now.date() - timedelta(days=1)
    first = last - timedelta(days=env.settings.lateness_days)
    other = open_other(stated, "SATFIELDS_RECONCILE_AGAINST")
    with read_transaction(env.engine) as connection:
        spans = [(r, *span_of(r, first, last)) for r in registry.regions(connection, active=True)]
    counts = {"regions": 0, "lacking here": 0, "differences": 0}
    failed: list[str] = []
    with beating(env.engine, context.run_id, "reconcile", env.settings.heartbeat_seconds):
        for region, begin, end in spans:
            if begin > end:
                continue
            try:
                found = reconcile(env.engine, other, region, begin, end, env.deadlines, now)
            except RetryableError as error:
                failed.append(f"region {region.name}: {error}")
                continue
            counts["regions"] += 1
            counts["lacking here"] += found.lacking
            counts["differences"] += len(found.differences)
            if found.differences:
                _report_differences(context, found)
    context.add_output_metadata({"against": stated, "first day": str(first), "last day": str(last), **counts})
    if failed:
        raise RetryableError(f"{len(failed)} regions could not be compared with {stated}; the first: {failed[0]}")


def _report_differences(context: OpExecutionContext, found: Reconciliation) -> None:
    """Show a region's differences on the asset of its scenes; what is lacking is a warning in the log."""
    for each in found.differences:
        log = context.log.warning if each.standing in LACKING else context.log.info
        log("region %s %s: %s is %s. %s", each.region, each.day, each.item, each.standing.words, each.detail)
    records = [
        TableRecord({"day": str(d.day), "tile": d.tile, "item": d.item, "which": d.standing.words, "detail": d.detail})
        for d in found.differences[:SHOWN_DIFFERENCES]
    ]
    metadata = {
        "region": MetadataValue.text(found.region),
        "here": MetadataValue.int(found.here),
        "there": MetadataValue.int(found.there),
        "lacking here": MetadataValue.int(found.lacking),
        "differences": MetadataValue.table(records),
    }
    context.log_event(AssetObservation(SCENES, metadata=metadata))
