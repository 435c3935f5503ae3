"""What a batch does region by region: it goes on after a failure, and gives up where nothing can be reached."""

from collections.abc import Iterator, Sequence

import pytest
from dagster import DagsterInstance, DagsterRun, OpExecutionContext, job, op
from satcommon.batch_runs import GIVEN_UP_AFTER, BatchConfig, BatchedWork, Trouble, batch_config, tried, work_off
from satcommon.contract import BATCH_OP, PROGRESS_TAG, SCENES
from satcommon.environment import Environment
from satcommon.errors import InputError, StoreError
from satcommon.settings import settings
from sqlalchemy import Engine

NAMES = [f"R{n}" for n in range(6)]


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """An instance in memory."""
    with DagsterInstance.ephemeral() as found:
        yield found


def run_batch(instance: DagsterInstance, engine: Engine, errors: dict[str, Exception]) -> tuple[list[str], DagsterRun]:
    """Run a batch of which some regions fail; gives the regions that were begun, and the run as it ended."""
    begun: list[str] = []

    def do(name: str, works: Sequence[BatchedWork]) -> Iterator[Trouble]:
        begun.append(name)
        assert [work.work for work in works] == [f"{name}:1", f"{name}:2"]
        if name in errors:
            yield Trouble(errors[name], SCENES)

    @op(name=BATCH_OP, config_schema=BatchConfig.schema_of_job())
    def batch(context: OpExecutionContext) -> None:
        work_off(context, Environment(settings(), engine), BatchConfig.of(context.op_config), do)

    @job
    def batches() -> None:
        batch()

    works = [BatchedWork(work=f"{name}:{n}", region=name) for name in NAMES for n in (1, 2)]
    result = batches.execute_in_process(batch_config("ingest", works), instance=instance, raise_on_error=False)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return begun, run


def test_all_regions_are_done_and_the_tag_tells_how_far_it_came(
    instance: DagsterInstance, sqlite_engine: Engine
) -> None:
    begun, run = run_batch(instance, sqlite_engine, {})

    assert (begun, run.status.value, run.tags[PROGRESS_TAG]) == (NAMES, "SUCCESS", "6/6")


def test_the_others_go_on_and_the_run_fails_at_the_end(instance: DagsterInstance, sqlite_engine: Engine) -> None:
    begun, run = run_batch(instance, sqlite_engine, dict.fromkeys(["R0", "R1", "R2", "R4"], InputError("no such")))

    assert (begun, run.status.value) == (NAMES, "FAILURE")


def test_an_outage_ends_the_batch_and_all_that_is_left_pauses(instance: DagsterInstance, sqlite_engine: Engine) -> None:
    begun, run = run_batch(instance, sqlite_engine, dict.fromkeys(NAMES, StoreError("no answer")))

    assert (begun, run.status.value) == (NAMES[:GIVEN_UP_AFTER], "FAILURE")
    assert {work["region"] for work in tried(run)} == set(NAMES)


def test_regions_of_which_one_is_reached_in_between_are_no_outage(
    instance: DagsterInstance, sqlite_engine: Engine
) -> None:
    begun, _ = run_batch(instance, sqlite_engine, dict.fromkeys(["R0", "R1", "R3", "R4"], StoreError("no answer")))

    assert begun == NAMES
