"""The job of ingest that has no partition: asking the source again for past days."""

from dagster import Config, OpExecutionContext, job, op
from pydantic import Field as Described
from satcommon.contract import RESCAN_JOB, RESCAN_OP
from satcommon.resources import SatfieldsResource


class RescanConfig(Config):
    """Which days to ask for."""

    region: str = Described(description="name of the region")
    first: str = Described(description="first day, YYYY-MM-DD")
    last: str = Described(description="last day, YYYY-MM-DD")
    only_never_asked: bool = Described(default=False, description="leave out days that have an answer")


@op(name=RESCAN_OP, tags={"dagster/kind": "cog"})
def ask_anew(context: OpExecutionContext, config: RescanConfig, satfields: SatfieldsResource) -> None:
    """Ask for the days of a span where source and ledger differ. The days need no partition."""
    from satfields_ingest.run import rescan

    rescan(context, satfields.environment(), config)


@job(name=RESCAN_JOB, description="Ask the source again for a region's days of a span, in one run")
def rescan_scenes() -> None:
    """Ask again."""
    ask_anew()
