"""NDVI over days as a picture: a field's season, or its line before and after a replay.

Drawn with Pillow alone, as `ndvi_map` is. Colours are Okabe and Ito's, distinct with any colour vision, and never the
only sign: a line is solid or dashed, a dot full or hollow, a mark has its own place.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]

WIDTH, HEIGHT = 640, 320
MARGIN, TITLE_HEIGHT, LEGEND_LINE = 14, 34, 20  # pixels
AXIS_WIDTH, DAYS_HEIGHT, STRIP = 34, 38, 9  # left of the plot, below it, and of the latter for marks of single days
SUPERSAMPLING = 4  # Pillow's lines are not antialiased
DASH, GAP = 6, 8
STEP = 0.2  # of NDVI, between two lines of the grid
BY_MONTH = 62  # days, from which on the axis names months
DAY_ROOM, MONTH_ROOM = 54, 36  # pixels between two names on the axis

BACKGROUND, INK, SOFT_INK, GRID = (255, 255, 255), (33, 37, 41), (95, 101, 108), (225, 228, 232)
NOT_FINAL_GROUND, FRAME = (243, 244, 247), (150, 155, 161)
LINE, FORMER, DOT, RECOMPUTED = (0, 128, 92), (142, 146, 153), (0, 114, 178), (213, 94, 0)
CLOUDY, MISSING = (120, 126, 133), (33, 37, 41)  # a low grey mark and a high black one
FAINT_LINE, FAINT_DOT = (143, 205, 184), (143, 190, 222)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in any locale


@dataclass(frozen=True)
class Line:
    """NDVI from day to day; None, or a day that is left out, breaks the line.

    Args:
        label: what it is, in the legend.
        days: ascending.
        ndvi: of each day.
        former: drawn dashed and grey, as what is no longer.
    """

    label: str
    days: Sequence[date]
    ndvi: Sequence[float | None]
    former: bool = False


@dataclass(frozen=True)
class Dots:
    """Observations of single days.

    Args:
        days: of the observations.
        ndvi: of each.
        partial: whether only a part of the field was seen; such a dot is hollow.
    """

    days: Sequence[date]
    ndvi: Sequence[float]
    partial: Sequence[bool]


@dataclass(frozen=True)
class Unseen:
    """Days without an observation, in a strip of their own below the axis.

    Args:
        cloudy: looked at, and none of the field was clear.
        missing: that should have a view or a row, and have none. Days on which nothing was due are in neither.
    """

    cloudy: Sequence[date]
    missing: Sequence[date]


@dataclass(frozen=True)
class _Plot:
    """Where days and NDVI lie in the picture, in its pixels times a scale."""

    first: date
    count: int  # of days
    low: float  # the lowest NDVI
    bottom: int
    scale: int = 1
    strips: int = 1  # below the axis, for marks of single days

    left, right, top = MARGIN + AXIS_WIDTH, WIDTH - MARGIN - 6, TITLE_HEIGHT

    @property
    def day_width(self) -> float:
        return self.scale * (self.right - self.left) / self.count

    def x(self, day: date) -> float:
        """The middle of a day."""
        return self.scale * self.left + ((day - self.first).days + 0.5) * self.day_width

    def y(self, ndvi: float) -> float:
        above = (min(ndvi, 1.0) - self.low) / (1.0 - self.low)
        return self.scale * (self.bottom - above * (self.bottom - self.top))


def season_chart(
    title: str,
    lines: Sequence[Line],
    *,
    span: tuple[date, date],
    dots: Dots | None = None,
    unseen: Unseen | None = None,
    recomputed: Sequence[date] = (),
    final_before: date | None = None,
) -> bytes:
    """A PNG of 640 by 320 pixels: NDVI from 0 (or its lowest value, if that is less) to 1, over any number of days.

    Args:
        title: one line, cut where the picture ends.
        lines: drawn in their order; former ones are wide and below the others, so that both of two equal lines show.
        span: first and last day of the axis; nothing lies outside.
        dots: observations.
        unseen: days without one.
        recomputed: days marked below the axis.
        final_before: the first day whose numbers will still change; all from it on is drawn faint.
    """
    values = [v for line in lines for v in line.ndvi if v is not None] + list(dots.ndvi if dots else ())
    low = min(0.0, STEP * math.floor(min(values, default=0.0) / STEP))
    first, last = span
    open_from = final_before if final_before is not None and final_before <= last else None
    keys = _keys(lines, dots, unseen, recomputed, open_from)
    legend = _laid_out(keys)
    bottom = round(min((y for _, y in legend), default=HEIGHT - MARGIN) - LEGEND_LINE / 2) - DAYS_HEIGHT
    strips = 2 if unseen is not None else 1
    bottom -= STRIP * (strips - 1)
    plot = _Plot(first, (last - first).days + 1, low, bottom, strips=strips)
    large = _Plot(first, plot.count, low, bottom, SUPERSAMPLING, strips)

    drawn = Image.new("RGB", (WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING), BACKGROUND)
    draw = ImageDraw.Draw(drawn)
    _draw_ground(draw, large, open_from)
    if dots is not None:
        for day, ndvi, partial in zip(dots.days, dots.ndvi, dots.partial, strict=True):
            colour = FAINT_DOT if open_from and day >= open_from else DOT
            _draw_dot(draw, (large.x(day), large.y(ndvi)), colour, hollow=partial)
    for line in sorted(lines, key=lambda line: not line.former):
        _draw_line(draw, large, line, open_from)
    if unseen is not None:
        for colour, marked in ((CLOUDY, unseen.cloudy), (MISSING, unseen.missing)):
            for day in marked:
                _draw_mark(draw, large.x(day), large.scale * bottom, large.day_width, colour)
    for day in recomputed:
        _draw_mark(draw, large.x(day), large.scale * (bottom + STRIP * (strips - 1)), large.day_width, RECOMPUTED)
    for key, (x, y) in zip(keys, legend, strict=True):
        key.draw(draw, SUPERSAMPLING * x, SUPERSAMPLING * y)
    picture = drawn.reduce(SUPERSAMPLING)

    draw = ImageDraw.Draw(picture)
    _write_words(draw, plot, title, keys, legend)
    if not values:
        middle = ((plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2)
        draw.text(middle, "no clear observation on these days", SOFT_INK, _font(15), anchor="mm")
    png = io.BytesIO()
    picture.quantize(128, dither=Image.Dither.NONE).save(png, "PNG", optimize=True)
    return png.getvalue()


def _write_words(
    draw: ImageDraw.ImageDraw, plot: _Plot, title: str, keys: Sequence[_Key], legend: Sequence[Point]
) -> None:
    """The title, the axes, and the legend's labels beside their swatches."""
    draw.text((MARGIN, TITLE_HEIGHT / 2 - 2), _cut(title, WIDTH - 2 * MARGIN, 16), INK, _font(16), anchor="lm")
    _write_axes(draw, plot)
    for key, (x, y) in zip(keys, legend, strict=True):
        draw.text((x + _SWATCH + 6, y), key.label, INK, _font(13), anchor="lm")


# --- the plot ------------------------------------------------------------------------------------------------------


def _draw_ground(draw: ImageDraw.ImageDraw, plot: _Plot, open_from: date | None) -> None:
    """Grid and frame, and the ground of what is not final."""
    left, right, top, bottom = (plot.scale * side for side in (plot.left, plot.right, plot.top, plot.bottom))
    if open_from is not None:
        start = max(left, plot.x(open_from) - plot.day_width / 2)
        draw.rectangle((start, top, right, bottom), NOT_FINAL_GROUND)
    for ndvi in _steps(plot.low):
        _rule(draw, (left, plot.y(ndvi)), (right, plot.y(ndvi)), GRID)
    for day in _labelled_days(plot):
        _rule(draw, (plot.x(day), top), (plot.x(day), bottom), GRID)
        _rule(draw, (plot.x(day), bottom), (plot.x(day), bottom + plot.scale * STRIP), FRAME)
    _rule(draw, (left, bottom), (right, bottom), FRAME)
    _rule(draw, (left, top), (left, bottom), FRAME)


def _rule(draw: ImageDraw.ImageDraw, start: Point, end: Point, colour: Colour) -> None:
    """A line along the axes, one pixel of the picture wide and as sharp as that."""
    ends = [SUPERSAMPLING * math.floor(side / SUPERSAMPLING) for side in (*start, *end)]
    draw.rectangle((ends[0], ends[1], ends[2] + SUPERSAMPLING - 1, ends[3] + SUPERSAMPLING - 1), colour)


def _steps(low: float) -> list[float]:
    return [STEP * n for n in range(round(low / STEP), round(1 / STEP) + 1)]


def _draw_line(draw: ImageDraw.ImageDraw, plot: _Plot, line: Line, open_from: date | None) -> None:
    for run in _runs(line):
        points = [(plot.x(day), plot.y(ndvi)) for day, ndvi in run]
        if line.former:
            _draw_path(draw, points, FORMER, dashed=True)
            continue
        final = [p for p, (day, _) in zip(points, run, strict=True) if open_from is None or day < open_from]
        _draw_path(draw, points[max(0, len(final) - 1) :], FAINT_LINE)
        _draw_path(draw, final, LINE)


def _runs(line: Line) -> Iterator[list[tuple[date, float]]]:
    """The pieces of a line without a break."""
    run: list[tuple[date, float]] = []
    for day, ndvi in zip(line.days, line.ndvi, strict=True):
        if run and (ndvi is None or (day - run[-1][0]).days > 1):
            yield run
            run = []
        if ndvi is not None:
            run.append((day, ndvi))
    if run:
        yield run


def _draw_path(draw: ImageDraw.ImageDraw, points: Sequence[Point], colour: Colour, *, dashed: bool = False) -> None:
    """A line with round ends; one point alone is a spot."""
    width = SUPERSAMPLING * (4.5 if dashed else 2.5)
    for piece in _dashes(points) if dashed else [points]:
        if len(piece) > 1:
            draw.line(list(piece), colour, round(width), joint="curve")
        for x, y in (piece[0], piece[-1]) if piece else ():
            draw.circle((x, y), width / 2, colour)


def _dashes(points: Sequence[Point]) -> Iterator[list[Point]]:
    """A line cut into dashes of equal length."""
    dash, room, on = [points[0]], float(SUPERSAMPLING * DASH), True
    for start, end in pairwise(points):
        length = math.dist(start, end)
        at = 0.0
        while length - at > room:
            at += room
            turn = (start[0] + (end[0] - start[0]) * at / length, start[1] + (end[1] - start[1]) * at / length)
            if on:
                yield [*dash, turn]
            dash, on = [turn], not on
            room = float(SUPERSAMPLING * (DASH if on else GAP))
        room -= length - at
        dash.append(end)
    if on:
        yield dash


def _draw_dot(draw: ImageDraw.ImageDraw, at: Point, colour: Colour, *, hollow: bool) -> None:
    radius = 3.5 * SUPERSAMPLING
    draw.circle(at, radius, colour)
    if hollow:
        draw.circle(at, radius - 1.5 * SUPERSAMPLING, BACKGROUND)


def _draw_mark(draw: ImageDraw.ImageDraw, x: float, top: float, day_width: float, colour: Colour) -> None:
    """A day's mark in the strip that begins at `top`; a cloudy day's is half as high, to differ not only in colour."""
    half = max(SUPERSAMPLING, min(day_width - SUPERSAMPLING, 5 * SUPERSAMPLING) / 2)
    high = top + SUPERSAMPLING * (1 if colour is not CLOUDY else STRIP // 2)
    draw.rectangle((x - half, high, x + half, top + SUPERSAMPLING * (STRIP - 2)), colour)


# --- words ---------------------------------------------------------------------------------------------------------


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _cut(text: str, room: float, size: int) -> str:
    """The text in one line, as much of it as there is room for."""
    text = " ".join(text.split())
    if _font(size).getlength(text) <= room:
        return text
    while text and _font(size).getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def _write_axes(draw: ImageDraw.ImageDraw, plot: _Plot) -> None:
    for ndvi in _steps(plot.low):
        draw.text((plot.left - 7, plot.y(ndvi)), f"{ndvi:.1f}", SOFT_INK, _font(12), anchor="rm")
    draw.text((plot.left + 6, plot.top + 9), "NDVI (no unit)", SOFT_INK, _font(12), anchor="lm")
    y = plot.bottom + STRIP * plot.strips + 2
    year = None
    for day in _labelled_days(plot):
        label = _MONTHS[day.month - 1] if plot.count > BY_MONTH else f"{day.day} {_MONTHS[day.month - 1]}"
        draw.text((plot.x(day), y), label, SOFT_INK, _font(12), anchor="mt")
        if day.year != year:
            draw.text((plot.x(day), y + 13), str(day.year), SOFT_INK, _font(12), anchor="mt")
        year = day.year


def _labelled_days(plot: _Plot) -> list[date]:
    """The first days of months, or every n-th day of a short span, as many as there is room for."""
    days = [date.fromordinal(plot.first.toordinal() + n) for n in range(plot.count)]
    pixels = plot.day_width / plot.scale
    if plot.count > BY_MONTH:
        months = next((step for step in (1, 2, 3, 6) if 28 * step * pixels >= MONTH_ROOM), 12)
        return [day for day in days if day.day == 1 and (day.month - 1) % months == 0]
    return days[:: next(step for step in (1, 2, 7, 14) if step * pixels >= DAY_ROOM)]


# --- the legend ----------------------------------------------------------------------------------------------------

_SWATCH = 26  # pixels wide


@dataclass(frozen=True)
class _Key:
    label: str
    draw: Callable[[ImageDraw.ImageDraw, float, float], None]  # of its swatch: from x on, at the height of y


def _keys(
    lines: Sequence[Line],
    dots: Dots | None,
    unseen: Unseen | None,
    recomputed: Sequence[date],
    open_from: date | None,
) -> list[_Key]:
    """What is in the picture, and nothing else."""
    width = SUPERSAMPLING * _SWATCH

    def path(colour: Colour, *, dashed: bool) -> Callable[[ImageDraw.ImageDraw, float, float], None]:
        return lambda draw, x, y: _draw_path(draw, [(x, y), (x + width, y)], colour, dashed=dashed)

    def dot(*, hollow: bool) -> Callable[[ImageDraw.ImageDraw, float, float], None]:
        return lambda draw, x, y: _draw_dot(draw, (x + width / 2, y), DOT, hollow=hollow)

    def mark(colour: Colour) -> Callable[[ImageDraw.ImageDraw, float, float], None]:
        return lambda draw, x, y: _draw_mark(draw, x + width / 2, y - SUPERSAMPLING * STRIP / 2, width, colour)

    def faint(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
        draw.rectangle((x, y - 7 * SUPERSAMPLING, x + width, y + 7 * SUPERSAMPLING), NOT_FINAL_GROUND)
        path(FAINT_LINE, dashed=False)(draw, x, y)

    keys = [_Key(line.label, path(FORMER if line.former else LINE, dashed=line.former)) for line in lines]
    for label, hollow in (("clear view", False), ("partly clear view", True)):
        if dots is not None and hollow in dots.partial:
            keys.append(_Key(label, dot(hollow=hollow)))
    if unseen is not None and unseen.cloudy:
        keys.append(_Key("cloudy or hidden", mark(CLOUDY)))
    if unseen is not None and unseen.missing:
        keys.append(_Key("missing", mark(MISSING)))
    if recomputed:
        keys.append(_Key("recomputed", mark(RECOMPUTED)))
    if open_from is not None:
        keys.append(_Key("not final", faint))
    return keys


def _laid_out(keys: Sequence[_Key]) -> list[Point]:
    """Where each key begins, and the middle of its line, in as many lines as it takes."""
    places: list[tuple[float, int]] = []
    x, line = float(MARGIN), 0
    for key in keys:
        width = _SWATCH + 6 + _font(13).getlength(key.label)
        if places and x + width > WIDTH - MARGIN:
            x, line = float(MARGIN), line + 1
        places.append((x, line))
        x += width + 18
    return [(x, HEIGHT - MARGIN - LEGEND_LINE * (line - row + 0.5)) for x, row in places]
