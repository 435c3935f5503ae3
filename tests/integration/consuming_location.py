"""A fourth code location, somebody else's: it depends on `field_metrics` by declarative automation."""

import dagster as dg
from satcommon.contract import FIELD_METRICS, region_days

any_day = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())


@dg.asset(partitions_def=region_days, deps=[FIELD_METRICS], automation_condition=any_day)
def eager_report() -> None:
    """What is made anew of each day."""


@dg.asset(
    partitions_def=region_days, deps=[FIELD_METRICS], automation_condition=dg.AutomationCondition.any_deps_updated()
)
def updated_report() -> None:
    """What is told of each update."""


def _sensor(name: str, asset: dg.AssetsDefinition) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(name, target=[asset], use_user_code_server=True)


defs = dg.Definitions(
    assets=[dg.AssetSpec(FIELD_METRICS, partitions_def=region_days), eager_report, updated_report],
    sensors=[_sensor("eager", eager_report), _sensor("updated", updated_report)],
    executor=dg.in_process_executor,
)
