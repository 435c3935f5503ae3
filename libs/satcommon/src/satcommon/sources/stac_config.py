"""What the source `stac` is told: a catalogue, its collections, and which asset is which band.

A file of TOML, or the name of a profile that ships as such a file in `profiles/`. No secret is in it: where one is
needed, it names the environment variable.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from satcommon.errors import SettingError
from satcommon.raster.band_names import NARROW_NIR
from satcommon.raster.layers import ALL_BANDS
from satcommon.raster.masks import CLASS_NAMES
from satcommon.sources import toml_file
from satcommon.sources.calendar_config import CalendarConfig

VARIABLE = "SATFIELDS_STAC"
_PROFILES = Path(__file__).parent / "profiles"
_ENDING = ".toml"


def _band_name(text: str) -> str:
    if text not in ALL_BANDS:
        raise ValueError(f"is no band; expected one of {', '.join(ALL_BANDS)}")
    return text


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ValueError("expected https://HOST/PATH, without keys in it")
    return text.rstrip("/")


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", text):
        raise ValueError("expected the name of an environment variable, as EARTHDATA_TOKEN; never the secret itself")
    return text


_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_Variable = Annotated[str, AfterValidator(_variable)]
_Address = Annotated[str, AfterValidator(_address)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BandAsset(_Model):
    """Which band an asset is, and what its values mean where the item does not say."""

    band: Annotated[str, AfterValidator(_band_name)] = Field(description="one of the bands' names, as `red`")
    scale: _Scale | None = Field(None, description="value * scale + offset is reflectance, or kelvin")
    offset: _Number | None = Field(None, description="see `scale`")
    nodata: _Number | None = Field(None, description="replaces the file's own")


class Mask(_Model):
    """The asset that tells clouds, and its kind."""

    asset: _Text = Field(description="key of the asset")
    kind: Literal[CLASS_NAMES] = Field(description="what its values mean, as `scl` or `qa_pixel`")  # type: ignore[valid-type]


def _as_asset(value: Any) -> Any:
    return {"band": value} if isinstance(value, str) else value


class Collection(_Model):
    """A collection of the catalogue, and how its items are read."""

    id: _Text = Field(description="of the collection in the catalogue")
    assets: dict[_Text, Annotated[BandAsset, BeforeValidator(_as_asset)]] = Field(
        description="band of each asset, by the asset's key; of several with one band, the first that an item has"
    )
    format: Literal["geotiff", "jp2"] = Field("geotiff", description="of the assets: GeoTIFF, or JPEG 2000")
    mask: Mask | None = Field(None, description="the asset that tells clouds; without it, all data are clear")
    scale: _Scale | None = Field(None, description="of all reflective bands, where neither item nor asset states it")
    offset: _Number | None = Field(None, description="likewise")
    offset_since_baseline: _Text | None = Field(
        None, description="the processing baseline from which `offset` counts, as `04.00`; before, it is 0"
    )
    item_scaling: bool = Field(
        default=True, description="whether scale and offset in the items count; false where they are known to be wrong"
    )
    alternate: _Text | None = Field(
        None, description="name of the alternate link to read assets by, as `s3`; by default their `href`"
    )

    @model_validator(mode="after")
    def _has_red_and_nir(self) -> Collection:
        bands = {"nir" if asset.band == NARROW_NIR else asset.band for asset in self.assets.values()}
        if missing := {"red", "nir"} - bands:
            raise ValueError(f"assets: no asset is {' or '.join(sorted(missing))}; both are needed")
        return self


class Header(_Model):
    """A header of requests to some hosts; its value is in an environment variable."""

    name: _Text = Field(description="as `Authorization`")
    variable: _Variable = Field(description="name of the environment variable that holds the value")
    prefix: str = Field("", description="put before the value, as `Bearer `")
    hosts: list[_Text] = Field(description="that it is sent to, as `data.example.com` or `*.example.com`")


class Signing(_Model):
    """Links that must carry a signature, which a service gives out and which expires."""

    token_url: _Address = Field(
        description="where a token is fetched; {account} is the link's host up to its first dot, {container} the first "
        "part of its path"
    )
    hosts: list[_Text] = Field(description="whose links are signed, as `*.blob.core.windows.net`")


class Storage(_Model):
    """How links to buckets, s3://, are read."""

    region: _Text | None = Field(None, description="of the bucket")
    endpoint: _Address | None = Field(None, description="where it is not AWS's")
    requester_pays: bool = Field(default=False, description="whether you pay for requests and transfer")
    anonymous: bool = Field(default=False, description="whether requests are not signed")
    key_variable: _Variable = Field("AWS_ACCESS_KEY_ID", description="environment variable of the key's id")
    secret_variable: _Variable = Field("AWS_SECRET_ACCESS_KEY", description="environment variable of the key's secret")

    @model_validator(mode="after")
    def _somebody_pays(self) -> Storage:
        if self.requester_pays and self.anonymous:
            raise ValueError("requester_pays and anonymous contradict each other; who pays must sign requests")
        return self


class Requests(_Model):
    """How the catalogue is asked."""

    timeout_seconds: _Seconds = Field(60.0, description="for one request")
    tries: Annotated[int, Field(ge=1, le=20)] = Field(6, description="of a request, and of a search, before it fails")
    pause_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        0.5, description="before the second try; doubles each time"
    )
    longest_pause_seconds: _Seconds = Field(60.0, description="of a pause, also of what `Retry-After` asks for")
    a_second: Annotated[float, Field(gt=0, le=1000)] | None = Field(None, description="requests a second, at most")
    open_after: Annotated[int, Field(ge=1, le=1000)] = Field(
        3, description="requests in a row that fail for good, after which the catalogue counts as down"
    )
    open_seconds: _Seconds = Field(120.0, description="for which a catalogue that is down is not asked")
    page_size: Annotated[int, Field(ge=1, le=10_000)] = Field(100, description="items a page")
    counts: bool = Field(
        default=True, description="whether the number of matches that it states is exact; false where it estimates"
    )
    method: Literal["POST", "GET"] = Field("POST", description="of a search")


class StacConfig(_Model):
    """The whole file."""

    about: str = Field("", description="one sentence for people")
    faults: list[str] = Field([], description="what the catalogue is known to get wrong, for people")
    endpoint: _Address | None = Field(None, description="root of a STAC API")
    catalogue: _Text | None = Field(
        None, description="path or address of a static catalogue: a catalog, collection or item collection of JSON"
    )
    items: _Text | None = Field(None, description="path of a stac-geoparquet file")
    collections: Annotated[list[Collection], Field(min_length=1, max_length=100)] = Field(description="see below")
    query: dict[str, Any] | None = Field(None, description="passed on: STAC's `query` extension")
    filter: dict[str, Any] | None = Field(None, description="passed on: a filter in CQL2-JSON")
    calendar: CalendarConfig | None = Field(
        None, description="days on which scenes are due; without it, that is unknown"
    )
    pins: Literal["asset", "item"] = Field(
        "asset",
        description="what tells that a file was replaced, where its item states no checksum: the file, asked when it "
        "is listed; or the item alone, which needs no request a file",
    )
    copied: bool = Field(
        default=True,
        alias="copy",
        description="whether a scene's pixels are kept in your store; false: they stay in the archive, and those under "
        "fields are read there each time",
    )
    most_megabytes: Annotated[int, Field(gt=0, le=1_000_000)] = Field(
        2000, description="of memory for one band under a region"
    )
    headers: list[Header] = Field([], description="see below")
    signing: Signing | None = Field(None, description="see below")
    storage: Storage = Field(Storage(), description="see below")
    requests: Requests = Field(Requests(), description="see below")

    @model_validator(mode="after")
    def _is_whole(self) -> StacConfig:
        stated = [name for name in ("endpoint", "catalogue", "items") if getattr(self, name) is not None]
        if len(stated) != 1:
            raise ValueError(f"states {' and '.join(stated) or 'no catalogue'}; keep one of endpoint, catalogue, items")
        if not self.endpoint and (self.query or self.filter):
            raise ValueError("query and filter are asked of an API; remove them, or state an endpoint")
        if self.query and self.filter:
            raise ValueError("query and filter are both given; keep one")
        seen: set[str] = set()
        for collection in self.collections:
            if collection.id in seen:
                raise ValueError(f"collections: {collection.id} comes twice; keep one")
            seen.add(collection.id)
        return self

    @property
    def where(self) -> str:
        """The catalogue's address or path."""
        found = self.endpoint or self.catalogue or self.items
        assert found is not None
        return found

    @property
    def most_bytes(self) -> int:
        """`most_megabytes` in bytes."""
        return self.most_megabytes * 10**6

    @property
    def variables(self) -> list[str]:
        """The environment variables that hold its credentials."""
        named = [header.variable for header in self.headers]
        if self.storage.requester_pays or (self.storage.endpoint and not self.storage.anonymous):
            named += [self.storage.key_variable, self.storage.secret_variable]
        return list(dict.fromkeys(named))


def profiles() -> dict[str, StacConfig]:
    """The profiles that ship, by name."""
    names = sorted(path.stem for path in _PROFILES.glob(f"*{_ENDING}"))
    return {name: parse(profile_path(name).read_bytes(), f"profile {name}") for name in names}


def profile_path(name: str) -> Path:
    """The file of a profile that ships."""
    return _PROFILES / f"{name}{_ENDING}"


def load(stated: str, told_by: str = VARIABLE) -> StacConfig:
    """The configuration in a file, or of a profile by its name; relative paths in it are taken from the file's folder.

    Args:
        stated: the path or name.
        told_by: the variable or option that states it, for messages.

    Raises:
        SettingError: there is no such file or profile, or it is wrong; each key is named.
    """
    if "/" not in stated and not stated.endswith(_ENDING):
        shipped = profiles()
        if stated not in shipped:
            raise SettingError(
                f"{told_by}={stated!r}: is no profile; expected one of {', '.join(shipped)} "
                "(`satctl scenes profiles`), or the path of a TOML file"
            )
        return shipped[stated]
    path = Path(stated)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingError(f"{told_by}={stated!r}: can't be read ({error.strerror}); correct the path") from error
    config = parse(content, stated)
    moved: dict[str, Any] = {
        key: str((path.parent / value).absolute())
        for key in ("catalogue", "items")
        if (value := getattr(config, key)) and "://" not in value
    }
    plans = config.calendar.plans if config.calendar else None
    if config.calendar and plans and "://" not in plans:
        absolute = str((path.parent / plans).absolute())
        moved["calendar"] = config.calendar.model_copy(update={"plans": absolute})
    return config.model_copy(update=moved)


def parse(content: bytes, where: str) -> StacConfig:
    """The configuration in the bytes of a file.

    Args:
        content: TOML.
        where: its path, for messages.

    Raises:
        SettingError: naming the file and each key that is wrong, its value and what was expected.
    """
    return toml_file.parse(StacConfig, content, where)
