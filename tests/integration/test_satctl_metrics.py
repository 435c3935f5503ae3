"""`satctl metrics`: of a ledger, of what is down, and of a Dagster with real locations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from satcommon.contract import JOBS, LOCATIONS
from satcommon.db.engine import write_transaction
from satcommon.db.models import Measurement
from satcommon.db.registry import region
from satcommon.environment import Environment
from satcommon.settings import settings
from satcommon.storage.object_store import ObjectStore
from satcommon.telemetry.metrics import BY_NAME, COLLECTORS, MACHINE, Sample
from satctl.dagster_api import graphql
from satctl.dagster_api.figures import dagster_samples, run_samples
from satctl.exporter.collectors import opened_collectors
from satctl.exporter.scrape import Scraper
from sqlalchemy import Engine, delete, text

from tests.certificates import certificate
from tests.integration.satctl_world import Satctl

if TYPE_CHECKING:
    from tests.integration.dagster_world import World

Found = dict[tuple[str, tuple[str, ...]], float]


def read(text: str) -> Found:
    """The samples of a page; labels in the order of the table."""
    return {
        (s.name, tuple(s.labels[label] for label in BY_NAME[s.name].labels)): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def as_found(samples: Iterator[Sample]) -> Found:
    found = {(s.metric, s.labels): s.value for s in samples}
    assert all(len(labels) == len(BY_NAME[metric].labels) for metric, labels in found)
    return found


def up(found: Found) -> set[str]:
    return {name for name in COLLECTORS if found["satfields_up", (name,)] == 1}


@pytest.fixture(autouse=True)
def without_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_DAGSTER_URL", "http://127.0.0.1:1")


def test_a_system_is_told_without_dagster_and_audits_and_objects_once_they_were_looked_at(
    closed: Environment, satctl: Satctl
) -> None:
    before = read(satctl("metrics", "--once").stdout)
    satctl("audit")
    satctl("gc")
    with write_transaction(closed.engine) as connection:
        lost = region(connection, "S").bbox_id
    first = next(iter(closed.store().put_times(f"results/{lost}/")))
    after = read(satctl("metrics", "--once").stdout)
    closed.store().delete(first)
    satctl("audit", "--deep", code=1)
    unclean = read(satctl("metrics", "--once").stdout)

    assert up(after) == set(COLLECTORS) - {"runs", "dagster"}
    assert before["satfields_audit_age_seconds", ("S", "plain")] >= 0
    assert ("satfields_audit_clean", ("S", "plain")) not in before
    assert after["satfields_audit_clean", ("S", "plain")] == 1
    assert after["satfields_audit_fielddays", ("S", "plain", "expected")] == 4
    assert after["satfields_fielddays_expected", ("S",)] == 4
    assert after["satfields_objects", ("results",)] == 4
    stored = closed.store().listing("results/").values()
    assert after["satfields_objects_bytes", ("results",)] > sum(each.size for each in stored) > 0
    assert after["satfields_attempts", ("realtime", "done")] == 4
    assert after["satfields_database_size_bytes", ()] > 10_000
    assert after["satfields_disk_free_bytes", ("ledger",)] > 0
    assert unclean["satfields_audit_clean", ("S", "plain")] == unclean["satfields_audit_clean", ("S", "deep")] == 0
    assert unclean["satfields_audit_problems", ("S", "plain")] >= 1


def test_an_audit_of_another_region_leaves_the_outcome_of_the_first(closed: Environment, satctl: Satctl) -> None:
    satctl("audit")
    satctl("regions", "add", "T", "--bounds", "1", "45", "1.1", "45.1", "--monitored-from", "2025-06-01")
    with write_transaction(closed.engine) as connection:
        of_s = Measurement.bbox_id == region(connection, "S").bbox_id
        connection.execute(delete(Measurement).where(of_s, Measurement.name == "audit/plain/problems"))

    satctl("audit", "--region", "T")

    found = read(satctl("metrics", "--once").stdout)
    assert ("satfields_audit_problems", ("S", "plain")) not in found
    assert found["satfields_audit_clean", ("S", "plain")] == found["satfields_audit_clean", ("T", "plain")] == 1


def test_what_is_down_takes_only_its_own_figures_away(
    tmp_path: Path, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_text("none")
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", "postgresql://u:planted@127.0.0.1:1/x")
    monkeypatch.setenv("SATFIELDS_METRICS_CERTIFICATES", str(certificate))

    without_database = satctl("metrics", "--once")
    monkeypatch.delenv("SATFIELDS_METRICS_CERTIFICATES")
    settings.cache_clear()
    with_disk = satctl("metrics", "--once")

    assert up(read(without_database.stdout)) == {"store"}
    assert up(read(with_disk.stdout)) == {"store", MACHINE}
    assert "planted" not in without_database.output


def test_a_database_that_was_never_made_is_down_and_is_not_made(satctl: Satctl) -> None:
    assert up(read(satctl("metrics", "--once").stdout)) == {"store", MACHINE}
    assert not (settings().home / "satfields.db").exists()


def test_a_bucket_that_refuses_is_told_from_a_database_that_is_down(
    system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> bool:
        raise OSError("403")

    monkeypatch.setattr(ObjectStore, "exists", refuses)

    assert up(read(satctl("metrics", "--once").stdout)) == set(COLLECTORS) - {"store", "runs", "dagster"}


def test_postgresql_tells_its_connections_transactions_and_clock(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch, satctl: Satctl
) -> None:
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", postgres_engine.url.render_as_string(hide_password=False))

    with write_transaction(postgres_engine) as connection:
        connection.execute(text("SELECT 1"))  # which opens it at the server; without it the test saw others' alone
        found = read(satctl("metrics", "--once").stdout)

    assert 2 <= found["satfields_database_connections", ()] < found["satfields_database_connections_limit", ()]
    assert found["satfields_database_transaction_age_seconds", ()] > 0
    assert found["satfields_database_size_bytes", ()] > 1_000_000
    assert found["satfields_clock_offset_seconds", ()] == 0
    assert ("satfields_disk_free_bytes", ("ledger",)) not in found


def test_the_first_certificate_of_a_file_to_end_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, satctl: Satctl
) -> None:
    now = datetime.now(UTC)
    file = tmp_path / "chain.pem"
    file.write_bytes(b"".join(certificate(now + timedelta(days=days)) for days in (90, 10)))
    monkeypatch.setenv("SATFIELDS_METRICS_CERTIFICATES", f" {file} ,")

    found = read(satctl("metrics", "--once").stdout)

    left = found["satfields_certificate_remaining_seconds", (str(file),)]
    assert left == pytest.approx(10 * 86400, abs=300)


def test_the_page_is_served(closed: Environment) -> None:
    registry = CollectorRegistry(auto_describe=False)
    with opened_collectors(settings()) as collectors:
        registry.register(Scraper({MACHINE: collectors[MACHINE]}, 5))  # type: ignore[arg-type]
        server, thread = start_http_server(0, "127.0.0.1", registry)
        try:
            with urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=20) as answer:
                found = read(answer.read().decode())
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    assert found["satfields_up", (MACHINE,)] == 1


def test_a_port_that_is_taken_is_named(satctl: Satctl, system: Engine) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        said = satctl("metrics", "--port", port, code=2).stderr

    assert re.search(rf"--port {port}: can't be listened on: Address already in use", said)


# --- with Dagster --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dagster_s_locations_daemons_ticks_and_runs_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(_url: str, query: str, variables: dict[str, Any] | None = None, seconds: int = 0) -> dict[str, Any]:
        asked.append(query)
        return world.ask(query, variables)

    monkeypatch.setattr(graphql, "execute", ask)
    world.add_region("A", days=2)
    assert len(world.tick("due_scenes").runs) == 2
    midnight = datetime.combine(world.now.date(), datetime.min.time(), UTC)
    audit = world.tick_schedule("daily_audit", midnight + timedelta(hours=5)).runs
    world.execute(*audit)

    found = as_found(dagster_samples("", 5))
    runs = as_found(run_samples("", world.env.engine, world.env.settings, datetime.now(UTC), 5))

    assert len(asked) == 3
    assert {labels[0]: value for (metric, labels), value in found.items() if metric == "satfields_location_loaded"} == (
        dict.fromkeys(LOCATIONS, 1.0)
    )
    sensor, schedule = ("ingest", "sensor", "due_scenes"), ("reprocessing", "schedule", "daily_audit")
    assert found["satfields_tick_failed", sensor] == found["satfields_tick_failed", schedule] == 0
    assert 0 <= found["satfields_tick_age_seconds", sensor] < 600
    assert found["satfields_tick_interval_seconds", sensor] == world.env.settings.sensor_seconds
    assert found["satfields_tick_interval_seconds", schedule] == 86400
    assert found["satfields_instigator_running", schedule] == 0  # the test stops what it has ticked
    assert ("satfields_tick_age_seconds", ("ingest", "schedule", "daily_scenes")) not in found
    assert runs["satfields_runs_ended", ("audit_regions", "success")] == 1
    assert runs["satfields_runs_ended", ("fetch_scenes", "failure")] == 0
    assert runs["satfields_run_last_duration_seconds", ("audit_regions",)] > 0
    assert ("satfields_run_last_wait_seconds", ("audit_regions",)) in runs  # it was asked for at a frozen time
    assert runs["satfields_runs_queued", ()] == 2
    assert 0 < runs["satfields_runs_queue_age_seconds", ()] < 600
    assert {labels[0] for metric, labels in runs if metric == "satfields_runs_ended"} >= set(JOBS)
