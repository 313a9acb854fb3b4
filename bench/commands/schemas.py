"""JSON Schemas of the files that this program writes: `python -m bench.commands.reference`.

Made from the types, so that they cannot say anything else than what is written. Keys may be added
in any version; a key that is there keeps its meaning while `schema` in its file stays the same.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec

from bench.analysis.capacity.result import CapacityResult
from bench.analysis.comparison.planning import ComparisonPlan
from bench.analysis.comparison.result import Comparison
from bench.analysis.comparison.trend import Trend
from bench.analysis.fidelity.result import FidelityResult
from bench.analysis.run.summary import Metric, Summary, ThresholdResult
from bench.doctor.checkup import Finding
from bench.report.capacity.what_if_page import Study
from bench.resources import resource_dir
from bench.results.fidelity_files import FidelitySetup, GateRecord, PlaceRecord
from bench.results.history import IndexedRun
from bench.results.record import RequestRecord
from bench.results.run import RunInfo
from bench.scenario.described import DescribedPlan
from bench.thresholds import Threshold

FORMS: Final[dict[str, Any]] = {
    "run": RunInfo,
    "request": RequestRecord,
    "summary": Summary,
    "comparison": Comparison,
    "capacity": CapacityResult,
    "fidelity": FidelityResult,
    "fidelity-setup": FidelitySetup,
    "fidelity-place": PlaceRecord,
    "fidelity-gate": GateRecord,
    "what-if": Study,
    "plan": ComparisonPlan,
    "trend": list[Trend],
    "history": list[IndexedRun],
    "doctor": Finding,
    "board": list[Summary],
    "dry-run": DescribedPlan | list[DescribedPlan],
}
"""Name of the schema -> the type behind run.json, a line of requests.jsonl, and the others."""


def schema_of(name: str) -> dict[str, Any]:
    """The schema (draft 2020-12) of one form."""
    ((made,), parts) = msgspec.json.schema_components(
        [FORMS[name]], schema_hook=_hook, ref_template="#/$defs/{name}"
    )
    if name in ("summary", "board"):
        _flatten(parts)
    for part in parts.values():
        part.pop("title", None)
    if name == "plan":
        parts[ComparisonPlan.__name__]["properties"]["seconds"] = {
            "anyOf": [{"type": "number"}, {"type": "null"}]
        }
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"ollama-bench {name}",
    }
    if name == "comparison":
        made = {
            "type": "object",
            "properties": {
                "schema": {"type": "integer"},
                "exit_code": {"type": "integer"},
                "comparisons": {"type": "array", "items": made},
            },
            "required": ["schema", "exit_code", "comparisons"],
        }
    if name == "doctor":
        made = {
            "type": "object",
            "properties": {
                "findings": {"type": "array", "items": made},
                "self_test": {"description": "see `doctor --self-test`; null without it"},
            },
            "required": ["findings", "self_test"],
        }
    return {**head, **made, "$defs": dict(sorted(parts.items()))}


def schema_text(name: str) -> str:
    """The content of the schema's file."""
    return json.dumps(schema_of(name), indent=1, ensure_ascii=False) + "\n"


def schema_file(name: str) -> Path:
    """Where the schema is kept."""
    return resource_dir("reports") / "schemas" / f"{name}.json"


def _hook(kind: type) -> dict[str, Any]:
    if kind is Threshold or issubclass(kind, str | PurePath):
        return {"type": "string"}
    if kind is object:
        return {"description": "any value"}
    raise NotImplementedError(kind)


def _flatten(parts: dict[str, Any]) -> None:
    """summary.json has the statistics of a metric beside its other keys, and thresholds as text."""
    metric, threshold = parts[Metric.__name__], parts[ThresholdResult.__name__]
    for key in ("id", "stats"):
        del metric["properties"][key]
    metric["required"] = [k for k in metric["required"] if k not in ("id", "stats")]
    metric["additionalProperties"] = {"$ref": "#/$defs/Estimate"}
    del threshold["properties"]["threshold"]
    more = {"expression": "string", "passed": "boolean", "message": "string"}
    threshold["properties"] |= {key: {"type": kind} for key, kind in more.items()}
    kept = [k for k in threshold["required"] if k != "threshold"]
    threshold["required"] = ["expression", "passed", "message", *kept]
