"""`satctl fields plot`: a field's season as a picture."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import click
from satcommon.messages import counted

from satctl.completion import field_ids
from satctl.opening import opened
from satctl.output.sink import file_name, force_option, sink
from satctl.parameters import DAY, as_of_option

if TYPE_CHECKING:
    from satcommon.views.season import FieldSeason


@click.command()
@click.argument("external_id", shell_complete=field_ids)
@click.option("--from", "first", type=DAY, help="First day.  [default: the season's planting]")
@click.option("--to", "last", type=DAY, help="Last day.  [default: the season's end, else the watermark]")
@click.option("--output", metavar="FILE", help="Where to write; - is stdout.  [default: EXTERNAL_ID-season.png]")
@as_of_option
@force_option
def plot(
    external_id: str,
    first: date | None,
    last: date | None,
    output: str | None,
    as_of: datetime | None,
    force: bool,
) -> None:
    """Draw a field's season to a PNG.

    A dot is the mean NDVI of a clear day; it is hollow where only a part of the field was clear. The line is not an
    observation: it is NDVI smoothed over the last clear days, carried on from day to day.

    Below the axis, a low grey mark is a day under cloud or snow, and a high black mark is a missing day: it has no row
    yet, or its due scene never came. A day with neither mark nor dot had no overpass, or the swath missed the field, or
    too little of the field lies in the region. Marks further below are days whose numbers a replay computed, as long as
    its attempts are on record. Days after an open miss are faint: they will be recomputed. The numbers are those of the
    field's home region.

    \b
    Examples:
      satctl fields plot north-40
      satctl fields plot north-40 --from 2026-05-01 --output spring.png
      satctl fields plot north-40 --as-of 2026-06-01 --output then.png
      satctl fields plot north-40 --output - > north-40.png
    """
    from satcommon.views.season import season_of

    target = output or file_name(external_id, "-season.png")
    with opened() as env:
        season = season_of(env.engine, env.store(), external_id, first, last, as_of)
    with sink(target, force=force) as file:
        file.write(drawn(season))
    click.echo(f"drew {counted(len(season.days), 'day')} of {external_id} to {target}", err=True)


def drawn(season: FieldSeason) -> bytes:
    """The PNG of a season."""
    from satcommon.stats.result_rows import Status
    from satcommon.views.season_chart import Dots, Line, Unseen, season_chart

    seen = [
        (day, ndvi, status is not Status.CLEAR)
        for day, ndvi, status in zip(season.days, season.ndvi, season.status, strict=True)
        if ndvi is not None
    ]
    by_status = list(zip(season.days, season.status, strict=True))
    unseen = Unseen(
        cloudy=[day for day, status in by_status if status in (Status.CLOUDY, Status.HIDDEN)],
        missing=sorted([*season.missing, *(day for day, status in by_status if status is Status.NO_SCENE)]),
    )
    return season_chart(
        f"{season.external_id}, region {season.region}, {season.first} to {season.last}",
        [Line("smoothed over the last clear views", season.days, season.smoothed)],
        span=(season.first, season.last),
        dots=Dots([day for day, _, _ in seen], [ndvi for _, ndvi, _ in seen], [partial for _, _, partial in seen]),
        unseen=unseen,
        recomputed=season.recomputed,
        final_before=season.final_before,
    )
