"""What the runs of reprocessing do: drain backlogs, audit all regions, tell webhooks of changes.

Only runs import this module: it loads NumPy and GDAL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetExecutionContext,
    AssetMaterialization,
    MaterializeResult,
    MetadataValue,
    OpExecutionContext,
)
from satcommon.asset_checks import as_result, show_day, show_region_check
from satcommon.audit.audit import audit
from satcommon.audit.record import record
from satcommon.batch_runs import BatchConfig, BatchedWork, Trouble, work_off
from satcommon.contract import LANE_TAG, REPROCESSED_FIELD_METRICS, in_window, lane
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.db.heartbeat import beating
from satcommon.environment import utc_now
from satcommon.errors import PermanentError
from satcommon.pipeline.backlog import plan, region_backlog
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.replay import replay
from satcommon.publication.objects import ResultObjects
from satcommon.run_logs import of_run
from satcommon.telemetry.work import work
from satcommon.views.day_checks import audit_check
from satcommon.webhooks.deliver import deliver

from satfields_reprocessing.report import Changes

if TYPE_CHECKING:
    from satcommon.db.models import Region
    from satcommon.environment import Environment
    from satcommon.storage.object_store import ObjectStore


def drain_backlog(context: AssetExecutionContext, env: Environment) -> Iterator[MaterializeResult[None]]:
    """Replay a region's missed field-days chunk by chunk, and report each corrected day."""
    lane_name = lane("replay", context.partition_key)[LANE_TAG]
    alive = beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds)
    with alive, of_run(context.run, context.partition_key):
        region = _region(env, context.partition_key)
        told = _drain(context, env, env.store(), region)
    yield MaterializeResult(metadata=told)
    show_region_check(context, env, region)


def drain_batch(context: OpExecutionContext, env: Environment, config: BatchConfig) -> None:
    """Drain the backlogs of many regions, one region after another."""
    store = env.store()

    def drain(name: str, _works: Sequence[BatchedWork]) -> Iterator[Trouble]:
        try:
            region = _region(env, name)
            told = _drain(context, env, store, region)
        except Exception as error:  # noqa: BLE001  # told on the region's partition; the other regions go on
            yield Trouble(error, REPROCESSED_FIELD_METRICS, name)
        else:
            context.log_event(AssetMaterialization(REPROCESSED_FIELD_METRICS, partition=name, metadata=told))
            show_region_check(context, env, region)

    work_off(context, env, config, drain)


def _region(env: Environment, name: str) -> Region:
    with read_transaction(env.engine) as connection:
        return registry.region(connection, name)


def _drain(
    context: AssetExecutionContext | OpExecutionContext, env: Environment, store: ObjectStore, region: Region
) -> dict[str, Any]:
    """Drain a region's backlog; gives what its materialization says."""
    now = datetime.now(UTC)
    with read_transaction(env.engine) as connection:
        planned = plan(connection, region.bbox_id, env.deadlines, now)
    context.log.info("plan for %s: %s", region.name, planned)
    done: Counter[str] = Counter()
    changes = Changes()
    processor = Processor(env.engine, store, utc_now, env.source)
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
            show_day(context, env, region, day, **{"corrected by run": context.run.run_id})
    with read_transaction(env.engine) as connection:
        waiting = len(region_backlog(connection, region.bbox_id, env.deadlines, datetime.now(UTC)).waiting)
    costs = {key: MetadataValue.json(v) if isinstance(v, dict) else str(v) for key, v in asdict(planned).items()}
    return {**costs, **done, "still waiting": waiting, **changes.metadata(region.name)}


def audit_regions(context: OpExecutionContext, env: Environment) -> None:
    """Audit all regions; what is found is kept for those who watch.

    Raises:
        PermanentError: something is lost; the message names the regions.
    """
    with read_transaction(env.engine) as connection:
        regions = registry.regions(connection)
    unclean = []
    with beating(env.engine, context.run_id, "audit", env.settings.heartbeat_seconds):
        for region in regions:
            with of_run(context.run, region.name), work("region audited") as told:
                report = audit(env.engine, env.store(), region, lambda: None)
                record(env.engine, region.bbox_id, report, utc_now())
                told |= {"clean": report.clean, "expected": report.expected, "problems": report.problem_count}
            for problem in report.problems:
                context.log.error(problem)
            unclean += [] if report.clean else [region.name]
    context.add_output_metadata({"regions": len(regions), "not clean": len(unclean)})
    if unclean:
        raise PermanentError(f"the audit is not clean: {', '.join(unclean)}; `satctl audit` tells more")


def check_again(context: AssetCheckExecutionContext, env: Environment) -> Iterator[AssetCheckResult]:
    """Evaluate the check of a region's past."""
    yield as_result(REPROCESSED_FIELD_METRICS, audit_check(env.engine, _region(env, context.partition_key)))


def tell_webhooks(context: OpExecutionContext, env: Environment) -> None:
    """Tell each webhook what there is to tell; a receiver's failure is none of the run's."""
    lane_name = lane("webhooks", "all")[LANE_TAG]
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        for told in deliver(env.engine, ResultObjects(env.store()), env.settings, utc_now):
            context.log.info("webhook %s: %d events, %d changes", told.webhook, told.events, told.changes)
            for region, error in told.errors.items():
                context.log.warning("webhook %s, region %s: %s", told.webhook, region, error)
