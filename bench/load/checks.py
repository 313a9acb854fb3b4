"""Is an answer what was asked for: JSON, of the right shape, a call of a tool that there is?"""

from __future__ import annotations

import json
from typing import Any

from bench.scenario.json_check import fits
from bench.scenario.plan import Case
from bench.wire.exchange import Outcome, Reply


def checked(case: Case, reply: Reply) -> dict[str, bool]:
    """What each check of a case finds; nothing for a request that failed.

    An answer that was cut at its length is judged like any other: whoever reads it cannot use it.
    """
    if not case.checks or reply.outcome is not Outcome.OK:
        return {}
    checks = {"json": _json, "schema": _schema, "tool_call": _tool_call}
    return {name: checks[name](case, reply) for name in case.checks}


def _json(case: Case, reply: Reply) -> bool:
    return _value(reply.answer) is not _NONE


def _schema(case: Case, reply: Reply) -> bool:
    value = _value(reply.answer)
    return value is not _NONE and isinstance(case.format, dict) and fits(value, case.format)


_NONE = object()


def _value(text: str | None) -> Any:
    try:
        return json.loads(text or "", parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NONE


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _tool_call(case: Case, reply: Reply) -> bool:
    """At least one call, each of a tool that was offered, with arguments that fit."""
    offered = _offered(case)
    return bool(reply.calls) and all(_fitting(call, offered) for call in reply.calls)


def _offered(case: Case) -> dict[str, Any]:
    functions = [tool.get("function") for tool in (case.tools.tools if case.tools else ())]
    return {f["name"]: f.get("parameters", True) for f in functions if isinstance(f, dict)}


def _fitting(call: Any, offered: dict[str, Any]) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or function.get("name") not in offered:
        return False
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _value(arguments)
    return isinstance(arguments, dict) and fits(arguments, offered[function["name"]])
