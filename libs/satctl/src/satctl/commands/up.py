"""`satctl up`: Dagster's UI, daemon and the three locations on this machine, until it is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from satcommon.contract import LOCATIONS
from satcommon.settings import PREFIX, Settings, settings
from satcommon.sources.source import SIMULATED

from satctl.local import laptop
from satctl.local.dagster_home import FILE, dagster_home, is_own
from satctl.local.home_lock import locked_home
from satctl.opening import check_home
from satctl.output.tables import say, warn

SAMPLE_DAYS = 5  # of the samples' past: what the sensors fill before a newcomer has found the page


@click.command()
@click.option("--port", default=3002, show_default=True, help="Port of the UI on localhost.")
@click.option(
    "--seed/--no-seed",
    default=True,
    show_default=True,
    help="Register the sample regions where there are no regions and no other source is named.",
)
def up(port: int, seed: bool) -> None:
    """Run everything on this machine: the three locations, the daemon and the UI. Ctrl-C ends it.

    In a home without regions, and without a source of its own, the sample regions are registered, whose scenes are
    simulated. Regions of your own need SATFIELDS_SCENE_SOURCE, as when they were registered.

    \b
    Examples:
      satctl up
      satctl up --port 3010 --no-seed
    """
    from satcommon.db.engine import engine_of, read_transaction
    from satcommon.db.registry import census, regions

    from satctl.local.migrations import upgrade
    from satctl.main import main

    home = settings().home
    check_home(settings())
    try:
        with locked_home(home, port):
            laptop.check_port(port)
            engine = engine_of(settings())
            upgrade(engine)
            with read_transaction(engine) as connection:
                counts = census(connection)
            if seed and wants_samples(settings(), counts):
                first = datetime.now(UTC).date() - timedelta(days=SAMPLE_DAYS)
                main.main(["regions", "seed", "--monitored-from", first.isoformat()], standalone_mode=False)
                say(f"the sensors will fill the samples' days from {first} on, in a few minutes")
            with read_transaction(engine) as connection:
                environment = scenes_of(settings(), {region.scene_source for region in regions(connection)})
            if settings().scene_source is None and not environment:
                warn("SATFIELDS_SCENE_SOURCE is not set: no scene is asked for until it names a source")
            _run(home, port, environment)
    except KeyboardInterrupt:
        say("ended")


def _run(home: Path, port: int, environment: Mapping[str, str]) -> None:
    log = home / "dagster.log"
    if is_own(dagster_home(home)):
        say(f"{home / 'dagster' / FILE} was changed by hand, and is kept")
    say(f"starting Dagster at http://localhost:{port} ...")
    with laptop.running(home, port, log, environment) as url:
        say(f"{url} is up: locations {', '.join(LOCATIONS)}; schedules and sensors run. Log: {log}. Ctrl-C ends it.")
        signal.pause()


def wants_samples(chosen: Settings, counts: Mapping[str, int]) -> bool:
    """Whether the samples are to be registered: nothing is, and no source but the simulated one is named."""
    return not counts["regions"] and not counts["fields"] and chosen.scene_source in (None, SIMULATED)


def scenes_of(chosen: Settings, sources: set[str | None]) -> dict[str, str]:
    """The source for the processes to be started, where the settings name none and all regions are simulated ones.

    Who registered them asked for simulated scenes, by name or with the samples.
    """
    if chosen.scene_source is None and sources == {SIMULATED}:
        return {f"{PREFIX}SCENE_SOURCE": SIMULATED}
    return {}
