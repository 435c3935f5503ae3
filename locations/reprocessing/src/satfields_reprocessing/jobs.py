"""The jobs of reprocessing: draining a region's backlog, many regions' in one run, and the audit of all regions."""

from dagster import AssetSelection, OpExecutionContext, define_asset_job, job, op
from satcommon.batch_runs import BatchConfig
from satcommon.contract import (
    AUDIT_JOB,
    BACKGROUND_TAG,
    BATCH_OP,
    REPLAY_JOB,
    REPROCESSED_FIELD_METRICS,
    REPROCESSING_BATCH,
)
from satcommon.resources import SatfieldsResource, resources

replay_backlog = define_asset_job(
    REPLAY_JOB,
    AssetSelection.assets(REPROCESSED_FIELD_METRICS).without_checks(),  # the run reports it
    description="Drain a region's backlog, oldest day first",
)


@op(name=BATCH_OP, config_schema=BatchConfig.schema_of_job(), tags={"dagster/kind": "parquet"})
def region_after_region(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Drain the backlogs of many regions; each is reported as its partition's, and so is each corrected day."""
    from satfields_reprocessing.run import drain_batch

    drain_batch(context, satfields.environment(), BatchConfig.of(context.op_config))


# With resources of its own: Dagster would make the sensors anew that name a job without, and warn of a beta parameter.
@job(name=REPROCESSING_BATCH, description="Drain many regions' backlogs in one run", resource_defs=resources())
def reprocessing_batch() -> None:
    """Drain many."""
    region_after_region()


@op(tags={"dagster/kind": "parquet"})
def audit_each(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Audit region after region, and keep what was found. Fails where something is lost."""
    from satfields_reprocessing.run import audit_regions as audit_all

    audit_all(context, satfields.environment())


@job(name=AUDIT_JOB, description="Check that no field-day of any region is lost", tags={BACKGROUND_TAG: "yes"})
def audit_regions() -> None:
    """Audit."""
    audit_each()
