"""`satctl locations`: the code locations that Dagster has loaded, through its webserver."""

from __future__ import annotations

import click

from satctl.dagster_api import graphql
from satctl.output.tables import print_json, print_table, progress, say
from satctl.parameters import json_option, url_option


@click.group()
def locations() -> None:
    """List and reload Dagster's code locations."""


@locations.command(name="list")
@url_option
@json_option
def list_locations(url: str, as_json: bool) -> None:
    """List the code locations.

    Exit code 1 if one is broken.

    \b
    Examples:
      satctl locations list
      satctl locations list --url https://dagster.example.org --json
    """
    states = graphql.location_states(url)
    words = {graphql.LOADED: "loaded", graphql.LOADING: "loading"}
    states_of_all = [
        {"name": name, "state": words.get(state, "broken"), "error": None if state in words else state}
        for name, state in sorted(states.items())
    ]
    if as_json:
        print_json(states_of_all)
    elif states_of_all:
        print_table(("location", "state", "error"), [tuple(location.values()) for location in states_of_all])
    else:
        say(f"Dagster at {graphql.public(url)} has no code locations")
    if any(location["state"] == "broken" for location in states_of_all):
        raise click.exceptions.Exit(1)


@locations.command()
@click.argument("name")
@url_option
def reload(name: str, url: str) -> None:
    """Reload a code location.

    \b
    Examples:
      satctl locations reload realtime
    """
    with progress(f"reloading {name}"):
        graphql.reload_location(url, name)
    say(f"reloaded {name}")
