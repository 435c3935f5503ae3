"""`satctl webhooks`: addresses that are told of changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.errors import InputError
from satcommon.messages import command, counted
from satcommon.settings import settings

from satctl.completion import webhook_names
from satctl.opening import opened
from satctl.output.tables import moment, print_json, print_table, say
from satctl.parameters import json_option, region_option, regions_of, wide_option

if TYPE_CHECKING:
    from satcommon.db.models import Delivery, Webhook
    from sqlalchemy import Connection

_MOST_LETTERS = 100  # of a name
_name_argument = click.argument("name", shell_complete=webhook_names)


@click.group()
def webhooks() -> None:
    """Push changes to receivers, as signed CloudEvents."""


@webhooks.command()
@click.argument("name")
@click.argument("url")
@region_option
@click.option("--column", "columns", multiple=True, metavar="NAME", help="Only changes of this column; repeatable.")
@click.option(
    "--threshold", type=click.FloatRange(min=0, min_open=True), help="Only changes of a number by at least this much."
)
@click.option("--new/--no-new", help="Also the rows of days that are published for the first time.")
@click.option("--since", metavar="CURSOR|INSTANT", help="Begin there.  [default: with what is published from now on]")
@json_option
def add(
    name: str,
    url: str,
    names: tuple[str, ...],
    columns: tuple[str, ...],
    threshold: float | None,
    new: bool,
    since: str | None,
    as_json: bool,
) -> None:
    """Add a webhook, and show its secret, once.

    Changes are those of `satctl changes`. They are sent by Dagster's job `deliver_webhooks`, in order within a region,
    until the receiver at URL answers with a status of 2xx. An event can come twice, then with the same id. The secret
    signs by the Standard Webhooks scheme; keep it as the receiver's.

    A change without a number before or after is told whatever the threshold. URL has to be https, and of the public
    network, unless SATFIELDS_WEBHOOK_PRIVATE is true. Without --region, regions that are registered later count, too.

    \b
    Examples:
      satctl webhooks add farm https://example.org/hooks/satfields
      satctl webhooks add alerts https://example.org/ndvi --region A \\
        --column ndvi_mean --threshold 0.05
      satctl webhooks add mirror https://example.org/all --new --since 2026-06-01
    """
    from satcommon.db import webhooks as ledger
    from satcommon.publication import cursor
    from satcommon.publication.changes import checked_columns
    from satcommon.webhooks.event import is_number
    from satcommon.webhooks.post import checked_url
    from satcommon.webhooks.signature import new_secret

    from satctl.commands.changes import positions

    if not name.strip() or len(name) > _MOST_LETTERS:
        raise InputError(f"NAME {name[:20]!r}: expected 1 to {_MOST_LETTERS} letters")
    if threshold is not None and not any(is_number(column) for column in columns):
        raise InputError("--threshold: is in a column's unit; name columns of numbers with --column")
    secret, now = new_secret(), datetime.now(UTC)
    checked_url(url, private=settings().webhook_private)
    with opened() as env, write_transaction(env.engine) as connection:
        begin = cursor.newest(connection) if since is None else positions(connection, since)
        marks = cursor.marks_of(connection, begin)
        regions = [region.bbox_id for region in regions_of(connection, names)] if names else None
        hook = ledger.NewWebhook(name, url, secret, regions, checked_columns(columns), threshold, new)
        ledger.add(connection, hook, {at: (position, marks.get(at, 0)) for at, position in begin.items()}, now)
    if as_json:
        print_json({"webhook": name, "secret": secret})
        return
    say(f"added webhook {name}; {command('webhooks', 'test', name)} sends an event that tells nothing")
    say(f"secret, shown this once: {secret}")


@webhooks.command(name="list")
@wide_option
@json_option
def list_webhooks(wide: bool, as_json: bool) -> None:
    """List the webhooks, and how each fares. Of addresses only the host is shown.

    \b
    Examples:
      satctl webhooks list
      satctl webhooks list --json
    """
    now = datetime.now(UTC)
    with opened() as env, read_transaction(env.engine) as connection:
        listed = webhook_states(connection)
    if as_json:
        print_json(listed)
        return
    if not listed:
        say("there are no webhooks; add one with `satctl webhooks add`")
        return
    print_table(
        ("webhook", "address", "state", "regions", "waiting", "failing since", "next try", "error"),
        [
            (
                hook["name"],
                hook["address"],
                hook["state"],
                len(hook["regions"]),
                hook["waiting"],
                hook["failing_since"],
                hook["next_try_at"] and moment(hook["next_try_at"], now),
                hook["error"],
            )
            for hook in listed
        ],
        spare=("failing since", "address", "regions", "next try", "error"),
        wide=wide,
    )


@webhooks.command()
@_name_argument
def test(name: str) -> None:
    """Send an event of type satfields.test.v1, now and once. Exit code 1 where the receiver does not take it.

    It is sent from where this command runs, and SATFIELDS_WEBHOOK_PRIVATE is this process's.

    \b
    Examples:
      satctl webhooks test farm
    """
    from satcommon.db import webhooks as ledger
    from satcommon.webhooks.deliver import send
    from satcommon.webhooks.event import trial_event

    with opened() as env:
        with read_transaction(env.engine) as connection:
            hook = ledger.webhook(connection, name)
            event = trial_event(connection, hook, datetime.now(UTC))
        send(hook, event, datetime.now(UTC), private=env.settings.webhook_private)
    say(f"the receiver took event {event.id}")


@webhooks.command()
@_name_argument
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
def remove(name: str, dry_run: bool) -> None:
    """Remove a webhook, its secret, and how far it was told.

    \b
    Examples:
      satctl webhooks remove farm --dry-run
      satctl webhooks remove farm
    """
    from satcommon.db import webhooks as ledger

    with opened() as env, write_transaction(env.engine) as connection:
        count = len(ledger.deliveries(connection, ledger.webhook(connection, name).webhook_id))
        if not dry_run:
            ledger.remove(connection, name)
    say(f"{'would remove' if dry_run else 'removed'} webhook {name}, of {counted(count, 'region')}")


@webhooks.command()
@_name_argument
def resume(name: str) -> None:
    """Try a failing or dead webhook again immediately.

    It goes on after what its receiver took last. Where that is no longer in the log, the receiver is told to read all
    rows anew.

    \b
    Examples:
      satctl webhooks resume farm
    """
    from satcommon.db import webhooks as ledger

    with opened() as env, write_transaction(env.engine) as connection:
        count = ledger.resume(connection, name)
    say(f"webhook {name}: {counted(count, 'region')} will be tried by the next run of `deliver_webhooks`")


def webhook_states(connection: Connection) -> list[dict[str, Any]]:
    """Each webhook and how it fares, as JSON tells it."""
    from satcommon.db import registry
    from satcommon.db import webhooks as ledger
    from satcommon.publication.cursor import newest

    names = {region.bbox_id: region.name for region in registry.regions(connection)}
    ends = newest(connection)
    return [
        _state(hook, ledger.deliveries(connection, hook.webhook_id), names, ends)
        for hook in ledger.webhooks(connection)
    ]


def _state(
    hook: Webhook, rows: Sequence[Delivery], names: Mapping[int, str], ends: Mapping[int, int]
) -> dict[str, Any]:
    from satcommon.webhooks.post import shown

    failing = [row for row in rows if row.attempts]
    dead = [row for row in rows if row.dead_at is not None]
    return {
        "name": hook.name,
        "address": shown(hook.url),
        "state": "dead" if dead else "failing" if failing else "well",
        "every_region": hook.every_region,
        "regions": [names[row.bbox_id] for row in rows],
        "columns": json.loads(hook.columns),
        "threshold": hook.threshold,
        "new": hook.first_publications,
        "waiting": sum(ends.get(row.bbox_id, 0) - row.position for row in rows),
        "resync": sorted({row.resync for row in rows if row.resync}),
        "failing_since": min((row.failing_since for row in failing if row.failing_since), default=None),
        "next_try_at": min((row.next_try_at for row in failing if row.next_try_at and not row.dead_at), default=None),
        "dead_since": min((row.dead_at for row in dead if row.dead_at), default=None),
        "dead_regions": [names[row.bbox_id] for row in dead],
        "error": next((row.error for row in failing if row.error), None),
        "delivered_at": max((row.delivered_at for row in rows if row.delivered_at), default=None),
    }
