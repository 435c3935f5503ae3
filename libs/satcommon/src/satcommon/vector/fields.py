"""Fields from a user's file, all or nothing: one message names every problem of the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from satcommon.db.fields import NewField
from satcommon.errors import InputError
from satcommon.geo.geometry import digests
from satcommon.geo.polygon_checks import Checked
from satcommon.problems import Problem, Problems, listed, shown
from satcommon.vector.attributes import Feature, Roles
from satcommon.vector.columns import Columns
from satcommon.vector.formats import read_features
from satcommon.vector.polygons import checked_polygons
from satcommon.vector.table import Features

_OWN_NAMES = Columns()
_ROLES = ("external_id", "name", "planting_date", "season_end", "crop")
_CHUNK = 5000  # features that are checked at a time


@dataclass(frozen=True)
class FieldFile:
    """The fields of a file, and what the user should hear about it.

    Args:
        fields: those that can be taken.
        left: what is wrong with the others; empty unless invalid ones were to be left out.
        repaired: what was done to polygons.
        remarks: what is odd, and was taken all the same.
        unused: columns of the file that nothing is read from.
    """

    fields: list[NewField]
    left: list[Problem]
    repaired: list[Problem]
    remarks: list[str]
    unused: list[str]


Step = Callable[[int, int], None]  # how much of the work is done, of how much


def read_fields(path: Path, *, layer: str | None = None, columns: Columns = _OWN_NAMES) -> list[NewField]:
    """The fields of a file, polygons in WGS 84: all of them, or an error.

    A feature has an external id or a name, and may have a planting date, a season's end and a crop. Without an external
    id the identity is made of the name, so that it does not depend on the order of the features.

    Args:
        path: the file, of one of `formats`.
        layer: of a GeoPackage with several.
        columns: which columns hold which attribute.

    Raises:
        InputError: with everything that is wrong in the file.
    """
    return read_field_file(path, layer=layer, columns=columns).fields


def read_field_file(
    path: Path,
    *,
    layer: str | None = None,
    columns: Columns = _OWN_NAMES,
    skip_invalid: bool = False,
    repair: bool = False,
    step: Step = lambda _done, _total: None,
) -> FieldFile:
    """The fields of a file as `read_fields` gives them, and what the user should hear about it.

    Args:
        path: the file.
        layer: of a GeoPackage with several.
        columns: which columns hold which attribute.
        skip_invalid: leave out features that can't be taken; otherwise one of them is an error.
        repair: mend polygons where that changes their area by 1 % at most.
        step: called as the work goes on.

    Raises:
        InputError: with everything that is wrong in the file, or because nothing in it can be taken.
    """
    roles = Roles(path, columns, _ROLES)
    features = read_features(path, roles.choose, layer=layer)
    reader = _Reader(features, roles, repair=repair)
    total = len(features.numbers)
    for start in range(0, total, _CHUNK):
        step(start, total)
        reader.read(range(start, min(start + _CHUNK, total)))
    step(total, total)
    problems, fields = reader.problems, reader.fields
    if not skip_invalid:
        problems.raise_if_any()
    if not fields:
        raise InputError(f"{path}: none of its features can be taken:\n{listed(problems.found)}")
    used = {name for names in roles.of.values() for name in names}
    unused = [name for name in features.names if name not in used]
    remarks = [f"{path}: {remark}" for remark in features.remarks]
    return FieldFile(fields, problems.found, reader.repaired, [*remarks, *_doubles(path, fields)], unused)


class _Reader:
    """Makes fields of a file's features, and notes the problems of those that can't be taken."""

    def __init__(self, features: Features, roles: Roles, *, repair: bool) -> None:
        self._features, self._roles, self._repair = features, roles, repair
        self._seen: dict[str, str] = {}  # where each identity was met
        self.fields: list[NewField] = []
        self.repaired: list[Problem] = []
        self.problems = Problems()
        for number, reason in features.strays.items():
            self.problems.add(f"{features.path}: feature {number}: {reason}", number)

    def read(self, positions: range) -> None:
        """Read the features at some positions."""
        polygons = checked_polygons(self._features, positions, repair=self._repair)
        for position in positions:
            self._read(Feature(self._features, self._roles, position), polygons, position - positions.start)

    def _read(self, feature: Feature, polygons: Checked, i: int) -> None:
        """Read one feature, whose polygon is number i of those checked."""
        problems, columns = self.problems, self._roles.columns
        before = len(problems)
        identity = problems.of(feature.number, feature.identity)
        season = problems.of(feature.number, feature.season)
        if i in polygons.wrong:
            problems.add(f"{feature.where}: {polygons.wrong[i]}", feature.number)
        crop = problems.of(feature.number, feature.crop)
        if identity:
            self._check_double(feature, identity[0])
        if identity is None or season is None or len(problems) > before:
            return
        external_id, name = identity
        self.fields.append(
            NewField(
                external_id,
                name,
                polygons.polygons[i],
                season.planting or columns.planted,
                season.end,
                crop or columns.crop_code,
                feature.where,
                feature.number,
                planting_assumed=season.planting is None,
                crop_assumed=not crop,
            )
        )
        if i in polygons.repaired:
            self.repaired.append(Problem(feature.number, f"{feature.where}: {polygons.repaired[i]}"))

    def _check_double(self, feature: Feature, external_id: str) -> None:
        first = self._seen.get(external_id)
        if first is None:
            self._seen[external_id] = feature.where.removeprefix(f"{self._features.path}: ")
            return
        self.problems.add(
            f"{feature.where}: identity {shown(external_id)} is also that of {first}; "
            "give each field an external_id of its own",
            feature.number,
        )


def _doubles(path: Path, fields: Sequence[NewField]) -> list[str]:
    """Fields of another identity with the very polygon of an earlier field."""
    first: dict[str, NewField] = {}
    remarks = []
    for field, digest in zip(fields, digests([field.geometry for field in fields]), strict=True):
        same = first.setdefault(digest, field)
        if same is not field:
            remarks.append(f"{field.where}: has the very polygon of {same.where.removeprefix(f'{path}: ')}")
    return remarks
