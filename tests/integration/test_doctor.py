"""`satctl doctor` against a world in which one thing is wrong at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from satcommon.db import attempts
from satcommon.db.engine import write_transaction
from satcommon.settings import settings
from satctl.checks import clocks
from satctl.dagster_api.graphql import location_states
from satctl.local.laptop import free_port, stop, wait_for
from sqlalchemy import Engine, text

from tests.integration.conftest import PASSWORD
from tests.integration.satctl_world import Satctl

Found = dict[str, tuple[str, str]]
HEALTHY = "from dagster import Definitions\n\ndefs = Definitions()\n"


@pytest.fixture
def examine(satctl: Satctl, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Found]:
    """What the doctor finds by these settings; never a secret."""

    def found(*, healthy: bool = False, **variables: str) -> Found:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        result = satctl("doctor", "--json", code=0 if healthy else 1)
        assert PASSWORD not in result.output + satctl("doctor", code=0 if healthy else 1).output
        secret = os.environ.get("AWS_SECRET_ACCESS_KEY")
        assert secret is None or secret not in result.output
        return {one["check"]: (one["state"], one["said"]) for one in json.loads(result.stdout)["checks"]}

    return found


def url_of(engine: Engine, **changed: Any) -> str:
    return engine.url.set(drivername="postgresql", **changed).render_as_string(hide_password=False)


# --- the store -----------------------------------------------------------------------------------------------------


def test_a_bucket_that_is_well(system: Engine, examine: Any, s3_users: Any) -> None:
    found = examine(**s3_users["owner"])

    assert found["store"] == ("ok", "s3://satfields/prefix: a probe was put, read, listed and deleted")
    assert found["store clock"][0] == "ok"


@pytest.mark.parametrize(("user", "said"), [("reader", "AccessDenied"), ("forger", "SignatureDoesNotMatch")])
def test_keys_that_a_bucket_refuses(user: str, said: str, system: Engine, examine: Any, s3_users: Any) -> None:
    state, message = examine(**s3_users[user])["store"]

    assert state == "failed"
    assert said in message
    assert "(SATFIELDS_STORE)" in message
    assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they allow" in message


def test_a_bucket_that_is_missing(system: Engine, examine: Any, s3_users: Any) -> None:
    state, said = examine(**s3_users["owner"] | {"SATFIELDS_STORE": "s3://elsewhere/prefix"})["store"]

    assert state == "failed"
    assert "make the bucket, or name another in SATFIELDS_STORE" in said


def test_an_endpoint_that_is_down(system: Engine, examine: Any, s3_users: Any) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    down = {"AWS_ENDPOINT_URL": endpoint, "SATFIELDS_STORE_TIMEOUT_SECONDS": "0.5"}

    found = examine(**s3_users["owner"] | down)

    assert found["store"][0] == "failed"
    assert f"is AWS_ENDPOINT_URL ({endpoint}) right, and reachable from here?" in found["store"][1]
    assert found["database"][0] == "ok"


# --- clocks and disk -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skew", "state", "said"),
    [
        (timedelta(seconds=300), "failed", "this machine's clock is 300 s ahead of"),
        (timedelta(seconds=-20), "warning", "this machine's clock is "),
        (timedelta(0), "ok", "agree"),
    ],
)
def test_a_clock_that_is_off_is_found_by_the_database_s_and_the_store_s(
    skew: timedelta,
    state: str,
    said: str,
    postgres_engine: Engine,
    s3_url: str,
    examine: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clocks, "now", lambda: datetime.now(UTC) + skew)

    found = examine(SATFIELDS_DATABASE_URL=url_of(postgres_engine, password=PASSWORD), SATFIELDS_STORE=s3_url)

    for check, whose in (("database clock", "the database server's"), ("store clock", "the store's")):
        assert found[check][0] == state, found[check]
        assert whose in found[check][1]
    assert said in found["database clock"][1]


@pytest.mark.parametrize(("free", "state"), [(50_000_000, "failed"), (500_000_000, "warning"), (10**10, "ok")])
def test_a_disk_that_is_nearly_full(
    free: int, state: str, system: Engine, examine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    found, said = examine()["disk"]

    assert found == state
    assert ("make room" in said) == (state != "ok")
    assert "SATFIELDS_HOME" in said


def test_the_disk_of_a_store_that_has_one_of_its_own(
    system: Engine, examine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    usage = shutil.disk_usage("/")
    free = {False: usage._replace(free=10**11), True: usage._replace(free=0)}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free[Path(path).is_relative_to(volume)])

    found = examine(SATFIELDS_STORE=str(volume / "store"))

    assert found["disk"][0] == "ok"
    assert found["store disk"][0] == "failed"
    assert f"0.0 GB free for {volume / 'store'} (SATFIELDS_STORE); make room" in found["store disk"][1]


# --- the database --------------------------------------------------------------------------------------------------


def test_a_server_that_takes_no_writes(postgres_engine: Engine, examine: Any) -> None:
    query = {**postgres_engine.url.query, "options": "-c default_transaction_read_only=on"}

    found = examine(SATFIELDS_DATABASE_URL=url_of(postgres_engine, password=PASSWORD, query=query))

    assert found["database"][0] == "ok"
    assert found["writes"][0] == "failed"
    assert "Let SATFIELDS_DATABASE_URL name a server that takes writes" in found["writes"][1]


def test_a_month_of_attempts_that_nobody_made(
    postgres_engine: Engine, examine: Any, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = {"SATFIELDS_DATABASE_URL": url_of(postgres_engine)}
    assert examine(**url)["attempts"][0] == "ok"
    with write_transaction(postgres_engine) as connection:
        for name in attempts.partitions(connection) - {"processing_attempts_default"}:
            connection.execute(text(f"DROP TABLE {name}"))

    state, said = examine(**url)["attempts"]
    satctl("gc")

    assert state == "warning"
    assert "let a cron job run `satctl gc`, as the user of `satctl db upgrade`" in said
    assert examine(**url)["attempts"][0] == "ok"


# --- scenes --------------------------------------------------------------------------------------------------------


def test_a_catalogue_that_answers_or_does_not_and_credentials_that_are_not_set(
    system: Engine, examine: Any, tmp_path: Path
) -> None:
    catalogue, config = tmp_path / "items.json", tmp_path / "stac.toml"
    config.write_text(
        'catalogue = "items.json"\n[[collections]]\nid = "s2"\nassets = { B04 = "red", B08 = "nir" }\n'
        '[[headers]]\nname = "Authorization"\nvariable = "EARTHDATA_TOKEN"\nhosts = ["*"]\n'
    )
    stac = {"SATFIELDS_SCENE_SOURCE": "stac", "SATFIELDS_STAC": str(config)}

    state, message = examine(**stac)["scenes"]
    assert (state, message) == (
        "failed",
        f"{catalogue}: can't be read (No such file or directory); correct what links it",
    )
    catalogue.write_text('{"type": "FeatureCollection", "features": []}')
    state, message = examine(**stac)["scenes"]
    assert state == "warning"
    assert "answers, and has no item of its collections; EARTHDATA_TOKEN not set" in message
    state, message = examine(EARTHDATA_TOKEN="abc", **stac)["scenes"]
    assert (state, message) == (
        "ok",
        f"{catalogue} (SATFIELDS_STAC={config}): answers, and has no item of its collections",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("settle_seconds = -1\n", "settle_seconds"),
        ("[[files\n", "is no TOML"),
        ('calendar_file = "days.csv"\n', "calendar_file = 'days.csv': there is no such file; put it there"),
    ],
)
def test_a_satfields_toml_that_is_wrong(content: str, said: str, system: Engine, examine: Any, tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    file = tmp_path / "scenes" / "satfields.toml"
    file.write_text(content)

    state, message = examine(SATFIELDS_SCENE_SOURCE="folder", SATFIELDS_SCENE_FOLDER=str(tmp_path / "scenes"))["scenes"]

    assert state == "failed"
    assert message.startswith(str(file))
    assert said in message


# --- Dagster -------------------------------------------------------------------------------------------------------


def test_dagster_s_database(postgres_engine: Engine, blank_postgres: Engine, system: Engine, examine: Any) -> None:
    found = examine(DAGSTER_POSTGRES_URL=url_of(blank_postgres, password=PASSWORD))
    assert found["dagster database"][0] == "ok"

    for url, said in (
        (f"mysql://dagster:{PASSWORD}@db/dagster", "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        (f"postgres://dagster:{PASSWORD}@db/dagster", "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        (f"postgresql://dagster:{PASSWORD}@db:{PASSWORD}/dagster", "expected postgresql://"),
        (url_of(blank_postgres, password=PASSWORD, database="elsewhere"), 'database "elsewhere" does not exist'),
        (f"postgresql://dagster:{PASSWORD}@127.0.0.1:{free_port()}/dagster", "refused"),
        (url_of(postgres_engine, password=PASSWORD), "names the ledger's database; create one for Dagster"),
    ):
        state, message = examine(DAGSTER_POSTGRES_URL=url)["dagster database"]
        assert state == "failed"
        assert message.startswith("DAGSTER_POSTGRES_URL")
        assert said in message
    assert "dagster database" not in examine(DAGSTER_POSTGRES_URL="")


def test_a_password_that_dagster_s_database_refuses(role: str, blank_postgres: Engine, examine: Any) -> None:
    url = url_of(blank_postgres, username=role, password=PASSWORD + "!")

    state, said = examine(DAGSTER_POSTGRES_URL=url)["dagster database"]

    assert state == "failed"
    assert "password authentication failed" in said


class Webserver(NamedTuple):
    """A webserver of three locations, whose definitions are files here."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]


@contextmanager
def webserver(folder: Path) -> Iterator[Webserver]:
    port = free_port()
    for name in ("ingest", "realtime", "reprocessing"):
        (folder / f"{name}.py").write_text(HEALTHY)
    (folder / "home").mkdir()
    files = [f"  - python_file: {{relative_path: {p.name}, location_name: {p.stem}}}" for p in folder.glob("*.py")]
    (folder / "reprocessing.py").write_text("defs = (\n")
    (folder / "workspace.yaml").write_text("\n".join(["load_from:", *files]))
    command = [sys.executable, "-m", "dagster_webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {"DAGSTER_HOME": str(folder / "home"), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield Webserver(f"http://127.0.0.1:{port}", folder, process)
        finally:
            stop(process)


@pytest.mark.slow
def test_a_webserver_with_a_broken_location_and_one_that_is_down(
    system: Engine, examine: Any, satctl: Satctl, tmp_path: Path
) -> None:
    with webserver(tmp_path) as server:
        assert wait_for(lambda: _loaded(server.url), 90), (tmp_path / "log").read_text()
        address = {"SATFIELDS_DAGSTER_URL": server.url.replace("//", f"//me:{PASSWORD}@")}

        found = examine(**address)
        assert found["dagster"] == ("ok", f"answers at {server.url} (SATFIELDS_DAGSTER_URL)")
        assert found["location ingest"] == found["location realtime"] == ("ok", "loaded")
        assert found["location reprocessing"][0] == "failed"
        assert "SyntaxError" in found["location reprocessing"][1]
        assert "fix that, then `satctl locations reload reprocessing`" in found["location reprocessing"][1]

        (tmp_path / "reprocessing.py").write_text(HEALTHY)
        satctl("locations", "reload", "reprocessing")
        assert examine(healthy=True, **address)["location reprocessing"] == ("ok", "loaded")

    state, said = examine(**address)["dagster"]
    assert state == "failed"
    assert "is SATFIELDS_DAGSTER_URL its address?" in said
    assert server.url in said


def _loaded(url: str) -> bool:
    try:
        return sorted(location_states(url)) == ["ingest", "realtime", "reprocessing"]
    except Exception:  # noqa: BLE001  # not up yet
        return False


# --- whose numbers ---------------------------------------------------------------------------------------------------


def test_a_region_of_invented_scenes_that_is_no_sample_fails(system: Engine, satctl: Satctl, examine: Any) -> None:
    satctl("regions", "seed")
    assert examine()["sources"] == ("ok", "2 active regions, each with the source simulated")

    satctl("regions", "add", "mine", "--bounds", "14", "45", "14.1", "45.1")

    state, said = examine()["sources"]
    assert state == "failed"
    assert said.startswith("region mine: its scenes are simulated, so its numbers are invented")
    satctl("regions", "deactivate", "mine")
    assert examine()["sources"][0] == "ok"


def test_a_region_of_another_source_fails(system: Engine, satctl: Satctl, examine: Any, tmp_path: Path) -> None:
    satctl("regions", "seed")
    (tmp_path / "scenes").mkdir()

    found = examine(SATFIELDS_SCENE_SOURCE="folder", SATFIELDS_SCENE_FOLDER=str(tmp_path / "scenes"))

    assert found["sources"][0] == "failed"
    assert "belongs to the source 'simulated', and the settings name 'folder " in found["sources"][1]


def test_without_a_source_the_doctor_says_what_to_set(
    system: Engine, examine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SATFIELDS_SCENE_SOURCE")

    found = examine()

    assert found["scenes"][0] == "failed"
    assert found["scenes"][1].startswith("SATFIELDS_SCENE_SOURCE is not set")
    assert found["store"][0] == "ok"


def test_a_misspelt_setting_fails_and_the_rest_is_examined(system: Engine, examine: Any) -> None:
    found = examine(SATFIELDS_SCENE_SORUCE="folder", SATFIELDS_WEBSERVER_SERVICE_HOST="10.0.0.7")

    assert found["settings"] == ("failed", "SATFIELDS_SCENE_SORUCE is no setting; did you mean SATFIELDS_SCENE_SOURCE?")
    assert found["database"][0] == "ok"
