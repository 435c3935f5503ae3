"""What all routes work with: the ledger, the store, and what this process keeps in memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from satcommon.db import fields as field_registry
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.db.models import Field, Region
from satcommon.db.records import first, select_all
from satcommon.environment import Environment
from satcommon.publication.objects import ResultObjects
from satcommon.views.metrics.expected_days import ExpectedDays
from sqlalchemy import Connection, bindparam

from satserve.caller import Caller, Doorkeeper
from satserve.features.field_index import FieldIndexes
from satserve.features.field_numbers import NumberedRegions
from satserve.pictures import Pictures
from satserve.problem import not_found
from satserve.series.half_years import HalfYears
from satserve.series.snapshots import Snapshots

# Made once: to build a statement takes as long as to run it.
_REGION = select_all(Region).where(Region.name == bindparam("name"))
_FIELD = select_all(Field).where(Field.external_id == bindparam("external_id"))


class Service:
    """What all routes work with.

    Args:
        environment: settings, ledger and store.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.doorkeeper = Doorkeeper(environment.engine, environment.settings)
        self.indexes = FieldIndexes()
        self.numbered = NumberedRegions()
        self.expected_days = ExpectedDays()
        self.snapshots = Snapshots()
        self.pictures = Pictures()

    @cached_property
    def objects(self) -> ResultObjects:
        """The result objects."""
        return ResultObjects(self.environment.store())

    @cached_property
    def half_years(self) -> HalfYears:
        """Rows sorted by field."""
        chosen = self.environment.settings
        folder: Path = chosen.api_cache or chosen.home / "api-cache"
        return HalfYears(folder, chosen.api_cache_mb << 20, self.objects)

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one snapshot of the ledger."""
        return read_transaction(self.environment.engine)


async def service_of(request: Request) -> Service:  # async: a function that waits for nothing needs no thread
    """The service of a request, for routes."""
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(service_of)]


def visible_regions(connection: Connection, caller: Caller) -> Sequence[Region]:
    """The regions that a caller may see, by name."""
    return [region for region in registry.regions(connection) if caller.sees(region.bbox_id)]


def visible_region(connection: Connection, name: str, caller: Caller) -> Region:
    """A region.

    Raises:
        Problem: there is none of that name, as far as the caller may see.
    """
    region = first(connection, _REGION, {"name": name})
    if region is None or not caller.sees(region.bbox_id):
        raise not_found("region", name, "/regions")
    return region


def visible_field(
    service: Service, connection: Connection, external_id: str, day: date | None, caller: Caller
) -> tuple[Field, Region]:
    """A field, and the region whose rows of it are meant: its home on a day, else the first that the caller may see.

    Args:
        service: of the request.
        connection: of a read transaction.
        external_id: the field's.
        day: the last one that is asked for; None for all.
        caller: who asks.

    Raises:
        Problem: there is none of that id in a region, as far as the caller may see.
    """
    field = first(connection, _FIELD, {"external_id": external_id})
    if field is None:
        raise not_found("field", external_id, "/collections/fields/items")
    home = field_registry.home_region(connection, field.field_id, day or date.max)
    if home is not None and caller.sees(home.bbox_id):
        return field, home
    index = service.indexes.get(connection)
    for bbox_id in (bbox_id for position in index.positions([external_id]) for bbox_id in index.regions[position]):
        if caller.sees(bbox_id):
            return field, registry.region(connection, index.names[bbox_id])
    raise not_found("field", external_id, "/collections/fields/items")
