"""`k8s/satctl`: files and output arrive whole, by whatever connection, or it says that they did not."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each command is a process of its own

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1 << 20


class Cluster:
    """A folder that stands for a cluster, and a `satctl` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()

    def satctl_is(self, script: str) -> None:
        program = self.folder / "bin" / "satctl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def environment(self, **variables: str) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "KUBECTL": f"{sys.executable} -IS {ROOT / 'tests/deploy/kubectl_stub.py'}",
            "STUB": str(self.folder),
            **variables,
        }

    def run(self, *arguments: str, given: bytes | None = None, **variables: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, str(ROOT / "k8s/satctl"), *arguments]
        return subprocess.run(
            command, env=self.environment(**variables), input=given, capture_output=True, check=False, timeout=60
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    yield Cluster(tmp_path)
    with suppress(FileNotFoundError, ProcessLookupError):
        os.killpg(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_output_errors_and_exit_code_are_the_commands(cluster: Cluster) -> None:
    cluster.satctl_is('printf "%s," "$@"; echo no >&2; exit 7')

    done = cluster.run("fields", "show", "a b", "--output", "-")

    assert (done.stdout, done.stderr, done.returncode) == (b"fields,show,a b,--output,-,", b"no\n", 7)
    assert not (cluster.folder / "deleted").exists()  # its Job is kept for a while, as an operator's record


def test_large_output_arrives_whole_by_a_connection_that_cuts_it(cluster: Cluster) -> None:
    content = os.urandom(3 * MEBIBYTE + 17)
    (cluster.folder / "content").write_bytes(content)
    cluster.satctl_is(f"cat {cluster.folder}/content")

    done = cluster.run("export", "A", "--output", "-", STUB_CUT=str(MEBIBYTE))

    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(content).digest()


def test_output_that_is_not_what_was_printed_is_an_error(cluster: Cluster) -> None:
    cluster.satctl_is("echo rows")

    done = cluster.run("export", "A", "--output", "-", STUB_LIE="1")

    assert done.returncode == 1
    assert b"is not what it printed; run the command again" in done.stderr
    assert (cluster.folder / "deleted").exists()


def test_a_pod_that_is_killed_is_told_with_its_reason(cluster: Cluster) -> None:
    cluster.satctl_is(f"echo half; touch {cluster.folder}/killed; sleep 30")

    done = cluster.run("export", "A", "--output", "-")

    assert done.returncode == 1
    assert b"ended with 137 (OOMKilled) before all its output was fetched: it is incomplete" in done.stderr


def test_a_slow_reader_gets_all(cluster: Cluster) -> None:
    cluster.satctl_is(f"head -c {2 * MEBIBYTE} /dev/zero")
    command = [sys.executable, str(ROOT / "k8s/satctl"), "export", "A", "--output", "-"]

    with subprocess.Popen(command, env=cluster.environment(STUB_CUT=str(MEBIBYTE)), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        got = 0
        while piece := process.stdout.read1(MEBIBYTE // 8):
            got += len(piece)
            time.sleep(0.01)

    assert (got, process.returncode) == (2 * MEBIBYTE, 0)


def test_a_reader_that_has_enough_ends_the_command(cluster: Cluster) -> None:
    cluster.satctl_is("yes")  # for ever
    command = f"{sys.executable} {ROOT / 'k8s/satctl'} export A --output - | head -n 1"

    done = subprocess.run(["sh", "-c", command], env=cluster.environment(), capture_output=True, check=True, timeout=60)

    assert done.stdout == b"y\n"
    assert b"Traceback" not in done.stderr
    assert (cluster.folder / "deleted").exists()


def test_files_of_any_size_go_along_with_what_lies_beside_a_shapefile(cluster: Cluster, tmp_path: Path) -> None:
    large, shapes = tmp_path / "large fields.geojson", tmp_path / "fields.shp"
    large.write_bytes(b"x" * (5 * MEBIBYTE))
    for suffix in (".shp", ".dbf", ".prj"):
        shapes.with_suffix(suffix).write_text(suffix)
    cluster.satctl_is('wc -c < "$3"; ls "$(dirname "$4")"; basename "$3"')

    done = cluster.run("fields", "import", str(large), str(shapes))

    assert done.stdout.decode().split("\n") == [
        str(5 * MEBIBYTE),
        "fields.dbf",
        "fields.prj",
        "fields.shp",
        large.name,
        "",
    ]


@pytest.mark.parametrize(
    ("content", "suffix"),
    [(b'{"type": 1}', "geojson"), (b"SQLite format 3\0..", "gpkg"), (b"PAR1..", "parquet"), (b"PK\3\4..", "zip")],
)
def test_standard_input_is_a_file_of_its_format(cluster: Cluster, content: bytes, suffix: str) -> None:
    cluster.satctl_is('cat "$3"; basename "$3"')

    done = cluster.run("fields", "import", "-", given=content)

    assert done.stdout == content + f"stdin.{suffix}\n".encode()
