"""Who sees what: keys, regions, rates."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from satcommon.db import api_keys
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import ApiKey
from satcommon.environment import Environment
from satcommon.publication import cursor as cursors
from satserve.rate_limit import Rates
from sqlalchemy import select

from tests.unit.satserve.serving import LAST, Served, served

PROXIED = {"x-forwarded-for": "127.0.0.1"}
AGES_AGO = "2020-01-01T00:00:00Z"
FOREIGN = [
    "/collections/fields/items/far",
    "/collections/field_metrics/locations/far",
    "/collections/regions/items/T",
    "/regions/T",
    "/regions/T/misses",
    f"/regions/T/days/{LAST}",
    f"/regions/T/days/{LAST}/columns/ndvi_mean",
    f"/fields/far/history?day={LAST}",
    f"/fields/north/history?day={LAST}&region=T",
    f"/changes?since={AGES_AGO}&field=far",
]


def secret(service: Served, name: str) -> list[str]:
    with read_transaction(service.environment.engine) as connection:
        return list(connection.execute(select(getattr(ApiKey, name))).scalars())


def test_a_key_is_kept_as_a_digest_alone(service: Served) -> None:
    key = service.key("S")

    assert re.fullmatch(r"sf_[0-9a-f]{16}_[\w-]{43}", key)
    kept = [value for name in ("key_id", "name", "digest") for value in secret(service, name)]
    assert not [value for value in kept if key.split("_", 2)[2] in value]


@pytest.mark.parametrize("path", FOREIGN)
def test_what_is_of_another_region_is_not_there_word_for_word_as_what_never_was(on_sqlite: Served, path: str) -> None:
    key = on_sqlite.key("S")
    nowhere = path.replace("far", "fxr").replace("/T", "/U").replace("region=T", "region=U")

    foreign, missing = on_sqlite.get(path, key), on_sqlite.get(nowhere, key)

    assert on_sqlite.get(path).status_code == 200  # it is there, for whom it may concern
    assert (foreign.status_code, missing.status_code) == (404, 404)
    told = foreign.text.replace("far", "fxr").replace("'T'", "'U'")
    assert told == missing.text
    names = {"date", "content-length"}
    assert {k for k in foreign.headers if k not in names} == {k for k in missing.headers if k not in names}


def test_lists_have_what_the_key_may_see(service: Served) -> None:
    key = service.key("S")

    fields = service.json("/collections/fields/items", key)["features"]
    regions = service.json("/collections/regions/items", key)["features"]
    summaries = service.json("/regions", key)["regions"]
    changes = service.json("/changes", key, since=AGES_AGO, new="true")["changes"]
    extent = service.json("/collections", key)["collections"][0]["extent"]["spatial"]["bbox"]

    assert sorted(each["id"] for each in fields) == ["=1+1", "a/b ü", "border", "north"]
    assert {name for each in fields for name in each["properties"]["regions"]} == {"S"}
    assert [each["id"] for each in regions] == [each["region"] for each in summaries] == ["S"]
    assert {each["region"] for each in changes} == {"S"}
    assert extent == [[-94.3, 40.3, -94.0, 40.6]]


def test_a_cursor_tells_nothing_of_other_regions(service: Served) -> None:
    key = service.key("S")
    cursor = service.json("/changes", key)["cursor"]

    with read_transaction(service.environment.engine) as connection:
        whole = cursors.encode(connection, cursors.newest(connection))
        assert set(cursors.decode(connection, cursor)) == {1}
    assert service.json("/changes", key, cursor=whole)["cursor"] == cursor


def test_a_field_of_two_regions_is_read_in_the_one_that_the_key_may_see(on_sqlite: Served) -> None:
    path = "/collections/field_metrics/locations/border"

    assert on_sqlite.json(path, f="json")["region"] == "T"  # its home
    assert on_sqlite.json(path, on_sqlite.key("S"), f="json")["region"] == "S"


def test_who_has_no_key_is_let_in_from_this_machine_alone(on_sqlite: Served) -> None:
    assert on_sqlite.get("/regions").status_code == 200
    for headers in (PROXIED, {"forwarded": "for=127.0.0.1"}, {"via": "1.1 proxy"}, {"host": "evil.example"}):
        response = on_sqlite.get("/regions", headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert response.headers["content-type"] == "application/problem+json"
    assert on_sqlite.get("/health/ready", headers=PROXIED).status_code == 200
    assert on_sqlite.get("/regions", on_sqlite.key("S"), headers=PROXIED).status_code == 200


def test_expired_and_revoked_and_invented_keys_are_refused(service: Served) -> None:
    now = datetime.now(UTC)
    expired, revoked = service.key("S", expires_at=now - timedelta(seconds=1)), service.key("S")
    assert service.get("/regions", revoked).status_code == 200
    with write_transaction(service.environment.engine) as connection:
        assert api_keys.revoke_key(connection, revoked.split("_")[1], now)
        assert not api_keys.revoke_key(connection, revoked, now)
    guessed = revoked[:-1] + ("A" if revoked[-1] != "A" else "B")

    for key, said in ((expired, "expired at"), (revoked, "was revoked"), (guessed, "not one of"), ("x", "not one of")):
        response = service.get("/regions", key)
        assert response.status_code == 401
        assert said in response.json()["detail"]


def test_a_key_of_no_region_sees_nothing_of_the_metrics(on_sqlite: Served) -> None:
    assert on_sqlite.get("/metrics", on_sqlite.key("S")).status_code == 403
    assert "satserve_requests_total" in on_sqlite.get("/metrics", on_sqlite.key()).text


def limited(env: Environment, **settings: Any) -> Environment:
    return Environment(env.settings.model_copy(update=settings), env.engine)


def test_a_key_that_asks_too_often_is_told_how_long_to_wait(on_sqlite: Served) -> None:
    key, other = on_sqlite.key("S"), on_sqlite.key("S")
    with served(limited(on_sqlite.environment, api_rate=0.5), on_sqlite.before) as slow:
        codes = [slow.get("/conformance", key).status_code for _ in range(3)]
        response = slow.get("/conformance", key)

        assert codes[0] == 200
        assert response.status_code == 429
        assert 1 <= int(response.headers["retry-after"]) <= 3
        assert slow.get("/conformance", other).status_code == 200
        assert slow.get("/conformance").status_code == 200  # this machine's own


def test_a_bucket_fills_at_its_rate_and_holds_two_seconds() -> None:
    now = [0.0]
    rates = Rates(10.0, lambda: now[0])

    taken = sum(rates.take("a") == 0 for _ in range(100))
    wait = rates.take("a")
    now[0] = 0.5
    later = sum(rates.take("a") == 0 for _ in range(100))

    assert (taken, later) == (20, 5)
    assert wait == pytest.approx(0.1)


def test_public_means_without_a_key_from_anywhere(on_sqlite: Served) -> None:
    with served(limited(on_sqlite.environment, api_public=True), on_sqlite.before) as public:
        assert public.get("/regions", headers=PROXIED).status_code == 200
        assert public.get("/regions", "sf_wrong").status_code == 401


def test_pages_of_other_origins_are_let_in_by_the_setting_alone(on_sqlite: Served) -> None:
    asked = {"origin": "https://maps.example.org"}
    with served(limited(on_sqlite.environment, api_origins=asked["origin"]), on_sqlite.before) as open_to_one:
        allowed = open_to_one.get("/", headers=asked).headers
        other = open_to_one.get("/", headers={"origin": "https://evil.example"}).headers

    assert allowed["access-control-allow-origin"] == asked["origin"]
    assert "access-control-allow-origin" not in other
    assert "access-control-allow-origin" not in on_sqlite.get("/", headers=asked).headers
