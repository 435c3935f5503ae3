"""The jobs of ingest that have no partition: asking the source again, and comparing the ledger with another one."""

from dagster import OpExecutionContext, job, op
from pydantic import Field as Described
from satcommon.contract import RECONCILE_JOB, RECONCILE_OP, RESCAN_JOB, RESCAN_OP
from satcommon.resources import SatfieldsResource
from satcommon.run_config import RunConfig


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


@job(name=RESCAN_JOB, description="Ask the source again for a region's days of a span, in one run")
def rescan_scenes() -> None:
    """Ask again."""
    ask_anew()


@op(name=RECONCILE_OP, tags={"dagster/kind": "sql"})
def compare_catalogues(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Compare the registered acquisitions of each active region with another catalogue; changes nothing."""
    from satfields_ingest.run import reconcile_regions

    reconcile_regions(context, satfields.environment())


@job(name=RECONCILE_JOB, description="Compare what is registered with SATFIELDS_RECONCILE_AGAINST")
def reconcile_scenes() -> None:
    """Compare."""
    compare_catalogues()
