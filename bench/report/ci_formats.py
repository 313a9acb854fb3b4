"""Runs and comparisons for the machines that read reports: JUnit XML and GitHub annotations.

JUnit is what Jenkins, GitLab and GitHub actions read (testsuites / testsuite / testcase). Of a run:
a test case for each threshold of each case, one for failed requests, one for whether the run is
valid. Of a comparison: one for each metric that gates and each failed threshold; a metric without a
verdict is skipped with its reason, a candidate that cannot be compared is an error.

Annotations are workflow commands, one line each for what is not as it should be:
https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from bench.analysis.comparison.result import CaseComparison, Comparison, MetricComparison
from bench.analysis.comparison.setup_difference import Role
from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.summary import (
    BlockSummary,
    CaseSummary,
    Summary,
    ThresholdResult,
    ThresholdVerdict,
)
from bench.report.comparison.wording import (
    change_shown,
    flat,
    key_name,
    levels_text,
    metric_name,
    verdict_text,
)
from bench.shown import one_line, printable

_Annotation = tuple[str, str, str]
"""Level (error, warning or notice), title and message."""
_LEVELS = {
    **dict.fromkeys((Verdict.WORSE, Verdict.NO_SAMPLES), "error"),
    **dict.fromkeys((Verdict.NOT_COMPARABLE, Verdict.INCONCLUSIVE), "warning"),
    **dict.fromkeys((Verdict.BETTER, Verdict.NO_CHANGE), "notice"),
}


def run_junit(summaries: Sequence[Summary]) -> str:
    """The XML document about runs."""
    root = ElementTree.Element("testsuites", name="ollama-bench run")
    for summary in summaries:
        suite = _suite(root, f"{summary.name} ({summary.run_id})", summary.created_at)
        for t in summary.thresholds:
            said = _said(t)
            if t.verdict is ThresholdVerdict.NOT_MET:
                one = _case(suite, t.case, t.threshold.text, "failure", said, "threshold")
            else:
                skipped = "skipped" if t.verdict is ThresholdVerdict.UNSUPPORTED else ""
                one = _case(suite, t.case, t.threshold.text, skipped, said)
            ElementTree.SubElement(one, "system-out").text = said
        for case in summary.cases:
            ok, failed = case.requests.ok, case.requests.failed
            said = f"none of {failed} measured requests ended well"
            one = _case(suite, case.id, "requests", "" if ok else "failure", said, "requests")
            if ok and failed:
                said = f"{failed} of {ok + failed} requests failed"
                ElementTree.SubElement(one, "system-out").text = said
        valid = _case(suite, summary.name, "valid")
        for w in summary.warnings:
            if w.invalidates:
                error = ElementTree.SubElement(valid, "error", message=w.message, type=w.code)
                error.text = w.advice
    return _xml_text(root)


def junit(comparisons: Sequence[Comparison]) -> str:
    """The XML document about comparisons."""
    root = ElementTree.Element("testsuites", name="ollama-bench compare")
    for comparison in comparisons:
        candidate = comparison.candidate
        name = f"{candidate.label} against {comparison.baseline.label}"
        suite = _suite(root, name, candidate.created_at)
        if (refused := comparison.refused) is not None:
            said, kind = flat(refused.message), refused.exit_code.name.lower()
            one = _case(suite, candidate.label, "comparable", "error", said, kind)
            one[0].text = flat(refused.advice)
        for case, m in comparison.judged():
            if m.primary:
                _metric(suite, case, m)
        for t in comparison.failed_thresholds:
            _case(suite, t.case, t.expression, "failure", t.message, "threshold")
        for t in comparison.unsupported_thresholds:
            _case(suite, t.case, t.expression, "skipped", t.message)
    return _xml_text(root)


def _suite(root: ElementTree.Element, name: str, timestamp: str) -> ElementTree.Element:
    return ElementTree.SubElement(root, "testsuite", name=name, timestamp=timestamp)


def _case(
    suite: ElementTree.Element, of: str, name: str, ended: str = "", said: str = "", kind: str = ""
) -> ElementTree.Element:
    """A test case of a suite, and how it ended: failure, error or skipped; "" = well."""
    one = ElementTree.SubElement(suite, "testcase", classname=of, name=name)
    if ended:
        ElementTree.SubElement(one, ended, {"message": said} | ({"type": kind} if kind else {}))
    return one


def _metric(suite: ElementTree.Element, case: CaseComparison, m: MetricComparison) -> None:
    said = f"{metric_name(m.metric)}: {m.verdict.value} ({m.note})"
    if m.change is not None:
        change = f"{verdict_text(m)}, {change_shown(m).full}, {levels_text(m)}"
        said = f"{metric_name(m.metric)}: {change}"
    if _LEVELS[m.verdict] == "error" and not m.indicative:
        one = _case(suite, case.case, m.metric, "failure", said, m.verdict.value)
    else:
        passes = _LEVELS[m.verdict] == "notice" and not m.indicative
        one = _case(suite, case.case, m.metric, "" if passes else "skipped", said)
    ElementTree.SubElement(one, "system-out").text = said


def _xml_text(root: ElementTree.Element) -> str:
    """A document as a file holds it, with the numbers that each suite, and all, must state."""
    for element in (root, *root.iter("testsuite")):
        cases = element.findall(".//testcase")
        element.set("tests", str(len(cases)))
        for attribute, tag in (
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            element.set(attribute, str(sum(c.find(tag) is not None for c in cases)))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def run_annotations(summaries: Sequence[Summary]) -> str:
    """The annotations of runs, the gravest first."""
    found = [a for summary in summaries for a in _of_run(summary)]
    order = ("error", "warning", "notice")
    return "".join(_command(*a) for a in sorted(found, key=lambda a: order.index(a[0])))


def _of_run(summary: Summary) -> Iterator[_Annotation]:
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


def _said(t: ThresholdResult) -> str:
    value = "no value" if t.value is None else f"{t.value:.6g}"
    return "; ".join(filter(None, (value, t.message)))


def github_annotations(comparisons: Sequence[Comparison]) -> str:
    """The annotations of comparisons: differences, then metrics that gate, then thresholds."""
    several = len(comparisons) > 1
    return "".join(
        _command(level, title, f"{c.candidate.label}: {said}" if several else said)
        for c in comparisons
        for level, title, said in _of_comparison(c)
    )


def _of_comparison(comparison: Comparison) -> Iterator[_Annotation]:
    if comparison.refused is not None:
        said = f"{comparison.refused.message}\n{comparison.refused.advice}".strip()
        yield "error", f"{comparison.candidate.label} is not comparable", said
    differing = dict.fromkeys(
        (d.key, d.baseline, d.candidate, d.message)
        for case in comparison.cases
        for d in case.differences
        if d.role is not Role.COMPARED
    )
    for key, before, after, message in differing:
        change = f"{before} \u2192 {after}. " if before or after else ""
        yield "warning", f"{key_name(key)} differs", f"{change}{message}"
    for note in comparison.notes:
        yield "notice", note.code, f"{note.message} {note.advice}".strip()
    for case, m in comparison.judged():
        if m.primary:
            level = _LEVELS[m.verdict]
            level = "warning" if m.indicative and level == "error" else level
            said = m.note if m.change is None else change_shown(m).full
            yield level, f"{metric_name(m.metric)}: {verdict_text(m)}", f"{case.case}: {said}"
    for t in comparison.failed_thresholds:
        yield "error", f"threshold failed: {t.expression}", f"{t.case}: {t.message}"
    for t in comparison.unsupported_thresholds:
        yield "warning", f"threshold needs more data: {t.expression}", f"{t.case}: {t.message}"


def _command(level: str, title: str, message: str) -> str:
    title = _data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{_data(message)}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


_NS = 1e9
_RATES = {"prefill": "prefill_tok_per_s", "generate": "decode_tok_per_s"}
_TIMES = {"ttft": "ttft_s.p50", "load": "load_s.p50", "total": "total_s.p50"}


def benchstat(cases: Sequence[CaseSummary]) -> str:
    """The lines of some cases, one block after the other."""
    return "".join(f"{line}\n" for case in cases for line in _lines(case))


def refusal_comment(comparison: Comparison) -> str:
    """Why there are no lines of a candidate, as comments."""
    assert comparison.refused is not None
    said = f"{comparison.candidate.label} left out: {comparison.refused.message}"
    return "".join(f"# {one_line(line)}\n" for line in said.splitlines())


def _lines(case: CaseSummary) -> Iterator[str]:
    identity = case.identity
    yield one_line(
        f"# Model: {case.model} | Quant: {identity.quantization or 'unknown'} | "
        f"NumCtx: {identity.served_context or 'unknown'} | Server: {identity.server_version}"
    )
    name = _name(case)
    for block in case.blocks:
        yield from _block(name, block)


def _block(name: str, block: BlockSummary) -> Iterator[str]:
    for step, metric in _RATES.items():
        rate = block.values.get(metric)
        if rate:
            both = f"{_NS / rate:.2f} ns/token {rate:.2f} token/sec"
            yield f"BenchmarkModel/{name}/step={step} 1 {both}"
    for step, metric in _TIMES.items():
        seconds = block.values.get(metric)
        if seconds is not None:
            yield f"BenchmarkModel/{name}/step={step} 1 {seconds * _NS:.0f} ns/op"


def _name(case: CaseSummary) -> str:
    """`name=MODEL` as cmd/bench has it, then every other axis, without blanks or slashes."""
    axes = {k: v for k, v in case.axes.items() if k not in ("model", "target", "side")}
    parts = {"name": case.model, **axes}
    return "/".join(f"{_plain(k)}={_plain(v)}" for k, v in parts.items())


def _plain(text: str) -> str:
    return re.sub(r"[\s/=]+", "_", one_line(printable(text)))
