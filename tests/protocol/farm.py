"""Two fields in the west, and what the stories of flaws do with them."""

from __future__ import annotations

from runs import Realtime, Replay
from truth import REGIONS, THE_END, day
from world import World, same_results

WEST, EAST = REGIONS
MIDDLE = THE_END.replace(day=7, hour=12)  # the deadline of the fifth day is over, its allowed lateness is not


def settle(world: World) -> None:
    """Everything is done in the end, is true, and is what it would be had all been on time."""
    world.check()
    world.now = THE_END
    world.drain()
    world.check()
    world.audit()
    world.all_is_true()
    same_results(world, world.in_order())


def causes(world: World, name: str) -> dict[int, str]:
    """The open misses of a field in the west: number of the day -> cause."""
    return {(on - day(1)).days + 1: m.cause for (f, on), m in sorted(world.misses(WEST).items()) if f == name}


def realtime(world: World) -> Realtime:
    run = Realtime.start(world, WEST)
    assert run is not None
    return run


def replay(world: World, chunk_days: int = 30) -> Replay:
    run = Replay.start(world, WEST, chunk_days)
    assert run is not None
    return run
