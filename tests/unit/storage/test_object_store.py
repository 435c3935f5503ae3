import os
import random
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from satcommon.errors import ObjectMissingError, RetryableError, SettingError, StoreError
from satcommon.storage.object_store import ObjectStore


@pytest.fixture
def store(store_url: str) -> ObjectStore:
    return ObjectStore(store_url)


def test_what_was_put_is_read(store: ObjectStore) -> None:
    assert store.put("results/1/a.parquet", b"rows")

    assert store.get("results/1/a.parquet") == b"rows"
    assert store.exists("results/1/a.parquet")


def test_a_replaced_object_is_the_later_one(store: ObjectStore) -> None:
    store.replace("A/catalog.json", b"first")
    store.replace("A/catalog.json", b"second")

    assert store.get("A/catalog.json") == b"second"
    assert store.list("") == ["A/catalog.json"]


def test_the_folders_of_a_store_are_the_first_parts_of_its_keys(store: ObjectStore) -> None:
    for key in ("catalog.json", "B/1/item.json", "A/collection.json", "A/1/item.json"):
        store.replace(key, b"{}")

    assert store.folders() == ["A", "B"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.binary(max_size=100_000), number=st.integers(0, 10**9))
def test_every_content_survives_as_it_is(store: ObjectStore, data: bytes, number: int) -> None:
    key = f"any/{number}-{len(data)}-{hash(data)}"

    store.put(key, data)

    assert store.get(key) == data


def test_a_second_put_under_a_key_changes_nothing_and_says_so(store: ObjectStore) -> None:
    store.put("once", b"first")

    again = store.put("once", b"second")

    assert again is False
    assert store.get("once") == b"first"


def test_of_puts_that_race_exactly_one_wins(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.put("race", bytes([n])), range(8)))

    assert sorted(won) == [False] * 7 + [True]
    assert store.get("race") == bytes([won.index(True)])


def test_a_missing_object_is_an_error_of_its_own_that_can_be_tried_again(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissingError, match="no object 'gone/away'") as missing:
        store.get("gone/away")

    assert isinstance(missing.value, RetryableError)
    assert not store.exists("gone/away")


def test_an_object_is_deleted_once_and_again_without_complaint(store: ObjectStore) -> None:
    store.put("a", b"1")

    store.delete("a")
    store.delete("a")

    assert not store.exists("a")


def test_keys_under_a_prefix_are_listed_in_order(store: ObjectStore) -> None:
    for key in ("b/2", "b/10", "a/1", "b/c/3", "bc/1"):
        store.put(key, b"")

    assert store.list("b/") == ["b/10", "b/2", "b/c/3"]
    assert store.list("nothing/") == []


def test_when_objects_were_put_is_known(store: ObjectStore) -> None:
    before = datetime.now(UTC)
    store.put("results/a", b"1")

    (put_at,) = store.put_times("results/").values()

    assert abs(put_at - before) < timedelta(minutes=1)
    assert put_at.tzinfo is not None


def test_nothing_is_left_of_a_put_but_the_object(store_folder: Path) -> None:
    store = ObjectStore(str(store_folder))
    store.put("a/b", b"1")
    store.put("a/b", b"2")

    assert [path for path in store_folder.rglob("*") if path.is_file()] == [store_folder / "a/b"]


@pytest.mark.parametrize("end", ["", "/"])
def test_a_store_opened_twice_is_the_same_store(end: str, store: ObjectStore) -> None:
    store.put("a", b"1")

    assert ObjectStore(store.url + end).get("a") == b"1"


def test_a_raster_is_the_file_itself_in_a_folder(store_folder: Path) -> None:
    store = ObjectStore(str(store_folder))
    store.put("scenes/1.tif", b"II*")

    assert store.file_of("scenes/1.tif") == str(store_folder / "scenes/1.tif")


@pytest.mark.parametrize("within", ["", "/below"])
def test_a_folder_that_can_not_be_made_names_the_setting(tmp_path: Path, within: str) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="SATFIELDS_STORE="):
        ObjectStore(f"{tmp_path}/file{within}")


def test_a_store_that_refuses_names_itself_the_setting_and_the_key(store_folder: Path) -> None:
    store = ObjectStore(str(store_folder))
    store.put("a", b"1")  # a file, where the next key needs a folder

    with pytest.raises(StoreError, match="SATFIELDS_STORE") as refused:
        store.put("a/b", b"2")

    assert str(store_folder) in str(refused.value)
    assert "'a/b'" in str(refused.value)
    assert not isinstance(refused.value, ObjectMissingError)


def test_a_kind_of_store_that_is_not_supported_is_refused() -> None:
    with pytest.raises(SettingError, match=r"SATFIELDS_STORE='gs://bucket': expected a folder or s3://"):
        ObjectStore("gs://bucket")


# A bucket: what can be wrong with it, and what the message tells to do. A bucket that is wrong today may be right
# tomorrow, when the next try finds out; so only what no request can change is permanent.

Use = Callable[[ObjectStore], object]
USES: dict[str, Use] = {
    "put": lambda store: store.put("key", b"1"),
    "get": lambda store: store.get("key"),
    "exists": lambda store: store.exists("key"),
    "list": lambda store: store.list("key/"),
    "put times": lambda store: store.put_times("key/"),
    "delete": lambda store: store.delete("key"),
}


@pytest.fixture(params=list(USES))
def use(request: pytest.FixtureRequest) -> Use:
    return USES[request.param]


def refused(use: Use, url: str, timeout_seconds: float = 0.2) -> str:
    """What a store says that can't be used."""
    with pytest.raises(StoreError, match=r"SATFIELDS_STORE.* could not be used for 'key") as error:
        use(ObjectStore(url, timeout_seconds))
    assert not isinstance(error.value, ObjectMissingError)
    assert error.value.__cause__ is None
    assert url in str(error.value)
    assert "secret" not in str(error.value).lower().replace("aws_secret_access_key", "")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_bucket_is_accepted_without_asking_it() -> None:
    ObjectStore("s3://bucket/prefix/")  # no network here: a request would fail


def test_a_missing_bucket_is_not_taken_for_missing_objects(use: Use, s3_url: str) -> None:
    said = refused(use, "s3://no-such-bucket/prefix")

    assert "NoSuchBucket" in said
    assert "make the bucket, or name another in SATFIELDS_STORE" in said


def test_an_endpoint_that_is_out_of_reach_is_named_with_its_variable(
    use: Use, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

        said = refused(use, s3_url)

    assert f"is AWS_ENDPOINT_URL ({endpoint}) right, and reachable from here?" in said


def test_an_endpoint_that_does_not_answer_is_not_waited_for_without_end(
    use: Use, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")

        assert "reachable from here?" in refused(use, s3_url)


@contextmanager
def answering(status: int, body: str, headers: dict[str, str]) -> Iterator[str]:
    """An endpoint that has one answer for everything."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode() if self.command != "HEAD" else b"")

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "code", "headers", "advice"),
    [
        (403, "InvalidAccessKeyId", {}, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (403, "SignatureDoesNotMatch", {}, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (403, "AccessDenied", {}, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they allow"),
        (400, "ExpiredToken", {}, "renew AWS_SESSION_TOKEN and its keys"),
        (403, "RequestTimeTooSkewed", {}, "set this machine's clock right"),
        (301, "PermanentRedirect", {"x-amz-bucket-region": "eu-west-1"}, "set AWS_REGION to the bucket's"),
        (400, "AuthorizationHeaderMalformed", {}, "set AWS_REGION to the bucket's"),
        (503, "SlowDown", {}, ""),
    ],
)
def test_what_an_endpoint_refuses_is_told_with_what_to_do(
    use: Use,
    s3_url: str,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    headers: dict[str, str],
    advice: str,
) -> None:
    body = (
        f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>As S3 says</Message>"
        "<CanonicalRequest>x-amz-security-token: secret</CanonicalRequest></Error>"
    )
    with answering(status, body, headers) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

        said = refused(use, s3_url)

    if use is not USES["exists"]:
        assert advice in said
    elif status == 403:  # an answer to a HEAD has no body, and so no code
        assert "check AWS_ACCESS_KEY_ID" in said


@pytest.mark.parametrize("key", ["NoSuchBucket", "AccessDenied 403", "169.254.1.1 redirect", "No space left"])
def test_the_words_of_a_key_are_no_reason(key: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "<?xml version='1.0'?>\n<Error><Code>SlowDown</Code><Message>AccessDenied, NoSuchBucket</Message></Error>"
    with answering(503, body, {}) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

        with pytest.raises(StoreError) as error:
            ObjectStore(s3_url, 0.2).get(key)

    assert str(error.value).endswith("(SlowDown: AccessDenied, NoSuchBucket)")


def test_a_missing_object_is_missing_whatever_its_key_says(s3_url: str) -> None:
    with pytest.raises(ObjectMissingError):
        ObjectStore(s3_url).get("NoSuchBucket")


@pytest.mark.parametrize("wrong", ["localhost:9000", "http://", "s3.example.com", "http://id:hidden@localhost:9000"])
def test_an_endpoint_that_is_no_url_is_refused_with_its_variable(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", wrong)

    with pytest.raises(SettingError, match=r"AWS_ENDPOINT_URL: expected http://HOST:PORT or https://HOST") as error:
        ObjectStore("s3://bucket/prefix")

    assert "hidden" not in str(error.value)


def test_a_url_without_a_bucket_is_refused() -> None:
    with pytest.raises(SettingError, match=r"SATFIELDS_STORE='s3:///prefix': .*; expected s3://bucket/prefix"):
        ObjectStore("s3:///prefix")


def test_an_endpoint_that_comes_back_is_waited_for(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Restarting(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            asked.append(self.path)
            self.send_response(200 if len(asked) > 3 else 503)
            self.send_header("Content-Length", "0")
            self.send_header("ETag", "1")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Restarting) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")

        assert ObjectStore(s3_url).put("key", b"1")
        server.shutdown()

    assert len(asked) == 4


def test_a_large_object_goes_to_a_bucket_in_parts_and_is_there_whole_or_not_at_all(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, asked, broken = random.Random(1).randbytes(21_000_000), list[str](), {"partNumber=2"}
    endpoint = os.environ["AWS_ENDPOINT_URL"]

    class Between(BaseHTTPRequestHandler):
        """Hands on what it is asked, or breaks it."""

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen = list(ObjectStore(s3_url).list("")) if "partNumber" in self.path else []
            asked.append(f"{self.command} {urlsplit(self.path).query.split('&')[0]} {len(seen)}")
            if any(one in self.path for one in broken):
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            told = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            headers = {"Content-Type": "application/octet-stream"} | told  # urllib would say that it is a form
            try:
                answer = urlopen(Request(endpoint + self.path, body or None, headers, method=self.command))
            except HTTPError as error:
                answer = error
            content = answer.read()
            self.send_response(answer.status)
            for name in ("ETag", "Last-Modified"):
                if answer.headers.get(name):
                    self.send_header(name, answer.headers[name])
            length = answer.headers["Content-Length"] if self.command == "HEAD" else len(content)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_DELETE = do_PUT  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    direct = ObjectStore(s3_url)
    with ThreadingHTTPServer(("127.0.0.1", 0), Between) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        store = ObjectStore(s3_url, 1)
        with pytest.raises(StoreError, match="SATFIELDS_STORE"):
            store.put("scenes/1.tif", data)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert not direct.exists("scenes/1.tif")
        broken.clear()
        asked.clear()

        assert store.put("scenes/1.tif", data)
        parts = [one for one in asked if "partNumber" in one or "PUT" in one]
        assert not store.put("scenes/1.tif", b"x" + data)
        server.shutdown()

    assert sorted(parts) == ["PUT partNumber=1 0", "PUT partNumber=2 0", "PUT partNumber=3 0"]
    assert direct.get("scenes/1.tif") == data
