"""Tries what the how-to pages change, in a process whose `satcommon` is the changed one; writes what it saw as JSON."""

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import geopandas
import numpy as np
import shapely
import spyndex
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.fields import NewField, register_fields
from satcommon.db.registry import add_region
from satcommon.errors import SceneError
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_region import Closer
from satcommon.publication import objects
from satcommon.publication.reader import published_days
from satcommon.raster.indices import layers, reflectance
from satcommon.raster.layers import Layers, PixelClass
from satcommon.raster.pixel_checks import check_pixels
from satcommon.settings import Settings
from satcommon.sources.open_source import open_source
from satcommon.stats.algorithm import algorithm, resolved
from satcommon.storage.object_store import ObjectStore
from satcommon.vector.fields import read_fields
from satctl.local.migrations import upgrade

from tests.unit.stats.test_observation import FIELD, World, classes

folder = Path(sys.argv[1])
seen: dict[str, object] = {}

cells = {"nir": np.array([5000, 3000], np.uint16), "red": np.array([1500, 2000], np.uint16)}
cells["blue"] = np.array([1300, 1400], np.uint16)
surfaces = {letter: reflectance(cells[band]) for letter, band in zip("NRB", cells, strict=True)}
constants = {"g": 2.5, "C1": 6.0, "C2": 7.5, "L": 1.0}
ours, theirs = layers(cells, ["evi"])["evi"][0], spyndex.computeIndex("EVI", surfaces | constants)
seen["evi is spyndex's"] = bool(np.allclose(ours, theirs, rtol=1e-12, atol=0))

sky = classes()
sky[:, 15:] = PixelClass.SNOW
rows = {}
for name in ("2", resolved("edge")):
    world = World(folder / f"store-{name}", sky, red=1500, nir=5000, blue=1300)
    world.rules = algorithm(name)
    rows[name.partition("@")[0]] = world.observe(f=FIELD)["f"]
seen["evi"] = {name: row.get("evi_mean") for name, row in rows.items()}
seen["expected evi"] = float(layers({name: values[:1] for name, values in cells.items()}, ["evi"])["evi"][0][0])
seen["snow"] = rows["2"]["snow_fraction"]

old = objects.decode((folder / "old.parquet").read_bytes())
seen["old"] = [old["snow_fraction"].null_count, old.num_rows]

geopandas.read_file(folder / "fields.geojson").to_file(folder / "fields.fgb", driver="FlatGeobuf")
both = [read_fields(folder / f"fields.{suffix}") for suffix in ("geojson", "fgb")]
seen["fields"] = [[(f.external_id, f.name, str(f.planting), f.geometry.wkt) for f in fields] for fields in both]

grey = np.full((4, 4), 1500, np.uint16)
try:
    check_pixels(Layers({"red": grey, "nir": grey * 2}, np.ones((4, 4), np.uint8)), "grey.tif")
except SceneError as error:
    seen["refused"] = str(error)

day, bounds = date(2026, 6, 2), Bounds(14.0, 45.0, 14.1, 45.1)
grid, now = Grid.utm(bounds, 500.0), datetime(2026, 6, 4, tzinfo=UTC)
red = np.full((grid.height, grid.width), 2000, np.uint16)
red[0, 0] = 2001  # outside of the field
(folder / "cube" / "A").mkdir(parents=True)
np.savez(
    folder / "cube" / "A" / f"{day}.npz", red=red, nir=np.full_like(red, 5000), classes=np.ones(red.shape, np.uint8)
)
source = open_source(Settings(scene_source="arrays", scene_folder=str(folder / "cube")))
engine = open_engine(f"sqlite:///{folder / 'ledger.db'}")
upgrade(engine)
with write_transaction(engine) as connection:
    add_region(connection, "A", bounds, grid, day, None, "2", now, source.identity)
    register_fields(connection, [NewField("f", "f", shapely.box(14.03, 45.03, 14.07, 45.07), day)], now)
objects_of = ObjectStore(str(folder / "store"))
answers: list[str] = []
closer = Closer(engine, objects_of, 1, Deadlines(36.0, 30), "run", now)
assert len(list(closer.backfill(source, day, lambda _day, answer: answers.append(answer.due.value)))) == 1
with read_transaction(engine) as connection:
    days = published_days(connection, 1, day, day)
[row] = days.rows(objects.ResultObjects(objects_of), day).to_pylist()
seen["arrays"] = {"due": answers[0], "day": str(row["day"]), "status": row["status"], "ndvi": row["ndvi_mean"]}

sys.stdout.write(json.dumps(seen))
