"""Changes by HTTP are those of `satctl changes`, however they are cut into pages."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.satserve.serving import Served, satctl

AGES_AGO = "2020-01-01T00:00:00Z"


def by_command(service: Served, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(satctl(service, monkeypatch, "changes", *arguments, "--json"))
    return found


def by_pages(service: Served, **given: Any) -> tuple[list[dict[str, Any]], str, int]:
    rows, pages = [], 0
    while True:
        page = service.json("/changes", **given)
        rows += page["changes"]
        pages += 1
        following = [each["href"] for each in page["links"] if each["rel"] == "next"]
        if not following:
            return rows, page["cursor"], pages
        given = {name: values[0] for name, values in parse_qs(urlsplit(following[0]).query).items()}


@pytest.mark.parametrize("limit", [7, 10_000])
def test_pages_of_any_size_are_what_the_command_lists(
    service: Served, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = service.before.isoformat()
    told = by_command(service, monkeypatch, "--since", since)

    rows, cursor, pages = by_pages(service, since=since, limit=limit)

    assert rows == told["changes"]
    assert len(rows) > 7
    assert (pages > 1) == (limit == 7)
    assert by_pages(service, cursor=cursor)[0] == []
    assert by_command(service, monkeypatch, "--since", cursor)["changes"] == []


def test_first_publications_and_single_fields_and_columns_come_when_asked_for(
    on_sqlite: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ["--new", "--field", "north", "--column", "ndvi_mean", "--column", "status"]
    told = by_command(on_sqlite, monkeypatch, "--since", AGES_AGO, *chosen)

    rows, _, _ = by_pages(on_sqlite, since=AGES_AGO, new="true", field="north", column="ndvi_mean,status", limit=3)

    assert rows == told["changes"]
    assert {row["before"] for row in rows} >= {None}


def test_without_a_start_it_gives_the_cursor_of_now(on_sqlite: Served) -> None:
    page = on_sqlite.json("/changes")

    assert page["changes"] == []
    assert page["cursor"] == by_pages(on_sqlite, since=AGES_AGO, limit=10_000)[1]
