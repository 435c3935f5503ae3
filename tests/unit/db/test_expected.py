import math
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from satcommon.db.expected import Revision, SeasonDays, Span, Timeline, spans
from satcommon.db.models import RevisionKind as Kind

START = date(2026, 4, 1)
HORIZON = 40  # days that the worlds below happen in


def day(n: int) -> date:
    return START + timedelta(days=n)


# --- an evaluation of each day by itself, from the words of the design -----------------------------------------------

World = tuple[tuple[date, date | None], list[Revision], list[SeasonDays]]
OnDay = tuple[date, str]  # planting, polygon


def on_day(world: World, when: date) -> OnDay | None:
    """What a field is expected with on a day, found by asking for that day alone."""
    (first, until), revisions, seasons = world
    if when < first or (until is not None and when > until):
        return None
    current = None
    for season in seasons:
        if season.planting <= when and (current is None or season.planting > current.planting):
            current = season
    if current is None or (current.end is not None and when > current.end):
        return None
    polygon: Revision | None = None
    active = False
    for revision in revisions:  # in the order in which they became known: later words stand
        of_season = revision.valid_from <= (current.end or date.max) and not any(
            when < season.planting <= revision.valid_from for season in seasons
        )
        if revision.valid_from > when and not (revision.kind is Kind.CORRECTED and of_season):
            continue  # a correction is of the whole season that its day is in
        if revision.kind in (Kind.REGISTERED, Kind.CORRECTED, Kind.CHANGED):
            polygon = revision
        if revision.kind is Kind.REGISTERED or revision.kind is Kind.REACTIVATED:
            active = True
        if revision.kind is Kind.DEACTIVATED:
            active = False
    if not active or polygon is None or polygon.inside_fraction is None or polygon.geometry_digest is None:
        return None
    return current.planting, polygon.geometry_digest


days = st.integers(0, HORIZON - 1)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    first = draw(days)
    until = draw(st.none() | st.integers(first, HORIZON))
    inside = {name: draw(st.none() | st.just(part)) for name, part in zip("abc", (0.25, 0.5, 1.0), strict=True)}
    polygon = draw(st.sampled_from("abc"))
    revisions = [Revision(Kind.REGISTERED, date(1900, 1, 1), polygon, inside[polygon])]
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from([Kind.CORRECTED, Kind.CHANGED, Kind.DEACTIVATED, Kind.REACTIVATED]))
        of_polygon = kind in (Kind.CORRECTED, Kind.CHANGED)
        polygon = draw(st.sampled_from("abc"))
        revisions.append(
            Revision(
                kind,
                day(draw(days)),
                polygon if of_polygon else None,
                inside[polygon] if of_polygon else None,
            )
        )
    seasons = []
    for planting in draw(st.lists(days, min_size=1, max_size=3, unique=True)):
        seasons.append(
            SeasonDays(day(planting), day(draw(st.integers(planting, HORIZON))) if draw(st.booleans()) else None)
        )
    return (day(first), None if until is None else day(until)), revisions, seasons


def timeline(world: World) -> Timeline:
    return Timeline(1, "f", spans(*world))


all_days = [day(n) for n in range(-2, HORIZON + 5)]


# --- spans -----------------------------------------------------------------------------------------------------------


@given(worlds())
def test_spans_say_of_every_day_what_that_day_says_by_itself(world: World) -> None:
    line = timeline(world)

    for when in all_days:
        span = line.at(when)
        assert (None if span is None else (span.planting, span.geometry_digest)) == on_day(world, when)


@given(worlds())
def test_spans_are_in_order_do_not_overlap_and_are_as_few_as_can_be(world: World) -> None:
    found = spans(*world)

    for span in found:
        assert span.first <= span.last
    for before, after in pairwise(found):
        assert before.last < after.first
        touching = before.last + timedelta(days=1) == after.first
        same = (before.planting, before.geometry_digest) == (after.planting, after.geometry_digest)
        assert not (touching and same)


@given(worlds())
def test_a_span_tells_the_part_of_its_polygon_that_is_in_the_region(world: World) -> None:
    inside = {r.geometry_digest: r.inside_fraction for r in world[1]}

    for span in spans(*world):
        assert span.inside_fraction == inside[span.geometry_digest] is not None


def test_a_field_that_is_never_in_the_region_has_no_day() -> None:
    away = [Revision(Kind.REGISTERED, date(1900, 1, 1), "a", None)]

    assert spans((START, None), away, [SeasonDays(START, None)]) == ()


def test_an_open_season_is_expected_for_ever_and_a_later_planting_ends_it() -> None:
    here = [Revision(Kind.REGISTERED, date(1900, 1, 1), "a", 1.0)]

    found = spans((START, None), here, [SeasonDays(day(30), None), SeasonDays(day(5), None)])

    assert found == (Span(day(5), day(29), day(5), "a", 1.0), Span(day(30), date.max, day(30), "a", 1.0))


def test_a_correction_that_becomes_known_later_stands_above_an_earlier_change() -> None:
    told = [
        Revision(Kind.REGISTERED, date(1900, 1, 1), "wrong", 1.0),
        Revision(Kind.CHANGED, day(10), "split", 1.0),
        Revision(Kind.CORRECTED, day(0), "right", 1.0),
    ]

    assert [s.geometry_digest for s in spans((START, None), told, [SeasonDays(START, None)])] == ["right"]


def test_a_correction_holds_from_the_planting_on_also_where_that_was_moved_to_an_earlier_day_later() -> None:
    told = [
        Revision(Kind.REGISTERED, date(1900, 1, 1), "wrong", 1.0),
        Revision(Kind.CORRECTED, day(10), "right", 1.0),
    ]

    moved = spans((START, None), told, [SeasonDays(day(3), None)])
    two_seasons = spans((START, None), told, [SeasonDays(day(3), None), SeasonDays(day(8), None)])

    assert [(s.first, s.geometry_digest) for s in moved] == [(day(3), "right")]
    assert [(s.first, s.geometry_digest) for s in two_seasons] == [(day(3), "wrong"), (day(8), "right")]


# --- from a day ------------------------------------------------------------------------------------------------------


@given(worlds(), days)
def test_the_next_expected_day_is_the_first_from_a_day_on(world: World, n: int) -> None:
    expected = next((d for d in all_days if d >= day(n) and on_day(world, d)), None)

    assert timeline(world).next(day(n)) == expected


@given(worlds())
def test_the_state_is_carried_from_the_first_day_of_the_season_without_a_gap(world: World) -> None:
    line = timeline(world)

    for when in all_days:
        here = on_day(world, when)
        if here is None:
            continue
        first = when
        while (before := on_day(world, first - timedelta(days=1))) is not None and before[0] == here[0]:
            first -= timedelta(days=1)
        assert line.carried_from(when) == first


@given(worlds(), worlds(), days)
def test_the_digest_differs_if_and_only_if_a_day_up_to_it_differs(one: World, other: World, n: int) -> None:
    past = [d for d in all_days if d <= day(n)]

    same_past = [on_day(one, d) for d in past] == [on_day(other, d) for d in past]

    assert (timeline(one).digest(day(n)) == timeline(other).digest(day(n))) == same_past


@given(worlds(), worlds())
def test_the_digest_of_a_day_does_not_see_what_comes_after_it(one: World, other: World) -> None:
    apart = next((n for n in range(HORIZON) if on_day(one, day(n)) != on_day(other, day(n))), None)

    for n in range(HORIZON):
        same = apart is None or n < apart
        assert (timeline(one).digest(day(n)) == timeline(other).digest(day(n))) == same


@pytest.mark.parametrize("n", [0, 7, math.ceil(HORIZON / 2)])
def test_a_day_that_is_not_expected_has_no_span(n: int) -> None:
    assert Timeline(1, "f", ()).at(day(n)) is None
    assert Timeline(1, "f", ()).next(day(n)) is None


# --- what tells seasons apart ----------------------------------------------------------------------------------------


def test_a_field_s_digest_tells_its_season() -> None:
    one, other = (Timeline(1, "f", (Span(day(3), day(9), day(n), "p", 1.0),)) for n in (0, 1))

    assert one.digest(day(5)) != other.digest(day(5))


def test_a_season_that_follows_another_without_a_day_between_starts_its_state_anew() -> None:
    line = Timeline(1, "f", (Span(day(0), day(5), day(0), "p", 1.0), Span(day(6), day(9), day(6), "p", 1.0)))

    assert line.carried_from(day(8)) == day(6)


def test_a_correction_that_is_valid_from_a_season_s_last_day_is_of_the_whole_season() -> None:
    revisions = [Revision(Kind.REGISTERED, date.min, "wrong", 1.0), Revision(Kind.CORRECTED, day(5), "right", 1.0)]

    [span] = spans((day(0), None), revisions, [SeasonDays(day(1), day(5))])

    assert (span.first, span.last, span.geometry_digest) == (day(1), day(5), "right")
