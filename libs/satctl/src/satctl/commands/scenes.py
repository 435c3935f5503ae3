"""`satctl scenes`: asking the source of imagery again for past days, and the catalogues that ship."""

from __future__ import annotations

from datetime import UTC, date, datetime

import click
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.errors import InputError, PermanentError, SatfieldsError
from satcommon.messages import counted

from satctl.completion import region_names
from satctl.dagster_api import graphql
from satctl.opening import opened
from satctl.output.tables import print_json, print_table, progress, say, warn
from satctl.parameters import DAY, json_option, url_option


@click.group()
def scenes() -> None:
    """Ask the source of imagery again; list the catalogues that ship."""


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
    today = datetime.now(UTC).date()
    if last >= today:
        raise InputError(f"--to {last}: the day is not over; expected a day before today, {today} UTC")
    with opened() as env, read_transaction(env.engine) as connection:
        registered = registry.region(connection, region)
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
