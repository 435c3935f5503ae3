"""The jobs of ingest: fetching a day or many regions', asking the source again, comparing the ledger with another."""

from dagster import OpExecutionContext, define_asset_job, job, op
from pydantic import Field as Described
from satcommon.batch_runs import BatchConfig
from satcommon.contract import (
    BATCH_OP,
    FETCH_JOB,
    INGEST_BATCH,
    RECONCILE_JOB,
    RECONCILE_OP,
    RESCAN_JOB,
    RESCAN_OP,
    SCENES,
)
from satcommon.resources import SatfieldsResource, resources
from satcommon.run_config import RunConfig

fetch_scenes = define_asset_job(FETCH_JOB, [SCENES.to_user_string()], description="Fetch a region's scene of a day")


class RescanConfig(RunConfig):
    """Which days to ask for."""

    region: str = Described(description="name of the region")
    first: str = Described(description="first day, YYYY-MM-DD")
    last: str = Described(description="last day, YYYY-MM-DD")
    only_never_asked: bool = Described(default=False, description="leave out days that have an answer")


@op(name=RESCAN_OP, config_schema=RescanConfig.schema_of_job(), tags={"dagster/kind": "cog"})
def ask_anew(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Ask for the days of a span where source and ledger differ. The days need no partition."""
    from satfields_ingest.run import rescan

    rescan(context, satfields.environment(), RescanConfig.of(context.op_config))


# With resources of their own: Dagster would make a sensor anew that names a job without, and warn of a beta parameter.
@job(
    name=RESCAN_JOB,
    description="Ask the source again for a region's days of a span, in one run",
    resource_defs=resources(),
)
def rescan_scenes() -> None:
    """Ask again."""
    ask_anew()


@op(name=BATCH_OP, config_schema=BatchConfig.schema_of_job(), tags={"dagster/kind": "cog"})
def region_after_region(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Ask for the days of many regions; each answer is reported as its partition's."""
    from satfields_ingest.run import fetch_batch

    fetch_batch(context, satfields.environment(), BatchConfig.of(context.op_config))


@job(
    name=INGEST_BATCH,
    description="Fetch the scenes of many regions' days, or ask again for them, in one run",
    resource_defs=resources(),
)
def ingest_batch() -> None:
    """Fetch many."""
    region_after_region()


@op(name=RECONCILE_OP, tags={"dagster/kind": "sql"})
def compare_catalogues(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Compare the registered acquisitions of each active region with another catalogue; changes nothing."""
    from satfields_ingest.run import reconcile_regions

    reconcile_regions(context, satfields.environment())


@job(name=RECONCILE_JOB, description="Compare what is registered with SATFIELDS_RECONCILE_AGAINST")
def reconcile_scenes() -> None:
    """Compare."""
    compare_catalogues()
