"""The schemas of our own files: up to date, true of what is written, and never narrower."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary_json import to_json
from bench.cli import cli
from bench.commands.comparing import compare
from bench.commands.schemas import FORMS, schema_file, schema_of, schema_text
from bench.report.comparison.comparison_page import comparison_json
from bench.results.directory import RunDirectory, read_run
from bench.results.fidelity_files import (
    FidelitySetup,
    GateRecord,
    PlaceRecord,
    Side,
    write_setup,
)
from bench.results.journal import Journal
from bench.scenario.plan import ForcedText

RECORDINGS = Path(__file__).parents[2] / "recordings"
EARLIER = sorted((RECORDINGS / "runs").iterdir())
sys.path.insert(0, str(Path(__file__).parents[1] / "report"))


def valid(name: str, content: Any) -> None:
    Draft202012Validator(schema_of(name)).validate(content)


@pytest.mark.parametrize("name", FORMS)
def test_the_files_are_up_to_date(name: str) -> None:
    assert schema_file(name).read_text(encoding="utf-8") == schema_text(name), (
        "run: python -m bench.commands.reference"
    )
    Draft202012Validator.check_schema(schema_of(name))


@pytest.mark.parametrize("path", EARLIER, ids=lambda p: p.name)
def test_runs_of_earlier_versions_fulfil_them(path: Path) -> None:
    valid("run", json.loads((path / "run.json").read_text()))
    for line in (path / "requests.jsonl").read_text().splitlines():
        valid("request", json.loads(line))


@pytest.mark.slow
def test_what_is_written_now_fulfils_them(tmp_path: Path) -> None:
    from runs import CHAT, write_run

    a, b = (write_run(tmp_path, CHAT) for _ in range(2))
    run = read_run(a)
    valid("run", json.loads((a / "run.json").read_text()))
    valid("request", json.loads((a / "requests.jsonl").read_text().splitlines()[5]))
    summary = json.loads(json.dumps(to_json(summarise(run.info, run.records))))
    valid("summary", summary)
    with pytest.raises(Exception, match="is not of type"):
        valid("summary", summary | {"cases": 3})
    valid("comparison", json.loads(comparison_json(compare(a, [b]))))


def printed(*arguments: object) -> Any:
    """What a command prints as JSON."""
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    return json.loads(result.stdout)


@pytest.mark.slow
def test_what_commands_print_as_json_fulfils_them(tmp_path: Path) -> None:
    from runs import CHAT, write_run

    run_dir = write_run(tmp_path, CHAT)
    history = ("--history", tmp_path / "h.sqlite")
    CliRunner().invoke(cli, ["history", "rebuild", str(tmp_path), *map(str, history)])
    listed = printed("history", "list", "--json", *history)
    assert len(listed) == 1
    valid("history", listed)
    trend = printed("history", "trend", "--format", "json", *history)
    assert len(trend) == len(CHAT.models)
    valid("trend", trend)
    valid("plan", printed("plan", run_dir, "--format", "json"))
    valid("doctor", printed("doctor", "--json", "--host", "http://127.0.0.1:9"))
    valid("board", printed("board", run_dir, "--format", "json"))
    what_if = ("capacity", "what-if", "gpu-12gb", "--slo", "ttft_s.p95<=2", "--rate", "1")
    valid("what-if", printed(*what_if, "--servers", "1", "--format", "json"))


def test_what_a_dry_run_prints_fulfils_them(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("turns.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},'
        ' {"role": "user", "content": "c"}]}\n'
    )
    Path("asked.jsonl").write_text('{"prompt": "why?", "system": "Be short."}\n')
    head = "schema: 1\nload: {closed: {users: 1, requests: 2}}\n"
    Path("a.yaml").write_text(f"{head}name: a\nprompts: {{sessions: {{file: turns.jsonl}}}}\n")
    Path("b.yaml").write_text(f"{head}name: b\nprompts: {{file: asked.jsonl}}\n")
    dry = ("-m", "m", "--dry-run", "--json")
    one, both = printed("run", "a.yaml", *dry), printed("run", "a.yaml", "b.yaml", *dry)
    assert one["files"][0]["session_list"][0]["requests"]
    assert both[1]["files"][0]["session_list"][0]["requests"][0]["system"] == "Be short."
    for content in (one, both):
        valid("dry-run", content)
    with pytest.raises(Exception, match="not valid under any"):
        valid("dry-run", one | {"cases": 3})


def test_what_fidelity_keeps_fulfils_them(tmp_path: Path) -> None:
    sides = (Side("ref", "m:f16", "http://x"), Side("c1", "m:q4", "http://x"))
    text = ForcedText("en", "a few words", (3, 5))
    setup = FidelitySetup(1, "i", "2026-01-01T00:00:00+00:00", "0", sides, (text,), "h", 512, 7, 1)
    write_setup(RunDirectory(tmp_path, "i"), setup)
    (kept,) = tmp_path.iterdir()
    valid("fidelity-setup", json.loads(kept.read_bytes()))
    for name, record in (
        ("fidelity-place", PlaceRecord(1, 0, 3, ((" a", -0.5),), 7)),
        ("fidelity-gate", GateRecord(1, "needle", 0, "where?", "here", "stop")),
    ):
        with Journal(tmp_path / name) as journal:
            journal.append(record)
        valid(name, json.loads((tmp_path / name).read_bytes()))


@pytest.mark.parametrize("name", FORMS)
def test_what_was_promised_is_still_true(name: str) -> None:
    """Against the schemas kept when a version was released: keys and types may only be added."""
    earlier = json.loads((RECORDINGS / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    assert list(_broken(earlier, schema_of(name))) == []


def _broken(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for part, before in old["$defs"].items():
        after = new["$defs"].get(part)
        if after is None:
            yield f"{part} is gone"
            continue
        for key, kind in before.get("properties", {}).items():
            now = after.get("properties", {}).get(key)
            if now is None:
                yield f"{part}.{key} is gone"
            elif not _kinds(kind) <= _kinds(now):
                yield f"{part}.{key} took {_kinds(kind)}, takes {_kinds(now)}"


def _kinds(node: dict[str, Any]) -> set[str]:
    if "anyOf" in node:
        return {kind for option in node["anyOf"] for kind in _kinds(option)}
    kind = node.get("$ref") or node.get("type") or ("text" if "enum" in node else "any")
    return {kind} if isinstance(kind, str) else set(kind)
