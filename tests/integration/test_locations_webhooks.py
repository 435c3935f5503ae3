"""The delivery of webhooks, as Dagster asks for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from satcommon.db import webhooks
from satcommon.db.engine import write_transaction

from tests.unit.webhooks.receiver import SECRET, receiving

if TYPE_CHECKING:
    from tests.integration.dagster_world import World


@pytest.mark.slow
def test_a_published_day_wakes_one_delivery_and_the_schedule_asks_for_what_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_region("A", days=1)
    world.deliver("A", world.yesterday)
    with receiving() as receiver:
        assert world.tick("webhooks_after_field_metrics").runs == [], "nobody is to be told anything"
        hook = webhooks.NewWebhook("all", receiver.url, SECRET, None, ["status"], None, first_publications=True)
        with write_transaction(world.env.engine) as connection:
            webhooks.add(connection, hook, {}, world.now)
        world.execute(*world.tick("scene_materialized").runs)

        [refused] = world.tick("webhooks_after_field_metrics").runs
        soon = world.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        under_way = world.tick_schedule("untold_webhooks", soon)
        assert (under_way.status.value, under_way.runs) == ("SKIPPED", []), "a run is under way"
        world.execute(refused)
        assert receiver.came == []
        assert any("no address of the public network" in line for line in world.log(refused))

        monkeypatch.setattr("satcommon.webhooks.deliver.post", _to_private)
        [again] = world.tick_schedule("untold_webhooks", soon + timedelta(hours=1)).runs
        monkeypatch.setattr("satfields_reprocessing.run.utc_now", lambda: soon + timedelta(hours=1))
        world.execute(again)

        assert [change["field"] for change in receiver.changes("A")] == ["A0", "A1"]
        assert world.tick_schedule("untold_webhooks", soon + timedelta(hours=2)).runs == []


def _to_private(url: str, headers: dict[str, str], body: bytes, *, private: bool) -> int:
    """What the setting of private networks would do: the code servers have read theirs."""
    from satcommon.webhooks.post import post

    return post(url, headers, body, private=True)
