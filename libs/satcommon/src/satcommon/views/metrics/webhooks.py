"""How far the receivers of webhooks were told, and since when they fail."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime

from sqlalchemy import Connection, case, func, select

from satcommon.db.models import Delivery, Publication, Webhook
from satcommon.telemetry.metrics import Sample
from satcommon.views.metrics.capped import capped

STATES = ("told", "behind", "failing", "dead")


def webhook_samples(connection: Connection, limit: int, now: datetime) -> list[Sample]:
    """The samples of the collector `webhooks`.

    Args:
        connection: of a read transaction.
        limit: how many webhooks have series of their own: those that are furthest behind.
        now: the present.
    """
    untold = (Publication.bbox_id == Delivery.bbox_id, Publication.sequence > Delivery.position)
    untold_since = select(func.min(Publication.committed_at)).where(*untold).scalar_subquery()
    waiting_here = select(func.count()).select_from(Publication).where(*untold).scalar_subquery()
    state = case(
        (Delivery.dead_at.is_not(None), "dead"),
        (Delivery.failing_since.is_not(None), "failing"),
        (untold_since.is_not(None) | Delivery.resync.is_not(None), "behind"),
        else_="told",
    )
    columns = (Webhook.name, state.label("state"), Delivery.failing_since, untold_since.label("untold_since"))
    statement = select(*columns, waiting_here.label("waiting")).join(
        Delivery, Delivery.webhook_id == Webhook.webhook_id
    )
    states: dict[str, Counter[str]] = defaultdict(Counter)
    waiting: Counter[str] = Counter()
    lag: dict[str, float] = {}
    failing: dict[str, float] = {}
    for row in connection.execute(statement):
        states[row.name][row.state] += 1
        waiting[row.name] += row.waiting
        lags = (now - (row.untold_since or now)).total_seconds()
        lag[row.name] = max(lags, lag.get(row.name, 0.0))
        if row.state == "failing":
            fails = (now - row.failing_since).total_seconds()
            failing[row.name] = max(fails, failing.get(row.name, 0.0))
    counted = [(name, each, count[each]) for name, count in states.items() for each in STATES]
    samples = [Sample("satfields_webhook_regions", (name, each), float(count)) for name, each, count in counted]
    samples += [Sample("satfields_webhook_lag_seconds", (name,), seconds) for name, seconds in lag.items()]
    samples += [Sample("satfields_webhook_waiting_publications", (name,), float(n)) for name, n in waiting.items()]
    samples += [Sample("satfields_webhook_failing_seconds", (name,), seconds) for name, seconds in failing.items()]
    return list(capped(samples, sorted(lag, key=lambda name: (-lag[name], name)), limit))
