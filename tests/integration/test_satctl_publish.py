"""`satctl publish stac`: a catalogue that others read, written step by step from the publication log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import geopandas
import pyarrow.parquet as pq
import pystac
import pytest
import rustac
from pystac.extensions.table import TableExtension
from pystac.extensions.version import ItemVersionExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from satcommon.db.engine import read_transaction
from satcommon.db.registry import region
from satcommon.environment import Environment
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.replay import replay
from satcommon.publication.objects import ResultObjects
from satcommon.stac_out.options import Options, collection_id
from satcommon.stac_out.progress import OvertakenError
from satcommon.stac_out.publish import Catalogue
from satcommon.storage.object_store import ObjectStore

from tests.integration.satctl_world import FIRST, LAST, Satctl

pytestmark = pytest.mark.slow  # a catalogue is written anew for each

FIELD, DAYS = "=1+1", [date(2025, 6, n) for n in (1, 2, 3, 4)]
SHIFTED = "POLYGON ((-94.21 40.4, -94.1 40.4, -94.1 40.5, -94.21 40.4))"


def drain(env: Environment) -> None:
    with read_transaction(env.engine) as connection:
        bbox_id = region(connection, "S").bbox_id
    list(replay(Processor(env.engine, env.store()), env.engine, bbox_id, env.deadlines, "replay-1", datetime.now(UTC)))


def correct(satctl: Satctl) -> None:
    satctl("fields", "revise", FIELD, "--wkt", SHIFTED, "--correct")


def publish(satctl: Satctl, target: Path | str, *arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(satctl("publish", "stac", "--to", str(target), *arguments, "--json").stdout)
    return told


def tree(target: Path) -> dict[str, bytes]:
    return {str(path.relative_to(target)): path.read_bytes() for path in sorted(target.rglob("*")) if path.is_file()}


def item(target: Path, day: date) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((target / "S" / str(day) / "item.json").read_text())
    return found


def broken_links(target: Path) -> list[str]:
    """Where a reader that begins at the root comes to nothing."""
    broken, waiting = [], [target / "catalog.json"]
    while waiting:
        file = waiting.pop()
        if not file.exists():
            broken.append(str(file.relative_to(target)))
            continue
        document = json.loads(file.read_text())
        broken += [a["href"] for a in document.get("assets", {}).values() if not (file.parent / a["href"]).exists()]
        waiting += [file.parent / each["href"] for each in document["links"] if each["rel"] in ("child", "item")]
    return broken


@pytest.fixture
def target(closed: Environment, satctl: Satctl, tmp_path: Path) -> Path:
    """A catalogue of region S."""
    publish(satctl, tmp_path / "catalogue")
    return tmp_path / "catalogue"


def test_the_catalogue_is_valid_by_the_schemas_of_stac_and_its_links_lead_somewhere(target: Path) -> None:
    catalog, validator = pystac.Catalog.from_file(str(target / "catalog.json")), JsonSchemaSTACValidator()
    [collection] = catalog.get_collections()
    items = list(collection.get_items())

    documents = [(catalog, "Catalog"), (collection, "Collection"), *((each, "Feature") for each in items)]
    for document, kind in documents:
        raw = json.loads(Path(str(document.get_self_href())).read_text())
        validator.validate_core(raw, pystac.STACObjectType(kind), "1.1.0")
    assert [each.id for each in items] == [f"S_{day}" for day in DAYS]
    assert broken_links(target) == []
    for each in items:
        table = TableExtension.ext(each)
        assert table.row_count == 1
        assert table.columns is not None
        assert [column.name for column in table.columns] == pq.read_schema(
            target / "S" / each.id[2:] / "rows.parquet"
        ).names
        assert ItemVersionExtension.ext(each).version.isdigit()


def test_the_columns_of_the_collection_have_units_from_the_data_dictionary(target: Path) -> None:
    collection = json.loads((target / "S" / "collection.json").read_text())

    columns = {column["name"]: column for column in collection["table:columns"]}
    assert columns["ndvi_mean"]["unit"] == "1"
    assert columns["lst_c_mean"]["unit"] == "degrees Celsius"
    assert all(column["description"] for column in columns.values())
    assert "unit" not in columns["state_days"]  # they are dates
    file = pq.read_schema(target / "S" / str(FIRST) / "rows.parquet")
    for name, column in columns.items():
        metadata = file.field(name).metadata
        assert (metadata[b"description"].decode(), metadata.get(b"unit", b"").decode()) == (
            column["description"],
            column.get("unit", ""),
        )
    assert list(columns) == [column["name"] for column in item(target, FIRST)["properties"]["table:columns"]]
    assert collection["satfields:watermark"] == collection["satfields:final_through"] == str(LAST)


def test_rows_are_those_that_export_writes(target: Path, satctl: Satctl, tmp_path: Path) -> None:
    for day in DAYS:
        file = tmp_path / f"{day}.parquet"
        span = ["--from", str(day), "--to", str(day)]
        satctl("export", "S", *span, "--format", "geoparquet", "--all-columns", "--output", str(file))
        exported = pq.read_table(file)

        rows = pq.read_table(target / "S" / str(day) / "rows.parquet")

        assert rows.select(exported.column_names).equals(exported)
        assert rows["id"].equals(rows["field"])


def test_geopandas_reads_the_rows_and_finds_them_by_their_box(target: Path) -> None:
    file = target / "S" / str(FIRST) / "rows.parquet"

    frame = geopandas.read_parquet(file)

    assert frame.crs == "OGC:CRS84"
    assert frame[["id", "collection"]].to_numpy().tolist() == [[FIELD, "S"]]
    assert len(geopandas.read_parquet(file, bbox=(-94.16, 40.41, -94.15, 40.42))) == 1
    assert len(geopandas.read_parquet(file, bbox=(10, 40, 11, 41))) == 0
    metadata = pq.read_schema(file).metadata
    assert json.loads(metadata[b"geo"])["version"] == "1.1.0"
    assert "https://fiboa.org/specification/v0.3.0/schema.yaml" in json.loads(metadata[b"collection"])["schemas"]["S"]


def test_rustac_reads_the_items_from_one_file(target: Path) -> None:
    items = json.loads(json.dumps(rustac.read_sync(str(target / "S" / "items.parquet"))["features"]))

    assert [each["id"] for each in items] == [f"S_{day}" for day in DAYS]
    for read, day in zip(items, DAYS, strict=True):
        written = item(target, day)
        assert read["bbox"] == written["bbox"]
        assert read["geometry"] == written["geometry"]
        assert read["assets"].keys() == written["assets"].keys()
        for name in ("version", "satfields:final", "table:row_count", "table:columns"):
            assert read["properties"][name] == written["properties"][name]


def test_a_second_run_writes_nothing(target: Path, satctl: Satctl) -> None:
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*") if path.is_file()}

    [told] = publish(satctl, target)["regions"]

    assert (told["written"], told["unchanged"]) == ([], 4)
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*") if path.is_file()} == before


def test_a_corrected_day_gets_new_content_and_a_later_time(
    target: Path, closed: Environment, satctl: Satctl, tmp_path: Path
) -> None:
    before = item(target, FIRST)["properties"]
    correct(satctl)
    drain(closed)

    [told] = publish(satctl, target)["regions"]

    after = item(target, FIRST)["properties"]
    assert told["written"] == [str(day) for day in DAYS]
    assert int(after["version"]) > int(before["version"])
    assert after["updated"] > before["updated"]
    assert after["created"] == before["created"]
    publish(satctl, tmp_path / "anew")
    assert tree(target) == tree(tmp_path / "anew")


def test_rows_that_may_change_are_not_final_until_they_are_replayed(
    target: Path, closed: Environment, satctl: Satctl
) -> None:
    correct(satctl)
    [told] = publish(satctl, target, "--dry-run")["regions"]
    assert told["written"] == [str(day) for day in DAYS]
    assert item(target, FIRST)["properties"]["satfields:final"]  # only told

    publish(satctl, target)

    assert not item(target, LAST)["properties"]["satfields:final"]
    assert json.loads((target / "S" / "collection.json").read_text())["satfields:final_through"] is None
    assert pq.read_table(target / "S" / str(LAST) / "rows.parquet")["final"].to_pylist() == [False]
    drain(closed)
    publish(satctl, target)
    assert item(target, LAST)["properties"]["satfields:final"]


@pytest.mark.parametrize("replayed", [False, True])
def test_the_item_of_a_day_without_rows_is_taken_out(
    target: Path, closed: Environment, satctl: Satctl, replayed: bool
) -> None:
    satctl("fields", "revise", FIELD, "--season-end", str(DAYS[2]))
    if replayed:
        drain(closed)

    publish(satctl, target)

    assert not (target / "S" / str(LAST) / "item.json").exists()
    assert not (target / "S" / str(LAST) / "rows.parquet").exists()
    assert broken_links(target) == []
    assert publish(satctl, target)["regions"][0]["written"] == []


def test_a_lost_item_is_written_again(target: Path, satctl: Satctl) -> None:
    whole = tree(target)
    (target / "S" / str(DAYS[1]) / "item.json").unlink()

    assert publish(satctl, target)["regions"][0]["written"] == [str(DAYS[1])]
    assert tree(target) == whole


def test_a_renamed_region_leaves_no_collection_under_its_old_name(target: Path, satctl: Satctl) -> None:
    satctl("regions", "rename", "S", "North Süd")

    told = publish(satctl, target)

    own = collection_id("North Süd")
    assert told["removed_collections"] == ["S"]
    assert {name.split("/")[0] for name in tree(target)} == {"catalog.json", own}
    assert broken_links(target) == []
    assert [each.title for each in pystac.Catalog.from_file(str(target / "catalog.json")).get_collections()] == [
        "North Süd"
    ]


def test_the_collection_of_another_installation_stays_where_it_is(target: Path, satctl: Satctl) -> None:
    satctl("regions", "rename", "S", "T")
    cursor = target / "S" / "cursor.json"
    cursor.write_text(json.dumps(json.loads(cursor.read_text()) | {"installation": "other"}))

    told = publish(satctl, target)

    assert told["removed_collections"] == []
    assert broken_links(target) == []
    assert (target / "S" / "collection.json").exists()


def test_a_bucket_has_the_same_objects_as_a_folder(target: Path, satctl: Satctl, s3_url: str) -> None:
    url = ["--url", "https://data.example.org/c", "--api", "https://api.example.org", "--license", "CC-BY-4.0"]
    publish(satctl, target, *url, "--provider", "Farm=https://farm.example.org")

    told = publish(satctl, s3_url, *url, "--provider", "Farm=https://farm.example.org")

    bucket = ObjectStore(s3_url)
    assert {key: bucket.get(key) for key in bucket.list("")} == tree(target)
    assert told["regions"][0]["written"] == [str(day) for day in DAYS]
    assert publish(satctl, s3_url, *url, "--provider", "Farm=https://farm.example.org")["regions"][0]["written"] == []
    links = {each["rel"]: each["href"] for each in item(target, FIRST)["links"]}
    assert links["self"] == f"https://data.example.org/c/S/{FIRST}/item.json"
    assert links["alternate"] == f"https://api.example.org/regions/S/days/{FIRST}"
    assert json.loads((target / "S/collection.json").read_text())["providers"][0]["url"] == "https://farm.example.org"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "http://example.org"], "expected a folder or s3://bucket/prefix"),
        (["--to", ""], "--to '': expected a folder"),
        (["--to", "x", "--url", "example.org"], "--url 'example.org': expected an address"),
        (["--to", "x", "--api", "http://[::1"], "--api 'http://[::1': expected an address"),
        (["--to", "x", "--license", "some licence"], "--license 'some licence': expected an SPDX identifier"),
        (["--to", "x", "--provider", "=https://a.example"], "expected NAME or NAME=URL"),
        (["--to", "x", "--region", "T"], "there is no region 'T'"),
    ],
)
def test_wrong_options_are_refused(closed: Environment, satctl: Satctl, arguments: list[str], said: str) -> None:
    assert said in satctl("publish", "stac", *arguments, code=2).output


def test_neither_the_store_nor_a_foreign_catalogue_is_written_to(
    target: Path, closed: Environment, satctl: Satctl, tmp_path: Path
) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "catalog.json").write_text('{"id": "somebody"}')
    assert "not of Satfields" in satctl("publish", "stac", "--to", str(tmp_path / "foreign"), code=2).output
    inside = f"{closed.settings.store}/catalogue"
    assert "SATFIELDS_STORE" in satctl("publish", "stac", "--to", inside, code=2).output
    cursor = target / "S" / "cursor.json"
    cursor.write_text(json.dumps(json.loads(cursor.read_text()) | {"installation": "other"}))
    assert "another installation" in satctl("publish", "stac", "--to", str(target), code=2).output


def test_the_store_is_not_written_to_by_another_path(closed: Environment, satctl: Satctl, tmp_path: Path) -> None:
    store = Path(closed.settings.store)
    (tmp_path / "link").symlink_to(store)

    for place in (tmp_path / "link" / "catalogue", store / ".." / store.name / "catalogue", store.parent):
        assert "SATFIELDS_STORE" in satctl("publish", "stac", "--to", str(place), code=2).output
        assert not (place / "catalog.json").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("catalog.json", "[]"),
        ("catalog.json", '{"id": "satfields"}'),
        ("catalog.json", '{"id": "satfields", "links": [{"rel": "child"}]}'),
        ("S/2025-06-02/item.json", "{"),
        ("S/2025-06-02/item.json", "[]"),
        ("S/2025-06-02/item.json", '{"type": "Feature", "assets": {}}'),
        ("S/2025-06-02/item.json", '{"properties": []}'),
    ],
)
def test_a_damaged_document_is_named_and_its_remedy_works(target: Path, satctl: Satctl, name: str, text: str) -> None:
    before = tree(target)
    (target / name).write_text(text)
    (target / "S" / "collection.json").unlink()  # so that it is written from the items

    said = satctl("publish", "stac", "--to", str(target), code=2).output

    assert f"{target}/{name}" in said
    assert "remove it" in said
    (target / name).unlink()
    publish(satctl, target)
    assert tree(target) == before


def test_a_dry_run_tells_what_it_would_write_and_makes_no_folder(
    closed: Environment, satctl: Satctl, tmp_path: Path
) -> None:
    [told] = publish(satctl, tmp_path / "new" / "catalogue", "--dry-run")["regions"]

    assert told["written"] == [str(day) for day in DAYS]
    assert not (tmp_path / "new").exists()


def test_a_foreign_file_among_the_notes_of_doubtful_days_is_ignored(target: Path, satctl: Satctl) -> None:
    (target / "S" / "doubt").mkdir()
    (target / "S" / "doubt" / "README").touch()

    [told] = publish(satctl, target)["regions"]
    assert told["written"] == []


# --- killed, and two runs together ---------------------------------------------------------------------------------


class KilledError(BaseException):
    """Ends a run as a kill does: nothing catches it."""


class WatchedStore(ObjectStore):
    """Tells each effect before it happens."""

    def watch(self, reached: Callable[[str], None]) -> WatchedStore:
        self.reached = reached
        return self

    def replace(self, key: str, data: bytes) -> None:
        self.reached(key)
        super().replace(key, data)

    def delete(self, key: str) -> None:
        self.reached(key)
        super().delete(key)


def run(
    env: Environment, target: Path, reached: Callable[[str], None] = lambda _key: None, *, pictures: bool = True
) -> None:
    """Publish region S."""
    store = WatchedStore(str(target)).watch(reached)
    catalogue = Catalogue(store, env.engine, ResultObjects(env.store()), env.scenes(), Options(pictures=pictures))
    with read_transaction(env.engine) as connection:
        found = region(connection, "S")
    catalogue.write(found, lambda _done, _of: None)
    catalogue.finish(["S"])


def kills() -> Iterator[Callable[[str], None]]:
    """Something to call at each effect, which ends the first run at the first effect, the second at the second ..."""
    for last in range(1000):
        seen: list[str] = []

        def reached(key: str, seen: list[str] = seen, last: int = last) -> None:
            if len(seen) == last:
                raise KilledError
            seen.append(key)

        yield reached
        if len(seen) < last:
            return


@pytest.mark.parametrize(
    "stage",
    ["first", "corrected", "shortened"],
)
def test_a_run_killed_at_any_effect_is_gone_on_with_to_the_same_bytes(
    target: Path, closed: Environment, satctl: Satctl, tmp_path: Path, stage: str
) -> None:
    start, pictures = ({}, True) if stage == "first" else (tree(target), False)  # these are taken out, then
    if stage == "corrected":
        correct(satctl)
        drain(closed)
    elif stage == "shortened":
        satctl("fields", "revise", FIELD, "--season-end", str(DAYS[2]))
    run(closed, tmp_path / "whole", pictures=pictures)
    whole, count = tree(tmp_path / "whole"), 0

    for count, killed in enumerate(kills()):
        place = tmp_path / f"killed-{count}"
        for name, data in start.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        with suppress(KilledError):
            run(closed, place, killed, pictures=pictures)
        if (place / "catalog.json").exists():
            assert broken_links(place) == []
        run(closed, place, pictures=pictures)
        assert tree(place) == whole

    assert count > 8


@pytest.mark.parametrize("written", [f"{DAYS[1]}/item.json", "collection.json"])
def test_of_two_runs_at_once_the_later_goes_on_and_the_earlier_stops(
    target: Path, closed: Environment, satctl: Satctl, tmp_path: Path, written: str
) -> None:
    correct(satctl)

    def overtaken(key: str) -> None:
        if key == f"S/{written}" and not (tmp_path / "done").exists():
            (tmp_path / "done").touch()
            drain(closed)  # what the earlier run read is out of date
            run(closed, target)

    with pytest.raises(OvertakenError, match="another run began to write collection 'S'"):
        run(closed, target, overtaken)
    run(closed, tmp_path / "anew")
    assert tree(target) != tree(tmp_path / "anew")  # the earlier run replaced something newer, and said so

    run(closed, target)

    assert tree(target) == tree(tmp_path / "anew")
