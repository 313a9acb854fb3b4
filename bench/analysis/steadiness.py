"""Did the numbers stay the same over a case? A label; nothing is ever deleted."""

from __future__ import annotations

from bench.analysis.case_data import CaseData
from bench.analysis.summary import Steadiness


def case_steadiness(data: CaseData) -> Steadiness:
    """Whether a case held its speed over its requests, in order of time."""
    return Steadiness(None)
