"""The files of a folder or bucket, opened by its name."""

from __future__ import annotations

from pathlib import Path

from satcommon.sources.files import Files, FolderFiles


def open_files(folder: Path | str) -> Files:
    """The files of a folder, or under a prefix of a bucket, ``s3://bucket/prefix``; nothing is read yet.

    Raises:
        SettingError: the bucket's URL, or an AWS variable, can't be right.
    """
    if str(folder).startswith("s3://"):
        from satcommon.sources.bucket import BucketFiles  # here: a folder needs nothing of S3

        return BucketFiles(str(folder))
    return FolderFiles(Path(folder))
