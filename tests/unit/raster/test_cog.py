import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import obstore
import pytest
import rasterio
import rasterio.shutil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from obstore.exceptions import GenericError
from satcommon.errors import SceneError, StoreError
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.cog import encode
from satcommon.raster.layers import BANDS, CLASSES, ITEM, Layers
from satcommon.raster.scene import Scene
from satcommon.raster.scene_reader import SceneReader
from satcommon.sources.folder import FolderSource
from satcommon.sources.mosaic import mosaic_scene
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.source import AreaOfInterest
from satcommon.storage.object_store import ObjectStore
from satcommon.storage.ranges import CHUNK

DAY = date(2026, 7, 15)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
BOUNDS = Bounds(-94.0, 42.0, -93.9, 42.1)
GRID = replace(Grid.utm(BOUNDS, 30), width=700, height=600)  # 3 x 3 tiles of 256, the last ones cut
AOI = AreaOfInterest("Iowa", BOUNDS, GRID)
TILES = 9


def make(aoi: AreaOfInterest) -> Scene:
    source = SimulatedSource()
    scene = mosaic_scene(source, aoi, source.list(aoi, DAY, DAY, NOW).acquisitions[DAY])
    assert scene is not None
    return scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make(AOI)


@pytest.fixture(scope="module")
def file(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "scene.tif"
    path.write_bytes(encode(scene, GRID, DAY))
    return path


def assert_gathered(reader: SceneReader, scene: Scene, cells: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    gathered = reader.gather(cells)
    assert list(gathered) == [*scene.layers.bands, CLASSES]
    for name, values in gathered.items():
        whole = scene.layers.classes if name == CLASSES else scene.layers.bands[name]
        assert values.dtype == np.uint16
        np.testing.assert_array_equal(values, whole.ravel()[cells])


@settings(max_examples=60)
@given(
    cells=arrays.arrays(np.int64, st.integers(0, 200), elements=st.integers(0, GRID.width * GRID.height - 1)),
)
def test_what_is_gathered_is_what_a_full_read_gives(
    cells: np.ndarray[tuple[int], np.dtype[np.int64]], file: Path, scene: Scene
) -> None:
    with SceneReader(file) as reader:
        assert_gathered(reader, scene, cells)

        assert reader.tiles_read == len(set(zip(*(a // 256 for a in np.divmod(cells, GRID.width)), strict=True)))


@pytest.fixture
def in_a_bucket(file: Path, s3_url: str) -> ObjectStore:
    store = ObjectStore(s3_url, 0.5)
    store.put("scene.tif", file.read_bytes())
    return store


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=arrays.arrays(np.int64, st.integers(0, 200), elements=st.integers(0, GRID.width * GRID.height - 1)))
def test_from_a_bucket_the_same_is_gathered(
    cells: np.ndarray[tuple[int], np.dtype[np.int64]], in_a_bucket: ObjectStore, file: Path, scene: Scene
) -> None:
    with SceneReader(in_a_bucket.file_of("scene.tif")) as reader, SceneReader(file) as local:
        assert_gathered(reader, scene, cells)
        local.gather(cells)

        assert (reader.tiles_read, reader.bytes_read) == (local.tiles_read, local.bytes_read)
        assert (reader.grid, reader.bands, reader.digest, reader.items) == (
            GRID,
            local.bands,
            scene.digest,
            local.items,
        )


@pytest.mark.parametrize("at_once", [1 << 25, 1])
def test_from_a_bucket_touched_tiles_only_are_fetched_many_at_once(
    at_once: int, in_a_bucket: ObjectStore, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("satcommon.raster.scene_reader._AT_ONCE", at_once)
    fetch, fetched = obstore.get_ranges, []
    monkeypatch.setattr(obstore, "get_ranges", lambda *args, **ranges: fetched.append(ranges) or fetch(*args, **ranges))
    cells = np.array([5, 300 * GRID.width + 5, 599 * GRID.width + 699])  # three tiles of nine, in three rows

    with SceneReader(in_a_bucket.file_of("scene.tif")) as reader:
        assert_gathered(reader, scene, cells)

        assert (reader.tiles_read, len(fetched)) == (3, 1 if at_once > 1 else 3)
        total = sum(sum(one["ends"]) - sum(one["starts"]) for one in fetched)
        assert total < reader.bytes_read + 2 * 3 * CHUNK


def test_an_object_that_is_gone_can_not_be_read(in_a_bucket: ObjectStore) -> None:
    with (
        pytest.raises(SceneError, match=r"s3://.*/prefix/gone\.tif: can't be read, it is gone; fetch the day again"),
        SceneReader(in_a_bucket.file_of("gone.tif")),
    ):
        pass


@pytest.mark.parametrize("at", ["opening", "announced tiles", "what GDAL asks for"])
def test_a_bucket_that_can_not_be_reached_is_no_damaged_scene(
    at: str, in_a_bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise GenericError("HTTP error")

    with pytest.raises(StoreError, match=r"SATFIELDS_STORE.*HTTP error"):  # noqa: PT012  # each part may raise
        monkeypatch.setattr(obstore, "get" if at == "opening" else "get_ranges", breaks)
        with SceneReader(in_a_bucket.file_of("scene.tif")) as reader:
            if at == "announced tiles":
                reader.gather(np.array([5]))
            else:
                reader.read_overview(100)


def test_all_cells_can_be_gathered_at_once(file: Path, scene: Scene) -> None:
    cells = np.random.default_rng(1).permutation(GRID.width * GRID.height)

    with SceneReader(file) as reader:
        assert_gathered(reader, scene, cells)

        assert reader.tiles_read == TILES
        assert 0.9 * file.stat().st_size < reader.bytes_read < file.stat().st_size


def test_only_tiles_with_wanted_cells_are_read(file: Path, scene: Scene) -> None:
    with SceneReader(file) as reader:
        assert_gathered(reader, scene, np.array([5 * GRID.width + 5, 6 * GRID.width + 6], np.int64))

        assert reader.tiles_read == 1
        assert 0 < reader.bytes_read < file.stat().st_size / 4


def test_without_cells_nothing_is_read(file: Path) -> None:
    with SceneReader(file) as reader:
        gathered = reader.gather(np.array([], np.int64))

        assert (reader.tiles_read, reader.bytes_read) == (0, 0)
    assert all(values.size == 0 for values in gathered.values())


@pytest.mark.parametrize("cell", [-1, GRID.width * GRID.height])
def test_a_cell_beyond_the_grid_is_an_error_that_names_the_file(file: Path, cell: int) -> None:
    with SceneReader(file) as reader, pytest.raises(SceneError, match=rf"scene\.tif: has no cell {cell} "):
        reader.gather(np.array([cell], np.int64))


def test_the_reader_tells_grid_bands_and_digest(file: Path, scene: Scene) -> None:
    with SceneReader(str(file)) as reader:
        assert reader.grid == GRID
        assert reader.bands == BANDS
        assert reader.digest == scene.digest


def test_an_overview_shows_every_nth_cell(file: Path, scene: Scene) -> None:
    with SceneReader(file) as reader:
        small, whole = reader.read_overview(100), reader.read_overview(700)

    assert small.classes.shape == (86, 100)
    assert small.classes.dtype == np.uint8
    assert set(np.unique(small.bands["red"])) <= set(np.unique(scene.layers.bands["red"]))
    np.testing.assert_array_equal(whole.classes, scene.layers.classes)
    np.testing.assert_array_equal(whole.bands["lwir11"], scene.layers.bands["lwir11"])


def test_equal_scenes_give_equal_bytes(file: Path) -> None:
    assert encode(make(AOI), GRID, DAY) == file.read_bytes()


def test_any_viewer_sees_a_cog_with_names_scales_and_provenance(file: Path, scene: Scene) -> None:
    with rasterio.open(file) as dataset:
        assert dataset.compression is rasterio.enums.Compression.zstd
        assert dataset.descriptions == (*BANDS, CLASSES)
        assert dataset.scales == (1e-4,) * 6 + (0.01, 1)
        assert dataset.offsets == (-0.1,) * 6 + (0, 0)
        assert dataset.nodatavals == (0,) * 8
        assert dataset.block_shapes[0] == (256, 256)
        tags = dataset.tags()
    assert tags["ITEMS"] == '["SIM_Iowa_20260715"]'
    assert tags["DIGEST"] == scene.digest
    assert tags["DAY"] == "2026-07-15"
    assert tags["SENSED_AT"] == scene.items[0].sensed_at.isoformat()
    assert json.loads(tags["ITEMS_SENSED_AT"]) == [tags["SENSED_AT"]]


def test_the_header_comes_first_then_tile_after_tile_each_with_its_bands(file: Path) -> None:
    with rasterio.open(file) as dataset:
        places = [
            int(dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band))
            for row in range(3)
            for column in range(3)
            for band in dataset.indexes
        ]

    assert 0 < places[0] < 1 << 14
    assert places == sorted(places)


@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_threads_gather_what_one_thread_gathers(
    interleave: str, file: Path, tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scene.tif"  # interleaved by pixel, as earlier releases wrote it
    rasterio.shutil.copy(file, path, driver="GTiff", interleave=interleave, tiled=True, blockxsize=64, blockysize=64)
    cells = np.random.default_rng(2).integers(0, GRID.width * GRID.height, 20_000)
    monkeypatch.setattr("satcommon.raster.scene_reader._RUN_CELLS", 1)

    for threads in (1, 2, 4):
        monkeypatch.setattr("satcommon.raster.scene_reader.threads", lambda threads=threads: threads)
        with SceneReader(path) as reader:
            assert_gathered(reader, scene, cells)

            assert len(reader._others) == threads - 1


def test_a_tile_that_can_not_be_read_ends_every_thread(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spoilt.tif"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :: 7] = b"\0" * len(content[len(content) // 2 :: 7])
    path.write_bytes(content)
    monkeypatch.setattr("satcommon.raster.scene_reader.threads", lambda: 4)

    with SceneReader(path) as reader, pytest.raises(SceneError, match=r"spoilt\.tif: can't be read"):
        reader.gather(np.arange(GRID.width * GRID.height))


def test_a_scene_s_file_is_an_acquisition_of_a_folder(file: Path, scene: Scene) -> None:
    source = FolderSource(file.parent)

    (item,) = source.list(AOI, DAY, DAY, NOW).acquisitions[DAY]
    layers = source.read(AOI, item)

    assert source.anchor_grid(BOUNDS) == GRID
    assert (item.platform, item.sensed_at) == ("simulated", scene.items[0].sensed_at)
    np.testing.assert_array_equal(layers.classes, scene.layers.classes)
    assert list(layers.bands) == list(scene.layers.bands)
    for name, values in layers.bands.items():
        np.testing.assert_array_equal(values, scene.layers.bands[name])


def test_a_scene_of_few_bands_has_those_alone(tmp_path: Path, scene: Scene) -> None:
    layers = Layers({band: scene.layers.bands[band] for band in ("red", "nir")}, scene.layers.classes)
    few = replace(scene, layers=layers)
    path = tmp_path / "few.tif"
    path.write_bytes(encode(few, GRID, DAY))

    with SceneReader(path) as reader:
        assert reader.bands == ("red", "nir")
        assert_gathered(reader, few, np.array([0, 400_000, 7], np.int64))


# --- scenes of several items -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mosaic(scene: Scene) -> Scene:
    """The scene as two items provide it, the second its eastern part."""
    first = scene.items[0]
    second = replace(first, item_id="second", sensed_at=first.sensed_at + timedelta(minutes=100))
    providers = np.where(np.arange(GRID.width) < 300, 1, 2) * (scene.layers.classes != 0)
    return replace(scene, items=(first, second), providers=providers.astype(np.uint16))


@pytest.fixture(scope="module")
def mosaic_file(mosaic: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "mosaic.tif"
    path.write_bytes(encode(mosaic, GRID, DAY))
    return path


def test_a_scene_of_several_items_tells_the_provider_of_each_cell(mosaic_file: Path, mosaic: Scene) -> None:
    cells = np.array([7, 299, 300, 699, 400_000], np.int64)

    with SceneReader(mosaic_file) as reader:
        gathered = reader.gather(cells)
        overview = reader.read_overview(700)

        assert reader.bands == BANDS
        assert reader.items == tuple((item.item_id, item.sensed_at) for item in mosaic.items)
    assert mosaic.providers is not None
    assert list(gathered) == [*BANDS, ITEM, CLASSES]
    np.testing.assert_array_equal(gathered[ITEM], mosaic.providers.ravel()[cells])
    np.testing.assert_array_equal(gathered[CLASSES], mosaic.layers.classes.ravel()[cells])
    assert list(overview.bands) == list(BANDS)
    np.testing.assert_array_equal(overview.classes, mosaic.layers.classes)


def test_a_mosaic_s_file_is_an_acquisition_of_a_folder_too(mosaic_file: Path, mosaic: Scene) -> None:
    source = FolderSource(mosaic_file.parent)

    (item,) = source.list(AOI, DAY, DAY, NOW).acquisitions[DAY]
    layers = source.read(AOI, item)

    assert list(layers.bands) == list(BANDS)
    np.testing.assert_array_equal(layers.classes, mosaic.layers.classes)


def test_a_file_that_tells_no_times_of_its_items_has_the_first_one_s(file: Path, tmp_path: Path, scene: Scene) -> None:
    path = tmp_path / "older.tif"
    path.write_bytes(file.read_bytes())
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(ITEMS_SENSED_AT="null")

    with SceneReader(path) as reader:
        assert reader.items == ((scene.items[0].item_id, scene.items[0].sensed_at),)


def test_a_stored_time_finer_than_rows_keep_it_is_rounded(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "older.tif"
    path.write_bytes(file.read_bytes())
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(ITEMS_SENSED_AT='["2022-06-01T09:51:43.123456+00:00"]')

    with SceneReader(path) as reader:
        ((_, sensed_at),) = reader.items

    assert sensed_at == datetime(2022, 6, 1, 9, 51, 43, 123_000, UTC)


def test_a_file_of_several_items_without_their_band_is_refused(tmp_path: Path, mosaic: Scene) -> None:
    path = tmp_path / "without.tif"
    path.write_bytes(encode(replace(mosaic, providers=None), GRID, DAY))

    with pytest.raises(SceneError, match=r"without\.tif: does not say which of its items"), SceneReader(path):
        pass


# --- odd files -------------------------------------------------------------------------------------------------------


def test_a_wide_grid_has_larger_tiles(tmp_path: Path) -> None:
    grid = replace(GRID, width=4097, height=3)
    path = tmp_path / "wide.tif"
    path.write_bytes(encode(make(replace(AOI, grid=grid)), grid, DAY))

    with rasterio.open(path) as dataset:
        assert dataset.block_shapes[0] == (512, 512)


def test_a_file_that_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"gone\.tif: can't be read"), SceneReader(tmp_path / "gone.tif"):
        pass


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, file: Path) -> None:
    whole = file.read_bytes()
    path = tmp_path / "cut.tif"
    path.write_bytes(whole[: len(whole) // 2])

    with SceneReader(path) as reader, pytest.raises(SceneError, match=r"cut\.tif: can't be read"):
        reader.gather(np.arange(GRID.width * GRID.height))
    with SceneReader(path) as reader, pytest.raises(SceneError, match=r"cut\.tif: can't be read"):
        reader.read_overview(700)


def test_another_geotiff_is_no_scene(tmp_path: Path) -> None:
    path = tmp_path / "other.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=2, height=2, count=1, dtype="uint8", crs=GRID.crs, transform=GRID.transform
    ) as dataset:
        dataset.write(np.ones((1, 2, 2), np.uint8))

    with pytest.raises(SceneError, match=r"other\.tif: is no scene"), SceneReader(path):
        pass


def test_errors_of_who_reads_are_not_taken_for_the_file_s(file: Path) -> None:
    with pytest.raises(ValueError, match="mine"), SceneReader(file):
        raise ValueError("mine")


def test_a_scene_without_a_covered_cell_is_read_like_any_other(tmp_path: Path, scene: Scene) -> None:
    nothing = {band: np.zeros_like(values) for band, values in scene.layers.bands.items()}
    outside = replace(scene, layers=Layers(nothing, np.zeros_like(scene.layers.classes)))
    path = tmp_path / "outside.tif"
    path.write_bytes(encode(outside, GRID, DAY))

    with SceneReader(path) as reader:
        assert_gathered(reader, outside, np.array([0, 400_000], np.int64))

        assert reader.bytes_read > 0
