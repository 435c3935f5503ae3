"""Parameters that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import wraps
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import click
from satcommon.db import registry
from satcommon.db.models import Region
from satcommon.db.registry import MAX_DAY, MIN_DAY
from satcommon.errors import InputError
from satcommon.settings import settings
from sqlalchemy import Connection

from satctl.completion import region_names
from satctl.dagster_api import graphql
from satctl.local.home_lock import dagster_url
from satctl.output.tables import warn

_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


Command = Callable[..., None]  # the function of a command


class Day(click.ParamType):  # type: ignore[type-arg]  # generic only in click's newest versions
    """A day as YYYY-MM-DD."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The day, or a usage error."""
        if isinstance(value, date):
            return value
        try:
            day = date.fromisoformat(value if _ISO_DAY.fullmatch(value) else "")
        except ValueError:
            self.fail(f"{value!r} is not a day; expected YYYY-MM-DD", param, ctx)
        if not MIN_DAY <= day <= MAX_DAY:
            self.fail(f"{day} is outside {MIN_DAY}..{MAX_DAY}", param, ctx)
        return day


class Instant(click.ParamType):  # type: ignore[type-arg]  # likewise
    """An instant in ISO 8601, a day for its midnight; UTC, unless it has a zone. Not in the future."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant, or a usage error; says so where UTC was assumed."""
        if isinstance(value, datetime):
            return value
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is not an instant; expected ISO 8601, as 2026-06-01T08:00:00Z or 2026-06-01", param, ctx
            )
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
            warn(f"{value} has no time zone; UTC is assumed: {instant:%Y-%m-%dT%H:%M:%SZ}")
        if instant > datetime.now(UTC):
            self.fail(f"{value} is in the future; nothing can be told of it yet", param, ctx)
        return instant.astimezone(UTC)


class File(click.Path):
    """A local file, or ``s3://bucket/path``, which is copied to a temporary file while the command runs."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The file's path."""
        if ctx is None or ctx.resilient_parsing or not str(value).startswith("s3://"):
            return super().convert(value, param, ctx)
        from satcommon.storage.download import download  # here: only a bucket needs its client

        # The root's context also ends where this command's arguments are refused.
        return download(value, Path(ctx.find_root().with_resource(TemporaryDirectory(prefix="satctl-"))))


def grouped(
    name: str, kind: Callable[..., object], *options: Callable[[Command], Command]
) -> Callable[[Command], Command]:
    """A decorator of a command that gets several options as one argument.

    Args:
        name: of the argument.
        kind: makes it of the options; its parameters have their names.
        options: in the order of the help.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_group(**arguments: Any) -> None:
            given = {parameter: arguments.pop(parameter) for parameter in signature(kind).parameters}
            command(**{name: kind(**given)}, **arguments)

        decorated: Command = with_group
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


DAY = Day()
INSTANT = Instant()
FILE = File()

as_of_option = click.option("--as-of", type=INSTANT, help="As it was published at this instant (UTC).  [default: now]")
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, for programs.")
wide_option = click.option("--wide", is_flag=True, help="Show every column, however narrow the terminal.")
layer_option = click.option("--layer", help="Layer of a GeoPackage, or Shapefile in a zip, that has several.")
region_option = click.option(
    "--region",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this region; repeatable.",
    shell_complete=region_names,
)


def regions_of(connection: Connection, names: Sequence[str]) -> Sequence[Region]:
    """The named regions, or all."""
    return [registry.region(connection, name) for name in names] if names else registry.regions(connection)


def _checked_url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    url = value or dagster_url(settings())
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        named = "--url" if value else "SATFIELDS_DAGSTER_URL"
        raise InputError(
            f"{named}={graphql.public(url)!r}: expected the address of Dagster's webserver, such as http://localhost:3002"
        )
    return url.rstrip("/")


url_option = click.option(
    "--url",
    callback=_checked_url,
    help="Address of Dagster's webserver.  [default: SATFIELDS_DAGSTER_URL, else that of `satctl up`]",
)


def place_option(name: str, about: str) -> Callable[[Command], Command]:
    """The place of backups."""
    return click.option(
        name, "place", metavar="FOLDER|s3://BUCKET/PREFIX", help=f"{about}  [default: SATFIELDS_BACKUPS]"
    )


from_option = place_option("--from", "Where the backups are.")
