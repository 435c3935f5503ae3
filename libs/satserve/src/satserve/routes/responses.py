"""Answers of routes: links, versions, caching, formats."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa
from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from satserve import encodings
from satserve.encodings import BINARY, json_bytes
from satserve.problem import MEDIA_TYPE

_CACHE = "private, max-age=0, must-revalidate"  # each time asked whether it is the same: corrections come at any time
_VARY = "accept, accept-encoding, authorization"


class GeoJson(Response):
    """Tells the OpenAPI document what a route answers with; its answers are made as all others."""

    media_type = "application/geo+json"


class Link(BaseModel):
    """A link."""

    href: str = Field(description="the address", examples=["/collections"])
    rel: str = Field(description="how it relates to this document", examples=["next"])
    type: str = Field("application/json", description="its media type")
    title: str | None = Field(None, description="what it is")


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Problems that a route answers with, besides those of all routes, for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {code: {"content": content, "description": _MEANINGS[code]} for code in sorted({*codes, *_EVERYWHERE})}


_EVERYWHERE = (400, 401, 406, 429, 503)
_MEANINGS = {
    400: "A parameter is wrong.",
    401: "A key is needed, or the one that came is refused.",
    403: "The key may not see this.",
    404: "There is no such thing, or the key may not see it.",
    406: "None of the formats that are asked for is offered.",
    410: "What is asked for is out of retention.",
    429: "The key's rate is used up; the header Retry-After tells how long to wait.",
    503: "Ledger or store can't be reached just now.",
}


def media_types(*formats: tuple[str, str]) -> dict[str, Any]:
    """A route's formats, for the OpenAPI document."""
    told = {
        kind.partition(";")[0]: {
            "schema": {"type": "object"} if "json" in kind else {"type": "string", "format": "binary"}
        }
        for _, kind in formats
    }
    return {
        "content": told,
        "description": "As asked for by `f` or by Accept.",
        "headers": {"ETag": {"description": "The version.", "schema": {"type": "string"}}},
    }


def link(request: Request, path: str, rel: str, title: str | None = None, **query: Any) -> dict[str, Any]:
    """A link to a path of this service; parameters that are None are left out.

    Args:
        request: that is answered.
        path: of this service.
        rel: its relation.
        title: for people.
    """
    given = {name.replace("_", "-"): value for name, value in query.items() if value is not None}
    root = request.scope.get("root_path", "").rstrip("/")
    href = root + path + (f"?{urlencode(given)}" if given else "")
    told = {"href": href, "rel": rel, "type": "application/json", "title": title}
    return {name: value for name, value in told.items() if value is not None}


def path_of(*parts: str) -> str:
    """A path of names, quoted."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def tag_of(*parts: object) -> str:
    """A weak entity tag of what an answer depends on: weak, since the same may come compressed or not."""
    return f'W/"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def unchanged(request: Request, tag: str) -> Response | None:
    """304 where the client has this version."""
    given = request.headers.get("if-none-match", "")
    known = [each.strip() for each in given.split(",")]
    if tag not in known and "*" not in known:
        return None
    return Response(status_code=304, headers=_headers(tag))


def _headers(tag: str | None) -> dict[str, str]:
    return {"cache-control": _CACHE, "vary": _VARY} | ({"etag": tag} if tag else {})


def document(request: Request, value: Any, media_type: str = "application/json") -> Response:
    """A small document; its version is its content's."""
    body = json_bytes(value)
    tag = tag_of(body)
    return unchanged(request, tag) or Response(body, 200, _headers(tag), media_type)


def whole(
    body: bytes, tag: str, media_type: str, links: Sequence[Mapping[str, Any]] = (), kind: str = "json"
) -> Response:
    """An answer that is there as a whole.

    Args:
        body: of the answer.
        tag: its version.
        media_type: of the body.
        links: of the header Link.
        kind: the format: those that are binary are not compressed again.
    """
    return Response(body, 200, _all_headers(tag, links, kind), media_type)


def streamed(
    pieces: Iterator[bytes], tag: str, media_type: str, kind: str, links: Sequence[Mapping[str, Any]] = ()
) -> Response:
    """An answer that is sent as it is made. What fails before the first byte is still told as a problem.

    Args:
        pieces: of the body.
        tag: its version.
        media_type: of the body.
        kind: the format: those that are binary are not compressed again.
        links: of the header Link.
    """
    first = next(pieces, b"")

    def parts() -> Iterable[bytes]:
        yield first
        yield from pieces

    return StreamingResponse(parts(), 200, _all_headers(tag, links, kind), media_type)


def _all_headers(tag: str, links: Sequence[Mapping[str, Any]], kind: str) -> dict[str, str]:
    headers = _headers(tag)
    if kind in BINARY:
        headers["content-encoding"] = "identity"  # which keeps it from being compressed; `guards` takes it away
    told = [f'<{each["href"]}>; rel="{each["rel"]}"' for each in links if each["rel"] == "next"]
    return headers | ({"link": ", ".join(told)} if told else {})


def table_answer(
    table: pa.Table, chosen: tuple[str, str], tag: str, head: Mapping[str, Any], links: Sequence[Mapping[str, Any]] = ()
) -> Response:
    """A table in a format.

    Args:
        table: of rows.
        chosen: the format.
        tag: the answer's version.
        head: members beside the rows, in JSON.
        links: of the header Link.
    """
    kind, media_type = chosen
    return streamed(encodings.encoded(kind, table.schema, [table], head), tag, media_type, kind, links)
