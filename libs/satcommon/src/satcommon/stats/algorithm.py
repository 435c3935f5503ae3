"""The algorithm: every rule that changes a number, under a version that is pinned per region.

An image that does not know a region's version refuses, so that rolling out one location never mixes numbers. Changing
a rule means adding a version, never editing one: the name of a version in the file that `SATFIELDS_ALGORITHMS` names
contains a digest of its rules, so that an edited table is another version. docs/reference/algorithm-rules.md gives the
reason of each rule.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from satcommon.errors import AlgorithmError
from satcommon.messages import rejected
from satcommon.raster.layers import PixelClass
from satcommon.settings import PREFIX, settings


def _class_of(name: object) -> object:
    """The class of a name as files spell it, as ``thin_cloud``."""
    names = {pixel_class.name.lower(): pixel_class for pixel_class in PixelClass}
    if isinstance(name, PixelClass):
        return name
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"expected names of {', '.join(names)}")
    return names[name]


def _ascending(fractions: tuple[float, ...]) -> tuple[float, ...]:
    if any(fraction >= other for fraction, other in pairwise(fractions)):
        raise ValueError("expected fractions that ascend, each of them once")
    return fractions


Fraction = Annotated[float, Field(ge=0, le=1, strict=True)]
Fractions = Annotated[tuple[Fraction, ...], Field(max_length=20), AfterValidator(_ascending)]
Names = tuple[Annotated[str, Field(strict=True)], ...]
Classes = tuple[Annotated[PixelClass, BeforeValidator(_class_of)], ...]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(allow_inf_nan=False))
class Algorithm:
    """The rules of one version.

    Args:
        version: its name, to which regions are pinned and which rows have.
        clear_classes: what counts as a clear view of the field.
        dilate_cells: a cell with one of `dilate_classes` among the cells whose centres are so many cells away, or less,
            is not clear.
        dilate_classes: the classes that are dilated.
        inward_buffer_m: polygons are shrunk by this much before coverage is computed.
        whole_cells: cells covered at least to this part count as whole, others not; None: by their covered part.
        min_cell_coverage: cells covered less than this part are left out; with 0 the statistics equal exactextract's.
        min_cells: a field with fewer covered cells is too small: its numbers are of mixed pixels and feed no state.
        statuses: the definitions of a row's status (docs/reference/columns.md): 1 by the clear part of
            the field alone, 2 by what kept the field from being seen.
        min_inside: part of the polygon that must lie in the region; below, the field is at the region's edge.
        min_observed: part of the field that the swath must cover; below, the field counts as outside of it.
        min_clear: clear part of the field from which an observation feeds the state (and is at least "partial").
        min_clear_full: part from which a row is "clear": by definitions 1 the clear part of the field, by 2 both the
            clear part of what was observed and the observed part of the field.
        kernel_size: K, the clear observations that smoothed NDVI remembers.
        kernel_tau_days: tau of the kernel's weights exp(-age / tau).
        quantiles: which quantiles of each layer rows have, as fractions; empty: none.
        indices: which indices of `raster.indices` rows bear beside NDVI and NDMI; empty: none. Bands that only they
            need are read for the regions of this version alone.
    """

    version: str
    clear_classes: Classes = Field(min_length=1)
    dilate_cells: int = Field(ge=0, le=100, strict=True)
    dilate_classes: Classes
    inward_buffer_m: float = Field(ge=0, le=10_000, strict=True)
    whole_cells: Annotated[float, Field(gt=0, le=1, strict=True)] | None
    min_cell_coverage: Fraction
    min_cells: float = Field(ge=0, strict=True)
    statuses: int = Field(ge=1, le=2, strict=True)
    min_inside: Fraction
    min_observed: Fraction
    min_clear: Fraction
    min_clear_full: Fraction
    kernel_size: int = Field(ge=1, le=1000, strict=True)
    kernel_tau_days: float = Field(gt=0, strict=True)
    quantiles: Fractions
    indices: Names

    @model_validator(mode="after")
    def _agree(self) -> Algorithm:
        if PixelClass.NODATA in self.clear_classes:
            raise ValueError("clear_classes can't hold nodata: nothing is seen there")
        both = set(self.clear_classes) & set(self.dilate_classes)
        if self.dilate_cells and both:
            said = ", ".join(sorted(pixel_class.name.lower() for pixel_class in both))
            raise ValueError(f"{said} can't be in both clear_classes and dilate_classes")
        if self.min_clear > self.min_clear_full:
            raise ValueError(f"min_clear {self.min_clear} is more than min_clear_full {self.min_clear_full}")
        if self.statuses == 2 and self.min_observed < self.min_clear:
            raise ValueError(
                f"min_observed {self.min_observed} is less than min_clear {self.min_clear}: by statuses 2 a field that "
                "the swath covers in part, all of it clear, would be cloudy without a cloud"
            )
        return self

    @property
    def rules(self) -> dict[str, Any]:
        """Every rule by its name, as JSON has them."""
        rules = {name: value for name, value in asdict(self).items() if name != "version"}
        classes = {
            name: sorted({pixel_class.name.lower() for pixel_class in rules[name]})
            for name in ("clear_classes", "dilate_classes")
        }
        return rules | classes | {"quantiles": list(self.quantiles), "indices": sorted(set(self.indices))}

    @property
    def further_bands(self) -> tuple[str, ...]:
        """The bands of `layers.FURTHER` that its indices need."""
        if not self.indices:
            return ()
        from satcommon.raster.indices import further_bands  # here: a code location loads without numpy

        return further_bands(self.indices)

    @property
    def coverage_rule(self) -> str:
        """Identifies what coverage depends on besides geometry and grid."""
        name = f"min{_short(self.min_cell_coverage)}"
        if self.inward_buffer_m:
            name += f"-inward{_short(self.inward_buffer_m)}m"
        return name if self.whole_cells is None else f"{name}-whole{_short(self.whole_cells)}"

    @property
    def leaves_cells_out(self) -> bool:
        """Whether a field on the grid may be left without a cell."""
        return bool(self.min_cell_coverage or self.inward_buffer_m or self.whole_cells)


def _short(number: float) -> str:
    """A number in full, so that no two are written alike."""
    return repr(float(number)).removesuffix(".0")


CURRENT = "2"  # what new regions are pinned to

_FIRST = Algorithm(
    version="1",
    clear_classes=(PixelClass.CLEAR,),
    dilate_cells=0,
    dilate_classes=(PixelClass.CLOUD, PixelClass.THIN_CLOUD, PixelClass.SHADOW),
    inward_buffer_m=0.0,
    whole_cells=None,
    min_cell_coverage=0.0,
    min_cells=2.0,
    statuses=1,
    min_inside=0.0,
    min_observed=0.0,
    min_clear=0.3,
    min_clear_full=0.9,
    kernel_size=8,
    kernel_tau_days=16.0,
    quantiles=(),
    indices=(),
)
_SECOND = replace(_FIRST, version="2", statuses=2, min_inside=0.5, min_observed=0.5)
_ALGORITHMS = {known.version: known for known in (_FIRST, _SECOND)}


def algorithm(version: str) -> Algorithm:
    """The rules of a version.

    Raises:
        AlgorithmError: this image does not support it, or the file that may have it can't be read.
    """
    if version in _ALGORITHMS:
        return _ALGORITHMS[version]
    known = algorithms()
    if version in known:
        return known[version]
    now = _called(known, version.partition("@")[0])
    if now is not None:
        raise AlgorithmError(
            f"algorithm version {version!r} is not supported here: {settings().algorithms} has other rules by that "
            f"name now, which are version {now.version!r}; put the former ones back, or recompute the region by these "
            f"with `satctl regions pin REGION {now.version}`"
        )
    advice = f"name the file that has it by {PREFIX}ALGORITHMS"
    if "@" not in version:
        advice += ", or upgrade this location's image"
    raise AlgorithmError(f"algorithm version {version!r} is not supported here (known: {', '.join(known)}); {advice}")


def algorithms() -> dict[str, Algorithm]:
    """Every version that is known here, by name: those built in, then the file's.

    Raises:
        AlgorithmError: the file can't be read, or a rule in it is wrong.
    """
    file = settings().algorithms
    return _ALGORITHMS | (read_algorithms(file) if file else {})


def resolved(name: str) -> str:
    """The whole name of a version, which may be given without its digest.

    Raises:
        AlgorithmError: it is not known here.
    """
    found = None if name in _ALGORITHMS else _called(algorithms(), name)
    return algorithm(found.version if found else name).version


def _called(known: Mapping[str, Algorithm], name: str) -> Algorithm | None:
    return next((rules for version, rules in known.items() if version.partition("@")[0] == name), None)


# --- the file ------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,22}")  # with @ and the digest it fits the ledger's 32 characters
_RULES = TypeAdapter(Algorithm)


def read_algorithms(file: Path) -> dict[str, Algorithm]:
    """The versions of a TOML file: a table each, with `based_on` and the rules that differ from that version's.

    Raises:
        AlgorithmError: naming file, table, key, value and what was expected.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AlgorithmError(f"{PREFIX}ALGORITHMS={file}: can't be read as TOML: {error}") from error
    found = [_version(file, name, table) for name, table in tables.items()]
    return {known.version: known for known in found}


def _version(file: Path, name: str, table: object) -> Algorithm:
    where = f"{file}: [{name}]"
    if not _NAME.fullmatch(name) or name in _ALGORITHMS:
        raise AlgorithmError(
            f"{where}: can't be a version's name; expected up to 23 letters, digits and '.', '_', '-', "
            f"and none that is built in ({', '.join(_ALGORITHMS)})"
        )
    if not isinstance(table, dict):
        raise AlgorithmError(f"{where}: is {table!r}; expected a table with `based_on` and the rules that differ")
    base = table.get("based_on")
    if not isinstance(base, str) or base not in _ALGORITHMS:
        raise AlgorithmError(f"{where} based_on = {base!r}: expected one of {', '.join(map(repr, _ALGORITHMS))}")
    basis = _ALGORITHMS[base]
    rules = {key: value for key, value in table.items() if key != "based_on"}
    unknown = rules.keys() - basis.rules.keys()
    if unknown:
        key = min(unknown)
        raise AlgorithmError(
            f"{where} {key} = {rules[key]!r}: is no rule; expected based_on and some of {', '.join(basis.rules)}"
        )
    try:
        made = _RULES.validate_python(asdict(basis) | rules | {"version": name})
    except ValidationError as error:
        raise AlgorithmError("; ".join(_message(where, table, *each) for each in rejected(error))) from error
    # Only of what differs: a rule that a later image adds with its base's default must not change the name.
    differing = {key: value for key, value in made.rules.items() if value != basis.rules[key]}
    content = [base, differing, *_formulas(where, made.indices)]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return replace(made, version=f"{name}@{digest}")


def _formulas(where: str, names: tuple[str, ...]) -> list[Any]:
    """The formulas of indices, which are rules, too: an image whose catalogue has others has another version.

    Raises:
        AlgorithmError: there is no such index.
    """
    if not names:
        return []
    from satcommon.raster.indices import ALWAYS, INDICES  # here: a code location loads without numpy

    known = [name for name in INDICES if name not in ALWAYS]
    for name in names:
        if name in ALWAYS:
            raise AlgorithmError(f"{where} indices: every row has {name} anyway; leave it out")
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, n=3)
            meant = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
            raise AlgorithmError(
                f"{where} indices: {name!r} is no index that can be computed here; {meant}"
                "`satctl regions indices` lists all of them"
            )
    return [{name: [INDICES[name].formula, dict(INDICES[name].constants)] for name in names}]


def _message(where: str, table: Mapping[str, Any], keys: Sequence[int | str], _value: Any, reason: str) -> str:
    """What is wrong with a table; the value shown is the whole rule's."""
    if not keys:
        return f"{where}: {reason}"
    key = str(keys[0])
    reason = reason.replace("a valid tuple", "a list of numbers" if key == "quantiles" else "a list of names")
    return f"{where} {key} = {table.get(key)!r}: {reason}"
