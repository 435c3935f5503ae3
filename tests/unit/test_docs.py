"""The docs: every page is found, every link leads somewhere, and what follows from code is what the code gives."""

import importlib.util
import json
import re
import shutil
import sys
import tarfile
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
_LINK = re.compile(r"\]\(([^)\s]*)\)")
_CODE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        name, _, anchor = link.partition("#")
        if name.startswith("http"):
            continue
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_that_the_tree_names_exists() -> None:
    suffixes = {".py", ".md", ".yaml", ".json", ".sh", ".toml", ""}
    folders = ("libs", "locations", "k8s", "db", "tests", "benchmarks", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    ours = (path for path in files if path.is_file() and "node_modules" not in path.parts)
    for path in [*ours, ROOT / "Makefile", ROOT / "README.md"]:
        text = re.sub(r"```diff.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)  # what a reader adds
        for name in re.findall(r"\bdocs/[\w/.-]+\.md\b", text):
            assert (ROOT / name).exists(), f"{path.relative_to(ROOT)} names {name}"


def test_the_index_lists_every_page_but_the_decisions() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text(encoding="utf-8"))}

    elsewhere = {"decisions", "runbooks"}  # the table of alerts lists these
    missing = [page for page in PAGES if page not in listed and page != index and page.parent.name not in elsewhere]

    assert missing == []


def test_every_page_says_first_for_whom_it_is() -> None:
    for page in PAGES:
        if page.parent.name != "decisions":
            _, first = page.read_text(encoding="utf-8").split("\n\n", 2)[:2]
            assert first.startswith("For "), page


def test_what_follows_from_code_is_what_the_code_gives() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)

    for page in sorted((ROOT / "docs/reference").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert generate.generated(text) == text, f"run `make docs`: {page.name} differs from the code"
    assert generate.man_page() == generate.MAN_PAGE.read_text(encoding="utf-8"), "run `make docs`: satctl.1 differs"


def test_the_manual_page_is_where_man_looks_for_it() -> None:
    """Beside the program: man finds it for whoever has satctl on the PATH."""
    installed = Path(sys.prefix) / "share/man/man1/satctl.1"

    assert installed.read_text(encoding="utf-8").startswith(".TH SATCTL 1"), "run `make install`"


def test_every_module_that_a_page_names_exists() -> None:
    modules = [f"/{path.relative_to(ROOT)}" for path in ROOT.glob("[!.]*/**/*.py") if ".venv" not in path.parts]
    for page in TEXTS:
        for name in re.findall(r"`([\w/]+\.py)`", _CODE.sub("", page.read_text(encoding="utf-8"))):
            assert any(module.endswith(f"/{name}") for module in modules), f"{page.relative_to(ROOT)} names {name}"


def test_the_map_has_a_line_for_every_folder() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    satcommon = ROOT / "libs/satcommon/src/satcommon"

    folders = {path.parent.name for path in satcommon.glob("*/__init__.py")}
    modules = {path.name for path in satcommon.glob("[!_]*.py")}

    for name in folders | modules - {"memory.py"}:  # which says in its first line all that there is to say
        assert f"`{name}`" in text, name


def _site(name: str = "make_source") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/site/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sites_navigation_has_the_kinds_of_the_index_in_order(tmp_path: Path) -> None:
    _site().write(tmp_path)

    parts = tomllib.loads((tmp_path / "zensical.toml").read_text())["project"]["nav"]
    assert [title for part in parts for title in part] == [
        "Overview", "Start here", "How to", "Reference", "Explanation", "Runbooks", "Decisions", "Contributing",
    ]  # fmt: skip
    assert parts[2]["How to"][0] == {"Run on one machine": "how-to/run-on-one-machine.md"}
    assert len(parts[6]["Decisions"]) == 1 + len(list((ROOT / "docs/decisions").glob("*.md")))
    assert "](../contributing.md#the-map)" in (tmp_path / "source/explanation/architecture.md").read_text()


def test_a_page_that_the_index_leaves_out_stops_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = _site()
    copy = tmp_path / "tree"
    shutil.copytree(ROOT / "docs", copy / "docs")
    shutil.copy(ROOT / "CONTRIBUTING.md", copy)
    (copy / "docs" / "how-to/forgotten.md").write_text("# Forgotten\n")
    monkeypatch.setattr(site, "ROOT", copy)

    with pytest.raises(ValueError, match=r"no row for how-to/forgotten\.md"):
        site.write(tmp_path / "site")


def test_the_published_site_has_a_folder_for_main_and_for_each_release(tmp_path: Path) -> None:
    built, archives, target = tmp_path / "built", tmp_path / "archives", tmp_path / "site"
    built.mkdir()
    archives.mkdir()
    for version in ("v0.9.0", "v0.10.0", "latest"):
        (built / "index.html").write_text(version)
        if version != "latest":
            with tarfile.open(archives / f"{version}.tar.gz", "w:gz") as archive:
                archive.add(built, ".")

    _site("lay_out").lay_out(built, archives, target)

    listed = [each["version"] for each in json.loads((target / "versions.json").read_text())]
    assert listed == ["latest", "v0.10.0", "v0.9.0"]
    assert [(target / version / "index.html").read_text() for version in listed] == listed
    assert 'url=v0.10.0/"' in (target / "index.html").read_text()


def test_the_published_site_is_mains_before_the_first_release(tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()

    assert _site("lay_out").lay_out(tmp_path / "built", tmp_path / "none", tmp_path / "site") == ["latest"]
    assert 'url=latest/"' in (tmp_path / "site/index.html").read_text()
