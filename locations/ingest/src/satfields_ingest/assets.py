"""The assets of ingest: a region's scene of a day, and the registry of fields."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, asset
from satcommon.contract import DATE, FIELD_REGISTRY, LANE_TAG, REGION, SCENES, lane, region_days


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
    partition missing; a sensor goes on looking for it within the allowed lateness.
    """
    from satcommon.db.engine import reading
    from satcommon.db.heartbeat import beating
    from satcommon.db.registry import region
    from satcommon.environment import environment
    from satcommon.scenes.arrival import ask

    env = environment()
    key = context.partition_key.keys_by_dimension
    day = date.fromisoformat(key[DATE])
    with reading(env.engine) as connection:
        place = region(connection, key[REGION])
    lane_name = lane("ingest", place.name)[LANE_TAG]
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        answer = ask(env.engine, env.store(), env.source(), place.bbox_id, day, datetime.now(UTC))
    for name, why in answer.refused.items():
        context.log.warning("%s was not taken: %s", name, why)
    if not answer.settled:
        context.log.info("%s %s: the scene is %s and not there yet", place.name, day, answer.due.value)
        return
    yield MaterializeResult(
        metadata={
            "answer": "scene" if answer.scene_digest else "not due",
            "items": MetadataValue.json(list(answer.items)),
            "refused": MetadataValue.json(answer.refused),
            "object key": answer.object_key or "",
            "new to the ledger": answer.new,
            **{f"{part} fraction": value for part, value in answer.fractions.items()},
        },
    )


@asset(key=FIELD_REGISTRY, group_name="registry", owners=["team:ingest"], kinds={"sql"})
def field_registry(context: AssetExecutionContext) -> MaterializeResult[None]:
    """The registered regions, fields and seasons; materialized when they change."""
    from satcommon.db.engine import reading
    from satcommon.db.heartbeat import beating
    from satcommon.db.registry import census
    from satcommon.environment import environment

    env = environment()
    alive = beating(env.engine, context.run.run_id, "registry", env.settings.heartbeat_seconds)
    with alive, reading(env.engine) as connection:
        counted = census(connection)
    return MaterializeResult(metadata=counted)
