"""Checks of the settings themselves, and the secrets in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from pydantic import ValidationError
from satcommon.errors import SettingError
from satcommon.secret_files import secret
from satcommon.settings import Settings, unknown_variables, valid_settings
from sqlalchemy import make_url

from satctl.checks.findings import Finding, State
from satctl.local.dagster_home import DAGSTER_DATABASE


def usable_settings() -> tuple[Settings | None, list[Finding]]:
    """The settings, each invalid one replaced by its default; None where even the defaults do not fit."""
    try:
        return valid_settings(), [Finding("settings", State.OK, "each is valid")]
    except SettingError as error:
        wrong = [Finding("settings", State.FAILED, str(error))]
        if not isinstance(error.__cause__, ValidationError):
            return None, wrong
        invalid = [str(problem["loc"][0]) for problem in error.__cause__.errors() if problem["loc"]]
        # A problem of no single setting is a problem of these together.
        unset = invalid or ["scene_source", "heartbeat_seconds", "stale_seconds"]
        fields = Settings.model_fields
        try:
            return Settings(**{name: fields[name].get_default(call_default_factory=True) for name in unset}), wrong
        except ValidationError:
            return None, wrong


def misspelt_variables() -> Iterator[Finding]:
    """Environment variables that look like settings and are not: no process starts with them."""
    for message in unknown_variables(os.environ).values():
        yield Finding("settings", State.FAILED, message)


def secrets_of(chosen: Settings) -> list[str]:
    """The passwords in the settings, which no message may show."""
    passwords = [urlsplit(chosen.dagster_url).password]
    databases = [chosen.database_url]
    with suppress(SettingError):  # its check says so
        databases.append(secret(DAGSTER_DATABASE))
    for database in databases:
        with suppress(Exception):  # not a URL: its check says so, without quoting it
            url = make_url(database)
            passwords += [url.password, *(str(url.query.get(name, "")) for name in ("password", "sslpassword"))]
    return [password for password in passwords if password]
