"""The configuration of jobs, so that whoever launches runs can give values, and nothing else.

Dagster's own ``Config`` takes ``{env: NAME}`` wherever a text or number is wanted, and puts the variable's value there:
a run for the region ``{env: SATFIELDS_DATABASE_URL}`` would fail with a message that shows the password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

from dagster import Field, Permissive
from pydantic import BaseModel, ConfigDict

_Given = TypeVar("_Given", bound="RunConfig")


class RunConfig(BaseModel):
    """What a run of a job is told: texts, whole numbers, truths, lists of these or of other such models.

    A ``dict`` is taken as it is: who reads it gives it to a model of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def schema_of_job(cls) -> dict[str, Field]:
        """What Dagster's UI and API ask for: the ``config_schema`` of an op."""
        return {
            name: Field(_schema_type(field.annotation), description=field.description, is_required=True)
            if field.is_required()
            else Field(_schema_type(field.annotation), description=field.description, default_value=field.default)
            for name, field in cls.model_fields.items()
        }

    @classmethod
    def of(cls: type[_Given], given: Mapping[str, Any]) -> _Given:
        """What a run was told, by ``context.op_config``."""
        return cls.model_validate(dict(given))


def _schema_type(annotation: Any) -> Any:
    """A type as Dagster's schemas have it: those take a value and no name of a variable."""
    if get_origin(annotation) is list:
        return [_schema_type(get_args(annotation)[0])]
    if get_origin(annotation) is dict:
        return Permissive()  # type: ignore[no-untyped-call]
    if issubclass(annotation, RunConfig):
        return annotation.schema_of_job()
    return annotation
