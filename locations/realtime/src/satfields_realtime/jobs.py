"""The jobs of realtime: closing a day, many regions' days in one run, and filling a region's past in one run."""

from dagster import AssetSelection, OpExecutionContext, define_asset_job, job, op
from pydantic import Field as Described
from satcommon.batch_runs import BatchConfig
from satcommon.contract import BACKFILL_JOB, BACKFILL_OP, BATCH_OP, CLOSE_JOB, FIELD_METRICS, REALTIME_BATCH
from satcommon.resources import SatfieldsResource, resources
from satcommon.run_config import RunConfig

close_days = define_asset_job(
    CLOSE_JOB,
    AssetSelection.assets(FIELD_METRICS).without_checks(),  # the run reports them, of each day that it closes
    description="Close a region's day, and the open days before it",
)


class BackfillConfig(RunConfig):
    """Which days to fill."""

    region: str = Described(description="name of the region")
    until: str = Described(description="last day, YYYY-MM-DD; the first is the region's first open day")


@op(name=BACKFILL_OP, config_schema=BackfillConfig.schema_of_job(), tags={"dagster/kind": "parquet"})
def fill_open_days(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Fetch and close day after day, oldest first, in one run: Dagster needs no partition for the days."""
    from satfields_realtime import run

    run.fill_open_days(context, satfields.environment(), BackfillConfig.of(context.op_config))


@op(name=BATCH_OP, config_schema=BatchConfig.schema_of_job(), tags={"dagster/kind": "parquet"})
def region_after_region(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Close the days of many regions, or fill their pasts; each closed day is reported as its partition's."""
    from satfields_realtime import run

    run.close_batch(context, satfields.environment(), BatchConfig.of(context.op_config))


# With resources of their own: Dagster would make a sensor anew that names a job without, and warn of a beta parameter.
@job(
    name=BACKFILL_JOB,
    description="Fetch and close a region's days up to a day, in one run",
    resource_defs=resources(),
)
def backfill() -> None:
    """Fill a region's past."""
    fill_open_days()


@job(
    name=REALTIME_BATCH,
    description="Close many regions' days, or fill their pasts, in one run",
    resource_defs=resources(),
)
def realtime_batch() -> None:
    """Close many."""
    region_after_region()
