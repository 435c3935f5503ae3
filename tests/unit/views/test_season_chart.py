import io
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from satcommon.views.season_chart import (
    BACKGROUND,
    CLOUDY,
    DOT,
    FAINT_DOT,
    FAINT_LINE,
    FORMER,
    FRAME,
    HEIGHT,
    LINE,
    MISSING,
    RECOMPUTED,
    SOFT_INK,
    STRIP,
    WIDTH,
    Colour,
    Dots,
    Line,
    Unseen,
    season_chart,
)

FIRST = date(2026, 5, 1)
LEGEND = HEIGHT - 40  # all of a legend's single line is below


def days(count: int, first: date = FIRST) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


def line(ndvi: Sequence[float | None], label: str = "smoothed NDVI", *, former: bool = False) -> Line:
    return Line(label, days(len(ndvi)), ndvi, former)


def span(count: int) -> tuple[date, date]:
    return FIRST, days(count)[-1]


def pixels(png: bytes) -> NDArray[np.int_]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.int_)


def plot(png: bytes) -> NDArray[np.int_]:
    """All but the legend."""
    return pixels(png)[:LEGEND]


def where(picture: NDArray[np.int_], colour: Colour) -> NDArray[np.bool_]:
    """Where a colour is; a palette may have moved it a little."""
    found: NDArray[np.bool_] = np.abs(picture - np.array(colour)).max(axis=2) <= 8
    return found


def clusters(columns: NDArray[np.bool_], room: int) -> list[tuple[int, int]]:
    """First and last of the columns that are set, where less than `room` free ones lie between."""
    at = np.flatnonzero(columns)
    cuts = np.flatnonzero(np.diff(at) > room)
    return [(int(part[0]), int(part[-1])) for part in np.split(at, cuts + 1) if len(part)]


def test_a_higher_ndvi_is_higher_in_the_picture_and_a_later_day_further_right() -> None:
    png = season_chart("A", [line([0.2, 0.4, 0.8])], span=span(3))

    rows, columns = np.nonzero(where(plot(png), LINE))

    assert Image.open(io.BytesIO(png)).size == (WIDTH, HEIGHT)
    assert rows[columns.argmin()] - rows[columns.argmax()] > 100
    assert columns.max() - columns.min() > WIDTH / 2


def test_an_observation_of_the_whole_field_is_a_full_dot_and_one_of_a_part_is_hollow() -> None:
    png = season_chart("A", [], span=span(2), dots=Dots(days(2), [0.5, 0.5], [False, True]))

    dots = where(plot(png), DOT)
    full, hollow = clusters(dots.any(axis=0), room=20)

    middle = np.flatnonzero(dots.any(axis=1)).mean().astype(int)
    assert dots[middle, sum(full) // 2]
    assert (plot(png)[middle, sum(hollow) // 2] == BACKGROUND).all()


@pytest.mark.parametrize("gap", [line([0.4, 0.4, None, 0.4, 0.4]), Line("", [*days(2), *days(5)[3:]], [0.4] * 4)])
def test_a_day_without_a_value_or_left_out_breaks_the_line(gap: Line) -> None:
    png = season_chart("A", [gap], span=span(5))

    assert len(clusters(where(plot(png), LINE).any(axis=0), room=100)) == 2


def test_what_is_not_final_is_faint() -> None:
    dots = Dots([FIRST, days(10)[-1]], [0.7, 0.7], [False, False])

    png = season_chart("A", [line([0.4] * 10)], span=span(10), dots=dots, final_before=days(10)[6])

    strong, faint = (np.flatnonzero(where(plot(png), c).any(axis=0)) for c in (LINE, FAINT_LINE))
    assert 40 < len(faint) < len(strong)
    assert strong.max() <= faint.min() + 5
    assert np.flatnonzero(where(plot(png), DOT).any(axis=0)).max() < WIDTH / 2
    assert np.flatnonzero(where(plot(png), FAINT_DOT).any(axis=0)).max() > WIDTH / 2


def test_a_first_miss_after_the_last_day_makes_nothing_faint() -> None:
    chart = [line([0.4] * 10)]

    assert season_chart("A", chart, span=span(10), final_before=days(11)[10]) == season_chart(
        "A", chart, span=span(10), final_before=None
    )


def test_each_recomputed_day_has_its_mark_below_the_axis() -> None:
    png = season_chart("A", [line([0.4] * 30)], span=span(30), recomputed=[*days(30)[3:6], days(30)[20]])

    marks = where(plot(png), RECOMPUTED)

    assert len(clusters(marks.any(axis=0), room=1)) == 4
    assert np.flatnonzero(marks.any(axis=1)).min() > HEIGHT / 2


def test_cloudy_days_are_told_from_missing_ones_by_their_height_and_not_by_their_colour_alone() -> None:
    on = days(30)
    unseen = Unseen(cloudy=[on[3], on[9], on[15]], missing=[on[20], on[25]])

    png = season_chart("A", [line([0.4] * 30)], span=span(30), unseen=unseen, recomputed=[on[9]])

    below = pixels(png)[HEIGHT // 2 : LEGEND, 52:]  # right of the axis and its names
    recomputed = np.flatnonzero(where(below, RECOMPUTED).any(axis=1))
    strip = below[: recomputed[0]]
    heights = {}
    for name, colour, count in (("cloudy", CLOUDY, 3), ("missing", MISSING, 2)):
        marks = where(strip[-STRIP:], colour)
        assert len(clusters(marks.any(axis=0), room=1)) == count
        heights[name] = marks.any(axis=1).sum()
    assert heights["cloudy"] < heights["missing"] < STRIP


def test_of_lines_that_agree_both_are_seen() -> None:
    same = [0.3 + 0.01 * n for n in range(20)]

    png = season_chart("A", [line(same, "before", former=True), line(same, "after")], span=span(20))

    assert where(plot(png), FORMER).sum() > 100
    assert where(plot(png), LINE).sum() > 100


def test_a_season_without_an_observation_says_so() -> None:
    nothing, something = (season_chart("A", [line([v] * 20)], span=span(20)) for v in (None, 0.9))

    written = [where(pixels(png)[100:180, 200:500], SOFT_INK).sum() for png in (nothing, something)]

    assert written[0] > 50
    assert written[1] == 0


def test_ndvi_below_zero_is_within_the_picture() -> None:
    png = season_chart("A", [line([-0.31, -0.31])], span=span(2))

    (first, last), *more = clusters(where(plot(png), LINE).any(axis=1), room=1)

    assert more == []
    assert HEIGHT / 2 < first <= last < LEGEND - 30


def test_the_legend_tells_what_is_in_the_picture_and_nothing_else() -> None:
    dots = Dots([FIRST], [0.4], [False])

    few = season_chart("A", [line([0.4] * 9)], span=span(9))
    all_ = season_chart("A", [line([0.4] * 9)], span=span(9), dots=dots, recomputed=[FIRST], final_before=days(9)[5])

    assert not where(pixels(few)[LEGEND:], DOT).any()
    assert where(pixels(all_)[LEGEND:], DOT).any()
    assert where(pixels(all_)[LEGEND:], RECOMPUTED).any()


@st.composite
def seasons(draw: st.DrawFn) -> bytes:
    count = draw(st.integers(1, 400))
    on = days(count, FIRST + timedelta(days=draw(st.integers(0, 365))))
    values = draw(st.lists(st.none() | st.floats(-1, 1), min_size=1, max_size=9))
    ndvi = [values[n % len(values)] for n in range(count)]
    seen = [n for n, value in enumerate(ndvi) if value is not None]
    dots = Dots([on[n] for n in seen], [ndvi[n] or 0.0 for n in seen], [n % 2 == 0 for n in seen])
    return season_chart(
        draw(st.text(max_size=200)),
        [Line("before", on, ndvi[::-1], former=True), Line("after " * draw(st.integers(1, 5)), on, ndvi)],
        span=(on[0], on[-1]),
        dots=draw(st.none() | st.just(dots)),
        recomputed=draw(st.lists(st.sampled_from(on), unique=True, max_size=20)),
        final_before=draw(st.none() | st.sampled_from(on)),
    )


@settings(max_examples=30)
@given(seasons())
def test_any_season_is_drawn_within_the_picture(png: bytes) -> None:
    picture = pixels(png)

    assert picture.shape == (HEIGHT, WIDTH, 3)
    for edge in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (edge == BACKGROUND).all()


@settings(max_examples=30)
@given(st.integers(1, 400) | st.integers(400, 4000), st.integers(0, 365))
def test_the_days_of_the_axis_are_told_apart(count: int, start: int) -> None:
    on = days(count, FIRST + timedelta(days=start))

    picture = pixels(season_chart("A", [], span=(on[0], on[-1])))

    axis = np.flatnonzero(where(picture, FRAME).sum(axis=1) > WIDTH / 2)[-1]
    names = clusters(where(picture[axis + 12 : axis + 20], SOFT_INK).any(axis=0), room=7)
    assert len(names) >= 1 + (count > 14)
    assert max(last - first for first, last in names) < 45


def test_the_same_season_is_the_same_bytes() -> None:
    one, other = (season_chart("A", [line([0.1, 0.5])], span=span(2), recomputed=days(2)) for _ in range(2))

    assert one == other
