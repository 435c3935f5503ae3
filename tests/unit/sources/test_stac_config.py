from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest
from satcommon.errors import SettingError
from satcommon.sources import stac_config
from satcommon.sources.stac_config import load, parse, profiles

LEAST = """
endpoint = "https://example.com/v1"
[[collections]]
id = "s2"
assets = { B04 = "red", B08 = "nir" }
"""


def test_every_profile_can_be_loaded_and_says_what_it_is_and_what_it_gets_wrong() -> None:
    assert list(profiles()) == [
        "cdse",
        "earth-search",
        "earth-search-c1",
        "hls",
        "landsatlook",
        "planetary-computer-landsat",
        "planetary-computer-s2",
    ]
    for name, profile in profiles().items():
        assert load(name) == profile
        assert profile.about
        assert profile.faults
        assert profile.endpoint
        assert all(collection.mask for collection in profile.collections)


def test_no_profile_holds_a_secret_only_names_of_variables() -> None:
    named = {name: profile.variables for name, profile in profiles().items()}

    assert named["hls"] == ["EARTHDATA_TOKEN"]
    assert named["cdse"] == ["CDSE_ACCESS_KEY_ID", "CDSE_SECRET_ACCESS_KEY"]
    assert named["earth-search"] == []


def test_a_file_is_read_and_its_paths_are_taken_from_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "stac.toml"
    path.write_text(LEAST.replace('endpoint = "https://example.com/v1"', 'catalogue = "deep/catalog.json"'))

    assert load(str(path)).catalogue == str(tmp_path / "deep" / "catalog.json")


def test_a_calendar_is_that_of_a_folder() -> None:
    config = parse((LEAST + "[calendar]\ncycle_days = 5\nfirst_day = 2026-03-01\n").encode(), "stac.toml")

    assert config.calendar is not None
    assert config.calendar.first_day == date(2026, 3, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LEAST + "[storage]\nrequester_pays = true\nanonymous = true\n", "storage: requester_pays and anonymous"),
        (LEAST + "[extra]\n", "stac.toml: extra: extra inputs are not permitted"),
        (
            LEAST.replace("red", "rot"),
            r"collections\[0\].assets.B04.band = 'rot': is no band; expected one of",
        ),
        (LEAST.replace("nir", "blue"), "assets: no asset is nir; both are needed"),
        (LEAST.replace("https://example.com/v1", "ftp://x"), "endpoint = 'ftp://x': expected https://HOST/PATH"),
        (LEAST.replace("https://", "https://me:secret@"), "expected https://HOST/PATH, without keys in it"),
        ('items = "a.parquet"\n' + LEAST, "states endpoint and items; keep one of endpoint, catalogue, items"),
        (LEAST.replace('endpoint = "https://example.com/v1"', ""), "states no catalogue; keep one of"),
        (LEAST + 'mask = { asset = "SCL", kind = "clouds" }\n', "collections.0..mask.kind = 'clouds': expected"),
        (LEAST + "[query]\na = 1\n[filter]\nb = 1\n", "query and filter are both given; keep one"),
        (LEAST.replace("[[", "[").replace("]]", "]"), "stac.toml: collections: expected a valid list"),
        (LEAST + "=", "stac.toml: is no TOML"),
        (LEAST + LEAST[LEAST.index("[[") :], "collections: s2 comes twice; keep one"),
        (
            LEAST + '[[headers]]\nname = "Authorization"\nvariable = "Bearer abc"\nhosts = ["x"]\n',
            "expected the name of an environment variable, as EARTHDATA_TOKEN; never the secret itself",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parse(text.encode(), "stac.toml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"SATFIELDS_STAC='.*/none\.toml': can't be read \(No such file"):
        load(str(tmp_path / "none.toml"))


def test_the_profiles_are_files_of_the_package() -> None:
    folder = Path(stac_config.__file__).parent / "profiles"

    assert all(tomllib.loads(path.read_text())["about"] for path in folder.iterdir())
