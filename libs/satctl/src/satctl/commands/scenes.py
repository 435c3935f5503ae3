"""`satctl scenes`: asking the source of imagery again, deciding on what was refused, the catalogues that ship."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from datetime import UTC, date, datetime

import click
from satcommon.db import quarantine as held
from satcommon.db import registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Verdict
from satcommon.errors import InputError, PermanentError, SatfieldsError
from satcommon.messages import command as shown_command
from satcommon.messages import counted

from satctl.commands.scenes_list import list_scenes, show
from satctl.commands.scenes_reconcile import reconcile
from satctl.completion import region_names
from satctl.dagster_api import graphql
from satctl.dagster_api.launches import require_over
from satctl.opening import opened
from satctl.output.tables import print_json, print_table, progress, say, warn
from satctl.parameters import DAY, json_option, url_option


@click.group()
def scenes() -> None:
    """See acquisitions; ask the source of imagery again; decide on refused scenes; compare with other catalogues."""


for command in (list_scenes, show, reconcile):
    scenes.add_command(command)


@scenes.command()
@click.argument("region", shell_complete=region_names)
@click.option("--from", "first", type=DAY, required=True, help="First day.")
@click.option("--to", "last", type=DAY, required=True, help="Last day.")
@click.option("--here", is_flag=True, help="Ask in this process, without Dagster.")
@url_option
def rescan(region: str, first: date, last: date, here: bool, url: str) -> None:
    """Ask again for the days of a span, in one run.

    Records in the ledger what changed at the source: new, changed and deleted files, another calendar, days that were
    never asked for. Closed days that this changes are missed, however old they are, and replayed.

    \b
    Examples:
      satctl scenes rescan A --from 2025-03-01 --to 2025-10-31
      satctl scenes rescan A --from 2025-06-12 --to 2025-06-12 --here
    """
    from satcommon.contract import RESCAN_JOB, lane, rescan_config

    if last < first:
        raise InputError(f"--to {last} is before --from {first}")
    with opened() as env, read_transaction(env.engine) as connection:
        registered = registry.region(connection, region)
    require_over("--to", registered, last, datetime.now(UTC))
    if last < registered.monitored_from or first > (registered.monitored_until or date.max):
        raise InputError(
            f"{first} to {last}: region {region!r} is monitored from {registered.monitored_from} to "
            f"{registered.monitored_until or 'further notice'}; `satctl regions monitor` moves that"
        )
    if here:
        _rescan_here(registered.bbox_id, first, last)
        return
    tags = lane("rescan", region)
    run_id = graphql.launch(url, "ingest", RESCAN_JOB, tags, rescan_config(region, first, last))
    say(f"launched {RESCAN_JOB} for region {region}: {graphql.public(url)}/runs/{run_id}")


@scenes.command()
@json_option
def profiles(as_json: bool) -> None:
    """List the catalogues of imagery that ship, for SATFIELDS_STAC.

    Each is a TOML file to copy and change: with --json its path is listed, too. "needs" are the environment variables
    of credentials.

    \b
    Examples:
      satctl scenes profiles
      SATFIELDS_SCENE_SOURCE=stac SATFIELDS_STAC=earth-search-c1 satctl doctor
    """
    from satcommon.sources import stac_config

    listed = [
        {
            "name": name,
            "about": profile.about,
            "endpoint": profile.where,
            "collections": [collection.id for collection in profile.collections],
            "needs": profile.variables,
            "faults": profile.faults,
            "file": str(stac_config.profile_path(name)),
        }
        for name, profile in stac_config.profiles().items()
    ]
    if as_json:
        print_json(listed)
        return
    print_table(
        ("profile", "endpoint", "collections", "needs", "known faults"),
        [
            (
                str(profile["name"]),
                str(profile["endpoint"]),
                ", ".join(profile["collections"]),
                ", ".join(profile["needs"]),
                "; ".join(profile["faults"]),
            )
            for profile in listed
        ],
    )


@scenes.command()
@click.option("--region", help="Only this region's.", shell_complete=region_names)
@json_option
def quarantine(region: str | None, as_json: bool) -> None:
    """List the acquisitions that are refused now, with what was found and expected.

    "check" is the radiometric check that failed; without one it can't be read, and can be rejected only.
    "decision" is what was decided and waits for ingest to ask for the day again. A corrected one releases itself.

    \b
    Examples:
      satctl scenes quarantine
      satctl scenes quarantine --region A --json
    """
    with opened() as env, read_transaction(env.engine) as connection:
        only = registry.region(connection, region) if region else None
        refused = held.quarantined(connection, only)
    if as_json:
        print_json([vars(each) for each in refused])
        return
    if not refused:
        say("no acquisition is in quarantine")
        return
    columns = ("region", "day", "item", "check", "found", "expected", "since", "decision")
    print_table(columns, [[_shown(getattr(each, name)) for name in columns] for each in refused], "quarantine")


def _shown(value: object) -> object:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else value


def _decision(decide: Callable[..., None]) -> Callable[..., None]:
    """The parameters of a decision."""
    for parameter in reversed(
        (
            click.argument("region", shell_complete=region_names),
            click.argument("day", type=DAY),
            click.argument("item"),
            click.option("--reason", required=True, help="Why; it is kept."),
            click.option("--by", help="Who decides.  [default: the login name]"),
            click.option("--here", is_flag=True, help="Ask for the day in this process, without waiting for ingest."),
            click.option("--dry-run", is_flag=True, help="Show what would happen; change nothing."),
        )
    ):
        decide = parameter(decide)
    return decide


@scenes.command()
@_decision
def accept(region: str, day: date, item: str, reason: str, by: str | None, here: bool, dry_run: bool) -> None:
    """Take an acquisition that failed a radiometric check all the same.

    The decision holds for this version of ITEM: another one is checked anew. Ingest's next run asks for the day again,
    or this command with --here; days that are closed are missed and replayed. Who decided, when and why is kept, and
    shown by `satctl history`. What can't be read can't be accepted.

    \b
    Examples:
      satctl scenes accept A 2025-06-12 T15TVG.tif --reason "salt pan"
      satctl scenes accept A 2025-06-12 T15TVG.tif --reason "salt pan" --here
    """
    _decide(region, day, item, _judgement(Verdict.ACCEPTED, reason, by), here=here, dry_run=dry_run)


@scenes.command()
@_decision
def reject(region: str, day: date, item: str, reason: str, by: str | None, here: bool, dry_run: bool) -> None:
    """Leave a refused acquisition out for good: its day no longer waits for it.

    The decision holds until the content of ITEM changes. The day settles from its others, or as one without
    imagery. Ingest's next run does that, or this command with --here. Who decided, when and why is kept, and shown by
    `satctl history`. `satctl scenes accept` takes it back, if it can be read.

    \b
    Examples:
      satctl scenes reject A 2025-06-12 T15TVG.tif --reason "stripes" --dry-run
      satctl scenes reject A 2025-06-12 T15TVG.tif --reason "stripes"
    """
    _decide(region, day, item, _judgement(Verdict.REJECTED, reason, by), here=here, dry_run=dry_run)


def _judgement(verdict: Verdict, reason: str, by: str | None) -> held.Judgement:
    return held.Judgement(verdict, _login() if by is None else by, reason, datetime.now(UTC))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"


def _decide(region: str, day: date, item: str, judgement: held.Judgement, *, here: bool, dry_run: bool) -> None:
    with opened() as env, write_transaction(env.engine) as connection:
        registered = registry.region(connection, region)
        new = held.decide(connection, registered, day, item, judgement, dry_run=dry_run)
    verdict = judgement.verdict.value
    if not new:
        say(f"{item} of {day} was {verdict} before; nothing changed")
    elif dry_run:
        say(f"{item} of {day} would be {verdict} in region {region}, and the day asked for again; nothing changed")
    else:
        say(f"{item} of {day} is {verdict} in region {region}")
    if here and not dry_run:
        _rescan_here(registered.bbox_id, day, day)
    elif new and not dry_run:
        again = shown_command("scenes", "rescan", region, "--from", str(day), "--to", str(day))
        say(f"ingest's next run asks for the day again; if it is older than the allowed lateness, {again} does")


def _rescan_here(bbox_id: int, first: date, last: date) -> None:
    from satcommon.environment import utc_now
    from satcommon.pipeline.rescan import ask_anew

    asked = changed = failed = 0
    with opened() as env, progress("asking", total=(last - first).days + 1) as advance:
        lateness = env.settings.lateness_days
        for day, answer in ask_anew(env.engine, env.store(), env.source(), bbox_id, first, last, utc_now, lateness):
            advance()
            asked += 1
            if isinstance(answer, SatfieldsError):
                failed += 1
                warn(f"{day}: {answer}")
                continue
            changed += answer.new
            for name, why in answer.refused.items():
                warn(f"{day}: {name} was refused: {why}")
    say(f"{counted(asked, 'day')} asked for, of which {changed:,} changed; the next replay recomputes what is missed")
    if failed:
        raise PermanentError(f"{counted(failed, 'day')} could not be answered; see above")
