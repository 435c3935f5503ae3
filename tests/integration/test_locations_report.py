"""What a replay's materialization shows of it."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
import shapely
from PIL import Image
from satcommon.contract import FIELD_REGISTRY, REPROCESSED_FIELD_METRICS
from satcommon.db import registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import revise_geometry

if TYPE_CHECKING:
    from tests.integration.dagster_world import World


@pytest.mark.slow
def test_a_replay_shows_the_field_that_it_changed_most_before_and_after(world: World) -> None:
    world.add_region("A", days=3)
    world.deliver("A", *(world.day(ago) for ago in (3, 2, 1)))
    world.execute(*world.tick("scene_materialized").runs)
    with read_transaction(world.env.engine) as connection:
        west, south, *_ = registry.aoi_of(registry.region(connection, "A")).bounds
    parcel = shapely.box(west + 0.005, south + 0.005, west + 0.02, south + 0.015)
    with write_transaction(world.env.engine) as connection:
        revise_geometry(connection, "A0", parcel, world.day(1), world.now)
        revise_geometry(connection, "A1", parcel, world.day(2), world.now)
    world.materialize(FIELD_REGISTRY)

    world.execute(*world.tick("field_registry_materialized").runs)

    metadata = world.materializations(REPROCESSED_FIELD_METRICS)["A"].metadata
    assert metadata["field in the picture"].value == "A1"
    start, _, encoded = str(metadata["before and after"].value).partition(";base64,")
    assert start == "![NDVI before and after](data:image/png"
    with Image.open(BytesIO(b64decode(encoded.removesuffix(")"), validate=True))) as picture:
        assert (picture.format, picture.size) == ("PNG", (640, 320))
        assert len(picture.convert("RGB").getcolors() or ()) > 20
