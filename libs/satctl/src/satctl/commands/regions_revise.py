"""`satctl regions monitor`, `pin` and `algorithms`: a region's days, and the rules by which they are computed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import click
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.expectations import timelines
from satcommon.db.registry import monitor_region, pin_algorithm
from satcommon.errors import AlgorithmError, InputError
from satcommon.messages import counted
from satcommon.stats.algorithm import CURRENT, resolved
from satcommon.stats.algorithm import algorithms as known_algorithms
from sqlalchemy import Connection

from satctl.completion import region_names
from satctl.opening import opened
from satctl.output.tables import names, print_json, print_table, say, warn
from satctl.parameters import DAY, json_option


@click.command()
@click.argument("name", shell_complete=region_names)
@click.option("--from", "first", type=DAY, help="First monitored day.  [default: unchanged]")
@click.option("--until", "last", type=DAY, help="Last monitored day.  [default: unchanged]")
@click.option("--open", "open_end", is_flag=True, help="Monitor without an end.")
def monitor(name: str, first: date | None, last: date | None, open_end: bool) -> None:
    """Monitor a region from another day, or until another one.

    Closed field-days that become monitored are missed; the next replay computes them. It also withdraws the rows of
    days that are no longer monitored.

    \b
    Examples:
      satctl regions monitor A --from 2026-03-01
      satctl regions monitor A --until 2026-10-31
      satctl regions monitor A --open
    """
    if first is None and last is None and not open_end:
        raise click.UsageError("give --from DAY, --until DAY or --open")
    if last is not None and open_end:
        raise click.UsageError("give either --until DAY or --open")
    now = datetime.now(UTC)
    with opened() as env, write_transaction(env.engine) as connection:
        registry.lock(connection)  # an end that is not given is read under the lock, so that it stays unchanged
        registered = registry.region(connection, name)
        first = first or registered.monitored_from
        until = None if open_end else last or registered.monitored_until
        changed = monitor_region(connection, name, first, until, now)
    span = f"monitored from {first}" + (f" until {until}" if until else " on")
    say(f"region {name} is {span}" if changed else f"region {name} is {span} already; nothing was changed")


@click.command()
@click.argument("name", shell_complete=region_names)
@click.argument("version")
@click.option("--dry-run", is_flag=True, help="Report what would be recomputed; change nothing.")
def pin(name: str, version: str, dry_run: bool) -> None:
    """Pin a region to an algorithm version.

    All closed field-days are missed, and the next replay recomputes them with that version. VERSION may be given
    without its digest. Every location must know it: run `satctl regions algorithms` with the settings of each.

    \b
    Examples:
      satctl regions pin A edge --dry-run
      satctl regions pin A edge
    """
    try:
        version = resolved(version)
    except AlgorithmError as error:
        raise InputError(str(error)) from error
    now = datetime.now(UTC)
    with opened() as env:
        if dry_run:
            with read_transaction(env.engine) as connection:
                registered = registry.region(connection, name)
                changed = registered.algorithm_version != version
                days = _closed_field_days(connection, registered.bbox_id)
        else:
            with write_transaction(env.engine) as connection:
                days = _closed_field_days(connection, registry.region(connection, name).bbox_id)
                changed = pin_algorithm(connection, name, version, now)
    if not changed:
        say(f"region {name} is pinned to {version} already; nothing was changed")
    elif dry_run:
        say(f"would pin region {name} to {version}: {counted(days, 'field-day')} would be recomputed")
    else:
        say(f"region {name} is pinned to {version}: {counted(days, 'field-day')} to be recomputed, see `satctl plan`")


def _closed_field_days(connection: Connection, bbox_id: int) -> int:
    """The expected field-days of a region's closed days."""
    closed = ledger.watermark(connection, bbox_id) or date.min
    spans = [span for line in timelines(connection, bbox_id).values() for span in line.spans]
    return sum((min(span.last, closed) - span.first).days + 1 for span in spans if span.first <= closed)


@click.command()
@json_option
def algorithms(as_json: bool) -> None:
    """List the known algorithm versions, their rules, and the regions pinned to them.

    \b
    Examples:
      satctl regions algorithms
      satctl regions algorithms --json
    """
    pinned: dict[str, list[str]] = {}
    with opened() as env, read_transaction(env.engine) as connection:
        for region in registry.regions(connection):
            pinned.setdefault(region.algorithm_version, []).append(region.name)
    known = known_algorithms()
    unknown = [version for version in pinned if version not in known]
    if as_json:
        rules_of = {version: algorithm.rules for version, algorithm in known.items()} | dict.fromkeys(unknown)
        print_json([{"version": v, "rules": rules, "regions": pinned.get(v, [])} for v, rules in rules_of.items()])
        return
    rows = [[rule, *(_rule(algorithm.rules[rule]) for algorithm in known.values())] for rule in known[CURRENT].rules]
    regions_of = ["regions", *(names(pinned.get(version, [])) or "-" for version in known)]
    print_table(("", *known), [*rows, regions_of])
    for version in unknown:
        warn(f"version {version!r} is not known here; {names(pinned[version])} can't be computed with these settings")


def _rule(value: Any) -> str:
    """A rule's value as a cell: numbers whole, not rounded."""
    if isinstance(value, list):
        return ", ".join(map(_rule, value)) or "none"
    if isinstance(value, str):
        return value
    return "none" if value is None else repr(value).removesuffix(".0")
