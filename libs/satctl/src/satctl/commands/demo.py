"""`satctl demo`: the whole system on simulated scenes, from an empty folder to corrected late data."""

from __future__ import annotations

from pathlib import Path

import click

from satctl.local.demo import MARKER, run_demo


@click.command()
@click.option(
    "--home", type=click.Path(path_type=Path), default=Path(".satfields/demo"), show_default=True, help="Folder to use."
)
@click.option(
    "--stores",
    type=click.Choice(["laptop", "cluster"]),
    default="laptop",
    show_default=True,
    help="SQLite and a folder; or PostgreSQL and S3, started for the demo on this machine.",
)
def demo(home: Path, stores: str) -> None:
    """Show the whole system on simulated scenes, in about two minutes. The home folder is emptied first.

    \b
    Examples:
      satctl demo
      satctl demo --home /tmp/satfields-demo
      satctl demo --stores cluster
    """
    home = home.absolute()
    if home.exists() and any(home.iterdir()) and not (home / MARKER).exists():
        raise click.UsageError(
            f"{home} is neither empty nor the home of an earlier demo; name another folder with --home"
        )
    satctl = click.get_current_context().find_root().command
    run_demo(
        home,
        lambda *arguments: satctl.main(list(arguments), standalone_mode=False),
        on_cluster_stores=stores == "cluster",
    )
