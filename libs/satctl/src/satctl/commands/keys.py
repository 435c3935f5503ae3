"""`satctl keys`: who may read results by HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from satcommon.db import api_keys
from satcommon.db.engine import read_transaction, write_transaction

from satctl.completion import region_names
from satctl.opening import opened
from satctl.output.tables import print_json, print_table, say
from satctl.parameters import json_option

_SPAN = re.compile(r"([1-9]\d{0,4})([dh])")


class Span(click.ParamType):  # type: ignore[type-arg]  # generic only in click's newest versions
    """A span of time as 90d or 12h; `never` for one without end."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The span, or a usage error."""
        if isinstance(value, timedelta):
            return value
        if value == "never":
            return timedelta.max
        found = _SPAN.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no span of time; expected days or hours, as 90d or 12h, or `never`", param, ctx)
        return timedelta(**{{"d": "days", "h": "hours"}[found[2]]: int(found[1])})


@click.group()
def keys() -> None:
    """Make, list and revoke keys of the HTTP API (`satserve`).

    Requests from the same machine need no key.

    \b
    Examples:
      satctl keys add "field app" --region A --region B --expires 90d
      satctl keys list
      satctl keys revoke 5f0c2a9be17d4a31
    """


@keys.command()
@click.argument("name")
@click.option(
    "--region", "regions", multiple=True, help="A region that it may read; repeatable.", shell_complete=region_names
)
@click.option("--all-regions", is_flag=True, help="It may read all regions, also those that come later.")
@click.option("--expires", type=Span(), default="90d", show_default=True, help="How long it is valid, or `never`.")
@json_option
def add(name: str, regions: tuple[str, ...], all_regions: bool, expires: timedelta, as_json: bool) -> None:
    """Make a key, and print it once: the database keeps only its digest.

    \b
    Examples:
      satctl keys add "field app" --region A --region B
      satctl keys add dashboard --all-regions --expires 365d
    """
    if all_regions and regions:
        raise click.UsageError("give either --region or --all-regions")
    now = datetime.now(UTC)
    until = None if expires == timedelta.max else now + expires
    with opened() as env, write_transaction(env.engine) as connection:
        key_id, key = api_keys.add_key(connection, name, None if all_regions else regions, until, now)
    if as_json:
        print_json({"id": key_id, "key": key, "name": name, "expires_at": until})
        return
    click.echo(key)
    told = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "without end"
    click.echo(f"key {key_id} is valid {told}; it is not shown again. Send it as: Authorization: Bearer KEY", err=True)


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List the keys, without their secrets.

    \b
    Examples:
      satctl keys list
      satctl keys list --json
    """
    now = datetime.now(UTC)
    with opened() as env, read_transaction(env.engine) as connection:
        found = api_keys.keys(connection)
    if as_json:
        print_json([{**vars(key), "state": _state(key, now)} for key in found])
        return
    rows = [
        (
            key.key_id,
            key.name,
            _state(key, now),
            "all" if key.regions is None else ", ".join(key.regions),
            "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}",
        )
        for key in found
    ]
    print_table(("id", "name", "state", "regions", "expires"), rows)


def _state(key: api_keys.ListedKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "valid"


@keys.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Refuse a key from the next request on.

    \b
    Examples:
      satctl keys revoke 5f0c2a9be17d4a31
    """
    with opened() as env, write_transaction(env.engine) as connection:
        done = api_keys.revoke_key(connection, key_id, datetime.now(UTC))
    say("revoked" if done else "it was revoked before; nothing was changed")
