"""The code location `reprocessing`: it drains the backlog of late data, and tells webhooks of changes."""

from dagster import AssetSpec, Definitions, define_asset_job, in_process_executor
from satcommon.contract import FIELD_METRICS, FIELD_REGISTRY, REPLAY_JOB, SCENES, region_days
from satcommon.resources import resources

from satfields_reprocessing.assets import reprocessed_field_metrics
from satfields_reprocessing.deliveries import deliver_webhooks, untold_webhooks, webhook_sensors
from satfields_reprocessing.schedules import open_backlogs
from satfields_reprocessing.sensors import unfinished_backlogs, woken_sensors

defs = Definitions(
    assets=[
        AssetSpec(SCENES, partitions_def=region_days),
        AssetSpec(FIELD_METRICS, partitions_def=region_days),
        AssetSpec(FIELD_REGISTRY),
        reprocessed_field_metrics,
    ],
    jobs=[
        define_asset_job(
            REPLAY_JOB, [reprocessed_field_metrics], description="Drain a region's backlog, oldest day first"
        ),
        deliver_webhooks,
    ],
    sensors=[*woken_sensors, unfinished_backlogs, *webhook_sensors],
    schedules=[open_backlogs, untold_webhooks],
    resources=resources(),
    executor=in_process_executor,
)
