from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import ScenarioError, UsageError
from bench.scenario.expand import build_ab_plan, build_plan
from bench.scenario.loading import load_scenario
from bench.scenario.prompts import prompt_source


def _write(folder: Path, text: str, name: str = "mine.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def _problems(source: str, *overrides: str) -> dict[str, tuple[int, str]]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(source, overrides)
    return {p.path: (p.line, p.message) for p in caught.value.problems}


def test_every_error_is_found_at_once(tmp_path: Path) -> None:
    source = _write(
        tmp_path,
        """schema: 1
naem: x
options: {num_ctxx: 4, num_ctx: "4096", mirostat: 2}
load:
  closed:
    users: [1, two]
    request: 5
thresholds: ["ttft.p95 <= 2"]
think: maybe
""",
    )
    found = _problems(source)
    assert found["naem"] == (2, "unknown key; did you mean name?")
    assert found["options.num_ctxx"] == (3, "unknown key; did you mean num_ctx?")
    assert found["options.num_ctx"] == (3, "must be a whole number")
    assert "Ollama removed this option in 0.7.0" in found["options.mirostat"][1]
    assert found["load.closed.users[1]"] == (6, "must be a whole number")
    assert found["load.closed.request"] == (7, "unknown key; did you mean requests?")
    assert found["thresholds[0]"] == (8, "unknown metric 'ttft'; did you mean ttft_s?")
    assert found["think"][0] == 9
    assert len(found) == 8


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("users: 4", "users", "load.closed.users"),
        ("load: {users: 4}", "load.users", "load.closed.users"),
        ("load: {user: 4}", "load.user", "load.closed.users"),
        ("num_ctx: 8192", "num_ctx", "options.num_ctx"),
        ("duration: 1m", "duration", "load.closed.duration or load.open.duration"),
        ("prompts: {input_tokens: 9}", "prompts.input_tokens", "prompts.synthetic.input_tokens"),
    ],
)
def test_a_key_that_belongs_elsewhere_is_sent_there(
    tmp_path: Path, text: str, key: str, meant: str
) -> None:
    found = _problems(_write(tmp_path, text))
    assert found[key] == (1, f"unknown key here; did you mean {meant}?")


def test_parts_of_a_mix_are_checked_and_read_like_the_whole(tmp_path: Path) -> None:
    _write(tmp_path, "one\ntwo\n", "p.txt")
    parts = "[{{model: a, prompts: {}, endpoint: {}}}, {{model: b}}]"
    mix = f"load: {{{{closed: {{{{users: 2}}}}}}}}\nmix: {parts}"
    source = _write(tmp_path, mix.format("{file: none.txt}", "chat"))
    assert "none.txt cannot be read" in _problems(source)["mix[0].prompts.file"][1]
    source = _write(tmp_path, mix.format("{agent: {}}", "generate"))
    assert _problems(source) == {"mix[0].prompts.agent": (2, "needs endpoint: chat")}
    plan = build_plan(load_scenario(_write(tmp_path, mix.format("{file: p.txt}", "chat"))))
    assert plan.prompt_files == {"p.txt": ({"prompt": "one"}, {"prompt": "two"})}
    assert {c.part: c.prompts.file for c in plan.cases} == {"a": "p.txt", "b": ""}
    assert plan.notes[0].startswith("prompts p.txt: 2 prompts")


@pytest.mark.parametrize("value", [str(2**1024 - 1), "9" * 400 + "s", ".inf", ".nan"])
def test_a_time_beyond_all_numbers_is_none(tmp_path: Path, value: str) -> None:
    found = _problems(_write(tmp_path, f"timeouts: {{connect: {value}}}"))
    assert found["timeouts.connect"][1].startswith("must be a duration such as 90s")


def test_a_file_of_sessions_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    source = _write(tmp_path, "prompts: {sessions: {file: s.jsonl}}")
    row = '{"messages": [{"role": "user", "content": "Hi"}]}\n'
    for count in (1, 3):
        _write(tmp_path, row * count, "s.jsonl")
        (case,) = build_plan(load_scenario(source), models=["m"]).cases
        assert case.prompts.replay is not None and case.prompts.replay.count == count


def test_pictures_of_a_folder_that_is_named_in_full(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    prompts = "prompts: {inline: [hi], images: {files: '%s'}}"
    plan = build_plan(load_scenario(_write(tmp_path, prompts % (tmp_path / "*.png"))), models=["m"])
    assert plan.cases[0].prompts.images is not None
    assert [name for name, _ in plan.cases[0].prompts.images.files] == ["a.png"]
    found = _problems(_write(tmp_path, prompts % (tmp_path / "*.jpg")))
    assert "no file matches" in found["prompts.images.files"][1]


def test_parts_of_a_mix_have_names_of_their_own() -> None:
    named = [{"name": "a 3"}, {"name": "a"}, {"name": "a"}, {"model": "m"}, {}]
    mix = load_scenario({"mix": named, "load": {"closed": {"users": 5}}})
    assert list(mix.parts()) == ["a 3", "a", "a 3 3", "m", "part 5"]


def test_sides_and_parts_that_cut_one_file_in_two_ways_get_their_own_prompts(
    tmp_path: Path,
) -> None:
    _write(tmp_path, "short,long\na,a longer one\n", "p.csv")
    either = [{"prompts": {"file": "p.csv", "columns": {"prompt": c}}} for c in ("short", "long")]
    a, b = (load_scenario(side, cwd=tmp_path) for side in either)
    mix = {"load": {"closed": {"users": 2}}, "mix": [{"model": "m"} | part for part in either]}
    mixed = build_plan(load_scenario(mix, cwd=tmp_path), models=["m"])
    for plan in (build_ab_plan(a, b, 1, models_a=["m"], models_b=["m"]), mixed):
        asked = [prompt_source(case, plan).prompt(plan.blocks[0], 0) for case in plan.cases]
        assert {p.user.partition("\n\n")[2] for p in asked} == {"a", "a longer one"}
        assert "prompt from column long" in plan.notes[1]


def test_a_plan_says_everything_that_is_sent(tmp_path: Path) -> None:
    source = _write(tmp_path, "load: {closed: {users: 2, requests: 4}}\n")
    plan = build_plan(load_scenario(source), models=["m"], hosts=["box:1234"])
    (case,) = plan.cases
    assert case.options == {"num_ctx": 4096, "temperature": 0, "seed": 7, "num_predict": 128}
    assert (case.think, case.keep_alive, case.warmup) == (False, "30m", 3)
    assert (case.load.users, case.load.requests) == (2, 4)
    assert plan.targets[0].url == "http://box:1234"
    assert case.id == "m, users=2"
    assert [b.repetition for b in plan.blocks] == [0, 1, 2, 3, 4, 5]


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean smoke"):
        load_scenario("smok")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"a": "\xe9t\xe9"}]', "t.json:1: is not text in UTF-8"),
        (b"[\n\n1" + b"0" * 5000 + b"]", "t.json:1: cannot be read: a number of thousands of"),
        (b'[\n{"a": }]', "t.json:2: is not JSON: Expecting value"),
        (b"[" * 100_000, "t.json:1: cannot be read: "),
    ],
)
def test_a_json_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "t.json").write_bytes(content)
    found = _problems(_write(tmp_path, "models: [m]\ntools: t.json\n"))
    assert found["tools"][0] == 2
    assert found["tools"][1].startswith(message)
