"""Comparisons as text, markdown, JSON, HTML, JUnit XML, GitHub annotations and benchstat lines."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hostile import STRINGS, commands, controls, obeyed

from bench.analysis.comparison.compare_runs import compare_runs, compare_sides, refused
from bench.analysis.comparison.metric_verdicts import Rules
from bench.analysis.comparison.result import FailedThreshold
from bench.analysis.comparison.verdict_rule import Verdict
from bench.errors import NotComparable, UsageError
from bench.report.ci_formats import benchstat, refusal_comment
from bench.report.comparison.comparison_page import shown_page
from bench.report.formats import RENDERERS, render
from bench.report.notebook import fragment

PRIMARY = ("decode_tok_per_s", "ttft_s.p50")
FAST = {
    "decode_tok_per_s": [50.0, 50.2, 49.8, 50.1, 49.9, 50.0],
    "ttft_s.p50": [0.200, 0.201, 0.199, 0.202, 0.198, 0.200],
    "e2e_s.p50": [3.0, 3.01, 2.99, 3.02, 2.98, 3.0],
}
SLOW = {k: [x * (0.9 if k == "decode_tok_per_s" else 1.1) for x in v] for k, v in FAST.items()}
SLOW["decode_tok_per_s"][0] = 44.6


@pytest.fixture
def worse(case_of, ab_of):
    more = {"identity": {"mean_output_tokens": 140.0}}
    return compare_sides(ab_of(case_of(FAST), case_of(SLOW, **more)), Rules(primary=PRIMARY))


@pytest.fixture
def indicative(case_of, run_of):
    return compare_runs(
        run_of("old", case_of(FAST)), run_of("new", case_of(SLOW)), Rules(primary=PRIMARY)
    )


@pytest.mark.slow
def test_every_format_renders_every_kind(worse, indicative):
    for name in (*RENDERERS, "junit", "github"):
        for comparisons in ([worse], [indicative], [indicative, indicative]):
            assert render(shown_page(comparisons), name).strip()
    with pytest.raises(UsageError, match="there is no format 'pdf'"):
        render(shown_page([worse]), "pdf")


def test_differences_are_told_before_the_verdict(worse):
    for name in ("console", "markdown"):
        text = render(shown_page([worse]), name)
        assert 0 < text.index("tokens per answer 128 \u2192 140") < text.index("Verdict: worse")
        assert text.index("Verdict: worse") < text.index("Verdicts")


def test_a_notebook_shows_the_verdict(worse):
    """Once only the tables were shown: the verdict stands among the findings of a page."""
    assert "Verdict: worse: " in fragment(shown_page([worse], charts=False))


def test_one_threshold_that_fails_is_no_plural(worse):
    failed = replace(worse, failed_thresholds=(FailedThreshold("ttft_s.p50<=1", "c", "m"),))
    assert "1 threshold failed" in [b.text for b in shown_page([failed]).badges]


def test_console_has_effect_interval_and_cross_check(worse):
    text = " ".join(render(shown_page([worse]), "console").split())
    assert re.search(
        r"Verdict: worse: Decode speed −10\.1 % \(−10\.5 to −9\.8\), 50\.0 → 44\.9 tok/s", text
    )
    assert "sign flip p = .031, 6 pairs" in text


def test_an_interval_that_excludes_0_and_yet_is_no_change_says_why(worse):
    (case,) = worse.cases
    doubtful = replace(
        case.metrics[0], verdict=Verdict.INCONCLUSIVE, p_value=0.04, p_corrected=0.08
    )
    shown = replace(worse, cases=(replace(case, metrics=(doubtful, *case.metrics[1:])),))
    text = " ".join(render(shown_page([shown]), "console").split())
    assert "p = .080 for all metrics that gate together (p = .040 alone)" in text
    assert "gate together" not in render(shown_page([worse]), "console")


def test_the_verdict_of_one_case_is_told_once(worse):
    (found,) = [a for a in shown_page([worse]).findings if a.tone == "bad"]
    assert str(found.sentences).count("worse") == 1


def test_an_indication_says_so(indicative):
    text = " ".join(render(shown_page([indicative]), "console").split())
    assert "worse (indicative)" in text
    assert "This is an indication, not a verdict" in text
    assert "ollama-bench ab" in text


def test_json_has_stable_keys(worse):
    content = json.loads(render(shown_page([worse]), "json"))
    assert (content["schema"], content["exit_code"]) == (1, 1)
    (comparison,) = content["comparisons"]
    assert comparison["verdict"] == "worse"
    (case,) = comparison["cases"]
    assert [d["key"] for d in case["differences"]] == ["output_tokens"]
    decode = case["metrics"][0]
    assert decode["metric"] == "decode_tok_per_s"
    assert set(decode) == {
        "metric", "unit", "better", "primary", "catch", "ignore", "verdict", "indicative",
        "baseline", "candidate", "change", "low", "high", "p_value", "p_corrected",
        "sign_flip_p", "n", "pairs_needed", "sessions", "explained_by", "note",
        "baseline_blocks", "candidate_blocks",
    }  # fmt: skip
    assert len(decode["baseline_blocks"]) == 6


@pytest.mark.slow
def test_html_tells_whose_an_answer_is(indicative):
    first, second = (
        replace(indicative, candidate=replace(indicative.candidate, label=label))
        for label in ("one", "other")
    )
    page = render(shown_page([first, second]), "html")
    assert page.index("one. Compared:") < page.index("other. Compared:")
    assert "one. Compared" not in render(shown_page([first]), "html")


def test_html_is_one_file_with_all_charts(worse):
    page = render(shown_page([worse]), "html")
    assert page.count("<svg") >= 6  # effects and two block charts, each wide and narrow
    assert "Changes" in page and "block by block" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_junit(worse, indicative):
    root = ElementTree.fromstring(render(shown_page([worse, indicative]), "junit").encode())
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("4", "2", "2")
    suite, separate = root
    assert [c.get("name") for c in suite] == list(PRIMARY)
    failure = suite.find("testcase/failure")
    assert failure is not None and "Decode speed: worse" in failure.get("message", "")
    assert len(separate.findall("testcase/skipped")) == 2


def test_a_failed_threshold_is_told_everywhere(case_of, ab_of):
    same = compare_sides(ab_of(case_of(FAST), case_of(FAST)), Rules(primary=PRIMARY))
    failed = FailedThreshold("ttft_s.p95 <= 0.1", "b: m", "is 0.2")
    gated = replace(same, failed_thresholds=(failed,))
    for name in ("console", "markdown", "junit", "github", "html", "json"):
        text = render(shown_page([gated]), name)
        assert "0.1" in text and "is 0.2" in text
    root = ElementTree.fromstring(render(shown_page([gated]), "junit").encode())
    assert root.get("failures") == "1"


def test_github_annotations(worse):
    lines = render(shown_page([worse]), "github").splitlines()
    assert all(re.match(r"::(error|warning|notice) title=[^:,]*::\S", line) for line in lines)
    assert lines[0].startswith("::warning title=tokens per answer differs::128 \u2192 140.")
    assert any(line.startswith("::error title=Decode speed%3A worse::") for line in lines)
    assert not any("%" in re.sub(r"%(25|3A|2C|0A|0D)", "", line) for line in lines)


def test_benchstat_lines(case_of, run_of):
    text = benchstat(run_of("old", case_of(FAST, users=4)).summary.cases)
    comment, *lines = text.splitlines()
    assert comment.startswith("# Model: llama3.2:3b | Quant: Q4_K_M | NumCtx: 4096")
    # A name without blanks, a count, then pairs of value and unit.
    form = re.compile(r"BenchmarkModel/name=\S+/step=\w+ 1( [0-9.]+ \S+)+")
    assert all(form.fullmatch(line) for line in lines)
    assert lines[0] == (
        "BenchmarkModel/name=llama3.2:3b/users=4/step=generate 1 "
        "20000000.00 ns/token 50.00 token/sec"
    )
    assert "BenchmarkModel/name=llama3.2:3b/users=4/step=ttft 1 200000000 ns/op" in lines
    assert len(lines) == 12


def test_markup_in_names_stays_text(case_of, ab_of):
    nasty = 'x<script>alert("&")</script>|`*'
    result = compare_sides(
        ab_of(case_of(FAST, model=nasty), case_of(SLOW, model=nasty)), Rules(primary=PRIMARY)
    )
    assert "<script>alert" not in render(shown_page([result]), "html")
    ElementTree.fromstring(render(shown_page([result]), "junit").encode())
    assert "|`" not in render(shown_page([result]), "markdown")


HOSTILE = "a\x00b\x1b[31m\x08|pi`pe`,co:lon%25\r\nline \ufffe\udcff sp ace/x=y <b>&\"'"
FORMS = ("junit", "github", "markdown", "html", "console", "json", "benchstat")


def _texts(case_of, run_of, text, forms):
    """Form -> two comparisons with a text in every place that one can come to."""
    old = run_of(text, case_of(FAST, model=text))
    longer = {"mean_output_tokens": 140.0}
    new = run_of(f"new {text}", case_of(SLOW, model=text, identity=longer))
    failed = FailedThreshold(f"{text} <= 1", text, text)
    result = replace(compare_runs(old, new, Rules(primary=PRIMARY)), failed_thresholds=(failed,))
    gone = refused(result.baseline, result.candidate, text, NotComparable(text, text))
    page = shown_page([result, gone])
    texts = {name: render(page, name) for name in forms}
    return texts | {"benchstat": benchstat(new.summary.cases) + refusal_comment(gone)}


@pytest.mark.slow
@pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS.keys())
def test_every_hostile_string_in_every_form_for_machines(case_of, run_of, text):
    forms = ("junit", "github", "console", "markdown", "json", "csv")
    texts = _texts(case_of, run_of, text, forms)
    annotations = texts.pop("github")
    assert controls(annotations) == []
    for line in annotations.splitlines():
        assert re.match(r"::(error|warning|notice) title=[^:,]*::\S", line)
        assert list(commands(line.split("::", 2)[2])) == []
    assert {name: obeyed(found) for name, found in texts.items() if obeyed(found)} == {}
    ElementTree.fromstring(texts["junit"].encode())
    for line in texts["benchstat"].splitlines():
        assert line.startswith("#") or re.fullmatch(
            r"BenchmarkModel/name=[^\s/=]+/users=1/step=\w+ 1( [0-9.]+ \S+)+", line
        )


@pytest.fixture(scope="module")
def texts(case_of, run_of):
    return _texts(case_of, run_of, HOSTILE, (*RENDERERS, "junit", "github"))


class TestHostileNames:
    """Names from elsewhere hold control characters, halves of surrogate pairs and markup."""

    @pytest.mark.parametrize("name", FORMS)
    def test_can_be_written_and_move_no_cursor(self, texts, name):
        texts[name].encode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe]", texts[name])

    def test_xml_is_well_formed(self, texts):
        root = ElementTree.fromstring(texts["junit"].encode())
        (one,) = root.findall("testsuite/testcase/error")
        assert "[31m" in one.get("message", "")

    def test_annotations_stay_one_line_with_one_property(self, texts):
        for line in texts["github"].splitlines():
            assert re.match(r"::(error|warning|notice) title=[^:,]*::\S", line)
            assert not re.search("%(?!25|3A|2C|0A|0D)", line)

    def test_rows_of_a_table_keep_their_columns(self, texts):
        rows = [r for r in texts["markdown"].splitlines() if r.startswith("|")]
        rules = [len(re.findall(r"(?<!\\)\|", r)) for r in rows]
        assert set(rules) == {9, 7}  # the verdicts, and what differs

    def test_benchstat_reads_names_of_one_word(self, texts):
        lines = [x for x in texts["benchstat"].splitlines() if not x.startswith("#")]
        form = re.compile(r"BenchmarkModel/name=[^\s/=]+/users=1/step=\w+ 1( [0-9.]+ \S+)+")
        assert lines and all(form.fullmatch(line) for line in lines)


def test_changes_are_percent_in_csv_and_in_what_is_copied_from_the_page(worse):
    table = render(shown_page([worse]), "csv").partition("\n")[2]
    head, first, *_ = csv.reader(io.StringIO(table))
    assert head[:2] == ["Metric", "Change (%)"]
    assert float(first[1]) == pytest.approx(100 * (44.975 / 50 - 1), abs=1)
    (column,) = {c for t in shown_page([worse]).brief for c in t.columns if c.title == "Change"}
    assert column.factor == 100
