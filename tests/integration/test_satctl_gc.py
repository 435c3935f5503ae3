"""`satctl gc`: what it would remove, what it removed, and that nothing named goes."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta

from satcommon.db import ledger
from satcommon.db.engine import write_transaction
from satcommon.db.models import ProcessingType
from satcommon.environment import Environment

from tests.integration.satctl_world import FIRST, Satctl

UNREFERENCED = "results/1/2025/06/01-unreferenced.parquet"


def test_gc_tells_what_it_would_remove_and_what_it_removed(closed: Environment, satctl: Satctl) -> None:
    store = closed.store()
    for key in (UNREFERENCED, "results/1/2025/06/01-of-a-run-under-way.parquet"):
        store.put(key, b"")
    long_ago_put = time.time() - 15 * 86_400
    for key in store.list("results/"):  # the published ones are as old
        if "under-way" not in key:
            os.utime(f"{store.url}/{key}", (long_ago_put, long_ago_put))
    long_ago = datetime.now(UTC) - timedelta(days=500)
    with write_transaction(closed.engine) as connection:
        run = ledger.ProcessingRun(ProcessingType.REALTIME, "old", long_ago)
        ledger.record_attempts(connection, 1, FIRST, {1: None}, run, long_ago)
    kept_from = f"{datetime.now(UTC) - timedelta(days=400):%Y-%m-%d}"

    nothing = {"keys": [], "attempts": 0, "rebased": [], "superseded": 0, "dagster_runs": None, "failed": []}

    would = satctl("gc", "--dry-run").stdout
    as_json = json.loads(satctl("gc", "--dry-run", "--json").stdout)
    did = satctl("gc").stdout
    again = json.loads(satctl("gc", "--json").stdout)

    assert would == f"{UNREFERENCED}\n1 object and 1 attempt from before {kept_from} would be removed\n"
    assert as_json == nothing | {"removed": False, "keys": [UNREFERENCED], "attempts": 1}
    assert did == f"{UNREFERENCED}\n1 object and 1 attempt from before {kept_from} removed\n"
    assert again == nothing | {"removed": True}
    satctl("audit", "--deep")
