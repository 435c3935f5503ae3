"""`satctl up`: everything on this machine, until it is interrupted."""

from __future__ import annotations

import click
from satcommon.settings import settings

from satctl.local.up import run_all
from satctl.opening import check_home
from satctl.output.tables import say


@click.command()
@click.option("--port", default=3002, show_default=True, help="Port of the UI on localhost.")
@click.option("--api-port", default=8080, show_default=True, help="Port of the HTTP API on localhost.")
@click.option(
    "--seed/--no-seed",
    default=True,
    show_default=True,
    help="Register the sample regions where there are none and no other source is set.",
)
def up(port: int, api_port: int, seed: bool) -> None:
    """Run everything on this machine: the three locations, the daemon, the UI and the HTTP API. Ctrl-C ends it.

    Where no region is registered and SATFIELDS_SCENE_SOURCE names no other source, it registers the sample regions,
    whose scenes are simulated. Your own regions need the SATFIELDS_SCENE_SOURCE with which they were registered.

    \b
    Examples:
      satctl up
      satctl up --port 3010 --no-seed
    """
    check_home(settings())
    satctl = click.get_current_context().find_root().command
    try:
        run_all(
            settings(),
            port,
            api_port,
            lambda *arguments: satctl.main(list(arguments), standalone_mode=False),
            seed=seed,
        )
    except KeyboardInterrupt:
        say("ended")
