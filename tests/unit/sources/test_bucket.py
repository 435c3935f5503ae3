import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import obstore
import pytest
from obstore.store import LocalStore, MemoryStore, S3Store
from satcommon.errors import SceneError, StoreError
from satcommon.settings import settings
from satcommon.sources.bucket import BucketFiles
from satcommon.sources.files import File
from satcommon.sources.folder import FolderSource
from satcommon.sources.open_source import open_source
from satcommon.sources.source import Due
from satcommon.storage.s3 import open_bucket

from tests.unit.geotiffs import AOI, FIRST, GRID, LAST, NAME, PLAIN, full, write

URL = "s3://bucket/prefix"
Store = MemoryStore | LocalStore


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store that speaks as a bucket does."""
    (tmp_path / "bucket").mkdir()
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "bucket")


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return write(tmp_path / NAME, PLATFORM="sentinel-2").read_bytes()


def later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


def source(store: Store) -> FolderSource:
    return FolderSource(URL, BucketFiles(URL, store))


def test_a_prefix_is_read_as_a_folder_is(store: Store, content: bytes, tmp_path: Path) -> None:
    stated = {
        f"a/{NAME}": content,
        f"b b/{NAME}": content,
        f"b b/{NAME.replace('.tif', '.json')}": b'{"properties": {"platform": "sentinel-2b"}}',
        "bad.tif": b"no raster",
        "satfields.toml": b'settle_seconds = 0\ncalendar_file = "days.csv"\n[[files]]\nmatch = "a/*"\nplatform = "a"\n',
        "days.csv": b"2016-01-07\n",
        f".hidden/{NAME}": content,
        f"{NAME}.part": content,
    }
    for name, data in stated.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
        obstore.put(store, name, data)
    bucket, folder = source(store), FolderSource(tmp_path / "folder")

    listings = [one.list(AOI, FIRST, LAST, later()) for one in (bucket, folder)]

    found, expected = (
        [replace(item, published_at=FIRST) for items in listing.acquisitions.values() for item in items]  # type: ignore[arg-type]
        for listing in listings
    )
    assert found == expected
    assert {item.item_id: item.platform for item in found} == {f"a/{NAME}": "a", f"b b/{NAME}": "sentinel-2b"}
    assert [list(listing.refused) for listing in listings] == [["bad.tif"], ["bad.tif"]]
    assert bucket.anchor_grid(AOI.bounds) == folder.anchor_grid(AOI.bounds) == GRID
    assert bucket.due(AOI, datetime(2016, 1, 7, tzinfo=UTC).date()) is Due.DUE
    for one in found:
        np.testing.assert_array_equal(bucket.read(AOI, one).bands["red"], folder.read(AOI, one).bands["red"])


def test_an_empty_prefix_is_an_empty_folder(store: Store) -> None:
    listing = source(store).list(AOI, FIRST, LAST, later())

    assert (listing.acquisitions, listing.refused) == ({}, {})


def test_an_object_that_was_put_just_now_is_left_alone(store: Store, content: bytes) -> None:
    obstore.put(store, NAME, content)

    assert source(store).list(AOI, FIRST, LAST, datetime.now(UTC)).acquisitions == {}


def replaced(store: Store, path: Path) -> None:
    obstore.put(store, NAME, write(path, PLAIN | {"red": full(501)}, PLATFORM="another").read_bytes())


def deleted(store: Store, path: Path) -> None:
    obstore.delete(store, NAME)


@pytest.mark.parametrize("change", [replaced, deleted])
def test_an_object_that_changed_since_it_was_listed_is_not_read(
    change: Callable[[Store, Path], None], store: Store, content: bytes, tmp_path: Path
) -> None:
    obstore.put(store, NAME, content)
    bucket = source(store)
    ((item,),) = bucket.list(AOI, FIRST, LAST, later()).acquisitions.values()
    files = BucketFiles(URL, store)
    file = files.find(NAME)
    assert isinstance(file, File)
    change(store, tmp_path / NAME)

    with pytest.raises(SceneError, match=NAME):
        bucket.read(AOI, item)
    for opened in (files.pixels(NAME, file, 10**9), files.header(NAME, file)):
        with pytest.raises(SceneError, match=rf"{NAME}: (was changed|can't be read: it is gone)"), opened as dataset:
            dataset.tags()
    with pytest.raises(SceneError, match=NAME):
        files.digest(NAME, file)


def test_an_object_larger_than_allowed_is_never_fetched_whole(store: Store, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(1, 9999, (2, 600, 600)).astype(np.uint16)
    grid = replace(GRID, width=600, height=600)
    obstore.put(store, NAME, write(tmp_path / NAME, {"red": noise[0], "nir": noise[1]}, grid=grid).read_bytes())
    obstore.put(store, "satfields.toml", b"settle_seconds = 0\nmost_megabytes = 1\n")
    bucket = source(store)
    ((item,),) = bucket.list(AOI, FIRST, LAST, later()).acquisitions.values()

    with pytest.raises(SceneError, match=rf"{NAME}: has 1,\d+,\d+ bytes; at most 1,000,000 are taken from a bucket"):
        bucket.read(AOI, item)


@pytest.fixture
def broken_bucket() -> Iterator[S3Store]:
    """A bucket of an endpoint that answers every request with an error of its own."""

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield S3Store.from_url(
            URL,
            endpoint=f"http://127.0.0.1:{server.server_port}",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        server.shutdown()


@pytest.mark.parametrize("end", ["", "/"])
def test_scenes_are_read_over_s3_from_the_endpoint_of_the_usual_variables(
    end: str, s3_url: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = open_bucket(s3_url.removesuffix("prefix"), "SATFIELDS_STORE")
    for key in (f"prefix/a b/{NAME}", f"prefixed/{NAME}"):
        obstore.put(bucket, key, content)
    monkeypatch.setenv("SATFIELDS_SCENE_SOURCE", "folder")
    monkeypatch.setenv("SATFIELDS_SCENE_FOLDER", s3_url + end)
    opened = open_source(settings())

    ((item,),) = opened.list(AOI, FIRST, LAST, later()).acquisitions.values()

    assert item.item_id == f"a b/{NAME}"
    assert item.digest == hashlib.sha256(content).hexdigest()
    assert item.published_at == obstore.head(bucket, f"prefix/a b/{NAME}")["last_modified"]
    assert (opened.read(AOI, item).bands["red"] == 1500).all()


def test_a_bucket_that_fails_is_worth_another_try_and_spoils_nothing(
    s3_url: str, broken_bucket: S3Store, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    obstore.put(open_bucket(s3_url, "SATFIELDS_STORE"), NAME, content)
    files = BucketFiles(s3_url)
    bucket = FolderSource(s3_url, files)
    file = files.find(NAME)
    assert isinstance(file, File)
    monkeypatch.setattr(files, "_store", broken_bucket)

    for attempt in (
        lambda: bucket.list(AOI, FIRST, LAST, later()),
        lambda: files.find(NAME),
        lambda: files.read(NAME),
        lambda: files.digest(NAME, file),
        lambda: files.header(NAME, file).__enter__(),
        lambda: files.pixels(NAME, file, 10**9).__enter__(),
    ):
        with pytest.raises(StoreError, match=rf"{s3_url}.* \(SATFIELDS_SCENE_FOLDER\) could not be read: "):
            attempt()
    monkeypatch.undo()

    ((item,),) = bucket.list(AOI, FIRST, LAST, later()).acquisitions.values()
    assert item.item_id == NAME


def test_a_missing_bucket_is_not_taken_for_an_empty_one(s3_url: str) -> None:
    with pytest.raises(StoreError, match=r"SATFIELDS_SCENE_FOLDER.*NoSuchBucket.*; make the bucket, or name another"):
        BucketFiles("s3://no-such-bucket/prefix").scan()
