import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import obstore
import pytest
from obstore.store import LocalStore, MemoryStore, S3Store
from satcommon.errors import SceneError, StoreError
from satcommon.scenes.bucket import BucketFiles
from satcommon.scenes.files import File
from satcommon.scenes.folder import FolderSource
from satcommon.scenes.source import Due, open_source
from satcommon.settings import settings

from tests.unit.geotiffs import FIRST, GRID, LAST, NAME, PLACE, PLAIN, full, write

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

    listings = [one.list(PLACE, FIRST, LAST, later()) for one in (bucket, folder)]

    found, expected = (
        [replace(item, published_at=FIRST) for items in listing.acquisitions.values() for item in items]  # type: ignore[arg-type]
        for listing in listings
    )
    assert found == expected
    assert {item.item_id: item.platform for item in found} == {f"a/{NAME}": "a", f"b b/{NAME}": "sentinel-2b"}
    assert [list(listing.refused) for listing in listings] == [["bad.tif"], ["bad.tif"]]
    assert bucket.lattice(PLACE.bounds) == folder.lattice(PLACE.bounds) == GRID
    assert bucket.due(PLACE, datetime(2016, 1, 7, tzinfo=UTC).date()) is Due.DUE
    for one in found:
        np.testing.assert_array_equal(bucket.read(PLACE, one).bands["red"], folder.read(PLACE, one).bands["red"])


def test_an_empty_prefix_is_an_empty_folder(store: Store) -> None:
    listing = source(store).list(PLACE, FIRST, LAST, later())

    assert (listing.acquisitions, listing.refused) == ({}, {})


def test_an_object_that_was_put_just_now_is_left_alone(store: Store, content: bytes) -> None:
    obstore.put(store, NAME, content)

    assert source(store).list(PLACE, FIRST, LAST, datetime.now(UTC)).acquisitions == {}


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
    ((item,),) = bucket.list(PLACE, FIRST, LAST, later()).acquisitions.values()
    files = BucketFiles(URL, store)
    file = files.find(NAME)
    assert isinstance(file, File)
    change(store, tmp_path / NAME)

    with pytest.raises(SceneError, match=NAME):
        bucket.read(PLACE, item)
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
    ((item,),) = bucket.list(PLACE, FIRST, LAST, later()).acquisitions.values()

    with pytest.raises(SceneError, match=rf"{NAME}: has 1,\d+,\d+ bytes; at most 1,000,000 are taken from a bucket"):
        bucket.read(PLACE, item)


class S3(BaseHTTPRequestHandler):
    """As much of S3's protocol as reading takes: a list of keys, and objects, whole and in ranges."""

    objects: ClassVar[dict[str, bytes]] = {}
    broken: ClassVar[bool] = False

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        key, prefix = unquote(url.path).removeprefix("/bucket").strip("/"), parse_qs(url.query).get("prefix", [""])[0]
        if self.broken:
            self.answer(500, b"")
        elif not key:
            found = "".join(
                f"<Contents><Key>{name}</Key><Size>{len(data)}</Size><ETag>{self.etag(data)}</ETag>"
                "<LastModified>2026-03-01T12:00:00.000Z</LastModified></Contents>"
                for name, data in self.objects.items()
                if name.startswith(prefix)
            )
            self.answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode())
        elif key not in self.objects:
            self.answer(404, b"")
        elif wanted := self.headers["Range"]:
            first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
            size = len(self.objects[key])
            part = self.objects[key][first : last + 1]
            self.answer(206, part, etag=self.objects[key], part=f"bytes {first}-{first + len(part) - 1}/{size}")
        else:
            self.answer(200, self.objects[key], etag=self.objects[key])

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def answer(self, status: int, content: bytes, etag: bytes = b"", part: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Sun, 01 Mar 2026 12:00:00 GMT")
        self.send_header("ETag", self.etag(etag))
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def etag(self, data: bytes) -> str:
        return f'"{hashlib.sha256(data).hexdigest()[:32]}"'

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[S3]]:
    class Served(S3):
        objects: ClassVar[dict[str, bytes]] = {}

    with ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield Served
        server.shutdown()


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_scenes_are_read_over_s3_from_the_endpoint_of_the_usual_variables(
    url: str, s3: type[S3], content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.objects |= {f"prefix/a b/{NAME}": content, f"prefixed/{NAME}": content}
    monkeypatch.setenv("SATFIELDS_SCENE_SOURCE", "folder")
    monkeypatch.setenv("SATFIELDS_SCENE_FOLDER", url)
    opened = open_source(settings())

    ((item,),) = opened.list(PLACE, FIRST, LAST, later()).acquisitions.values()

    assert item.item_id == f"a b/{NAME}"
    assert item.digest == hashlib.sha256(content).hexdigest()
    assert item.published_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (opened.read(PLACE, item).bands["red"] == 1500).all()


def test_a_bucket_that_fails_is_worth_another_try_and_spoils_nothing(s3: type[S3], content: bytes) -> None:
    s3.objects[f"prefix/{NAME}"] = content
    once = S3Store.from_url(URL, retry_config={"max_retries": 0})
    bucket = FolderSource(URL, BucketFiles(URL, once))
    files = BucketFiles(URL, once)
    file = files.find(NAME)
    assert isinstance(file, File)
    s3.broken = True

    for attempt in (
        lambda: bucket.list(PLACE, FIRST, LAST, later()),
        lambda: files.find(NAME),
        lambda: files.read(NAME),
        lambda: files.digest(NAME, file),
        lambda: files.header(NAME, file).__enter__(),
        lambda: files.pixels(NAME, file, 10**9).__enter__(),
    ):
        with pytest.raises(StoreError, match=r"s3://bucket/prefix.* \(SATFIELDS_SCENE_FOLDER\) could not be read: "):
            attempt()
    s3.broken = False

    ((item,),) = bucket.list(PLACE, FIRST, LAST, later()).acquisitions.values()
    assert item.item_id == NAME


def test_a_missing_bucket_is_not_taken_for_an_empty_one(s3_url: str) -> None:
    with pytest.raises(StoreError, match=r"SATFIELDS_SCENE_FOLDER.*NoSuchBucket.*; make the bucket, or name another"):
        BucketFiles("s3://no-such-bucket/prefix").scan()
