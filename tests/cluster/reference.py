"""The same region on a laptop, where every field was known from the beginning: what the cluster's rows must equal."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from satcommon.db.engine import read_transaction
from satcommon.db.registry import region
from satcommon.pipeline.close_region import Closer
from satcommon.settings import settings
from satctl.main import main
from satctl.opening import opened


def rows_of_a_laptop(folder: Path, name: str, last: date, setup: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """A region's exported rows, from SQLite and a folder, in this process, after commands that register all."""

    def satctl(*arguments: str) -> None:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SATFIELDS_HOME", str(folder / "home"))
        settings.cache_clear()
        satctl("db", "upgrade")
        for arguments in setup:
            satctl(*arguments)
        with opened() as env:
            with read_transaction(env.engine) as connection:
                bbox_id = region(connection, name).bbox_id
            closer = Closer(env.engine, env.store(), bbox_id, env.deadlines, "run", datetime.now(UTC))
            for _ in closer.backfill(env.source(), last, lambda *_: None):
                pass
        satctl("export", name, "--output", str(folder / "rows.csv"))
    settings.cache_clear()
    with (folder / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))
