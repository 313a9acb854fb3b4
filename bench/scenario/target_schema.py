"""The part of a scenario file that says which servers are measured."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from bench.address import full_url
from bench.scenario.fields import Model, exactly_one, refuse

Name = Annotated[str, Field(min_length=1)]


class ManagedTarget(Model):
    """A server by URL, or a command that is started for the run and stopped after it."""

    name: Name
    """How the reports call this server."""
    url: str | None = None
    """Where it listens, in any form that OLLAMA_HOST may have; or unix:///path/of/socket."""
    command: Annotated[list[str], Field(min_length=1)] | None = None
    """Command line of a server to start, e.g. [/opt/ollama-0.32/bin/ollama, serve]."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of that server, e.g. {OLLAMA_NUM_PARALLEL: "4"}."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("url", "command"))
        if self.url is not None:
            check_url(self.url)
            if self.env:
                raise refuse("env is only for a server that is started here, by command")
        return self


def check_url(url: str) -> None:
    """Refuses what is not the address of a server."""
    try:
        full_url(url)
    except ValueError as error:
        raise refuse(str(error)) from None


def _target(value: Any) -> Any:
    if isinstance(value, str):
        check_url(value)
        return {"name": full_url(value).split("://", 1)[1], "url": value}
    return value


TargetField = Annotated[
    ManagedTarget, BeforeValidator(_target, json_schema_input_type=str | ManagedTarget)
]
