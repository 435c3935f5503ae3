"""No secret in a line, whatever brings it there: real errors of the database, of obstore and of requests."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
import requests
from obstore.store import S3Store
from satcommon.telemetry import logs
from satcommon.telemetry.redaction import HIDDEN, Redactor, secrets_of
from sqlalchemy import create_engine, text

PASSWORD, KEY, SIGNATURE = 'Pa"ss/wo@rd\\9', "planted+key/0123456789", "planted%2Bsignature%3D"
ENVIRONMENT = {
    "SATFIELDS_DATABASE_URL": "postgresql://user:Pa%22ss%2Fwo%40rd%5C9@127.0.0.1:1/satfields",
    "AWS_SECRET_ACCESS_KEY": KEY,
    "AWS_ACCESS_KEY_ID": "planted-key-id",
    "EARTHDATA_TOKEN": "short",
    "TOKEN_FILE": "/var/run/token",
    "PATH": "/usr/bin",
}


def test_what_an_environment_holds_as_secret_is_told_by_names_and_addresses() -> None:
    found = secrets_of(ENVIRONMENT)

    assert found == {PASSWORD, "Pa%22ss%2Fwo%40rd%5C9", KEY, "planted-key-id", "short"}


def test_secrets_in_files_that_an_environment_names_are_hidden_too(tmp_path: Path) -> None:
    url, key = tmp_path / "url", tmp_path / "key"
    url.write_text("postgresql://user:planted-word@db/x\n")
    key.write_text(KEY)
    given = {"SATFIELDS_DATABASE_URL_FILE": str(url), "AWS_SECRET_ACCESS_KEY_FILE": str(key), "SSL_CERT_FILE": str(url)}

    assert secrets_of({**given, "OTHER_TOKEN_FILE": str(tmp_path / "gone")}) == {"planted-word", KEY}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("at postgresql://user:Pa%22ss%2Fwo%40rd%5C9@db/x", f"at postgresql://user:{HIDDEN}@db/x"),
        ("at postgresql://user:another@db/x", f"at postgresql://user:{HIDDEN}@db/x"),
        ("at postgresql://user:an@other/one@db/x", f"at postgresql://user:{HIDDEN}@db/x"),
        ("at https://a.b/c?sv=1&sig=abc%3D&se=2", f"at https://a.b/c?sv=1&sig={HIDDEN}&se=2"),
        (
            "x.tif?X-Amz-Signature=ab12&X-Amz-Credential=k/1",
            f"x.tif?X-Amz-Signature={HIDDEN}&X-Amz-Credential={HIDDEN}",
        ),
        ("{'Authorization': 'Bearer abc.def'}", f"{{'Authorization': '{HIDDEN}'}}"),
        ("authorization: Basic dXNlcjpw", f"authorization: {HIDDEN}"),
        ("AWS4-HMAC-SHA256 Credential=A/1, Signature=ff", f"AWS4-HMAC-SHA256 Credential={HIDDEN}, Signature={HIDDEN}"),
        ("connect: host=db password=x1 user=me", f"connect: host=db password={HIDDEN} user=me"),
        ("a Bearer abcdefghij of others", f"a Bearer {HIDDEN} of others"),
        ("a short story of the shortest day", f"a {HIDDEN} story of the shortest day"),
        (f"key {KEY}!", f"key {HIDDEN}!"),
    ],
)
def test_secrets_are_hidden_and_the_rest_stays(said: str, shown: str) -> None:
    assert Redactor(secrets_of(ENVIRONMENT)).text(said) == shown


@pytest.mark.parametrize(
    "said",
    [
        "region A 2026-05-01: 12 rows in 3.5 s, s3://bucket/prefix/results/1.parquet?versionId=3",
        "the key 'results/1.parquet' of https://a.b:443/c?limit=10&token_type=x; see satctl status",
        "http://localhost:3002/runs/1 at user@host: a=b",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    assert Redactor(secrets_of(ENVIRONMENT)).text(said) == said


def test_what_a_key_calls_secret_is_hidden_however_deep_it_lies() -> None:
    nested = {"headers": [{"x-api-key": "abc", "Authorization": b"raw"}], "rows": 3, "error": ValueError(KEY)}

    shown = Redactor([KEY]).value(nested)

    assert shown["headers"][0]["Authorization"] == HIDDEN
    assert (shown["rows"], shown["error"]) == (3, HIDDEN)


def _database() -> None:
    with create_engine(f"postgresql+psycopg://u:{SIGNATURE}@127.0.0.1:1/x").connect() as connection:
        connection.execute(text("select 1"))


def _database_text() -> None:
    raise RuntimeError(f"could not connect to postgresql://u:{ENVIRONMENT['SATFIELDS_DATABASE_URL']} ({PASSWORD})")


def _obstore() -> None:
    endpoint = f"http://127.0.0.1:1/{KEY}"
    retries = {"max_retries": 0}
    store = S3Store(
        "bucket", endpoint=endpoint, access_key_id="id", secret_access_key=KEY, region="r", retry_config=retries,  # type: ignore[arg-type]
        client_options={"allow_http": True},
    )  # fmt: skip
    obstore.head(store, f"x?sig={SIGNATURE}")


def _requests() -> None:
    requests.get(
        f"http://u:{KEY}@127.0.0.1:1/a.tif?se=2026&sig={SIGNATURE}",
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=1,
    )


@pytest.mark.parametrize("fails", [_database, _database_text, _obstore, _requests])
@pytest.mark.parametrize("form", ["json", "console"])
def test_an_error_with_its_traceback_tells_no_secret(
    fails: Callable[[], None], form: logs.Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    logs.forget()
    formatter = logs.Formatter(form)

    try:
        fails()
    except Exception as error:  # noqa: BLE001  # whatever each library raises
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "failed with %s: %s", (ENVIRONMENT, error), sys.exc_info()
        )
    line = formatter.format(record)

    assert "127.0.0.1" in line
    assert "Traceback" in line
    for secret in (PASSWORD, json.dumps(PASSWORD)[1:-1], "Pa%22ss", KEY, SIGNATURE, "planted-key-id"):
        assert secret not in line
    logs.forget()
