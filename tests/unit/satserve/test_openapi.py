"""The OpenAPI document is what the service does: generated requests find no error, and no answer but those."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import hypothesis
import jsonschema
import pytest
import schemathesis
from satserve.examples import ANSWERS
from schemathesis.checks import content_type_conformance, not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.unit.satserve.serving import LAST, Served

HELD = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
KNOWN = {"region": "S", "day": str(LAST), "external_id": "north", "column": "ndvi_mean", "item": "north"}


def held(service: Served, examples: int) -> int:
    """Send generated requests to every operation, half of them of things that there are; gives how many."""
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    count = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        @hypothesis.given(case=operation.as_strategy(), known=hypothesis.strategies.booleans())
        def send(case: Any, known: bool) -> None:
            nonlocal count
            if known:
                case.path_parameters = {
                    name: KNOWN.get(name, value) for name, value in (case.path_parameters or {}).items()
                }
            case.call_and_validate(base_url=service.url, checks=HELD, timeout=60)
            count += 1

        send()
    return count


@pytest.mark.slow
def test_generated_requests_find_no_error_and_no_answer_that_is_not_told(on_sqlite: Served) -> None:
    assert held(on_sqlite, 12) >= 150


@pytest.mark.nightly
def test_a_hundred_thousand_generated_requests_find_none(on_sqlite: Served, on_postgresql: Served) -> None:
    assert held(on_sqlite, 4_800) + held(on_postgresql, 1_600) >= 100_000


def test_every_operation_says_what_it_is_and_every_parameter_too(on_sqlite: Served) -> None:
    document = on_sqlite.json("/openapi.json")

    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["description"], path
            assert operation["tags"], path
            for parameter in operation.get("parameters", []):
                assert parameter["description"], f"{path} {parameter['name']}"
            if not path.startswith("/health"):
                problem = operation["responses"]["400"]["content"]
                assert set(problem) == {"application/problem+json"}


def test_every_parameter_and_every_answer_of_json_has_an_example_that_its_schema_takes(on_sqlite: Served) -> None:
    document = on_sqlite.json("/openapi.json")
    seen = 0

    def check(example: Any, schema: dict[str, Any]) -> None:
        nonlocal seen
        whole = schema | {"components": document["components"]}
        jsonschema.validate(example, whole, jsonschema.Draft202012Validator)
        seen += 1

    for path, methods in document["paths"].items():
        for parameter in methods["get"].get("parameters", []):
            given = parameter["schema"].get("examples") or [parameter.get("example")]
            assert given != [None], f"{path} {parameter['name']}"
            check(given[0], parameter["schema"])
        for media_type, content in methods["get"]["responses"]["200"]["content"].items():
            if "json" in media_type:
                assert "example" in content, f"{path} {media_type}"
                check(content["example"], content["schema"])
    assert seen > 70


def test_examples_have_the_members_of_answers(on_sqlite: Served) -> None:
    paths = on_sqlite.json("/openapi.json")["paths"]
    for path, answers in ANSWERS.items():
        names = {name: quote(value, safe="") for name, value in (KNOWN | {"collection": "fields"}).items()}
        for media_type, example in answers.items():
            given = {"day": LAST} if path.endswith("/history") else {}
            answer = on_sqlite.get(path.format(**names), headers={"accept": media_type}, **given)
            assert answer.headers["content-type"].partition(";")[0] == media_type
            told = answer.json()
            assert example.keys() <= told.keys(), path
            assert path in paths


def test_the_schema_of_rows_says_unit_and_meaning_of_each_column(on_sqlite: Served) -> None:
    row = on_sqlite.json("/openapi.json")["components"]["schemas"]["Row"]["properties"]
    told = {column["name"]: column for column in on_sqlite.json("/columns")["columns"]}

    assert list(row) == list(told)
    assert all(row[name]["description"] == column["meaning"] for name, column in told.items())
    assert all(row[name].get("x-unit") == column["unit"] for name, column in told.items())
    assert row["lst_c_mean"]["x-units"] == "degC"
