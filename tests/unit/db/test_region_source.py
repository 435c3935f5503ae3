"""A region belongs to the source that it was registered with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.region_source import refusal, set_source
from satcommon.errors import InputError, SettingError
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.ingest_day import ask
from satcommon.sources.folder import FolderSource
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.source import SceneSource
from satcommon.stats.algorithm import CURRENT
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import Engine

BOUNDS = Bounds(14.0, 45.0, 14.02, 45.02)
DAY, NOW = date(2026, 5, 1), datetime(2026, 6, 1, tzinfo=UTC)


class Place:
    """A ledger with regions, a store, and an empty folder as another source."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.store = engine, ObjectStore(str(folder / "store"))
        (folder / "scenes").mkdir()
        self.simulated, self.folder = SimulatedSource(), FolderSource(folder / "scenes")

    def add(self, source: str | None) -> int:
        grid = Grid.utm(BOUNDS, 200.0)
        with write_transaction(self.engine) as connection:
            name = f"R{len(registry.regions(connection))}"
            registry.add_region(connection, name, BOUNDS, grid, DAY, None, CURRENT, NOW, source)
            return registry.region(connection, name).bbox_id

    def ask(self, source: SceneSource, bbox_id: int) -> None:
        ask(self.engine, self.store, source, bbox_id, DAY, NOW)

    def source_of(self, bbox_id: int) -> str | None:
        with read_transaction(self.engine) as connection:
            found: str | None = ledger.region(connection, bbox_id).scene_source
            return found

    def answered(self, bbox_id: int) -> bool:
        with read_transaction(self.engine) as connection:
            return ledger.region_day(connection, bbox_id, DAY) is not None


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> Place:
    return Place(engine, tmp_path)


def test_another_source_is_refused_with_the_remedy_and_nothing_is_stored(place: Place) -> None:
    real = place.add(place.folder.identity)

    with pytest.raises(SettingError, match=r"R0: belongs to the source 'folder .*', and the settings name 'simulated'"):
        place.ask(place.simulated, real)

    assert not place.answered(real)
    assert not list(place.store.put_times(""))
    place.ask(place.folder, real)
    assert place.answered(real)


def test_another_folder_is_refused_until_a_command_says_that_the_files_have_moved(place: Place, tmp_path: Path) -> None:
    real = place.add("folder s3://imagery/2025")

    with pytest.raises(SettingError, match="satctl regions source R0 --set current"):
        place.ask(place.folder, real)

    with write_transaction(place.engine) as connection:
        assert set_source(connection, "R0", place.folder.identity)
        assert not set_source(connection, "R0", place.folder.identity)
    place.ask(place.folder, real)
    assert place.answered(real)


@pytest.mark.parametrize("known", [None, "folder"])
def test_a_region_whose_source_is_not_known_adopts_the_first_that_may_be_it(place: Place, known: str | None) -> None:
    region = place.add(known)

    place.ask(place.folder, region)

    assert place.source_of(region) == place.folder.identity
    with pytest.raises(SettingError):
        place.ask(place.simulated, region)


def test_a_region_with_real_scenes_never_adopts_invented_ones(place: Place) -> None:
    region = place.add("folder")

    with pytest.raises(SettingError):
        place.ask(place.simulated, region)

    assert place.source_of(region) == "folder"


def test_a_region_with_imagery_never_moves_to_another_kind_of_source(place: Place) -> None:
    fresh, asked = place.add("simulated"), place.add("simulated")
    place.ask(place.simulated, asked)

    with write_transaction(place.engine) as connection:
        assert set_source(connection, "R0", place.folder.identity)
    with (
        pytest.raises(InputError, match=r"'R1' has imagery of the source 'simulated'"),
        write_transaction(place.engine) as connection,
    ):
        set_source(connection, "R1", place.folder.identity)

    assert place.source_of(fresh) == place.folder.identity
    assert place.source_of(asked) == "simulated"


@pytest.mark.parametrize(
    ("folder", "identity"),
    [("/a/b/", "folder /a/b"), ("s3://b/p/", "folder s3://b/p"), ("s3://b/p", "folder s3://b/p"), ("/", "folder /")],
)
def test_a_folder_is_named_one_way(folder: str, identity: str) -> None:
    assert FolderSource(folder).identity == identity


def test_settings_of_the_simulation_make_no_other_source(place: Place) -> None:
    region = place.add("simulated")

    place.ask(replace(place.simulated, seed=8), region)

    with read_transaction(place.engine) as connection:
        assert refusal(ledger.region(connection, region), "simulated") is None
