"""Lays out the published site: a folder for the documentation of `main` and one for that of each release.

    python docs/site/lay_out.py .venv/docs/site ARCHIVES _site

ARCHIVES holds TAG.tar.gz, the site that each release made. The site's own selector of versions reads versions.json.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
from pathlib import Path

LATEST = "latest"
FRONT = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={version}/">
<title>Satfields</title>
<a href="{version}/">Satfields: documentation</a>
</html>
"""


def lay_out(built: Path, archives: Path, target: Path) -> list[str]:
    """Write the site into an empty folder; gives its versions, `latest` first, then releases, the newest first.

    Args:
        built: the site of this commit.
        archives: a TAG.tar.gz for each release that has one.
        target: the folder; made, if it is not there.
    """
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(built, target / LATEST)
    releases = sorted(
        (file.name.removesuffix(".tar.gz") for file in archives.glob("v*.tar.gz")), key=_order, reverse=True
    )
    for tag in releases:
        with tarfile.open(archives / f"{tag}.tar.gz") as archive:
            archive.extractall(target / tag, filter="data")
    versions = [LATEST, *releases]
    listed = [{"version": version, "title": version, "aliases": []} for version in versions]
    (target / "versions.json").write_text(json.dumps(listed), encoding="utf-8")
    (target / "index.html").write_text(FRONT.format(version=(releases or versions)[0]), encoding="utf-8")
    return versions


def _order(tag: str) -> list[int]:
    """A release's place: v0.10.0 comes after v0.9.0."""
    return [int(number) for number in re.findall(r"\d+", tag)]


if __name__ == "__main__":
    lay_out(*map(Path, sys.argv[1:]))
