"""Shell completion: names of regions and webhooks and ids of fields, from the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from satcommon.errors import SatfieldsError

if TYPE_CHECKING:
    from sqlalchemy.orm import InstrumentedAttribute

_MOST = 100  # names that are offered; a shell shows a page


def region_names(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The names of regions with this beginning; none where the database fails, since a shell shows no errors."""
    from satcommon.db.models import Region

    return _beginning(Region.name, begun)


def field_ids(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The external ids of fields with this beginning; none where the database fails."""
    from satcommon.db.models import Field

    return _beginning(Field.external_id, begun)


def webhook_names(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The names of webhooks with this beginning; none where the database fails."""
    from satcommon.db.models import Webhook

    return _beginning(Webhook.name, begun)


def _beginning(column: InstrumentedAttribute[str], begun: str) -> list[str]:
    from satcommon.db.engine import read_transaction
    from sqlalchemy import select

    from satctl.opening import opened

    statement = select(column).where(column.startswith(begun, autoescape=True)).order_by(column).limit(_MOST)
    try:
        with opened() as env, read_transaction(env.engine) as connection:
            return list(connection.execute(statement).scalars())
    except SatfieldsError:
        return []
