"""Delivery: each webhook is told of what was published since it was told last, region after region, in order.

Webhooks are told side by side, each for a bounded time, so that none waits for another's receiver. What was told is
noted after the receiver took it; killed between the two, the same event is sent again. A receiver that does not answer
is tried after a growing pause; the log waits, since nothing of it is copied here.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from uuid import uuid4

from sqlalchemy import Connection, Engine

from satcommon.db import registry
from satcommon.db import webhooks as ledger
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Delivery, Region, Webhook
from satcommon.db.publications import publications
from satcommon.db.webhooks import Failure, Position
from satcommon.errors import RemovedError, SatfieldsError
from satcommon.publication.changes import Selection, changes
from satcommon.publication.cursor import marks_of, newest
from satcommon.publication.objects import ResultObjects
from satcommon.settings import Settings
from satcommon.webhooks.event import CONTENT_TYPE, Event, changes_event, parts, resync_event
from satcommon.webhooks.post import NoAnswerError, post
from satcommon.webhooks.signature import signed_headers

SECONDS = 60.0  # for which a webhook is told at a time; the next run goes on
_AT_ONCE = 8  # webhooks that are told side by side

_log = logging.getLogger(__name__)


@dataclass
class Told:
    """What a webhook was told; `errors` has what failed, by region."""

    webhook: str
    events: int = 0
    changes: int = 0
    errors: dict[str, str] = field(default_factory=dict)


class AnswerError(SatfieldsError):
    """A receiver answered that it did not take an event."""

    def __init__(self, status: int) -> None:
        hint = "; redirects are not followed: add the webhook with its new address" if 300 <= status < 400 else ""
        super().__init__(f"the receiver answered {status}{hint}")
        self.is_gone = status == HTTPStatus.GONE
        self.is_of_all = status >= 500 or status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.GONE)


def send(webhook: Webhook, event: Event, now: datetime, *, private: bool) -> None:
    """Send an event once.

    Args:
        webhook: that is told.
        event: the message.
        now: the time of the attempt, which is signed.
        private: allow http, and private networks.

    Raises:
        NoAnswerError: the receiver can't be reached, or may not be.
        AnswerError: it did not take the event.
    """
    headers = {"Content-Type": CONTENT_TYPE, **signed_headers(webhook.secret, event.id, now, event.body)}
    status = post(webhook.url, headers, event.body, private=private)
    if not 200 <= status < 300:
        raise AnswerError(status)


def deliver(
    engine: Engine,
    objects: ResultObjects,
    settings: Settings,
    clock: Callable[[], datetime],
    seconds: float = SECONDS,
) -> Sequence[Told]:
    """Tell every webhook what there is to tell.

    Args:
        engine: of the ledger.
        objects: of the store.
        settings: how long to try, and whether private networks are allowed.
        clock: gives the present.
        seconds: for which a webhook is told, and the next event is not begun.

    Returns:
        Of each webhook that was due, what it was told.
    """
    with write_transaction(engine) as connection:
        ledger.enlist_regions(connection)
        due = ledger.due(connection, clock())
        hooks = [webhook for webhook in ledger.webhooks(connection) if webhook.webhook_id in due]
        regions = {region.bbox_id: region for region in registry.regions(connection)}
    deliverer = _Deliverer(engine, objects, settings, clock, time.monotonic() + seconds)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(
            pool.map(
                lambda hook: deliverer.webhook(hook, [regions[bbox_id] for bbox_id in due[hook.webhook_id]]), hooks
            )
        )


@dataclass(frozen=True)
class _Step:
    """An event, and where the webhook is when it was told."""

    event: Event
    position: Position
    part: int


@dataclass(frozen=True)
class _Deliverer:
    engine: Engine
    objects: ResultObjects
    settings: Settings
    clock: Callable[[], datetime]
    end: float  # of the monotonic clock

    def webhook(self, webhook: Webhook, regions: Sequence[Region]) -> Told:
        """Tell a webhook of regions; when its receiver is down, that is tried once for all of them."""
        told = Told(webhook.name)
        for number, region in enumerate(regions):
            if time.monotonic() > self.end:
                break
            token = uuid4().hex
            with write_transaction(self.engine) as connection:
                delivery = ledger.claim(connection, webhook.webhook_id, region.bbox_id, token, self.clock())
            if delivery is None:
                continue
            try:
                self._region(webhook, region, delivery, told)
            except SatfieldsError as error:
                is_of_all = isinstance(error, NoAnswerError) or (isinstance(error, AnswerError) and error.is_of_all)
                others = [other.bbox_id for other in regions[number + 1 :]] if is_of_all else []
                told.errors[region.name] = str(error)
                _log.warning("webhook %s, region %s: %s", webhook.name, region.name, error)
                with write_transaction(self.engine) as connection:
                    ledger.fail(connection, delivery, self._failure(error), others, self.clock())
                if is_of_all:
                    break
        return told

    def _failure(self, error: SatfieldsError) -> Failure:
        is_gone = isinstance(error, AnswerError) and error.is_gone
        pause = timedelta(seconds=self.settings.retry_pause_seconds)
        return Failure(str(error), pause, self.settings.webhook_days, is_gone)

    def _region(self, webhook: Webhook, region: Region, delivery: Delivery, told: Told) -> None:
        """Tell a webhook of a region until nothing is left, time is up, or the claim is lost."""
        for step in self._steps(webhook, region, delivery):
            with write_transaction(self.engine) as connection:
                now = self.clock()
                if ledger.claim(connection, webhook.webhook_id, region.bbox_id, str(delivery.claimed_by), now) is None:
                    return
            send(webhook, step.event, now, private=self.settings.webhook_private)
            told.events += 1
            told.changes += step.event.changes
            with write_transaction(self.engine) as connection:
                if not ledger.note_delivered(connection, delivery, step.position, step.part, self.clock()):
                    return
            if time.monotonic() > self.end:
                break
        with write_transaction(self.engine) as connection:
            ledger.release(connection, delivery)

    def _steps(self, webhook: Webhook, region: Region, delivery: Delivery) -> Iterator[_Step]:
        """What is to be told of a region, in order."""
        with read_transaction(self.engine) as connection:
            there = _position(connection, region, delivery.position)
        position, resync = (delivery.position, delivery.mark), delivery.resync
        if resync is None and position != there:
            resync = "the publications that you were told of are no longer in the log"
        if resync is None:
            try:
                yield from self._changes(webhook, region, delivery)
            except RemovedError as error:
                resync = f"changes were removed, out of retention, before they could be told: {error}"
        if resync is not None:
            yield self._resync(webhook, region, delivery, resync)

    def _changes(self, webhook: Webhook, region: Region, delivery: Delivery) -> Iterator[_Step]:
        position, told = (delivery.position, delivery.mark), delivery.part
        with read_transaction(self.engine) as connection:
            until = _position(connection, region, newest(connection).get(region.bbox_id, 0))
            log = publications(connection, region.bbox_id, position[0], until[0])
        selection = Selection(columns=json.loads(webhook.columns), new=webhook.first_publications)
        for publication in log:
            sequence = publication.sequence
            tables = changes(self.engine, self.objects, region, sequence - 1, sequence, selection)
            for part in parts(tables, webhook, told):
                with read_transaction(self.engine) as connection:
                    event = changes_event(connection, webhook, region, publication, part)
                    after = position if part.more else _position(connection, region, sequence)
                yield _Step(event, after, part.first + len(part.changes) if part.more else 0)
            with read_transaction(self.engine) as connection:
                position, told = _position(connection, region, sequence), 0
        with write_transaction(self.engine) as connection:  # the last ones told may have been before the newest
            ledger.move(connection, delivery, until)

    def _resync(self, webhook: Webhook, region: Region, delivery: Delivery, why: str) -> _Step:
        """What can't be told; where changes go on is noted first, so that each attempt says the same."""
        with write_transaction(self.engine) as connection:
            if delivery.resync is None:
                position = _position(connection, region, newest(connection).get(region.bbox_id, 0))
                ledger.move(connection, delivery, position, resync=why)
            else:
                position = _position(connection, region, delivery.position)
            return _Step(resync_event(connection, webhook, region, position[0], why), position, 0)


def _position(connection: Connection, region: Region, sequence: int) -> Position:
    """A sequence of a region's log with its mark."""
    return sequence, marks_of(connection, {region.bbox_id: sequence}).get(region.bbox_id, 0)
