"""This machine's disks, and the ends of certificates."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from satcommon.errors import SettingError
from satcommon.settings import Settings
from satcommon.telemetry.metrics import Sample
from sqlalchemy import make_url


def machine_samples(chosen: Settings, now: datetime) -> Iterator[Sample]:
    """The samples of the collector `machine`.

    Raises:
        SettingError: a certificate's file can't be read, or holds none.
    """
    for name, folder in _folders(chosen):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        usage = shutil.disk_usage(existing)
        yield Sample("satfields_disk_free_bytes", (name,), float(usage.free))
        yield Sample("satfields_disk_size_bytes", (name,), float(usage.total))
    for file in certificate_files(chosen):
        yield Sample("satfields_certificate_remaining_seconds", (file,), (_end(file) - now).total_seconds())


def _folders(chosen: Settings) -> Iterator[tuple[str, Path]]:
    """The folders of a ledger and of objects that are on a disk of this machine, or mounted there."""
    url = make_url(chosen.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        yield "ledger", Path(url.database).absolute().parent
    if "://" not in chosen.store:
        yield "store", Path(chosen.store).absolute()


def certificate_files(chosen: Settings) -> list[str]:
    """The files that the setting names, and that by which the database's server is known."""
    named = [file.strip() for file in chosen.metrics_certificates.split(",")]
    of_database = make_url(chosen.database_url).query.get("sslrootcert", os.environ.get("PGSSLROOTCERT", ""))
    named += [of_database] if isinstance(of_database, str) else list(of_database)
    return sorted({file for file in named if file and file != "system"})


def _end(file: str) -> datetime:
    """When the first of a file's certificates ends."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise SettingError(
            f"SATFIELDS_METRICS_CERTIFICATES: {file}: expected a file of PEM certificates ({error})"
        ) from error
    return min(certificate.not_valid_after_utc for certificate in found)
