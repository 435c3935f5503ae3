"""What GDAL reads: a layer's attributes and geometries, through Arrow.

GDAL's words about a file become remarks. The caller has made sure of the format: GDAL goes by content, not by suffix,
and has drivers that follow references in a file to other files and hosts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from satcommon.errors import InputError
from satcommon.features.arrow import features_of
from satcommon.features.table import Choose, Features

_SPLITS = "!;"  # what pyogrio takes for the end of an archive's name or of a path


def read_layer(path: Path, source: str, what: str, layer: str | None, choose: Choose) -> Features:
    """The features of one layer.

    Args:
        path: the user's file, for messages.
        source: the same as GDAL opens it.
        what: the format, for messages.
        layer: by name; None for the only one.
        choose: of the attributes those to be read.

    Raises:
        InputError: GDAL can't read it, or the layer has no CRS.
    """
    from pyogrio import read_info
    from pyogrio.raw import read_arrow

    with _explained(path, source, what) as said:
        names = [str(name) for name in read_info(source, layer=layer)["fields"]]
    chosen = list(choose(names))
    with _explained(path, source, what) as more:
        meta, table = read_arrow(source, layer=layer, columns=chosen)
    if meta["crs"] is None and table.num_rows:
        raise InputError(f"{path}: the layer has no CRS; assign one (ogr2ogr -a_srs EPSG:...) and try again")
    geometry = meta["geometry_name"] or "wkb_geometry"
    with _explained(path, source, what):
        return features_of(path, table, names, chosen, geometry, meta["crs"], list(dict.fromkeys([*said, *more])))


def layer_names(path: Path, source: str, what: str) -> list[str]:
    """The names of the layers that have geometry."""
    from pyogrio import list_layers

    with _explained(path, source, what):
        return [str(name) for name, kind in list_layers(source) if kind is not None]


@contextmanager
def _explained(path: Path, source: str, what: str) -> Iterator[list[str]]:
    """Errors of GDAL and Arrow as a message; the list fills with GDAL's warnings."""
    bad = [character for character in _SPLITS if character in source and not source.startswith("/vsi")]
    if bad:
        raise InputError(f"{path}: GDAL can't open a path with {bad[0]!r} in it; rename it")
    said: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield said
        said += [_plain(one.message) for one in caught]
    except UnicodeDecodeError as error:
        hint = "; name its encoding in a .cpg file" if what == "Shapefile" else ""
        raise InputError(f"{path}: can't be read as a {what}: its text is no UTF-8 ({error.reason}){hint}") from error
    except NameError as error:  # a slip of pyogrio 0.13, where GDAL can't tell a broken CRS
        raise InputError(f"{path}: can't be read as a {what}: its CRS is broken; write it again") from error
    except (RuntimeError, ValueError, OSError, LookupError) as error:  # GDAL's, and Arrow's
        raise InputError(f"{path}: can't be read as a {what}: {_plain(error)}") from error


def _plain(said: Any) -> str:
    return " ".join(str(said).split())[:300]
