"""Faults of requests for pixels, over real sockets: each is told apart, by item and asset, and no token is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from satcommon.errors import ArchiveError, SceneError
from satcommon.raster.scene import Acquisition
from satcommon.sources import polite_requests
from satcommon.sources.stac import StacSource
from satcommon.sources.stac_assets import Assets, Link
from satcommon.sources.stac_signing import Signer
from satcommon.storage.ranges import CHUNK

from tests.certificates import untrusted
from tests.unit.geotiffs import AOI, FIRST, LAST, NOW
from tests.unit.stac_catalogue import ID, Answer, Fault, Faults, Files, config, item, source

TOKEN = "sig=only-for-us"
QUICK = {"timeout_seconds": 0.3, "pause_seconds": 0.001, "tries": 2}
Read = Callable[[], Any]
LASTING = {
    "416": (Faults.unsatisfiable, "416 Range Not Satisfiable"),
    "500": (Faults.status_500, "500 Internal Server Error"),
    "silence": (Faults.silence, "time-out; ask again later, or raise `timeout_seconds` of"),
    "short body": (Faults.cut, "the answer was cut; ask again later"),
    "redirect loop": (Faults.redirected, "its redirects have no end; check the link, and the credentials"),
}


class Item:
    """An item that was listed, and read once; its links have a token.

    Args:
        folder: of its catalogue.
        stated: the item.
        copy: whether its pixels are copied.
    """

    def __init__(self, folder: Path, stated: dict[str, Any], *, copy: bool) -> None:
        for asset in stated["assets"].values():
            asset["href"] += f"?{TOKEN}"
        self.stated, self.path, self.copy = stated, folder / "items.json", copy
        stac, acquisition = self._listed()
        before = stac.read(AOI, acquisition)
        self.red = before.bands["red"]
        self.acquisition, self.known = acquisition, stac.reference(AOI, acquisition)

    def _listed(self) -> tuple[StacSource, Acquisition]:
        """As a process of its own lists it."""
        polite_requests.forget_circuits()
        self.path.write_text(json.dumps({"type": "FeatureCollection", "features": [self.stated]}))
        stac = source("", catalogue=str(self.path), copy=self.copy, pins="item", requests=QUICK)
        ((acquisition,),) = stac.list(AOI, FIRST, LAST, NOW).acquisitions.values()
        return stac, acquisition

    def read(self) -> Any:
        """Its red band, read again by another process."""
        stac, acquisition = self._listed()
        if self.copy:
            return stac.read(AOI, acquisition).bands["red"]
        assert self.known is not None
        with stac.open_cells(AOI.grid, self.acquisition, self.known) as cells:
            return cells.read(np.arange(self.red.size)).bands["red"].reshape(self.red.shape)

    def moved(self, before: str, after: str) -> None:
        """Its files are at another address now."""
        self.stated, self.known = (
            json.loads(json.dumps(each).replace(before, after)) for each in (self.stated, self.known)
        )


@pytest.fixture(params=[True, False], ids=["copied", "by reference"])
def read_item(request: pytest.FixtureRequest, files: Files, base: str, tmp_path: Path) -> Item:
    return Item(tmp_path, item(files.folder, base), copy=request.param)


def refusal(read_item: Item, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        read_item.read()
    assert type(caught.value) is kind
    said = str(caught.value)
    assert said.startswith(f"s2/{ID}: asset B")
    assert TOKEN not in said
    assert "only-for-us" not in said
    return said


@pytest.mark.parametrize("fault", [Faults.status_500, Faults.silence, Faults.cut], ids=lambda fault: fault.__name__)
def test_a_lone_fault_passes_unnoticed(fault: Fault, read_item: Item, files: Files) -> None:
    files.faults = [fault]

    np.testing.assert_array_equal(read_item.read(), read_item.red)

    assert files.faults == []


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_stays_is_temporary_and_told_apart(fault: str, read_item: Item, files: Files) -> None:
    files.always, told = LASTING[fault]

    assert told in refusal(read_item, ArchiveError)

    files.always = None
    np.testing.assert_array_equal(read_item.read(), read_item.red)


def test_a_certificate_that_is_not_trusted_is_told_with_its_remedy(
    read_item: Item, files: Files, base: str, tmp_path: Path
) -> None:
    with files.served(untrusted(tmp_path)) as safe:
        read_item.moved(base, safe)
        said = refusal(read_item, ArchiveError)

    assert "its certificate is not trusted here (UnknownIssuer); set SSL_CERT_FILE" in said


def test_an_empty_file_is_permanent(read_item: Item, files: Files) -> None:
    for path in (files.folder / ID).iterdir():
        path.write_bytes(b"")

    assert "is empty" in refusal(read_item, SceneError)


def test_a_file_that_has_shrunk_while_it_is_read_is_permanent(files: Files, base: str) -> None:
    def untagged(answer: Answer) -> Answer:
        """As of a server that has no ETags, and so can't compare them."""
        return answer[0], {name: value for name, value in answer[1].items() if name != "ETag"}, answer[2]

    files.folder.mkdir()
    path = files.folder / "red.tif"
    path.write_bytes(bytes(4 * CHUNK))
    own = config("http://127.0.0.1:9", requests=QUICK)
    assets = Assets(own, Signer(None, polite_requests.PoliteRequests(own.requests)), local=False)
    files.always = untagged
    ranges = assets.begin(Link(f"{base}/red.tif?{TOKEN}", "s2/x: asset B04"))
    path.write_bytes(bytes(CHUNK))

    with pytest.raises(SceneError, match=r"s2/x: asset B04: was changed while it was read \(http://[^?]*\?\.\.\.\)"):
        ranges.fetch([(2 * CHUNK, 3 * CHUNK)])
