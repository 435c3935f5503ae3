"""What the runs of reprocessing do: drain a region's backlog, and tell webhooks of changes.

Only runs import this module: it loads NumPy and GDAL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, OpExecutionContext
from satcommon.contract import LANE_TAG, closed_day, in_window, lane
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.db.heartbeat import beating
from satcommon.environment import utc_now
from satcommon.pipeline.backlog import plan, region_backlog
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.replay import replay
from satcommon.publication.objects import ResultObjects
from satcommon.webhooks.deliver import deliver

from satfields_reprocessing.report import Changes

if TYPE_CHECKING:
    from satcommon.environment import Environment


def drain_backlog(context: AssetExecutionContext, env: Environment) -> Iterator[MaterializeResult[None]]:
    """Replay a region's missed field-days chunk by chunk, and report each corrected day."""
    now = datetime.now(UTC)
    with read_transaction(env.engine) as connection:
        region = registry.region(connection, context.partition_key)
        planned = plan(connection, region.bbox_id, env.deadlines, now)
    context.log.info("plan for %s: %s", region.name, planned)
    done: Counter[str] = Counter()
    changes = Changes()
    lane_name = lane("replay", region.name)[LANE_TAG]
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        processor = Processor(env.engine, env.store(), utc_now, env.source)
        for chunk in replay(processor, env.engine, region.bbox_id, env.deadlines, context.run.run_id, now):
            result = chunk.computed
            changes.add(result)
            done.update(
                {
                    "field-days done": len(result.steps),
                    "observed anew": result.observed,
                    "observations reused": result.reused,
                    "changed rows": result.changed_rows,
                    "days changed": len(result.row_counts),
                    "failed": len(result.failed),
                    "scene windows read": result.work.scenes,
                    "scene bytes read": result.work.scene_bytes,
                }
            )
            context.log.info(
                "%s %s..%s: %d field-days", region.name, chunk.inputs.first, chunk.inputs.last, len(result.steps)
            )
            for day in sorted(day for day in result.row_counts if in_window(day, now)):
                context.log_event(closed_day(env, region, day, **{"corrected by run": context.run.run_id}))
    with read_transaction(env.engine) as connection:
        left = region_backlog(connection, region.bbox_id, env.deadlines, datetime.now(UTC))
    yield MaterializeResult(
        metadata={
            **{
                key: MetadataValue.json(value) if isinstance(value, dict) else str(value)
                for key, value in asdict(planned).items()
            },
            **done,
            "still waiting": len(left.waiting),
            **changes.metadata(region.name),
        }
    )


def tell_webhooks(context: OpExecutionContext, env: Environment) -> None:
    """Tell each webhook what there is to tell; a receiver's failure is none of the run's."""
    lane_name = lane("webhooks", "all")[LANE_TAG]
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        for told in deliver(env.engine, ResultObjects(env.store()), env.settings, utc_now):
            context.log.info("webhook %s: %d events, %d changes", told.webhook, told.events, told.changes)
            for region, error in told.errors.items():
                context.log.warning("webhook %s, region %s: %s", told.webhook, region, error)
