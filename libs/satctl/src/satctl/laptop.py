"""The whole deployment on one machine: `dagster dev` with the three locations, the daemon and the UI."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from satcommon.contract import LOCATIONS
from satcommon.errors import InputError, RetryableError

from satctl.checkout import database_folder

START_SECONDS = 90.0  # for three code servers and the webserver to answer, on a busy machine
STOP_SECONDS = 20.0  # for `dagster dev` to end its children, before they are killed
_PR_SET_PDEATHSIG = 1


def dagster_home(home: Path) -> Path:
    """Dagster's own folder in the home folder, with its configuration in place.

    Dagster keeps its records there too, or in PostgreSQL where DAGSTER_POSTGRES_URL names a database.
    """
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["dagster.yaml", *(["dagster-postgresql.yaml"] if os.environ.get("DAGSTER_POSTGRES_URL") else [])]
    texts = [Path(__file__).with_name(part).read_text() for part in parts]
    (folder / "dagster.yaml").write_text("\n".join(texts))
    return folder


def check_port(port: int) -> None:
    """Refuse a port that something listens on.

    Raises:
        InputError: it is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"port {port} is in use; end what listens there, or choose another with --port") from error


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(home: Path, port: int, log: Path | None, environment: Mapping[str, str]) -> Iterator[str]:
    """Run `dagster dev` while the block runs; gives its URL once all three locations are loaded.

    Whatever ends the block, or this process, ends Dagster's processes too.

    Raises:
        InputError: the port is in use.
        RetryableError: it did not come up; the message says where its log is.
    """
    check_port(port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end by a supervisor, end as for Ctrl-C
    url = f"http://localhost:{port}"
    arguments = [sys.executable, "-m", "dagster", "dev", "--workspace", str(workspace()), "--port", str(port)]
    output = log.open("wb") if log else None
    try:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
            [*arguments, "--host", "127.0.0.1", "--log-level", "warning"],
            env={**os.environ, **environment, "DAGSTER_HOME": str(dagster_home(home))},
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        try:
            _wait_until_loaded(url, process, log)
            yield url
        finally:
            stop(process)
    finally:
        if output:
            output.close()


def workspace() -> Path:
    """The checkout's workspace file."""
    return database_folder().parent / "workspace.yaml"


def stop(process: subprocess.Popen[bytes]) -> None:
    """End `dagster dev` and everything that it started: first asking, then not."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its session is its own: what is left of it are orphans
    process.wait()


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, a SIGKILL included."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_loaded(url: str, process: subprocess.Popen[bytes], log: Path | None) -> None:
    from satctl.graphql import location_states

    where = f"; its log is {log}" if log else ""

    def loaded() -> bool:
        if process.poll() is not None:
            raise RetryableError(f"Dagster ended with exit code {process.returncode} while it started{where}")
        try:
            states = location_states(url)
        except RetryableError:
            return False
        broken = {name: state for name, state in states.items() if state not in ("RepositoryLocation", "loading")}
        if broken:
            raise RetryableError(f"Dagster can't load {broken}{where}")
        return all(states.get(name) == "RepositoryLocation" for name in LOCATIONS)

    if not wait_for(loaded, START_SECONDS):
        raise RetryableError(f"Dagster did not answer at {url} within {START_SECONDS:g} s{where}")


def wait_for(condition: Callable[[], bool], seconds: float, pause: float = 0.5) -> bool:
    """Wait until a condition holds; False where it did not within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(pause)
    return False
