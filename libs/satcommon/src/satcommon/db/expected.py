"""Which field-days are expected: a field in the region, in season, active, while the region is monitored.

Pure functions over the registry's content. A field's expected days are a few spans; polygon and season are constant
within a span. Days are `datetime.date`, both ends included; `date.max` stands for an open end. The types are named
tuples: every field of a region has some, and they take half the time of dataclasses to make.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from satcommon.db.models import RevisionKind

ONE_DAY = timedelta(days=1)


class Span(NamedTuple):
    """Days on which a field is expected in a region, with one polygon and one season."""

    first: date
    last: date
    planting: date
    geometry_digest: str
    inside_fraction: float


class Revision(NamedTuple):
    """A field revision, as in `field_revisions`; later ones overlay earlier ones from their day on."""

    kind: RevisionKind
    valid_from: date
    geometry_digest: str | None
    inside_fraction: float | None  # the part of the polygon that lies in the region; None: they don't intersect


class SeasonDays(NamedTuple):
    """A season's days."""

    planting: date
    end: date | None


class Timeline(NamedTuple):
    """A field's expected days in a region."""

    field_id: int
    external_id: str
    spans: tuple[Span, ...]

    def at(self, day: date) -> Span | None:
        """The span of a day; None where the field is not expected."""
        latest = bisect_right(self.spans, day, key=lambda span: span.first) - 1
        return self.spans[latest] if latest >= 0 and day <= self.spans[latest].last else None

    def next(self, day: date) -> date | None:
        """The first expected day from `day` on."""
        return next((max(span.first, day) for span in self.spans if span.last >= day), None)

    def digest(self, day: date) -> str:
        """Identifies what a row of `day` depends on in the registry: polygons, seasons and gaps up to that day."""
        clipped = [
            (str(s.first), str(min(s.last, day)), str(s.planting), s.geometry_digest)
            for s in self.spans
            if s.first <= day
        ]
        return hashlib.sha256(repr(clipped).encode()).hexdigest()

    def carried_from(self, day: date) -> date:
        """The first of the days, without a gap and within the season, whose state is carried on into `day`."""
        if len(self.spans) == 1:  # nearly always; asked for each field
            return self.spans[0].first
        at = bisect_right(self.spans, day, key=lambda span: span.first) - 1
        while at > 0 and self._joins(self.spans[at - 1], self.spans[at]):
            at -= 1
        return self.spans[at].first

    @staticmethod
    def _joins(before: Span, after: Span) -> bool:
        return before.planting == after.planting and before.last + ONE_DAY == after.first


def spans(
    monitored: tuple[date, date | None], revisions: Sequence[Revision], seasons: Sequence[SeasonDays]
) -> tuple[Span, ...]:
    """The expected days of one field in one region.

    Args:
        monitored: the region's first and last (or open) monitored day.
        revisions: of the field, in the order in which they became known.
        seasons: of the field; a later planting ends an earlier season that has no end.
    """
    if len(revisions) == len(seasons) == 1 and revisions[0].kind is RevisionKind.REGISTERED:
        return _spans_of_unrevised(monitored, revisions[0], seasons[0])
    expected: list[Span] = []
    ordered = sorted(seasons, key=lambda season: season.planting)
    for i, season in enumerate(ordered):
        last = season.end or date.max
        if i + 1 < len(ordered):
            last = min(last, ordered[i + 1].planting - ONE_DAY)
        of_season = [_from_planting(r, season.planting, last) for r in revisions]
        first, last = max(season.planting, monitored[0]), min(last, monitored[1] or date.max)
        if first <= last:
            expected += _within(first, last, season.planting, of_season)
    return tuple(expected)


def _spans_of_unrevised(
    monitored: tuple[date, date | None], revision: Revision, season: SeasonDays
) -> tuple[Span, ...]:
    """The spans of a field that was never revised, as nearly all are, in a tenth of the time."""
    first = max(season.planting, monitored[0], revision.valid_from)
    last = min(season.end or date.max, monitored[1] or date.max)
    if first > last or revision.inside_fraction is None or revision.geometry_digest is None:
        return ()
    return (Span(first, last, season.planting, revision.geometry_digest, revision.inside_fraction),)


def _from_planting(revision: Revision, planting: date, last: date) -> Revision:
    """A correction holds for its whole season, even if the planting was moved to an earlier day after it."""
    of_season = revision.kind is RevisionKind.CORRECTED and planting < revision.valid_from <= last
    return revision._replace(valid_from=planting) if of_season else revision


def _within(first: date, last: date, planting: date, revisions: Sequence[Revision]) -> Iterator[Span]:
    """Cut first..last where a revision begins to hold; adjacent equal pieces stay one."""
    cuts = sorted({first, *(r.valid_from for r in revisions if first < r.valid_from <= last)})
    open_span: Span | None = None
    for i, start in enumerate(cuts):
        end = cuts[i + 1] - ONE_DAY if i + 1 < len(cuts) else last
        polygon = _latest(revisions, start, lambda r: r.geometry_digest is not None)
        activity = _latest(revisions, start, lambda r: r.kind in _ACTIVITY)
        expected = polygon is not None and activity is not None and _ACTIVITY[activity.kind]
        if polygon is None or polygon.inside_fraction is None or not expected:
            if open_span:
                yield open_span
            open_span = None
            continue
        assert polygon.geometry_digest is not None
        if open_span and open_span.geometry_digest == polygon.geometry_digest:
            open_span = open_span._replace(last=end)
            continue
        if open_span:
            yield open_span
        open_span = Span(start, end, planting, polygon.geometry_digest, polygon.inside_fraction)
    if open_span:
        yield open_span


_ACTIVITY = {RevisionKind.REGISTERED: True, RevisionKind.DEACTIVATED: False, RevisionKind.REACTIVATED: True}


def _latest(revisions: Sequence[Revision], day: date, says: Callable[[Revision], bool]) -> Revision | None:
    return next((r for r in reversed(revisions) if r.valid_from <= day and says(r)), None)
