"""Parameters that several commands share."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from satcommon.db.registry import MAX_DAY, MIN_DAY

_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


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
            self.fail(f"{value!r} is no day; expected YYYY-MM-DD", param, ctx)
        if not MIN_DAY <= day <= MAX_DAY:
            self.fail(f"{day} is outside of {MIN_DAY}..{MAX_DAY}", param, ctx)
        return day


class File(click.Path):
    """A file of this machine, or ``s3://bucket/path``, of which a copy is there as long as the command runs."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The file's path."""
        if ctx is None or ctx.resilient_parsing or not str(value).startswith("s3://"):
            return super().convert(value, param, ctx)
        from satctl.bucket_file import fetched  # here: only who names a bucket needs its client

        # The root's context also ends where this one's arguments are refused.
        return fetched(value, Path(ctx.find_root().with_resource(TemporaryDirectory(prefix="satctl-"))))


DAY = Day()
FILE = File()

json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, for programs.")
wide_option = click.option("--wide", is_flag=True, help="Every column, however narrow the terminal is.")
layer_option = click.option("--layer", help="Layer of a GeoPackage, or Shapefile of a zip, that has several.")
