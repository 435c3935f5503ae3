"""The file `satfields.toml` in a folder of scenes: what the files don't say themselves, when scenes are due, limits."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from satcommon.raster.band_names import NARROW_NIR, known_name
from satcommon.raster.declared import DeclaredBand, DeclaredMetadata
from satcommon.raster.layers import ALL_BANDS
from satcommon.raster.masks import CLASS_NAMES, DATA_MASK
from satcommon.sources import toml_file
from satcommon.sources.calendar_config import CalendarConfig

NAME = "satfields.toml"


def _name(text: str) -> str:
    name = known_name(text)
    if name is None:
        raise ValueError(f"is no band; expected one of {', '.join((*ALL_BANDS, *CLASS_NAMES, DATA_MASK))}")
    return name


def _printable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("can't be shown; write printable letters")
    return text.strip()


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not text.isprintable() or not path.name:
        raise ValueError("must lie in the folder of the scenes; write its path from there")
    return text


_Number = Annotated[float, Field(allow_inf_nan=False)]
_Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Short = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Band(_Model):
    """What one band is, and what its values mean."""

    name: Annotated[str, AfterValidator(_name)]
    scale: _Scale | None = None
    offset: _Number | None = None
    nodata: _Number | None = None


def _as_band(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class FileRule(_Model):
    """What is declared of the files that a pattern matches.

    `scale`, `offset` and `nodata` are defaults: of bands for which nothing is declared. The first two are of reflective
    bands, `nodata` of all but class bands. Where `bands` are given, other bands have no name, whatever their
    descriptions.
    """

    match: Annotated[str, Field(min_length=1, max_length=1000)]
    platform: _Short | None = None
    scale: _Scale | None = None
    offset: _Number | None = None
    nodata: _Number | None = None
    bands: dict[Annotated[int, Field(strict=False, ge=1, le=65535)], Annotated[Band, BeforeValidator(_as_band)]] = {}

    @field_validator("bands")
    @classmethod
    def _one_near_infrared(cls, bands: dict[int, Band]) -> dict[int, Band]:
        """A narrow near infrared is the near infrared where no other band is."""
        if any(band.name == "nir" for band in bands.values()):
            return bands
        return {
            n: band.model_copy(update={"name": "nir"}) if band.name == NARROW_NIR else band for n, band in bands.items()
        }

    @model_validator(mode="after")
    def _each_band_once(self) -> FileRule:
        seen: dict[str, int] = {}
        for number, band in self.bands.items():
            if band.name in seen:
                raise ValueError(f"bands {seen[band.name]} and {number} are both {band.name}; name each once")
            seen[band.name] = number
        return self

    def declared(self) -> DeclaredMetadata:
        """What the rule declares."""
        offsets = {0: self.offset} | {number: band.offset for number, band in self.bands.items()}
        return DeclaredMetadata(
            platform=self.platform or "",
            bands={number: DeclaredBand(**band.model_dump()) for number, band in self.bands.items()},
            every=DeclaredBand(None, self.scale, self.offset, self.nodata),
            names_all=bool(self.bands),
            ruled_offsets={n: offset for n, offset in offsets.items() if offset is not None},
        )


class FolderConfig(_Model):
    """The whole file.

    Args:
        settle_seconds: a file that was modified within this time is taken to be still being written.
        most_megabytes: of memory for a file: as it comes from a bucket, and for one band of it under a region.
        calendar: days on which scenes are due.
        calendar_file: the same, day by day; see the module `calendar`.
        files: of the rules, the first whose pattern matches a file's path counts; ``*`` matches ``/`` as well.
    """

    settle_seconds: Annotated[float, Field(ge=0, le=86_400)] = 10.0
    most_megabytes: Annotated[int, Field(gt=0, le=1_000_000)] = 2000
    calendar: CalendarConfig | None = None
    calendar_file: Annotated[str, AfterValidator(_inside)] | None = None
    files: list[FileRule] = []

    @model_validator(mode="after")
    def _one_calendar(self) -> FolderConfig:
        if self.calendar and self.calendar_file:
            raise ValueError("calendar and calendar_file are both given; keep one")
        if self.calendar and self.calendar.plans:
            _inside(self.calendar.plans)
        return self

    @property
    def most_bytes(self) -> int:
        """`most_megabytes` in bytes."""
        return self.most_megabytes * 10**6

    def declared(self, name: str) -> DeclaredMetadata:
        """What is declared of the file with a path in the folder."""
        return next((rule.declared() for rule in self.files if fnmatchcase(name, rule.match)), DeclaredMetadata())


def parse(content: bytes, where: str) -> FolderConfig:
    """The configuration in the bytes of the file.

    Args:
        content: TOML.
        where: its path, for messages.

    Raises:
        SettingError: naming the file and each key that is wrong, its value and what was expected.
    """
    return toml_file.parse(FolderConfig, content, where)
