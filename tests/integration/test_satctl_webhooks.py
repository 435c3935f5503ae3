"""`satctl webhooks`: adding, trying, listing, resuming and removing; and what `satctl status` says of them."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from satcommon.db.engine import write_transaction
from satcommon.db.models import Delivery
from satcommon.environment import Environment
from satcommon.publication.objects import ResultObjects
from satcommon.settings import settings
from satcommon.webhooks.deliver import deliver
from sqlalchemy import update

from tests.integration.satctl_world import Satctl
from tests.integration.test_satctl_changes import listed, shifted
from tests.unit.webhooks.receiver import receiving


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_WEBHOOK_PRIVATE", "true")
    settings.cache_clear()


def state(satctl: Satctl) -> dict[str, Any]:
    [found] = json.loads(satctl("webhooks", "list", "--json").stdout)
    return dict(found)


def test_corrections_reach_a_receiver_as_changes_lists_them(closed: Environment, private: None, satctl: Satctl) -> None:
    with receiving() as receiver:
        secret = json.loads(satctl("webhooks", "add", "farm", receiver.url, "--json").stdout)["secret"]
        since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        shifted(closed, satctl)
        assert state(satctl)["waiting"] > 0

        deliver(closed.engine, ResultObjects(closed.store()), settings(), lambda: datetime.now(UTC))

    changes, cursor = listed(satctl, "--since", since)
    assert receiver.changes("S") == changes
    assert receiver.taken[-1]["data"]["cursor"] == cursor
    headers, body = receiver.came[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert hmac.digest(b64decode(secret[6:]), signed, hashlib.sha256) == b64decode(headers["webhook-signature"][3:])
    assert (state(satctl)["waiting"], state(satctl)["state"]) == (0, "well")


def test_the_secret_is_shown_once_and_of_the_address_only_the_host(closed: Environment, satctl: Satctl) -> None:
    said = satctl("webhooks", "add", "farm", "https://example.org/services/hidden?token=hidden").stdout

    secret = said.split()[-1]
    assert secret.startswith("whsec_")
    for command in (["webhooks", "list"], ["webhooks", "list", "--json"], ["status", "--json"]):
        told = satctl(*command).output
        assert "https://example.org/..." in told
        assert secret not in told
        assert "hidden" not in told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["http://example.org/"], "expected https; set SATFIELDS_WEBHOOK_PRIVATE=true"),
        (["https://127.0.0.1/"], "no address of the public network"),
        (["https://example.org/", "--region", "nowhere"], "nowhere"),
        (["https://example.org/", "--column", "ndvi"], "rows have no such column"),
        (["https://example.org/", "--threshold", "0.1"], "is in a column's unit"),
        (["https://example.org/", "--threshold", "0"], "0"),
    ],
)
def test_what_can_not_be_told_is_refused(arguments: list[str], why: str, closed: Environment, satctl: Satctl) -> None:
    assert why in satctl("webhooks", "add", "farm", *arguments, code=2).output
    assert "there are no webhooks" in satctl("webhooks", "list").stdout


def test_a_name_is_given_once_and_an_unknown_one_is_refused(closed: Environment, satctl: Satctl) -> None:
    satctl("webhooks", "add", "farm", "https://example.org/")

    assert "exists already" in satctl("webhooks", "add", "farm", "https://example.org/", code=2).output
    assert "there are: farm" in satctl("webhooks", "resume", "fram", code=2).output


def test_a_trial_tells_whether_the_receiver_takes_it(closed: Environment, private: None, satctl: Satctl) -> None:
    with receiving(lambda number: 204 if number == 0 else 401) as receiver:
        satctl("webhooks", "add", "farm", receiver.url)

        assert "took event" in satctl("webhooks", "test", "farm").stdout
        assert "answered 401" in satctl("webhooks", "test", "farm", code=1).output

    assert receiver.taken[0]["type"] == "satfields.test.v1"


def test_status_warns_of_a_dead_webhook_until_it_is_resumed(closed: Environment, satctl: Satctl) -> None:
    satctl("webhooks", "add", "farm", "https://example.org/")
    then = datetime.now(UTC) - timedelta(days=2)
    with write_transaction(closed.engine) as connection:
        dead = {"attempts": 20, "failing_since": then, "dead_at": then, "error": "the receiver answered 500"}
        connection.execute(update(Delivery).values(dead))

    assert state(satctl)["state"] == "dead"
    said = satctl("status").output
    assert "webhook farm is dead: given up 2 d 0 h ago for 1 region: the receiver answered 500" in said
    assert "`satctl webhooks resume farm`" in said
    assert "1 region will be tried" in satctl("webhooks", "resume", "farm").stdout
    assert "webhook farm" not in satctl("status").output


def test_a_removal_can_be_told_before_it_is_done(closed: Environment, satctl: Satctl) -> None:
    satctl("webhooks", "add", "farm", "https://example.org/", "--region", "S")

    assert "would remove webhook farm, of 1 region" in satctl("webhooks", "remove", "farm", "--dry-run").stdout
    assert state(satctl)["name"] == "farm"
    satctl("webhooks", "remove", "farm")
    assert "there are no webhooks" in satctl("webhooks", "list").stdout
