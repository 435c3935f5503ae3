"""The application: routes, guards, and how errors are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from satcommon.environment import Environment
from satcommon.errors import InputError, RetryableError
from satcommon.telemetry.logs import logger
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from satserve.examples import ANSWERS
from satserve.guards import Guard
from satserve.page import routes as page
from satserve.problem import Problem, ProblemDetails, wrong
from satserve.routes import changes, columns, days, features, fields, health, landing, locations, pictures, regions
from satserve.service import Service

_DESCRIPTION = """Results of Satfields, read-only: a row of numbers for each field and day.

Rows are read as they are now, or with `as-of` as they were published at any instant. Every row tells whether it is
`final`. Requests carry a key as `Authorization: Bearer KEY`; those from the same machine need none. A key sees its own
regions. Errors are `application/problem+json`."""
_LEAST_COMPRESSED = 1_000  # bytes
_BBOX = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6}


class _Application(FastAPI):
    """FastAPI, whose document says how requests are refused here, and which key they carry."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document: dict[str, Any] = super().openapi()
        for path, methods in document["paths"].items():
            for operation in methods.values():
                operation["responses"].pop("422", None)  # a wrong parameter is 400 here, with a problem
                for media_type, example in ANSWERS.get(path.replace(":path}", "}"), {}).items():
                    operation["responses"]["200"]["content"][media_type]["example"] = example
        schemas = document["components"]["schemas"]
        schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for parameter in _query_parameters(document):
            parameter["schema"] = _given(parameter["schema"])
            if parameter["name"] == "bbox":  # as the standard defines it
                parameter |= {"schema": _BBOX, "style": "form", "explode": False, "example": [-95, 40, -94, 41]}
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}, {}]
        return document

    @cached_property
    def query_parameters(self) -> Mapping[str, frozenset[str]]:
        """The names of each path's parameters."""
        return {
            path: frozenset(each["name"] for each in methods["get"].get("parameters", ()) if each["in"] == "query")
            for path, methods in self.openapi()["paths"].items()
        }


def _query_parameters(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        for operation in methods.values():
            yield from (each for each in operation.get("parameters", ()) if each["in"] == "query")


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter's value: one that may be left out is never null."""
    kinds: list[dict[str, Any]] = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return kinds[0] | {name: value for name, value in schema.items() if name != "anyOf"}


async def _only_known_parameters(request: Request) -> None:
    """Refuse a parameter that there is not: a misspelt one would be left out of account without a word."""
    app: _Application = request.app
    known = app.query_parameters[request.scope["route"].path_format]
    for name, value in request.query_params.items():
        if name not in known:
            raise wrong(name, value, f"one of {', '.join(sorted(known))}" if known else "no parameters")
        if "\0" in value:
            raise wrong(name, value, "text without the character NUL, which PostgreSQL can't hold")


def make_app(environment: Environment) -> FastAPI:
    """The application.

    Args:
        environment: settings, ledger and store.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Each thread may hold a connection: as many as the budget has, so that none ever waits for one.
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = environment.settings.database_connections
        yield

    app = _Application(
        title="Satfields", version="0.1.0", description=_DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.service = Service(environment)
    app.router.routes.extend(page.ROUTES)  # before the landing page, which is for programs
    # Most requests are for series, and the routers before the right one are each tried twice.
    for module in (landing, locations, columns, features, days, pictures, regions, fields, changes):
        app.include_router(module.router, dependencies=[Depends(_only_known_parameters)])
    app.include_router(health.router)  # what probes and scrapers add is their own
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(RetryableError, _unavailable)
    app.add_middleware(GZipMiddleware, minimum_size=_LEAST_COMPRESSED, compresslevel=4)
    origins = [origin.strip() for origin in environment.settings.api_origins.split(",") if origin.strip()]
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD"],
            allow_headers=["authorization", "if-none-match"],
            expose_headers=["etag", "link", "retry-after"],
        )
    app.add_middleware(Guard)
    return app


def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


def _invalid(_request: Request, error: Exception) -> Response:
    """The first parameter that FastAPI refuses, in our words."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1]) if first["loc"] else "request"
    expected = str(first["msg"]).removeprefix("Input should be ").removeprefix("String should ")
    if first["type"] == "missing":
        return wrong(name, "", f"the parameter {name}").response()
    is_path = first["loc"][:1] == ("path",)
    return wrong(name, first["input"], expected, status=404 if is_path else 400).response()


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return Problem(404, "Not found", "there is nothing under this address; / tells where everything is").response()
    return Problem(error.status_code, str(error.detail), str(error.detail), error.headers).response()


def _refused(_request: Request, error: Exception) -> Response:
    """What the registry or the log refuses although the request is well-formed: what is out of retention."""
    return Problem(410, "Gone", str(error)).response()


def _unavailable(request: Request, error: Exception) -> Response:
    logger(__name__).warning(
        "request unavailable", path=request.url.path, error=type(error).__name__, reason=str(error)
    )
    detail = "ledger or store can't be reached just now; try again in a few seconds"
    return Problem(503, "Unavailable", detail, {"retry-after": "5"}).response()
