"""Problems: what a request is told where it can't be answered (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
_LONGEST_VALUE = 200  # letters of a value that are told again


class ProblemDetails(BaseModel):
    """The document of a problem."""

    type: str = Field("about:blank", description="always about:blank: the status and the text tell all")
    status: int = Field(description="the HTTP status", examples=[400])
    title: str = Field(description="what kind of problem it is", examples=["Wrong parameter"])
    detail: str = Field(description="what is wrong, and what to do")
    parameter: str | None = Field(None, description="the parameter that is wrong", examples=["limit"])
    value: str | None = Field(None, description="its value, as it came", examples=["0"])
    expected: str | None = Field(None, description="what was expected", examples=["a number from 1 to 10000"])


class Problem(Exception):  # noqa: N818  # it is what a caller is told, and no error of ours
    """Raised to answer with a problem.

    Args:
        status: of HTTP.
        title: what kind of problem it is.
        detail: what is wrong, and what to do.
        headers: further headers of the answer.
        more: parameter, value and expected, where a parameter is wrong.
    """

    def __init__(
        self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: str
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.headers, self.more = status, title, detail, headers or {}, more

    def response(self) -> Response:
        """The answer."""
        document: dict[str, Any] = {"type": "about:blank", "status": self.status, "title": self.title}
        document |= {"detail": self.detail, **self.more}
        headers = {"cache-control": "no-store", **self.headers}
        return Response(to_json(document), self.status, headers, MEDIA_TYPE)


def wrong(parameter: str, value: object, expected: str, remedy: str = "", status: int = 400) -> Problem:
    """The problem of a parameter.

    Args:
        parameter: its name.
        value: as it came.
        expected: what was expected.
        remedy: what to do, if that is more than to give what is expected.
        status: of HTTP.
    """
    shown = str(value)[:_LONGEST_VALUE]
    detail = f"{parameter}={shown!r}: expected {expected}" + (f"; {remedy}" if remedy else "")
    return Problem(status, "Wrong parameter", detail, parameter=parameter, value=shown, expected=expected)


def not_found(what: str, name: str, where: str) -> Problem:
    """Nothing of that name is there, as far as the caller may see."""
    return Problem(404, "Not found", f"there is no {what} {name[:_LONGEST_VALUE]!r}; {where} lists what there is")
