"""Valid files of every format with bytes flipped, cut out, put in and repeated: fields or `InputError`, nothing else.

A few seconds by default; `FUZZ_SECONDS=60 pytest tests/fuzz` goes on for so long with each format: its files share it.
`FUZZ_SEED` begins elsewhere.
"""

import itertools
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import geopandas
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from satcommon.errors import InputError
from satcommon.vector.fields import read_field_file
from shapely.geometry import MultiPolygon, Polygon, box

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "7"))
SHAPES = [
    box(14, 45, 14.1, 45.1),
    Polygon(box(15, 45, 15.1, 45.1).exterior, [box(15.02, 45.02, 15.05, 45.05).exterior]),
    MultiPolygon([box(16, 45, 16.1, 45.1), box(16.2, 45, 16.3, 45.1)]),
]
FILES = {  # what is mutated, of what is read
    "f.geojson": "f.geojson",
    "f.gpkg": "f.gpkg",
    "f.parquet": "f.parquet",
    "f.zip": "f.zip",
    "f.shp": "f.shp",
    "f.shx": "f.shp",
    "f.dbf": "f.shp",
    "f.prj": "f.shp",
    "f.cpg": "f.shp",
}

Mutation = tuple[str, float, int, bytes]  # what, where (as a part of the file), how many bytes, which ones
mutations = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat", "truncate", "overwrite"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 64),
        st.binary(min_size=1, max_size=16) | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff"]),
    ),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, changes: list[Mutation]) -> bytes:
    for what, part, length, new in changes:
        at = int(part * len(data))
        before, piece, after = data[:at], data[at : at + length], data[at + length :]
        data = {
            "flip": before + bytes(b ^ new[0] for b in piece[:1]) + data[at + 1 :],
            "cut": before + after,
            "insert": before + new + piece + after,
            "repeat": before + piece * 3 + after,
            "truncate": before,
            "overwrite": before + new + data[at + len(new) :],
        }[what]
    return data


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same fields in every format."""
    folder = tmp_path_factory.mktemp("sound")
    frame = geopandas.GeoDataFrame(
        {"external_i": ["a", "b", "č"], "planting_d": [date(2026, 4, 22)] * 3, "crop": ["x", None, "y"]},
        geometry=SHAPES,
        crs=4326,
    )
    for name in ("f.geojson", "f.gpkg", "f.shp"):
        frame.to_file(folder / name, **({"encoding": "UTF-8"} if name == "f.shp" else {}))
    frame.to_parquet(folder / "f.parquet")
    with zipfile.ZipFile(folder / "f.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg"):
            archive.write(folder / f"f{suffix}", f"f{suffix}")
    return folder


def fuzz(run: Callable[[], None], seconds: float) -> None:
    """Run a property once, or again and again for as long as was asked for; each time from another seed."""
    until = time.monotonic() + seconds
    for turn in itertools.count():
        seed(f"{SEED}/{turn}")(run)()
        if time.monotonic() >= until:
            break


@pytest.mark.parametrize(("mutate", "name"), FILES.items(), ids=FILES)
def test_a_mutated_file_gives_fields_or_an_input_error(mutate: str, name: str, sound: Path, tmp_path: Path) -> None:
    for file in sound.glob("f.*"):
        shutil.copyfile(file, tmp_path / file.name)
    original = (sound / mutate).read_bytes()

    @settings(max_examples=100, database=None, suppress_health_check=[HealthCheck.too_slow], deadline=10_000)
    @given(mutations, st.booleans())
    def reads(changes: list[Mutation], skip_invalid: bool) -> None:
        (tmp_path / mutate).write_bytes(mutated(original, changes))
        try:
            found = read_field_file(tmp_path / name, skip_invalid=skip_invalid, repair=skip_invalid)
        except InputError as error:
            assert str(tmp_path / name) in str(error)  # noqa: PT017  # either is right
        else:
            assert all(field.geometry.is_valid and field.external_id for field in found.fields)

    fuzz(reads, SECONDS / list(FILES.values()).count(name))
