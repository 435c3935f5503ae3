"""What `satctl status` and `satctl doctor` say of runs without a process, by a real webserver's answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn
from click.testing import Result
from dagster import DagsterInstance, DagsterRunStatus, instance_for_test
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.types import DaemonHeartbeat
from dagster_webserver.webserver import DagsterWebserver
from satcommon.contract import PROGRESS_TAG, REGISTRY_JOB, lane
from satcommon.db import models
from satcommon.db.engine import write_transaction
from satcommon.settings import Settings, settings
from satctl.dagster_api import old_runs
from satctl.local.laptop import wait_for
from sqlalchemy import Engine, insert, text

from tests.integration.satctl_world import Satctl

pytestmark = pytest.mark.slow  # a Dagster instance each

INSTANCE = {
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"max_concurrent_runs": 2},
    },
    "run_monitoring": {"enabled": True, "start_timeout_seconds": 120, "cancel_timeout_seconds": 60},
}
MINUTE = timedelta(minutes=1)
Leave = Callable[..., str]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[DagsterInstance, str]]:
    """A webserver without code locations, of an instance that takes two runs at a time."""
    with (
        instance_for_test(INSTANCE) as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        app = DagsterWebserver(context).create_asgi_app()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        assert wait_for(lambda: server.started, 30, pause=0.05)
        yield instance, f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def dagster(
    served: tuple[DagsterInstance, str], system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DagsterInstance]:
    """Dagster without runs, whose daemon lives; a ledger with a region, so that there is a status to show."""
    instance, url = served
    monkeypatch.setenv("SATFIELDS_DAGSTER_URL", url)
    settings.cache_clear()
    satctl("regions", "add", "A", "--bounds", "-94.3", "40.3", "-94.0", "40.6", "--monitored-from", "2025-06-01")
    beat_daemon(instance, timedelta(0))
    yield instance
    instance.wipe()


@pytest.fixture
def leave(dagster: DagsterInstance, system: Engine) -> Leave:
    """Leaves a run of region A as it is after a power cut; gives its id."""

    def left(
        status: str,
        *,
        quiet: timedelta,
        beat: timedelta | None = None,
        location: str = "realtime",
        job: str = "close_days",
        tags: dict[str, str] | None = None,
    ) -> str:
        server = RegisteredCodeLocationOrigin(location)
        run = create_run_for_test(
            dagster,
            job_name=job,
            status=DagsterRunStatus(status),
            tags=tags or lane("realtime", "A"),
            remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(server, "__repository__"), "close_days"),
            job_code_origin=None,
        )
        then, storage = f"{(datetime.now(UTC) - quiet).replace(tzinfo=None)}", dagster.run_storage
        assert isinstance(storage, SqlRunStorage)
        with storage.connect() as connection:
            statement = "UPDATE runs SET create_timestamp = :then, update_timestamp = :then WHERE run_id = :run_id"
            connection.execute(text(statement), {"then": then, "run_id": run.run_id})
        if beat is not None:
            at = datetime.now(UTC) - beat
            with write_transaction(system) as connection:
                values = {"run_id": run.run_id, "lane": "", "started_at": at, "heartbeat_at": at}
                connection.execute(insert(models.Run).values(values))
        return run.run_id

    return left


def beat_daemon(instance: DagsterInstance, ago: timedelta) -> None:
    at = (datetime.now(UTC) - ago).timestamp()
    instance.add_daemon_heartbeat(DaemonHeartbeat(at, "QUEUED_RUN_COORDINATOR", "one", []))


def checks(result: Result) -> list[tuple[str, str]]:
    return [(one["state"], one["said"]) for one in json.loads(result.stdout)["checks"] if one["check"] == "runs"]


# --- runs without a sign of life -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "quiet", "beat", "within"),
    [
        ("STARTED", 3 * MINUTE, 2 * MINUTE, "4 min"),  # 300 s after its heartbeat, and two ticks
        ("STARTED", 3 * MINUTE, None, "3 min"),
        ("CANCELING", 2 * MINUTE, 2 * MINUTE, "1 min"),  # Dagster's 60 s, and a look every two minutes
        ("STARTING", 2 * MINUTE, None, "2 min"),  # 120 s and such a look
        ("NOT_STARTED", 2 * MINUTE, None, "2 min"),
    ],
)
def test_a_run_whose_process_is_gone_is_told_with_what_ends_it(
    status: str, quiet: timedelta, beat: timedelta | None, within: str, leave: Leave, satctl: Satctl
) -> None:
    run_id = leave(status, quiet=quiet, beat=beat)

    ((state, said),) = checks(satctl("doctor", "--json", code=1))  # for want of code locations
    told = satctl("status").stderr

    assert state == "warning"
    assert said.startswith(f"run {run_id[:8]} (close_days of region A, {status}): no sign of life since 20")
    assert said.endswith(f"; it is ended automatically within {within}, and its work is asked for again")
    assert f"warning: {said}" in told


def test_a_run_that_beats_or_only_just_began_is_not_told(leave: Leave, satctl: Satctl) -> None:
    leave("STARTED", quiet=60 * MINUTE, beat=timedelta(seconds=30))
    leave("STARTING", quiet=timedelta(seconds=30))
    leave("STARTED", quiet=60 * MINUTE, location="a_consumer_that_never_beats")
    leave("QUEUED", quiet=60 * MINUTE)

    ((state, said),) = checks(satctl("doctor", "--json", code=1))
    told = satctl("status")

    assert (state, said) == ("ok", "3 in progress, none of them silent; 1 in the queue")
    assert "runs: 3 in progress, 1 in the queue" in told.stdout
    assert "sign of life" not in told.stderr


def test_a_run_that_nothing_ended_in_time_fails_the_doctor_and_is_ended_by_hand(
    leave: Leave, dagster: DagsterInstance, satctl: Satctl
) -> None:
    run_id = leave("STARTED", quiet=30 * MINUTE, beat=20 * MINUTE)

    ((state, said),) = checks(satctl("doctor", "--json", code=1))
    satctl("runs", "end", run_id[:8])

    assert state == "failed"
    assert f"do the daemon and the sensors run? `satctl runs end {run_id[:8]}` ends it" in said
    assert dagster.get_run_by_id(run_id).status is DagsterRunStatus.CANCELED  # type: ignore[union-attr]
    assert checks(satctl("doctor", "--json", code=1)) == [("ok", "0 in progress, none of them silent; 0 in the queue")]
    assert (
        f"run '{run_id[:8]}': there is no such run that has not ended"
        in satctl("runs", "end", run_id[:8], code=2).stderr
    )


# --- a queue that stands still -------------------------------------------------------------------------------------


def test_a_queue_whose_slots_are_all_held_by_the_dead_stands_still(leave: Leave, satctl: Satctl) -> None:
    dead = [leave("STARTED", quiet=2 * MINUTE), leave("CANCELING", quiet=2 * MINUTE)]
    leave("QUEUED", quiet=5 * MINUTE)

    (first, *_) = checks(satctl("doctor", "--json", code=1))
    found = json.loads(satctl("status", "--json").stdout)["runs"]

    assert first[0] == "failed"
    assert first[1].startswith("the queue stands still: 1 run in it, the first since ")
    assert "a run without a sign of life holds each slot (2): " in first[1]
    assert first[1] == found["standstill"]
    assert found["unknown"] is None
    assert (found["slots"], found["in_progress"], found["queued"]) == (2, 2, 1)
    assert {one["run_id"] for one in found["silent"]} == set(dead)
    assert {(one["job"], one["region"]) for one in found["silent"]} == {("close_days", "A")}
    assert all(one["since"].endswith("Z") and one["ends_by"].endswith("Z") for one in found["silent"])


def test_a_queue_before_which_one_run_lives_does_not_stand_still(leave: Leave, satctl: Satctl) -> None:
    leave("STARTED", quiet=2 * MINUTE)
    leave("STARTED", quiet=60 * MINUTE, beat=timedelta(0))
    leave("QUEUED", quiet=50 * MINUTE)

    found = json.loads(satctl("status", "--json").stdout)["runs"]

    assert found["standstill"] is None
    assert len(found["silent"]) == 1


def test_a_queue_whose_daemon_is_gone_stands_still(leave: Leave, dagster: DagsterInstance, satctl: Satctl) -> None:
    leave("QUEUED", quiet=50 * MINUTE)

    assert json.loads(satctl("status", "--json").stdout)["runs"]["standstill"] is None
    beat_daemon(dagster, 10 * MINUTE)
    told = satctl("status").stderr

    assert "the queue stands still: 1 run in it, the first since " in told
    assert "Dagster's daemon, which starts them, gives no sign of life since " in told


# --- without Dagster -----------------------------------------------------------------------------------------------


def test_the_status_is_the_ledgers_where_dagster_is_out_of_reach(
    dagster: DagsterInstance, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_DAGSTER_URL", "http://127.0.0.1:1")
    settings.cache_clear()

    told = satctl("status").stdout
    found = json.loads(satctl("status", "--json").stdout)

    assert "runs: unknown; Dagster does not answer at http://127.0.0.1:1" in told
    assert [one["region"] for one in found["regions"]] == ["A"]
    assert found["runs"]["unknown"].startswith("Dagster does not answer at http://127.0.0.1:1")
    ((state, said),) = checks(satctl("doctor", "--json", code=1))
    assert state == "not checked"
    assert said.startswith("Dagster does not answer at http://127.0.0.1:1")


# --- runs that ended long ago --------------------------------------------------------------------------------------


def test_gc_removes_runs_that_ended_long_ago_with_their_events_and_keeps_what_is_compared_or_shown(
    leave: Leave, dagster: DagsterInstance, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_runs, "PAGE", 2)
    long_ago = timedelta(days=200)
    gone = {leave(status, quiet=long_ago + n * MINUTE) for n, status in enumerate(["SUCCESS", "FAILURE", "CANCELED"])}
    stay = {
        leave("SUCCESS", quiet=timedelta(days=60)),
        leave("STARTED", quiet=long_ago),
        leave("SUCCESS", quiet=long_ago, job=REGISTRY_JOB),
    }
    for run_id in gone | stay:
        dagster.report_engine_event("closing", run_id=run_id, job_name="close_days")

    would = json.loads(satctl("gc", "--dry-run", "--json").stdout)
    assert {run.run_id for run in dagster.get_runs()} == gone | stay
    did = satctl("gc").stdout

    assert would["dagster_runs"] == 3
    assert "3 runs of Dagster's from before" in did
    assert {run.run_id for run in dagster.get_runs()} == stay
    assert [len(dagster.all_logs(run_id)) > 0 for run_id in (*gone, *stay)] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(("days", "kept"), [(90, 90), (14, 61), (365, 365)])
def test_runs_of_days_in_the_window_of_partitions_are_kept(days: int, kept: int) -> None:
    now = datetime(2026, 7, 31, tzinfo=UTC)  # whose window begins on 1 June: 60 days before
    chosen = Settings(dagster_days=days)

    assert old_runs.kept_from(chosen, now) == now - timedelta(days=kept)


# --- batches -------------------------------------------------------------------------------------------------------


def test_a_batch_is_listed_with_how_far_it_has_come(leave: Leave, satctl: Satctl) -> None:
    leave("STARTED", quiet=MINUTE, job="realtime_batch", tags={PROGRESS_TAG: "7/50"})

    assert "7/50 regions" in satctl("runs", "list").stdout
