"""The job of reprocessing that has no partition: the audit of all regions."""

from dagster import OpExecutionContext, job, op
from satcommon.contract import AUDIT_JOB, BACKGROUND_TAG
from satcommon.resources import SatfieldsResource


@op(tags={"dagster/kind": "parquet"})
def audit_each(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Audit region after region, and keep what was found. Fails where something is lost."""
    from satfields_reprocessing.run import audit_regions as audit_all

    audit_all(context, satfields.environment())


@job(name=AUDIT_JOB, description="Check that no field-day of any region is lost", tags={BACKGROUND_TAG: "yes"})
def audit_regions() -> None:
    """Audit."""
    audit_each()
