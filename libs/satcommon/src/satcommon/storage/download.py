"""A file of a bucket, `s3://bucket/path`, copied to this machine before a command reads it."""

from __future__ import annotations

from pathlib import Path

import obstore
from obstore.exceptions import BaseError, NotFoundError

from satcommon.errors import InputError, StoreError
from satcommon.storage import s3

_WHAT = "FILE"  # as `satctl --help` names the argument


def download(url: str, folder: Path) -> Path:
    """The object's copy in a folder, under its own name; credentials and endpoint come from the usual AWS variables.

    Raises:
        InputError: the URL names no object, there is none, or it is one part of a Shapefile.
        SettingError: an AWS variable can't be right.
        StoreError: the bucket could not be read.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    name = key.rpartition("/")[2]
    if not bucket or name in ("", ".", ".."):
        raise InputError(f"{url}: names no file of a bucket; expected s3://bucket/path/fields.gpkg")
    if name.lower().endswith(".shp"):
        raise InputError(f"{url}: a Shapefile is several files; put it into the bucket as one zip")
    store = s3.open_bucket(f"s3://{bucket}", _WHAT)
    copy = folder / name
    try:
        with copy.open("wb") as file:
            for chunk in obstore.get(store, key).stream():
                file.write(chunk)
    except (NotFoundError, FileNotFoundError) as error:
        if not s3.bucket_is_missing(error):
            raise InputError(f"{url}: there is no such object; list the bucket, and check the path") from None
        raise StoreError(f"{url} could not be read: {s3.message_of(error)}{s3.advice(error, _WHAT)}") from None
    except BaseError as error:
        raise StoreError(f"{url} could not be read: {s3.message_of(error)}{s3.advice(error, _WHAT)}") from None
    return copy
