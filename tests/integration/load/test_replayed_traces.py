"""Traces of tokens are replayed with their lengths, shared beginnings and pauses."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from session_rows import shared

import bench
from bench.results.directory import read_run
from bench.scenario.session_files import read_sessions
from bench.server.embedded import EmbeddedServer, start_server

CASES = Path(__file__).parents[2] / "unit/scenario/session_files/cases"
CAP_S = 0.05
TOLERANCE = 0.03
TEMPLATE_TOKENS = 10
"""Text is made of whole words, and the template has tokens of its own."""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with start_server(num_ctx=8192, ollama_version="0.33.3") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "04-mooncake.jsonl",
        "05-bailian.jsonl",
        "06-weka-session.json",
        "07-tracelab.jsonl",
        "08-otel-counts-only.jsonl",
    ],
)
def test_lengths_prefixes_and_pauses(tmp_path: Path, server: EmbeddedServer, name: str) -> None:
    path = tmp_path / name
    path.write_text(smaller((CASES / name).read_text(encoding="utf-8")), encoding="utf-8")
    file = read_sessions(path)
    scenario = {
        "models": ["sim-small"],
        "targets": [server.url],
        "prompts": {
            "sessions": {"file": str(path), "delays": {"cap": f"{CAP_S}s"}},
            "cache": "warm",
        },
        "load": {"closed": {"users": 1, "sessions": len(file.sessions)}},
        "options": {"num_ctx": 8192},
        "warmup": 0,
        "blocks": 1,
    }
    run = bench.run(scenario, settings=bench.Settings(output=tmp_path), report=False)
    by_session = {session.id: session for session in file.sessions}
    sent: dict[str, list] = {}
    for record in read_run(run.path).records:
        if record.session is not None:
            sent.setdefault(record.session, []).append(record)
    assert sent.keys() == by_session.keys()
    for session_id, records in sent.items():
        steps = by_session[session_id].steps
        records.sort(key=lambda record: record.sent_ns)
        assert len(records) == len(steps)
        for record, step in zip(records, steps, strict=True):
            assert near(record.server.prompt_eval_count, step.prompt_tokens)
            assert record.server.eval_count <= step.output_tokens
        for (one, a), (two, b) in pairwise(zip(records, steps, strict=True)):
            assert near(two.server.prompt_eval_cached_count, shared(a, b))
            pause_s = (two.sent_ns - one.end_ns) / 1e9
            assert pause_s >= min(b.gap_s or 0.0, CAP_S)


def smaller(text: str) -> str:
    """Counts of TraceLab by four, so that they fit the simulated model."""

    def quarter(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) // 4}"

    counts = r'("(?:input_tokens_total|prefix_tokens|newly_append_tokens)": )(\d+)'
    return re.sub(counts, quarter, text)


def near(found: int, wanted: int) -> bool:
    return abs(found - wanted) <= TOLERANCE * wanted + TEMPLATE_TOKENS
