"""A batch: one run that does the work of many regions, one region after another.

Its configuration lists its works, and a tag tells how far it has come: that is how a tick knows, from records of runs
alone, what is under way, and what a batch that ended early has tried. What was done is always read from the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import AssetKey, AssetObservation, DagsterRun, Failure, MetadataValue, OpExecutionContext
from pydantic import Field as Described

from satcommon.contract import BATCH_OP, LANE_TAG, PROGRESS_TAG, REGION
from satcommon.errors import CatalogueError, DatabaseUnavailableError, StoreError, describe
from satcommon.run_config import RunConfig

if TYPE_CHECKING:
    from satcommon.environment import Environment

UNREACHED = (CatalogueError, DatabaseUnavailableError, StoreError)
GIVEN_UP_AFTER = 3  # regions in a row that could not reach something: it is gone for the others as well
_REGION_TAG = f"dagster/partition/{REGION}"


class BatchedWork(RunConfig):
    """One work of a batch."""

    work: str = Described(description="name of the work")
    attempt: int = Described(default=1, description="how often it will have been tried")
    region: str = Described(description="name of the region")
    day: str = Described(default="", description="YYYY-MM-DD, of work on a day")
    config: dict[str, Any] = Described(default={}, description="of work that has a job of its own, as that job's")


class BatchConfig(RunConfig):
    """What a batch does. The works of a region stand together, in their order."""

    kind: str = Described(description="of the works, as in the tag satfields/lane")
    works: list[BatchedWork] = Described(description="what to do")


class Trouble(NamedTuple):
    """Why something was not done.

    Args:
        error: what happened.
        asset: that is concerned.
        partition: of the asset; None where it has none of the day.
    """

    error: Exception
    asset: AssetKey
    partition: str | None = None


def batch_config(kind: str, works: Sequence[BatchedWork]) -> dict[str, Any]:
    """The run configuration of a batch."""
    given = [work.model_dump(exclude_defaults=True) for work in works]
    return {"ops": {BATCH_OP: {"config": {"kind": kind, "works": given}}}}


def works_of(run: DagsterRun) -> list[dict[str, Any]]:
    """The works of a batch, as its configuration has them; none of another run."""
    config: Any = run.run_config
    return list(config.get("ops", {}).get(BATCH_OP, {}).get("config", {}).get("works", []))


def regions_of(run: DagsterRun) -> set[str]:
    """The regions that a run of ours works on."""
    if batched := works_of(run):
        return {work["region"] for work in batched}
    lane = {run.tags[LANE_TAG].partition(":")[2]} if LANE_TAG in run.tags else set()
    return lane | ({run.tags[_REGION_TAG]} if _REGION_TAG in run.tags else set())


def tried(run: DagsterRun) -> list[dict[str, Any]]:
    """The works of the regions that a batch has come to."""
    works = works_of(run)
    begun = int(run.tags.get(PROGRESS_TAG, "0").partition("/")[0])
    regions = [list(same) for _, same in groupby(works, key=lambda work: str(work["region"]))]
    return [work for region in regions[:begun] for work in region]


def work_off(
    context: OpExecutionContext,
    env: Environment,
    config: BatchConfig,
    do: Callable[[str, Sequence[BatchedWork]], Iterator[Trouble]],
) -> None:
    """Do the works of a batch region by region. What fails is told, and fails the run once the others are done.

    Args:
        context: of the batch's run.
        env: of the process.
        config: the works.
        do: the works of one region; it yields what it could not do and goes on. What it raises ends that region.

    Raises:
        Failure: some regions failed; it names them.
    """
    from satcommon.db.heartbeat import beating
    from satcommon.run_logs import of_run

    regions = [(name, list(works)) for name, works in groupby(config.works, key=lambda work: work.region)]
    failed: dict[str, str] = {}
    unreached = 0
    lane = context.run.tags.get(LANE_TAG, f"{config.kind}:batch")
    with beating(env.engine, context.run_id, lane, env.settings.heartbeat_seconds):
        for number, (name, works) in enumerate(regions, 1):
            _come_to(context, number, len(regions))
            with of_run(context.run, name):
                errors = list(_one_region(context, name, works, do))
            if errors:
                failed[name] = "; ".join(describe(error) for error in errors)
            unreached = unreached + 1 if any(isinstance(error, UNREACHED) for error in errors) else 0
            if unreached == GIVEN_UP_AFTER and number < len(regions):
                _come_to(context, len(regions), len(regions))  # the pause is that of all
                failed |= {other: f"not tried, since {name} failed" for other, _ in regions[number:]}
                break
    told: dict[str, Any] = {"regions": len(regions), "failed": MetadataValue.json(failed)}
    if failed:
        first = next(iter(failed.items()))
        raise Failure(
            f"{len(failed)} of {len(regions)} regions failed; {first[0]}: {first[1]}",
            metadata=told,
            allow_retries=False,
        )
    context.add_output_metadata(told)


def _come_to(context: OpExecutionContext, number: int, of: int) -> None:
    context.instance.add_run_tags(context.run_id, {PROGRESS_TAG: f"{number}/{of}"})


def _one_region(
    context: OpExecutionContext,
    name: str,
    works: Sequence[BatchedWork],
    do: Callable[[str, Sequence[BatchedWork]], Iterator[Trouble]],
) -> Iterator[Exception]:
    try:
        for trouble in do(name, works):
            context.log.error("region %s: %s", name, describe(trouble.error))
            if trouble.partition is not None:
                said = {"failed": describe(trouble.error)}
                context.log_event(AssetObservation(trouble.asset, partition=trouble.partition, metadata=said))
            yield trouble.error
    except Exception as error:  # told in the run's metadata and log; the other regions go on
        context.log.exception("region %s", name)
        yield error
