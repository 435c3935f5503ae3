"""The check of a region's past by hand; replays report it when they end."""

from collections.abc import Iterator

from dagster import AssetCheckExecutionContext, AssetCheckResult, multi_asset_check
from satcommon.asset_checks import region_check_specs
from satcommon.resources import SatfieldsResource


@multi_asset_check(name="check_region", specs=region_check_specs)
def check_region(context: AssetCheckExecutionContext, satfields: SatfieldsResource) -> Iterator[AssetCheckResult]:
    """Are all expected field-days of the region settled or missed?"""
    from satfields_reprocessing.run import check_again

    yield from check_again(context, satfields.environment())
