"""What a run's thresholds, failures and warnings say, for the machines that read reports.

JUnit: one test case for each threshold of each case, one for failed requests, one for whether the
run is valid. GitHub: one annotation for each that is not as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from bench.analysis.run.summary import Summary, ThresholdResult, ThresholdVerdict
from bench.report.comparison.annotations import command
from bench.report.comparison.junit import add_case, counted, xml_text


def run_junit(summaries: Sequence[Summary]) -> str:
    """The XML document."""
    root = ElementTree.Element("testsuites", name="ollama-bench run")
    for summary in summaries:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{summary.name} ({summary.run_id})",
            timestamp=summary.created_at,
        )
        for t in summary.thresholds:
            _threshold(suite, t)
        for case in summary.cases:
            ok, failed = case.requests.ok, case.requests.failed
            said = f"none of {failed} measured requests ended well"
            ended = ("", "") if ok else ("failure", "requests")
            one = add_case(suite, case.id, "requests", ended[0], said, ended[1])
            if ok and failed:
                said = f"{failed} of {ok + failed} requests failed"
                ElementTree.SubElement(one, "system-out").text = said
        valid = ElementTree.SubElement(suite, "testcase", classname=summary.name, name="valid")
        for w in summary.warnings:
            if w.invalidates:
                error = ElementTree.SubElement(valid, "error", message=w.message, type=w.code)
                error.text = w.advice
    return xml_text(counted(root))


def _threshold(suite: ElementTree.Element, t: ThresholdResult) -> None:
    ended = {
        ThresholdVerdict.NOT_MET: ("failure", "threshold"),
        ThresholdVerdict.UNSUPPORTED: ("skipped", ""),
    }.get(t.verdict, ("", ""))
    one = add_case(suite, t.case, t.threshold.text, ended[0], _said(t), ended[1])
    ElementTree.SubElement(one, "system-out").text = _said(t)


def _said(t: ThresholdResult) -> str:
    value = "no value" if t.value is None else f"{t.value:.6g}"
    return "; ".join(filter(None, (value, t.message)))


def run_annotations(summaries: Sequence[Summary]) -> str:
    """One line an annotation, the gravest first."""
    found = [a for summary in summaries for a in _annotations(summary)]
    order = ("error", "warning", "notice")
    found.sort(key=lambda a: order.index(a[0]))
    return "".join(command(*a) + "\n" for a in found)


def _annotations(summary: Summary) -> Iterator[tuple[str, str, str]]:
    """Level, title and message of each."""
    for t in summary.thresholds:
        said = f"{t.case}: {_said(t)}"
        if t.verdict is ThresholdVerdict.NOT_MET:
            yield "error", f"threshold failed: {t.threshold.text}", said
        elif t.verdict is ThresholdVerdict.UNSUPPORTED:
            yield "warning", f"threshold needs more data: {t.threshold.text}", said
    for case in summary.cases:
        r = case.requests
        if r.failed:
            yield "warning", "requests failed", f"{case.id}: {r.failed} of {r.ok + r.failed}"
    for w in summary.warnings:
        place = f"{w.case}: " if w.case else ""
        level = "error" if w.invalidates else "notice"
        yield level, w.code.value.replace("_", " "), f"{place}{w.message} {w.advice}".strip()
