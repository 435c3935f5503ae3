"""The page's files: addresses, headers, what is said where the map library is missing."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import pytest
from satserve.page.assets import STATIC, THIRD_PARTY, Assets

from tests.unit.satserve.serving import Served

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PROXIED = {"x-forwarded-for": "203.0.113.7"}


def test_browsers_get_the_page_at_the_root_and_programs_the_landing_page(on_sqlite: Served) -> None:
    page, landing = on_sqlite.get("/", headers=HTML), on_sqlite.get("/", headers={"accept": "application/json"})

    assert [(each.status_code, each.headers["location"]) for each in page.history] == [(307, "map")]
    assert page.url.endswith("/map")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert landing.json()["title"] == "Satfields"
    assert on_sqlite.get("/").json() == landing.json()


def test_the_page_needs_no_key_and_may_load_nothing_from_elsewhere(on_sqlite: Served) -> None:
    page = on_sqlite.get("/map", headers=PROXIED)

    assert page.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == "'none'"
    assert {source for sources in policy.values() for source in sources.split()} == {"'self'", "'none'", "data:"}
    assert [name for name, sources in policy.items() if "data:" in sources] == ["img-src"]
    assert not re.search(r"https?:|<style|style=|<script(?![^>]*src=)|\son\w+=", page.text)
    assert on_sqlite.get("/regions", headers=PROXIED).status_code == 401


def test_files_are_kept_for_ever_under_the_digest_of_their_content(on_sqlite: Served) -> None:
    page = on_sqlite.get("/map")
    links = re.findall(r'(?:href|src)="(map/assets/[^"]+)"', page.text)

    assert any(each.endswith("/app.js") for each in links)
    for each in links:
        file = on_sqlite.get(f"/{each}")
        assert file.status_code == 200
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert file.headers["content-encoding"] == "gzip"
        assert file.headers["content-security-policy"] == page.headers["content-security-policy"]  # a worker's own
        plain = on_sqlite.get(f"/{each}", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == file.content
    assert page.headers["cache-control"] == "no-cache"


def test_a_page_that_a_browser_has_keeps_its_policy(on_sqlite: Served) -> None:
    """Headers of a 304 replace those that were kept: by the policy of data, the page's own script would be blocked."""
    page = on_sqlite.get("/map")

    again = on_sqlite.get("/map", headers={"if-none-match": page.headers["etag"]})

    assert again.status_code == 304
    for name in ("content-security-policy", "cross-origin-resource-policy", "cache-control", "etag", "vary"):
        assert again.headers[name] == page.headers[name], name


@pytest.mark.parametrize("name", ["app.mjs", "index.html", "..%2froutes.py", "%2e%2e/assets.py", ""])
def test_nothing_but_the_files_of_the_page_is_served(on_sqlite: Served, name: str) -> None:
    digest = on_sqlite.get("/map").headers["etag"].strip('"')

    assert on_sqlite.get(f"/map/assets/{digest}/{name}").status_code == 404
    assert on_sqlite.get("/map/assets/0000000000000000/app.js").status_code == 404


@pytest.fixture
def without_library(tmp_path: Path) -> Path:
    shutil.copytree(STATIC, tmp_path / "static", ignore=shutil.ignore_patterns(THIRD_PARTY))
    return tmp_path / "static"


def test_without_the_map_library_the_page_says_so_and_asks_for_none_of_it(without_library: Path) -> None:
    text = Assets(without_library).page.content.decode()

    assert 'data-has-map="false"' in text
    assert THIRD_PARTY not in text


def test_with_the_map_library_the_page_has_a_map(without_library: Path) -> None:
    (without_library / THIRD_PARTY).mkdir()
    for name in Assets(without_library).missing:
        (without_library / THIRD_PARTY / name).write_text("/* */")

    text = Assets(without_library).page.content.decode()

    assert 'data-has-map="true"' in text
    assert f"{THIRD_PARTY}/maplibre-gl.css" in text


def test_a_change_of_any_file_changes_all_addresses(without_library: Path) -> None:
    before = Assets(without_library)
    (without_library / "dom.js").write_text("export const changed = true;\n")

    after = Assets(without_library)

    assert before.digest != after.digest
    assert before.digest.encode() not in after.page.content
    assert gzip.decompress(after.files["dom.js"].compressed) == b"export const changed = true;\n"
