"""The asset of reprocessing: a region's backlog, drained."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime

from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, asset
from satcommon.contract import (
    FIELD_METRICS,
    FIELD_REGISTRY,
    LANE_TAG,
    REPROCESSED_FIELD_METRICS,
    SCENES,
    closed_day,
    in_window,
    lane,
    region_partitions,
)


@asset(
    key=REPROCESSED_FIELD_METRICS,
    partitions_def=region_partitions,
    deps=[SCENES, FIELD_REGISTRY, FIELD_METRICS],
    group_name="field_metrics",
    owners=["team:reprocessing"],
    kinds={"parquet"},
)
def reprocessed_field_metrics(context: AssetExecutionContext) -> Iterator[MaterializeResult[None]]:
    """A region's missed field-days, recomputed in day order until the state is the published one again.

    Corrected days are materializations of `field_metrics`, so that what depends on them is updated, and their partition
    shows the day as it now is.
    """
    from satcommon.db.engine import read_transaction
    from satcommon.db.heartbeat import beating
    from satcommon.db.registry import region
    from satcommon.environment import environment, utc_now
    from satcommon.pipeline.backlog import plan, region_backlog
    from satcommon.pipeline.close_day import Processor
    from satcommon.pipeline.replay import replay

    from satfields_reprocessing.report import Changes

    env = environment()
    now = datetime.now(UTC)
    with read_transaction(env.engine) as connection:
        place = region(connection, context.partition_key)
        planned = plan(connection, place.bbox_id, env.deadlines, now)
    context.log.info("plan for %s: %s", place.name, planned)
    done: Counter[str] = Counter()
    changes = Changes()
    lane_name = lane("replay", place.name)[LANE_TAG]
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        processor = Processor(env.engine, env.store(), utc_now)
        for chunk in replay(processor, env.engine, place.bbox_id, env.deadlines, context.run.run_id, now):
            found = chunk.computed
            changes.add(found)
            done.update(
                {
                    "field-days done": len(found.steps),
                    "observed anew": found.observed,
                    "observations reused": found.reused,
                    "changed rows": found.changed_rows,
                    "objects rewritten": len(found.tables),
                    "failed": len(found.failed),
                    "scene windows read": found.work.scenes,
                    "scene bytes read": found.work.scene_bytes,
                }
            )
            context.log.info(
                "%s %s..%s: %d field-days", place.name, chunk.inputs.first, chunk.inputs.last, len(found.steps)
            )
            for day in sorted(day for day in found.tables if in_window(day, now)):
                context.log_event(closed_day(env, place, day, **{"corrected by run": context.run.run_id}))
    with read_transaction(env.engine) as connection:
        left = region_backlog(connection, place.bbox_id, env.deadlines, datetime.now(UTC))
    yield MaterializeResult(
        metadata={
            **{
                key: MetadataValue.json(value) if isinstance(value, dict) else str(value)
                for key, value in asdict(planned).items()
            },
            **done,
            "still waiting": len(left.waiting),
            **changes.metadata(place.name),
        }
    )
