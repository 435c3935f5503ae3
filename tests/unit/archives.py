"""Items as each archive writes them, after the metadata that it publishes; no archive can be reached from here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from satcommon.sources.stac_config import profiles

from tests.unit.stac_catalogue import COLUMNS, ROWS, Files, band, item

S2 = "S2B_MSIL2A_20160107T101243_N0500_R122_T33TVL_20230807T101243"


class Archive(NamedTuple):
    """How an archive writes an item; value * scale + offset = 0.05 in red."""

    profile: str
    collection: str
    item_id: str
    properties: dict[str, Any]
    scaling: dict[str, float] | None
    red: int
    clear: int
    tile: str = "T33TVL"


MGRS = {"grid:code": "MGRS-33TVL", "s2:processing_baseline": "05.00", "s2:generation_time": "2023-08-07T10:12:43Z"}
PC_S2 = "S2B_MSIL2A_20160107T101243_R122_T33TVL_20230807T101243"
PC = {
    "s2:mgrs_tile": "33TVL",
    "s2:processing_baseline": "05.00",
    "s2:product_uri": f"{S2}.SAFE",
    "s2:datatake_id": "GS2B_20160107T101243_001234_N05.00",
}
LANDSAT = {
    "platform": "landsat-8",
    "landsat:wrs_path": "191",
    "landsat:wrs_row": "028",
    "landsat:collection_category": "T1",
    "landsat:correction": "L2SP",
}
PC_LC08 = "LC08_L2SP_191028_20160107_02_T1"
LC08 = "LC08_L2SP_191028_20160107_20200907_02_T1"
TENTH = {"scale": 0.0001, "offset": -0.1}
ARCHIVES = [
    Archive("earth-search-c1", "sentinel-2-c1-l2a", "S2B_T33TVL_20160107T101243_L2A", MGRS, TENTH, 1500, 4),
    Archive(
        "earth-search",
        "sentinel-2-l2a",
        "S2B_33TVL_20160107_0_L2A",
        MGRS | {"earthsearch:boa_offset_applied": True},
        TENTH,  # which its values have already
        500,
        4,
    ),
    Archive("cdse", "sentinel-2-l2a", S2, MGRS | {"processing:version": "05.00"}, None, 1500, 4),
    Archive(
        "planetary-computer-s2",
        "sentinel-2-l2a",
        "S2B_MSIL2A_20160107T101243_R122_T33TVL_20230807T101243",
        PC,
        None,
        1500,
        4,
    ),
    Archive(
        "planetary-computer-landsat",
        "landsat-c2-l2",
        "LC08_L2SP_191028_20160107_02_T1",
        LANDSAT,
        None,
        9091,
        21824,
        "191028",
    ),
    Archive("landsatlook", "landsat-c2l2-sr", f"{LC08}_SR", LANDSAT, None, 9091, 21824, "191028"),
    Archive("hls", "HLSS30_2.0", "HLS.S30.T33TVL.2016007T101243.v2.0", {"platform": None}, None, 500, 64),
    Archive("hls", "HLSL30_2.0", "HLS.L30.T33TVL.2016007T101243.v2.0", {"platform": None}, None, 500, 64),
]


def stated(archive: Archive, files: Files, base: str) -> dict[str, Any]:
    """An item of an archive."""
    collection = next(one for one in profiles()[archive.profile].collections if one.id == archive.collection)
    assert collection.mask is not None
    wide = np.uint16 if archive.clear > 255 else np.uint8
    cells: dict[str, Any] = {
        key: np.full((ROWS, COLUMNS), archive.red if asset.band == "red" else archive.red * 2, np.uint16)
        for key, asset in collection.assets.items()
    } | {collection.mask.asset: np.full((ROWS, COLUMNS), archive.clear, wide)}
    found = item(files.folder, base, archive.item_id, values=cells, collection=archive.collection, **archive.properties)
    for key, asset in found["assets"].items():
        asset.pop("raster:bands", None)
        if archive.scaling and key != collection.mask.asset:
            asset["raster:bands"] = [archive.scaling]
        if collection.alternate:
            asset["alternate"] = {collection.alternate: {"href": asset["href"]}}
            asset["href"] = "https://example.com/by-browser-only.tif"
        if collection.format == "jp2":
            path = files.folder / archive.item_id / f"{key}.tif"
            jp2 = band(path.with_suffix(".jp2"), cells[key], 10, "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
            jp2.replace(path)
    if "s2:product_uri" in archive.properties:
        del found["properties"]["grid:code"]
    if archive.profile in ("hls", "landsatlook", "planetary-computer-landsat"):
        for key in ("grid:code", "s2:processing_baseline"):
            del found["properties"][key]
    return found
