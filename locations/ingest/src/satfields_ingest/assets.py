"""The assets of ingest: a region's scene of a day, and the registry of fields."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

from dagster import AssetExecutionContext, AssetObservation, DataVersion, MaterializeResult, MetadataValue, asset
from satcommon.contract import (
    DATE,
    FIELD_REGISTRY,
    LANE_TAG,
    NOT_DUE,
    REGION,
    SCENES,
    is_by_hand,
    lane,
    left,
    region_days,
    why_unmonitored,
)


@asset(
    key=SCENES,
    partitions_def=region_days,
    group_name="imagery",
    owners=["team:ingest"],
    kinds={"cog"},
    output_required=False,
)
def scenes(context: AssetExecutionContext) -> Iterator[MaterializeResult[None]]:
    """What a region has of imagery for a day, harmonised, as one cloud-optimised GeoTIFF.

    Materialized is the source's answer: the scene, or that none is due. A due scene that is not there yet leaves the
    partition missing; a sensor goes on looking for it within the allowed lateness. A run started by hand, or by a
    backfill, says so in a materialization, and succeeds.
    """
    from satcommon.db.engine import read_transaction
    from satcommon.db.heartbeat import beating
    from satcommon.db.region_source import refusal
    from satcommon.db.registry import region
    from satcommon.environment import environment
    from satcommon.errors import InputError, SceneError
    from satcommon.pipeline.ingest_day import ask

    env = environment()
    key = context.partition_key.keys_by_dimension
    day = date.fromisoformat(key[DATE])
    by_hand = is_by_hand(context.run)
    try:
        with read_transaction(env.engine) as connection:
            place = region(connection, key[REGION])
    except InputError as error:
        if not by_hand:
            raise
        yield left(str(error), answer="not asked")
        return
    if why := why_unmonitored(place, day):
        context.log.info(why)
        yield left(why, answer="not asked")
        return
    source = env.source()
    if by_hand and (why := refusal(place, source.identity)):
        context.log.warning(why)
        yield left(why, answer="not asked")
        return
    lane_name = lane("ingest", place.name)[LANE_TAG]
    try:
        with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
            answer = ask(env.engine, env.store(), source, place.bbox_id, day, datetime.now(UTC))
    except SceneError as error:
        if not by_hand:
            raise
        yield left(f"region {place.name} {day}: {error}", answer="can't be read")
        return
    for name, why in (answer.refused | answer.unplaced).items():
        context.log.warning("%s was not taken: %s", name, why)
    if not answer.settled and answer.refused:
        refused = MetadataValue.json(answer.refused)
        context.log_event(AssetObservation(SCENES, partition=context.partition_key, metadata={"refused": refused}))
    if not answer.settled:
        why = (
            f"region {place.name} {day}: the scene is {answer.due.value} and not there yet; it is looked for until "
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
            "new to the ledger": answer.new,
            **{f"{part} fraction": value for part, value in answer.fractions.items()},
        },
        data_version=DataVersion(answer.scene_digest or NOT_DUE),
    )


@asset(key=FIELD_REGISTRY, group_name="registry", owners=["team:ingest"], kinds={"sql"})
def field_registry(context: AssetExecutionContext) -> MaterializeResult[None]:
    """The registered regions, fields and seasons; materialized when they change."""
    from satcommon.db.engine import read_transaction
    from satcommon.db.heartbeat import beating
    from satcommon.db.registry import registry_counts
    from satcommon.environment import environment

    env = environment()
    alive = beating(env.engine, context.run.run_id, "registry", env.settings.heartbeat_seconds)
    with alive, read_transaction(env.engine) as connection:
        counted = registry_counts(connection)
    return MaterializeResult(metadata=counted)
