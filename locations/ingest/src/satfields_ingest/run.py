"""What the runs of ingest do: fetch a day's scene, publish the registry, ask again for past days.

Only runs import this module: it loads NumPy and GDAL.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

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
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.db.heartbeat import beating
from satcommon.db.region_source import refusal
from satcommon.environment import utc_now
from satcommon.errors import PermanentError, RetryableError, SatfieldsError, SceneError, SettingError
from satcommon.pipeline.ingest_day import ask
from satcommon.pipeline.reconcile import LACKING, Reconciliation, reconcile, span_of
from satcommon.pipeline.rescan import ask_anew
from satcommon.run_logs import of_run
from satcommon.sources.open_source import open_other

if TYPE_CHECKING:
    from satcommon.environment import Environment

    from satfields_ingest.jobs import RescanConfig

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
    for name, why in (answer.refused | answer.unplaced).items():
        context.log.warning("%s was not taken: %s", name, why)
    if not answer.settled and answer.refused:
        refused = MetadataValue.json(answer.refused)
        context.log_event(AssetObservation(SCENES, partition=context.partition_key, metadata={"refused": refused}))
    if not answer.settled:
        why = (
            f"region {region.name} {day}: the scene is {answer.due.value} and not there yet; it is looked for until "
            f"{env.settings.lateness_days} days after the day's end"
        )
        context.log.info(why)
        if by_hand:
            yield left(why, answer="not there yet")
        return
    yield MaterializeResult(
        metadata={
            "answer": "scene" if answer.scene_digest else NOT_DUE,
            "items": MetadataValue.json(list(answer.items)),
            "refused": MetadataValue.json(answer.refused),
            "object key": answer.object_key or "",
            "pixels": answer.pixels,
            "new to the ledger": answer.new,
            **{f"{part} fraction": value for part, value in answer.fractions.items()},
        },
        data_version=DataVersion(answer.scene_digest or NOT_DUE),
    )


def publish_registry(context: AssetExecutionContext, env: Environment) -> MaterializeResult[None]:
    """Count what is registered."""
    alive = beating(env.engine, context.run.run_id, "registry", env.settings.heartbeat_seconds)
    with alive, read_transaction(env.engine) as connection:
        counted = registry.registry_counts(connection)
    return MaterializeResult(metadata=counted)


def rescan(context: OpExecutionContext, env: Environment, config: RescanConfig) -> None:
    """Ask for the days of a span where source and ledger differ."""
    first, last = date.fromisoformat(config.first), date.fromisoformat(config.last)
    with read_transaction(env.engine) as connection:
        region = registry.region(connection, config.region)
    counts = {"asked": 0, "changed": 0, "refused": 0}
    later: list[str] = []
    lane_name = lane("rescan", region.name)[LANE_TAG]
    alive = beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds)
    with alive, of_run(context.run, region.name):
        answers = ask_anew(
            env.engine,
            env.store(),
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
            if answer.settled and in_window(day, utc_now()):
                tags = content_tags(answer.scene_digest or NOT_DUE)
                context.log_event(AssetMaterialization(SCENES, partition=partition(region.name, day), tags=tags))
    context.add_output_metadata({"first day": config.first, "last day": config.last, **counts})
    if later:
        raise RetryableError(f"{len(later)} days have no answer yet; the first: {later[0]}")


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
                found = reconcile(env.engine, other, region, begin, end, now)
            except RetryableError as error:
                failed.append(f"region {region.name}: {error}")
                continue
            counts["regions"] += 1
            counts["lacking here"] += found.lacking
            counts["differences"] += len(found.differences)
            if found.differences:
                _report(context, found)
    context.add_output_metadata({"against": stated, "first day": str(first), "last day": str(last), **counts})
    if failed:
        raise RetryableError(f"{len(failed)} regions could not be compared with {stated}; the first: {failed[0]}")


def _report(context: OpExecutionContext, found: Reconciliation) -> None:
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
