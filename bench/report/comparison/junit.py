"""Comparisons as JUnit XML: one test case a metric that gates, one a failed threshold.

A metric that is worse, or has no samples, fails; one without a verdict is skipped, with its reason.
A candidate that cannot be compared is an error.
(The schema that Jenkins, GitLab and GitHub actions read: testsuites / testsuite / testcase.)
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from bench.analysis.comparison.result import CaseComparison, Comparison, MetricComparison, Refusal
from bench.analysis.comparison.verdict_rule import Verdict
from bench.report.comparison.wording import (
    change_shown,
    flat,
    levels_text,
    metric_name,
    verdict_text,
)

_FAILS = (Verdict.WORSE, Verdict.NO_SAMPLES)
_COUNTED = (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
_PASSES = (Verdict.NO_CHANGE, Verdict.BETTER)


def junit(comparisons: Sequence[Comparison]) -> str:
    """The XML document."""
    root = ElementTree.Element("testsuites", name="ollama-bench compare")
    for comparison in comparisons:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{comparison.candidate.label} against {comparison.baseline.label}",
            timestamp=comparison.candidate.created_at,
        )
        if comparison.refused is not None:
            _refusal(suite, comparison.candidate.label, comparison.refused)
        for case, m in comparison.judged():
            if m.primary:
                _metric(suite, case, m)
        for t in comparison.failed_thresholds:
            add_case(suite, t.case, t.expression, "failure", t.message, "threshold")
        for t in comparison.unsupported_thresholds:
            add_case(suite, t.case, t.expression, "skipped", t.message)
    return xml_text(counted(root))


def add_case(
    suite: ElementTree.Element,
    of: str,
    name: str,
    ended: str = "",
    message: str = "",
    kind: str = "",
) -> ElementTree.Element:
    """A test case of a suite, and how it ended: failure, error or skipped; "" = well."""
    one = ElementTree.SubElement(suite, "testcase", classname=of, name=name)
    if ended:
        result = ElementTree.SubElement(one, ended, message=message)
        if kind:
            result.set("type", kind)
    return one


def xml_text(root: ElementTree.Element) -> str:
    """A document as a file holds it."""
    ElementTree.indent(root)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        + ElementTree.tostring(root, encoding="unicode")
        + "\n"
    )


def _metric(suite: ElementTree.Element, case: CaseComparison, m: MetricComparison) -> None:
    said, ended = _said(m), ("", "")
    if m.verdict in _FAILS and not m.indicative:
        ended = ("failure", m.verdict.value)
    elif m.verdict not in _PASSES or m.indicative:
        ended = ("skipped", "")
    one = add_case(suite, case.case, m.metric, ended[0], said, ended[1])
    ElementTree.SubElement(one, "system-out").text = said


def _refusal(suite: ElementTree.Element, candidate: str, refused: Refusal) -> None:
    one = ElementTree.SubElement(suite, "testcase", classname=candidate, name="comparable")
    kind = refused.exit_code.name.lower()
    error = ElementTree.SubElement(one, "error", message=flat(refused.message), type=kind)
    error.text = flat(refused.advice)


def _said(m: MetricComparison) -> str:
    if m.change is None:
        return f"{metric_name(m.metric)}: {m.verdict.value} ({m.note})"
    return f"{metric_name(m.metric)}: {verdict_text(m)}, {change_shown(m).full}, {levels_text(m)}"


def counted(root: ElementTree.Element) -> ElementTree.Element:
    """The same with the numbers of tests that each suite, and all, must state."""
    for element in (root, *root.iter("testsuite")):
        cases = element.findall(".//testcase")
        element.set("tests", str(len(cases)))
        for attribute, tag in _COUNTED:
            element.set(attribute, str(sum(c.find(tag) is not None for c in cases)))
    return root
