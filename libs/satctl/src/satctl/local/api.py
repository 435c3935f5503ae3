"""The HTTP API on this machine, beside Dagster: `satserve`, a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from satcommon.errors import InputError, RetryableError

from satctl.local import laptop
from satctl.output.tables import warn

START_SECONDS = 60.0
STOP_SECONDS = 5.0


@contextmanager
def serving(port: int, log: Path, environment: Mapping[str, str]) -> Iterator[str | None]:
    """Run `satserve` while the block runs; yields its address, or None where it can't run here, with a warning.

    Args:
        port: on loopback.
        log: file of its output.
        environment: variables besides those of this process.

    Raises:
        RetryableError: it did not come up; the message says where its log is.
    """
    program = Path(sys.executable).with_name("satserve")
    try:
        laptop.check_port(port)
    except InputError:
        warn(f"port {port} is in use, so the HTTP API does not run; choose another with --api-port")
        program = Path()
    if not program.is_file():
        yield None
        return
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own program and arguments
            [program, "--port", str(port)],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=laptop.die_with_parent if sys.platform == "linux" else None,
        )
        try:
            if not laptop.wait_for(lambda: _answers(url, process, log), START_SECONDS, pause=0.1):
                raise RetryableError(
                    f"the HTTP API did not answer at {url} within {START_SECONDS:g} s; its log is {log}"
                )
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise RetryableError(
            f"the HTTP API ended with exit code {process.returncode} while it started; its log is {log}"
        )
    try:
        urlopen(f"{url}/health/live", timeout=5).close()  # noqa: S310  # loopback
    except (URLError, OSError):
        return False
    return True
