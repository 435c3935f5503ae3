"""Every setting, read from the environment and validated once, at start.

The same variables configure a laptop and a cluster; the defaults are the laptop's.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import warnings
from collections.abc import Mapping
from datetime import date, time
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from satcommon.errors import SettingError
from satcommon.messages import rejected
from satcommon.secret_files import SUFFIX, secret

PREFIX = "SATFIELDS_"
SECRETS = ("database_url",)  # which a file may hold, named by the variable with _FILE at its end

_OTHERS = {f"{PREFIX}MIGRATIONS"}  # `checkout` reads it
_RENAMED = {f"{PREFIX}SIMULATED_QUIRKS": "simulated_scenarios"}  # taken by their old names for one release
_NEAR_PREFIX = 0.9  # similarity required of a name without our prefix, such as SATFIELD_HOME
# What Kubernetes sets for a service `satfields-webserver`: SATFIELDS_WEBSERVER_SERVICE_HOST, ..._SERVICE_PORT_HTTP,
# ..._PORT (an address), ..._PORT_80_TCP and ..._PORT_80_TCP_ADDR.
_SERVICE = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")

_JSON = {"simulated_delays": '{"A/2026-05-01": 70}', "simulated_scenarios": '{"A/2026-05-0?": ["late_tile"]}'}


class Scenario(StrEnum):
    """What a region's day can be like; several can be combined. Where two items overlap, both see the same land."""

    SWATH_EDGE = "swath_edge"
    """The swath covers the west of the region only, to a slanted line that is another each day."""
    TILES = "tiles"
    """A pass comes as an eastern and a western tile, sensed four minutes apart, each on its own UTM zone's grid."""
    LATE_TILE = "late_tile"
    """As `tiles`, and the eastern one is published `late_hours` after the western."""
    REPROCESSED = "reprocessed"
    """Everything comes first in baseline 1, whose files have reflectance offset 0 and which sees all 0.0008 too bright,
    and `late_hours` later in baseline 2, with offset -0.1 and as the satellite sees it otherwise."""
    TWO_PASSES = "two_passes"
    """Two orbits, 100 minutes apart: the first covers the eastern half, the second the western, with an overlap."""
    TWO_PLATFORMS = "two_platforms"
    """The western 60 %, and 20 minutes later by another platform, to which all is 0.004 brighter, the eastern 70 %."""
    SNOW = "snow"
    """In winter snow lies, in patches about the freezing point; class SNOW."""
    UNDETECTED_CLOUD = "undetected_cloud"
    """A cloud over the middle of the region that the classes show as clear."""


def _of_region_and_day(pattern: str) -> str:
    if "/" not in pattern:
        raise ValueError("expected REGION/DAY, where * stands for anything, as */2026-05-01")
    return pattern


class _SecretFiles(PydanticBaseSettingsSource):
    """The settings that are secrets, from the files that the environment names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002  # theirs
        return secret(PREFIX + field_name.upper()) or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: secret(PREFIX + name.upper()) for name in SECRETS}
        return {name: value for name, value in found.items() if value}


class Settings(BaseSettings):
    """The settings, each the lower-case name of its variable without the prefix ``SATFIELDS_``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's names
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # a folder of files, each a setting's name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where values come from: arguments, files of secrets, the environment."""
        return init_settings, _SecretFiles(settings_cls), env_settings

    home: Path = Field(Path(".satfields"), description="folder of everything that the laptop keeps")
    database_url: str = Field("", description="SQLAlchemy URL of the ledger; default: SQLite in the home folder")
    store: str = Field("", description="folder or s3://bucket/prefix of the objects; default: in the home folder")
    scene_source: Literal["simulated", "folder", "stac"] | None = Field(
        None, description="where acquisitions come from; without it nothing that needs imagery works"
    )
    scene_folder: str | None = Field(
        None, description="folder or s3://bucket/prefix of GeoTIFFs, for the source `folder`"
    )
    stac: str | None = Field(
        None, description="TOML file, or name of a profile (`satctl scenes profiles`), for the source `stac`"
    )
    resolution_m: float = Field(
        100.0, gt=0, description="cell size of a region's grid if the source has none of its own"
    )

    algorithms: Path | None = Field(None, description="TOML file of algorithm versions, besides those built in")

    simulated_seed: int = Field(7, description="seed of the simulated scenes")
    simulated_cycle_days: int = Field(1, ge=1, description="days between two overpasses of the simulated satellite")
    simulated_delay_hours: float = Field(3.0, ge=0, description="hours from sensing to publication")
    simulated_late_share: float = Field(0.0, ge=0, le=1, description="share of simulated scenes that come late")
    simulated_late_hours: float = Field(72.0, ge=0, description="further delay of a late simulated scene")
    simulated_gap_share: float = Field(0.0, ge=0, le=1, description="share of due simulated scenes that never come")
    simulated_delays: dict[str, float] = Field(
        default_factory=dict,
        description=f"hours from sensing to publication of single scenes, JSON: {_JSON['simulated_delays']}",
    )
    simulated_overpass: time = Field(
        time(10, 30), ge=time(6), le=time(18), description="local solar time of the simulated overpass"
    )
    simulated_scenarios: dict[Annotated[str, AfterValidator(_of_region_and_day)], frozenset[Scenario]] = Field(
        default_factory=dict,
        description=f"what makes days untidy, by shell patterns of REGION/DAY, JSON: {_JSON['simulated_scenarios']}",
    )
    simulated_held: Path | None = Field(
        None, description="folder; a simulated scene is held back while a file of its item id lies in it"
    )

    deadline_hours: float = Field(
        36.0, gt=0, description="hours after solar noon at which a day closes without its scene"
    )
    lateness_days: int = Field(30, ge=0, description="days after its end for which ingest looks for a due scene")
    rescan_days: int = Field(
        7, ge=1, description="days after which the source is asked anew for days that are older than that"
    )
    reconcile_against: str | None = Field(
        None,
        description="another catalogue, with which ingest compares the ledger once a day: a profile, a TOML file, a "
        "folder, or s3://bucket/prefix",
    )
    partitions_days: int = Field(
        60, ge=1, description="days of Dagster's window of partitions, which begins with a month and moves"
    )
    partitions_start: date | None = Field(
        None, description="first day of Dagster's window of partitions, in place of the moving one"
    )
    batch_regions: int = Field(50, ge=1, description="regions whose work one run does, at most, where many are due")
    sensor_seconds: int = Field(30, ge=1, description="seconds between two evaluations of a sensor")
    heartbeat_seconds: float = Field(20.0, gt=0, description="seconds between two heartbeats of a run")
    stale_seconds: float = Field(300.0, gt=0, description="age of the last heartbeat at which a run counts as dead")
    retry_pause_seconds: float = Field(
        30.0, ge=0, description="pause before failed work is asked for again; doubles each time"
    )
    database_timeout_seconds: float = Field(
        30.0, gt=0, le=86_400, description="how long to wait for a locked or silent database"
    )
    store_timeout_seconds: float = Field(60.0, gt=0, description="how long to wait for a bucket that does not answer")
    database_statement_seconds: float = Field(
        300.0, gt=0, le=86_400, description="how long PostgreSQL lets a statement run, or a transaction pause"
    )
    database_connections: int = Field(
        4, ge=2, description="connections of a process to PostgreSQL, at most; a run needs one, its heartbeat another"
    )
    attempts_days: int = Field(400, ge=1, description="days to keep attempts, the audit trail of processing")
    superseded_days: int | None = Field(
        None, ge=1, description="days to keep publications that newer ones have replaced; unset: for ever"
    )
    backups: str = Field(
        "", description="folder or s3://bucket/prefix of the ledger's backups; default: in the home folder"
    )
    backup_days: int = Field(
        14, ge=0, description="days for which `satctl gc` keeps objects that a backup of the ledger may still name"
    )
    log_format: Literal["json", "console"] | None = Field(
        None, description="how log lines are written; unset: `json` in a pod without a terminal, else `console`"
    )
    log_level: Literal["debug", "info", "warning", "error"] | None = Field(
        None, description="least level of log lines; unset: `info`, of satctl `error`"
    )
    metrics_regions: int = Field(
        1000,
        ge=0,
        description="regions and webhooks with series of their own, the latest first; the others together are `other`",
    )
    metrics_timeout_seconds: float = Field(
        10.0, gt=0, description="how long `satctl metrics` waits for each of the things that it asks"
    )
    metrics_certificates: str = Field(
        "", description="PEM files of certificates whose end `satctl metrics` tells, separated by commas"
    )
    api_public: bool = Field(
        default=False, description="whether the HTTP API answers everybody without a key, not the same machine alone"
    )
    api_rate: float = Field(
        50.0, gt=0, le=100_000, description="requests a second that a key may make to a process of the HTTP API"
    )
    api_origins: str = Field(
        "", description="origins whose pages may call the HTTP API (CORS), with commas between; `*`: any"
    )
    api_cache: Path | None = Field(
        None, description="folder where the HTTP API keeps what it has sorted by field; default: in the home folder"
    )
    api_cache_mb: int = Field(4096, ge=64, description="megabytes of that folder, at most")
    webhook_days: float = Field(
        30.0, gt=0, description="days for which a failing webhook is tried again; then it is dead until resumed"
    )
    webhook_private: bool = Field(
        default=False, description="let webhooks have http:// addresses, and reach private networks and this machine"
    )
    dagster_url: str = Field("http://localhost:3002", description="Dagster's webserver, for satctl")
    dagster_runs: int = Field(3, ge=1, le=100, description="runs at a time on a laptop; replays leave one to realtime")
    dagster_days: int = Field(
        90, ge=1, description="days to keep Dagster's runs and their events; days of its window of partitions stay"
    )
    dagster_ticks_days: int = Field(
        7, ge=1, description="days to keep the history of sensors and schedules on a laptop"
    )

    @field_validator("home", "algorithms", "simulated_held", "api_cache")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("api_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in filter(None, map(str.strip, value.split(","))):
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError("expected origins like https://maps.example.org, with commas between, or *")
        return value

    @field_validator("scene_folder")
    @classmethod
    def _absolute_or_bucket(cls, value: str | None) -> str | None:
        return None if value is None else absolute_or_bucket(value)

    @field_validator("backups")
    @classmethod
    def _backups_absolute_or_bucket(cls, value: str) -> str:
        return absolute_or_bucket(value)

    @field_validator("stac", "reconcile_against")
    @classmethod
    def _absolute_or_profile(cls, value: str | None) -> str | None:
        if value is None or value.startswith("s3://") or not ("/" in value or value.endswith(".toml")):
            return value
        return str(Path(value).expanduser().absolute())

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        home = Path(values.get("home") or ".satfields").expanduser().absolute()
        places = {"store": str(home / "store"), "backups": str(home / "backups")}
        return {"database_url": f"sqlite:///{home / 'satfields.db'}", **places} | values

    @model_validator(mode="after")
    def _folder_is_named(self) -> Settings:
        if self.scene_source == "folder" and self.scene_folder is None:
            raise ValueError("SATFIELDS_SCENE_SOURCE=folder needs SATFIELDS_SCENE_FOLDER, the folder of the GeoTIFFs")
        if self.scene_source == "stac" and self.stac is None:
            raise ValueError(
                "SATFIELDS_SCENE_SOURCE=stac needs SATFIELDS_STAC, a TOML file or the name of a profile "
                "(`satctl scenes profiles`)"
            )
        if self.stale_seconds <= 2 * self.heartbeat_seconds:
            raise ValueError("SATFIELDS_STALE_SECONDS must be more than twice SATFIELDS_HEARTBEAT_SECONDS")
        return self


@cache
def settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingError: naming each variable that is wrong, its value and what was expected, or that is no setting.
    """
    unknown = unknown_variables(os.environ)
    if unknown:
        raise SettingError("; ".join(unknown.values()))
    return valid_settings()


def absolute_or_bucket(value: str) -> str:
    """A folder's absolute path, or ``s3://bucket/prefix`` as it is.

    Raises:
        ValueError: it is neither.
    """
    if value.startswith("s3://") and value.removeprefix("s3://").strip("/"):
        return value
    if "://" in value:
        raise ValueError("expected a folder or s3://bucket/prefix")
    return str(Path(value).expanduser().absolute())


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like settings but are not, each with a message that names the nearest setting.

    Kubernetes sets variables of each service in the namespace, and those of a service `satfields-...` begin like
    ours: they are no settings, and users can't avoid them.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields} | _OTHERS | set(_RENAMED)
    known |= {PREFIX + name.upper() + SUFFIX for name in SECRETS}
    unknown = {}
    for name in sorted(environment):
        upper = name.upper()  # pydantic takes a name in any case
        if upper in known or _of_service(upper, environment[name]):
            continue
        near = difflib.get_close_matches(upper, known, 1, 0.6 if upper.startswith(PREFIX) else _NEAR_PREFIX)
        if upper.startswith(PREFIX) or (upper.startswith(PREFIX[:4]) and near):
            remedy = f"did you mean {near[0]}?" if near else "docs/reference/settings.md lists the settings; unset it"
            unknown[name] = f"{name} is no setting; {remedy}"
    return unknown


def _of_service(name: str, value: str) -> bool:
    """Whether a variable is one of those that Kubernetes sets for a service."""
    return bool(_SERVICE.search(name)) or (name.endswith("_PORT") and bool(_SERVICE_ADDRESS.match(value)))


def _renamed(environment: Mapping[str, str]) -> dict[str, Any]:
    """The values of settings given by their old names and not by their new ones.

    Raises:
        SettingError: a value is no JSON.
    """
    values = {}
    for old, new in _RENAMED.items():
        if environment.get(old) and not environment.get(PREFIX + new.upper()):
            warnings.warn(f"{old} is now called {PREFIX}{new.upper()}; the next release ignores it", stacklevel=2)
            values[new] = _parsed(environment, old, new)
    return values


def _parsed(environment: Mapping[str, str], variable: str, name: str) -> Any:
    """The value of a variable that is JSON, which gives this setting."""
    try:
        return json.loads(environment[variable])
    except ValueError as error:
        raise SettingError(f"{variable}: expected JSON like {_JSON[name]} ({error})") from error


def valid_settings() -> Settings:
    """The settings, without a check for unknown variables.

    Raises:
        SettingError: naming each variable that is wrong, its value and what was expected.
    """
    for name in _JSON:  # pydantic's own error names a setting in its text only
        for variable in os.environ:
            if variable.upper() == PREFIX + name.upper() and os.environ[variable]:
                _parsed(os.environ, variable, name)
    try:
        return Settings(**_renamed(os.environ))
    except ValidationError as error:
        lines = []
        for keys, value, reason in rejected(error):
            lines.append(f"{PREFIX}{str(keys[0]).upper()}={value!r}: {reason}" if keys else reason)
        raise SettingError("; ".join(lines)) from error
