"""Dagster's UI, daemon and the three locations on this machine, until it is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from satcommon.contract import LOCATIONS
from satcommon.settings import PREFIX, Settings
from satcommon.sources.source import SIMULATED

from satctl.local import api, laptop
from satctl.local.dagster_home import FILE, dagster_home, is_own
from satctl.local.home_lock import locked_home
from satctl.output.tables import say, warn

SAMPLE_DAYS = 5  # days of the samples before today: the sensors fill them while a newcomer opens the page


def run_all(chosen: Settings, port: int, api_port: int, satctl: Callable[..., object], *, seed: bool) -> None:
    """Run Dagster and the HTTP API on the settings' home until this process is interrupted.

    Its database is migrated first.

    Args:
        chosen: the settings.
        port: of the UI on localhost.
        api_port: of the HTTP API on localhost.
        satctl: runs a command of satctl, as a user would.
        seed: register the samples where nothing is registered and no other source is named.

    Raises:
        InputError: another process runs Dagster on the home, or uses the port.
        KeyboardInterrupt: it was interrupted.
    """
    from satcommon.db.engine import engine_of, read_transaction
    from satcommon.db.registry import regions, registry_counts

    from satctl.local.migrations import upgrade

    home = chosen.home
    with locked_home(home, port):
        laptop.check_port(port)
        engine = engine_of(chosen)
        upgrade(engine)
        with read_transaction(engine) as connection:
            counts = registry_counts(connection)
        if seed and wants_samples(chosen, counts):
            first = datetime.now(UTC).date() - timedelta(days=SAMPLE_DAYS)
            satctl("regions", "seed", "--monitored-from", first.isoformat())
            say(f"the sensors will fill the samples' days from {first} on, in a few minutes")
        with read_transaction(engine) as connection:
            environment = scenes_of(chosen, {region.scene_source for region in regions(connection)})
        if chosen.scene_source is None and not environment:
            warn("SATFIELDS_SCENE_SOURCE is not set: no scene is asked for until it names a source")
        _run(home, port, api_port, environment)


def _run(home: Path, port: int, api_port: int, environment: Mapping[str, str]) -> None:
    log = home / "dagster.log"
    if is_own(dagster_home(home)):
        say(f"{home / 'dagster' / FILE} was changed by hand, and is kept")
    say(f"starting Dagster at http://localhost:{port} ...")
    with (
        laptop.running(home, port, log, environment) as url,
        api.serving(api_port, home / "api.log", environment) as api_url,
    ):
        if api_url:
            say(f"{api_url} serves the results by HTTP (without a key, to this machine alone)")
        say(f"{url} is up: locations {', '.join(LOCATIONS)}; schedules and sensors run. Log: {log}. Ctrl-C ends it.")
        signal.pause()


def wants_samples(chosen: Settings, counts: Mapping[str, int]) -> bool:
    """Whether the samples are to be registered: nothing is, and no source but the simulated one is named."""
    return not counts["regions"] and not counts["fields"] and chosen.scene_source in (None, SIMULATED)


def scenes_of(chosen: Settings, sources: set[str | None]) -> dict[str, str]:
    """The source setting for the started processes, where the settings name none and all regions are simulated.

    Whoever registered those regions asked for simulated scenes, by name or with the samples.
    """
    if chosen.scene_source is None and sources == {SIMULATED}:
        return {f"{PREFIX}SCENE_SOURCE": SIMULATED}
    return {}
