"""One changed line in front of the prompt: what it costs an agent of five turns, really measured.

    python tests/performance/agent_prefix.py [--blocks 6] [--engine llama.cpp] [--scale 1]

Made-up coding agents of five turns ask a server on this machine, over HTTP, with the program's own
client: once with a head that stays, so that each prompt goes on where the last one ended, and once
with another first line in every request. Printed: the cached share of either, and how many times as
long a later turn waits for its first token, with the paired 95 % interval over the blocks; and the
largest difference between the cached counts of the client and those of the server's truth log. With
`--engine simulated` the machine is invented.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import bench
from bench.load.session import Settings
from bench.results.directory import read_run
from bench.results.record import RequestRecord
from bench.server.embedded import EmbeddedServer, start_server
from bench.stats.paired import log_ratios, paired_effect

TURNS = 5
HEADS = ("shared", "changing")


def scenario(blocks: int, scale: float) -> dict[str, object]:
    """Five turns a session; one session a block."""
    agent = {
        "turns": TURNS,
        "tool_steps": 0,
        "shared_tokens": round(360 * scale),
        "first_tokens": round(60 * scale),
        "turn_tokens": round(24 * scale),
        "output_tokens": 6,
        "pause": 0,
        "tool_pause": 0,
        "titles": False,
        "subagents": {"chance": 0},
        "head": "shared",
    }
    return {
        "schema": 1,
        "name": "agent-prefix",
        "options": {"num_ctx": 2048, "temperature": 0, "seed": 7, "num_predict": 6},
        "think": False,
        "prompts": {"agent": agent},
        "matrix": {"head": list(HEADS)},
        "load": {"closed": {"users": [1], "requests": TURNS}},
        "warmup": 1,
        "blocks": blocks,
    }


def later_wait(records: list[RequestRecord]) -> float:
    """Seconds to the first token, summed over the turns after the first."""
    times = [
        r.first_chunk_ns - r.sent_ns for r in records if r.turn and r.first_chunk_ns and r.sent_ns
    ]
    return sum(times) / 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--engine", default="llama.cpp")
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with (
        tempfile.TemporaryDirectory() as folder,
        start_server(arguments.engine, ollama_version="0.33.3", threads=1) as server,
    ):
        model = "smollm2:135m" if arguments.engine == "llama.cpp" else "sim-small:latest"
        run = bench.run(
            scenario(arguments.blocks, arguments.scale),
            models=[model],
            hosts=[server.url],
            settings=Settings(output=Path(folder)),
            report=False,
        )
        by_block: dict[tuple[str, int], list[RequestRecord]] = defaultdict(list)
        for record in read_run(run.path).records:
            if record.outcome == "ok" and record.phase == "measure":
                by_block[record.case, record.block].append(record)
        report(by_block, server)


def report(by_block: dict[tuple[str, int], list[RequestRecord]], server: EmbeddedServer) -> None:
    """Print the ratio, the shares, and whether the truth log says the same."""
    waits: dict[str, list[float]] = {}
    for head in HEADS:
        blocks = {block: r for (case, block), r in sorted(by_block.items()) if head in case}
        later = [r for records in blocks.values() for r in records if r.turn]
        cached = sum(r.server.prompt_eval_cached_count or 0 for r in later)
        asked = sum(r.server.prompt_eval_count or 0 for r in later)
        waits[head] = [later_wait(records) for records in blocks.values()]
        each = sum(waits[head]) / len(later)
        print(f"head {head}: {cached / asked:.3f} of later prompts cached, {each:.2f} s a turn")
    effect = paired_effect(log_ratios(waits["shared"], waits["changing"]))
    low, high = (1 + end for end in effect.interval())
    told = Counter(
        f"{r.server.prompt_eval_count}/{r.server.prompt_eval_cached_count}"
        for records in by_block.values()
        for r in records
    )
    true = Counter(f"{r.prompt_tokens}/{r.cached_tokens}" for r in server.truth)
    print(f"requests whose counts the truth log does not have: {(told - true).total()}")
    print(
        "With another first line in every request a later turn waits "
        f"{1 + effect.ratio_change:.1f} times as long for its first token "
        f"({low:.1f} to {high:.1f}, {effect.n} pairs of blocks)."
    )


if __name__ == "__main__":
    main()
