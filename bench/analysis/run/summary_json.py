"""`summary.json`: its shape, to and from `Summary`.

Top level: `schema`, `run_id`, `name`, `tool_version`, `created_at`, `status` (complete,
interrupted, ...), `simulated`, `valid`, `scenario` (as resolved), `warnings[]`, `thresholds[]`,
`cases[]`.

A warning: `code`, `message`, `advice`, `case` ("" = the whole run), `invalidates`.
A threshold: `expression`, `case`, `passed`, `verdict` ("met", "not_met", "not_supported": the data
cannot carry the percentile), `value`, `low`, `high`, `needs`, `note`, and `message` (note and
interval).

A case: `id`, `axes {name: value}`, `model`, `target`, `endpoint`, `load`, `options`, `simulated`,
`window_s`, `requests {ok, failed, dropped, by_outcome {}, by_done_reason {}}`, `identity {}`,
`steadiness {steady, message, metrics[]}`, `blocks[]` and `metrics {metric_id: {}}`.

A metric: `unit`, `better` ("higher", "lower", ""), `n`, `note`, and its statistics by name, each
`{value, low, high, needs, needs_unit, method, if_independent}`: `mean p50 p90 p95 p99 min max` for
a per-request metric, `value` (and `p5 p50` over requests where there are such) for a rate, share or
count. A number that the data cannot support is null, and `needs` says how many of `needs_unit`
("requests", "blocks", "blocks with each outcome") it would take. `if_independent` are the ends that
a share without an interval would have if requests were independent; else null.
Metric ids: `bench.metrics.METRICS`. Absent is null, never 0, and there is no NaN.

A block: `index`, `repetition`, `start_s`, `n_ok`, `pair`, `side`, `position`, and `values`, with
the keys that `bench.analysis.run.summary.BlockSummary` lists.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bench.analysis.run.summary import Summary
from bench.thresholds import from_file, to_file

_THRESHOLD_KEYS = ("verdict", "value", "low", "high", "needs", "note", "message")
_METRIC_KEYS = ("unit", "better", "n", "note")


def to_json(summary: Summary) -> dict[str, Any]:
    """The content of summary.json."""
    flat = msgspec.to_builtins(summary, enc_hook=to_file)
    for case in flat["cases"]:
        case["metrics"] = {id: _flatten(metric) for id, metric in case["metrics"].items()}
    flat["thresholds"] = [
        {"expression": t.threshold.text, "case": t.case, "passed": t.passed}
        | {key: getattr(t, key) for key in _THRESHOLD_KEYS}
        for t in summary.thresholds
    ]
    order = ("schema", "run_id", "name", "tool_version", "created_at", "status", "simulated")
    head = {key: flat[key] for key in (*order, "valid", "scenario", "warnings", "thresholds")}
    return head | {"cases": list(flat["cases"])}


def _flatten(metric: dict[str, Any]) -> dict[str, Any]:
    head = {key: metric[key] for key in _METRIC_KEYS}
    return {**head, **metric["stats"]}


def from_json(content: dict[str, Any]) -> Summary:
    """A summary as `to_json` wrote it; unknown keys of a later version are ignored.

    Raises:
        msgspec.ValidationError: it is not a summary.
    """
    content = dict(content)
    content["cases"] = [
        case | {"metrics": {id: _nest(id, m) for id, m in case["metrics"].items()}}
        for case in content["cases"]
    ]
    content["thresholds"] = [_threshold(t) for t in content["thresholds"]]
    return msgspec.convert(content, Summary, dec_hook=from_file)


def _threshold(flat: dict[str, Any]) -> dict[str, Any]:
    """One threshold; an earlier version said only whether it passed."""
    usual = {"verdict": "met" if flat["passed"] else "not_met", "note": flat["message"]}
    return usual | flat | {"threshold": flat["expression"]}


def _nest(id: str, flat: dict[str, Any]) -> dict[str, Any]:
    stats = {name: value for name, value in flat.items() if name not in _METRIC_KEYS}
    return {key: flat[key] for key in _METRIC_KEYS} | {"id": id, "stats": stats}
