"""Blocks of commands of the documentation, run by a shell as they are written, on simulated scenes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.shell_blocks import ROOT, blocks

pytestmark = pytest.mark.slow  # each command is a process of its own


def block_of(page: str, beginning: str) -> str:
    [text] = [block.text for block in blocks(ROOT / "docs" / page) if block.text.startswith(beginning)]
    return text


def run(script: str, folder: Path) -> str:
    """What a script prints; it ends with the first command that fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "HOME": str(folder), "SHELL": "/bin/bash", "TMPDIR": str(folder)}
    done = subprocess.run(["sh", "-e", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def registered(tmp_path: Path) -> Path:
    """A folder in which regions A and B are registered."""
    add = "satctl regions add {} --bounds -94.3 40.3 -94.0 40.6 --monitored-from 2025-06-01 --resolution 500"
    run("\n".join(["satctl db upgrade", add.format("A"), add.format("B")]), tmp_path)
    return tmp_path


def test_the_drill_of_backups(tmp_path: Path) -> None:
    said = run(block_of("how-to/back-up-and-recover.md", "export SATFIELDS_HOME"), tmp_path)

    assert "nothing is lost" in said


def test_the_indices_are_listed(tmp_path: Path) -> None:
    said = run(block_of("how-to/add-an-index.md", "satctl regions indices"), tmp_path)

    assert {"evi", "ndrei"} <= set(re.findall(r"\w+", said))


def test_a_reader_of_changes_goes_on_from_its_cursor(registered: Path) -> None:
    said = run("satctl changes --since 2025-06-01 --json", registered)
    (registered / "cursor").write_text(json.loads(said)["cursor"])
    first = (registered / "cursor").read_text()

    run(block_of("explanation/late-data.md", "satctl changes"), registered)

    assert (registered / "cursor").read_text().strip() == first  # nothing was published in between


def test_keys_are_made_listed_and_revoked(registered: Path) -> None:
    add, listed, revoke = block_of("how-to/serve-results-over-http.md", "satctl keys").splitlines()
    made = run(f"{add}\n{listed}", registered)
    key = re.search(r"\b[0-9a-f]{16}\b", made)
    assert key

    assert "revoked" in run(f"{re.sub(r'[0-9a-f]{16}', key[0], revoke)}\n{listed}", registered)


def test_webhooks_are_added(registered: Path) -> None:
    said = run(
        block_of("how-to/subscribe-to-corrections.md", "satctl webhooks add") + "satctl webhooks list", registered
    )

    assert {"farm", "alerts"} <= set(re.findall(r"\w+", said))


def test_completion_is_installed(tmp_path: Path) -> None:
    said = run(block_of("reference/cli.md", "satctl --install-completion"), tmp_path)

    assert [file for file in tmp_path.rglob("*") if file.is_file() and "satctl" in file.name], said
