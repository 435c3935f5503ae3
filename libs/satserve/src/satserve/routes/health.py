"""Health and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field
from satcommon.db.engine import require_current
from satcommon.errors import SatfieldsError
from starlette.responses import Response

from satserve import metrics
from satserve.caller import Calling
from satserve.problem import Problem
from satserve.routes.responses import problems
from satserve.service import Serving

router = APIRouter(tags=["Health"])


class Health(BaseModel):
    """That it is well."""

    status: str = Field(examples=["ready"])


@router.get("/health/live", response_model=Health, summary="Whether the process answers")
async def live() -> Health:
    """Needs no key, and asks nothing of others: a database that is away is no reason to restart this."""
    return Health(status="live")


@router.get(
    "/health/ready",
    response_model=Health,
    responses={503: problems(503)[503]},
    summary="Whether it can answer requests",
)
def ready(service: Serving) -> Health:
    """Asks ledger and store; needs no key."""
    try:
        require_current(service.environment.engine)
        service.objects.store.exists("ready")
    except SatfieldsError as error:
        raise Problem(
            503, "Not ready", "ledger or store can't be reached; the log tells why", {"retry-after": "5"}
        ) from error
    return Health(status="ready")


@router.get(
    "/metrics",
    responses=problems(403) | {200: {"content": {"text/plain": {}}, "description": "In Prometheus' text format."}},
    response_model=None,
    response_class=Response,
    summary="Counts and durations of requests",
)
def prometheus(caller: Calling) -> Response:
    """Counts and durations of requests by route, of all callers: only for keys of all regions."""
    if caller.regions is not None:
        raise Problem(403, "Not for this key", "metrics tell of all callers; use a key of all regions")
    body, media_type = metrics.exposition()
    return Response(body, headers={"cache-control": "no-store", "content-type": media_type})
