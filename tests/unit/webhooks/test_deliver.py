"""Each receiver is told each change, in order, whatever fails; and none holds up another."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from satcommon.db import registry
from satcommon.db import webhooks as hooks
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Delivery, Publication, PublicationDay
from satcommon.db.publications import remove
from satcommon.publication import cursor
from satcommon.publication.rebase import rebase
from satcommon.settings import Settings
from satcommon.storage.object_store import ObjectStore
from satcommon.webhooks import event
from satcommon.webhooks.deliver import Told, deliver
from sqlalchemy import Engine, delete

from tests.unit.webhooks import killed
from tests.unit.webhooks.receiver import DAYS, NOW, REGIONS, SECRET, Log, Receiver, receiving

SAMPLE = 11  # every so many effects are tried by `make test`, `make nightly` tries all; an event has 6


@pytest.fixture
def log(sqlite_engine: Engine, store_folder: Path) -> Log:
    made = Log(sqlite_engine, ObjectStore(str(store_folder)))
    made.begin()
    return made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def told(log: Log, **settings: Any) -> dict[str, Told]:
    """Deliver once; what each webhook was told."""
    chosen = Settings(webhook_private=True, **settings)
    return {each.webhook: each for each in deliver(log.engine, log.objects, chosen, lambda: log.now)}


def is_work(log: Log) -> bool:
    with read_transaction(log.engine) as connection:
        return hooks.is_work(connection, log.now)


def rows(log: Log, name: str) -> list[Delivery]:
    with read_transaction(log.engine) as connection:
        return list(hooks.deliveries(connection, hooks.webhook(connection, name).webhook_id))


@pytest.mark.slow
def test_a_receiver_that_mostly_fails_is_told_all_in_order_and_once(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event, "MOST_CHANGES", 12)
    caplog.set_level(logging.DEBUG)
    chance = random.Random(7)

    def answer(_: int) -> int | None:
        if chance.random() < 0.7:
            return chance.choice([500, 503, 400, 429, 302, None])  # None takes it, and its answer is lost
        return 200

    with receiving(answer) as receiver:
        log.add_hook("all", receiver.url)
        for _ in range(2):
            for region in REGIONS:
                log.correct(region)
            told(log)
            log.now += timedelta(hours=1)
        for _ in range(100):
            log.now += timedelta(hours=6)
            if not is_work(log):
                break
            told(log)

        for region in REGIONS:
            assert receiver.changes(region) == log.changes(region)
        assert len({one["id"] for one in receiver.taken}) < len(receiver.taken), "no answer was lost"
        assert "hidden" not in caplog.text
        assert SECRET not in caplog.text


def test_events_are_cloudevents_signed_by_the_scheme(log: Log, receiver: Receiver) -> None:
    log.add_hook("all", receiver.url)
    log.correct("A")

    told(log)

    [(headers, body)] = receiver.came
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.digest(base64.b64decode(SECRET[6:]), signed, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC) == log.now
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    message = json.loads(body)
    assert (message["specversion"], message["type"]) == ("1.0", "satfields.changes.v1")
    assert message["id"] == headers["webhook-id"]
    assert message["source"].endswith("/regions/A")
    assert message["time"] == "2026-06-01T12:00:00Z"
    with read_transaction(log.engine) as connection:
        assert cursor.decode(connection, message["data"]["cursor"]) == {1: 3}


def test_a_large_publication_is_told_in_bounded_parts(
    log: Log, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event, "MOST_BYTES", 1200)
    log.add_hook("all", receiver.url)
    log.correct("A")

    told(log)

    assert [one["data"]["more"] for one in receiver.taken] == [True] * (len(receiver.taken) - 1) + [False]
    assert len(receiver.taken) > 2
    assert max(len(body) for _, body in receiver.came) < 2 * 1200
    assert receiver.changes("A") == log.changes("A")


def test_a_pause_of_thirty_days_is_made_up_for(log: Log) -> None:
    with receiving(lambda number: 503 if number < 3 else 200) as receiver:
        log.add_hook("all", receiver.url)
        log.correct("A")
        told(log)
        log.now += timedelta(days=30)
        for region in REGIONS:
            log.correct(region)
        for _ in range(5):
            log.now += timedelta(hours=6)
            told(log)

        assert receiver.changes("A") == log.changes("A")
        assert receiver.changes("B") == log.changes("B")
        assert not is_work(log)


def test_only_what_is_asked_for_is_told(log: Log, receiver: Receiver) -> None:
    log.add_hook("large", receiver.url, columns=("ndvi_mean", "status"), threshold=0.05, regions=[1])
    for region, value in (("A", 0.52), ("A", 0.6), ("B", 0.9)):
        log.correct(region, value)

    told(log)

    found = [(each["column"], each["before"], each["after"]) for each in receiver.changes("A")]
    assert found == [("ndvi_mean", 0.52, 0.6)] * 6
    assert receiver.changes("B") == []
    assert not is_work(log), "what is too small is behind it, too"


def test_first_publications_are_told_only_where_asked_for(log: Log, receiver: Receiver) -> None:
    with write_transaction(log.engine) as connection:
        for new in (False, True):
            hook = hooks.NewWebhook(f"new={new}", receiver.url, SECRET, None, ["ndvi_mean"], None, new)
            hooks.add(connection, hook, {}, log.now)

    found = told(log)

    assert (found["new=False"].changes, found["new=True"].changes) == (0, 12)


def test_a_region_that_is_registered_later_is_told_of_too(log: Log, receiver: Receiver) -> None:
    with write_transaction(log.engine) as connection:
        hooks.add(
            connection,
            hooks.NewWebhook("all", receiver.url, SECRET, None, (), None, first_publications=False),
            {},
            log.now,
        )
        connection.execute(delete(Delivery).where(Delivery.bbox_id == 2))  # as if B had come later
    log.correct("B")

    assert is_work(log)
    told(log)

    assert receiver.changes("B") == log.changes("B")


def test_two_deliverers_at_once_send_each_event_once_and_in_order(
    engine: Engine, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(engine, ObjectStore(str(store_folder)))
    log.begin()
    monkeypatch.setattr(event, "MOST_CHANGES", 6)
    meet = Event()

    def answer(number: int) -> int:
        meet.wait(0.05)
        return 200

    with receiving(answer) as receiver:
        log.add_hook("all", receiver.url)
        for _ in range(2):
            for region in REGIONS:
                log.correct(region)
        threads = [Thread(target=told, args=(log,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        told(log)

        assert len({each["id"] for each in receiver.taken}) == len(receiver.taken)
        for region in REGIONS:
            assert receiver.changes(region) == log.changes(region)


def test_a_slow_receiver_holds_up_no_other(log: Log) -> None:
    other_is_done = Event()

    def slow(_: int) -> int:
        return 200 if other_is_done.wait(10) else 500

    def quick(_: int) -> int:
        other_is_done.set()
        return 200

    with receiving(slow) as first, receiving(quick) as second:
        log.add_hook("a slow one", first.url)
        log.add_hook("the other", second.url)
        log.correct("A")

        found = told(log)

    assert {name: each.errors for name, each in found.items()} == {"a slow one": {}, "the other": {}}


def test_a_receiver_that_is_down_is_tried_once_for_all_regions_and_after_a_growing_pause(log: Log) -> None:
    with receiving(lambda _: 503) as receiver:
        log.add_hook("all", receiver.url)
        for region in REGIONS:
            log.correct(region)
        pauses = []
        for _ in range(3):
            told(log, retry_pause_seconds=10)
            assert not is_work(log)
            pauses.append({(row.next_try_at or NOW) - log.now for row in rows(log, "all")})
            log.now += max(pauses[-1])

        assert len(receiver.came) == 3
        assert pauses == [{timedelta(seconds=seconds)} for seconds in (10, 20, 40)]
        assert {row.error for row in rows(log, "all")} == {"the receiver answered 503"}


def test_what_one_region_can_not_be_told_does_not_stop_another(log: Log) -> None:
    with receiving(lambda number: 400 if number == 0 else 200) as receiver:
        log.add_hook("all", receiver.url)
        for region in REGIONS:
            log.correct(region)

        found = told(log)["all"]

        assert (found.events, list(found.errors)) == (1, ["A"])
        assert receiver.changes("B") == log.changes("B")


def test_a_webhook_that_fails_for_long_is_dead_until_it_is_resumed(log: Log) -> None:
    is_well = Event()
    with receiving(lambda _: 200 if is_well.is_set() else 500) as receiver:
        log.add_hook("all", receiver.url)
        log.correct("A")
        for _ in range(12):
            log.now += timedelta(days=1)
            told(log, webhook_days=10)
        [row, _] = rows(log, "all")
        assert row.dead_at == NOW + timedelta(days=11)
        assert row.attempts == 11
        log.now += timedelta(days=100)
        assert not is_work(log)
        is_well.set()
        with write_transaction(log.engine) as connection:
            hooks.resume(connection, "all")

        told(log)

        assert receiver.changes("A") == log.changes("A")


def test_one_failure_after_a_standstill_of_ours_is_not_its_death(log: Log) -> None:
    with receiving(lambda _: 500) as receiver:
        log.add_hook("all", receiver.url)
        log.correct("A")
        told(log)
        log.now += timedelta(days=100)
        told(log)

    assert [row.dead_at for row in rows(log, "all")] == [None, None]


def test_a_receiver_that_says_that_it_is_gone_is_believed(log: Log) -> None:
    with receiving(lambda _: 410) as receiver:
        log.add_hook("all", receiver.url)
        log.correct("A")
        told(log)

    assert rows(log, "all")[0].dead_at == log.now


def test_what_retention_has_removed_is_told_as_a_need_to_read_anew(log: Log) -> None:
    with receiving(lambda number: None if number == 0 else 200) as receiver:
        log.add_hook("all", receiver.url)
        gone = log.correct("A")
        for day in DAYS:
            assert rebase(log.engine, log.objects, 1, day, lambda: log.now)
        with write_transaction(log.engine) as connection:
            remove(connection, 1, [gone], log.now)  # superseded: its days have later bases
        told(log)
        log.now += timedelta(hours=1)
        later = log.correct("A")
        for _ in range(2):
            told(log)

        resync, again, changed = receiver.taken
        assert resync == again, "each attempt says the same"
        assert resync["type"] == "satfields.resync.v1"
        assert "was removed" in resync["data"]["reason"]
        with read_transaction(log.engine) as connection:
            assert cursor.decode(connection, resync["data"]["cursor"]) == {1: later - 1}
        assert changed["data"]["changes"] == log.changes("A", later - 1)


def test_sequences_that_are_given_again_after_a_restore_have_other_ids(log: Log, receiver: Receiver) -> None:
    log.add_hook("all", receiver.url)
    with read_transaction(log.engine) as connection:
        backed_up = [(row.bbox_id, row.position, row.mark) for row in hooks.deliveries(connection, 1)]
    log.correct("A", 0.6)
    told(log)
    with write_transaction(log.engine) as connection:  # as `satctl backup restore` leaves it
        for table in (PublicationDay, Publication):
            connection.execute(delete(table).where(table.sequence > len(DAYS)))
        for bbox_id, position, mark in backed_up:
            [row] = [each for each in hooks.deliveries(connection, 1) if each.bbox_id == bbox_id]
            hooks.move(connection, row, (position, mark), claimed_by=None)
        hooks.request_resync(connection, "the ledger was restored")
    log.correct("A", 0.6)

    for _ in range(2):
        told(log)

    kinds = [one["type"].split(".")[1] for one in receiver.told()]
    assert kinds == ["changes", "resync", "resync", "changes"]
    before, after = receiver.told()[0], receiver.told()[-1]
    assert before["data"]["publication"] == after["data"]["publication"]
    assert before["id"] != after["id"]


def test_a_log_that_is_another_than_the_one_that_was_told_is_noticed(log: Log, receiver: Receiver) -> None:
    log.add_hook("all", receiver.url)
    with write_transaction(log.engine) as connection:
        [row, _] = hooks.deliveries(connection, 1)
        hooks.move(connection, row, (row.position, row.mark + 1))
    log.correct("A")

    told(log)

    assert [one["type"] for one in receiver.taken] == ["satfields.resync.v1"]


def test_the_names_of_regions_are_encoded_in_the_source(log: Log, receiver: Receiver) -> None:
    log.add_hook("all", receiver.url)
    with write_transaction(log.engine) as connection:
        registry.rename_region(connection, "A", "Größe ?")
    log.correct("A")

    told(log)

    assert receiver.taken[0]["source"].endswith("/regions/Gr%C3%B6%C3%9Fe%20%3F")


def test_the_receiver_of_the_how_to_page_applies_each_change_once(log: Log, receiver: Receiver) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/subscribe-to-corrections.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    log.now = datetime.now(UTC)
    log.add_hook("all", receiver.url)
    log.correct("A")
    told(log)
    [(headers, body)] = receiver.came
    seen: set[str] = set()
    applied: list[dict[str, Any]] = []

    statuses = [names["receive"](headers, sent, SECRET, seen, applied.append) for sent in (body + b" ", body, body)]

    assert statuses == [401, 204, 204]
    assert [each["data"]["changes"] for each in applied] == [log.changes("A")]


class Nursery:
    """A log to be told by processes that are killed."""

    def __init__(self, log: Log, store: Path, folder: Path, receiver: Receiver, program: subprocess.Popen[str]) -> None:
        log.add_hook("all", receiver.url)
        for region in REGIONS:
            log.correct(region)
        log.engine.dispose()
        assert program.stdin is not None
        assert program.stdout is not None
        self._log, self._store, self._folder, self._receiver = log, str(store), folder, receiver
        self._asks, self._tells = program.stdin, program.stdout
        self._changes = {region: log.changes(region) for region in REGIONS}

    def told(self, *kill_at: int) -> list[str]:
        """Deliver in processes, all but the last killed at an effect; gives the last one's effects."""
        copy, points = self._folder / f"{'-'.join(map(str, kill_at))}.db", self._folder / "points"
        shutil.copyfile(str(self._log.engine.url.database), copy)
        self._receiver.taken.clear()
        for nth, point in enumerate([*kill_at, None]):
            at = self._log.now + nth * 2 * hooks.CLAIM
            self._asks.write(json.dumps([f"sqlite:///{copy}", self._store, f"{at}", point, f"{points}"]) + "\n")
            self._asks.flush()
            assert int(self._tells.readline()) == (0 if point is None else -signal.SIGKILL)
        for region in REGIONS:
            assert self._receiver.changes(region) == self._changes[region], f"killed at {kill_at}"
        found: list[str] = json.loads(points.read_text())
        return found


@pytest.fixture
def nursery(log: Log, store_folder: Path, tmp_path: Path, receiver: Receiver) -> Iterator[Nursery]:
    command = [sys.executable, killed.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        yield Nursery(log, store_folder, tmp_path, receiver, program)


@pytest.mark.slow
def test_killed_at_some_effect_and_delivered_again_all_is_told(nursery: Nursery) -> None:
    points = nursery.told()
    assert points.count("before an event") == 4

    for point in range(0, len(points), SAMPLE):
        nursery.told(point)


@pytest.mark.nightly
def test_killed_at_each_effect_and_again_at_another_all_is_told(nursery: Nursery) -> None:
    points = nursery.told()
    for point in range(len(points)):
        nursery.told(point, (point * 5) % 7)
