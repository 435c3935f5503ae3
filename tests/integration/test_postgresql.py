"""A PostgreSQL that is not as it should be: one message that names the variable, and nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.models import Field, Region, Registry
from satcommon.errors import DatabaseUnavailableError
from satcommon.settings import settings
from sqlalchemy import Engine, func, select, text, update

from tests.integration.conftest import PASSWORD
from tests.integration.satctl_world import BOUNDS, INSIDE, Satctl

ADD_FIELD = ("fields", "add", "North", "--planted", "2025-05-01", "--wkt", INSIDE)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets `satctl` use a URL."""

    def chosen(url: str) -> None:
        monkeypatch.setenv("SATFIELDS_DATABASE_URL", url)
        settings.cache_clear()

    return chosen


def url_of(engine: Engine, **changed: Any) -> str:
    return engine.url.set(**changed).render_as_string(hide_password=False)


def counts(engine: Engine) -> tuple[int, int]:
    with read_transaction(engine) as connection:
        return tuple(connection.execute(select(func.count()).select_from(one)).scalar_one() for one in (Region, Field))  # type: ignore[return-value]


def refused(satctl: Satctl, said: str, code: int = 1) -> None:
    """Each of these commands fails with this, in one message that names the variable and tells no password."""
    for arguments in (("status",), ("regions", "add", "S", "--bounds", *BOUNDS), ADD_FIELD):
        result = satctl(*arguments, code=code)
        assert said in result.stderr
        assert result.stderr.count("error:") == 1
        assert "SATFIELDS_DATABASE_URL" in result.stderr
        assert PASSWORD not in result.output


def test_a_wrong_password(postgres_engine: Engine, role: str, use: Any, satctl: Satctl) -> None:
    use(url_of(postgres_engine, username=role, password=PASSWORD + "!"))

    refused(satctl, "password authentication failed")


def test_a_database_that_does_not_exist(postgres_engine: Engine, use: Any, satctl: Satctl) -> None:
    use(url_of(postgres_engine, password=PASSWORD, database="elsewhere"))

    refused(satctl, 'database "elsewhere" does not exist')


def test_a_server_that_is_stopped(tmp_path: Path, use: Any, satctl: Satctl) -> None:
    use(f"postgresql://satfields:{PASSWORD}@/satfields?host={tmp_path}&sslpassword={PASSWORD}")

    refused(satctl, "could not be used")


def test_a_database_that_was_never_migrated(blank_engine: Engine, use: Any, satctl: Satctl) -> None:
    use(url_of(blank_engine))

    refused(satctl, "Run `satctl db upgrade`")


def test_a_database_newer_than_the_code(postgres_engine: Engine, use: Any, satctl: Satctl) -> None:
    with write_transaction(postgres_engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    use(url_of(postgres_engine))

    refused(satctl, "Upgrade the code")
    assert counts(postgres_engine) == (0, 0)


def test_a_user_who_may_only_read(postgres_engine: Engine, role: str, use: Any, satctl: Satctl) -> None:
    use(url_of(postgres_engine, username=role, password=PASSWORD))

    satctl("status")
    said = satctl("regions", "add", "S", "--bounds", *BOUNDS, code=2).stderr

    assert "permission denied for table registry" in said
    assert "SATFIELDS_DATABASE_URL" in said
    assert PASSWORD not in said
    assert counts(postgres_engine) == (0, 0)


def test_a_server_that_takes_no_writes(postgres_engine: Engine) -> None:
    query = postgres_engine.url.query | {"options": "-c default_transaction_read_only=on"}
    standby = open_engine(url_of(postgres_engine, query=query))
    with read_transaction(standby) as one:  # a connection that is used again refuses them, too
        one.execute(select(Registry))

    with (
        pytest.raises(DatabaseUnavailableError, match="name a server that takes writes"),
        write_transaction(standby) as one,
    ):
        one.execute(update(Registry).values(revision=1))
    standby.dispose()


def test_a_url_that_is_none_is_not_repeated(use: Any, satctl: Satctl) -> None:
    for url in (f"postgresql://u:{PASSWORD}@host:{PASSWORD}/db", f"{PASSWORD}://", f"u:{PASSWORD}"):
        use(url)
        assert PASSWORD not in satctl("status", code=2).output
        assert PASSWORD not in satctl("--debug", "doctor", "--json", code=1).output


def test_a_server_that_goes_away_within_a_transaction_leaves_nothing_half_written(postgres_engine: Engine) -> None:
    other = open_engine(url_of(postgres_engine))

    def killed() -> None:
        with write_transaction(other) as connection:
            connection.execute(update(Registry).values(revision=7))
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with write_transaction(postgres_engine) as killer:
                killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            connection.execute(update(Registry).values(revision=8))

    with pytest.raises(DatabaseUnavailableError, match="SATFIELDS_DATABASE_URL"):
        killed()

    with read_transaction(other) as connection:  # and the next one finds a new connection
        assert connection.execute(select(Registry.revision)).scalar_one() == 0
    other.dispose()


@pytest.mark.parametrize(("statement", "pause"), [("SELECT pg_sleep(5)", 0), ("SELECT 1", 0.5)])
def test_neither_a_statement_nor_a_pause_in_a_transaction_lasts_for_ever(
    statement: str, pause: float, postgres_engine: Engine
) -> None:
    impatient = open_engine(url_of(postgres_engine), statement_seconds=0.1)

    def lasts() -> None:
        with write_transaction(impatient) as connection:
            connection.execute(text(statement))
            with write_transaction(postgres_engine) as other:
                other.execute(text("SELECT pg_sleep(:pause)"), {"pause": pause})
            connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailableError, match="SATFIELDS_DATABASE_STATEMENT_SECONDS"):
        lasts()
    impatient.dispose()


def test_a_process_has_no_more_connections_than_its_budget_and_keeps_one(postgres_engine: Engine) -> None:
    engine = open_engine(url_of(postgres_engine), timeout_seconds=0.1, connections=2)

    with read_transaction(engine), read_transaction(engine):
        with pytest.raises(DatabaseUnavailableError, match="SATFIELDS_DATABASE_CONNECTIONS"), read_transaction(engine):
            pytest.fail("a third one")
        with read_transaction(postgres_engine) as connection:
            named = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            named += "AND application_name = 'satfields' AND pid <> pg_backend_pid()"
            assert connection.execute(text(named)).scalar_one() == 2

    assert engine.pool.checkedin() == 1  # type: ignore[attr-defined]  # of this kind of pool
    engine.dispose()


# --- doctor --------------------------------------------------------------------------------------------------------


def checks(satctl: Satctl, *, well: bool) -> dict[str, tuple[str, str]]:
    result = satctl("doctor", "--json", code=0 if well else 1)
    assert PASSWORD not in result.output
    assert json.loads(result.stdout)["well"] == well
    return {one["check"]: (one["state"], one["said"]) for one in json.loads(result.stdout)["checks"]}


def test_the_doctor_tells_what_each_database_lacks(
    postgres_engine: Engine, role: str, use: Any, satctl: Satctl
) -> None:
    use(url_of(postgres_engine, password=PASSWORD))
    found = checks(satctl, well=False)  # Dagster is not up
    for check in ("settings", "database", "database clock", "schema", "writes", "algorithms", "store", "store clock"):
        assert found[check][0] == "ok", found[check]
    assert found["dagster"][0] == "failed"
    assert "PostgreSQL" in found["database"][1]

    use(url_of(postgres_engine, username=role, password=PASSWORD))
    state, said = checks(satctl, well=False)["writes"]
    assert state == "failed"
    assert "acquisitions" in said
    assert "SATFIELDS_DATABASE_URL" in said

    use(url_of(postgres_engine, username=role, password=PASSWORD + "!"))
    found = checks(satctl, well=False)
    assert "password authentication failed" in found["database"][1]
    assert found["schema"] == ("not checked", "needs the database")
    assert found["store"][0] == "ok"
    assert PASSWORD not in satctl("doctor", code=1).output
