"""Tries what the how-to pages change, in a process whose `satcommon` is the changed one; writes what it saw as JSON."""

import json
import sys
from pathlib import Path

import geopandas
import numpy as np
import spyndex
from satcommon.errors import SceneError
from satcommon.publication import objects
from satcommon.raster.indices import layers, reflectance
from satcommon.raster.layers import Layers, PixelClass
from satcommon.raster.plausible import check_pixels
from satcommon.stats.algorithm import algorithm, resolved
from satcommon.vector.fields import read_fields

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

sys.stdout.write(json.dumps(seen))
