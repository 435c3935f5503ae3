"""`satctl plan`: what draining the backlog costs."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from satcommon.db.engine import read_transaction

from satctl.opening import opened
from satctl.output.replay_plans import print_plans
from satctl.output.tables import print_json
from satctl.parameters import json_option, region_option, regions_of, wide_option


@click.command()
@region_option
@wide_option
@json_option
def plan(names: tuple[str, ...], wide: bool, as_json: bool) -> None:
    """Show what draining the backlog costs; change nothing.

    Steps and days are upper limits: a replay ends early where the state equals the published one.

    \b
    Examples:
      satctl plan
      satctl plan --region A --json
    """
    from satcommon.pipeline.backlog import plan as plan_region

    now = datetime.now(UTC)
    with opened() as env, read_transaction(env.engine) as connection:
        plans = [plan_region(connection, r.bbox_id, env.deadlines, now) for r in regions_of(connection, names)]
    if as_json:
        print_json(plans)
        return
    print_plans(plans, wide=wide)
