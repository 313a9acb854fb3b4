"""Comparisons as JSON: stable keys, documented in `bench.analysis.comparison.result`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bench.analysis.comparison.result import SCHEMA, Comparison, worst


def comparison_json(comparisons: Sequence[Comparison]) -> bytes:
    """`{"schema", "exit_code", "comparisons": [...]}`; numbers that are not there are null."""
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "exit_code": int(worst(comparisons)),
        "comparisons": [
            {**msgspec.to_builtins(c), "exit_code": int(c.exit_code)} for c in comparisons
        ],
    }
    return msgspec.json.encode(content)
