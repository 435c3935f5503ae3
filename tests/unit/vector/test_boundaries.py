import json
import math
import sqlite3
import struct
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from satcommon.db.fields import NewField
from satcommon.errors import InputError
from satcommon.geo.grid import Bounds
from satcommon.vector.columns import Columns
from satcommon.vector.fields import read_field_file, read_fields
from satcommon.vector.names import checked_identity
from satcommon.vector.polygons import read_polygon
from satcommon.vector.regions import checked_bounds, read_regions

SQUARE = [[-94.6, 40.5], [-94.5, 40.5], [-94.5, 40.6], [-94.6, 40.6], [-94.6, 40.5]]
OTHER = [[-94.4, 40.5], [-94.3, 40.5], [-94.3, 40.6], [-94.4, 40.6], [-94.4, 40.5]]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: Any = None, **properties: Any) -> dict[str, Any]:
    described = {"name": "North 40", "planting_date": "2026-04-22"} | properties
    kept = {name: value for name, value in described.items() if value is not ...}
    return {"type": "Feature", "properties": kept, "geometry": polygon(SQUARE) if geometry is None else geometry}


def collection(*features: Any, **members: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features), **members}


def write(folder: Path, content: Any, name: str = "fields.geojson") -> Path:
    """A file of JSON; text and bytes are written as they are."""
    file = folder / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def write_geopackage(
    file: Path, fields: list[NewField], crs: int | str | None, layer: str = "fields", **columns: list[Any]
) -> Path:
    frame = geopandas.GeoDataFrame(
        {
            "external_id": [f.external_id for f in fields],
            "name": [f.name for f in fields],
            "planting_date": [f.planting for f in fields],
            **columns,
        },
        geometry=[f.geometry for f in fields],
        crs=4326,
    )
    frame = frame.to_crs(crs) if crs is not None else frame.set_crs(None, allow_override=True)
    frame.to_file(file, layer=layer)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_fields(file)
    return str(caught.value)


# --- what is taken -------------------------------------------------------------------------------------------------


def test_a_field_has_what_its_feature_says(tmp_path: Path) -> None:
    content = collection(
        feature(external_id="n40", season_end="2026-09-30", **{"crop": "maize", "crop:code": "1200"}),
        feature(polygon(OTHER), name=None, external_id=17, crop="oats"),
    )

    first, second = read_fields(write(tmp_path, content))

    assert (first.external_id, first.name, first.crop_code) == ("n40", "North 40", "1200")
    assert (first.planting, first.end) == (date(2026, 4, 22), date(2026, 9, 30))
    assert shapely.get_coordinates(first.geometry).tolist() == SQUARE
    assert first.where == f'{tmp_path}/fields.geojson: feature 1 ("North 40")'
    assert (second.external_id, second.name, second.crop_code, second.end) == ("17", "17", "oats", None)


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("North 40", "north-40"),
        ("  North -- 40! ", "north-40"),
        ("Über-Feld №7", "über-feld-no7"),
        ("北田 3", "北田-3"),
        ("खेत", "खेत"),
    ],
)
def test_without_an_external_id_the_identity_is_made_of_the_name(name: str, identity: str, tmp_path: Path) -> None:
    file = write(tmp_path, collection(feature(polygon(OTHER), name="before"), feature(name=name)))

    assert read_fields(file)[1].external_id == identity


def test_identities_do_not_depend_on_the_order_of_the_features(tmp_path: Path) -> None:
    one, other = feature(name="One"), feature(polygon(OTHER), name="Other")

    forth = read_fields(write(tmp_path, collection(one, other), "forth.geojson"))
    back = read_fields(write(tmp_path, collection(other, one), "back.geojson"))

    assert {f.external_id: f.geometry for f in forth} == {f.external_id: f.geometry for f in back}


def test_heights_holes_and_parts_are_read_and_one_part_is_a_polygon(tmp_path: Path) -> None:
    raised = [[x, y, 310.5] for x, y in SQUARE[:-1]] + [SQUARE[-1]]
    hole = [[-94.57, 40.53], [-94.53, 40.53], [-94.53, 40.57], [-94.57, 40.53]]
    content = collection(
        feature(polygon(raised, hole), name="a"),
        feature({"type": "MultiPolygon", "coordinates": [[SQUARE], [OTHER]]}, name="b"),
        feature({"type": "MultiPolygon", "coordinates": [[OTHER]]}, name="c"),
    )

    with_hole, both, single = (f.geometry for f in read_fields(write(tmp_path, content)))

    assert (with_hole.has_z, len(with_hole.interiors)) == (False, 1)
    assert (both.geom_type, len(both.geoms)) == ("MultiPolygon", 2)
    assert single.geom_type == "Polygon"


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    text = json.dumps(collection(feature()))

    assert len(read_fields(write(tmp_path, b"\xef\xbb\xbf" + text.encode()))) == 1


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326", "urn:ogc:def:crs:EPSG::4326"])
def test_a_named_wgs_84_leaves_every_coordinate_as_it_is(name: str, tmp_path: Path) -> None:
    precise = [[-94.6 + 1e-13, 40.5], [-94.5, 40.5], [-94.5, 40.6], [-94.6 + 1e-13, 40.5]]
    content = collection(feature(polygon(precise)), crs={"type": "name", "properties": {"name": name}})

    (field,) = read_fields(write(tmp_path, content))

    assert shapely.get_coordinates(field.geometry).tolist() == precise


def test_a_geojson_of_another_crs_is_brought_to_wgs_84(tmp_path: Path) -> None:
    metres = [[500000, 4400000], [500800, 4400000], [500800, 4400800], [500000, 4400000]]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32615"}}

    (field,) = read_fields(write(tmp_path, collection(feature(polygon(metres)), crs=crs)))

    assert shapely.get_coordinates(field.geometry)[0] == pytest.approx([-93.0, 39.7490], abs=1e-3)


def test_a_geopackage_in_utm_gives_the_fields_of_the_geojson(tmp_path: Path) -> None:
    fields = read_fields(
        write(tmp_path, collection(feature(name="One"), feature(polygon(OTHER), external_id=7, name="Other")))
    )

    found = read_fields(write_geopackage(tmp_path / "fields.gpkg", fields, 32615))

    for one, other in zip(fields, found, strict=True):
        assert (one.external_id, one.name, one.planting) == (other.external_id, other.name, other.planting)
        assert shapely.equals_exact(one.geometry, other.geometry, tolerance=1e-9)


def test_days_of_a_geopackage_may_be_dates_or_instants_at_midnight(tmp_path: Path) -> None:
    fields = read_fields(write(tmp_path, collection(feature())))
    file = write_geopackage(tmp_path / "fields.gpkg", fields, 4326, season_end=[datetime(2026, 9, 30)])  # noqa: DTZ001  # as files have them

    assert read_fields(file)[0].end == date(2026, 9, 30)


@pytest.mark.parametrize(
    "text", ["2026/09/30", "2026-09-30T00:00:00Z", "2026/09/30 00:00:00", "2026-09-30T00:00:00.000"]
)
def test_a_day_may_be_text_as_gdal_and_geopandas_write_it(text: str, tmp_path: Path) -> None:
    assert read_fields(write(tmp_path, collection(feature(season_end=text))))[0].end == date(2026, 9, 30)


def test_of_several_layers_one_is_chosen(tmp_path: Path) -> None:
    fields = read_fields(write(tmp_path, collection(feature(name="One"), feature(polygon(OTHER), name="Other"))))
    file = write_geopackage(tmp_path / "two.gpkg", fields[:1], 4326, layer="old")
    write_geopackage(file, fields[1:], 4326, layer="new")

    assert [f.name for f in read_fields(file, layer="new")] == ["Other"]
    assert "has several layers ('old', 'new'); say which one with --layer" in refusal(file)
    with pytest.raises(InputError, match="has no layer 'newer' with geometry; expected one of 'old', 'new'"):
        read_fields(file, layer="newer")


@st.composite
def stars(draw: st.DrawFn) -> shapely.Polygon:
    """Polygons whose vertices go once around a centre, so that they are valid."""
    x, y = draw(st.floats(-170, 170)), draw(st.floats(-80, 80))
    radii = draw(st.lists(st.floats(1e-4, 1), min_size=3, max_size=12))
    angles = np.linspace(0, 2 * math.pi, len(radii), endpoint=False)
    return shapely.Polygon([(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)])


@given(st.lists(stars(), min_size=1, max_size=5))
def test_every_coordinate_of_a_geojson_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, polygons: list[shapely.Polygon]
) -> None:
    features = [
        feature(shapely.geometry.mapping(p), external_id=str(i), planting_date="2026-04-22")
        for i, p in enumerate(polygons)
    ]

    found = read_fields(write(tmp_path_factory.mktemp("stars"), collection(*features)))

    for one, field in zip(polygons, found, strict=True):
        assert shapely.get_coordinates(one).tolist() == shapely.get_coordinates(field.geometry).tolist()


# --- what is refused: the file -------------------------------------------------------------------------------------


WHOLE_FILES = [
    pytest.param("nowhere.geojson", None, "there is no such file", id="missing"),
    pytest.param("fields.kml", "x", r"the suffix '.kml' is not known here; expected .geojson", id="suffix"),
    pytest.param("fields.geojson", "", "is no JSON: Expecting value", id="empty"),
    pytest.param("fields.geojson", "{", "is no JSON: Expecting property name.* line 1 column 2", id="half"),
    pytest.param("fields.geojson", bytes(range(256)), "byte 128 is no UTF-8", id="binary"),
    pytest.param("fields.geojson", "[" * 100_000, "is nested too deeply", id="nested"),
    pytest.param("fields.geojson", "1" * 5000, "is no JSON: Exceeds the limit", id="a huge number"),
    pytest.param("fields.json", feature(), 'the file holds "Feature"; expected a .*FeatureCollection', id="feature"),
    pytest.param("fields.json", [], "the file holds a list; expected", id="list"),
    pytest.param("fields.json", {}, "the file holds null; expected", id="no type"),
    pytest.param("fields.json", collection(), "has no features; expected at least one", id="no features"),
    pytest.param("fields.json", {"type": "FeatureCollection"}, "has no features", id="no list of features"),
    pytest.param("fields.json", collection(feature(), crs={}), '"crs" does not name a CRS', id="crs unnamed"),
    pytest.param(
        "fields.json",
        collection(feature(), crs={"type": "name", "properties": {"name": "Mars"}}),
        'its CRS "Mars" can\'t be transformed to WGS 84',
        id="crs unknown",
    ),
    pytest.param("fields.gpkg", bytes(range(256)) * 20, "is no GeoPackage, whatever its suffix", id="rubbish"),
    pytest.param("fields.gpkg", "", "is no GeoPackage, whatever its suffix", id="empty geopackage"),
    pytest.param("fields.gpkg", collection(feature()), "is no GeoPackage, whatever its suffix", id="geojson"),
    pytest.param(
        "fields.gpkg",
        b"SQLite format 3\0" + b"x" * 4000,
        "can't be read as a GeoPackage",
        id="half a geopackage",
        marks=pytest.mark.filterwarnings("ignore:GPKG"),
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), WHOLE_FILES)
def test_a_file_that_can_not_be_read_is_named_with_what_is_wrong(
    name: str, content: Any, message: str, tmp_path: Path
) -> None:
    if content is not None:
        write(tmp_path, content, name)

    with pytest.raises(InputError, match=message) as caught:
        read_fields(tmp_path / name)

    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "fields.geojson").mkdir()

    assert refusal(tmp_path / "fields.geojson").endswith("is a folder; expected a file")


def test_a_geopackage_without_crs_is_refused(tmp_path: Path) -> None:
    fields = read_fields(write(tmp_path, collection(feature())))
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        file = write_geopackage(tmp_path / "fields.gpkg", fields, None)

    assert "the layer has no CRS; assign one (ogr2ogr -a_srs EPSG:...)" in refusal(file)


def test_a_geojson_has_no_layers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="GeoJSON has no layers; leave out the layer 'old'"):
        read_fields(write(tmp_path, collection(feature())), layer="old")


# --- what is refused: a feature ------------------------------------------------------------------------------------


def point(*position: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": list(position)}


BOW_TIE = [[-94.6, 40.5], [-94.5, 40.6], [-94.5, 40.5], [-94.6, 40.6], [-94.6, 40.5]]


GEOMETRIES = [
    pytest.param(point(-94, 40), 'the geometry is "Point"; expected a Polygon or MultiPolygon', id="point"),
    pytest.param({"type": "GeometryCollection", "geometries": []}, '"GeometryCollection"; expected', id="mixed"),
    pytest.param("POLYGON", 'the geometry is "POLYGON"; expected', id="text"),
    pytest.param({}, "the geometry is null; expected", id="no type"),
    pytest.param({"type": [[["deep"]]]}, "the geometry is a list; expected", id="odd type"),
    pytest.param(polygon(), "the geometry is empty", id="no rings"),
    pytest.param({"type": "MultiPolygon", "coordinates": []}, "the geometry is empty", id="no parts"),
    pytest.param({"type": "Polygon"}, "has no list of rings as its coordinates", id="no coordinates"),
    pytest.param({"type": "MultiPolygon", "coordinates": [1]}, "has no list of rings", id="numbers for parts"),
    pytest.param(polygon(1, 2), "a ring is no list of .longitude, latitude.", id="numbers for rings"),
    pytest.param(polygon([["-94.6", "40.5"]] * 4), "a ring is no list of", id="text for numbers"),
    pytest.param(polygon([[-94.6]] * 4), "a ring is no list of", id="one number"),
    pytest.param(polygon([*SQUARE[:2], None, *SQUARE[3:]]), "a ring is no list of", id="a null position"),
    pytest.param(polygon([*SQUARE[:2], [None, 40], *SQUARE[3:]]), "a ring is no list of", id="a null number"),
    pytest.param(polygon(SQUARE[:-1]), r"begins at \(-94.6, 40.5\) and ends at \(-94.6, 40.6\)", id="open ring"),
    pytest.param(polygon([SQUARE[0], SQUARE[1], SQUARE[0]]), "has 3 positions; expected at least 4", id="short"),
    pytest.param(
        polygon([*SQUARE[:2], [math.nan, 40.6], *SQUARE[3:]]), r"coordinate \(nan, 40.6\) is not a number", id="nan"
    ),
    pytest.param(polygon([[math.nan, 40.6], *SQUARE[1:-1], [math.nan, 40.6]]), "is not a number", id="nan first"),
    pytest.param(polygon([*SQUARE[:2], [-94, math.inf], *SQUARE[3:]]), r"\(-94.0, inf\) is not a", id="infinite"),
    pytest.param(
        polygon([[x * 1000, y * 1000] for x, y in SQUARE]), r"off the globe .*in degrees of WGS 84", id="metres"
    ),
    pytest.param(polygon([[y, x] for x, y in SQUARE]), r"\(40.5, -94.6\) is off the globe.*look swapped", id="swapped"),
    pytest.param(polygon(BOW_TIE), r"it crosses itself near \(-94.55, 40.55\)", id="bow tie"),
    pytest.param(polygon(SQUARE, OTHER), "not valid: Hole lies outside shell", id="a hole outside"),
    pytest.param(polygon([SQUARE[0]] * 4), "has no area", id="a point as ring"),
    pytest.param(polygon([[-94, 40], [-94, 41], [-94, 42], [-94, 40]]), "has no area", id="a line as ring"),
    pytest.param(
        polygon([[-120, 80], [0, 80], [120, 80], [-120, 80]]), "goes around a pole.*; cut it along a", id="pole"
    ),
]


@pytest.mark.parametrize(("geometry", "message"), GEOMETRIES)
def test_a_broken_geometry_is_named_with_what_is_wrong(geometry: Any, message: str, tmp_path: Path) -> None:
    file = write(tmp_path, collection(feature(polygon(OTHER), name="sound"), feature(geometry)))

    with pytest.raises(InputError, match=message) as caught:
        read_fields(file)

    assert str(caught.value).startswith(f'{file}: feature 2 ("North 40"): ')


def test_a_feature_without_geometry_is_refused(tmp_path: Path) -> None:
    without = feature() | {"geometry": None}

    assert "the geometry is empty" in refusal(write(tmp_path, collection(without)))


ATTRIBUTES = [
    pytest.param({"planting_date": "2025-02-30"}, '"2025-02-30" is not in the calendar', id="impossible day"),
    pytest.param({"planting_date": "soon"}, 'planting_date "soon" is no day; expected YYYY-MM-DD', id="words"),
    pytest.param({"planting_date": "20250301"}, 'planting_date "20250301" is no day', id="another form"),
    pytest.param({"planting_date": "2025-W10-1"}, 'planting_date "2025-W10-1" is no day', id="a week"),
    pytest.param({"planting_date": "2025-03-01T06:00:00"}, '"2025-03-01T06:00:00" is no day', id="an hour"),
    pytest.param({"planting_date": "01/03/2025"}, '"01/03/2025" is no day', id="the year last"),
    pytest.param({"planting_date": 20250301}, "planting_date 20250301 is no day", id="a number"),
    pytest.param({"planting_date": {"day": 1}}, "planting_date an object is no day", id="an object"),
    pytest.param({"planting_date": "1066-10-14"}, "planting date 1066-10-14 is outside of", id="long ago"),
    pytest.param({"season_end": "2026-04-21"}, "the season ends on 2026-04-21, before its planting", id="early end"),
    pytest.param({"season_end": "autumn"}, 'season_end "autumn" is no day', id="end in words"),
    pytest.param({"name": ..., "external_id": ...}, "has neither an external_id nor a name", id="nameless"),
    pytest.param({"name": "  "}, 'name "  " has 0 characters; expected 1 to 200', id="a blank name"),
    pytest.param({"name": "?!"}, "has neither an external_id nor a name with a letter", id="a sign as name"),
    pytest.param({"name": "x" * 201}, "has 201 characters; expected 1 to 200", id="a long name"),
    pytest.param({"name": 1.5}, "name is 1.5; expected text or a whole number", id="a fraction as name"),
    pytest.param({"external_id": True}, "external_id is true; expected text", id="a boolean"),
    pytest.param({"external_id": ["a"]}, "external_id is a list; expected text", id="a list"),
    pytest.param({"external_id": "a\0b"}, r"holds '\\x00'; expected printable", id="a zero byte"),
    pytest.param({"external_id": "a\ud800"}, r"holds '\\ud800'; expected printable", id="half a character"),
    pytest.param({"crop": "x" * 65}, "has 65 characters; expected 1 to 64", id="a long crop"),
]


@pytest.mark.parametrize(("properties", "message"), ATTRIBUTES)
def test_a_wrong_attribute_is_named_with_its_value(properties: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = write(tmp_path, collection(feature(polygon(OTHER), name="sound"), feature(**properties)))

    with pytest.raises(InputError, match=message) as caught:
        read_fields(file)

    assert str(caught.value).startswith(f"{file}: feature 2")


@pytest.mark.parametrize("day", [..., None, ""])
def test_a_planting_day_or_crop_that_a_feature_lacks_is_assumed_from_the_options_or_none(
    day: Any, tmp_path: Path
) -> None:
    file = write(tmp_path, collection(feature(planting_date=day), feature(name="other", crop="oats")))

    without, _ = read_fields(file)
    first, second = read_fields(file, columns=Columns(planted=date(2026, 4, 1), crop_code="rye"))

    assert (without.planting, without.crop_code) == (None, None)
    assert (first.planting, first.crop_code) == (date(2026, 4, 1), "rye")
    assert (first.planting_assumed, first.crop_assumed) == (True, True)
    assert (second.planting, second.crop_code) == (date(2026, 4, 22), "oats")
    assert (second.planting_assumed, second.crop_assumed) == (False, False)


@pytest.mark.parametrize("broken", [None, 7, {"type": "Future"}, {"type": "Feature", "properties": "none"}])
def test_what_is_no_feature_is_named_by_its_number(broken: Any, tmp_path: Path) -> None:
    assert f"{tmp_path}/fields.geojson: feature 2: " in refusal(write(tmp_path, collection(feature(), broken)))


@pytest.mark.parametrize(
    ("one", "other"),
    [({"external_id": "a"}, {"external_id": "a"}), ({}, {"name": "north 40"}), ({}, {"external_id": "north-40"})],
)
def test_two_features_of_one_identity_are_refused_with_both_named(
    one: dict[str, str], other: dict[str, str], tmp_path: Path
) -> None:
    said = refusal(write(tmp_path, collection(feature(**one), feature(polygon(OTHER), **other))))

    assert "feature 2" in said
    assert 'is also that of feature 1 ("North 40"); give each field an external_id of its own' in said


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    bad = [feature(polygon(BOW_TIE), name=f"Bad {i}", planting_date="soon") for i in range(15)]

    lines = refusal(write(tmp_path, collection(feature(polygon(OTHER)), *bad))).splitlines()

    assert lines[0] == "30 problems; nothing was taken:"
    assert lines[1].startswith(f'{tmp_path}/fields.geojson: feature 2 ("Bad 0"): planting_date "soon"')
    same = "  the same of 14 more features: 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 4 more"
    assert lines[2] == same
    assert lines[3].startswith(f'{tmp_path}/fields.geojson: feature 2 ("Bad 0"): the polygon is not valid')
    assert lines[4:] == [same]


def test_problems_that_differ_are_told_up_to_twenty(tmp_path: Path) -> None:
    bad = [feature(polygon(OTHER), name=f"Bad {i}", planting_date=f"{i}") for i in range(30)]

    lines = refusal(write(tmp_path, collection(*bad))).splitlines()

    assert lines[0] == "30 problems; nothing was taken:"
    assert len(lines) == 22
    assert lines[-1] == "... and 10 more"


def test_a_broken_feature_of_a_geopackage_is_named(tmp_path: Path) -> None:
    field = read_fields(write(tmp_path, collection(feature())))[0]
    bow_tie = NewField("b", "Bow", shapely.Polygon(BOW_TIE), field.planting)
    nowhere = NewField("n", "Nowhere", shapely.Polygon(), field.planting)

    said = refusal(write_geopackage(tmp_path / "fields.gpkg", [field, bow_tie, nowhere], 4326))

    assert 'fields.gpkg: feature 2 ("Bow"): the polygon is not valid: it crosses itself' in said
    assert 'fields.gpkg: feature 3 ("Nowhere"): the geometry is empty' in said


def test_coordinates_that_a_crs_does_not_have_are_named(tmp_path: Path) -> None:
    crs = {"type": "name", "properties": {"name": "EPSG:32615"}}
    far = polygon([[1e30, 1e9], [2e30, 1e9], [2e30, 2e9], [1e30, 1e9]])

    said = refusal(write(tmp_path, collection(feature(far), crs=crs)))

    assert "coordinate (1e+30, 1e+09) is nowhere in the file's CRS (WGS 84 / UTM zone 15N)" in said


# --- regions -------------------------------------------------------------------------------------------------------

BOX = [[-95.0, 40.0], [-94.0, 40.0], [-94.0, 41.0], [-95.0, 41.0], [-95.0, 40.0]]


def region(ring: Any = None, **properties: Any) -> dict[str, Any]:
    return feature(polygon(BOX if ring is None else ring), planting_date=..., **properties)


def test_a_region_is_its_name_and_rectangle(tmp_path: Path) -> None:
    backwards = [[-95.0, 41.0], [-95.0, 40.0], [-94.5, 40.0], [-94.0, 40.0], [-94.0, 41.0], [-95.0, 41.0]]
    content = collection(region(name="A", monitored_from="2026-05-01"), region(backwards, name="B"))

    first, second = read_regions(write(tmp_path, content))

    assert (first.name, first.bounds, first.warning) == ("A", Bounds(-95.0, 40.0, -94.0, 41.0), None)
    assert (first.monitored_from, second.monitored_from) == (date(2026, 5, 1), None)
    assert (second.bounds, second.warning) == (first.bounds, None)


def test_a_region_that_is_no_rectangle_gives_its_bounds_and_a_warning(tmp_path: Path) -> None:
    (found,) = read_regions(write(tmp_path, collection(region(BOX[:3] + BOX[:1], name="A"))))

    assert found.bounds == Bounds(-95.0, 40.0, -94.0, 41.0)
    assert found.warning == (
        f'{tmp_path}/fields.geojson: feature 1 ("A"): the polygon is no rectangle of longitudes and latitudes; '
        "its bounds were taken"
    )


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"name": ...}, "has no name; it has no attributes: give the region a name"),
        ({"name": "a|b"}, "holds '|', which Dagster can't use in a partition key"),
        ({"name": "a...b"}, "holds '...', which Dagster can't use"),
        ({"name": ".."}, "region name '..': in an address of the HTTP API that is a step in a path"),
        ({"name": "x" * 101}, "expected 1 to 100 characters"),
        ({"name": "A", "monitored_from": "May"}, 'monitored_from "May" is no day; expected YYYY-MM-DD'),
    ],
)
def test_a_region_that_can_not_be_named_or_dated_is_refused(
    properties: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        read_regions(write(tmp_path, collection(region(**properties))))

    assert str(caught.value).startswith(f"{tmp_path}/fields.geojson: feature 1")
    assert message in str(caught.value)


def test_two_regions_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'feature 2 \("A"\): the name is also that of feature 1'):
        read_regions(write(tmp_path, collection(region(name="A"), region(name="A"))))


# --- single polygons, bounds, identities ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [polygon(SQUARE), feature(planting_date=...), collection(feature(name=...))],
    ids=lambda c: str(c["type"]),
)
def test_a_polygon_may_be_a_geometry_a_feature_or_a_collection_of_one(content: Any, tmp_path: Path) -> None:
    assert shapely.get_coordinates(read_polygon(write(tmp_path, content))).tolist() == SQUARE


def test_one_polygon_is_not_two(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the file has 2 features; expected one, the polygon"):
        read_polygon(write(tmp_path, collection(feature(), feature())))


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((-94, 40, -95, 41), "west -94 is not left of east -95.*across the antimeridian is two regions"),
        ((-95, 41, -94, 40), "south 41 is not below north 40"),
        ((-95, 40, -95, 41), "west -95 is not left of east -95"),
        ((-195, 40, -94, 41), "are off the globe"),
        ((40, -95, 41, -94), "are off the globe.*look swapped"),
        ((math.nan, 40, -94, 41), "are not numbers"),
    ],
)
def test_bounds_that_are_no_rectangle_are_refused(bounds: tuple[float, float, float, float], message: str) -> None:
    with pytest.raises(InputError, match=f"^region 'A': .*{message}"):
        checked_bounds(*bounds, where="region 'A'")


@pytest.mark.parametrize("identity", ["", " a", "a\n", "x" * 201])
def test_an_identity_that_would_not_come_back_as_it_went_is_refused(identity: str) -> None:
    with pytest.raises(InputError, match=r"^EXTERNAL_ID: external_id"):
        checked_identity(identity, "EXTERNAL_ID")


# --- numbers as identities -------------------------------------------------------------------------------------------

SOUND = shapely.box(15.0, 45.0, 15.1, 45.1)
LARGE = 1234567890123456789


def frame(**columns: Any) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns | {"planting_d": ["2026-05-01"]}, geometry=[SOUND], crs=4326)


@pytest.mark.parametrize("number", [7, 2**53 - 1, 2**53 + 1, LARGE, -LARGE])
@pytest.mark.parametrize("suffix", [".shp", ".gpkg", ".geojson", ".parquet"])
def test_a_whole_number_is_an_identity_with_its_digits_as_they_stand(suffix: str, number: int, tmp_path: Path) -> None:
    file = tmp_path / f"fields{suffix}"
    data = frame(PARCEL=np.array([number], dtype="int64"))
    data.to_parquet(file) if suffix == ".parquet" else data.to_file(file)

    (field,) = read_fields(file, columns=Columns(external_id="PARCEL"))

    assert field.external_id == str(number)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".parquet"])
def test_a_float_is_an_identity_where_it_is_exact(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"fields{suffix}"
    for number, identity in ((12.0, "12"), (float(2**53 - 1), str(2**53 - 1))):
        data = frame(PARCEL=[number])
        data.to_parquet(file) if suffix == ".parquet" else data.to_file(file)

        (field,) = read_fields(file, columns=Columns(external_id="PARCEL"))

        assert field.external_id == identity


@pytest.mark.parametrize("number", [float(2**53), float(LARGE), -float(2**60)])
def test_a_float_that_may_have_lost_digits_is_no_identity(number: float, tmp_path: Path) -> None:
    file = tmp_path / "fields.parquet"
    frame(PARCEL=[number]).to_parquet(file)

    with pytest.raises(InputError, match=r"feature 1.*a float, which keeps whole numbers up to 9007199254740991 alone"):
        read_fields(file, columns=Columns(external_id="PARCEL"))


def test_a_narrow_float_loses_digits_sooner(tmp_path: Path) -> None:
    file = tmp_path / "fields.parquet"
    frame(PARCEL=np.array([16_777_216], dtype="float32")).to_parquet(file)

    with pytest.raises(InputError, match=r"column 'PARCEL' holds 16777216 as a float, which keeps .* below 16,777,216"):
        read_fields(file, columns=Columns(external_id="PARCEL"))


def test_a_whole_decimal_is_an_identity(tmp_path: Path) -> None:
    file = tmp_path / "fields.parquet"
    frame(PARCEL=[Decimal("123456789012345678901.00")]).to_parquet(file)

    (field,) = read_fields(file, columns=Columns(external_id="PARCEL"))

    assert field.external_id == "123456789012345678901"


# --- a GeoJSON's own ids ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "identity"), [("parcel-17", "parcel-17"), (17, "17"), (LARGE, str(LARGE))])
def test_the_id_of_a_feature_itself_is_taken_where_it_is_named(own: Any, identity: str, tmp_path: Path) -> None:
    plain = feature(planting_date="2026-05-01")
    file = write(tmp_path, collection(plain | {"id": own}))

    (field,) = read_fields(file, columns=Columns(external_id="id"))

    assert field.external_id == identity


def test_a_property_goes_before_the_id_of_the_feature_itself(tmp_path: Path) -> None:
    file = write(tmp_path, collection(feature(id="mine", planting_date="2026-05-01") | {"id": "its own"}))

    assert read_fields(file, columns=Columns(external_id="id"))[0].external_id == "mine"


def test_a_feature_without_the_id_that_others_have_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, collection(feature(name=None) | {"id": "a"}, feature(name=None)))

    with pytest.raises(InputError, match="feature 2: has neither an external_id nor a name"):
        read_fields(file, columns=Columns(external_id="id"))


def test_without_any_id_there_is_no_such_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no column 'id'"):
        read_fields(write(tmp_path, collection(feature(name="a"))), columns=Columns(external_id="id"))


# --- days ------------------------------------------------------------------------------------------------------------

ZONES = ["", "Z", "+00:00", "+02:00", "+0530", "-05", "-03:30"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
def test_midnight_is_a_day_in_whatever_zone_it_is_written(suffix: str, zone: str, tmp_path: Path) -> None:
    file = tmp_path / f"fields{suffix}"
    data = geopandas.GeoDataFrame({"name": ["a"], "planting_date": [f"2026-05-01T00:00:00{zone}"]}, geometry=[SOUND])
    data = data.set_crs(4326)
    data.to_parquet(file) if suffix == ".parquet" else data.to_file(file)

    assert read_fields(file)[0].planting == date(2026, 5, 1)


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
@pytest.mark.parametrize("zone", ["Europe/Ljubljana", "America/Chicago", "UTC"])
def test_an_instant_of_a_zone_is_the_day_on_which_it_is_midnight_there(suffix: str, zone: str, tmp_path: Path) -> None:
    file = tmp_path / f"fields{suffix}"
    midnight = pandas.Timestamp("2026-05-01", tz=zone)
    data = geopandas.GeoDataFrame({"name": ["a"], "planting_date": [midnight]}, geometry=[SOUND], crs=4326)
    data.to_parquet(file) if suffix == ".parquet" else data.to_file(file)

    assert read_fields(file)[0].planting == date(2026, 5, 1)


@pytest.mark.parametrize("text", ["2026-05-01T22:00:00Z", "2026-05-01T00:00:01+02:00", "2026-05-01T00:00:00 Berlin"])
def test_an_instant_that_is_no_midnight_is_no_day(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"planting_date .* is no day; expected YYYY-MM-DD"):
        read_fields(write(tmp_path, collection(feature(name="a", planting_date=text))))


# --- curves ----------------------------------------------------------------------------------------------------------


def arcs() -> bytes:
    """A CURVEPOLYGON: a full circle about (15.05, 45.05) as one CIRCULARSTRING of five points."""
    points = [(15.0, 45.05), (15.05, 45.1), (15.1, 45.05), (15.05, 45.0), (15.0, 45.05)]
    ring = struct.pack("<BII", 1, 8, len(points)) + b"".join(struct.pack("<dd", *point) for point in points)
    return struct.pack("<BII", 1, 10, 1) + ring


def write_curves(folder: Path) -> Path:
    """A GeoPackage with a polygon, a circle, and another polygon."""
    file = folder / "curves.gpkg"
    shapes = [SOUND, shapely.box(15.2, 45.0, 15.3, 45.1), shapely.box(15.4, 45.0, 15.5, 45.1)]
    rows = {"name": ["a", "b", "c"], "planting_date": ["2026-05-01"] * 3}
    geopandas.GeoDataFrame(rows, geometry=shapes, crs=4326).to_file(file, layer="curves", SPATIAL_INDEX="NO")
    with closing(sqlite3.connect(file)) as connection, connection:
        head = b"GP\x00\x01" + struct.pack("<i", 4326)
        connection.execute("UPDATE curves SET geom = ? WHERE name = 'b'", (head + arcs(),))
    return file


def test_curves_of_a_geopackage_are_drawn_as_lines(tmp_path: Path) -> None:
    a, b, c = read_fields(write_curves(tmp_path))

    assert b.geometry.area == pytest.approx(math.pi * 0.05**2, rel=1e-4)
    assert a.geometry.equals(SOUND)
    assert c.geometry.bounds == (15.4, 45.0, 15.5, 45.1)


def test_curves_of_a_geoparquet_are_named_and_can_be_left(tmp_path: Path) -> None:
    file = tmp_path / "fields.parquet"
    geopandas.GeoDataFrame(
        {"name": ["a", "b"], "planting_date": ["2026-05-01"] * 2}, geometry=[SOUND] * 2, crs=4326
    ).to_parquet(file)
    table = pq.read_table(file)
    wkb = pa.array([shapely.to_wkb(SOUND), arcs()], pa.binary())
    pq.write_table(table.set_column(table.column_names.index("geometry"), "geometry", wkb), file)

    with pytest.raises(InputError, match=r'feature 2 \("b"\): the geometry has curves; draw them as lines'):
        read_fields(file)
    assert [field.name for field in read_field_file(file, skip_invalid=True).fields] == ["a"]


# --- columns that are left -------------------------------------------------------------------------------------------


def test_columns_that_nothing_is_taken_from_are_told(tmp_path: Path) -> None:
    properties = {"name": "a", "crop_code": "115", "landuse": "arable", "owner": "x", "planting_date": "2026-05-01"}

    found = read_field_file(write(tmp_path, collection(feature(**properties))))

    assert found.unused == ["landuse", "owner"]
    assert found.fields[0].crop_code == "115"
