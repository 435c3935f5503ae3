"""The whole deployment on one machine: `dagster dev` with the three locations, the daemon and the UI."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from satcommon.contract import LOCATIONS
from satcommon.errors import InputError, RetryableError
from satcommon.secret_files import secret

from satctl.local.checkout import database_folder
from satctl.local.dagster_home import DAGSTER_DATABASE, dagster_home

START_SECONDS = 300.0  # for three code servers and the webserver to answer, on a busy machine
STOP_SECONDS = 3.0  # for `dagster dev` to end its children, before they are killed; runs tolerate that
_PR_SET_PDEATHSIG = 1
_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")


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
def running(home: Path, port: int, log: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Run `dagster dev` while the block runs; yields its URL once all three locations are loaded.

    Whatever ends the block, or this process, ends Dagster's processes too.

    Args:
        home: the folder of all data.
        port: of the webserver.
        log: file of what its processes print.
        environment: further variables of these.

    Raises:
        InputError: the port is in use.
        RetryableError: it did not come up; the message says where its log is.
    """
    check_port(port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's SIGTERM ends it as Ctrl-C does
    url = f"http://localhost:{port}"
    arguments = [sys.executable, "-m", "dagster", "dev", "--workspace", str(workspace()), "--port", str(port)]
    with plain(log) as output:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
            [*arguments, "--host", "127.0.0.1", "--log-level", "warning"],
            env=_environment(home, environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_as_of_a_terminal,
        )
        try:
            _wait_until_loaded(url, process, log)
            yield url
        finally:
            stop(process)


def _environment(home: Path, changed: Mapping[str, str]) -> dict[str, str]:
    """The environment of Dagster's processes: its configuration names DAGSTER_POSTGRES_URL, and knows no file."""
    environment = {**os.environ, **changed, "DAGSTER_HOME": str(dagster_home(home))}
    if environment.pop(f"{DAGSTER_DATABASE}_FILE", ""):
        environment[DAGSTER_DATABASE] = secret(DAGSTER_DATABASE)
    return environment


@contextmanager
def plain(log: Path) -> Iterator[IO[bytes]]:
    """A pipe whose lines go to a log without colours, while the block runs.

    Dagster's servers always colour their lines, and no variable turns that off. The log begins empty; the previous one
    is kept beside it.
    """
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    kept = log.open("wb")
    reads, writes = os.pipe()

    def copy() -> None:
        with os.fdopen(reads, "rb") as lines, kept as file:
            for line in lines:
                file.write(_COLOURS.sub(b"", line))
                file.flush()

    copying = threading.Thread(target=copy, name="log", daemon=True)
    copying.start()
    try:
        with os.fdopen(writes, "wb", buffering=0) as output:
            yield output
    finally:
        copying.join(1.0)  # a process that left the group may hold the pipe open; its last lines are lost


def workspace() -> Path:
    """The checkout's workspace file."""
    return database_folder().parent / "workspace.yaml"


def stop(process: subprocess.Popen[bytes]) -> None:
    """End `dagster dev` and everything that it started: by SIGINT first, then by SIGKILL."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it has a session of its own: what is left in it are orphans
    process.wait()


def _as_of_a_terminal() -> None:
    """In the child: restore SIGINT, which a shell's background processes ignore by inheritance, and die with us."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        die_with_parent()


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, a SIGKILL included."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_loaded(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    from satctl.dagster_api.graphql import location_states

    where = f"; its log is {log}"

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
    """Wait until a condition holds; False where it does not within the given seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(pause)
    return False
