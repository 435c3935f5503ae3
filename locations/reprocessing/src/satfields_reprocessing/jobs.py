"""The jobs of reprocessing: draining a region's backlog, and many regions' in one run."""

from dagster import OpExecutionContext, define_asset_job, job, op
from satcommon.batch_runs import BatchConfig
from satcommon.contract import BATCH_OP, REPLAY_JOB, REPROCESSED_FIELD_METRICS, REPROCESSING_BATCH
from satcommon.resources import SatfieldsResource, resources

replay_backlog = define_asset_job(
    REPLAY_JOB,
    [REPROCESSED_FIELD_METRICS.to_user_string()],
    description="Drain a region's backlog, oldest day first",
)


@op(name=BATCH_OP, tags={"dagster/kind": "parquet"})
def region_after_region(context: OpExecutionContext, config: BatchConfig, satfields: SatfieldsResource) -> None:
    """Drain the backlogs of many regions; each is reported as its partition's, and so is each corrected day."""
    from satfields_reprocessing.run import drain_batch

    drain_batch(context, satfields.environment(), config)


# With resources of its own: Dagster would make the sensors anew that name a job without, and warn of a beta parameter.
@job(name=REPROCESSING_BATCH, description="Drain many regions' backlogs in one run", resource_defs=resources())
def reprocessing_batch() -> None:
    """Drain many."""
    region_after_region()
