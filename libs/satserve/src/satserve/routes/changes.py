"""What corrections changed, since a cursor: the rows and the cursors of `satctl changes`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from satcommon.db.models import Region
from satcommon.db.publications import correcting_publications
from satcommon.errors import InputError
from satcommon.publication import cursor as cursors
from satcommon.publication.changes import Selection, changes, value_of
from starlette.responses import Response

from satserve.caller import Caller, Calling
from satserve.problem import wrong
from satserve.requests import MOST_ITEMS, columns_of, instant_of
from satserve.routes.responses import Link, document, link, problems
from satserve.service import Service, Serving, visible_field, visible_regions

router = APIRouter(tags=["Changes"])

_MOST_SKIPPED = 1_000_000_000


class Change(BaseModel):
    """A value that a publication changed."""

    region: str
    field: str
    day: str
    column: str = Field(examples=["ndvi_mean"])
    before: Any = Field(description="the value before; null where there was none")
    after: Any = Field(description="the value after; null where there is none")
    cause: str = Field(examples=["revised_field"])
    run: str
    committed_at: datetime
    sequence: int


class ChangePage(BaseModel):
    """A page of changes."""

    changes: list[Change]
    cursor: str = Field(description="where to go on once this page is all: the next call's `cursor`")
    links: list[Link] = Field(description="`next` where there is more already")


@router.get("/changes", response_model=ChangePage, responses=problems(404, 410), summary="What corrections changed")
def changed(
    request: Request,
    service: Serving,
    caller: Calling,
    cursor: Annotated[
        str | None,
        Query(
            max_length=6000,
            description="Of the page before, or of `satctl changes`.",
            examples=["c1.eJyLVkpU0lGKjgUACHUB-Q"],
        ),
    ] = None,
    since: Annotated[
        str | None,
        Query(
            max_length=40,
            description="Instead of a cursor: an instant with its zone.",
            examples=["2026-06-01T00:00:00Z"],
        ),
    ] = None,
    skip: Annotated[
        int,
        Query(
            ge=0, le=_MOST_SKIPPED, description="Changes of the first publication that came already.", examples=[1000]
        ),
    ] = 0,
    limit: Annotated[
        int, Query(ge=1, le=MOST_ITEMS, description=f"Changes of a page, at most {MOST_ITEMS}.", examples=[1000])
    ] = 1000,
    field: Annotated[
        str | None, Query(max_length=200, description="Of this field alone.", examples=["north-forty"])
    ] = None,
    column: Annotated[
        str | None,
        Query(
            max_length=2000, description="Of these columns alone, with commas between.", examples=["ndvi_mean,status"]
        ),
    ] = None,
    new: Annotated[
        bool, Query(description="Also the rows of days that were published for the first time.", examples=[True])
    ] = False,
) -> Response:
    """The changes after a cursor, region after region, each in the order of its publications.

    No change is missed, and none comes twice: follow `next` until there is none, then keep `cursor`.

    A change has neither `final` nor `state_as_of`: it tells what a publication did, while these tell what is known now.
    Read the row for them.
    """
    selection = Selection(field, columns_of(column), new)
    with service.reading() as connection:
        regions = visible_regions(connection, caller)
        if field is not None:
            visible_field(service, connection, field, None, caller)
        start = _start(connection, caller, cursor, since)
        newest = cursors.newest(connection)
    here = {region.bbox_id: start.get(region.bbox_id, 0) for region in regions}
    page = _Page(service, regions, here, {**here, **{k: v for k, v in newest.items() if k in here}}, selection)
    rows, skipped = page.read(skip, limit)
    with service.reading() as connection:
        after = cursors.encode(connection, page.read_through)
    links = [link(request, "/changes", "self")]
    if page.has_more:
        given: dict[str, Any] = {"limit": limit, "field": field, "column": column, "new": "true" if new else None}
        links.append(link(request, "/changes", "next", cursor=after, skip=skipped or None, **given))
    return document(request, {"changes": rows, "cursor": after, "links": links})


def _start(connection: Any, caller: Caller, cursor: str | None, since: str | None) -> cursors.Positions:
    if cursor is not None and since is not None:
        raise wrong("since", since, "either a cursor or since")
    if cursor is None:
        instant = instant_of(since, "since")
        return cursors.newest(connection) if instant is None else cursors.at(connection, instant)
    try:
        return cursors.decode(connection, cursor, caller.regions)
    except InputError as error:
        raise wrong("cursor", cursor, "the cursor of a page of changes, or of `satctl changes`", str(error)) from None


class _Page:
    """A page of changes: publication after publication, until there are enough.

    Args:
        service: of the request.
        regions: that may be seen.
        since: position of each region before the page.
        until: position of each region that is read to.
        selection: which changes are listed.

    Attributes:
        read_through: position of each region whose publications are listed as a whole.
        has_more: whether something is left.
    """

    def __init__(
        self,
        service: Service,
        regions: Sequence[Region],
        since: cursors.Positions,
        until: cursors.Positions,
        selection: Selection,
    ) -> None:
        self._service, self._regions, self._until, self._selection = service, regions, until, selection
        self.read_through = dict(since)
        self.has_more = False

    def read(self, skip: int, limit: int) -> tuple[list[dict[str, Any]], int]:
        """The changes of the page, and how many of the publication that it ends in have come."""
        rows: list[dict[str, Any]] = []
        engine, objects = self._service.environment.engine, self._service.objects
        for region, sequence in self._publications():
            if len(rows) == limit:
                self.has_more = True
                return rows, 0
            come = 0
            for table in changes(engine, objects, region, sequence - 1, sequence, self._selection):
                start = min(max(0, skip - come), table.num_rows)
                part = table.slice(start, limit - len(rows))
                rows.extend(_documents(part))
                if start + part.num_rows < table.num_rows:
                    self.has_more = True
                    return rows, come + start + part.num_rows
                come += table.num_rows
            skip = 0
            self.read_through[region.bbox_id] = sequence
        self.read_through.update(self._until)
        return rows, 0

    def _publications(self) -> Iterator[tuple[Region, int]]:
        for region in self._regions:
            since, until = self.read_through[region.bbox_id], self._until[region.bbox_id]
            if since < until:
                with self._service.reading() as connection:
                    log = correcting_publications(connection, region.bbox_id, since, until, new=self._selection.new)
                yield from ((region, each.sequence) for each in log)


def _documents(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Changes of a publication and a day as a page has them."""
    for first in table.slice(0, 1).to_pylist():
        own = zip(*(table[name].to_pylist() for name in ("field", "column", "before", "after", "cause")), strict=True)
        for field, column, before, after, cause in own:
            values = {"before": value_of(column, before), "after": value_of(column, after)}
            named = {"field": field, "day": first["day"].isoformat(), "column": column, "cause": cause}
            yield first | named | values
