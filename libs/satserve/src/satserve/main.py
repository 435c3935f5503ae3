"""`satserve`: serve results by HTTP until it is interrupted."""

from __future__ import annotations

import os
import sys
import tempfile

import click
import uvicorn
from fastapi import FastAPI
from satcommon import preflight
from satcommon.environment import environment
from satcommon.errors import SatfieldsError
from satcommon.telemetry.logs import configure, logger

from satserve.app import make_app
from satserve.guards import CONNECTIONS, BoundedProtocol

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def app() -> FastAPI:
    """The application by this process's settings, for uvicorn's workers, each of which is a process that logs."""
    configure()
    return make_app(environment())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer.")
@click.version_option(package_name="satserve")
def main(host: str, port: int, workers: int) -> None:
    """Serve results by HTTP: series, days, changes, boundaries. Read-only.

    Settings are those of the other processes (SATFIELDS_HOME, or
    SATFIELDS_DATABASE_URL and SATFIELDS_STORE). Requests from this machine
    need no key; `satctl keys add` makes keys for others.

    \b
    Examples:
      satserve
      satserve --host 0.0.0.0 --port 8080 --workers 2
      curl http://127.0.0.1:8080/regions

    Exit codes: 0 ended, 1 failed, 2 wrong setting or usage.
    """
    configure()
    log = logger("satserve")
    try:
        log.info(preflight.check())
    except SatfieldsError as error:
        log.error(str(error))
        sys.exit(1)
    environment().engine.dispose()  # connections belong to the workers
    if host not in _LOOPBACK and environment().settings.api_public:
        log.warning("SATFIELDS_API_PUBLIC is set: everybody may read all regions, without a key")
    if workers > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="satserve-metrics-")
    log.info(f"serving on http://{host}:{port}; Ctrl-C ends it")
    uvicorn.run(
        "satserve.main:app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http=BoundedProtocol,
        ws="none",
        access_log=False,
        log_config=None,  # its lines go where ours go: one form, no secrets
        log_level="warning",
        proxy_headers=False,  # who calls is who is connected: no header may say otherwise
        server_header=False,
        timeout_keep_alive=20,
        limit_concurrency=CONNECTIONS,
        backlog=512,
        timeout_graceful_shutdown=20,
        timeout_worker_healthcheck=60,  # a loaded machine takes longer to load one than uvicorn's 5 s
    )


if __name__ == "__main__":
    main()
