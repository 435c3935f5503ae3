"""The assets of ingest: a region's scene of a day, and the registry of fields."""

from collections.abc import Iterator

from dagster import AssetExecutionContext, MaterializeResult, asset
from satcommon.contract import FIELD_REGISTRY, SCENES, region_days
from satcommon.resources import SatfieldsResource


@asset(
    key=SCENES,
    partitions_def=region_days,
    group_name="imagery",
    owners=["team:ingest"],
    kinds={"cog"},
    output_required=False,
)
def scenes(context: AssetExecutionContext, satfields: SatfieldsResource) -> Iterator[MaterializeResult[None]]:
    """A region's imagery of a day, harmonised, as one cloud-optimised GeoTIFF.

    A materialization is the source's answer: the scene, or that none is due. A due scene that has not come yet leaves
    the partition missing; a sensor keeps looking for it within the allowed lateness. A run started by hand, or by a
    backfill, says so in a materialization, and succeeds.
    """
    from satfields_ingest.run import fetch_scene

    yield from fetch_scene(context, satfields.environment())


@asset(key=FIELD_REGISTRY, group_name="registry", owners=["team:ingest"], kinds={"sql"})
def field_registry(context: AssetExecutionContext, satfields: SatfieldsResource) -> MaterializeResult[None]:
    """The registered regions, fields and seasons; materialized when they change."""
    from satfields_ingest.run import publish_registry

    return publish_registry(context, satfields.environment())
