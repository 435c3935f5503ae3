"""`satctl publish`: results as files that others read without Satfields."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import click
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.errors import InputError
from satcommon.messages import counted
from satcommon.settings import settings

from satctl.opening import opened
from satctl.output.tables import moving, names, print_json, print_table, say, warn
from satctl.parameters import grouped, json_option, region_option, regions_of

if TYPE_CHECKING:
    from satcommon.environment import Environment
    from satcommon.stac_out.options import Options
    from satcommon.stac_out.publish import Catalogue, Written
    from satcommon.storage.object_store import ObjectStore


_LICENSE = re.compile(r"[\w.+-]+")  # by STAC's schema


@click.group()
def publish() -> None:
    """Publish results as files that others read without Satfields."""


class _Said(NamedTuple):
    """The options that say what is in the catalogue besides the data."""

    license_id: str
    providers: tuple[str, ...]
    address: str | None
    api: str | None
    pictures: bool


_saying = grouped(
    "said",
    _Said,
    click.option(
        "--license", "license_id", default="other", show_default=True, metavar="ID", help="SPDX identifier, or other."
    ),
    click.option(
        "--provider", "providers", multiple=True, metavar="NAME[=URL]", help="Who provides the data; repeatable."
    ),
    click.option(
        "--url",
        "address",
        metavar="URL",
        help="Where readers find the catalogue, for links to itself.  [default: a bucket's own; none]",
    ),
    click.option("--api", metavar="URL", help="Address of the HTTP API, to link to it.  [default: no links]"),
    click.option("--pictures/--no-pictures", default=True, help="Draw NDVI of each day with a scene.  [default: yes]"),
)


@publish.command()
@click.option("--to", "place", required=True, metavar="FOLDER|s3://BUCKET/PREFIX", help="Where the catalogue is.")
@region_option
@_saying
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@json_option
def stac(place: str, names: tuple[str, ...], said: _Said, dry_run: bool, as_json: bool) -> None:
    """Write the results as a static STAC catalogue, or bring one up to date.

    A collection a region, an item a region and day: its rows as GeoParquet with the field's polygon, and a picture of
    NDVI. The next run writes only the days that changed since: those that were published or corrected, whose rows
    became final or ceased to be, or whose scene changed. A run that was killed is gone on with, on any machine: what is
    written is noted in the target.

    Of two runs at the same time, the one that began last goes on; the other stops with an error. Without --region, the
    collections of regions that are no longer registered are removed. Give the same options each time: what they say
    is written anew where they change.

    \b
    Examples:
      satctl publish stac --to catalogue
      satctl publish stac --to s3://public/satfields --license CC-BY-4.0
      satctl publish stac --to catalogue --url https://data.example.org/stac
      satctl publish stac --to catalogue --region A --dry-run
      satctl publish stac --to catalogue --provider "Farm=https://example.org"
    """
    options = _options(said, place)
    with opened() as env:
        with read_transaction(env.engine) as connection:
            regions = regions_of(connection, names)
            known = None if names else [region.name for region in registry.regions(connection)]
        catalogue = _catalogue(env, _target(place, dry_run=dry_run), options)
        written = []
        for region in regions:
            if dry_run:
                written.append(catalogue.plan(region))
                continue
            with moving(f"publishing {region.name}") as advance:
                written.append(catalogue.write(region, advance))
        removed = [] if dry_run else catalogue.finish(known)
    _tell(place, written, removed, dry_run=dry_run, as_json=as_json)


def _options(said: _Said, place: str) -> Options:
    from satcommon.stac_out.options import Options

    for option, url in (("--url", said.address), ("--api", said.api)):
        if url is not None:
            _check_url(option, url, ("http", "https", "s3"))
    providers: list[tuple[str, str | None]] = []
    for provider in said.providers:
        name, _, url = provider.partition("=")
        if not name.strip():
            raise InputError(f"--provider {provider!r}: expected NAME or NAME=URL")
        if url:
            _check_url("--provider", url, ("http", "https"))
        providers.append((name.strip(), url or None))
    if not _LICENSE.fullmatch(said.license_id):
        raise InputError(f"--license {said.license_id!r}: expected an SPDX identifier, as CC-BY-4.0, or other")
    address = said.address or (place if place.startswith("s3://") else None)
    return Options(said.license_id, providers, address, said.api, said.pictures)


def _check_url(option: str, url: str, schemes: Sequence[str]) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that hold no address
        parts = urlsplit("")
    if parts.scheme not in schemes or not parts.netloc:
        raise InputError(f"{option} {url!r}: expected an address, as https://data.example.org/satfields")


def _catalogue(env: Environment, target: ObjectStore, options: Options) -> Catalogue:
    from satcommon.publication.objects import ResultObjects
    from satcommon.stac_out.publish import Catalogue

    return Catalogue(target, env.engine, ResultObjects(env.store()), env.scenes(), options)


def _target(place: str, *, dry_run: bool) -> ObjectStore:
    from satcommon.settings import absolute_or_bucket
    from satcommon.storage.object_store import ObjectStore

    chosen = settings()
    if not place.strip():
        raise InputError("--to '': expected a folder or s3://bucket/prefix")
    try:
        url = absolute_or_bucket(place)
    except ValueError as error:
        raise InputError(f"--to {place!r}: {error}") from error
    to, store = _real(url), _real(chosen.store)
    if to.startswith(store) or store.startswith(to):
        raise InputError(
            f"--to {place}: is in SATFIELDS_STORE or around it ({chosen.store}), whose objects are Satfields' own; "
            "name another place"
        )
    if dry_run and not url.startswith("s3://") and not Path(url).exists():
        url = click.get_current_context().with_resource(TemporaryDirectory())  # as empty as the folder that is not made
    return ObjectStore(url, chosen.store_timeout_seconds, "--to")


def _real(url: str) -> str:
    """A bucket's prefix, or a folder's path without links and `..`; a slash ends it."""
    return (url if url.startswith("s3://") else str(Path(url).resolve())).rstrip("/") + "/"


def _tell(place: str, written: Sequence[Written], removed: Sequence[str], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        regions = [
            {
                "region": told.region,
                "collection": told.collection,
                "written": told.written,
                "removed": told.removed,
                "unchanged": told.unchanged,
                "without_picture": {str(day): why for day, why in told.without_picture.items()},
            }
            for told in written
        ]
        print_json({"to": place, "dry_run": dry_run, "regions": regions, "removed_collections": removed})
        return
    rows = [(told.region, len(told.written), len(told.removed), told.unchanged) for told in written]
    print_table(("region", "days to write" if dry_run else "days written", "removed", "unchanged"), rows)
    for told in written:
        if told.without_picture:
            days = [str(day) for day in told.without_picture]
            why = next(iter(told.without_picture.values()))
            warn(f"region {told.region}: no picture of {names(days)}, tried again next time: {why}")
    if removed:
        say(f"removed {counted(len(removed), 'collection')} without a region or items: {names(removed)}")
    if not dry_run:
        say(f"the catalogue is {place.rstrip('/')}/catalog.json")
