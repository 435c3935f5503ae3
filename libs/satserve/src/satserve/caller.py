"""Who calls, and what they may see: a key's regions, or all where no key is needed."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Request
from satcommon.db.api_keys import KeyRefusedError, grant_of
from satcommon.db.engine import read_transaction
from satcommon.settings import Settings
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from satserve.problem import Problem
from satserve.rate_limit import Rates

_CHALLENGE = {"www-authenticate": 'Bearer realm="satfields"'}
_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip", "via")
_OWN_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Args:
        regions: ids of the regions that they may see; None for all.
        name: tells callers apart.
    """

    regions: frozenset[int] | None
    name: str

    def sees(self, bbox_id: int) -> bool:
        """Whether they may see a region."""
        return self.regions is None or bbox_id in self.regions


class Doorkeeper:
    """Lets callers in.

    Args:
        engine: of the ledger.
        settings: of this process.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._public = settings.api_public
        self._rates = Rates(settings.api_rate)

    async def caller(self, request: Request) -> Caller:
        """Who sends a request.

        Raises:
            Problem: a key is needed, or the one that came is refused, or it came too often.
        """
        given = request.headers.getlist("authorization")
        if given:
            caller = await run_in_threadpool(self._by_key, given)
        elif _is_local(request):
            return Caller(None, "local")
        elif self._public:
            caller = Caller(None, f"peer {request.client.host if request.client else ''}")
        else:
            raise Problem(
                401, "Key needed", "send a key as `Authorization: Bearer KEY`; `satctl keys add` makes one", _CHALLENGE
            )
        seconds = self._rates.take(caller.name)
        if seconds:
            wait = str(int(seconds) + 1)
            raise Problem(
                429,
                "Too many requests",
                f"the rate of this key is used up; try again in {wait} s",
                {"retry-after": wait},
            )
        return caller

    def _by_key(self, given: list[str]) -> Caller:
        scheme, _, key = given[0].partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer" or not key.strip():
            raise Problem(401, "Key needed", "expected one header `Authorization: Bearer KEY`", _CHALLENGE)
        try:
            with read_transaction(self._engine) as connection:
                grant = grant_of(connection, key.strip(), datetime.now(UTC))
        except KeyRefusedError as error:
            raise Problem(401, "Key refused", str(error), _CHALLENGE) from error
        return Caller(grant.regions, f"key {grant.key_id}")


def _is_local(request: Request) -> bool:
    """Whether a request comes from this machine, and for it.

    What a proxy passed on does not, wherever the proxy runs. Nor does what a page of another host has sent: a browser
    that was told a wrong address for that host says the host's name.
    """
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    host = request.headers.get("host", "")
    return _is_loopback(request.client.host) and any(host == own or host.startswith(f"{own}:") for own in _OWN_HOSTS)


@lru_cache(maxsize=1024)  # to parse it takes as long as all else here
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


async def caller_of(request: Request) -> Caller:  # async: only to look up a key needs a thread
    """The caller of a request, for routes."""
    doorkeeper: Doorkeeper = request.app.state.service.doorkeeper
    return await doorkeeper.caller(request)


Calling = Annotated[Caller, Depends(caller_of)]
