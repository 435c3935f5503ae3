from pathlib import Path

import geopandas
import pytest
import shapely
from satcommon.errors import InputError
from satcommon.vector.encoding import encoding_of
from satcommon.vector.fields import read_fields

SHAPE = shapely.box(15.0, 45.0, 15.1, 45.1)


@pytest.mark.parametrize(
    ("said", "encoding"),
    [
        ("UTF-8", "UTF-8"),
        ("utf8\r\n", "UTF-8"),
        ("\ufeffUTF-8", "UTF-8"),
        ("65001", "UTF-8"),
        ("1252", "CP1252"),
        ("ANSI 1252", "CP1252"),
        ("ansi_1252", "CP1252"),
        ("CP1252", "CP1252"),
        ("Windows-1252", "CP1252"),
        ("WINDOWS 1250", "CP1250"),
        ("LDID/87", "CP1252"),
        ("LDID/38", "CP866"),
        ("OEM 850", "CP850"),
        ("ISO-8859-1", "ISO-8859-1"),
        ("ISO 8859-2", "ISO-8859-2"),
        ("8859_15", "ISO-8859-15"),
        ("88595", "ISO-8859-5"),
        ("28592", "ISO-8859-2"),
        ("Latin1", "ISO-8859-1"),
        ("Big5", "BIG5"),
        ("936", "GBK"),
        ("KOI8-R", "KOI8-R"),
    ],
)
def test_an_encoding_is_known_in_every_spelling(said: str, encoding: str) -> None:
    assert encoding_of(Path("a.shp"), said.encode()) == encoding


@pytest.mark.parametrize("said", ["", "ANSI", "klingon", "99999", "LDID/250", "utf-16", "hex", "8859_99", "..", "\xff"])
def test_an_encoding_that_is_not_known_is_told(said: str) -> None:
    with pytest.raises(InputError, match=r"a.shp: its .cpg names the encoding \".*as UTF-8, ISO-8859-1, 1252 or Big5"):
        encoding_of(Path("a.shp"), said.encode())


@pytest.mark.parametrize(
    ("spelling", "written", "name"),
    [("ANSI 1252", "CP1252", "Blé d\u2019été"), ("LDID/87", "CP1252", "Ñandú"), ("Big5", "BIG5", "\u8fb2\u7530")],
)
def test_names_of_a_shapefile_are_read_by_its_cpg(spelling: str, written: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "fields.shp"
    rows = {"external_i": ["a"], "name": [name], "planting_d": ["2026-05-01"]}
    geopandas.GeoDataFrame(rows, geometry=[SHAPE], crs=4326).to_file(file, encoding=written)
    file.with_suffix(".cpg").write_text(spelling)

    (field,) = read_fields(file)

    assert field.name == name
