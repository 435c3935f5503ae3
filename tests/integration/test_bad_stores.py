"""A store that refuses or is full: one message that names the setting, nothing half-published, and all well later."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from satcommon.db import ledger, publications
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.fields import NewField, register_fields
from satcommon.environment import Environment
from satcommon.errors import DatabaseUnavailableError, StoreError
from satcommon.pipeline.close_region import Closer
from satcommon.settings import settings
from satcommon.storage.object_store import ObjectStore
from satctl.local.laptop import free_port
from shapely.geometry import box
from sqlalchemy import Engine, event

from tests.integration.satctl_world import BOUNDS, FIRST, INSIDE, LAST, Satctl

pytestmark = pytest.mark.slow  # each waits for what does not answer

Use = Callable[[dict[str, str]], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Sets variables."""

    def chosen(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    return chosen


@pytest.fixture
def region(system: Engine, satctl: Satctl) -> Engine:
    """Region S with one field and four open days."""
    satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--resolution", "500")
    satctl("fields", "add", "f", "--planted", "2025-05-01", "--wkt", INSIDE)
    return system


def close_days(engine: Engine, store: ObjectStore) -> int:
    env = Environment(settings(), engine)
    closer = Closer(engine, store, 1, env.deadlines, "run", datetime.now(UTC))
    return len(list(closer.backfill(env.source(), LAST, lambda *_: None)))


def published(engine: Engine) -> Any:
    with read_transaction(engine) as connection:
        return ledger.watermark(connection, 1), publications.versions(connection, 1, FIRST, LAST)


@pytest.mark.parametrize(
    ("user", "said"),
    [("reader", "AccessDenied"), ("stranger", "InvalidAccessKeyId"), ("forger", "SignatureDoesNotMatch")],
)
def test_keys_that_are_refused_publish_nothing(
    user: str, said: str, region: Engine, s3_users: dict[str, dict[str, str]], use: Use, satctl: Satctl
) -> None:
    use(s3_users[user])

    with pytest.raises(StoreError) as refused:
        close_days(region, ObjectStore(settings().store))
    message = str(refused.value)
    assert said in message
    assert message.endswith("; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they allow")
    assert "(SATFIELDS_STORE)" in message
    assert s3_users[user]["AWS_SECRET_ACCESS_KEY"] not in message
    assert published(region) == (None, {})

    use(s3_users["owner"])
    satctl("gc")  # what others left there
    assert close_days(region, ObjectStore(settings().store)) == 4
    satctl("audit", "--deep")
    use(s3_users[user])
    said_by_audit = satctl("audit", code=0 if user == "reader" else 1).stderr  # whoever may read may look
    assert said_by_audit.count("error:") == (user != "reader")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"only root may mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_publishes_nothing_by_halves(
    region: Engine, small_disk: Path, satctl: Satctl, use: Use
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(900_000))
    store = ObjectStore(str(small_disk / "store"))

    with pytest.raises(StoreError, match=r"\(SATFIELDS_STORE\).*No space left.*; make room, run `satctl gc`, or name"):
        close_days(region, store)
    use({"SATFIELDS_STORE": str(small_disk / "store")})
    closed = len(published(region)[1])
    assert closed < 4
    satctl("audit", "--deep")

    filler.unlink()
    assert close_days(region, store) == 4 - closed
    satctl("audit", "--deep")


def test_a_database_file_that_can_not_grow_publishes_nothing(region: Engine, satctl: Satctl) -> None:
    store = Environment(settings(), region).store()
    with write_transaction(region) as connection:
        new = [NewField(f"f{n}", f"f{n}", box(-94.2, 40.4, -94.1, 40.5), FIRST) for n in range(500)]
        register_fields(connection, new, datetime.now(UTC))
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    full = open_engine(region.url.render_as_string(hide_password=False))

    @event.listens_for(full, "connect")
    def _limit(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(DatabaseUnavailableError, match=r"SATFIELDS_DATABASE_URL.*full"):
        close_days(full, store)
    full.dispose()
    assert published(region) == (None, {})

    assert close_days(region, store) == 4
    satctl("audit", "--deep")


def test_a_port_that_nobody_listens_on(use: Use, satctl: Satctl) -> None:
    url = f"postgresql://satfields:s3cret-word@127.0.0.1:{free_port()}/satfields"
    use({"SATFIELDS_DATABASE_URL": url})

    for arguments in (("status",), ("gc",), ("regions", "add", "S", "--bounds", *BOUNDS)):
        result = satctl(*arguments, code=1)
        assert "(SATFIELDS_DATABASE_URL) could not be used: " in result.stderr
        assert "refused" in result.stderr
        assert result.stderr.count("error:") == 1
        assert "s3cret-word" not in result.output
