"""The sentence of a search says what its table of probes has, and no more."""

from __future__ import annotations

import pytest

from bench.analysis.capacity.probe import SearchEnding
from bench.analysis.capacity.probed import Bottleneck
from bench.analysis.capacity.promises import parse_promises
from bench.analysis.capacity.result import CapacityResult
from bench.report.capacity.capacity_page import capacity_page
from bench.report.console import console_text


def said(ending: SearchEnding, load: float, held: float | None, broke: float | None) -> str:
    result = CapacityResult(
        run_id="run",
        model="m:1b",
        by="rate",
        promises=tuple(parse_promises(["ttft_s.p95<=2"])),
        ending=ending,
        load=load,
        best=2.1,
        low=load,
        high=2.4,
        breaks="ttft_s.p95<=2",
        limited_by=Bottleneck.SLOTS,
        probes=(),
        slots_observed=4,
        slots_exact=True,
        slots_asked=None,
        mean_response_s=None,
        budget_s=600.0,
        spent_s=300.0,
        simulated=False,
        held=held,
        broke=broke,
    )
    return " ".join(console_text(capacity_page(result, charts=False)).split())


def test_how_much_more_broke_is_reckoned() -> None:
    """Once "10 % more" was said whatever had broken."""
    text = said(SearchEnding.CONFIRMED, 2.0, 2.0, 2.5)
    assert "serves 2 requests/s" in text
    assert (
        "a longer probe confirmed it, and 2.5 requests/s" in text and "(25 % more) broke it" in text
    )


def test_a_load_below_the_proven_one_is_not_called_confirmed() -> None:
    text = said(SearchEnding.CONFIRMED, 1.8, 2.0, 2.2)
    assert "serves 1.8 requests/s" in text
    assert "confirmed it" not in text
    assert (
        "2 requests/s" in text and "held in a longer probe" in text and "(10 % more) broke" in text
    )


@pytest.mark.parametrize("ending", [SearchEnding.RANGE, SearchEnding.UNDECIDED])
def test_what_was_not_proven_is_not_said_to_be(ending: SearchEnding) -> None:
    text = said(ending, 1.8, None, None)
    assert "serves 1.8 requests/s" in text
    assert "confirmed" not in text and "% more" not in text
