"""What a run's thresholds, failures and warnings say, for the machines that read reports.

JUnit: one test case for each threshold of each case, one for failed requests, one for whether the
run is valid. GitHub: one annotation for each that is not as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from bench.analysis.run.summary import Summary, ThresholdResult, ThresholdVerdict
from bench.report.comparison.annotations import command
from bench.report.comparison.junit import counted, xml_text


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
            one = ElementTree.SubElement(suite, "testcase", classname=case.id, name="requests")
            requests = case.requests
            if not requests.ok:
                said = f"none of {requests.failed} measured requests ended well"
                ElementTree.SubElement(one, "failure", message=said, type="requests")
            elif requests.failed:
                said = f"{requests.failed} of {requests.ok + requests.failed} requests failed"
                ElementTree.SubElement(one, "system-out").text = said
        valid = ElementTree.SubElement(suite, "testcase", classname=summary.name, name="valid")
        for w in summary.warnings:
            if w.invalidates:
                error = ElementTree.SubElement(valid, "error", message=w.message, type=w.code)
                error.text = w.advice
    return xml_text(counted(root))


def _threshold(suite: ElementTree.Element, t: ThresholdResult) -> None:
    one = ElementTree.SubElement(suite, "testcase", classname=t.case, name=t.threshold.text)
    if t.verdict is ThresholdVerdict.NOT_MET:
        ElementTree.SubElement(one, "failure", message=_said(t), type="threshold")
    elif t.verdict is ThresholdVerdict.UNSUPPORTED:
        ElementTree.SubElement(one, "skipped", message=_said(t))
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
