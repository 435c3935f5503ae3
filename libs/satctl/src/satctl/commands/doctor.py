"""`satctl doctor`: each setting, tried on what it names."""

from __future__ import annotations

import click

from satctl.checks.examination import examine
from satctl.checks.findings import State
from satctl.output.tables import print_json, print_table, progress
from satctl.parameters import json_option


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check the settings and what they name: database, store, scenes, Dagster, clocks, disk.

    Runs every check that can run, also where others fail. Changes nothing: trial writes are undone.
    Exit code 1 if a check failed; a warning is not a failure. Passwords are never shown.

    \b
    Examples:
      satctl doctor
      satctl doctor --json
    """
    with progress("examining"):
        findings = list(examine())
    well = not any(finding.state is State.FAILED for finding in findings)
    if as_json:
        print_json({"well": well, "checks": findings})
    else:
        print_table(("check", "state", "finding"), [(f.check, f.state, f.said) for f in findings])
    if not well:
        raise click.exceptions.Exit(1)
