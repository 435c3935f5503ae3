"""GeoPackage."""

from __future__ import annotations

from pathlib import Path

from satcommon.errors import InputError
from satcommon.vector.gdal import layer_names, read_layer
from satcommon.vector.table import Choose, Features

_WHAT = "GeoPackage"
_SQLITE = b"SQLite format 3\0"  # how one begins; GDAL would open anything else by its content


def read(path: Path, choose: Choose, layer: str | None, single: bool) -> Features:  # noqa: ARG001  # every reader's signature
    """The features of a layer of a GeoPackage; see `table.Reader`.

    Raises:
        InputError: the file is no GeoPackage, or has no such layer.
    """
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise InputError(f"{path}: is no GeoPackage, whatever its suffix says; check the file")
    return read_layer(path, str(path), _WHAT, _layer(path, layer), choose)


def _layer(path: Path, layer: str | None) -> str:
    layers = layer_names(path, str(path), _WHAT)
    named = ", ".join(repr(name) for name in layers)
    if layer is None and len(layers) == 1:
        return layers[0]
    if not layers:
        raise InputError(f"{path}: has no layer with geometry; expected one of polygons")
    if layer is None:
        raise InputError(f"{path}: has several layers ({named}); say which one with --layer")
    if layer not in layers:
        raise InputError(f"{path}: has no layer {layer!r} with geometry; expected one of {named}")
    return layer
