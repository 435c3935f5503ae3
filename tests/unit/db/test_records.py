"""Rows of the database are typed, so that the type checker refuses a column that is not there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mypy import api
from satcommon.db import records
from satcommon.db.engine import write_transaction
from satcommon.db.models import Region
from satcommon.db.registry import regions
from sqlalchemy import Engine, insert
from sqlalchemy.engine import Row

ROOT = Path(__file__).parents[3]
PRELUDE = """
from datetime import date
from satcommon.db import fields, ledger, missed_days, records, registry
from satcommon.db.models import Region
from sqlalchemy import Connection

def snippet(connection: Connection, day: date) -> None:
"""
RIGHT = {
    "registry.region(connection, 'A').name.upper()",
    "registry.regions(connection)[0].monitored_from.year",
    "fields.field(connection, 'f').geometry_digest.upper()",
    "ledger.region_days(connection, 1, day, day)[day].refused",
    "missed_days.misses(connection, 1, day, day)[0].cause.value",
    "records.all_of(connection, records.select_all(Region))[0].bbox_id",
}
WRONG = {
    "registry.region(connection, 'A').nmae": '"Region" has no attribute "nmae"',
    "registry.regions(connection)[0].day": '"Region" has no attribute "day"',
    "fields.field(connection, 'f').bbox_id": '"Field" has no attribute "bbox_id"',
    "ledger.region_days(connection, 1, day, day)[day].taken": '"Day" has no attribute "taken"',
    "ledger.days_of_all(connection, day, day)[0].object_key": '"Day" has no attribute "object_key"',
    "dict(ledger.open_days(connection))[1][day].closed_at": '"OpenDay" has no attribute "closed_at"',
    "missed_days.misses(connection, 1, day, day)[0].day": '"Miss" has no attribute "day"',
    "[miss.digest for miss in missed_days.misses_of_all(connection)]": '"SimilarMisses" has no attribute "digest"',
    "records.one(connection, records.select_all(Region)).id": '"Region" has no attribute "id"',
}


@pytest.mark.slow
def test_the_type_checker_refuses_a_column_that_a_record_does_not_have(tmp_path: Path) -> None:
    snippets = [*RIGHT, *WRONG]
    file = tmp_path / "snippet.py"
    file.write_text(PRELUDE + "".join(f"    {snippet}\n" for snippet in snippets))

    # The cache of `make lint`: without one, the checker reads SQLAlchemy and NumPy for ten seconds.
    out, err, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"), str(file)]
    )

    first = PRELUDE.count("\n") + 1
    found = re.findall(r"snippet\.py:(\d+): error: (.*?)  \[attr-defined\]", out)
    assert {snippets[int(line) - first]: complaint for line, complaint in found} == WRONG, out + err


def test_a_record_is_a_row_of_core_known_to_no_session(sqlite_engine: Engine) -> None:
    now = datetime(2026, 5, 2, tzinfo=UTC)
    values = {"geometry": b"", "grid": "", "algorithm_version": "1", "monitored_from": now.date(), "created_at": now}
    by_name = records.select_all(Region).order_by(Region.name)

    with write_transaction(sqlite_engine) as connection:
        connection.execute(insert(Region), [{"name": name, **values} for name in ("B", "A")])
        everything = records.all_of(connection, by_name)

        assert [region.name for region in everything] == ["A", "B"]
        assert records.first(connection, by_name) == everything[0] == regions(connection)[0]
        assert records.first(connection, by_name.where(Region.name == "C")) is None
        assert records.all_in(connection, by_name, Region.name, ["B"]) == everything[1:]
    assert isinstance(everything[0], Row)
    with pytest.raises(AttributeError):
        everything[0].name = "C"
