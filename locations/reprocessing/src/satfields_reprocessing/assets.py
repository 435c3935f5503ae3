"""The asset of reprocessing: a region's backlog, drained."""

from collections.abc import Iterator

from dagster import AssetExecutionContext, MaterializeResult, asset
from satcommon.contract import FIELD_METRICS, FIELD_REGISTRY, REPROCESSED_FIELD_METRICS, SCENES, region_partitions
from satcommon.resources import SatfieldsResource


@asset(
    key=REPROCESSED_FIELD_METRICS,
    partitions_def=region_partitions,
    deps=[SCENES, FIELD_REGISTRY, FIELD_METRICS],
    group_name="field_metrics",
    owners=["team:reprocessing"],
    kinds={"parquet"},
)
def reprocessed_field_metrics(
    context: AssetExecutionContext, satfields: SatfieldsResource
) -> Iterator[MaterializeResult[None]]:
    """A region's missed field-days, recomputed in day order until the state is the published one again.

    Corrected days are materializations of `field_metrics`, so that what depends on them is updated, and their partition
    shows the day as it now is.
    """
    from satfields_reprocessing.run import drain_backlog

    yield from drain_backlog(context, satfields.environment())
