"""The job of ingest that has no partition: asking the source anew for days of the past."""

from datetime import date

from dagster import AssetMaterialization, Config, OpExecutionContext, job, op
from pydantic import Field as Described
from satcommon.contract import (
    LANE_TAG,
    NOT_DUE,
    RESCAN_JOB,
    RESCAN_OP,
    SCENES,
    content_tags,
    in_window,
    lane,
    partition,
)
from satcommon.errors import PermanentError, RetryableError, SatfieldsError


class RescanConfig(Config):
    """Which days to ask for."""

    region: str = Described(description="name of the region")
    first: str = Described(description="first day, YYYY-MM-DD")
    last: str = Described(description="last day, YYYY-MM-DD")
    only_never_asked: bool = Described(default=False, description="leave out days that have an answer")


@op(name=RESCAN_OP, tags={"dagster/kind": "cog"})
def ask_anew(context: OpExecutionContext, config: RescanConfig) -> None:
    """Ask for the days of a span of which the source says otherwise than the ledger. No day needs a partition."""
    from satcommon.db.engine import read_transaction
    from satcommon.db.heartbeat import beating
    from satcommon.db.registry import region
    from satcommon.environment import environment, utc_now
    from satcommon.pipeline.rescan import ask_anew as ask_days

    env = environment()
    first, last = date.fromisoformat(config.first), date.fromisoformat(config.last)
    with read_transaction(env.engine) as connection:
        place = region(connection, config.region)
    counts = {"asked": 0, "changed": 0, "refused": 0}
    later: list[str] = []
    lane_name = lane("rescan", place.name)[LANE_TAG]
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        answers = ask_days(
            env.engine,
            env.store(),
            env.source(),
            place.bbox_id,
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
                context.log_event(AssetMaterialization(SCENES, partition=partition(place.name, day), tags=tags))
    context.add_output_metadata({"first day": config.first, "last day": config.last, **counts})
    if later:
        raise RetryableError(f"{len(later)} days have no answer yet; the first: {later[0]}")


@job(name=RESCAN_JOB, description="Ask the source anew for a region's days of a span, in one run")
def rescan_scenes() -> None:
    """Ask anew."""
    ask_anew()
