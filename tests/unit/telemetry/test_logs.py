"""Lines: one format for our code, libraries and Dagster, with the keys of the work that is under way."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from satcommon.settings import settings
from satcommon.telemetry import logs
from satcommon.telemetry.work import bound, work


@pytest.fixture(autouse=True)
def json_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """JSON, of a process that has said nothing yet."""
    monkeypatch.setenv("SATFIELDS_LOG_FORMAT", "json")
    settings.cache_clear()
    logs.forget()
    logger = logging.getLogger("satcommon.telemetry")
    handler = logs.StandardError()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logs.forget()


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.readouterr().err.splitlines()]


def test_work_binds_its_keys_and_ends_with_a_line_of_its_duration(capsys: pytest.CaptureFixture[str]) -> None:
    with bound(run="r1", attempt=None), work("day closed", region='a"b', day="2026-05-01") as told:
        logging.getLogger("satcommon.telemetry.x").warning("half of %s", "it")
        told["rows"] = 7

    half, whole = lines(capsys)

    assert half.items() >= {"event": "half of it", "level": "warning", "region": 'a"b', "run": "r1"}.items()
    assert whole.items() >= {"event": "day closed", "day": "2026-05-01", "rows": 7, "run": "r1"}.items()
    assert whole["duration_s"] >= 0
    assert "attempt" not in whole


def test_work_that_fails_says_so_and_why_and_raises(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no such"), work("day closed", region="A"):
        raise ValueError("no such band")

    (line,) = lines(capsys)

    assert line["event"] == "day closed: failed"
    assert (line["error"], line["reason"], line["level"]) == ("ValueError", "no such band", "warning")


def test_keys_end_with_their_work(capsys: pytest.CaptureFixture[str]) -> None:
    with work("first", region="A"):
        pass
    with work("second"):
        pass

    first, second = lines(capsys)

    assert first["region"] == "A"
    assert "region" not in second


def test_a_terminal_has_readable_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_LOG_FORMAT", "console")
    settings.cache_clear()

    with work("day closed", region="A"):
        pass

    assert "[info     ] day closed" in (said := capsys.readouterr().err)
    assert "region=A" in said


@pytest.mark.parametrize(
    ("pod", "terminal", "form"), [("10.0.0.1", False, "json"), ("10.0.0.1", True, "console"), (None, False, "console")]
)
def test_unless_it_is_set_a_pod_without_a_terminal_has_json(
    pod: str | None, terminal: bool, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SATFIELDS_LOG_FORMAT")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", pod)
    settings.cache_clear()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)

    assert logs.chosen_format(sys.stderr) == form


def test_a_wrong_setting_ends_no_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_LOG_FORMAT", "xml")
    settings.cache_clear()

    with work("told"):
        pass

    assert "told" in capsys.readouterr().err


def test_configuring_loads_no_structlog_until_the_first_line() -> None:
    code = (
        "import sys, logging; from satcommon.telemetry.logs import configure; configure('ingest')\n"
        "assert 'structlog' not in sys.modules\n"
        "logging.getLogger('obstore').warning('a library'); logging.getLogger('satcommon.x').info('ours')\n"
        "logging.getLogger('obstore').info('not this'); assert 'structlog' in sys.modules"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr

    first, second = map(json.loads, said.splitlines())
    assert (first["event"], first["logger"], first["location"]) == ("a library", "obstore", "ingest")
    assert (second["event"], second["level"]) == ("ours", "info")
