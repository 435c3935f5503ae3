"""Writes the site's source: a copy of docs, CONTRIBUTING.md, and a configuration with docs/README.md as navigation.

    python docs/site/make_source.py .venv/docs

A page has its title and place from the tables of docs/README.md, so that the folder and the site have one
order. The copy exists because links may leave docs (to CONTRIBUTING.md), which a site can't follow.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAVIGATION = {"how to": "How to", "reference": "Reference", "explanation": "Explanation"}
WHOLE = {
    "runbooks": "Runbooks",
    "decisions": "Decisions",
}  # folders whose pages docs/README.md does not list one by one
CONFIGURATION = """\
[project]
site_name = "Satfields"
site_description = "Every agricultural field, every day, from space, with late data exactly right"
docs_dir = "source"
site_dir = "site"
use_directory_urls = true
nav = {navigation}

[project.theme]
language = "en"
font = false # the reader's own: a page asks no other host for anything
features = ["navigation.sections", "navigation.top", "content.code.copy", "search.highlight"]

[project.extra.version]
provider = "mike" # the selector of versions, where lay_out.py has put versions.json above the site

[[project.theme.palette]]
media = "(prefers-color-scheme)"

[project.markdown_extensions.toc]
permalink = true

[project.markdown_extensions.pymdownx.highlight]

[project.markdown_extensions.pymdownx.superfences]

[project.markdown_extensions.tables]
"""


def navigation(index: str, source: Path) -> list[dict[str, object]]:
    """The site's navigation, from docs/README.md, and from the folders that are listed as a whole."""
    parts: list[dict[str, object]] = [{"Overview": "README.md"}, {"Start here": "start-here.md"}]
    for heading, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", index, re.MULTILINE | re.DOTALL):
        pages = [{title: path} for title, path in re.findall(r"^\| \[(.*?)\]\(([\w/-]+\.md)\)", body, re.MULTILINE)]
        parts.append({NAVIGATION[heading.lower()]: pages})
    for folder, title in WHOLE.items():
        pages = [{_title(file): f"{folder}/{file.name}"} for file in _listed(source / folder)]
        parts.append({title: [{f"All {folder}": f"{folder}/index.md"}, *pages]})
    return [*parts, {"Contributing": "contributing.md"}]


def pages_of(parts: object) -> set[str]:
    """The paths that a navigation names."""
    if isinstance(parts, str):
        return {parts}
    inner = parts.values() if isinstance(parts, dict) else parts
    assert isinstance(inner, list) or isinstance(parts, dict)
    return {page for part in inner for page in pages_of(part)}


def write(folder: Path) -> None:
    """Write the site's source and configuration into a folder.

    Raises:
        ValueError: docs/README.md leaves a page out.
    """
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns("site", "*.py", "__pycache__"))
    for kind, title in WHOLE.items():
        lines = [f"- [{_title(file)}]({file.name})" for file in _listed(source / kind)]
        (source / kind / "index.md").write_text("\n".join([f"# {title}", "", *lines, ""]))
    contributing = (ROOT / "CONTRIBUTING.md").read_text().replace("](docs/decisions)", "](decisions/index.md)")
    (source / "contributing.md").write_text(contributing.replace("](docs/", "]("))
    for page in source.rglob("*.md"):
        text = page.read_text().replace("](../../CONTRIBUTING.md", "](../contributing.md")
        page.write_text(re.sub(rf"\]\(((?:\.\./)*(?:{'|'.join(WHOLE)}))/?\)", r"](\1/index.md)", text))

    parts = navigation((ROOT / "docs" / "README.md").read_text(), source)
    left_out = {page.relative_to(source).as_posix() for page in source.rglob("*.md")} - pages_of(parts)
    if left_out:
        raise ValueError(f"docs/README.md: no row for {', '.join(sorted(left_out))}; add one to the table of its kind")
    (folder / "zensical.toml").write_text(CONFIGURATION.format(navigation=_inline(parts)))


def _listed(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.md") if file.name not in ("README.md", "index.md"))


def _title(page: Path) -> str:
    return page.read_text().partition("\n")[0].removeprefix("# ").strip()


def _inline(part: object) -> str:
    """A value as TOML; strings are written alike in JSON."""
    if isinstance(part, list):
        return f"[{', '.join(map(_inline, part))}]"
    if isinstance(part, dict):
        return f"{{{', '.join(f'{json.dumps(name)} = {_inline(value)}' for name, value in part.items())}}}"
    return json.dumps(part, ensure_ascii=False)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    try:
        write(target)
    except ValueError as error:
        sys.exit(str(error))
