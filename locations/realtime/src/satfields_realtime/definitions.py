"""The code location `realtime`: it closes each region's day as soon as its scene is there."""

from dagster import AssetSpec, Definitions, in_process_executor
from satcommon.contract import SCENES, region_days
from satcommon.resources import resources
from satcommon.run_logs import log_as

from satfields_realtime.assets import field_metrics
from satfields_realtime.checks import check_day
from satfields_realtime.jobs import backfill, close_days, realtime_batch
from satfields_realtime.schedules import passed_deadlines
from satfields_realtime.sensors import scene_materialized, unfinished_days, unreported_days

log_as("realtime")

defs = Definitions(
    assets=[AssetSpec(SCENES, partitions_def=region_days), field_metrics],
    asset_checks=[check_day],
    jobs=[close_days, backfill, realtime_batch],
    sensors=[scene_materialized, unfinished_days, unreported_days],
    schedules=[passed_deadlines],
    resources=resources(),
    executor=in_process_executor,
)
