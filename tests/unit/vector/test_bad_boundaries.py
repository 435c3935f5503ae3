"""Files as nobody wants them: each is one message that names file and feature, quickly, and the rest is unharmed."""

import json
import math
import os
import shutil
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from satcommon.errors import InputError
from satcommon.vector.columns import Columns
from satcommon.vector.fields import FieldFile, read_field_file, read_fields
from satcommon.vector.table import from_wkb
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

DAY = "2026-04-22"
SOUND = box(14.0, 45.0, 14.1, 45.1)
SUFFIXES = (".geojson", ".gpkg", ".shp", ".zip", ".parquet")
each_format = pytest.mark.parametrize("suffix", SUFFIXES)


def write(folder: Path, suffix: str, *shapes: Any, **columns: Any) -> Path:
    """A file of fields `f1`, `f2`...; a Shapefile with its siblings."""
    file = folder / f"fields{suffix}"
    told = {"external_id": [f"f{i}" for i in range(1, len(shapes) + 1)], "planting_d": [DAY] * len(shapes)} | columns
    frame = geopandas.GeoDataFrame(told, geometry=list(shapes), crs=4326)
    if suffix == ".parquet":
        frame.to_parquet(file)
    elif suffix == ".zip":
        shape = write(folder, ".shp", *shapes, **columns)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for sibling in folder.glob(f"{shape.stem}.*"):
                if sibling != file:
                    archive.write(sibling, sibling.name)
    else:
        frame.rename(columns={"external_id": "external_i"}).to_file(file)
    return file


def read(file: Path) -> FieldFile:
    """With what is wrong left, so that all of it can be looked at."""
    return read_field_file(file, skip_invalid=True)


def refusal(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_fields(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


def geojson(folder: Path, *geometries: Any, **properties: Any) -> Path:
    """Geometries as JSON has them, written as they are."""
    features = [
        {
            "type": "Feature",
            "properties": {"external_id": f"f{i}", "planting_date": DAY} | properties,
            "geometry": geometry,
        }
        for i, geometry in enumerate(geometries, 1)
    ]
    file = folder / "fields.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


def rings(*coordinates: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(coordinates)}


# --- files -----------------------------------------------------------------------------------------------------------


@each_format
def test_an_empty_file_is_refused(suffix: str, tmp_path: Path) -> None:
    file = write(tmp_path, suffix, SOUND)
    file.write_bytes(b"")

    refusal(file)


@each_format
def test_a_file_without_features_is_refused(suffix: str, tmp_path: Path) -> None:
    assert "has no features" in refusal(write(tmp_path, suffix))


@each_format
def test_half_a_file_is_refused_or_gives_the_fields_that_are_whole(suffix: str, tmp_path: Path) -> None:
    shapes = [shapely.affinity.translate(SOUND, i, 0) for i in range(40)]
    whole = write(tmp_path, suffix, *shapes).read_bytes()
    file = tmp_path / f"fields{suffix}"

    for part in (0.1, 0.5, 0.9, 0.999):
        file.write_bytes(whole[: int(len(whole) * part)])
        try:
            found = read(file)
        except InputError as error:
            assert str(file) in str(error)  # noqa: PT017  # either is right
        else:
            taken = [shapes[field.feature - 1] for field in found.fields]
            assert all(field.geometry.equals(shape) for field, shape in zip(found.fields, taken, strict=True))


@each_format
def test_a_folder_a_pipe_and_an_unreadable_file_are_refused(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"a{suffix}").mkdir()
    os.mkfifo(tmp_path / f"b{suffix}")
    file = write(tmp_path, suffix, SOUND)

    assert "is a folder; expected a file" in refusal(tmp_path / f"a{suffix}")
    assert "is no regular file" in refusal(tmp_path / f"b{suffix}")

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # root may read everything
    assert "can't be read: Permission denied" in refusal(file)


@pytest.mark.parametrize("content", [b"\0" * 5000, b"PAR1" * 1000, b"SQLite format 3\0" * 300, b"\0\0\x27\x0a" * 1000])
@each_format
def test_content_of_another_format_is_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    file = write(tmp_path, suffix, SOUND)
    file.write_bytes(content)

    refusal(file)


def test_a_format_under_the_suffix_of_another_is_refused(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        source = write(tmp_path, suffix, SOUND)
        for other in set(SUFFIXES) - {suffix}:
            disguised = tmp_path / f"disguised{other}"
            shutil.copyfile(source, disguised)
            refusal(disguised)


def test_json_nested_without_end_is_refused(tmp_path: Path) -> None:
    deep = "[" * 900 + "]" * 900
    sound = json.dumps(shapely.geometry.mapping(SOUND))
    text = geojson(tmp_path, None).read_text().replace("null", f'{{"type": "Polygon", "coordinates": {deep}}}')
    (tmp_path / "fields.geojson").write_text(text)
    assert "feature 1" in refusal(tmp_path / "fields.geojson")

    text = geojson(tmp_path, None).read_text().replace("null", sound).replace('"f1"', "[" * 10**6)
    (tmp_path / "fields.geojson").write_text(text)
    assert "is nested too deeply" in refusal(tmp_path / "fields.geojson")


# --- geometries ------------------------------------------------------------------------------------------------------

BOW_TIE = Polygon([(14, 45), (15, 46), (15, 45), (14, 46)])
SPIKE = Polygon([(14, 45), (15, 45), (15, 46), (14.5, 46), (14.5, 46.5), (14.5, 46), (14, 46)])
METRES = box(500_000, 5_000_000, 500_100, 5_000_100)
HOLE_OUTSIDE = Polygon(SOUND.exterior, [box(20, 45, 21, 46).exterior])


def at_vertex(x: float, y: float) -> Polygon:
    corners = np.array(SOUND.exterior.coords)
    corners[1] = x, y
    return shapely.set_coordinates(shapely.from_wkb(SOUND.wkb), corners)


BAD = [
    pytest.param(None, "the geometry is empty", id="null"),
    pytest.param(BOW_TIE, "it crosses itself near (14.5, 45.5)", id="bow tie"),
    pytest.param(MultiPolygon([SOUND, SOUND]), "is not valid", id="the same part twice"),
    pytest.param(METRES, "is off the globe (longitude -180..180, latitude -90..90); give coordinates", id="metres"),
    pytest.param(box(45, 120, 46, 121), "latitude and longitude look swapped", id="swapped"),
    pytest.param(Polygon([(-120, 80), (0, 80), (120, 80)]), "goes around a pole", id="pole"),
    pytest.param(Polygon([(14, 45), (15, 46), (16, 47)]), "has no area", id="a line"),
]
# What a Shapefile can't hold, or GDAL makes something else of.
WORSE = [
    pytest.param(Polygon(), "the geometry is empty", id="empty"),
    pytest.param(Point(14, 45), "is a Point", id="point"),
    pytest.param(LineString([(14, 45), (15, 46)]), "is a LineString", id="line"),
    pytest.param(GeometryCollection([SOUND]), "is a GeometryCollection; expected a Polygon", id="collection"),
    pytest.param(HOLE_OUTSIDE, "Hole lies outside shell", id="a hole outside"),
    pytest.param(at_vertex(math.nan, 45), "is not a number", id="nan"),
    pytest.param(at_vertex(14, math.inf), "is not a number", id="inf"),
]


@each_format
@pytest.mark.parametrize(("shape", "message"), BAD)
def test_a_bad_polygon_is_named_in_every_format_and_the_others_are_unharmed(
    shape: Any, message: str, suffix: str, tmp_path: Path
) -> None:
    file = write(tmp_path, suffix, SOUND, shape, shapely.affinity.translate(SOUND, 1, 0))

    found = read(file)

    assert [field.external_id for field in found.fields] == ["f1", "f3"]
    (left,) = found.left
    assert left.feature == 2
    assert left.reason.startswith(f'{file}: feature 2 ("f2"): ')
    assert message in left.reason
    assert message in refusal(file)


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
@pytest.mark.parametrize(("shape", "message"), WORSE)
def test_what_is_no_polygon_is_named(shape: Any, message: str, suffix: str, tmp_path: Path) -> None:
    file = write(tmp_path, suffix, SOUND, shape)

    (left,) = read(file).left

    assert left.feature == 2
    assert message in left.reason or (suffix == ".gpkg" and "the geometry is empty" in left.reason)


def test_a_signalling_nan_is_a_broken_geometry_like_any_other() -> None:
    wkb = bytearray(SOUND.wkb)
    wkb[13:21] = (0x7FF0000000000001).to_bytes(8, "little")  # the first x, after byte order, type and two counts

    geometries, broken = from_wkb([bytes(wkb), SOUND.wkb])

    assert broken.keys() == {0}
    assert geometries[1].equals(SOUND)


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (rings([[14, 45], [14.1, 45], [14.1, 45.1]]), "a ring has 3 positions"),
        (rings([[14, 45], [14, 45]]), "a ring has 2 positions"),
        (rings([[14, 45], [14.1, 45], [14.1, 45.1], [14, 45.1]]), "a ring begins at (14, 45) and ends at (14, 45.1)"),
        (rings([[14, 45], ["14.1", "45"], [14.1, 45.1], [14, 45]]), "a ring is no list of"),
        (rings([[14, 45], [10**400, 45], [14.1, 45.1], [14, 45]]), "a ring is no list of"),
        (rings([]), "a ring is no list of"),
        ({"type": "GeometryCollection", "geometries": [shapely.geometry.mapping(SOUND)]}, '"GeometryCollection"'),
    ],
)
def test_a_ring_that_is_none_is_named(geometry: Any, message: str, tmp_path: Path) -> None:
    file = geojson(tmp_path, shapely.geometry.mapping(SOUND), geometry)

    assert [field.external_id for field in read(file).fields] == ["f1"]
    assert f'{file}: feature 2 ("f2"): ' in refusal(file)
    assert message in refusal(file)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize(
    ("suffix", "extra"),
    # GDAL writes no fourth dimension of what it gets from GeoPandas.
    [(".gpkg", (100.0,)), (".shp", (100.0,)), (".parquet", (100.0,)), (".parquet", (100.0, 7.0))],
)
def test_heights_and_measures_are_left_away(suffix: str, extra: tuple[float, ...], tmp_path: Path) -> None:
    points = ", ".join(f"{x} {y} {' '.join(map(str, extra))}" for x, y in SOUND.exterior.coords)
    high = shapely.from_wkt(f"POLYGON {'ZM' if len(extra) == 2 else 'Z'} (({points}))")
    assert high.has_z

    (field,) = read_fields(write(tmp_path, suffix, high))

    assert not field.geometry.has_z
    assert field.geometry.equals(SOUND)


def test_positions_of_a_geojson_may_have_more_than_three_numbers(tmp_path: Path) -> None:
    ring = [[x, y, 1, 2, 3][: 2 + i] for i, (x, y) in enumerate(SOUND.exterior.coords)][:4]

    (field,) = read_fields(geojson(tmp_path, rings([*ring, [*SOUND.exterior.coords[-1], 9]])))

    assert field.geometry.equals(SOUND)


@pytest.mark.slow
@each_format
def test_a_million_vertices_are_refused_in_seconds(suffix: str, tmp_path: Path) -> None:
    angles = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    huge = Polygon(np.column_stack([14 + np.cos(angles), 45 + np.sin(angles)]))
    file = write(tmp_path, suffix, SOUND, huge)

    found = read(file)

    assert [field.external_id for field in found.fields] == ["f1"]
    assert "the polygon has 1,000,001 vertices; expected at most 100,000; simplify it" in found.left[0].reason


def test_a_crs_in_metres_over_coordinates_in_degrees_is_refused(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"external_id": ["a"], "planting_date": [DAY]}, geometry=[SOUND], crs=32633)
    frame.to_file(tmp_path / "f.gpkg")

    said = refusal(tmp_path / "f.gpkg")

    assert "its CRS is WGS 84 / UTM zone 33N, in metres, but all coordinates look like degrees" in said


# --- attributes ------------------------------------------------------------------------------------------------------


@each_format
def test_duplicate_identities_are_named_and_doubled_polygons_remarked(suffix: str, tmp_path: Path) -> None:
    file = write(tmp_path, suffix, SOUND, SOUND, box(15, 45, 16, 46), external_id=["a", "b", "a"])

    found = read(file)

    assert [field.external_id for field in found.fields] == ["a", "b"]
    assert 'feature 3 ("a"): identity "a" is also that of feature 1 ("a")' in found.left[0].reason
    assert found.remarks == [f'{file}: feature 2 ("b"): has the very polygon of feature 1 ("a")']


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
@pytest.mark.parametrize("name", ["a\u202eb", "a\x1b[31mb", "a\nb", "a\x7fb", "\u2066x"])
def test_a_name_that_would_turn_a_terminal_is_refused_and_not_printed(name: str, suffix: str, tmp_path: Path) -> None:
    said = refusal(write(tmp_path, suffix, SOUND, external_id=[name]))

    assert "expected printable characters" in said
    assert said.isprintable()


@each_format
def test_a_name_that_looks_like_a_path_is_a_name(suffix: str, tmp_path: Path) -> None:
    (field,) = read_fields(write(tmp_path, suffix, SOUND, external_id=["../../etc/passwd"]))

    assert field.external_id == "../../etc/passwd"


def test_a_zero_byte_in_a_name_is_refused(tmp_path: Path) -> None:
    assert r"holds '\x00'" in refusal(geojson(tmp_path, shapely.geometry.mapping(SOUND), external_id="a\0b"))


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
def test_a_huge_value_is_refused_in_a_short_message_and_ignored_where_nobody_asks(suffix: str, tmp_path: Path) -> None:
    huge = "x" * 10_000_000

    said = refusal(write(tmp_path, suffix, SOUND, external_id=[huge]))

    assert "has 10000000 characters; expected 1 to 200" in said
    assert len(said) < 1000
    (tmp_path / f"fields{suffix}").unlink()
    assert len(read_fields(write(tmp_path, suffix, SOUND, notes=[huge]))) == 1


# --- leaving and repairing -------------------------------------------------------------------------------------------


def test_a_file_of_which_nothing_can_be_taken_is_an_error_even_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of its features can be taken:") as caught:
        read(write(tmp_path, ".gpkg", BOW_TIE, BOW_TIE))

    assert 'feature 1 ("f1"): the polygon is not valid' in str(caught.value)
    assert "the same of 1 more feature: 2" in str(caught.value)


def test_a_polygon_is_repaired_where_its_area_stays(tmp_path: Path) -> None:
    found = read_field_file(write(tmp_path, ".gpkg", SOUND, SPIKE), repair=True)

    assert found.fields[1].geometry.equals(box(14, 45, 15, 46))
    assert [(r.feature, "repaired: " in r.reason, "0.00%" in r.reason) for r in found.repaired] == [(2, True, True)]


@pytest.mark.parametrize("shape", [BOW_TIE, HOLE_OUTSIDE], ids=["bow tie", "a hole outside"])
def test_a_repair_that_would_make_another_polygon_is_refused(shape: Polygon, tmp_path: Path) -> None:
    file = write(tmp_path, ".parquet", SOUND, shape)

    with pytest.raises(InputError, match=r"feature 2 .*; --repair would change its area by (inf|\d+)%; fix it"):
        read_field_file(file, repair=True)


def test_a_day_for_all_does_not_hide_a_bad_one(tmp_path: Path) -> None:
    file = write(tmp_path, ".geojson", SOUND, box(15, 45, 16, 46), planting_d=["soon", None])

    found = read_field_file(file, columns=Columns(planted=date(2026, 5, 1)), skip_invalid=True)

    assert [(field.external_id, field.planting) for field in found.fields] == [("f2", date(2026, 5, 1))]
    assert 'planting_date "soon" is no day' in found.left[0].reason
