from satcommon.settings import PREFIX, Settings
from satctl.local.up import scenes_of, wants_samples

UNSET, SIMULATED = Settings(scene_source=None), Settings(scene_source="simulated")
FOLDER = Settings(scene_source="folder", scene_folder="/scenes")
NOTHING = {"regions": 0, "fields": 0}


def test_the_samples_come_into_an_empty_home_whose_source_is_not_another() -> None:
    assert wants_samples(UNSET, NOTHING)
    assert wants_samples(SIMULATED, NOTHING)
    assert not wants_samples(FOLDER, NOTHING)
    assert not wants_samples(UNSET, {"regions": 1, "fields": 0})
    assert not wants_samples(UNSET, {"regions": 0, "fields": 1})


def test_without_a_setting_scenes_are_simulated_only_where_every_region_was_registered_so() -> None:
    assert scenes_of(UNSET, {"simulated"}) == {f"{PREFIX}SCENE_SOURCE": "simulated"}
    assert scenes_of(UNSET, {"simulated", "folder /scenes"}) == {}
    assert scenes_of(UNSET, {None}) == {}
    assert scenes_of(UNSET, set()) == {}
    assert scenes_of(FOLDER, {"simulated"}) == {}
