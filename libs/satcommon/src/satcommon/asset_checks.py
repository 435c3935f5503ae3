"""Asset checks: what Dagster shows of a day, and of a region's past, as kept or broken promises.

They are evaluated by the runs that publish a day, whichever run that is, and shown at the day's partition.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetRecordsFilter,
    DagsterEvent,
    DagsterEventType,
    OpExecutionContext,
    PreviewWarning,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

from satcommon.contract import (
    FIELD_METRICS,
    REPROCESSED_FIELD_METRICS,
    closed_day,
    partition,
    region_days,
    region_partitions,
)

if TYPE_CHECKING:
    from satcommon.db.models import Region
    from satcommon.environment import Environment
    from satcommon.views.day_checks import CheckResult

_OF_A_DAY = {
    "complete": "All expected fields have rows, and nothing is in quarantine. An error: rows are lost or given up.",
    "fresh": "The day closed within two hours of its deadline. An error: its answer was there in time.",
    "plausible": "The region's NDVI moved no more than its own past lets expect.",
}
_OF_A_REGION = {
    "audit": "Over all closed days, expected field-days are settled or missed; `satctl audit` compares each."
}

with warnings.catch_warnings():
    warnings.simplefilter("ignore", PreviewWarning)  # of partitions; Dagster is pinned, and tests rest on this
    day_check_specs = [
        AssetCheckSpec(name, asset=FIELD_METRICS, description=said, partitions_def=region_days)
        for name, said in _OF_A_DAY.items()
    ]
    region_check_specs = [
        AssetCheckSpec(name, asset=REPROCESSED_FIELD_METRICS, description=said, partitions_def=region_partitions)
        for name, said in _OF_A_REGION.items()
    ]


def show_day(
    context: AssetExecutionContext | OpExecutionContext, env: Environment, region: Region, day: date, **facts: str
) -> None:
    """Report a closed day, as it now is published, and its checks.

    Args:
        context: of the run.
        env: with ledger and store.
        region: the region.
        day: the day.
    """
    context.log_event(closed_day(env, region, day, **facts))
    show_day_checks(context, env, region, day)


def show_day_checks(
    context: AssetExecutionContext | OpExecutionContext, env: Environment, region: Region, day: date
) -> None:
    """Report the checks of a closed day that is reported.

    Args:
        context: of the run.
        env: with ledger and store.
        region: the region.
        day: the day.
    """
    from satcommon.views.day_checks import day_checks

    found = day_checks(env.engine, env.store(), env.deadlines, region, day)
    _show(context, FIELD_METRICS, partition(region.name, day), found)


def show_region_check(context: AssetExecutionContext | OpExecutionContext, env: Environment, region: Region) -> None:
    """Report the check of a region's past."""
    from satcommon.views.day_checks import audit_check

    _show(context, REPROCESSED_FIELD_METRICS, region.name, [audit_check(env.engine, region)])


def _show(
    context: AssetExecutionContext | OpExecutionContext, asset: AssetKey, key: str, found: Iterable[CheckResult]
) -> None:
    """Report what checks found, as events of the run.

    Not as events without a run: of those Dagster's table takes one for each check and partition, and no correction.
    """
    records = context.instance.fetch_materializations(
        AssetRecordsFilter(asset, asset_partitions=[key]), limit=1
    ).records
    target = [
        AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for record in records
    ]
    for result in found:
        told = as_result(asset, result)
        evaluation = AssetCheckEvaluation(
            asset_key=asset,
            check_name=result.name,
            passed=told.passed,
            metadata=told.metadata,
            target_materialization_data=target[0] if target else None,
            severity=told.severity,
            description=told.description,
            partition=key,
        )
        event = DagsterEvent(
            DagsterEventType.ASSET_CHECK_EVALUATION.value, context.run.job_name, event_specific_data=evaluation
        )
        context.instance.report_dagster_event(event, run_id=context.run.run_id)


def as_result(asset: AssetKey, result: CheckResult) -> AssetCheckResult:
    """A check's finding in Dagster's words."""
    from satcommon.views.day_checks import Outcome

    return AssetCheckResult(
        asset_key=asset,
        check_name=result.name,
        passed=result.outcome is Outcome.PASSED,
        severity=AssetCheckSeverity.ERROR if result.outcome is Outcome.ERROR else AssetCheckSeverity.WARN,
        description=result.said,
        metadata=dict(result.facts),
    )
