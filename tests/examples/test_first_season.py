"""The page on a first season from a catalogue: its commands run for each profile, with only addresses exchanged.

An API that is not ours (rustac) serves items in the shape of each archive; the archives can't be reached from here.
Dagster's run of the backfill is done in this process.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from satcommon.db.engine import read_transaction
from satcommon.db.registry import region
from satcommon.environment import utc_now
from satcommon.pipeline.close_region import Closer
from satcommon.sources import polite_requests
from satcommon.sources.stac_config import profile_path, profiles
from satctl.main import main
from satctl.opening import opened

from tests.examples.recipes import ROOT
from tests.unit.archives import ARCHIVES, Archive, stated
from tests.unit.stac_catalogue import Files, api

PAGE = (ROOT / "docs/how-to/first-season-from-a-catalogue.md").read_text(encoding="utf-8")
SHELL = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
CHOICES = {found[1]: block for block in SHELL if (found := re.search(r"SATFIELDS_STAC=(\S+)", block))}
PASS = "2024-06-05"


def moved(value: Any) -> Any:
    """The day of the archives' items becomes one of the page's season."""
    if not isinstance(value, str):
        return value
    return value.replace("20160107", "20240605").replace("2016007", "2024157").replace("2016-01-07", PASS)


def of_the_season(archive: Archive) -> Archive:
    properties = {key: moved(value) for key, value in archive.properties.items()}
    return archive._replace(item_id=moved(archive.item_id), properties=properties | {"datetime": f"{PASS}T10:12:43Z"})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    polite_requests.forget_circuits()
    (tmp_path / "fields.geojson").write_text(re.findall(r"^```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0])
    yield tmp_path
    polite_requests.forget_circuits()


def exchanged(profile: str, url: str, tokens: str) -> str:
    """The profile's file with addresses of this machine, which needs no rate limit."""
    text = profile_path(profile).read_text(encoding="utf-8")
    text = re.sub(r"^a_second = .*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^endpoint = .*$", f'endpoint = "{url}"', text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^token_url = .*$", f'token_url = "{tokens}/sas/{{container}}"', text, flags=re.MULTILINE)
    return re.sub(r"^hosts = .*$", 'hosts = ["127.0.0.1"]', text, flags=re.MULTILINE)


def run(block: str, monkeypatch: pytest.MonkeyPatch, codes: dict[str, int]) -> list[str]:
    """Run a block's exports and commands; gives what they print."""
    printed = []
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["export"]:
            for name, _, value in (word.partition("=") for word in words[1:]):
                monkeypatch.setenv(name, value.replace("$PWD", str(Path.cwd())))
        elif words:
            assert words[0] == "satctl"
            result = CliRunner().invoke(main, words[1:])
            assert result.exit_code == codes.get(words[1], 0), result.output
            printed.append(result.output)
    return printed


def backfill(block: str) -> None:
    """What the run does that a block launches."""
    words = shlex.split(block)
    name, until = words[words.index("--region") + 1], date.fromisoformat(words[words.index("--until") + 1])
    with opened() as env:
        with read_transaction(env.engine) as connection:
            bbox_id = region(connection, name).bbox_id
        source = env.source()
        closer = Closer(env.engine, env.store(), bbox_id, env.deadlines, "run", utc_now(), source=lambda: source)
        list(closer.backfill(source, until, lambda _day, _answer: None))


def test_the_page_has_a_block_for_each_profile() -> None:
    assert CHOICES.keys() == profiles().keys()


@pytest.mark.slow
@pytest.mark.parametrize("profile", CHOICES)
def test_a_newcomer_gets_a_season_from_each_profile(profile: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, signatures = Files(here / "files"), Files(here / "signatures")
    with ExitStack() as servers:
        base, tokens = servers.enter_context(files.served()), servers.enter_context(signatures.served())
        items = [stated(of_the_season(each), files, base) for each in ARCHIVES if each.profile == profile]
        (here / "signatures/sas").mkdir(parents=True)
        for item in items:
            token = here / "signatures/sas" / item["id"]
            token.write_text('{"token": "se=2099&sig=good", "msft:expiry": "2099-01-01T00:00:00Z"}')
        files.token = "good" if profiles()[profile].signing else None
        url = servers.enter_context(api(here / "api", items))
        (here / "mine.toml").write_text(exchanged(profile, url, tokens))

        blocks = [block for block in SHELL if block not in CHOICES.values() or block == CHOICES[profile]]
        said: list[str] = []
        for block in blocks:
            if "make install" in block or "satctl up" in block:
                continue
            if "runs launch backfill" in block:
                backfill(block)
                continue
            chosen = block.replace(f"SATFIELDS_STAC={profile}", "SATFIELDS_STAC=mine.toml")
            said += run(chosen, monkeypatch, {"doctor": 1})  # Dagster is not running

    everything = "\n".join(said)
    assert "was refused" not in everything
    assert "no acquisition is in quarantine" in everything
    rows = {row["day"]: row for row in csv.DictReader((here / "season.csv").read_text().splitlines())}
    assert len(rows) == 30
    assert rows[PASS]["status"] == "clear"
    assert float(rows[PASS]["red_mean"]) == pytest.approx(0.05, abs=1e-3)
    assert {row["status"] for day, row in rows.items() if day != PASS} == {"no_overpass"}
    assert (here / "north-40-season.png").stat().st_size > 1000
