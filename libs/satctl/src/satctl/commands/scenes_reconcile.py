"""`satctl scenes reconcile`: what is registered, held against what another catalogue lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import click
from satcommon.db import registry
from satcommon.db.answers import Absence
from satcommon.db.engine import read_transaction
from satcommon.errors import InputError, RetryableError
from satcommon.messages import command as shown_command
from satcommon.messages import counted

from satctl.opening import opened
from satctl.output.tables import names as named
from satctl.output.tables import print_json, print_table, progress, say, warn
from satctl.parameters import DAY, json_option, region_option, regions_of, wide_option

if TYPE_CHECKING:
    from satcommon.pipeline.reconcile import Reconciliation


@click.command()
@click.option(
    "--against",
    "other",
    metavar="OTHER",
    help="A profile's name, a TOML file of a catalogue, a folder, or s3://bucket/prefix.  "
    "[default: SATFIELDS_RECONCILE_AGAINST]",
)
@region_option
@click.option("--from", "first", type=DAY, help="First day.  [default: the first within the allowed lateness]")
@click.option("--to", "last", type=DAY, help="Last day.  [default: yesterday, UTC]")
@wide_option
@json_option
def reconcile(
    other: str | None,
    names: tuple[str, ...],
    first: date | None,
    last: date | None,
    wide: bool,
    as_json: bool,
) -> None:
    """List the acquisitions that another catalogue has and this ledger lacks, and the reverse.

    Acquisitions are matched by platform, tile and time of sensing (30 minutes), whatever their ids. "Newer there" has a
    higher baseline or tier there; "refused here" is in quarantine or was rejected; "unclear there" can't be understood
    there, and may be lacking. Due days that neither has are told as late or lost upstream. Changes nothing. Exit code 1
    if something is lacking here or unclear, or if the other catalogue could not be searched to the end.

    \b
    Examples:
      satctl scenes reconcile --against earth-search-c1
      satctl scenes reconcile --against cdse --region A --from 2025-06-01
      satctl scenes reconcile --against s3://archive/scenes --json
    """
    from satcommon.pipeline.reconcile import reconcile as reconcile_region
    from satcommon.pipeline.reconcile import span_of
    from satcommon.sources.open_source import open_other

    now = datetime.now(UTC)
    done: list[Reconciliation] = []
    failed: dict[str, str] = {}
    with opened() as env:
        stated = other or env.settings.reconcile_against
        if stated is None:
            raise InputError("--against OTHER is missing, and SATFIELDS_RECONCILE_AGAINST is not set; state one")
        last = last or now.date() - timedelta(days=1)
        first = first or last - timedelta(days=env.settings.lateness_days)
        if last < first:
            raise InputError(f"--to {last} is before --from {first}")
        source = open_other(stated, "--against" if other else "SATFIELDS_RECONCILE_AGAINST")
        with read_transaction(env.engine) as connection:
            regions = regions_of(connection, names) if names else registry.regions(connection, active=True)
        spans = [(region, *span_of(region, first, last)) for region in regions]
        spans = [(region, begin, end) for region, begin, end in spans if begin <= end]
        with progress("comparing", total=len(spans)) as advance:
            for region, begin, end in spans:
                try:
                    done.append(reconcile_region(env.engine, source, region, begin, end, env.deadlines, now))
                except RetryableError as error:
                    failed[region.name] = str(error)
                advance()
    if as_json:
        told = [vars(each) | {"lacking": each.lacking} for each in done]
        print_json({"against": stated, "from": first, "to": last, "regions": told, "failed": failed})
    else:
        _print(done, stated, wide=wide)
    if failed:
        reasons = "; ".join(f"region {name}: {why}" for name, why in failed.items())
        raise RetryableError(f"{counted(len(failed), 'region')} could not be compared with {stated}: {reasons}")
    if any(each.lacking for each in done):
        raise click.exceptions.Exit(1)


def _print(done: Sequence[Reconciliation], stated: str, *, wide: bool) -> None:
    if not done:
        say("no active region was compared")
        return
    differences = [each for region in done for each in region.differences]
    if differences:
        print_table(
            ("region", "day", "platform", "tile", "item", "which", "detail"),
            [
                (d.region, d.day, d.platform, d.tile or None, d.item, d.standing.words, d.detail or None)
                for d in differences
            ],
            spare=("detail", "platform"),
            wide=wide,
        )
    for region in done:
        for why in region.unplaced.values():
            warn(f"region {region.region}: of no known day there: {why}")
        for absence, days in ((Absence.LATE, region.late), (Absence.LOST_UPSTREAM, region.lost_upstream)):
            if days:
                say(f"region {region.region}: in neither, {absence.words}: {named([str(day) for day in days])}")
    here, there = sum(each.here for each in done), sum(each.there for each in done)
    lacking = sum(each.lacking for each in done)
    missing = f"{lacking:,}" if lacking else "none"
    say(f"{counted(here, 'acquisition')} here, {there:,} in {stated}; {missing} lacking here")
    if lacking:
        again = shown_command("scenes", "rescan")
        say(f"{again} asks the own source again; what it does not have must be fetched from the other")
