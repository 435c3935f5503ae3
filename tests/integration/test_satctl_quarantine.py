"""Somebody decides on a refused scene: it is taken all the same, or left out for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from satcommon.db import ledger
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Decision, Refusal, Verdict
from satcommon.db.quarantine import Judgement, decide
from satcommon.db.registry import aoi_of, region
from satcommon.environment import Environment
from satcommon.errors import InputError
from satcommon.pipeline import ingest_day
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.settings import settings
from satcommon.sources.source import AreaOfInterest
from satcommon.views.scene_picture import Layer, scene_picture
from sqlalchemy import Engine, select, update

from tests.conftest import Fill
from tests.integration.satctl_world import Satctl
from tests.unit.geotiffs import AOI, PLAIN, full, write

FIRST, DAY, LAST = date(2016, 1, 6), date(2016, 1, 7), date(2016, 1, 8)
NAME, SECOND = "2016-01-07T101243_a.tif", "2016-01-07T101243_b.tif"
LAND = {name: values.astype(np.float32) * np.float32(1e-4) for name, values in PLAIN.items()}
CELSIUS = LAND | {"lwir11": full(22.8, "float32")}
ON = ("North", str(DAY), NAME)
WHY = ("--reason", "the sensor was recalibrated")


@dataclass
class Farm:
    """A field in a region, and a folder of scenes."""

    env: Environment
    folder: Path
    satctl: Satctl

    def deliver(self, name: str, bands: dict[str, Any]) -> None:
        modified = self.next_second()
        (self.folder / name).unlink(missing_ok=True)
        write(self.folder / name, bands, scale=1.0)
        os.utime(self.folder / name, (modified, modified))

    def damage(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        modified = self.next_second()
        (self.folder / name).write_bytes(b"II*\0 and nothing else" + os.urandom(1))
        os.utime(self.folder / name, (modified, modified))

    def next_second(self) -> float:
        """Each file is a second newer than the one before, and long there."""
        return 1 + max((file.stat().st_mtime for file in self.folder.iterdir()), default=0.0)

    def work(self, code: int = 0) -> None:
        """Ask for all days, close what can be closed, and replay."""
        now = datetime.now(UTC)
        closer = Closer(self.env.engine, self.env.store(), 1, self.env.deadlines, "run", now)
        list(closer.backfill(self.env.source(), LAST, lambda *_: None, lambda *_: None))
        self.satctl("scenes", "rescan", "North", "--from", str(FIRST), "--to", str(LAST), "--here", code=code)
        self.replay()

    def replay(self) -> None:
        now = datetime.now(UTC)
        list(replay(Processor(self.env.engine, self.env.store()), self.env.engine, 1, self.env.deadlines, "run", now))

    def quarantine(self, *options: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self.satctl("scenes", "quarantine", "--json", *options).stdout)
        return listed

    def history(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.satctl("history", "west", str(DAY), "--json").stdout)
        return told

    def row(self) -> tuple[str, bool] | None:
        row = self.history()["row"]
        return (row["status"], row["final"]) if row else None

    def decisions(self) -> list[Any]:
        with read_transaction(self.env.engine) as connection:
            return list(connection.execute(select(Decision.__table__).order_by(Decision.decided_at)).all())


@pytest.fixture
def empty(system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch) -> Farm:
    """Neither region nor field nor scene."""
    folder = settings().home / "scenes"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SATFIELDS_SCENE_SOURCE", "folder")
    monkeypatch.setenv("SATFIELDS_SCENE_FOLDER", str(folder))
    settings.cache_clear()
    return Farm(Environment(settings(), system), folder, satctl)


@pytest.fixture
def farm(empty: Farm, filled_once: Fill) -> Farm:
    """No scene of the days that are watched."""
    return filled(empty, filled_once, lambda: settle(empty))


@pytest.fixture
def doubtful(empty: Farm, filled_once: Fill) -> Farm:
    """The day's only scene has a thermal band in degrees Celsius."""

    def refused() -> None:
        settle(empty)
        empty.deliver(NAME, CELSIUS)
        empty.work(code=1)
        assert empty.row() is None

    return filled(empty, filled_once, refused)


def filled(farm: Farm, filled_once: Fill, work: Callable[[], None]) -> Farm:
    filled_once(farm.env.engine, farm.env.settings.home, work)
    farm.satctl("regions", "source", "North", "--set", "current")  # a copy's scenes lie in a folder of their own
    return farm


def settle(farm: Farm) -> None:
    farm.deliver("2016-01-01T101243.tif", LAND)  # of before; the region's grid is cut from it
    west, south, east, north = AOI.bounds
    days = ("--monitored-from", str(FIRST), "--monitored-until", str(LAST))
    farm.satctl("regions", "add", "North", "--bounds", *map(str, (west, south, east, north)), *days)
    width, height = east - west, north - south
    shape = shapely.box(west + 0.2 * width, south + 0.3 * height, west + 0.4 * width, south + 0.7 * height)
    farm.satctl("fields", "add", "west", "--planted", "2015-12-01", "--wkt", shape.wkt)


@pytest.mark.slow
def test_quarantine_lists_what_is_refused_with_check_found_and_expected(doubtful: Farm) -> None:
    doubtful.damage("2016-01-08T101243.tif")
    doubtful.work(code=1)

    first, second = doubtful.quarantine()
    assert (first["region"], first["day"], first["item"], first["check"]) == (
        "North",
        str(DAY),
        NAME,
        "not_in_kelvin",
    )
    assert first["found"].startswith("100% of band lwir11 are no temperature of land or cloud")
    assert first["expected"].startswith("kelvin, 170 to 375")
    assert (first["decision"], second["check"], second["day"]) == (None, None, str(LAST))
    assert doubtful.quarantine("--region", "North") == [first, second]
    told = doubtful.satctl("scenes", "quarantine").stdout
    assert "not_in_kelvin" in told
    assert "2016-01-08" in told


def test_an_empty_quarantine_says_so_and_an_unknown_region_is_an_error(farm: Farm) -> None:
    assert farm.satctl("scenes", "quarantine").stdout.strip() == "no acquisition is in quarantine"
    assert farm.quarantine() == []
    assert "'Nowhere'" in farm.satctl("scenes", "quarantine", "--region", "Nowhere", code=2).stderr


def test_acquisitions_are_listed_with_what_became_of_them(doubtful: Farm) -> None:
    doubtful.deliver("2016-01-06T101243.tif", LAND)
    doubtful.deliver(SECOND, CELSIUS)
    doubtful.work(code=1)
    doubtful.satctl("scenes", "accept", *ON, *WHY, "--here")
    doubtful.satctl("scenes", "reject", "North", str(DAY), SECOND, *WHY, "--here")

    def listed(*options: str) -> list[tuple[str, ...]]:
        given = ("--from", str(FIRST), "--to", str(LAST), "--json")
        known = json.loads(doubtful.satctl("scenes", "list", "North", *(options or given)).stdout)
        return [(each["day"], each["item"], each["state"], each["decision"]) for each in known]

    assert listed() == [
        (str(FIRST), "2016-01-06T101243.tif", "used", None),
        (str(DAY), NAME, "used", "accepted"),
        (str(DAY), SECOND, "rejected", "rejected"),
    ]
    assert listed("--json") == []  # of the last 30 days
    assert "no acquisition" in doubtful.satctl("scenes", "list", "North").stdout
    backwards = ("--from", str(LAST), "--to", str(FIRST))
    assert "is before" in doubtful.satctl("scenes", "list", "North", *backwards, code=2).stderr


def test_a_refused_scene_is_shown_with_its_picture(
    doubtful: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    told = doubtful.satctl("scenes", "show", *ON).stdout

    assert all(word in told for word in ("refused", "not_in_kelvin", "kelvin, 170 to 375"))
    picture = Path(f"North-{DAY}.png").read_bytes()
    assert "exists already" in doubtful.satctl("scenes", "show", *ON, code=2).stderr
    assert (
        "has no green or blue"
        in doubtful.satctl("scenes", "show", *ON, "--layer", "truecolor", "--force", code=1).stderr
    )
    doubtful.satctl("scenes", "accept", *ON, *WHY, "--here")
    assert picture == picture_of_the_day(doubtful.env)  # as it is once it was taken


def picture_of_the_day(env: Environment) -> bytes:
    with read_transaction(env.engine) as connection:
        scene = ledger.current_scene(connection, 1, DAY)
    assert scene is not None
    with env.scenes().open(scene.object_key) as reader:
        return scene_picture(reader, area(env).bounds, Layer.NDVI, 1000)


def test_what_can_t_be_shown_says_why(doubtful: Farm) -> None:
    damaged = "2016-01-08T101243.tif"
    doubtful.damage(damaged)
    doubtful.work(code=1)

    assert "can't be read" in doubtful.satctl("scenes", "show", "North", str(LAST), damaged, code=1).stderr
    unknown = doubtful.satctl("scenes", "show", "North", str(DAY), "other.tif", code=2).stderr
    assert f"known of that day: {NAME}" in unknown
    (doubtful.folder / NAME).unlink()
    assert "lists it no longer" in doubtful.satctl("scenes", "show", *ON, code=2).stderr


def test_an_accepted_scene_is_taken_at_once_and_history_tells_who_decided_and_why(doubtful: Farm) -> None:
    doubtful.satctl("scenes", "accept", *ON, *WHY, "--by", "Ada", "--here")
    doubtful.replay()

    assert doubtful.quarantine() == []
    assert doubtful.row() == ("clear", True)
    (decision,) = doubtful.history()["decisions"]
    assert (decision["item"], decision["verdict"], decision["by"], decision["why"], decision["check"]) == (
        NAME,
        "accepted",
        "Ada",
        WHY[1],
        "not_in_kelvin",
    )
    assert "Ada" in doubtful.satctl("history", "west", str(DAY)).stdout
    doubtful.work()  # asking again changes nothing
    assert doubtful.row() == ("clear", True)


def test_an_accepted_scene_is_taken_by_the_next_look_at_its_source(doubtful: Farm) -> None:
    told = doubtful.satctl("scenes", "accept", *ON, *WHY).stdout
    assert "satctl scenes rescan North --from 2016-01-07 --to 2016-01-07" in told
    assert [each["decision"] for each in doubtful.quarantine()] == ["accepted"]

    doubtful.work()

    assert (doubtful.quarantine(), doubtful.row()) == ([], ("clear", True))


def test_the_name_of_a_days_answer_moves_with_each_decision_so_that_a_sensor_asks_again(doubtful: Farm) -> None:
    def names() -> dict[date, str]:
        env, now = doubtful.env, datetime.now(UTC)
        return ingest_day.news(env.engine, env.source(), 1, area(env), FIRST, LAST, now)

    seen = [names()[DAY]]
    doubtful.satctl("scenes", "accept", *ON, *WHY)
    seen.append(names()[DAY])
    doubtful.satctl("scenes", "reject", *ON, *WHY)
    seen.append(names()[DAY])
    assert len(set(seen)) == 3
    doubtful.work()
    assert names() == {}


def area(env: Environment) -> AreaOfInterest:
    with read_transaction(env.engine) as connection:
        return aoi_of(region(connection, "North"))


def test_a_rejected_scene_leaves_its_day_as_one_without_imagery(doubtful: Farm) -> None:
    doubtful.satctl("scenes", "reject", *ON, *WHY, "--here")
    doubtful.replay()

    assert (doubtful.quarantine(), doubtful.row()) == ([], ("no_overpass", True))
    told = doubtful.history()
    assert [each["verdict"] for each in told["decisions"]] == ["rejected"]
    assert [each["item"] for each in told["refused_scenes"]] == [NAME]
    doubtful.work()
    assert doubtful.row() == ("no_overpass", True)


def test_a_rejected_scene_leaves_its_day_to_the_others(doubtful: Farm) -> None:
    doubtful.deliver(SECOND, LAND)
    doubtful.work()
    assert doubtful.row() == ("clear", False)

    doubtful.satctl("scenes", "reject", *ON, *WHY, "--here")

    assert doubtful.row() == ("clear", True)
    assert doubtful.quarantine() == []


def test_a_rejected_scene_can_be_accepted_later(doubtful: Farm) -> None:
    doubtful.satctl("scenes", "reject", *ON, *WHY, "--here")
    doubtful.replay()
    doubtful.satctl("scenes", "accept", *ON, "--reason", "it was right", "--here")
    doubtful.replay()

    assert doubtful.row() == ("clear", True)
    assert [each["verdict"] for each in doubtful.history()["decisions"]] == ["rejected", "accepted"]


@pytest.mark.parametrize("verdict", ["accept", "reject"])
def test_another_version_is_another_matter(doubtful: Farm, verdict: str) -> None:
    doubtful.satctl("scenes", verdict, *ON, *WHY, "--here")
    doubtful.deliver(NAME, CELSIUS | {"lwir11": full(23.1, "float32")})
    doubtful.work(code=1)

    (again,) = doubtful.quarantine()
    assert (again["item"], again["decision"]) == (NAME, None)


@pytest.mark.parametrize("verdict", ["accept", "reject"])
def test_a_corrected_scene_releases_itself_whatever_was_decided(doubtful: Farm, verdict: str) -> None:
    doubtful.satctl("scenes", verdict, *ON, *WHY, "--here")
    doubtful.deliver(NAME, LAND | {"lwir11": full(295.95, "float32")})
    doubtful.work()

    assert (doubtful.quarantine(), doubtful.row()) == ([], ("clear", True))


@pytest.mark.parametrize("verdict", ["accept", "reject"])
def test_what_was_decided_twice_is_decided_once(doubtful: Farm, verdict: str) -> None:
    for told in ("", "before; nothing changed", "before; nothing changed"):
        assert told in doubtful.satctl("scenes", verdict, *ON, *WHY).stdout
    doubtful.work()
    assert "before; nothing changed" in doubtful.satctl("scenes", verdict, *ON, *WHY).stdout
    assert len(doubtful.decisions()) == 1


@pytest.mark.parametrize("verdict", ["accept", "reject"])
def test_a_dry_run_decides_nothing(doubtful: Farm, verdict: str) -> None:
    told = doubtful.satctl("scenes", verdict, *ON, *WHY, "--dry-run", "--here").stdout
    assert "nothing changed" in told
    assert doubtful.decisions() == []
    assert doubtful.quarantine()[0]["decision"] is None


def test_what_can_not_be_read_can_be_rejected_and_not_accepted(farm: Farm) -> None:
    farm.damage(NAME)
    farm.work()
    assert farm.row() is None

    said = farm.satctl("scenes", "accept", *ON, *WHY, code=2).stderr
    assert "can't be accepted, since no radiometric check refused it" in said
    assert "satctl scenes reject North 2016-01-07" in said
    farm.satctl("scenes", "reject", *ON, *WHY, "--here")
    farm.replay()
    assert (farm.quarantine(), farm.row()) == ([], ("no_overpass", True))

    farm.deliver(NAME, LAND)
    farm.work()
    assert farm.row() == ("clear", True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Nowhere", str(DAY), NAME, *WHY), "'Nowhere'"),
        (("North", str(FIRST), NAME, *WHY), f"{NAME} of 2016-01-06 is not in quarantine in region 'North'"),
        (("North", str(DAY), "b.tif", *WHY), f"of that day, {NAME} is: `satctl scenes quarantine --region North`"),
        (("North", "yesterday", NAME, *WHY), "expected YYYY-MM-DD"),
        (ON, "Missing option '--reason'"),
        ((*ON, "--reason", "  "), "--reason '  ': expected 1 to 2,000 letters"),
        ((*ON, "--reason", "a\x1b[31m"), "letters that can be shown"),
        ((*ON, "--reason", "a" * 2001), "expected 1 to 2,000 letters"),
        ((*ON, *WHY, "--by", ""), "--by '': expected 1 to 100 letters"),
    ],
)
@pytest.mark.parametrize("verdict", ["accept", "reject"])
def test_wrong_input_is_refused_and_nothing_is_decided(
    doubtful: Farm, verdict: str, arguments: tuple[str, ...], said: str
) -> None:
    assert said in doubtful.satctl("scenes", verdict, *arguments, code=2).stderr.replace("\n", " ")
    assert doubtful.decisions() == []


def test_a_scene_that_was_accepted_and_taken_can_not_be_rejected(doubtful: Farm) -> None:
    doubtful.satctl("scenes", "accept", *ON, *WHY, "--by", "Ada", "--here")
    assert "it was accepted by Ada on" in doubtful.satctl("scenes", "reject", *ON, *WHY, code=2).stderr
    assert len(doubtful.decisions()) == 1


@pytest.mark.slow
def test_a_decision_stands_where_the_process_ends_before_its_day_is_asked_for(
    doubtful: Farm,
) -> None:
    arguments = ["scenes", "accept", *ON, *WHY, "--here"]
    killed = (
        "import os; from satcommon.pipeline import rescan; from satctl.main import main; "
        f"rescan.ask_anew = lambda *_, **__: os.kill(os.getpid(), 9); main({arguments})"
    )
    doubtful.env.engine.dispose()  # `satctl` in this process read the file's head, which gave up SQLite's locks on it
    done = subprocess.run([sys.executable, "-c", killed], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [each["decision"] for each in doubtful.quarantine()] == ["accepted"]
    assert "before; nothing changed" in doubtful.satctl("scenes", "accept", *ON, *WHY, "--here").stdout
    doubtful.replay()
    assert (doubtful.quarantine(), doubtful.row()) == ([], ("clear", True))


def test_a_decision_while_a_day_is_asked_for_is_honoured_by_that_answer(
    doubtful: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, now = doubtful.env, datetime.now(UTC)
    fetched = ingest_day.fetch
    times = []

    def fetch(*arguments: Any) -> Any:
        asked = fetched(*arguments)
        if not times:
            with write_transaction(env.engine) as connection:
                judgement = Judgement(Verdict.ACCEPTED, "Ada", "it is right", now)
                assert decide(connection, region(connection, "North"), DAY, NAME, judgement)
        times.append(now)
        return asked

    monkeypatch.setattr(ingest_day, "fetch", fetch)
    answer = ingest_day.ask(env.engine, env.store(), env.source(), 1, DAY, now)
    assert (len(times), answer.items, answer.refused) == (2, (NAME,), {})


def test_a_refusal_of_before_decisions_were_known_tells_its_check_when_its_day_is_asked_for_again(
    doubtful: Farm,
) -> None:
    with write_transaction(doubtful.env.engine) as connection:
        connection.execute(update(Refusal).values(check_name=None, digest=None))
    assert [each["check"] for each in doubtful.quarantine()] == [None]
    doubtful.work(code=1)
    assert [each["check"] for each in doubtful.quarantine()] == ["not_in_kelvin"]


def test_two_decisions_of_one_instant_are_an_error_and_not_half_of_each(doubtful: Farm) -> None:
    now = datetime.now(UTC)
    with write_transaction(doubtful.env.engine) as connection:
        place = region(connection, "North")
        assert decide(connection, place, DAY, NAME, Judgement(Verdict.ACCEPTED, "Ada", "right", now))
    with pytest.raises(InputError, match="at the same instant"), write_transaction(doubtful.env.engine) as connection:
        decide(connection, place, DAY, NAME, Judgement(Verdict.REJECTED, "Bob", "wrong", now))
    assert [row.verdict for row in doubtful.decisions()] == [Verdict.ACCEPTED]
