from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from bench.cli import cli


def completed(*words: str) -> list[str]:
    *before, begun = words
    shell = ShellComplete(cli, {}, "ollama-bench", "_OLLAMA_BENCH_COMPLETE")
    return [item.value for item in shell.get_completions(list(before), begun)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("capacity", "search", "chat", "--slo", "ttft_s.p9"), ["ttft_s.p90<=", "ttft_s.p95<="]),
        (("compare", "a", "b", "--primary", "decode_"), ["decode_tok_per_s"]),
        (("compare", "a", "b", "--catch", "tpot_s.p5"), ["tpot_s.p50="]),
        (("history", "trend", "e2e_s.m"), ["e2e_s.mean", "e2e_s.min", "e2e_s.max"]),
    ],
)
def test_metrics_are_completed(words: tuple[str, ...], expected: list[str]) -> None:
    assert set(expected) <= set(completed(*words))
