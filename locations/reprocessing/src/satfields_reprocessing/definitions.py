"""The code location `reprocessing`: it drains the backlog of late data, and tells webhooks of changes."""

from dagster import AssetSpec, Definitions, in_process_executor
from satcommon.contract import FIELD_METRICS, FIELD_REGISTRY, SCENES, region_days
from satcommon.resources import resources
from satcommon.run_logs import log_as

from satfields_reprocessing.assets import reprocessed_field_metrics
from satfields_reprocessing.checks import check_region
from satfields_reprocessing.deliveries import deliver_webhooks, untold_webhooks, webhook_sensors
from satfields_reprocessing.jobs import audit_regions, replay_backlog, reprocessing_batch
from satfields_reprocessing.schedules import daily_audit, open_backlogs
from satfields_reprocessing.sensors import unfinished_backlogs, woken_sensors

log_as("reprocessing")

defs = Definitions(
    assets=[
        AssetSpec(SCENES, partitions_def=region_days),
        AssetSpec(FIELD_METRICS, partitions_def=region_days),
        AssetSpec(FIELD_REGISTRY),
        reprocessed_field_metrics,
    ],
    asset_checks=[check_region],
    jobs=[replay_backlog, reprocessing_batch, audit_regions, deliver_webhooks],
    sensors=[*woken_sensors, unfinished_backlogs, *webhook_sensors],
    schedules=[open_backlogs, daily_audit, untold_webhooks],
    resources=resources(),
    executor=in_process_executor,
)
