"""Where the page is: at /map, and at / for browsers. It holds no data, so it needs no key; what it asks for does."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from satserve.page.assets import Asset, Assets
from satserve.problem import Problem

# Workers take the policy of their own file's answer: every file has it. MapLibre's style sheet has icons as data.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OWN = {"content-security-policy": POLICY, "cross-origin-resource-policy": "same-origin"}
_FOR_EVER = "public, max-age=31536000, immutable"  # the address has the digest of the content
_ASK_AGAIN = "no-cache"


class _ForBrowsers(Route):
    """A route for requests whose header Accept begins with HTML, as that of a browser's address bar does."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See Route."""
        match, child = super().matches(scope)
        accept = dict(scope.get("headers", ())).get(b"accept", b"")
        return (match, child) if accept.lower().startswith(b"text/html") else (Match.NONE, {})


@cache
def assets() -> Assets:
    """The page's files, read when the page is first asked for."""
    return Assets()


def _page(request: Request) -> Response:
    headers = {"cache-control": _ASK_AGAIN, "etag": f'"{assets().digest}"', "vary": "accept, accept-encoding"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers | _OWN)  # a browser forgets what it had of them
    return _answer(request, assets().page, headers)


def _start(_request: Request) -> Response:
    return RedirectResponse("map", 307, {"vary": "accept"})


def _asset(request: Request) -> Response:
    asset = assets().files.get(request.path_params["name"])
    if asset is None or request.path_params["digest"] != assets().digest:
        return Problem(404, "Not found", "the page has no such file; /map is its address").response()
    return _answer(request, asset, {"cache-control": _FOR_EVER, "vary": "accept-encoding"})


def _answer(request: Request, asset: Asset, headers: Mapping[str, str]) -> Response:
    told = {**headers, **_OWN}
    compressed = "gzip" in request.headers.get("accept-encoding", "")
    if compressed:
        told["content-encoding"] = "gzip"
    return Response(asset.compressed if compressed else asset.content, 200, told, asset.media_type)


ROUTES: list[BaseRoute] = [
    _ForBrowsers("/", _start),
    Route("/map", _page),
    Route("/map/assets/{digest}/{name:path}", _asset),
]
