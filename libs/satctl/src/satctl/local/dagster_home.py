"""Dagster's folder in the home folder, and its configuration: written by satctl, or the operator's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from string import Template

from satcommon.errors import SettingError
from satcommon.secret_files import secret
from satcommon.settings import settings

FILE = "dagster.yaml"
_STAMP = "# Written by satctl at each start, until it is changed by hand; then it is kept. Digest: "
DAGSTER_DATABASE = "DAGSTER_POSTGRES_URL"  # named by dagster.yaml; not one of our settings
_EARLIER = "# Dagster's instance on a laptop: "  # how earlier versions began the file, which they always overwrote


def dagster_home(home: Path) -> Path:
    """Dagster's folder in the home folder, with its configuration in place.

    Dagster keeps its records there too, or in PostgreSQL where DAGSTER_POSTGRES_URL names a database. A configuration
    that the operator wrote or changed stays as it is.

    Raises:
        SettingError: the folder can't be written to.
    """
    folder = home / "dagster"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_own(folder):
            text = _configuration()
            (folder / FILE).write_text(f"{_STAMP}{_digest(text)}\n{text}")
    except OSError as error:
        raise SettingError(
            f"SATFIELDS_HOME: {folder} can't be written to: {error.strerror}; let this user write there, or name "
            "another folder"
        ) from error
    return folder


def is_own(folder: Path) -> bool:
    """Whether the operator wrote or changed the configuration in Dagster's folder."""
    file = folder / FILE
    if not file.exists():
        return False
    first, _, rest = file.read_text().partition("\n")
    if first.startswith(_STAMP):
        return first.removeprefix(_STAMP) != _digest(rest)
    return not first.startswith(_EARLIER)


def _configuration() -> str:
    """The configuration from the package's templates, with numbers from the settings."""
    chosen = settings()
    parts = [FILE, *(["dagster-postgresql.yaml"] if secret(DAGSTER_DATABASE) else [])]
    text = "\n".join(Path(__file__).with_name(part).read_text() for part in parts)
    return Template(text).substitute(
        runs=chosen.dagster_runs, background=max(1, chosen.dagster_runs - 1), ticks_days=chosen.dagster_ticks_days
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
