"""Numbers of tables are in the unit of their heads, wherever they are copied to."""

from __future__ import annotations

import re

import pytest
from pages import Element, parse
from runs import CHAT, CONCURRENCY, Workload, build

from bench.report.formats import render
from bench.report.run_page import run_page


def _numbers(table: Element) -> list[tuple[str, str, float]]:
    """Head, number as displayed, and as the page's script copies it: value x factor."""
    heads = [h for h in table.all("th") if h.attributes.get("scope") == "col"]
    found = []
    for row in table.all("tbody")[0].all("tr"):
        for head, cell in zip(heads, row.kids("th", "td"), strict=True):
            factor = float(head.attributes.get("data-factor", 1))
            found += [
                (head.text, data.text, float(data.attributes["value"]) * factor)
                for data in cell.all("data")
            ]
    return found


@pytest.mark.parametrize("workload", [CHAT, CONCURRENCY], ids=lambda w: w.name)
def test_what_is_copied_from_a_page_is_what_it_shows(workload: Workload) -> None:
    run, summary = build(workload)
    root = parse(render(run_page([run], [summary]), "html"))
    numbers = [n for table in root.all("table") for n in _numbers(table)]
    assert {u for head, *_ in numbers if (u := re.sub(r".* ", "", head))} >= {"ms", "%", "GiB"}
    for head, displayed, copied in numbers:
        text = displayed.replace(",", "").replace("\u2212", "-")
        last_digit = 10.0 ** -len(text.partition(".")[2])
        assert copied == pytest.approx(float(text), abs=0.501 * last_digit), head
