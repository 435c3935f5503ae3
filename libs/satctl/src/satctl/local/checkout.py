"""Where the files of the database are: Alembic's, and the sample regions and fields.

They are in the checkout's ``db`` folder, and beside the code in the image; never inside a package.
"""

from __future__ import annotations

import os
from pathlib import Path

from satcommon.errors import SettingError

FOLDER_VARIABLE = "SATFIELDS_MIGRATIONS"


def database_folder(seen_from: str = __file__) -> Path:
    """The folder of `alembic.ini`: the variable's, else the checkout's `db` around the current folder or a file.

    Raises:
        SettingError: it is in neither.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        if not (Path(named) / "alembic.ini").is_file():
            raise SettingError(f"{FOLDER_VARIABLE}={named!r}: expected the folder that holds alembic.ini")
        return Path(named)
    for start in (Path.cwd(), Path(seen_from).resolve().parent):
        for parent in (start, *start.parents):
            if (parent / "db" / "alembic.ini").is_file():
                return parent / "db"
    raise SettingError(
        f"No db/alembic.ini in {Path.cwd()} or above it: run from a checkout, or set {FOLDER_VARIABLE} to the folder "
        "that holds alembic.ini."
    )


def seed_files() -> tuple[Path, Path]:
    """The files of the sample regions and of the sample fields.

    Raises:
        SettingError: there are none.
    """
    folder = database_folder() / "seeds"
    files = folder / "regions.geojson", folder / "fields.geojson"
    for file in files:
        if not file.is_file():
            raise SettingError(f"There is no {file}. The samples come with the checkout: run satctl there.")
    return files
