from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from satcommon.errors import ObjectMissingError, RetryableError, SettingError, StoreError
from satcommon.objects import ObjectStore


@pytest.fixture
def store(store_folder: Path) -> ObjectStore:
    return ObjectStore(str(store_folder))


def test_what_was_put_is_read(store: ObjectStore) -> None:
    assert store.put("results/1/a.parquet", b"rows")

    assert store.get("results/1/a.parquet") == b"rows"
    assert store.exists("results/1/a.parquet")


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


def test_nothing_is_left_of_a_put_but_the_object(store: ObjectStore, store_folder: Path) -> None:
    store.put("a/b", b"1")
    store.put("a/b", b"2")

    assert [path for path in store_folder.rglob("*") if path.is_file()] == [store_folder / "a/b"]


def test_a_store_opened_twice_is_the_same_store(store: ObjectStore, store_folder: Path) -> None:
    store.put("a", b"1")

    assert ObjectStore(str(store_folder)).get("a") == b"1"


def test_a_raster_is_where_gdal_finds_it(store: ObjectStore, store_folder: Path) -> None:
    store.put("scenes/1.tif", b"II*")

    assert Path(store.raster_path("scenes/1.tif")).read_bytes() == b"II*"
    assert Path(store.raster_path("scenes/1.tif")) == store_folder / "scenes/1.tif"


@pytest.mark.parametrize("within", ["", "/below"])
def test_a_folder_that_can_not_be_made_names_the_setting(tmp_path: Path, within: str) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="SATFIELDS_STORE="):
        ObjectStore(f"{tmp_path}/file{within}")


def test_a_store_that_refuses_names_itself_the_setting_and_the_key(store: ObjectStore, store_folder: Path) -> None:
    store.put("a", b"1")  # a file, where the next key needs a folder

    with pytest.raises(StoreError, match="SATFIELDS_STORE") as refused:
        store.put("a/b", b"2")

    assert str(store_folder) in str(refused.value)
    assert "'a/b'" in str(refused.value)
    assert not isinstance(refused.value, ObjectMissingError)


def test_a_kind_of_store_that_is_not_supported_is_refused() -> None:
    with pytest.raises(SettingError, match=r"SATFIELDS_STORE='gs://bucket': expected a folder or s3://"):
        ObjectStore("gs://bucket")


def test_a_bucket_is_accepted_without_asking_it() -> None:
    store = ObjectStore("s3://bucket/prefix/")  # no network here: a request would fail

    assert store.raster_path("scenes/1.tif") == "/vsis3/bucket/prefix/scenes/1.tif"
