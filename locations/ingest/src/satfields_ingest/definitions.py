"""The code location `ingest`: it asks the source of imagery, and registers its answers."""

from dagster import Definitions, define_asset_job, in_process_executor
from satcommon.contract import REGISTRY_JOB
from satcommon.resources import resources
from satcommon.run_logs import log_as

from satfields_ingest.assets import field_registry, scenes
from satfields_ingest.jobs import fetch_scenes, ingest_batch, reconcile_scenes, rescan_scenes
from satfields_ingest.schedules import daily_reconciliation, daily_scenes
from satfields_ingest.sensors import due_scenes, older_days, registry_changed

log_as("ingest")

defs = Definitions(
    assets=[scenes, field_registry],
    jobs=[
        fetch_scenes,
        define_asset_job(REGISTRY_JOB, [field_registry], description="Publish the registry of regions and fields"),
        rescan_scenes,
        reconcile_scenes,
        ingest_batch,
    ],
    sensors=[registry_changed, due_scenes, older_days],
    schedules=[daily_scenes, daily_reconciliation],
    resources=resources(),
    executor=in_process_executor,
)
