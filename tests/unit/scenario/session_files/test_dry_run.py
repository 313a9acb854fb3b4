"""`run --dry-run --json` and `scenarios validate` say what was understood of a file."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import cli

CASES = Path(__file__).parent / "cases"
EXPECTED = json.loads((CASES / "expected.json").read_text(encoding="utf-8"))["files"]


def scenario(tmp_path: Path, entry: dict) -> Path:
    text = json.dumps(entry["scenario"]["prompts"]).replace("FILE", str(CASES / entry["file"]))
    path = tmp_path / "s.yaml"
    load = "load: {closed: {users: 1}}\nblocks: 1\n"
    path.write_text(f"models: [m]\nprompts: {text}\n{load}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "entry", [e for e in EXPECTED if e["verdict"] != "refuse"], ids=lambda e: e["file"]
)
def test_json_has_each_request(tmp_path, entry):
    path = scenario(tmp_path, entry)
    done = CliRunner().invoke(
        cli, ["run", str(path), "--dry-run", "--json"], catch_exceptions=False
    )
    (file,) = json.loads(done.stdout)["files"]
    assert (file["sessions"], file["requests"]) == (entry["sessions"], entry["requests"])
    for session, wanted in zip(file["session_list"], entry["session_list"], strict=True):
        assert session["id"] == wanted["id"]
        for request, expected in zip(session["requests"], wanted["requests"], strict=True):
            assert {key: request[key] for key in expected} == expected
    shared = {(a, b): tokens for a, b, tokens in file.get("shared", [])}
    for one, other, tokens in entry.get("shared", []):
        assert shared.get((one, other), 0) == tokens


def test_validate_shows_format_numbers_and_the_first_requests(tmp_path):
    entry = next(e for e in EXPECTED if e["file"].startswith("06"))
    done = CliRunner().invoke(cli, ["scenarios", "validate", str(scenario(tmp_path, entry))])
    text = " ".join(done.output.split())
    assert "format weka (by its fields); 1 session, 3 requests" in text
    assert "1 pause of more than 60 s cut to it (delays.cap)" in text
    assert "user, at 100 s, after 90 s, 900 tokens, answer 60" in text


def test_requests_of_whole_sessions_are_counted(tmp_path):
    entry = next(e for e in EXPECTED if e["file"].startswith("01"))
    done = CliRunner().invoke(cli, ["run", str(scenario(tmp_path, entry)), "--dry-run", "--json"])
    # Two sessions of one user, of 4 and 2 requests.
    assert json.loads(done.stdout)["requests"] == {"low": 6, "high": 6}


def test_a_refused_file_is_one_problem_with_its_line(tmp_path):
    entry = next(e for e in EXPECTED if e["verdict"] == "refuse")
    done = CliRunner().invoke(cli, ["scenarios", "validate", str(scenario(tmp_path, entry))])
    assert done.exit_code == 2
    assert "prompts.sessions.file: 12-two-units.jsonl:3: when is 1780300809500" in done.output


def test_requests_that_do_not_fit_are_said_before_the_run(tmp_path):
    path = tmp_path / "s.yaml"
    file = CASES / "06-weka-session.json"
    path.write_text(
        f"models: [m]\nprompts: {{sessions: {{file: '{file}', max_context: 850}}}}\n"
        "load: {closed: {users: 1}}\n"
    )
    done = CliRunner().invoke(cli, ["scenarios", "validate", str(path)])
    text = " ".join(done.output.split())
    assert "1 request of 1 session not played" in text
    assert "does not fit 850 tokens (the first: trace_0100, request 3)" in text


def test_the_limit_that_cuts_sessions_is_the_context_less_the_answer(tmp_path):
    path = tmp_path / "s.yaml"
    file = CASES / "06-weka-session.json"
    path.write_text(
        f"models: [m]\nprompts: {{sessions: {{file: '{file}'}}}}\n"
        "options: {num_ctx: 1000, num_predict: 130}\nload: {closed: {users: 1}}\n"
    )
    done = CliRunner().invoke(cli, ["scenarios", "validate", str(path)])
    text = " ".join(done.output.split())
    assert "does not fit 850 tokens (the first: trace_0100, request 3)" in text
