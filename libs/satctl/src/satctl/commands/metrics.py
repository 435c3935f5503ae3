"""`satctl metrics`: what Prometheus reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from satcommon.settings import settings

from satctl.output.tables import say

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=9464, show_default=True, help="Port to listen on.")
@click.option("--once", is_flag=True, help="Print the metrics and end.")
def metrics(host: str, port: int, once: bool) -> None:
    """Serve metrics of the ledger, its database and store, and Dagster, for Prometheus.

    The number of queries of a scrape does not depend on the number of regions. What can't be asked takes only its own
    figures away, and is satfields_up{collector="..."} 0. docs/reference/metrics.md lists all metrics. Waiting times
    follow this process's settings.

    \b
    Examples:
      satctl metrics --once
      satctl metrics
      satctl metrics --host 0.0.0.0 --port 9464
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from satcommon.telemetry.logs import configure

    from satctl.exporter.collectors import opened_collectors
    from satctl.exporter.scrape import Scraper

    chosen = settings()
    configure(level="warning")  # it is a server: what can't be asked is said
    with opened_collectors(chosen) as collectors:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Scraper(collectors, chosen.metrics_timeout_seconds))
        if once:
            say(generate_latest(registry).decode().rstrip())
        else:
            _serve(registry, host, port)


def _serve(registry: CollectorRegistry, host: str, port: int) -> None:
    """Serve until the process is interrupted.

    Raises:
        InputError: the address can't be listened on.
    """
    from prometheus_client import start_http_server
    from satcommon.errors import InputError

    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise InputError(f"--host {host} --port {port}: can't be listened on: {error.strerror or error}") from error
    say(f"metrics on http://{host}:{server.server_port}/metrics; Ctrl-C ends it")
    try:
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()
