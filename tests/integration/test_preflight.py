"""`python -m satcommon.preflight`, as a container runs it before its code server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from satcommon.db.engine import open_engine, write_transaction
from satcommon.db.models import Region, Scene
from satcommon.db.registry import add_region
from satcommon.geo.grid import Bounds, Grid
from satcommon.stats.algorithm import CURRENT
from satctl.local import migrations
from sqlalchemy import insert, update


def preflight(variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "satcommon.preflight"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def refusal(variables: Mapping[str, str]) -> str:
    done = preflight(variables)
    assert done.returncode == 1
    return done.stderr


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Settings of a place where all is well, with one region."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = open_engine(url)
    migrations.upgrade(engine)
    bounds, now = Bounds(14, 45, 14.1, 45.1), datetime.now(UTC)
    with write_transaction(engine) as connection:
        add_region(connection, "carniola", bounds, Grid.utm(bounds, 100.0), date(2026, 5, 1), None, CURRENT, now)
    engine.dispose()
    return {"SATFIELDS_DATABASE_URL": url, "SATFIELDS_STORE": str(tmp_path / "store")}


@pytest.mark.slow
def test_where_all_is_well_it_says_so(variables: dict[str, str]) -> None:
    done = preflight(variables)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "ready: settings, ledger and store are there, and each active region's version (1)\n"


def test_a_pinned_version_that_the_image_lacks_is_refused_and_its_region_named(variables: dict[str, str]) -> None:
    with write_transaction(open_engine(variables["SATFIELDS_DATABASE_URL"])) as connection:
        connection.execute(update(Region).values(algorithm_version="2@0123456789ab"))

    assert "not ready: region carniola: algorithm version '2@0123456789ab'" in refusal(variables)


@pytest.mark.slow
def test_where_pixels_are_in_a_catalogue_s_files_its_configuration_is_needed(
    variables: dict[str, str], tmp_path: Path
) -> None:
    day, key = date(2026, 5, 1), "scenes/1/2026/05/01-0.json"
    told = {"observed_fraction": 1.0, "clear_fraction": 1.0, "item_ids": "[]"}
    now = datetime.now(UTC)
    row = {"bbox_id": 1, "day": day, "digest": "0" * 64, "object_key": key, "sensed_at": now, "registered_at": now}
    with write_transaction(open_engine(variables["SATFIELDS_DATABASE_URL"])) as connection:
        connection.execute(insert(Scene).values(**row, **told))
    stac = variables | {"SATFIELDS_SCENE_SOURCE": "stac"}

    assert "not ready: region carniola: the pixels of 1 scene are in a catalogue's files" in refusal(variables)
    assert "can't be read" in refusal(stac | {"SATFIELDS_STAC": str(tmp_path / "not-mounted.toml")})
    assert preflight(stac | {"SATFIELDS_STAC": "earth-search-c1"}).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"SATFIELDS_DATABASE_URL": "sqlite:////nowhere/ledger.db"}, "`satctl db upgrade`"),
        ({"SATFIELDS_DATABASE_URL": "postgresql://satfields:secret@127.0.0.1:1/satfields"}, "SATFIELDS_DATABASE_URL"),
        ({"SATFIELDS_DEADLINE_HOURS": "soon"}, "SATFIELDS_DEADLINE_HOURS='soon'"),
        (
            {
                "SATFIELDS_STORE": "s3://objects/x",
                "SATFIELDS_STORE_TIMEOUT_SECONDS": "2",
                "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
                "AWS_ACCESS_KEY_ID": "id",
                "AWS_SECRET_ACCESS_KEY": "secret",
            },
            "AWS_ENDPOINT_URL",
        ),
    ],
    ids=["not migrated", "no database", "a wrong setting", "no bucket"],
)
@pytest.mark.slow
def test_what_a_process_could_not_work_with_is_named(
    wrong: dict[str, str], message: str, variables: dict[str, str]
) -> None:
    said = refusal(variables | wrong)

    assert said.startswith("not ready: ")
    assert message in said
    assert "secret" not in said
