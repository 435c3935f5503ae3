"""`satctl columns`: the data dictionary."""

from __future__ import annotations

import click
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.stats.algorithm import CURRENT, algorithm

from satctl.completion import region_names
from satctl.opening import opened
from satctl.output.tables import print_json, print_table
from satctl.parameters import json_option, wide_option


@click.command()
@click.argument("region", required=False, shell_complete=region_names)
@wide_option
@json_option
def columns(region: str | None, wide: bool, as_json: bool) -> None:
    """Show the columns of rows: unit, range and meaning of each, and since which algorithm version it is there.

    With a region, the columns of its algorithm version, with those of the further indices and bands that it asks for;
    without one, those of the version that new regions get. Rows of an earlier version of the region may lack some.

    Types are those of exported Parquet files. --json has them, and each unit as UDUNITS writes it. The columns that
    `satctl export --field-details` adds come last.

    \b
    Examples:
      satctl columns
      satctl columns A --json
    """
    from satcommon.publication.row_columns import DETAILS, column_meaning, row_schema
    from satcommon.stats.result_rows import further_columns

    rules = algorithm(_version(region))
    schema = [*row_schema(further_columns(rules.indices, rules.further_bands)), *DETAILS]
    known = [(column, meaning) for column in schema if (meaning := column_meaning(column)) is not None]
    if as_json:
        print_json(
            [{"name": c.name, "type": str(c.type), "units": meaning.units, **meaning._asdict()} for c, meaning in known]
        )
        return
    print_table(
        ("column", "unit", "range", "since", "meaning"),
        [(c.name, m.unit, m.range_in_words, m.since, m.meaning) for c, m in known],
        spare=("since", "range"),
        wide=wide,
    )


def _version(region: str | None) -> str:
    if region is None:
        return CURRENT
    with opened() as env, read_transaction(env.engine) as connection:
        return registry.region(connection, region).algorithm_version
