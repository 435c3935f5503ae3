"""A region by a version with EVI and a red-edge index: ingest with a further band, rows, export, and back again."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from satcommon.db import fields, ledger, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.environment import Environment
from satcommon.errors import AlgorithmError
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.pipeline.rescan import ask_anew
from satcommon.publication.objects import ResultObjects, encode
from satcommon.publication.reader import published_days
from satcommon.settings import settings
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.source import SceneSource
from satcommon.sources.stac import StacSource
from satcommon.stats.algorithm import resolved
from satcommon.storage.object_store import ObjectStore
from satctl.main import main
from satfields_ingest.work import scenes_to_ask_for
from shapely.geometry import box
from sqlalchemy import Engine

from tests.unit.geotiffs import AOI, GRID
from tests.unit.stac_catalogue import ASSETS, COLLECTION, COLUMNS, ROWS, Files, item, pixels, source

DAYS = [date(2016, 1, day) for day in (7, 8)]
NOW = datetime(2016, 2, 1, tzinfo=UTC)
DEADLINES = Deadlines(36.0, 30)
VERSIONS = '[edge]\nbased_on = "2"\nindices = ["evi", "ndrei"]\nquantiles = [0.5]\n'


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version with the indices."""
    file = tmp_path / "algorithms.toml"
    file.write_text(VERSIONS)
    monkeypatch.setenv("SATFIELDS_ALGORITHMS", str(file))
    settings.cache_clear()
    return resolved("edge")


@pytest.fixture
def imagery(tmp_path: Path) -> Iterator[StacSource]:
    """Items with a blue band at 10 m, and a red edge at 20 m beside the others."""
    files, features = Files(tmp_path / "files"), []
    with files.served() as base:
        for day in DAYS:
            values = pixels(day.day)
            values |= {"B02": values["B04"] - 200, "B05": values["B11"] - 300}
            features.append(item(files.folder, base, f"S2B_{day}", sensed=f"{day}T10:12:43Z", values=values))
        (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        assets = ASSETS | {"B02": "blue", "B05": "rededge071"}
        collection = {"id": COLLECTION, "assets": assets, "mask": {"asset": "SCL", "kind": "scl"}}
        yield source("", catalogue=str(tmp_path / "items.json"), collections=[collection])


class World:
    """A ledger and a store with one region of two fields."""

    def __init__(self, engine: Engine, folder: Path, version: str) -> None:
        self.engine, self.store = engine, ObjectStore(str(folder))
        west, south, east, north = AOI.bounds
        middle = (west + east) / 2
        shapes = {"west": box(west, south, middle, north), "east": box(middle, south, east, north)}
        with write_transaction(engine) as connection:
            grid = replace(GRID, width=COLUMNS)
            registry.add_region(connection, "North", AOI.bounds, grid, DAYS[0], DAYS[-1], version, NOW)
            new = [fields.NewField(name, name, shape, DAYS[0]) for name, shape in shapes.items()]
            fields.register_fields(connection, new, NOW)

    def close(self, source: SceneSource) -> None:
        list(Closer(self.engine, self.store, 1, DEADLINES, "run", NOW).backfill(source, DAYS[-1], lambda *_: None))

    def pin(self, version: str) -> None:
        with write_transaction(self.engine) as connection:
            registry.pin_algorithm(connection, "North", version, NOW)

    def rescan(self, source: SceneSource) -> int:
        return len(list(ask_anew(self.engine, self.store, source, 1, DAYS[0], DAYS[-1], lambda: NOW, 0)))

    def drain(self) -> None:
        list(replay(Processor(self.engine, self.store), self.engine, 1, DEADLINES, "run", NOW))

    def days(self) -> list[pa.Table]:
        with read_transaction(self.engine) as connection:
            published = published_days(connection, 1, DAYS[0], DAYS[-1])
        return [published.rows(ResultObjects(self.store), day) for day in DAYS]

    def canonical(self) -> list[bytes]:
        return [encode(rows) for rows in self.days()]

    def rescanned_at(self) -> datetime | None:
        with read_transaction(self.engine) as connection:
            return ledger.region(connection, 1).rescanned_at


def test_indices_and_their_bands_come_and_go_with_the_version(
    engine: Engine,
    sqlite_engine: Engine,
    versions: str,
    imagery: StacSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(engine, tmp_path / "store", "2")
    world.close(imagery)
    plain = world.canonical()
    assert world.rescan(imagery) == 0

    world.pin(versions)
    assert world.rescanned_at() == datetime(1970, 1, 1, tzinfo=UTC), "the sensor of older days asks immediately"
    world.drain()  # before ingest has read the scenes with the further band
    for rows in world.days():
        assert rows["evi_mean"].null_count == 0
        assert rows.num_rows == 2
        assert not {"ndrei_mean", "rededge071_mean"} & set(rows.column_names), "null in every row"

    monkeypatch.setenv("SATFIELDS_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("SATFIELDS_STORE", str(tmp_path / "store"))
    settings.cache_clear()
    told = CliRunner().invoke(main, ["history", "west", str(DAYS[0])])
    assert "ndrei is null: the day's scene has no band rededge071" in told.output

    assert world.rescan(imagery) == len(DAYS)
    assert world.rescanned_at() == NOW
    assert world.rescan(imagery) == 0
    world.drain()
    with_edge = world.canonical()
    for rows in world.days():
        for column in ("evi_mean", "ndrei_mean", "ndrei_stdev", "ndrei_quantiles", "rededge071_mean"):
            assert rows[column].null_count == 0, column
    if engine is not sqlite_engine:
        fresh = World(sqlite_engine, tmp_path / "fresh", versions)
        fresh.close(imagery)
        assert fresh.canonical() == with_edge, "as if it had been pinned from the start"

    exported = tmp_path / "rows.csv"
    assert CliRunner().invoke(main, ["export", "North", "--output", str(exported)]).exit_code == 0
    with exported.open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [float(row["ndrei_mean"]) for row in written] == [
        value for rows in world.days() for value in rows["ndrei_mean"].to_pylist()
    ]
    changed = CliRunner().invoke(main, ["changes", "--since", "2016-01-31", "--column", "ndrei_mean", "--json"])
    assert changed.output.count('"ndrei_mean"') == 2 * len(DAYS)
    assert CliRunner().invoke(main, ["audit", "--deep"]).exit_code == 0

    world.pin("2")
    assert world.rescan(imagery) == len(DAYS)
    world.drain()
    assert world.canonical() == plain


def test_a_red_edge_of_20_m_is_read_beside_bands_of_10_m(
    sqlite_engine: Engine, versions: str, imagery: StacSource, tmp_path: Path
) -> None:
    world = World(sqlite_engine, tmp_path / "store", versions)
    world.close(imagery)
    values = pixels(DAYS[0].day)
    edge = (values["B11"] - 300).repeat(2, 0).repeat(2, 1) * 1e-4 - 0.1
    nir = values["B08"] * 1e-4 - 0.1
    clear = (values["SCL"] == 4) | (values["SCL"] == 5)
    clear = clear.repeat(2, 0).repeat(2, 1)
    index = ((nir - edge) / (nir + edge))[clear]

    rows = world.days()[0]

    low, high = (pa.compute.min_max(rows[f"ndrei_{what}"])[what].as_py() for what in ("min", "max"))
    assert (low, high) == (pytest.approx(index.min()), pytest.approx(index.max()))
    assert edge.shape == (ROWS, COLUMNS)


def test_ingest_refuses_a_region_whose_version_it_does_not_know(
    sqlite_engine: Engine, versions: str, imagery: StacSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(sqlite_engine, tmp_path / "store", versions)
    monkeypatch.delenv("SATFIELDS_ALGORITHMS")
    settings.cache_clear()

    look = scenes_to_ask_for(Environment(settings(), sqlite_engine), ["North"], NOW)
    assert list(look.works) == []
    assert isinstance(look.troubles["North"], AlgorithmError)
    with pytest.raises(AlgorithmError, match="name the file that has it by SATFIELDS_ALGORITHMS"):
        world.rescan(imagery)


def test_a_rescan_that_a_pin_overtakes_counts_as_none(
    sqlite_engine: Engine, versions: str, imagery: StacSource, tmp_path: Path
) -> None:
    world = World(sqlite_engine, tmp_path / "store", "2")
    asked = ask_anew(sqlite_engine, world.store, imagery, 1, DAYS[0], DAYS[-1], lambda: NOW, 0)
    next(asked)

    world.pin(versions)
    list(asked)

    assert world.rescanned_at() == datetime(1970, 1, 1, tzinfo=UTC)
    assert world.rescan(imagery) == 1, "the day that was asked for before"
    assert world.rescanned_at() == NOW


def test_days_are_read_again_for_a_band_even_where_their_items_stay_the_same(
    sqlite_engine: Engine, versions: str, tmp_path: Path
) -> None:
    world, simulated = World(sqlite_engine, tmp_path / "store", "2"), SimulatedSource()
    world.close(simulated)

    world.pin(versions)

    assert world.rescan(simulated) == len(DAYS)
    assert world.rescan(simulated) == 0
    world.drain()
    assert all("rededge071_mean" in rows.column_names for rows in world.days())


def test_pinning_tells_the_bands_that_scenes_are_read_again_with(
    sqlite_engine: Engine, versions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    World(sqlite_engine, tmp_path / "store", "2")
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", sqlite_engine.url.render_as_string(hide_password=False))
    settings.cache_clear()

    def pin(*arguments: str) -> str:
        return CliRunner().invoke(main, ["regions", "pin", "North", *arguments]).output

    assert "its scenes would be read again, with rededge071" in pin("edge", "--dry-run")
    assert "its scenes are read again, with rededge071" in pin("edge")
    assert "scenes" not in pin("edge")
    assert "its scenes are read again, without further bands" in pin("2")
    assert "scenes" not in pin("1")


def test_the_indices_to_choose_from_are_listed() -> None:
    def indices(*arguments: str) -> str:
        return CliRunner().invoke(main, ["regions", "indices", *arguments]).output

    listed = json.loads(indices("--domain", "water", "--json"))
    assert {index["domain"] for index in listed} == {"water"}
    assert "mndwi" in {index["index"] for index in listed}
    assert "g*(N-R)/(N+C1*R-C2*B+L)" in indices("evi")
    assert not {"ndvi", "ndmi"} & {index["index"] for index in json.loads(indices("--json"))}, "every row has them"
    assert "'ndre' is no index" in indices("ndre")
    assert "expected one of burn, snow" in indices("--domain", "sea")
