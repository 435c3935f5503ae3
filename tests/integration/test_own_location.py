"""A location of somebody's own, as docs/how-to/add-a-location.md has it, reads what is published."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest
from satcommon.contract import FIELD_METRICS, partition
from satcommon.environment import Environment, environment
from satcommon.resources import SatfieldsResource

from tests.examples.recipes import blocks
from tests.integration.satctl_world import LAST


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's definitions, as a module, in a process that knows no other test's system."""
    environment.cache_clear()
    (tmp_path / "own_location.py").write_text(blocks("add-a-location.md", "python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_location", raising=False)
    import own_location  # type: ignore[import-not-found]  # written above

    assert isinstance(own_location, ModuleType)
    yield own_location
    environment.cache_clear()


def test_a_location_of_ones_own_depends_on_field_metrics_and_reads_their_rows(
    closed: Environment, location: ModuleType
) -> None:
    context = dg.build_asset_context(partition_key=partition("S", LAST))

    result = location.mean_ndvi(context, satfields=SatfieldsResource())

    assert location.mean_ndvi.asset_deps[location.mean_ndvi.key] == {FIELD_METRICS}
    assert result.metadata["fields"] == 1
    assert dg.Definitions.validate_loadable(location.defs) is None
