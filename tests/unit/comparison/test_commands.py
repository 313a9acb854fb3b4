"""compare, plan and history on the command line: results, exit codes, and bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from bench.analysis.run.summary import ThresholdResult, ThresholdVerdict
from bench.cli import cli
from bench.errors import BenchError
from bench.results.run import RunStatus
from bench.thresholds import parse_threshold

FAST = {
    "decode_tok_per_s": [50.0, 50.2, 49.8, 50.1, 49.9, 50.0],
    "ttft_s.p50": [0.200, 0.201, 0.199, 0.202, 0.198, 0.200],
}
SLOW = {"decode_tok_per_s": [45.0, 45.2, 44.8, 45.1, 44.9, 45.1], "ttft_s.p50": FAST["ttft_s.p50"]}


def not_met(case: str, note: str) -> ThresholdResult:
    limit = parse_threshold("ttft_s.p95 <= 0.1")
    return ThresholdResult(limit, case, ThresholdVerdict.NOT_MET, note=note)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def failure(*arguments: object) -> tuple[int, str]:
    """Exit code and message of what `main` would show."""
    error = call(*arguments).exception
    assert isinstance(error, BenchError), error
    return int(error.exit_code), str(error)


@pytest.fixture
def pair_run(stored, ab_of, case_of):
    return stored(ab_of(case_of(FAST), case_of(SLOW)))


@pytest.fixture
def two_runs(stored, run_of, case_of):
    return stored(run_of("old", case_of(FAST))), stored(run_of("new", case_of(SLOW)))


def test_a_run_in_pairs_stands_alone(pair_run):
    result = call("compare", pair_run)
    assert result.exit_code == 1
    assert "Verdict: worse: Decode speed" in result.stdout


def test_two_runs_are_only_indicative(two_runs):
    result = call("compare", *two_runs)
    assert result.exit_code == 3
    assert "indicative" in result.stdout


def test_the_same_run_twice_is_no_change_in_all_formats(two_runs, tmp_path):
    for name in ("json", "markdown", "junit", "github", "benchstat"):
        result = call("compare", two_runs[0], two_runs[0], "--format", name)
        assert result.exit_code == 3 and result.stdout.strip()
    path = tmp_path / "out.html"
    result = call("compare", *two_runs, "--format", "html", "-o", path)
    assert result.stdout.splitlines()[-1] == f"Report: {path}"
    assert path.read_text().startswith("<!doctype html>")


def test_other_formats_beside_the_main_one(pair_run, tmp_path):
    junit, page = tmp_path / "junit.xml", tmp_path / "page.md"
    result = call(
        "compare", pair_run, "--format", "github", "--write", f"junit={junit}",
        "--write", f"markdown={page}",
    )  # fmt: skip
    assert result.stdout.startswith("::")
    assert ElementTree.parse(junit).getroot().get("failures") == "1"
    assert "| Metric |" in page.read_text()


def test_several_candidates(two_runs):
    result = call("compare", two_runs[0], two_runs[0], two_runs[1], "--format", "json")
    content = json.loads(result.stdout)
    assert [c["verdict"] for c in content["comparisons"]] == ["no change", "worse"]


class TestCandidatesThatCannotBeCompared:
    """They are named with their reason, and take nothing from the others."""

    @pytest.fixture
    def runs(self, stored, run_of, case_of):
        steady = {k: [v[0] * f for f in (1.0, 1.001, 0.999)] for k, v in FAST.items()}
        earlier = [stored(run_of(f"s{i}", case_of(steady))) for i in range(6)]
        other = case_of(FAST, identity={"served_context": 2048})
        torn = run_of("torn", case_of(FAST), status=RunStatus.RUNNING, done=2)
        spoilt = run_of("spoilt", case_of(FAST), valid=False)
        return {
            "base": earlier[0],
            "slow": stored(run_of("slow", case_of(SLOW))),
            "other": stored(run_of("other", other)),
            "torn": stored(torn),
            "spoilt": stored(spoilt),
        }

    @pytest.fixture
    def database(self, runs, tmp_path):
        path = tmp_path / "history.sqlite"
        call("history", "rebuild", tmp_path, "--history", path)
        return path

    @pytest.mark.parametrize(
        ("names", "code"),
        [
            (("other",), 4),
            (("spoilt",), 5),
            (("other", "slow"), 1),
            (("slow", "torn", "spoilt"), 1),
            (("base", "other"), 4),
            (("base", "spoilt", "torn"), 4),
            (("base", "spoilt"), 5),
        ],
    )
    def test_a_certain_loss_is_never_hidden(self, runs, database, names, code):
        named = [runs[name] for name in names]
        result = call("compare", runs["base"], *named, "--history", database)
        assert result.exit_code == code

    @pytest.mark.slow
    def test_all_formats_tell_all_candidates(self, runs, tmp_path):
        candidates = [runs[name] for name in ("slow", "other", "torn")]
        for name in ("console", "markdown", "json", "junit", "github", "html", "benchstat"):
            out = tmp_path / f"out.{name}"
            call("compare", runs["base"], *candidates, "--format", name, "-o", out)
            text = " ".join(out.read_text().replace("\\", "").split())
            assert "slow" in text, name
            assert "served_context: 4096 -> 2048" in text.replace("&gt;", ">"), name
            assert "torn is incomplete (running, 2 of 6 blocks)" in text, name
            if name != "benchstat":
                assert "--allow served_context" in text and "--allow incomplete" in text, name
        assert "2048 |" not in (tmp_path / "out.benchstat").read_text()  # not even its lines

    def test_json_has_the_reason(self, runs):
        result = call("compare", runs["base"], runs["slow"], runs["other"], "--format", "json")
        compared, refused = json.loads(result.stdout)["comparisons"]
        assert compared["refused"] is None
        assert refused["refused"]["message"].startswith("the two differ in:\n  served_context")
        assert refused["refused"]["exit_code"] == refused["exit_code"] == 4
        assert refused["verdict"] == "not comparable"

    def test_junit_counts_it_as_an_error(self, runs):
        result = call("compare", runs["base"], runs["slow"], runs["other"], "--format", "junit")
        root = ElementTree.fromstring(result.stdout.encode())
        assert (root.get("tests"), root.get("errors")) == ("3", "1")

    def test_its_thresholds_gate_all_the_same(self, stored, run_of, case_of, runs):
        missed = not_met("x", "is 0.2")
        odd = case_of(FAST, identity={"served_context": 2048})
        run = stored(run_of("odd", odd, thresholds=(missed,)))
        assert call("compare", runs["base"], run).exit_code == 4
        assert call("compare", runs["base"], run, "--gate").exit_code == 1

    def test_a_baseline_that_cannot_be_compared_ends_it(self, runs):
        code, message = failure("compare", runs["torn"], runs["base"], runs["slow"])
        assert code == 4 and "torn is incomplete" in message

    def test_the_sides_of_one_run(self, stored, ab_of, case_of):
        odd = case_of(FAST, identity={"served_context": 2048})
        run = stored(ab_of(case_of(FAST), odd))
        for name in ("console", "junit", "github", "benchstat"):
            result = call("compare", run, "--format", name)
            assert result.exit_code == 4
            assert "served_context: 4096" in result.stdout


def test_sizes_and_primary(pair_run):
    assert call("compare", pair_run, "--catch", "25%").exit_code == 0
    assert call("compare", pair_run, "--primary", "ttft_s.p50").exit_code == 0
    strict = call("compare", pair_run, "--ignore", "decode_tok_per_s=4.99", "--strict")
    assert strict.exit_code == 1


def test_the_gate_asks_the_scenarios_thresholds(stored, ab_of, case_of):
    case = "b: llama3.2:3b, users=1"
    missed = not_met(case, "is 0.2")
    on_a = not_met("a: x", "is 9")
    run = stored(ab_of(case_of(FAST), case_of(FAST), thresholds=(missed, on_a)))
    assert call("compare", run).exit_code == 0
    gated = call("compare", run, "--gate", "--format", "json")
    assert gated.exit_code == 1
    (comparison,) = json.loads(gated.stdout)["comparisons"]
    assert [t["case"] for t in comparison["failed_thresholds"]] == [case]


def test_a_gate_on_too_few_requests_is_inconclusive(stored, ab_of, case_of):
    case = "b: llama3.2:3b, users=1"
    needs = replace(
        not_met(case, "p95 needs 72 requests"),
        verdict=ThresholdVerdict.UNSUPPORTED,
    )
    run = stored(ab_of(case_of(FAST), case_of(FAST), thresholds=(needs,)))
    assert call("compare", run).exit_code == 0
    gated = call("compare", run, "--gate")
    assert gated.exit_code == 3
    assert "Thresholds that need more data: ttft_s.p95 <= 0.1" in " ".join(gated.stdout.split())
    for name, said in (("junit", "<skipped"), ("github", "::warning title=threshold needs more")):
        assert said in call("compare", run, "--gate", "--format", name).stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["console", "markdown", "benchstat"])
def test_a_reader_that_stops_reading_changes_no_exit_code(two_runs, name):
    command = [sys.executable, "-m", "bench", "compare", *two_runs, "--format", name]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (3, b"")


class TestBadInput:
    def test_not_a_run_directory(self, tmp_path, two_runs):
        code, message = failure("compare", tmp_path, two_runs[0])
        assert code == 2 and f"{tmp_path} is not a run directory (no run.json)" in message
        code, message = failure("compare", two_runs[0], tmp_path / "none")
        assert code == 2 and "none does not exist" in message

    def test_a_later_schema(self, two_runs):
        file = two_runs[1] / "run.json"
        file.write_text(file.read_text().replace('"schema": 1', '"schema": 99'))
        code, message = failure("compare", *two_runs)
        assert code == 2 and "has schema 99, this program reads up to 1" in message

    def test_a_torn_run_file(self, two_runs):
        (two_runs[1] / "run.json").write_text("{")
        code, message = failure("compare", *two_runs)
        assert code == 2 and "is not a run file" in message

    def test_an_incomplete_run(self, stored, run_of, case_of, two_runs):
        torn = stored(run_of("torn", case_of(FAST), status=RunStatus.RUNNING, done=2))
        result = call("compare", two_runs[0], torn)
        assert result.exit_code == 4
        assert "torn is incomplete (running, 2 of 6 blocks)" in " ".join(result.stdout.split())

    def test_no_common_case(self, stored, run_of, case_of):
        one = stored(run_of("one", case_of(FAST, users=1), case_of(FAST, users=2)))
        other = stored(run_of("other", case_of(FAST, users=4), case_of(FAST, users=8)))
        result = call("compare", one, other)
        assert result.exit_code == 4 and "no case in common" in result.stdout

    def test_no_samples_fails(self, stored, run_of, case_of, two_runs):
        silent = {"decode_tok_per_s": FAST["decode_tok_per_s"]}
        run = stored(run_of("silent", case_of(silent)))
        result = call("compare", two_runs[0], run)
        assert result.exit_code == 1
        assert "no samples on the candidate" in " ".join(result.stdout.split())

    def test_too_few_blocks(self, stored, run_of, case_of, two_runs):
        run = stored(run_of("few", case_of({k: v[:1] for k, v in FAST.items()})))
        result = call("compare", two_runs[0], run)
        assert result.exit_code == 3
        assert "has 1 blocks a side, needs at least 2" in " ".join(result.stdout.split())

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            (("--catch", "ttft_s.p50=much"), "'much' is no percentage"),
            (("--catch", "tftt_s.p50=5%"), "tftt_s"),
            (("--catch", "5%", "--ignore", "6%"), "must lie between 0 and the change to catch"),
            (("--ignore", "8%"), "--ignore 8%: the change to ignore (8 %) must lie between 0 and"),
            (
                ("--catch", "ttft_s.p50=0"),
                "--catch ttft_s.p50=0: the change to catch must be",
            ),
            (("--allow", "served_contxt"), "Did you mean served_context? There are: options,"),
            (("--allow", "options.num_cxt"), "Did you mean options.num_ctx"),
            (("--primary", "speed"), "--primary speed"),
            (("--write", "pdf=x"), "write FORMAT=FILE"),
            (("--write", "junit=/no/such/folder/x.xml"), "cannot write /no/such/folder/x.xml"),
        ],
    )
    def test_options(self, two_runs, option, message):
        code, said = failure("compare", *two_runs, *option)
        assert code == 2 and message in said

    def test_a_single_run_has_no_sides(self, two_runs):
        code, message = failure("compare", two_runs[0])
        assert code == 4 and "to compare two runs, name both" in message


class TestHistory:
    @pytest.fixture
    def database(self, tmp_path: Path, two_runs) -> Path:
        path = tmp_path / "history.sqlite"
        result = call("history", "rebuild", two_runs[0].parent, "--history", path)
        assert result.stdout == f"indexed 2 runs in {path}\n"
        return path

    def test_list_show_tag_rm(self, database):
        listed = call("history", "list", "--history", database).stdout
        assert "id-of-old" in listed and "llama3.2:3b" in listed
        as_json = call("history", "list", "--json", "--history", database).stdout
        assert [r["id"] for r in json.loads(as_json)] == ["id-of-new", "id-of-old"]
        tagged = call("history", "tag", "id-of-old", "good", "x", "--history", database)
        assert tagged.stdout == "id-of-old: good, x\n"
        call("history", "tag", "good", "--remove", "x", "--history", database)
        shown = json.loads(call("history", "show", "good", "--history", database).stdout)
        assert shown["tags"] == ["good"]
        assert shown["cases"][0]["server_version"] == "0.32.15"
        removed = call("history", "rm", "id-of-old", "--history", database).stdout
        assert "its directory stays" in removed
        assert Path(shown["path"]).is_dir()
        empty = call("history", "list", "--tag", "good", "--history", database)
        assert "no runs in" in empty.stderr

    def test_compare_by_tag(self, database):
        call("history", "tag", "id-of-old", "good", "--history", database)
        result = call("compare", "good", "id-of-new", "--history", database)
        assert result.exit_code == 3
        assert "old" in result.stdout and "new" in result.stdout

    @pytest.fixture
    def sessions(self, tmp_path, stored, run_of, case_of):
        """Six runs of one identity, one a day from the 1st on, and a slow one on the 10th."""

        def on(day: int, label: str, values: dict) -> Path:
            subject = run_of(label, case_of(values))
            created_at = f"2026-01-{day:02}T10:00:00+00:00"
            return stored(replace(subject, info=replace(subject.info, created_at=created_at)))

        for i, factor in enumerate((0.999, 1.001, 1.0, 1.002, 0.998, 1.0), 1):
            on(i, f"s{i}", {k: [x * factor for x in v] for k, v in FAST.items()})
        on(10, "slow", SLOW)
        return on

    def compared(self, tmp_path: Path, *names: str) -> Result:
        database = tmp_path / "history.sqlite"
        call("history", "rebuild", tmp_path, "--history", database)
        return call("compare", *(tmp_path / name for name in names), "--history", database)

    def test_five_earlier_sessions_make_a_verdict(self, tmp_path, sessions):
        result = self.compared(tmp_path, "s1", "slow")
        assert result.exit_code == 1
        assert "taken from 5 earlier runs" in " ".join(result.stdout.split())
        without = call("compare", tmp_path / "s1", tmp_path / "slow", "--no-history")
        assert without.exit_code == 3

    def test_the_judged_runs_are_no_sessions(self, tmp_path, sessions):
        sessions(11, "slow too", SLOW)
        result = self.compared(tmp_path, "s1", "slow", "slow too")
        assert "taken from 5 earlier runs" in " ".join(result.stdout.split())

    def test_the_second_slow_night_is_found_as_the_first(self, tmp_path, sessions):
        sessions(11, "slow again", SLOW)
        database = tmp_path / "history.sqlite"
        call("history", "rebuild", tmp_path, "--history", database)
        names = [tmp_path / name for name in ("s1", "slow again")]
        result = call("compare", *names, "--history", database)
        assert "taken from 6 earlier runs" in " ".join(result.stdout.split())
        assert result.exit_code == 1

    def test_invalid_runs_are_left_out_by_name(self, tmp_path, stored, run_of, case_of, sessions):
        bent = run_of("bent", case_of(FAST), valid=False)
        stored(replace(bent, info=replace(bent.info, created_at="2026-01-08T10:00:00+00:00")))
        said = " ".join(self.compared(tmp_path, "s1", "slow").stdout.split())
        assert f"Left out of the earlier sessions: {bent.info.id} (invalid)" in said
        database = tmp_path / "history.sqlite"
        trend = call("history", "trend", "--history", database).stdout
        assert f"Left out: {bent.info.id} (invalid)" in " ".join(trend.split())

    def test_later_runs_are_no_sessions(self, tmp_path, sessions):
        for day in range(20, 26):
            sessions(day, f"later {day}", {k: [x * day / 20 for x in v] for k, v in FAST.items()})
        assert self.compared(tmp_path, "s1", "slow").exit_code == 1
        result = self.compared(tmp_path, "s1", "s2")
        assert "and 0 can be found" in " ".join(result.stdout.split())

    def test_an_unknown_name(self, database):
        code, message = failure("compare", "goood", "id-of-new", "--history", database)
        assert code == 2 and "has no run called 'goood'" in message

    def test_a_directory_that_is_gone(self, database, two_runs):
        two_runs[1].rename(two_runs[1].with_name("moved"))
        code, message = failure("compare", "id-of-old", "id-of-new", "--history", database)
        assert code == 2 and "is gone" in message and "history rebuild" in message

    @pytest.mark.parametrize("command", ["rebuild", "list", "run", "ab", "compare"])
    def test_what_is_no_history_is_told_at_once_and_once(self, tmp_path, two_runs, command):
        theirs = tmp_path / "theirs.sqlite"
        theirs.write_text("something else")
        more = {
            "rebuild": ("history", "rebuild", tmp_path),
            "list": ("history", "list"),
            "run": ("run", "smoke", "-o", tmp_path / "runs"),
            "ab": ("ab", "smoke", "--a", "model=a", "--b", "model=b", "-o", tmp_path / "runs"),
            "compare": ("compare", *two_runs),
        }
        code, message = failure(*more[command], "--history", theirs)
        assert code == 2 and "theirs.sqlite is not a database" in message
        assert not (tmp_path / "runs").exists()

    def test_switched_off(self):
        code, message = failure("history", "list")
        assert code == 2 and "switched off" in message

    def test_a_trend_without_runs(self, database):
        code, message = failure("history", "trend", "ttft_s.p95", "--history", database)
        assert code == 2 and "no complete, valid run" in message
        code, message = failure("history", "trend", "speed", "--history", database)
        assert code == 2 and "speed" in message
