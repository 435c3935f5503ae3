"""Every expression of alerts and dashboards names metrics and labels that there are, and every alert has its page."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
from satcommon.telemetry.metrics import BY_NAME

from tests.alerts.rules import ROOT, alerts, groups, rules

DASHBOARDS = sorted((ROOT / "k8s" / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs" / "runbooks"
OF_TARGET = {"job", "namespace"}  # that Prometheus adds, and rules keep
RECORDED = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
PROMETHEUS = {"ALERTS": {"alertname", "alertstate", "severity", "region"}}
KEPT = re.compile(r"\bby \(([^)]*)\)")


def of_dashboards() -> Iterator[tuple[str, str, str]]:
    """Dashboard and panel, expression, and legend."""
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{file.stem}: {panel['title']}", target["expr"], target["legendFormat"]


def of_variables() -> Iterator[tuple[str, str]]:
    """Dashboard and variable, and an expression of the metric and the label whose values it offers."""
    for file in DASHBOARDS:
        for variable in json.loads(file.read_text())["templating"]["list"]:
            if variable["type"] == "query":
                query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
                assert query is not None, variable["query"]
                yield f"{file.stem}: ${variable['name']}", f"group by ({query[2]}) ({query[1]})"


EXPRESSIONS = [(str(rule.get("alert", rule.get("record"))), str(rule["expr"])) for rule in rules()]
EXPRESSIONS += [(where, expression) for where, expression, _ in of_dashboards()]
EXPRESSIONS += of_variables()


def labels_of(metric: str) -> set[str]:
    """The labels that a metric has in Prometheus."""
    if metric in BY_NAME:  # Prometheus has a `job` of its own, and calls that of the exporter otherwise
        return {"exported_job" if label == "job" else label for label in BY_NAME[metric].labels} | OF_TARGET
    if metric in RECORDED:
        return {label for names in KEPT.findall(RECORDED[metric]) for label in names.split(", ")} | OF_TARGET
    return PROMETHEUS[metric]


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """The metrics that an expression reads."""
    if isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, promql_parser.VectorSelector):
        yield node
    else:
        parts = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "param")]
        for part in [*parts, *(getattr(node, "args", None) or ())]:
            if part is not None and not isinstance(part, str):
                yield from selectors(part)


def problems(expression: str, used: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with an expression: metrics that there are not, labels that none of its metrics has."""
    found = list(selectors(promql_parser.parse(expression.replace("$region", "A").replace("$location", "A"))))
    assert found or expression.startswith("vector("), expression
    wrong = [f"no metric {each.name}" for each in found if each.name not in {*BY_NAME, *RECORDED, *PROMETHEUS}]
    if wrong:
        return wrong
    for each in found:
        names = {matcher.name for matcher in each.matchers.matchers}
        wrong += [f"{each.name} has no label {name}" for name in names - labels_of(str(each.name))]
    known = set().union(*(labels_of(str(each.name)) for each in found)) if found else OF_TARGET
    grouped = re.findall(r"\b(?:by|on|without|ignoring|group_left|group_right) ?\(([^)]*)\)", expression)
    named = {label.strip() for names in grouped for label in names.split(",") if label.strip()} | used
    return [*wrong, *(f"none has a label {name}" for name in sorted(named - known))]


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_that_there_are(where: str, expression: str) -> None:
    assert problems(expression) == [], where


def test_a_wrong_expression_is_found() -> None:
    assert problems("satfields_fresh_seconds") == ["no metric satfields_fresh_seconds"]
    assert problems('satfields_up{colector="x"}') == ["satfields_up has no label colector"]
    assert problems("max by (field) (satfields_up)") == ["none has a label field"]
    assert problems("satfields_runs", frozenset({"job"})) == []


def test_legends_and_texts_name_labels_that_their_expression_has() -> None:
    for where, expression, legend in of_dashboards():
        assert problems(expression, frozenset(re.findall(r"\{\{(\w+)\}\}", legend))) == [], where
    for rule in alerts():
        texts = " ".join(rule["annotations"].values())
        assert problems(rule["expr"], frozenset(re.findall(r"\$labels\.(\w+)", texts))) == [], rule["alert"]


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"

    assert {page.stem for page in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in alerts()}
    for page in RUNBOOKS.glob("*.md"):
        text = page.read_text()
        assert text.startswith(f"# {page.stem}\n")
        assert re.findall("^## (.*)$", text, re.MULTILINE) == ["See", "Do", "Do not"], page.name


def test_every_alert_says_what_to_do_with_it() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, rule["alert"]


def test_groups_and_alerts_of_one_severity_have_names_of_their_own() -> None:
    named = [(rule["alert"], rule["labels"]["severity"]) for rule in alerts()]

    assert len(named) == len(set(named))
    assert len({group["name"] for group in groups()}) == len(list(groups()))


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_what_its_list_of_panels_gives_and_names_no_datasource(file: Any) -> None:
    spec = importlib.util.spec_from_file_location("make_dashboards", ROOT / "k8s" / "make_dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    board = json.loads(file.read_text())

    assert file.read_text() == made.text(file.stem), "run `make dashboards`"
    assert {found.stem for found in DASHBOARDS} == made.BOARDS.keys()
    assert set(re.findall(r'"uid": "([^"]*)"', file.read_text())) == {board["uid"], "${datasource}"}
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert all(panel["description"] and panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    variable = board["templating"]["list"][1]["name"]
    assert f'=~"${variable}"' in json.dumps(panels).replace("\\", "")
