"""`satctl up`: Dagster's UI, daemon and the three locations on this machine, until it is interrupted."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from satcommon.contract import LOCATIONS
from satcommon.settings import settings

from satctl import laptop
from satctl.dagster_home import FILE, dagster_home, is_own
from satctl.home_lock import locked_home
from satctl.opening import check_home
from satctl.output import say

SAMPLE_DAYS = 5  # of the samples' past: what the sensors fill before a newcomer has found the page


@click.command()
@click.option("--port", default=3002, show_default=True, help="Port of the UI on localhost.")
@click.option(
    "--seed/--no-seed", default=True, show_default=True, help="Register the sample regions where there are none."
)
def up(port: int, seed: bool) -> None:
    """Run everything on this machine: the three locations, the daemon and the UI. Ctrl-C ends it.

    \b
    Examples:
      satctl up
      satctl up --port 3010 --no-seed
    """
    from satcommon.db.engine import engine_of, reading
    from satcommon.db.registry import regions

    from satctl.main import main
    from satctl.migrations import upgrade

    home = settings().home
    check_home(settings())
    try:
        with locked_home(home, port):
            laptop.check_port(port)
            engine = engine_of(settings())
            upgrade(engine)
            with reading(engine) as connection:
                empty = not regions(connection)
            if seed and empty:
                first = datetime.now(UTC).date() - timedelta(days=SAMPLE_DAYS)
                main.main(["regions", "seed", "--monitored-from", first.isoformat()], standalone_mode=False)
                say(f"the sensors will fill the samples' days from {first} on, in a few minutes")
            _run(home, port)
    except KeyboardInterrupt:
        say("ended")


def _run(home: Path, port: int) -> None:
    log = home / "dagster.log"
    if is_own(dagster_home(home)):
        say(f"{home / 'dagster' / FILE} was changed by hand, and is kept")
    say(f"starting Dagster at http://localhost:{port} ...")
    with laptop.running(home, port, log, {}) as url:
        say(f"{url} is up: locations {', '.join(LOCATIONS)}; schedules and sensors run. Log: {log}. Ctrl-C ends it.")
        signal.pause()
