"""Versions of answers: a client that has the newest is told so, and any change is another version."""

from __future__ import annotations

import gzip
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from satcommon.db import missed_days
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import field
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause, Refusal
from satcommon.db.registry import region
from satcommon.publication.objects import ResultObjects
from satserve.series.half_years import HalfYears
from satserve.series.snapshots import Snapshots
from sqlalchemy import Engine, insert

from tests.unit.satserve.serving import LAST, Served, correct, make_world, served

VERSIONED = [
    "/",
    "/regions",
    "/collections/fields/items",
    "/collections/fields/items/north",
    "/collections/field_metrics/locations/north",
    f"/regions/S/days/{LAST}",
    f"/regions/S/days/{LAST}/columns/ndvi_mean",
    "/columns",
]


@pytest.mark.parametrize("path", VERSIONED[:1] + VERSIONED[2:])
def test_who_has_this_version_gets_nothing_again(on_sqlite: Served, path: str) -> None:
    first = on_sqlite.get(path)
    tag = first.headers["etag"]

    again = on_sqlite.get(path, headers={"if-none-match": f'"other", {tag}'})
    other = on_sqlite.get(path, headers={"if-none-match": '"other"'})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert other.content == first.content
    assert "no-store" not in first.headers["cache-control"]
    assert "authorization" in first.headers["vary"]


def test_head_is_get_without_the_body(on_sqlite: Served) -> None:
    for path in (*VERSIONED[2:], "/nowhere"):
        plain = {"accept-encoding": "identity"}
        head = requests.head(on_sqlite.url + path, headers=plain, timeout=30)
        whole = on_sqlite.get(path, headers=plain)

        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers.get("etag") == whole.headers.get("etag")
        assert head.headers["content-type"] == whole.headers["content-type"]


def test_text_is_compressed_for_who_takes_it_and_parquet_for_nobody(on_sqlite: Served) -> None:
    path = f"{on_sqlite.url}/regions/S/days/{LAST}"
    with requests.get(path, headers={"accept-encoding": "gzip"}, stream=True, timeout=30) as response:
        raw = response.raw.read(decode_content=False)

    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == on_sqlite.get(f"/regions/S/days/{LAST}", headers={"accept-encoding": ""}).content
    assert "content-encoding" not in on_sqlite.get(f"/regions/S/days/{LAST}", f="parquet").headers


@pytest.fixture
def own(sqlite_engine: Engine, tmp_path: Path) -> Served:
    """A system of the test's own, without a server: it is started where it is needed."""
    env, before = make_world(sqlite_engine, tmp_path / "store")
    return Served(env, "", before)


def tags(service: Served) -> dict[str, str]:
    return {path: service.get(path).headers["etag"] for path in VERSIONED[4:7]}


def open_miss(service: Served) -> None:
    """The field is to be recomputed on the last day: nothing is published, and its row is no longer final."""
    with write_transaction(service.environment.engine) as connection:
        north = field(connection, "north").field_id
        bbox_id = region(connection, "S").bbox_id
        miss = OpenMiss(north, LAST, Cause.REVISED_SCENE, "x" * 64)
        missed_days.open_misses(connection, bbox_id, [miss], datetime.now(UTC))


def test_a_miss_and_a_correction_are_other_versions_and_the_series_follows(own: Served, tmp_path: Path) -> None:
    cache = tmp_path / "home" / "api-cache"
    with served(own.environment, own.before) as service:
        series = "/collections/field_metrics/locations/north"
        first, before = tags(service), service.json(series, f="json")
        made = {folder.name for folder in cache.glob("*/*-*")}
        open_miss(service)
        second, missed = tags(service), service.json(series, f="json")
        correct(service.environment, 0.03)
        third, corrected = tags(service), service.json(series, f="json")
        remade = {folder.name for folder in cache.glob("*/*-*")}

        assert all(len({each[path] for each in (first, second, third)}) == 3 for path in first)
        assert missed["values"] == before["values"]
        assert (before["final"][-2:], missed["final"][-2:]) == ([True, True], [True, False])
        assert corrected["values"]["geometry_digest"] != before["values"]["geometry_digest"]
        assert all(corrected["final"])
        assert len(made) == len(remade) == 2  # half years; those before are gone
        assert made.isdisjoint(remade)


def test_a_refused_acquisition_is_another_version_and_rows_from_it_on_are_not_final(own: Served) -> None:
    series, columns = "/collections/field_metrics/locations/north", {"parameter_name": "ndvi_mean", "f": "json"}
    with served(own.environment, own.before) as service:
        before = service.get(series, **columns)  # planting dates are not read for it
        with write_transaction(service.environment.engine) as connection:
            refused = {"bbox_id": region(connection, "S").bbox_id, "day": LAST, "item_id": "S2A", "reason": "damaged"}
            connection.execute(insert(Refusal).values(**refused, seen_at=datetime.now(UTC)))
        after = service.get(series, **columns)

    assert all(before.json()["final"])
    assert after.json()["final"] == [day != LAST.isoformat() for day in after.json()["day"]]
    assert after.headers["etag"] != before.headers["etag"]


def test_a_cache_that_is_damaged_or_gone_is_made_anew(own: Served, tmp_path: Path) -> None:
    path = "/collections/field_metrics/locations/north"
    cache = tmp_path / "home" / "api-cache"
    with served(own.environment, own.before) as service:
        before = service.get(path, f="arrow").content
    for file in cache.glob("*/*/ndvi_mean.arrow"):
        file.write_bytes(file.read_bytes()[:100])
    with served(own.environment, own.before) as service:
        assert service.get(path, f="arrow").content == before
    shutil.rmtree(cache)
    with served(own.environment, own.before) as service:
        assert service.get(path, f="arrow").content == before
        assert service.json(path, f="json", parameter_name="ndvi_mean,blue_mean")["values"].keys() == {
            "ndvi_mean",
            "blue_mean",
        }


def test_the_cache_stays_within_its_size(own: Served, tmp_path: Path) -> None:
    with read_transaction(own.environment.engine) as connection:
        snapshots = [Snapshots().get(connection, bbox_id) for bbox_id in (1, 2)]
    small = HalfYears(tmp_path / "small", 1, ResultObjects(own.environment.store()))
    for snapshot in snapshots:
        for half in snapshot.halves:
            assert small.rows(snapshot, [half], "border", ["ndvi_mean"]).num_rows == len(snapshot.halves[half])

    assert len(list((tmp_path / "small").glob("*/*-*"))) == 1  # the one that was asked for last
