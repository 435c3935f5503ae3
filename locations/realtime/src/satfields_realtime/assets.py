"""The asset of realtime: a region's field metrics of a day."""

import warnings
from collections.abc import Iterator

from dagster import (
    AssetDep,
    AssetExecutionContext,
    BetaWarning,
    DimensionPartitionMapping,
    IdentityPartitionMapping,
    MaterializeResult,
    MultiPartitionMapping,
    TimeWindowPartitionMapping,
    asset,
)
from satcommon.contract import DATE, FIELD_METRICS, REGION, SCENES, region_days
from satcommon.resources import SatfieldsResource

with warnings.catch_warnings():
    warnings.simplefilter("ignore", BetaWarning)  # Dagster is pinned; an upgrade runs the tests that rest on this
    _the_day_before = MultiPartitionMapping(
        {
            DATE: DimensionPartitionMapping(DATE, TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)),
            REGION: DimensionPartitionMapping(REGION, IdentityPartitionMapping()),
        }
    )


# No backfill policy: an explicit one on an asset that depends on itself breaks the order of days.
@asset(
    key=FIELD_METRICS,
    partitions_def=region_days,
    deps=[SCENES, AssetDep(FIELD_METRICS, partition_mapping=_the_day_before)],
    group_name="field_metrics",
    owners=["team:realtime"],
    kinds={"parquet"},
    output_required=False,
)
def field_metrics(context: AssetExecutionContext, satfields: SatfieldsResource) -> Iterator[MaterializeResult[None]]:
    """A row for each field of a region for a day: what was seen, and the state carried on from the day before.

    A run that finds earlier days open closes those first, and reports their partitions too; as it does for the day
    before, where a run was killed after it had closed that and before it could say so. A run started by hand, or by a
    backfill, says of a day that can't be closed what it waits for, and succeeds.
    """
    from satfields_realtime.run import close_day

    yield from close_day(context, satfields.environment())
