"""The code location `reprocessing`: it drains the backlog of late data."""

from dagster import AssetSelection, AssetSpec, Definitions, define_asset_job, in_process_executor
from satcommon.contract import FIELD_METRICS, FIELD_REGISTRY, REPLAY_JOB, SCENES, region_days
from satcommon.resources import resources

from satfields_reprocessing.assets import reprocessed_field_metrics
from satfields_reprocessing.checks import check_region
from satfields_reprocessing.schedules import open_backlogs
from satfields_reprocessing.sensors import unfinished_backlogs, woken_sensors

defs = Definitions(
    assets=[
        AssetSpec(SCENES, partitions_def=region_days),
        AssetSpec(FIELD_METRICS, partitions_def=region_days),
        AssetSpec(FIELD_REGISTRY),
        reprocessed_field_metrics,
    ],
    asset_checks=[check_region],
    jobs=[
        define_asset_job(
            REPLAY_JOB,
            AssetSelection.assets(reprocessed_field_metrics).without_checks(),  # the run reports it
            description="Drain a region's backlog, oldest day first",
        )
    ],
    sensors=[*woken_sensors, unfinished_backlogs],
    schedules=[open_backlogs],
    resources=resources(),
    executor=in_process_executor,
)
