"""Acquisition plans in a folder, or one of them: which satellite is to take images of a region on which day.

Of plans that overlap, the one whose span begins last counts from its beginning on: a plan is published shortly before
it begins, and replaces what an earlier one said of the same time. Of two that begin at one instant, the file that was
written last counts. A plan that is damaged is left out whole, and named; the others go on.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import shapely

from satcommon.errors import SceneError, SettingError
from satcommon.geo.solar import solar_day, solar_noon
from satcommon.sources import plan_kml
from satcommon.sources.files import File, Files
from satcommon.sources.open_files import open_files
from satcommon.sources.plan_kml import Datatake, Plan
from satcommon.sources.source import Due

if TYPE_CHECKING:
    from satcommon.geo.grid import Bounds

_LOG = logging.getLogger(__name__)
_MOST_PLANS = 1_000
_HALF_A_DAY = timedelta(hours=12)


@dataclass(frozen=True)
class PlannedDays:
    """What plans say of a rectangle.

    Args:
        bounds: of the rectangle.
        plans: in the order in which they begin.
        due: days with a datatake over it, by platform.
    """

    bounds: Bounds
    plans: Sequence[Plan]
    due: Mapping[str, set[date]]

    @property
    def platforms(self) -> set[str]:
        """The satellites that have plans."""
        return {platform for plan in self.plans for platform in plan.platforms}

    def answer(self, platform: str, day: date) -> Due | None:
        """Whether a satellite is to take images on a solar day; None where no plan covers the whole day."""
        if day in self.due.get(platform, ()):
            return Due.DUE
        noon = solar_noon(day, self.bounds)
        reached = noon - _HALF_A_DAY
        for plan in self.plans:
            if platform in plan.platforms and plan.first <= reached:
                reached = max(reached, plan.last)
        return Due.NOT_DUE if reached >= noon + _HALF_A_DAY else None


class PlanFolder:
    """Reads plans, each version of a file once.

    Args:
        files: among which they are.
        name: of the folder within, "" for the root, or of one file.
    """

    def __init__(self, files: Files, name: str) -> None:
        self._files, self._name = files, name
        self._read: dict[str, tuple[object, Plan | str]] = {}

    def over(self, bounds: Bounds) -> PlannedDays:
        """What the plans say of a rectangle.

        Raises:
            SettingError: there is no such folder or file.
            StoreError: the bucket can't be reached.
        """
        listed = self._listed()
        found: list[tuple[datetime, datetime, str, Plan]] = []
        for name, file in listed.items():
            plan = self._plan(name, file)
            if isinstance(plan, Plan):
                modified = file.modified if isinstance(file, File) else plan.first
                found.append((plan.first, modified, name, plan))
        plans = [plan for *_, plan in sorted(found, key=lambda each: each[:3])]
        due: dict[str, set[date]] = defaultdict(set)
        for take in _in_force(plans, bounds):
            due[take.platform].add(solar_day(take.start + (take.stop - take.start) / 2, bounds))
        return PlannedDays(bounds, plans, due)

    def troubles(self) -> list[str]:
        """Why plans are left out, each named.

        Raises:
            SettingError, StoreError: as `over`.
        """
        read = (self._plan(name, file) for name, file in self._listed().items())
        return [plan for plan in read if isinstance(plan, str)]

    def _listed(self) -> dict[str, File | str]:
        where = f"{self._files.where}/{self._name}".rstrip("/")
        if self._name.lower().endswith(plan_kml.ENDING):
            try:
                file = self._files.find(self._name)
            except SceneError as error:
                return {self._name: str(error)}
            if file is None:
                raise SettingError(f"plans = {where!r}: there is no such file; put the plan there, or correct the path")
            return {self._name: file}
        try:
            listed = self._files.within(self._name, plan_kml.ENDING)
        except SceneError as error:
            raise SettingError(f"plans = {where!r}: {error}") from error
        if listed is None:
            raise SettingError(f"plans = {where!r}: there is no such folder; create it, or correct the path")
        if len(listed) > _MOST_PLANS:
            raise SettingError(f"plans = {where!r}: holds {len(listed):,} plans; at most {_MOST_PLANS:,} are read")
        self._read = {name: kept for name, kept in self._read.items() if name in listed}
        return listed

    def _plan(self, name: str, file: File | str) -> Plan | str:
        """A plan; or why it is left out, which is logged once for each version of its file."""
        version: object = file.version if isinstance(file, File) else file
        known = self._read.get(name)
        if known is not None and known[0] == version:
            return known[1]
        plan: Plan | str
        try:
            if isinstance(file, str):
                raise SettingError(file)
            plan = plan_kml.parse(self._files.read(name, plan_kml.MOST_BYTES), f"{self._files.where}/{name}")
        except (SettingError, SceneError) as error:
            plan = str(error)
            _LOG.warning("plan left out: %s", plan)
        self._read[name] = (version, plan)
        return plan


def _in_force(plans: Sequence[Plan], bounds: Bounds) -> list[Datatake]:
    """The datatakes over a rectangle that no later plan replaces."""
    area = shapely.box(*bounds)
    takes = []
    for number, plan in enumerate(plans):
        footprints = np.array([take.footprint for take in plan.takes], dtype=object)
        over = shapely.intersects(footprints, area)
        later = plans[number + 1 :]
        for i in np.flatnonzero(over):
            take = plan.takes[i]
            replaced = any(each.first <= take.start <= each.last and take.platform in each.platforms for each in later)
            if plan.first <= take.start <= plan.last and not replaced:
                takes.append(take)
    return takes


def plans_at(where: str) -> PlanFolder:
    """The plans in a folder, in one file, or under a prefix of a bucket, ``s3://bucket/prefix``."""
    if where.lower().endswith(plan_kml.ENDING):
        folder, _, name = where.rpartition("/")
        return PlanFolder(open_files(folder), name)
    return PlanFolder(open_files(where), "")
