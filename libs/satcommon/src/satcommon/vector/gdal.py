"""What GDAL reads: a layer's attributes and geometries, through Arrow.

GDAL's warnings about a file become remarks. The caller has checked the format: GDAL goes by content, not by suffix, and
has drivers that follow references in a file to other files and hosts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from satcommon.errors import InputError
from satcommon.vector.arrow import features_of
from satcommon.vector.table import Choose, Features, has_curves

_ARC_STEP = "OGR_ARC_STEPSIZE"
_SPLITS = "!;"  # what pyogrio takes for the end of an archive's name or of a path


def read_layer(
    path: Path,
    source: str,
    what: str,
    layer: str | None,
    choose: Choose,
    encoding: str | None = None,
    options: Mapping[str, str] = MappingProxyType({}),
) -> Features:
    """The features of one layer; curves are drawn as lines, a vertex a degree of arc.

    Args:
        path: the user's file, for messages.
        source: the same as GDAL opens it.
        what: the name of the format, for messages.
        layer: by name; None for the only one.
        choose: chooses the attributes to be read.
        encoding: of the text, where the file does not state it.
        options: of GDAL's driver.

    Raises:
        InputError: GDAL can't read it, or the layer has no CRS.
    """
    from pyogrio import read_info
    from pyogrio.raw import read_arrow

    with _translated_errors(path, source, what) as warned:
        names = [str(name) for name in read_info(source, layer=layer, encoding=encoding)["fields"]]
    chosen = list(choose(names))
    with _translated_errors(path, source, what) as warned_later:
        # Instants as they are written: a local midnight is a day, and would be another one in UTC.
        meta, table = read_arrow(
            source, layer=layer, columns=chosen, encoding=encoding, datetime_as_string=True, **options
        )
    if meta["crs"] is None and table.num_rows:
        raise InputError(f"{path}: the layer has no CRS; assign one (ogr2ogr -a_srs EPSG:...) and try again")
    geometry = meta["geometry_name"] or "wkb_geometry"
    with _translated_errors(path, source, what):
        if has_curves(table.column(geometry).to_pylist()):
            table = table.set_column(table.column_names.index(geometry), geometry, [_as_lines(source, layer)])
        return features_of(
            path, table, names, chosen, geometry, meta["crs"], list(dict.fromkeys([*warned, *warned_later]))
        )


def _as_lines(source: str, layer: str | None) -> Any:
    """The geometries of a layer as WKB, curves as lines."""
    import pyarrow as pa
    from pyogrio import get_gdal_config_option, set_gdal_config_options
    from pyogrio.raw import read

    before = get_gdal_config_option(_ARC_STEP)
    set_gdal_config_options({_ARC_STEP: "1"})  # degrees: a circle of 10 ha is 5 m2 too small; 80 m2 by GDAL's default
    try:
        geometries = read(source, layer=layer, columns=[])[2]
    finally:
        set_gdal_config_options({_ARC_STEP: before})
    return pa.array(geometries, pa.binary())


def layer_names(path: Path, source: str, what: str) -> list[str]:
    """The names of the layers that have geometry."""
    from pyogrio import list_layers

    with _translated_errors(path, source, what):
        return [str(name) for name, kind in list_layers(source) if kind is not None]


@contextmanager
def _translated_errors(path: Path, source: str, what: str) -> Iterator[list[str]]:
    """Turn errors of GDAL and Arrow into a message; the list fills with GDAL's warnings."""
    bad = [character for character in _SPLITS if character in source and not source.startswith("/vsi")]
    if bad:
        raise InputError(f"{path}: GDAL can't open a path with {bad[0]!r} in it; rename it")
    warned: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield warned
        warned += [_one_line(warning.message) for warning in caught]
    except UnicodeDecodeError as error:
        hint = "; name its encoding in a .cpg file" if what == "Shapefile" else ""
        raise InputError(f"{path}: can't be read as a {what}: its text is no UTF-8 ({error.reason}){hint}") from error
    except NameError as error:  # a slip of pyogrio 0.13, where GDAL can't tell a broken CRS
        raise InputError(f"{path}: can't be read as a {what}: its CRS is broken; write it again") from error
    except (RuntimeError, ValueError, OSError, LookupError) as error:  # GDAL's, and Arrow's
        raise InputError(f"{path}: can't be read as a {what}: {_one_line(error)}") from error


def _one_line(message: Any) -> str:
    return " ".join(str(message).split())[:300]
