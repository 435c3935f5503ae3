"""The code location `reprocessing`: it drains the backlog of late data."""

from dagster import AssetSpec, Definitions, in_process_executor
from satcommon.contract import FIELD_METRICS, FIELD_REGISTRY, SCENES, region_days
from satcommon.resources import resources

from satfields_reprocessing.assets import reprocessed_field_metrics
from satfields_reprocessing.jobs import replay_backlog, reprocessing_batch
from satfields_reprocessing.schedules import open_backlogs
from satfields_reprocessing.sensors import unfinished_backlogs, woken_sensors

defs = Definitions(
    assets=[
        AssetSpec(SCENES, partitions_def=region_days),
        AssetSpec(FIELD_METRICS, partitions_def=region_days),
        AssetSpec(FIELD_REGISTRY),
        reprocessed_field_metrics,
    ],
    jobs=[replay_backlog, reprocessing_batch],
    sensors=[*woken_sensors, unfinished_backlogs],
    schedules=[open_backlogs],
    resources=resources(),
    executor=in_process_executor,
)
