"""Lines that `benchstat` reads, in the form of Ollama's own `cmd/bench`.

`BenchmarkModel/name=MODEL/step=STEP 1 <x> ns/token <y> token/sec`, one line a block, so that

    benchstat baseline.txt candidate.txt

compares blocks. (golang.org/x/perf/benchfmt: a name, a count, then value-unit pairs.) Note that
benchstat tests with Mann-Whitney's U and corrects for nothing; its answer is not ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench.analysis.comparison.result import Comparison
from bench.analysis.run.summary import BlockSummary, CaseSummary
from bench.shown import one_line, printable

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
