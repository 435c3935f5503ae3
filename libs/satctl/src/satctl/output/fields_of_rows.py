"""What the registry says of the fields that rows are of: polygons, names, crops and areas."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import shapely
from satcommon.db.engine import read_transaction
from satcommon.db.expectations import geometries
from satcommon.db.models import Field, Season
from satcommon.db.statement_batches import rows_in
from satcommon.geo.geometry import areas_ha
from satcommon.publication.row_columns import DETAILS
from sqlalchemy import Engine, select


class Polygons:
    """The polygons that rows were computed with: WKB by digest. Each is fetched once: revisions never change."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, bytes] = {}

    def of(self, digests: list[str]) -> pa.Array:
        """The polygons of digests: WKB in WGS 84."""
        new = set(digests) - self._known.keys()
        if new:
            with read_transaction(self._engine) as connection:
                self._known |= geometries(connection, new)
        return pa.array([self._known.get(digest) for digest in digests], pa.binary())


class FieldDetails:
    """What is known of rows' fields. Each field, season and polygon is looked up once."""

    def __init__(self, engine: Engine, polygons: Polygons) -> None:
        self._engine, self._polygons = engine, polygons
        self._names: dict[str, str] = {}
        self._crops: dict[tuple[str, date], str | None] = {}
        self._areas: dict[str, float] = {}

    def added(self, rows: pa.Table) -> pa.Table:
        """Rows, with a field's name, crop and area after it."""
        names, digests = rows["field"].to_pylist(), rows["geometry_digest"].to_pylist()
        self._look_up(set(names), set(digests))
        crops = [self._crops.get(season) for season in zip(names, rows["planting_date"].to_pylist(), strict=True)]
        values = [self._names.get(name) for name in names], crops, [self._areas.get(digest) for digest in digests]
        for at, (column, found) in enumerate(zip(DETAILS, values, strict=True), start=3):
            rows = rows.add_column(at, column, pa.array(found, column.type))
        return rows

    def _look_up(self, names: set[str], digests: set[str]) -> None:
        if new := names - self._names.keys():
            columns = (Field.external_id, Field.name, Season.planting_date, Season.crop_code)
            statement = select(*columns).join(Season, Season.field_id == Field.field_id)
            with read_transaction(self._engine) as connection:
                for row in rows_in(connection, statement, Field.external_id, new):
                    self._names[row.external_id] = row.name
                    self._crops[row.external_id, row.planting_date] = row.crop_code
        if unseen := sorted(digests - self._areas.keys()):
            shapes = shapely.from_wkb(self._polygons.of(unseen).to_numpy(zero_copy_only=False))
            self._areas |= dict(zip(unseen, areas_ha(shapes).tolist(), strict=True))
