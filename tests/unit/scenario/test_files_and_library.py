from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli.scenarios import command
from bench.errors import ScenarioError, UsageError
from bench.resources import resource_dir
from bench.scenario.document import Document
from bench.scenario.expand import build_plan
from bench.scenario.jsonschema import json_schema, json_schema_text
from bench.scenario.loading import load_scenario, resolve, scenario_names, scenario_path
from bench.scenario.matrix import AXES
from bench.scenario.options import OPTION_NAMES, REMOVED
from bench.scenario.order import LOAD_TIME
from bench.scenario.promptfile import read_prompt_file
from bench.scenario.traces import load_trace

ASKED_FOR = {
    "quickstart",
    "chat",
    "generate",
    "concurrency",
    "prefill",
    "context-depth",
    "cold-start",
    "quantisations",
    "smoke",
}


# --- files that are no scenarios


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        (b"", 0, "is empty"),
        (b"# only a comment\n", 0, "is empty"),
        (b"- a\n- b\n", 0, "holds a list"),
        (b"just words\n", 0, "holds a single value"),
        (b"a: [1, 2\nb: 3\n", 2, "is not YAML"),
        (b"load:\n\tclosed: 1\n", 2, "indent with spaces"),
        (b"seed: 1\nname: x\nseed: 2\n", 3, "is there twice"),
        (b"\x7fELF\xff\xfe\x00\x01", 0, "is not a text file"),
        (b"name: \x00\n", 0, "is not YAML"),
        (b"models: &a [*a]\n", 0, "is no scenario: too many values"),
        (b"[" * 100 + b"]" * 100, 0, "is no scenario|holds a list"),
        (b"seed: 1\n---\nseed: 2\n", 2, "is not YAML"),
        (b"seed: !!python/object:os.system x\n", 1, "is not YAML"),
        (b"a: " + b"x" * 1_000_001, 0, "is no scenario: more than 1,000,000 bytes"),
    ],
)
def test_a_bad_file_gives_one_clear_message(
    tmp_path: Path, content: bytes, line: int, why: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError, match=why) as caught:
        load_scenario(str(path))
    (problem,) = caught.value.problems
    assert problem.line == line


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no scenario file"):
        load_scenario(str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match="is a folder"):
        load_scenario(str(tmp_path))


def test_a_relative_path_is_relative_to_the_folder_given(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 5\n")
    scenario = load_scenario("mine.yaml", cwd=tmp_path)
    assert (scenario.seed, scenario.name, scenario.source) == (5, "mine", "mine.yaml")


# --- overrides


def _smoke(*overrides: str) -> Any:
    return load_scenario("smoke", overrides)


def test_overrides_are_yaml() -> None:
    scenario = _smoke(
        "models=[a, 'b:1']",
        "options.temperature=0.5",
        "load.closed.users=3",
        "matrix.num_ctx=[2048, 4096]",
        "system='You are: kind'",
        "models[1]=llama3.2:3b",
        "prompts.synthetic.input_tokens={uniform: {low: 50, high: 90}}",
    )
    assert scenario.models == ["a", "llama3.2:3b"]
    assert scenario.options.temperature == 0.5
    assert scenario.load.closed.users == [3]
    assert scenario.matrix == {"num_ctx": [2048, 4096]}
    assert scenario.prompts.synthetic.input_tokens.uniform.high == 90


def test_items_of_lists_are_named_as_they_are_set() -> None:
    load_scenario("swap", ["mix[0].model=x"])
    with pytest.raises(ScenarioError, match=r"mix is a list: its first item is mix\[0\]"):
        load_scenario("swap", ["mix.0.model=x"])


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("load.closed.users=many", r"must be a whole number \(from --set load.closed.users=many\)"),
        ("load.closed.user=3", "did you mean users"),
        ("nonsense", "write --set path=value"),
        ("=3", "is not a key path"),
        ("a..b=3", "is not a key path"),
        ("models[3]=x", "models has no item 3|models is a value"),
        ("name.first=x", "name is a value, it has no keys"),
        ("models=[a", "not a YAML value"),
        ("load.open.rate=2", "has closed and open: give exactly one"),
        ("seed=", "has no value"),
    ],
)
def test_a_wrong_override_is_named(override: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=why) as caught:
        _smoke(override)
    assert override in str(caught.value)


# --- what goes wrong inside


def _wrong(data: dict[str, Any]) -> str:
    with pytest.raises(ScenarioError) as caught:
        resolve(Document("f.yaml", data), (), source="f.yaml", directory=Path())
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"raw": True}, "raw: needs endpoint: generate"),
        ({"cold": True, "load": {"open": {"rate": 1, "requests": 3}}}, "cold: unloads before"),
        ({"cold": True, "load": {"closed": {"users": [1, 2]}}}, "cold: unloads before"),
        (
            {"cold": True, "load": {"closed": {"users": 1, "think_time": 2}}},
            "load.closed.think_time: has no meaning with cold",
        ),
        ({"raw": True, "endpoint": "generate", "system": "x"}, "raw: cannot go with system"),
        ({"cold": True, "load": {"closed": {"users": 2}}}, "cold: unloads before every request"),
        ({"load": {"closed": {"users": 8, "requests": 4}}}, "fewer than the 8 users"),
        ({"options": {"num_predict": 0}}, "num_predict: 0 means different things"),
        ({"matrix": {"num_predict": [0, 8]}}, "with num_predict=0: options.num_predict: 0 means"),
        ({"matrix": {"rate": [1]}}, "varies load.open.rate, but this scenario has no load.open"),
        ({"matrix": {"num_ctx": []}}, "lists nothing"),
        ({"matrix": {"num_ctx": [8, "x"]}}, r"matrix.num_ctx\[1\]: must be a whole number"),
        ({"matrix": {"model": ["a"]}}, "list several models under models"),
        ({"matrix": {"num_ctxx": [8]}}, "did you mean num_ctx"),
        ({"matrix": {"mirostat": [1]}}, "Ollama removed this option"),
        ({"matrix": {"num_ctx": [8], "options.num_ctx": [9]}}, "the same key as num_ctx"),
        (
            {"matrix": {"num_ctx": list(range(4, 44)), "top_k": list(range(20))}},
            "makes 800 combinations",
        ),
        ({"prompts": {}}, "give exactly one of inline, file, synthetic"),
        ({"prompts": {"inline": []}}, "prompts.inline: must not be empty"),
        ({"prompts": {"synthetic": {"input_tokens": "long"}}}, "must be a number, or one of"),
        ({"prompts": {"synthetic": {"language": "en"}}}, "input_tokens: is missing"),
        (
            {"prompts": {"synthetic": {"input_tokens": {"uniform": {"low": 9, "high": 1}}}}},
            "high must not be below low",
        ),
        (
            {
                "prompts": {
                    "synthetic": {"input_tokens": {"choice": {"values": [1], "weights": []}}}
                }
            },
            "1 values but 0 weights",
        ),
        ({"load": {"open": {}}}, "rate is missing"),
        ({"load": {"open": {"rate": 1, "arrivals": "regular"}}}, "must be constant, poisson"),
        ({"keep_alive": "300"}, "must be a duration with unit"),
        ({"keep_alive": True}, "must be a duration with unit"),
        ({"format": "xml"}, "must be json, a JSON schema"),
        ({"targets": ["ftp://x"]}, "unknown scheme"),
        ({"targets": [{"name": "x"}]}, "give exactly one of url, command"),
        ({"targets": [{"name": "x", "url": "y", "env": {"A": "1"}}]}, "env is only for a server"),
        ({"thresholds": ["fast"]}, "METRIC OPERATOR VALUE"),
        (
            {"stream": False, "thresholds": ["error_rate < 1", "ttft_s.p50 < 1"]},
            r"thresholds\[1\]: ttft_s is only known when answers are streamed",
        ),
        ({"options": {"temperature": float("inf")}}, "must be a finite number"),
        ({"options": {"num_ctx": 2**40}}, "must be less than"),
        ({"seed": 2**60}, "less than or equal to"),
        ({"matrix": {"users": [[1, 2]]}}, "must be one number"),
        ({1: 2}, "a key must be text"),
        ({"primary": ["ttft"]}, "did you mean ttft_s"),
        ({"stream": "yes"}, "must be true or false"),
        ({"models": [""]}, "must not be empty"),
        ({"models": [3.2]}, "must be text; put it in quotes"),
        ({"name": "a/b"}, "name:"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"schema": 2}, "must be 1"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(data: dict[str, Any], why: str) -> None:
    message = _wrong(data)
    assert re.search(why, message), message
    assert "Input should" not in message and "Value error" not in message


def test_credentials_are_not_shown_again() -> None:
    assert "hunter2" not in _wrong({"targets": ["https://me:hunter2@box"]})


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_removed_options_say_since_when(name: str) -> None:
    assert f"removed this option in {REMOVED[name]}" in _wrong({"options": {name: 1}})


def test_options_of_other_programs_are_translated() -> None:
    assert "Ollama's name for it is num_predict" in _wrong({"options": {"max_tokens": 9}})
    assert "OLLAMA_NUM_PARALLEL" in _wrong({"options": {"num_parallel": 4}})
    assert "beside `options`" in _wrong({"options": {"think": False}})


# --- files beside the scenario


def _prompt_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_text_files_hold_a_prompt_a_paragraph_or_a_line(tmp_path: Path) -> None:
    lines = _prompt_file(tmp_path, "a.txt", "one\ntwo\n")
    paragraphs = _prompt_file(tmp_path, "b.txt", "one\nmore\n\n\ntwo 你好\n")
    assert [r["prompt"] for r in read_prompt_file(lines)] == ["one", "two"]
    assert [r["prompt"] for r in read_prompt_file(paragraphs)] == ["one\nmore", "two 你好"]


def test_jsonl_and_csv_hold_the_same(tmp_path: Path) -> None:
    jsonl = '{"prompt": "a\\u2028b", "system": "s", "output_tokens": 5}\n\n"bare"\n'
    table = 'prompt,system,output_tokens\n"a\u2028b",s,5\nbare,,\n'
    expected = (
        {"prompt": "a\u2028b", "system": "s", "output_tokens": 5},
        {"prompt": "bare"},
    )
    assert read_prompt_file(_prompt_file(tmp_path, "p.jsonl", jsonl)) == expected
    assert read_prompt_file(_prompt_file(tmp_path, "p.csv", table)) == expected


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": }\n', "p.jsonl:2: is not JSON"),
        ("p.jsonl", '{"prompt": "a", "tokens": 4}\n', "p.jsonl:1: unknown key 'tokens'"),
        ("p.jsonl", '{"system": "a"}\n', "p.jsonl:1: prompt is missing"),
        ("p.jsonl", '"a"\n"b"\n[1]\n', "p.jsonl:3: must be an object"),
        ("p.jsonl", '{"prompt": "a", "output_tokens": 0}\n', "p.jsonl:1: output_tokens"),
        ("p.csv", "text\na\n", "no column named prompt"),
        ("p.csv", "prompt\na\nb,c\n", "p.csv:3: more fields than columns"),
        ("p.csv", "prompt,system,prompt \na,b,c\n", "p.csv:1: two columns are called 'prompt'"),
        (
            "p.jsonl",
            '"a"\n{"prompt": "a", "prompt": "b"}\n',
            "p.jsonl:2: the key 'prompt' is there twice",
        ),
        ("p.csv", "prompt,output_tokens\na,some\n", "p.csv:2: output_tokens"),
        ("p.txt", "\n \n", "p.txt holds no prompt"),
        ("p.md", "hello", "not a .txt, .jsonl, .csv or .tsv file"),
    ],
)
def test_a_wrong_line_of_a_prompt_file_is_named(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        read_prompt_file(_prompt_file(tmp_path, name, text))


def test_a_scenario_finds_its_files_beside_itself(tmp_path: Path) -> None:
    _prompt_file(tmp_path, "p.txt", "one\ntwo\n")
    _prompt_file(tmp_path, "times.txt", "# seconds\n0.5\n0.1\n\n2 # late\n")
    scenario = _prompt_file(
        tmp_path,
        "s.yaml",
        "prompts: {file: p.txt}\nload: {open: {arrivals: {trace: {file: times.txt}}}}\n",
    )
    plan = build_plan(load_scenario(str(scenario)), models=["m"])
    assert plan.prompt_files == {"p.txt": ({"prompt": "one"}, {"prompt": "two"})}
    arrivals = plan.cases[0].load.arrivals
    assert arrivals is not None and arrivals.times_s == (0.1, 0.5, 2.0)
    assert plan.cases[0].id == "m, rate=trace"


def test_what_is_wrong_in_a_file_beside_is_found_when_loading(tmp_path: Path) -> None:
    _prompt_file(tmp_path, "p.jsonl", "{\n")
    scenario = _prompt_file(tmp_path, "s.yaml", "seed: 1\nprompts:\n  file: p.jsonl\n")
    with pytest.raises(ScenarioError, match=r"p.jsonl:1: is not JSON") as caught:
        load_scenario(str(scenario))
    assert caught.value.problems[0].line == 3


@pytest.mark.parametrize("text", ["", "1\nx\n", "-1\n", "inf\n"])
def test_a_wrong_trace_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"t.txt(:\d+: .* is not a time| holds no arrival)"):
        load_trace(_prompt_file(tmp_path, "t.txt", text))


# --- the library


def test_the_library_has_what_was_asked_for() -> None:
    assert set(scenario_names()) >= ASKED_FOR


@pytest.mark.parametrize("name", scenario_names())
def test_a_shipped_scenario_is_right_and_explains_itself(name: str) -> None:
    first = scenario_path(name).read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema.json"
    scenario = load_scenario(name)
    assert scenario.name == name
    assert len(scenario.description) > 60
    plan = build_plan(scenario, models=scenario.models or ["m"])
    assert len(plan.cases) <= 8


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean concurrency"):
        load_scenario("concurency")
    with pytest.raises(UsageError, match="shipped are: agent"):
        load_scenario("xyzzy")


def test_the_shipped_json_schema_is_current() -> None:
    shipped = (resource_dir("scenarios") / "schema.json").read_text(encoding="utf-8")
    assert shipped == json_schema_text(), (
        "run: ollama-bench scenarios schema > scenarios/schema.json"
    )


def test_the_json_schema_knows_every_key() -> None:
    schema = json_schema()
    options = schema["$defs"]["OllamaOptions"]
    assert set(options["properties"]) == set(OPTION_NAMES)
    assert set(OPTION_NAMES) >= LOAD_TIME
    assert all("description" in p for p in options["properties"].values())
    assert set(schema["properties"]["matrix"]["properties"]) >= set(AXES)
    assert '"null"' not in json.dumps(schema)


# --- the commands


def _call(*arguments: str) -> Any:
    return CliRunner().invoke(command, list(arguments), standalone_mode=False)


def test_list_names_every_scenario() -> None:
    result = _call("list")
    assert all(name in result.output for name in scenario_names())


def test_show_prints_the_file() -> None:
    assert _call("show", "smoke").output == scenario_path("smoke").read_text(encoding="utf-8")


def test_validate_shows_what_would_run_and_every_error(tmp_path: Path) -> None:
    good = _call("validate", "concurrency")
    assert "Cases: 4. Blocks: 24. Requests: 288" in good.output
    assert "users=8" in good.output
    bad = _prompt_file(tmp_path, "bad.yaml", "naem: x\nseed: y\n")
    result = CliRunner().invoke(command, ["validate", str(bad), "nope", "smoke"])
    assert result.exit_code == 2
    assert "did you mean name" in result.output and "bad.yaml:2: seed" in result.output
    assert "there is no scenario 'nope'" in result.output
    assert "smoke: fine" in result.output


def test_new_makes_a_valid_file_and_never_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "my test"
    _call("new", str(target), "--from", "chat")
    made = target.with_name("my test.yaml")
    assert load_scenario(str(made)).name == "my test"
    assert load_scenario(str(made)).prompts == load_scenario("chat").prompts
    before = made.read_text()
    assert isinstance(_call("new", str(target)).exception, UsageError)
    assert made.read_text() == before


def test_new_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    error = _call("new", str(tmp_path / "no" / "x.yaml")).exception
    assert isinstance(error, UsageError)
    assert "cannot be written" in str(error)


@pytest.mark.slow
def test_schema_prints_the_schema() -> None:
    assert json.loads(_call("schema").output) == json_schema()
