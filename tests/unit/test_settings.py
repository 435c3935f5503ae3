from datetime import date, time
from pathlib import Path

import pytest
from satcommon.errors import SettingError
from satcommon.settings import PREFIX, Scenario, Settings, settings, unknown_variables
from satcommon.sources.open_source import open_source


def test_without_variables_everything_lies_in_the_home_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"  # what conftest's clean environment says

    found = settings()

    assert found.home == home
    assert found.database_url == f"sqlite:///{home / 'satfields.db'}"
    assert found.store == str(home / "store")


def test_without_any_variable_the_home_is_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SATFIELDS_HOME")
    monkeypatch.chdir(tmp_path)

    assert settings().home == tmp_path / ".satfields"


def test_a_variable_sets_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", "postgresql://satfields@db/satfields")
    monkeypatch.setenv("SATFIELDS_STORE", "s3://bucket/prefix")
    monkeypatch.setenv("SATFIELDS_PARTITIONS_START", "2026-01-01")
    monkeypatch.setenv("SATFIELDS_SIMULATED_DELAYS", '{"A/2026-05-01": 70}')
    monkeypatch.setenv("SATFIELDS_SIMULATED_OVERPASS", "10:08")
    monkeypatch.setenv("SATFIELDS_SIMULATED_SCENARIOS", '{"A/*": ["snow", "late_tile"]}')

    found = settings()

    assert found.database_url == "postgresql://satfields@db/satfields"
    assert found.store == "s3://bucket/prefix"
    assert found.partitions_start == date(2026, 1, 1)
    assert found.simulated_delays == {"A/2026-05-01": 70.0}
    assert found.simulated_overpass == time(10, 8)
    assert found.simulated_scenarios == {"A/*": {Scenario.SNOW, Scenario.LATE_TILE}}


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_LATENESS_DAYS", "")
    monkeypatch.setenv("SATFIELDS_SCENE_FOLDER", "")

    assert settings().lateness_days == 30
    assert settings().scene_folder is None


@pytest.mark.parametrize("scenes", ["/data/scenes", "s3://bucket", "s3://bucket/prefix/"])
def test_scenes_lie_in_a_folder_or_a_bucket(scenes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_SCENE_FOLDER", scenes)

    assert settings().scene_folder == scenes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCENE_SOURCE", "ftp"),
        ("SCENE_FOLDER", "gs://bucket/prefix"),
        ("SCENE_FOLDER", "s3:///"),
        ("RESOLUTION_M", "0"),
        ("SIMULATED_SEED", "seven"),
        ("SIMULATED_CYCLE_DAYS", "0"),
        ("SIMULATED_DELAY_HOURS", "-1"),
        ("SIMULATED_LATE_SHARE", "1.5"),
        ("SIMULATED_LATE_HOURS", "-1"),
        ("SIMULATED_GAP_SHARE", "-0.1"),
        ("SIMULATED_DELAYS", '{"A/2026-05-01": "soon"}'),
        ("SIMULATED_OVERPASS", "23:00:00"),
        ("DEADLINE_HOURS", "0"),
        ("LATENESS_DAYS", "a month"),
        ("PARTITIONS_START", "yesterday"),
        ("SENSOR_SECONDS", "0"),
        ("HEARTBEAT_SECONDS", "0"),
        ("STALE_SECONDS", "never"),
        ("RETRY_PAUSE_SECONDS", "-1"),
        ("DATABASE_TIMEOUT_SECONDS", "0"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SATFIELDS_{name}", value)

    with pytest.raises(SettingError) as caught:
        settings()

    message = str(caught.value)
    assert message.startswith(f"SATFIELDS_{name}=")
    assert value in message or "soon" in message


@pytest.mark.parametrize(("name", "value"), [("SIMULATED_DELAYS", "A/2026-05-01=70"), ("SIMULATED_SCENARIOS", "snow")])
def test_a_variable_that_is_no_json_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SATFIELDS_{name}", value)

    with pytest.raises(SettingError, match=rf'SATFIELDS_{name}: expected JSON like \{{"A/2026-05-0'):
        settings()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('{"A": ["snow"]}', "='A': expected REGION/DAY"),
        ('{"A/*": ["rain"]}', "='rain': expected 'swath_edge', 'tiles'"),
    ],
)
def test_a_wrong_scenario_is_told_what_was_expected(value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_SIMULATED_SCENARIOS", value)

    with pytest.raises(SettingError, match=f"SATFIELDS_SIMULATED_SCENARIOS{said}"):
        settings()


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_RESOLUTION_M", "-10")
    monkeypatch.setenv("SATFIELDS_LATENESS_DAYS", "-1")

    with pytest.raises(SettingError, match=r"SATFIELDS_RESOLUTION_M='-10'.*; SATFIELDS_LATENESS_DAYS='-1'"):
        settings()


def test_a_folder_source_without_its_folder_names_both_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_SCENE_SOURCE", "folder")

    with pytest.raises(SettingError, match=r"^SATFIELDS_SCENE_SOURCE=folder needs SATFIELDS_SCENE_FOLDER"):
        settings()


def test_a_run_is_not_dead_before_its_second_heartbeat_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_HEARTBEAT_SECONDS", "20")
    monkeypatch.setenv("SATFIELDS_STALE_SECONDS", "40")

    with pytest.raises(SettingError, match="SATFIELDS_STALE_SECONDS must be more than twice"):
        settings()


# --- names that are no settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SATFIELDS_SCENE_SORUCE", "SATFIELDS_SCENE_SOURCE"),
        ("SATFIELDS_SCENES_SOURCE", "SATFIELDS_SCENE_SOURCE"),
        ("SATFIELDS_DEADLINE_HOUR", "SATFIELDS_DEADLINE_HOURS"),
        ("satfields_stroe", "SATFIELDS_STORE"),
        ("SATFIELD_SCENE_SOURCE", "SATFIELDS_SCENE_SOURCE"),
        ("SATFIELDS_SERVICE_HOSTS", None),
    ],
)
def test_a_misspelt_name_is_an_error_that_names_the_nearest_setting(
    name: str, near: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "simulated")

    with pytest.raises(SettingError, match=f"^{name} is no setting; ") as caught:
        settings()

    assert near is None or str(caught.value) == f"{name} is no setting; did you mean {near}?"


@pytest.mark.parametrize("service", ["SATFIELDS", "SATFIELDS_WEBSERVER", "SATFIELDS_SCENE_SOURCE"])
def test_what_kubernetes_sets_for_its_services_is_let_be(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SERVICE_HOST": "10.0.0.7",
        "SERVICE_PORT": "80",
        "SERVICE_PORT_HTTP_METRICS": "80",
        "PORT": "tcp://10.0.0.7:80",
        "PORT_80_TCP": "tcp://10.0.0.7:80",
        "PORT_80_TCP_PROTO": "tcp",
        "PORT_80_TCP_PORT": "80",
        "PORT_53_UDP_ADDR": "10.0.0.7",
    }.items():
        monkeypatch.setenv(f"{service}_{name}", value)

    assert settings().scene_source == "simulated"


def test_a_port_that_is_no_service_s_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_PORT", "3010")

    with pytest.raises(SettingError, match=r"^SATFIELDS_PORT is no setting"):
        settings()


def test_every_setting_and_the_other_variables_of_ours_are_known() -> None:
    names = [PREFIX + name.upper() for name in Settings.model_fields] + ["SATFIELDS_MIGRATIONS", "HOME", "SATURN"]

    assert unknown_variables(dict.fromkeys(names, "x")) == {}


def test_without_a_source_what_needs_imagery_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SATFIELDS_SCENE_SOURCE")
    monkeypatch.setenv("SATFIELDS_SCENE_FOLDER", "/scenes")
    found = settings()

    assert found.scene_source is None
    with pytest.raises(SettingError, match=r"^SATFIELDS_SCENE_SOURCE is not set.*`folder`.*SCENE_FOLDER is set.*simul"):
        open_source(found)


def test_a_setting_is_taken_by_its_old_name_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_SIMULATED_QUIRKS", '{"A/2026-05-0?": ["late_tile"]}')

    with pytest.warns(UserWarning, match="SATFIELDS_SIMULATED_QUIRKS is now called SATFIELDS_SIMULATED_SCENARIOS"):
        chosen = settings.__wrapped__()

    assert chosen.simulated_scenarios == {"A/2026-05-0?": {Scenario.LATE_TILE}}


def test_the_new_name_of_a_setting_stands_above_its_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_SIMULATED_QUIRKS", '{"A/*": ["late_tile"]}')
    monkeypatch.setenv("SATFIELDS_SIMULATED_SCENARIOS", '{"B/*": ["snow"]}')

    assert settings.__wrapped__().simulated_scenarios == {"B/*": {Scenario.SNOW}}


def test_an_old_name_with_a_wrong_value_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_SIMULATED_QUIRKS", "late")

    with (
        pytest.warns(UserWarning, match="is now called"),
        pytest.raises(SettingError, match="QUIRKS: expected"),
    ):
        settings.__wrapped__()
