"""One set of fields in every format, and what each format asks for."""

import json
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from satcommon.errors import InputError
from satcommon.geo.geometry import area_ha, digest
from satcommon.vector import shapefile
from satcommon.vector.columns import Columns
from satcommon.vector.fields import read_fields
from satcommon.vector.polygons import read_polygon
from satcommon.vector.regions import read_regions
from shapely.affinity import rotate, scale, translate
from shapely.geometry import MultiPolygon, Point, Polygon, box

pytestmark = pytest.mark.filterwarnings(
    "ignore:Column names longer than 10 characters:UserWarning", "ignore:Normalized/laundered:RuntimeWarning"
)
DAY = date(2026, 4, 22)


def frame(polygons: list[shapely.Geometry], crs: int | str = 4326, **columns: list[object]) -> geopandas.GeoDataFrame:
    told = {
        "external_id": [f"f{i}" for i in range(len(polygons))],
        "name": [f"Feld Č{i}" for i in range(len(polygons))],
        "planting_date": [DAY] * len(polygons),
        "crop": ["oats"] * len(polygons),
    }
    return geopandas.GeoDataFrame(told | columns, geometry=polygons, crs=crs)


def as_geojson(fields: geopandas.GeoDataFrame, folder: Path) -> Path:
    # GDAL's own rounding is off: a double needs 17 digits.
    fields.to_file(folder / "f.geojson", driver="GeoJSON", SIGNIFICANT_FIGURES=17)
    return folder / "f.geojson"


def as_geopackage(fields: geopandas.GeoDataFrame, folder: Path) -> Path:
    fields.to_file(folder / "f.GPKG", driver="GPKG")
    return folder / "f.GPKG"


def as_shapefile(fields: geopandas.GeoDataFrame, folder: Path) -> Path:
    fields.to_file(folder / "f.shp", encoding="UTF-8")
    return folder / "f.shp"


def as_zip(fields: geopandas.GeoDataFrame, folder: Path) -> Path:
    as_shapefile(fields, folder)
    with zipfile.ZipFile(folder / "f.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.glob("f.*")):
            if file.suffix != ".ZIP":
                archive.write(file, f"some folder/{file.name}")
    return folder / "f.ZIP"


def as_geoparquet(fields: geopandas.GeoDataFrame, folder: Path) -> Path:
    fields.to_parquet(folder / "f.parquet")
    return folder / "f.parquet"


Writer = Callable[[geopandas.GeoDataFrame, Path], Path]
WRITERS = [as_geojson, as_geopackage, as_shapefile, as_zip, as_geoparquet]
each_format = pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)


def refusal(file: Path, layer: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_fields(file, layer=layer)
    assert str(caught.value).startswith(f"{file}: ")
    return str(caught.value)


# --- the same fields from every format -------------------------------------------------------------------------------


def random_polygons(count: int) -> list[shapely.Geometry]:
    """Valid polygons with holes and several parts, small and large, in all hemispheres."""
    rng = np.random.default_rng(7)
    found: list[shapely.Geometry] = []
    while len(found) < count:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 30)))
        size = 10 ** rng.uniform(-4, 0.5)
        star = Polygon(np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(0.5, 1, (len(angles), 1)) * size)
        centre = rng.uniform(-175, 175), rng.uniform(-85, 85)
        shape = translate(star, *centre)
        if not shape.is_valid:
            continue
        if rng.random() < 0.3:
            middle = shape.representative_point()
            shape = shape.difference(scale(rotate(shape, 40), 0.1, 0.1, origin=middle))
        if rng.random() < 0.2:
            shape = shapely.union_all([shape, translate(shape, 3 * size if centre[0] < 160 else -3 * size, 0)])
        inside = box(-180, -90, 180, 90).contains(shape)
        if shape.geom_type in ("Polygon", "MultiPolygon") and shape.is_valid and inside and shape.area > 1e-10:
            found.append(shape)
    return found


@pytest.fixture(scope="module")
def polygons() -> list[shapely.Geometry]:
    found = random_polygons(2000)
    kinds = {(p.geom_type, any(len(part.interiors) for part in shapely.get_parts(p))) for p in found}
    assert kinds == {(kind, holed) for kind in ("Polygon", "MultiPolygon") for holed in (False, True)}
    return found


@each_format
def test_two_thousand_random_polygons_come_back_bit_for_bit_from_every_format(
    write: Writer, polygons: list[shapely.Geometry], tmp_path: Path
) -> None:
    fields = read_fields(write(frame(polygons), tmp_path))

    assert [f.external_id for f in fields] == [f"f{i}" for i in range(len(polygons))]
    assert {(f.planting, f.crop_code) for f in fields} == {(DAY, "oats")}
    assert fields[17].name == "Feld Č17"
    assert [digest(f.geometry) for f in fields] == [digest(p) for p in polygons]


@each_format
def test_a_copy_in_utm_comes_back_to_a_hundred_millionth_of_a_degree(write: Writer, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    centres = zip(rng.uniform(12.5, 17.5, 50), rng.uniform(-60, 60, 50), strict=True)
    shapes: list[shapely.Geometry] = [Point(x, abs(y)).buffer(0.01, 3) for x, y in centres]

    fields = read_fields(write(frame(shapes).to_crs(32633), tmp_path))

    for shape, field in zip(shapes, fields, strict=True):
        assert shapely.equals_exact(shape.normalize(), field.geometry.normalize(), tolerance=1e-8)


@each_format
def test_regions_and_single_polygons_come_from_every_format_too(write: Writer, tmp_path: Path) -> None:
    file = write(frame([box(14, 45, 15, 46)]), tmp_path)

    assert read_regions(file)[0].bounds == (14, 45, 15, 46)
    assert read_polygon(file).equals(box(14, 45, 15, 46))


# --- columns ---------------------------------------------------------------------------------------------------------


@each_format
def test_columns_of_other_names_are_mapped_and_days_and_crops_given_for_all(write: Writer, tmp_path: Path) -> None:
    cadastre = geopandas.GeoDataFrame(
        {"PARCEL": [17, 18], "label": ["a", "b"], "till": ["2026-09-30", None]},
        geometry=[box(0, 0, 1, 1), box(2, 0, 3, 1)],
        crs=4326,
    )
    columns = Columns("PARCEL", "label", season_end="till", planted=DAY, crop_code="maize")

    one, two = read_fields(write(cadastre, tmp_path), columns=columns)

    assert (one.external_id, one.name, one.planting, one.end) == ("17", "a", DAY, date(2026, 9, 30))
    assert (two.external_id, two.end, two.crop_code) == ("18", None, "maize")


@each_format
def test_a_column_that_is_not_there_is_named_with_those_that_are(write: Writer, tmp_path: Path) -> None:
    file = write(frame([box(0, 0, 1, 1)]), tmp_path)

    with pytest.raises(InputError, match=r"there is no column 'nr'; the file has '\w+', 'name'"):
        read_fields(file, columns=Columns(external_id="nr"))


def test_names_cut_to_ten_characters_or_in_capitals_are_the_standard_ones(tmp_path: Path) -> None:
    fields = frame([box(0, 0, 1, 1)], season_end=[date(2026, 9, 1)]).rename(columns={"crop": "crop:code"})
    cut = as_shapefile(fields, tmp_path)
    (tmp_path / "capitals").mkdir()
    capitals = as_shapefile(fields.rename(columns=lambda n: n if n == "geometry" else n.upper()), tmp_path / "capitals")

    for file in (cut, capitals):
        (field,) = read_fields(file)
        assert (field.external_id, field.planting, field.end, field.crop_code) == ("f0", DAY, date(2026, 9, 1), "oats")


# --- Shapefiles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["UTF-8", "CP1250", "ISO-8859-2"])
def test_names_are_read_in_the_encoding_that_the_cpg_tells(encoding: str, tmp_path: Path) -> None:
    frame([box(0, 0, 1, 1)]).to_file(tmp_path / "f.shp", encoding=encoding)

    assert read_fields(tmp_path / "f.shp")[0].name == "Feld Č0"


def test_text_of_an_unknown_encoding_asks_for_a_cpg(tmp_path: Path) -> None:
    frame([box(0, 0, 1, 1)]).to_file(tmp_path / "f.shp", encoding="CP1250")
    (tmp_path / "f.cpg").write_text("klingon")

    assert 'its .cpg names the encoding "klingon", which is not known here' in refusal(tmp_path / "f.shp")


@pytest.mark.parametrize("write", [as_shapefile, as_zip], ids=lambda write: write.__name__)
@pytest.mark.parametrize("suffix", [".dbf", ".shx", ".prj"])
def test_a_missing_sibling_is_named(write: Writer, suffix: str, tmp_path: Path) -> None:
    as_shapefile(frame([box(0, 0, 1, 1)]), tmp_path)
    (tmp_path / "f.cpg").unlink()
    if write is as_zip:
        file = tmp_path / "z.zip"
        with zipfile.ZipFile(file, "w") as archive:
            for sibling in tmp_path.glob("f.*"):
                if sibling.suffix != suffix:
                    archive.write(sibling, sibling.name)
    else:
        file = tmp_path / "f.shp"
        (tmp_path / f"f{suffix}").unlink()

    assert f"the Shapefile lacks its {suffix} (" in refusal(file)


def test_siblings_may_be_in_capitals(tmp_path: Path) -> None:
    as_shapefile(frame([box(0, 0, 1, 1)]), tmp_path)
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_name(f"F{file.suffix.upper()}"))

    assert len(read_fields(tmp_path / "F.SHP")) == 1


# --- zips ------------------------------------------------------------------------------------------------------------


def zipped(folder: Path, **names: str) -> Path:
    """A zip with the Shapefile once or more, under other stems."""
    as_shapefile(frame([box(0, 0, 1, 1)]), folder)
    with zipfile.ZipFile(folder / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for stem in names.values():
            for suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg"):
                archive.writestr(f"{stem}{suffix}", (folder / f"f{suffix}").read_bytes())
    return folder / "z.zip"


def test_of_several_shapefiles_in_a_zip_one_is_chosen(tmp_path: Path) -> None:
    file = zipped(tmp_path, one="a", two="b/c", shadow="__MACOSX/._a")

    assert "holds several Shapefiles ('a', 'c'); say which one with --layer" in refusal(file)
    assert len(read_fields(file, layer="c")) == 1
    assert "holds no Shapefile 'd'" in refusal(file, layer="d")


@pytest.mark.parametrize("stem", ["../../a", "/tmp/a", "..\\a", "c:a"])
def test_a_name_that_leads_out_of_the_zip_is_refused(stem: str, tmp_path: Path) -> None:
    assert "leads out of the zip" in refusal(zipped(tmp_path, one=stem))


def test_a_zip_that_would_unpack_to_more_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = zipped(tmp_path, one="a")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("other", bytes(10**8))  # is never unpacked
    assert len(read_fields(file)) == 1

    monkeypatch.setattr(shapefile, "MAX_UNZIPPED_BYTES", 400)

    assert "bytes unzipped; expected at most 400" in refusal(file)


def test_a_zip_whose_sizes_lie_is_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path, one="a")
    with zipfile.ZipFile(file) as archive:
        size = archive.getinfo("a.dbf").file_size
    data = file.read_bytes()
    lie = data.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little"))
    file.write_bytes(lie)

    assert "can't be read as a zip: " in refusal(file)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.gpkg": b"x"}, "holds no .shp; expected one zipped Shapefile"),
        ({}, "holds no .shp"),
        ({"a.shp": b"x", "a.dbf": b"", "a.shx": b"", "a.prj": b""}, "is no Shapefile, whatever its suffix says"),
    ],
)
def test_a_zip_without_a_shapefile_is_refused(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)

    assert message in refusal(tmp_path / "z.zip")


# --- GeoParquet ------------------------------------------------------------------------------------------------------


def test_fiboa_names_are_understood(tmp_path: Path) -> None:
    fiboa = geopandas.GeoDataFrame(
        {"id": ["x1"], "crop:code": ["1200"], "determination_datetime": ["2020-01-01"], "planting_date": [DAY]},
        geometry=[box(0, 0, 1, 1)],
        crs=4326,
    )

    (field,) = read_fields(as_geoparquet(fiboa, tmp_path))

    assert (field.external_id, field.crop_code, field.planting) == ("x1", "1200", DAY)


def test_an_id_of_numbers_names_no_field_unless_told_to(tmp_path: Path) -> None:
    numbered = frame([box(0, 0, 1, 1)], id=[5]).drop(columns="external_id")
    file = as_geoparquet(numbered, tmp_path)

    assert read_fields(file)[0].external_id == "feld-č0"
    assert read_fields(file, columns=Columns(external_id="id"))[0].external_id == "5"


def with_geo(folder: Path, **told: object) -> Path:
    """A GeoParquet with other metadata of its geometry column; `...` takes a key out."""
    file = as_geoparquet(frame([box(14, 45, 15, 46)]), folder)
    table = pq.read_table(file)
    geo = json.loads(table.schema.metadata[b"geo"])
    column = geo["columns"]["geometry"] | told
    geo["columns"]["geometry"] = {key: value for key, value in column.items() if value is not ...}
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo).encode()}), file)
    return file


def test_without_a_crs_geoparquet_is_in_longitudes_and_latitudes(tmp_path: Path) -> None:
    assert read_fields(with_geo(tmp_path, crs=...))[0].geometry.equals(box(14, 45, 15, 46))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"crs": None}, "its CRS is unknown"),
        ({"encoding": "polygon"}, 'geometries are encoded as "polygon"; expected WKB'),
        ({"encoding": ...}, "the metadata of GeoParquet is broken (KeyError('encoding'))"),
        ({"crs": {"type": "nonsense"}}, "can't be transformed to WGS 84"),
    ],
)
def test_metadata_that_can_not_be_used_is_told(told: dict[str, object], message: str, tmp_path: Path) -> None:
    assert message in refusal(with_geo(tmp_path, **told))


def test_plain_parquet_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "f.parquet")

    assert "is Parquet without the metadata of GeoParquet" in refusal(tmp_path / "f.parquet")


# --- the antimeridian ------------------------------------------------------------------------------------------------

FIELD = Polygon([(-1.0, 10), (1.5, 10), (2, 12), (-2, 12)], [[(-0.5, 10.5), (0.5, 10.5), (0.4, 11), (-0.4, 11)]])


def at(shape: shapely.Geometry, longitude: float) -> shapely.Geometry:
    return shapely.transform(shape, lambda p: np.column_stack([(p[:, 0] + longitude + 180) % 360 - 180, p[:, 1]]))


@each_format
def test_a_polygon_across_the_antimeridian_is_split_there_and_keeps_its_area(write: Writer, tmp_path: Path) -> None:
    # In a Shapefile what is a hole is told by directions, which a jump turns round.
    shape = FIELD if write not in (as_shapefile, as_zip) else Polygon(FIELD.exterior)
    small = scale(shape, 0.001, 0.001, origin=(0, 10))

    large, field = (f.geometry for f in read_fields(write(frame([at(shape, 180), at(small, 180)]), tmp_path)))

    east, west = sorted(large.geoms, key=lambda part: -part.bounds[0])
    assert (east.bounds[2], west.bounds[0]) == (180, -180)
    assert east.is_valid
    assert west.is_valid
    # Of a large one the new vertices count: its edges are straight on the map, and between vertices area is geodesic.
    halves = [shape & box(-9, 0, 0, 90), shape & box(0, 0, 9, 90)]
    assert area_ha(large) == pytest.approx(sum(area_ha(at(half, 90)) for half in halves), rel=1e-9)
    assert area_ha(field) == pytest.approx(area_ha(at(small, 90)), rel=1e-5)


def test_one_that_is_split_already_stays_as_it_is(tmp_path: Path) -> None:
    split = MultiPolygon([box(179, 10, 180, 11), box(-180, 10, -179, 11)])

    (field,) = read_fields(as_geopackage(frame([split]), tmp_path))

    assert digest(field.geometry) == digest(split)


def test_a_region_across_the_antimeridian_is_two_regions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a region across it is two regions"):
        read_regions(as_geopackage(frame([at(box(-1, 0, 1, 1), 180)]), tmp_path))


def test_a_path_that_gdal_would_take_apart_is_refused(tmp_path: Path) -> None:
    file = as_geopackage(frame([box(0, 0, 1, 1)]), tmp_path)
    file.rename(tmp_path / "a!b.gpkg")

    assert "GDAL can't open a path with '!' in it; rename it" in refusal(tmp_path / "a!b.gpkg")
