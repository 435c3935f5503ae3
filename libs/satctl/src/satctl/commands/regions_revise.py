"""`satctl regions monitor`, `pin`, `algorithms` and `indices`: a region's days, and the rules that compute them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

import click
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.expectations import timelines
from satcommon.db.registry import monitor_region, pin_algorithm
from satcommon.errors import AlgorithmError, InputError
from satcommon.messages import counted
from satcommon.stats.algorithm import CURRENT, algorithm, resolved
from satcommon.stats.algorithm import algorithms as known_algorithms
from sqlalchemy import Connection

from satctl.completion import region_names
from satctl.opening import opened
from satctl.output.tables import names as listed
from satctl.output.tables import print_facts, print_json, print_table, say, warn
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

    If the version needs other bands than the one before, ingest asks for all days again and reads their scenes with
    these. Until then, and where the source has no such band, the index is null.

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
        bands = algorithm(version).further_bands
        if dry_run:
            with read_transaction(env.engine) as connection:
                registered = registry.region(connection, name)
                changed = registered.algorithm_version != version
                bands_change = bands != registry.further_bands(registered.algorithm_version)
                days = _closed_field_days(connection, registered.bbox_id)
        else:
            with write_transaction(env.engine) as connection:
                registered = registry.region(connection, name)
                bands_change = bands != registry.further_bands(registered.algorithm_version)
                days = _closed_field_days(connection, registered.bbox_id)
                changed = pin_algorithm(connection, name, version, now)
    if not changed:
        say(f"region {name} is pinned to {version} already; nothing was changed")
    elif dry_run:
        say(f"would pin region {name} to {version}: {counted(days, 'field-day')} would be recomputed")
    else:
        say(f"region {name} is pinned to {version}: {counted(days, 'field-day')} to be recomputed, see `satctl plan`")
    if changed and bands_change:
        done = "would be" if dry_run else "are"
        say(f"its scenes {done} read again, {_with(bands)}: by ingest, or immediately by `satctl scenes rescan`")


def _with(bands: tuple[str, ...]) -> str:
    return f"with {', '.join(bands)}" if bands else "without further bands"


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
    regions_of = ["regions", *(listed(pinned.get(version, [])) or "-" for version in known)]
    print_table(("", *known), [*rows, regions_of])
    for version in unknown:
        warn(f"version {version!r} is not known here; {listed(pinned[version])} can't be computed with these settings")


@click.command()
@click.argument("names", metavar="[INDEX]...", nargs=-1)
@click.option("--domain", metavar="WORD", help="Only indices of vegetation, water, soil, burn or snow.")
@json_option
def indices(names: tuple[str, ...], domain: str | None, as_json: bool) -> None:
    """List the indices that an algorithm version may ask for beside NDVI and NDMI.

    With names, these alone, with formula and source. Letters of formulas and all indices are told in
    docs/reference/indices.md.

    \b
    Examples:
      satctl regions indices --domain water
      satctl regions indices evi ndrei
      satctl regions indices --json
    """
    from satcommon.raster.indices import ALWAYS, INDICES

    unknown = [name for name in names if name not in INDICES]
    domains = {index.domain for index in INDICES.values()}
    if unknown:
        raise InputError(f"{unknown[0]!r} is no index; `satctl regions indices` lists all of them")
    if domain is not None and domain not in domains:
        raise InputError(f"--domain {domain}: expected one of {', '.join(sorted(domains))}")
    chosen = {
        name: index
        for name, index in INDICES.items()
        if (name in names if names else name not in ALWAYS) and domain in (None, index.domain)
    }
    if as_json:
        print_json([{"index": name, **asdict(index), "bands": index.bands} for name, index in chosen.items()])
    elif names:
        for name, index in chosen.items():
            constants = ", ".join(f"{constant} = {value:g}" for constant, value in index.constants.items())
            told = {"platforms": ", ".join(index.platforms), "bands": ", ".join(index.bands), "constants": constants}
            print_facts(({"index": name} | asdict(index) | told).items())
    else:
        rows = [(name, index.long_name, index.domain, ", ".join(index.bands)) for name, index in chosen.items()]
        print_table(("index", "in words", "domain", "bands"), rows)


def _rule(value: Any) -> str:
    """A rule's value as a cell: numbers whole, not rounded."""
    if isinstance(value, list):
        return ", ".join(map(_rule, value)) or "none"
    if isinstance(value, str):
        return value
    return "none" if value is None else repr(value).removesuffix(".0")
