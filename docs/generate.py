"""Write what follows from code: parts of the reference pages, and satctl's manual page. A test holds them against it.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; all else on a page is written by hand.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from satcommon.db.engine import engine_of
from satcommon.environment import Environment
from satcommon.publication.row_columns import DETAILS, row_schema
from satcommon.raster.band_names import known_name
from satcommon.raster.indices import INDICES, LETTERS
from satcommon.raster.layers import ALL_BANDS, FURTHER
from satcommon.raster.pixel_checks import CHECKS
from satcommon.settings import PREFIX, Settings
from satcommon.sources import stac_config
from satcommon.stats.data_dictionary import meaning_of
from satcommon.stats.result_rows import SCHEMA
from satcommon.telemetry.metrics import API_METRICS, METRICS
from satctl.main import main as satctl
from satserve.app import make_app

sys.path.insert(0, str(Path(__file__).parent))  # for who loads this file by its path
from chart_values import chart_values
from man_page import FILE as MAN_PAGE
from man_page import man_page
from python_api import error_tree, python_api

REFERENCE = Path(__file__).parent / "reference"
ALERTS = Path(__file__).parents[1] / "k8s" / "alerts"
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings(*, simulated: bool) -> Iterator[str]:
    """The table of settings: those of the simulated satellite, or all others."""
    yield "| variable | default | what it is |"
    yield "|---|---|---|"
    for name, field in Settings.model_fields.items():
        if name.startswith("simulated_") == simulated:
            default = field.default
            default = f"{default:g}" if isinstance(default, float) else default
            shown = "" if default in (PydanticUndefined, None, "") else f"`{default}`"
            yield f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |"


def commands(group: click.Group, path: str) -> Iterator[str]:
    """A row for each command, with the first sentence of its help."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"| `{path} {name}` | {command.get_short_help_str(200)} |"


def keys(model: type[BaseModel]) -> Iterator[str]:
    """The table of a configuration's keys."""
    yield "| key | default | what it is |"
    yield "|---|---|---|"
    for name, field in model.model_fields.items():
        default = field.default
        shown = "" if field.is_required() or default in (None, "") or isinstance(default, BaseModel | list) else default
        text = f"`{json.dumps(shown)}`" if shown != "" else "required" if field.is_required() else ""
        yield f"| `{field.alias or name}` | {text} | {field.description} |"


def checks() -> Iterator[str]:
    """A row for each radiometric check."""
    yield "| check | found within the region | means | limit |"
    yield "|---|---|---|---|"
    for check in CHECKS:
        yield f"| `{check.name}` | {check.found} | {check.means} | {check.limit} |"


def bands() -> Iterator[str]:
    """A row for each band, with what archives call it."""
    yield "| band | letter | Sentinel-2 | Landsat 8, 9 | Landsat 4 to 7 | read |"
    yield "|---|---|---|---|---|---|"
    letters = {band: letter for letter, band in LETTERS.items()}
    for band in ALL_BANDS:
        names = []
        for platform, candidates in (
            ("sentinel-2", [*(f"B{n:02}" for n in range(1, 13)), "B8A"]),
            ("landsat-8", [f"B{n}" for n in range(1, 12)]),
            ("landsat-5", [f"B{n}" for n in range(1, 8)]),
        ):
            names.append(", ".join(f"`{name}`" for name in candidates if known_name(name, platform) == band))
        read = "on request" if band in FURTHER else "always"
        yield f"| `{band}` | {letters.get(band, '')} | {' | '.join(names)} | {read} |"


def indices() -> Iterator[str]:
    """A row for each index."""
    yield "| index | in words | domain | formula | constants | source |"
    yield "|---|---|---|---|---|---|"
    for column, index in INDICES.items():
        constants = ", ".join(f"{name} = {value:g}" for name, value in index.constants.items())
        told = f"{index.long_name} | {index.domain} | `{index.formula}` | {constants}"
        source = index.reference.replace("(", "%28").replace(")", "%29")
        yield f"| `{column}` | {told} | [{index.name}]({source}) |"


def columns(first: str, last: str) -> Iterator[str]:
    """A row for each column of every row from one to another, or of those that only exports and answers have."""
    schema = [*SCHEMA, *list(row_schema())[len(SCHEMA) :], *DETAILS]
    names = [column.name for column in schema]
    yield "| column | type | unit | range | since | what it is |"
    yield "|---|---|---|---|---|---|"
    for column in schema[names.index(first) : names.index(last) + 1]:
        meaning = meaning_of(column.name)
        told = f"{meaning.unit or ''} | {meaning.range_in_words or ''} | {meaning.since} | {meaning.meaning}"
        yield f"| `{column.name}` | {column.type} | {told} |"


def metrics() -> Iterator[str]:
    """A row for each metric."""
    yield "| metric | type | unit | labels | collector | what it is |"
    yield "|---|---|---|---|---|---|"
    for metric in (*METRICS, *API_METRICS):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        told = f"{metric.kind.value} | {metric.unit} | {labels} | {metric.collector} | {metric.help}"
        yield f"| `{metric.name}` | {told} |"


def http_api() -> Iterator[str]:
    """Each operation of the HTTP API, with its parameters and formats."""
    document = make_app(Environment(Settings(), engine_of(Settings()))).openapi()
    for path, methods in document["paths"].items():
        operation = methods["get"]
        answer = operation["responses"].get("200", {}).get("content", {})
        yield f"## {operation['summary']}"
        yield ""
        yield f"`GET {path}`"
        yield ""
        yield operation["description"]
        yield ""
        yield f"Answers: {', '.join(f'`{kind}`' for kind in answer)}."
        yield ""
        if parameters := operation.get("parameters", []):
            yield "| parameter | in | what it is |"
            yield "|---|---|---|"
            yield from (f"| `{each['name']}` | {each['in']} | {each['description']} |" for each in parameters)
            yield ""


def alerts() -> Iterator[str]:
    """A row for each alert; one of two severities has two."""
    yield "| alert | severity | fires when | for |"
    yield "|---|---|---|---|"
    for file in sorted(ALERTS.glob("*.yaml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    name, summary = rule["alert"], rule["annotations"]["summary"]
                    summary = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"*\1*", summary)
                    page = f"[{name}](../runbooks/{name}.md)"
                    yield f"| {page} | {rule['labels']['severity']} | {summary} | {rule.get('for', '')} |"


def alert_settings() -> Iterator[str]:
    """A row for each setting of the rules."""
    yield "| recording rule | default |"
    yield "|---|---|"
    (group, *_) = yaml.safe_load((ALERTS / "slo.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]:
        yield f"| `{rule['record']}` | {rule['expr'].removeprefix('vector(').removesuffix(')')} |"


PARTS = {
    "alerts": alerts,
    "alert_settings": alert_settings,
    "bands": bands,
    "indices": indices,
    "columns_of_what": lambda: columns("region", "status"),
    "columns_seen": lambda: columns("observed_fraction", "inside_fraction"),
    "columns_numbers": lambda: columns("ndvi_mean", "lwir11_mean"),
    "columns_state": lambda: columns("planting_date", "state_ndvi_e4"),
    "columns_inputs": lambda: columns("item_ids", "algorithm_version"),
    "columns_added": lambda: columns("final", "area_ha"),
    "metrics": metrics,
    "http_api": http_api,
    "checks": checks,
    "chart_platform": lambda: chart_values("platform"),
    "chart_location": lambda: chart_values("code-location"),
    "chart_api": lambda: chart_values("api"),
    "python_api": python_api,
    "errors": error_tree,
    "stac": lambda: keys(stac_config.StacConfig),
    "stac_collection": lambda: keys(stac_config.Collection),
    "stac_asset": lambda: keys(stac_config.BandAsset),
    "stac_mask": lambda: keys(stac_config.Mask),
    "stac_header": lambda: keys(stac_config.Header),
    "stac_signing": lambda: keys(stac_config.Signing),
    "stac_storage": lambda: keys(stac_config.Storage),
    "stac_requests": lambda: keys(stac_config.Requests),
    "settings": lambda: settings(simulated=False),
    "simulated": lambda: settings(simulated=True),
    "commands": lambda: ["| command | what it does |", "|---|---|", *commands(satctl, "satctl")],
}


def generated(page: str) -> str:
    """A page with its generated parts as the code gives them now."""
    return _PART.sub(lambda part: f"{part[1]}\n{chr(10).join(PARTS[part[2]]())}\n\n{part[3]}", page)


if __name__ == "__main__":
    for path in sorted(REFERENCE.glob("*.md")):
        path.write_text(generated(path.read_text(encoding="utf-8")), encoding="utf-8")
    MAN_PAGE.write_text(man_page(), encoding="utf-8")
