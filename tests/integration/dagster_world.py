"""A small deployment to test the locations in: three real code servers, a real ledger, and a daemon that is told when.

All of Dagster's private API that the tests need is here, so that an upgrade of its exact pin concerns one file.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import satcommon
import shapely
from dagster import (
    AssetKey,
    AssetMaterialization,
    BetaWarning,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsFilter,
    instance_for_test,
)
from dagster._core.definitions.assets.graph.remote_asset_graph import RemoteWorkspaceAssetGraph
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus, PartitionBackfill
from dagster._core.remote_representation.external import RemoteRepository, RemoteSchedule, RemoteSensor
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus
from dagster._core.test_utils import freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster_graphql.schema import create_schema
from satcommon.batch_runs import works_of
from satcommon.contract import REGION, SCENES, partition
from satcommon.db import ledger, missed_days, models, registry
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.fields import NewField, register_fields
from satcommon.environment import Environment, environment
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.ingest_day import ask, register
from satcommon.settings import PREFIX, settings
from satcommon.sources.source import Due
from satcommon.stats.algorithm import CURRENT
from satctl.local import migrations
from sqlalchemy import delete, insert, update

with warnings.catch_warnings():
    # The mapping to the day before is in beta; Dagster's exact pin is what we hold against a change of it.
    warnings.filterwarnings("ignore", "Class `MultiPartitionMapping` is currently in beta", BetaWarning)
    import satfields_realtime.definitions  # noqa: F401  # runs are executed in this process, which loads it once

WORKSPACE = Path(satcommon.__file__).parents[4] / "workspace.yaml"
DAY = timedelta(days=1)
_QUIET = logging.getLogger("dagster-world")
_QUEUE = {"module": "dagster._core.run_coordinator.queued_run_coordinator", "class": "QueuedRunCoordinator"}


@dataclass(frozen=True)
class Tick:
    """What a sensor or schedule did when it was asked."""

    status: TickStatus
    said: str
    runs: list[DagsterRun]

    @property
    def asked(self) -> list[str]:
        """The partitions of the runs that were asked for, those of a batch each; those of a backfill are its region."""
        return [key for run in self.runs for key in _partitions_of(run)]


def _partitions_of(run: DagsterRun) -> list[str]:
    if not (works := works_of(run)):
        return [run.tags.get("dagster/partition") or run.tags["satfields/lane"]]
    return [partition(w["region"], date.fromisoformat(w["day"])) if "day" in w else w["region"] for w in works]


class World:
    """The ledger, the instance and the code servers of a test.

    Args:
        context: the workspace, with its code servers up.
        env: ledger and store, the ones that the code servers use.
    """

    def __init__(self, context: WorkspaceProcessContext, env: Environment) -> None:
        self._context, self.env = context, env
        self.now = datetime.now(UTC)

    @property
    def yesterday(self) -> date:
        """The last day that has a partition."""
        return self.day(1)

    @property
    def instance(self) -> DagsterInstance:
        """Dagster's instance."""
        return self._context.instance

    @property
    def asset_graph(self) -> RemoteWorkspaceAssetGraph:
        """The graph of all locations' assets."""
        return self._context.create_request_context().asset_graph

    def rests_on(self, key: AssetKey, partition_key: str) -> set[tuple[AssetKey, str | None]]:
        """The partitions of assets that a partition of an asset depends on."""
        with partition_loading_context(dynamic_partitions_store=self.instance):
            found = self.asset_graph.get_parents_partitions(key, partition_key)
        return {(parent.asset_key, parent.partition_key) for parent in found.parent_partitions}

    def load_errors(self) -> dict[str, Any]:
        """What each location said while it was loaded; None where it is up."""
        entries = self._context.create_request_context().get_code_location_entries()
        return {name: entry.load_error for name, entry in entries.items()}

    def day(self, days_ago: int) -> date:
        """A day before today."""
        return self.now.date() - days_ago * DAY

    # --- the ledger ------------------------------------------------------------------------------------------------

    def add_region(
        self, name: str, days: int, *, registered_days_ago: int = 5, fields: int = 2, partitioned: bool = True
    ) -> int:
        """Register a small region that is monitored for so many days up to yesterday, with fields; gives its id.

        By default it was registered long enough ago that also days that nobody asked for close at their deadline.
        """
        with write_transaction(self.env.engine) as connection:
            west = 0.05 * len(registry.regions(connection))  # at Greenwich, whose solar noon is at 12 UTC
            bounds = Bounds(west, 45.0, west + 0.03, 45.03)
            then = self.now - registered_days_ago * DAY
            grid = Grid.utm(bounds, 100.0)
            registry.add_region(connection, name, bounds, grid, self.day(days), None, CURRENT, then)
        self.add_fields(name, [f"{name}{number}" for number in range(fields)])
        if partitioned:
            self.instance.add_dynamic_partitions(REGION, [name])
        return self.region_id(name)

    def add_fields(self, region: str, names: Sequence[str]) -> None:
        """Register fields in a region, planted long ago."""
        with write_transaction(self.env.engine) as connection:
            west, south, *_ = registry.aoi_of(registry.region(connection, region)).bounds
            square = shapely.box(west + 0.005, south + 0.005, west + 0.015, south + 0.015)
            new = [NewField(name, name, square, date(2026, 1, 1)) for name in names]
            register_fields(connection, new, self.now)

    def region_id(self, name: str) -> int:
        """The id of a region."""
        with read_transaction(self.env.engine) as connection:
            return int(registry.region(connection, name).bbox_id)

    def watermark(self, name: str) -> date | None:
        """A region's last closed day."""
        with read_transaction(self.env.engine) as connection:
            return ledger.watermark(connection, registry.region(connection, name).bbox_id)

    def missed(self, name: str) -> list[date]:
        """The days of a region's open misses."""
        with read_transaction(self.env.engine) as connection:
            found = missed_days.misses(connection, registry.region(connection, name).bbox_id, date.min, date.max)
            return [miss.date_missed for miss in found]

    def deliver(self, region: str, *days: date, ago: timedelta = timedelta(minutes=10)) -> None:
        """Ask the source for days and materialize its answers, as ingest does, without its runs."""
        store, source, bbox_id = self.env.store(), self.env.source(), self.region_id(region)
        for day in days:
            ask(self.env.engine, store, source, bbox_id, day, self.now - ago)
            self.materialize(SCENES, partition(region, day))

    def wait_for(self, region: str, day: date) -> None:
        """Let the source have answered, by the day's end, that its scene is due and not there yet."""
        with write_transaction(self.env.engine) as connection:
            then = datetime.combine(day, time(23), UTC)
            register(connection, self.region_id(region), day, Due.DUE, None, then)

    def pause_region(self, name: str) -> None:
        """Make a region inactive."""
        with write_transaction(self.env.engine) as connection:
            registry.activate_region(connection, name, active=False)

    def leave_heartbeat(self, run_id: str, age: timedelta) -> None:
        """The last heartbeat of a run that died so long ago."""
        with write_transaction(self.env.engine) as connection:
            then = datetime.now(UTC) - age
            connection.execute(insert(models.Run).values(run_id=run_id, lane="", started_at=then, heartbeat_at=then))

    # --- Dagster ---------------------------------------------------------------------------------------------------

    def materialize(self, key: AssetKey, partition_key: str | None = None) -> None:
        """Report a materialization that no run made."""
        self.instance.report_runless_asset_event(AssetMaterialization(key, partition=partition_key))

    def materializations(self, key: AssetKey) -> dict[str, AssetMaterialization]:
        """The last materialization of each partition of an asset."""
        found: dict[str, AssetMaterialization] = {}
        for record in self.instance.fetch_materializations(key, limit=1000, ascending=True).records:
            assert record.asset_materialization is not None
            found[record.partition_key or ""] = record.asset_materialization
        return found

    def log(self, run: DagsterRun) -> list[str]:
        """What a run said."""
        return [entry.message for entry in self.instance.all_logs(run.run_id)]

    def tick(self, sensor: str) -> Tick:
        """Let the daemon evaluate one sensor, whenever it was evaluated last, and ask for its runs."""
        found = self._named(sensor, [s for r in self._repositories() for s in r.get_sensors()])
        assert isinstance(found, RemoteSensor)
        self.instance.start_sensor(found)
        with patch("dagster._daemon.sensor.is_under_min_interval", return_value=False), _warnings_of_dagsters_own():
            list(execute_sensor_iteration(self._context, _QUIET, None, None))
        self.instance.stop_sensor(found.get_remote_origin_id(), found.selector_id, found)
        return self._told(self.instance.get_ticks(found.get_remote_origin_id(), found.selector_id, limit=1))

    def automated(self, sensor: str) -> list[str]:
        """Let the daemon evaluate a sensor of automation conditions; gives the partitions that it asks for.

        Several are one backfill, which counts as done.
        """
        runs = self.tick(sensor).asked
        for backfill in self.instance.get_backfills():
            if backfill.status is BulkActionStatus.REQUESTED:
                assert backfill.asset_backfill_data is not None
                runs += [
                    one.partition_key for one in backfill.asset_backfill_data.target_subset.iterate_asset_partitions()
                ]
                self.instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
        return sorted(runs)

    def tick_until_asked(self, sensor: str, seconds: float = 30.0) -> Tick:
        """Tick until runs are asked for: what comes after a pause is there immediately, or never."""
        last = datetime.now(UTC) + timedelta(seconds=seconds)
        while not (tick := self.tick(sensor)).runs:
            assert datetime.now(UTC) < last, f"{sensor} asks for nothing: {tick.said}"
        return tick

    def tick_schedule(self, schedule: str, at: datetime) -> Tick:
        """Let the daemon evaluate one schedule at an instant, as it would have been after a minute's wait for it."""
        found = self._named(schedule, [s for r in self._repositories() for s in r.get_schedules()])
        assert isinstance(found, RemoteSchedule)
        with freeze_time(at - timedelta(minutes=1)):
            self.instance.start_schedule(found)
        with freeze_time(at), _warnings_of_dagsters_own():
            list(launch_scheduled_runs(self._context, _QUIET, at, {}))
        self.instance.stop_schedule(found.get_remote_origin_id(), found.selector_id, found)
        return self._told(self.instance.get_ticks(found.get_remote_origin_id(), found.selector_id, limit=1))

    def ask(self, query: str, variables: dict[str, Any] | None) -> dict[str, Any]:
        """What the webserver would answer to a query of GraphQL."""
        answer = create_schema().execute(
            query, context_value=self._context.create_request_context(), variable_values=variables
        )
        assert answer.errors is None, answer.errors
        assert answer.data is not None
        return dict(answer.data)

    def launch(self, run: DagsterRun) -> None:
        """Start what was asked for, as the daemon does with what is first in its queue."""
        with _warnings_of_dagsters_own():
            self.instance.launch_run(run.run_id, self._context.create_request_context())

    def execute(self, *runs: DagsterRun) -> None:
        """Run what was asked for, in this process, and expect success."""
        for run in runs:
            self.launch(run)
            assert self.status(run) is DagsterRunStatus.SUCCESS, self.failure(run)

    def backfill(self, keys: Sequence[AssetKey], partitions: Sequence[str]) -> BulkActionStatus:
        """Let the daemon do a backfill as the UI asks for it, its runs as they are queued; gives how it ended."""
        with _warnings_of_dagsters_own():
            asked = PartitionBackfill.from_asset_partitions(
                backfill_id="by-hand",
                asset_graph=self.asset_graph,
                partition_names=partitions,
                asset_selection=keys,
                backfill_timestamp=datetime.now(UTC).timestamp(),
                tags={},
                dynamic_partitions_store=self.instance,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
        self.instance.add_backfill(asked)
        while True:
            with _warnings_of_dagsters_own():
                errors = [error for error in execute_backfill_iteration(self._context, _QUIET) if error]
            assert errors == []
            found = self.instance.get_backfill(asked.backfill_id)
            assert found is not None
            if found.status in BULK_ACTION_TERMINAL_STATUSES:
                return found.status
            for run in reversed(self.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))):
                self.launch(run)

    def kill(self, run: DagsterRun, age: timedelta = timedelta(hours=1)) -> None:
        """Leave a run as a SIGKILL leaves it: started, with a heartbeat of so long ago and no end."""
        self.start(run)
        self.leave_heartbeat(run.run_id, age)

    def start(self, run: DagsterRun) -> None:
        """Let Dagster believe that a run's process is up."""
        for event in (DagsterEventType.RUN_STARTING, DagsterEventType.RUN_START):
            told = DagsterEvent(event_type_value=event.value, job_name=run.job_name)
            self.instance.report_dagster_event(told, run.run_id)

    def status(self, run: DagsterRun) -> DagsterRunStatus:
        """A run's status now."""
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.status

    def pause_before(self, run: DagsterRun, earlier: DagsterRun) -> float:
        """The seconds from the end of one run to the request of another."""
        ended, asked = (self.instance.get_run_record_by_id(one.run_id) for one in (earlier, run))
        assert ended is not None
        assert ended.end_time is not None
        assert asked is not None
        return asked.create_timestamp.timestamp() - ended.end_time

    def reset(self) -> None:
        """Forget everything but the code servers."""
        self.now = datetime.now(UTC)
        self.instance.wipe()
        assert self.instance.schedule_storage is not None
        self.instance.schedule_storage.wipe()
        for name in self.instance.get_dynamic_partitions(REGION):
            self.instance.delete_dynamic_partition(REGION, name)
        with write_transaction(self.env.engine) as connection:
            for table in reversed(models.Base.metadata.sorted_tables):
                if table is not models.Registry.__table__:
                    connection.execute(delete(table))
            connection.execute(update(models.Registry).values(revision=0))
        self.stop_all()

    def stop_all(self) -> None:
        """Stop the sensors and schedules, which are running by default; a test ticks those that it wants."""
        for repository in self._repositories():
            for sensor in repository.get_sensors():
                self.instance.stop_sensor(sensor.get_remote_origin_id(), sensor.selector_id, sensor)
            for schedule in repository.get_schedules():
                self.instance.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)

    def failure(self, run: DagsterRun) -> str:
        """What a run failed of."""
        events = [entry.dagster_event for entry in self.instance.all_logs(run.run_id) if entry.dagster_event]
        failures = [event.event_specific_data for event in events if event.is_failure]
        return "\n".join(str(failure) for failure in failures)

    def _repositories(self) -> Iterator[RemoteRepository]:
        for location in self._context.create_request_context().code_locations:
            yield from location.get_repositories().values()

    @staticmethod
    def _named(name: str, candidates: Sequence[RemoteSensor | RemoteSchedule]) -> RemoteSensor | RemoteSchedule:
        (found,) = (one for one in candidates if one.name == name)
        return found

    def _told(self, ticks: Sequence[InstigatorTick]) -> Tick:
        (tick,) = ticks
        said = tick.skip_reason or (tick.error.to_string() if tick.error else "")
        runs = [run for run_id in tick.run_ids if (run := self.instance.get_run_by_id(run_id))]
        return Tick(tick.status, said, runs)


@contextmanager
def _warnings_of_dagsters_own() -> Iterator[None]:
    """Dagster's daemon warns of what Dagster itself does: of its tags of runs of two dimensions, of its selections."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Function `AssetSelection.sources` is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", r"Non-compliant tag keys like \['dagster/partition/", DeprecationWarning)
        yield


@contextmanager
def world(
    home: Path,
    variables: dict[str, str],
    *,
    migrated: bool = True,
    in_this_process: bool = True,
    further: Path | None = None,
) -> Iterator[World]:
    """Three code servers on a ledger in a folder.

    Args:
        home: the folder.
        variables: our settings, by variable without its prefix.
        migrated: the ledger is ready.
        in_this_process: runs are executed here, and over when `launch` returns; else in processes of their own.
        further: workspace file of code locations besides the three.
    """
    with pytest.MonkeyPatch.context() as patched, ExitStack() as stack:
        set_environment(patched, home, variables)
        chosen = settings()
        env = Environment(chosen, open_engine(chosen.database_url))
        stack.callback(settings.cache_clear)
        stack.callback(env.engine.dispose)
        if migrated:
            migrations.upgrade(env.engine)
        instance = stack.enter_context(
            instance_for_test({"run_coordinator": _QUEUE}, synchronous_run_launcher=in_this_process)
        )
        target = WorkspaceFileTarget(paths=[str(path) for path in (WORKSPACE, further) if path])
        found = World(stack.enter_context(WorkspaceProcessContext(instance, target)), env)
        found.stop_all()
        yield found


def set_environment(patched: pytest.MonkeyPatch, home: Path, variables: dict[str, str]) -> None:
    """Give this process, and those that it starts, our settings."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        patched.delenv(name)
    for name, value in {"HOME": str(home), "SCENE_SOURCE": "simulated", **variables}.items():
        patched.setenv(PREFIX + name, value)
    settings.cache_clear()
    environment.cache_clear()
