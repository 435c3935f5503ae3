"""The table `[calendar]` of a source's configuration: on which days imagery is due."""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Repeat(NamedTuple):
    """How a satellite's ground track repeats.

    Args:
        days: of a cycle.
        orbits: of a cycle.
        step: orbits that are flown from the one of a number to the one of the next number.
    """

    days: int
    orbits: int
    step: int

    def days_after(self, orbit: int, first: int) -> float:
        """Days from the pass on one orbit to that on another over the same place, modulo the cycle."""
        return (orbit - first) * self.step % self.orbits * self.days / self.orbits


# Relative orbits of Sentinel-2 are numbered as they are flown: 143 in 10 days (ESA, Sentinel-2 User Handbook, 1.5).
# Paths of WRS-2 are numbered from east to west, 233 in 16 days; the next one is flown 102 orbits later (USGS).
_SENTINEL_2, _LANDSAT = Repeat(10, 143, 1), Repeat(16, 233, 102)
REPEATS = {f"sentinel-2{unit}": _SENTINEL_2 for unit in "abcd"} | {f"landsat-{n}": _LANDSAT for n in (4, 5, 7, 8, 9)}
_OFF = 0.25  # of a day; orbits over one place lie whole days apart, near the poles within some hours


def _satellite(text: str) -> str:
    name = text.lower()
    if name not in REPEATS:
        raise ValueError(f"is no satellite whose cycle is known; expected one of {', '.join(REPEATS)}")
    return name


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Passes(_Model):
    """The passes of a satellite over regions.

    Args:
        platform: as ``sentinel-2a`` or ``landsat-8``.
        orbits: relative orbits of Sentinel-2, paths of WRS-2 of Landsat, that lie over the regions.
        anchor_day: a solar day on which it passed on the first of them; before it, nothing is known.
        last_day: the last day on which it passed, if it flies no more.
        regions: patterns of the names of regions; default: all.
    """

    platform: Annotated[str, AfterValidator(_satellite)]
    orbits: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=20)]
    anchor_day: date
    last_day: date | None = None
    regions: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1000)] = ["*"]

    @model_validator(mode="after")
    def _lie_over_one_place(self) -> Passes:
        repeat = REPEATS[self.platform]
        if max(self.orbits) > repeat.orbits:
            raise ValueError(f"orbits: {max(self.orbits)} is none of the {repeat.orbits} of {self.platform}")
        for orbit in self.orbits:
            after = repeat.days_after(orbit, self.orbits[0])
            if abs(after - round(after)) > _OFF:
                raise ValueError(
                    f"orbits: {orbit} is flown {after:.2f} days after {self.orbits[0]}; those over one place lie whole "
                    "days apart: correct it, or state other regions' orbits apart"
                )
        if self.last_day is not None and self.last_day < self.anchor_day:
            raise ValueError(f"last_day: {self.last_day} is before anchor_day, {self.anchor_day}")
        return self

    def of_region(self, name: str) -> bool:
        """Whether they are over the region of a name."""
        return any(fnmatchcase(name, pattern) for pattern in self.regions)

    def offsets(self) -> set[int]:
        """The days of the cycle, from the anchor day on, on which the satellite passes."""
        repeat = REPEATS[self.platform]
        return {round(repeat.days_after(orbit, self.orbits[0])) % repeat.days for orbit in self.orbits}


class CalendarConfig(_Model):
    """Days that repeat (`first_day` plus each of `offsets`, every `cycle_days`), or `passes`; and `plans`.

    Args:
        cycle_days: length of the cycle.
        first_day: of the first cycle; before it, nothing is known.
        offsets: days of the cycle on which imagery is due, one for each relative orbit.
        passes: of satellites, in place of the cycle.
        plans: a folder of acquisition plans (KML), or one of them; they count first on the days that they cover.
    """

    cycle_days: Annotated[int, Field(ge=1, le=1000)] | None = None
    first_day: date | None = None
    offsets: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=1000)] = [0]
    passes: Annotated[list[Passes], Field(max_length=1000)] = []
    plans: Annotated[str, Field(min_length=1, max_length=1000)] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> CalendarConfig:
        if (self.cycle_days is None) != (self.first_day is None):
            raise ValueError("cycle_days and first_day belong together; state both")
        if self.cycle_days is None and "offsets" in self.model_fields_set:
            raise ValueError("offsets are days of a cycle; state cycle_days and first_day")
        if self.cycle_days is not None and max(self.offsets) >= self.cycle_days:
            raise ValueError(
                f"offsets: {max(self.offsets)} lies past the cycle; expected days from 0 to {self.cycle_days - 1}"
            )
        if self.cycle_days is not None and self.passes:
            raise ValueError("cycle_days and passes are both given; keep one")
        if self.cycle_days is None and not self.passes and self.plans is None:
            raise ValueError("states no day; expected cycle_days and first_day, passes, or plans")
        return self
