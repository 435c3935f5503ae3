"""The jobs of realtime: closing a day, and filling a region's past in one run."""

from datetime import UTC, date, datetime

from dagster import AssetMaterialization, Config, OpExecutionContext, define_asset_job, job, op
from pydantic import Field as Described
from satcommon.contract import (
    BACKFILL_JOB,
    BACKFILL_OP,
    CLOSE_JOB,
    FIELD_METRICS,
    LANE_TAG,
    NOT_DUE,
    SCENES,
    closed_day,
    content_tags,
    in_window,
    lane,
    partition,
)
from satcommon.errors import SatfieldsError

close_days = define_asset_job(
    CLOSE_JOB, [FIELD_METRICS.to_user_string()], description="Close a region's day, and the open days before it"
)


class BackfillConfig(Config):
    """Which days to fill."""

    region: str = Described(description="name of the region")
    until: str = Described(description="last day, YYYY-MM-DD; the first is the region's first open day")


@op(name=BACKFILL_OP, tags={"dagster/kind": "parquet"})
def fill_open_days(context: OpExecutionContext, config: BackfillConfig) -> None:
    """Fetch and close day after day, oldest first, in one run: Dagster needs no partition for the days."""
    from satcommon.db.engine import read_transaction
    from satcommon.db.heartbeat import beating
    from satcommon.db.registry import region
    from satcommon.environment import environment, utc_now
    from satcommon.pipeline.close_region import Closer
    from satcommon.pipeline.ingest_day import Answer

    env = environment()
    now, until = datetime.now(UTC), date.fromisoformat(config.until)
    with read_transaction(env.engine) as connection:
        place = region(connection, config.region)
    lane_name = lane("backfill", place.name)[LANE_TAG]
    answers = {"scenes": 0, "refused": 0}
    closed_days = 0

    def note(day: date, answer: Answer) -> None:
        answers["scenes"] += answer.scene_digest is not None
        answers["refused"] += len(answer.refused)
        for name, why in answer.refused.items():
            context.log.warning("%s: %s was not taken: %s", day, name, why)
        if answer.settled and in_window(day, now):
            tags = content_tags(answer.scene_digest or NOT_DUE)
            context.log_event(AssetMaterialization(SCENES, partition=partition(place.name, day), tags=tags))

    def warn(day: date, error: SatfieldsError) -> None:
        answers["refused"] += 1
        context.log.warning("%s: its scene can't be read: %s", day, error)

    with beating(env.engine, context.run_id, lane_name, env.settings.heartbeat_seconds):
        closer = Closer(env.engine, env.store(), place.bbox_id, env.deadlines, context.run.run_id, now, utc_now)
        for closed in closer.backfill(env.source(), min(until, now.date()), note, warn):
            closed_days += 1
            day = closed.inputs.day
            if closed_days % 30 == 1 or day == until:
                context.log.info("%s is closed (%d days so far, until %s)", day, closed_days, until)
            if in_window(day, now):
                context.log_event(closed_day(env, place, day))
    context.add_output_metadata({"days closed": closed_days, **answers})


@job(name=BACKFILL_JOB, description="Fetch and close a region's days up to a day, in one run")
def backfill() -> None:
    """Fill a region's past."""
    fill_open_days()
