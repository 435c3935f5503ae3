"""The checks of a day by hand; runs report them when they publish a day."""

from collections.abc import Iterator

from dagster import AssetCheckExecutionContext, AssetCheckResult, multi_asset_check
from satcommon.asset_checks import day_check_specs
from satcommon.resources import SatfieldsResource


@multi_asset_check(name="check_day", specs=day_check_specs, can_subset=True)
def check_day(context: AssetCheckExecutionContext, satfields: SatfieldsResource) -> Iterator[AssetCheckResult]:
    """Is the day complete, fresh and plausible? A day that is not closed gives no answer."""
    from satfields_realtime.run import check_again

    yield from check_again(context, satfields.environment())
