"""What the done line says of the prompt cache by version, and what the truth log says anyway."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from virtual_server import MS, ask, model, virtual_app

from bench.clock import run_virtual
from bench.server.app import App
from bench.server.truth import TruthRecord
from bench.simulation.profile import Length
from bench.simulation.tokens import tokenize

SHORT = {"num_predict": 3, "temperature": 0}


def chat(*messages: tuple[str, str], **fields: Any) -> dict[str, Any]:
    listed = [{"role": role, "content": content} for role, content in messages]
    return {"model": "m", "messages": listed, "options": SHORT} | fields


def swaps_of(records: list[TruthRecord]) -> list[int]:
    """How long each load took for which another model had to go."""
    return [r.load_ns or 0 for r in records if any(name != r.model for name in r.unloaded)]


async def dones(app: App, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
    return [(await ask(app, "/api/chat", body))[-1] for body in bodies]


@pytest.mark.parametrize("version", ["0.24.0", "0.32.15", "0.33.3"])
def test_the_cached_count_is_on_the_done_line_from_0_33_3_on(version: str) -> None:
    async def main() -> tuple[list[dict[str, Any]], list[Any]]:
        app = virtual_app(version=version)
        same = chat(("user", "word " * 60))
        ends = await dones(app, same, same)
        return ends, app.state.truth.records

    ends, records = run_virtual(main())
    told = [end.get("prompt_eval_cached_count") for end in ends]
    assert [r.cached_tokens for r in records] == [0, ends[0]["prompt_eval_count"] - 1]
    assert [r.prompt_tokens for r in records] == [end["prompt_eval_count"] for end in ends]
    assert told == ([r.cached_tokens for r in records] if version == "0.33.3" else [None, None])


def test_v1_tells_the_cached_count_in_its_usage() -> None:
    async def usage(version: str) -> list[Any]:
        app = virtual_app(version=version)
        body = chat(("user", "word " * 60), max_tokens=3, stream=False)
        replies = [(await ask(app, "/v1/chat/completions", body))[0] for _ in range(2)]
        return [reply["usage"].get("prompt_tokens_details") for reply in replies]

    assert run_virtual(usage("0.32.15")) == [None, None]
    first, second = run_virtual(usage("0.33.3"))
    assert first == {"cached_tokens": 0}
    assert second["cached_tokens"] > 60


def test_a_conversation_goes_on_behind_its_own_answers() -> None:
    """All but the new question's head is found: the answer is where the model left it."""

    async def main() -> list[int]:
        app = virtual_app(model(output_tokens=Length(median=30, p95=30)), version="0.33.3")
        said: list[tuple[str, str]] = []
        read = []
        for turn in range(4):
            said.append(("user", f"question {turn} about rivers"))
            body = chat(*said, options={"temperature": 0})
            lines = await ask(app, "/api/chat", body)
            said.append(("assistant", "".join(line["message"]["content"] for line in lines)))
            done = lines[-1]
            read.append(done["prompt_eval_count"] - done["prompt_eval_cached_count"])
        return read

    first, *later = run_virtual(main())
    assert first > 5
    new = "<|im_end|>\n<|im_start|>user\nquestion 1 about rivers<|im_end|>\n<|im_start|>assistant\n"
    assert later == [len(tokenize(new))] * 3


def thinker(kept: str) -> Any:
    return model(
        capabilities=("completion", "thinking"),
        thinking_kept=kept,
        thinking_tokens=Length(median=40, p95=40),
        output_tokens=Length(median=30, p95=30),
    )


@pytest.mark.parametrize(("kept", "few"), [("none", False), ("all", True)])
def test_a_template_that_strips_old_thinking_makes_the_answer_be_read_again(
    kept: str, few: bool
) -> None:
    async def main() -> int:
        app = virtual_app(thinker(kept), version="0.33.3")
        lines = await ask(app, "/api/chat", chat(("user", "a river"), options={"temperature": 0}))
        answer = {"role": "assistant"}
        for name in ("content", "thinking"):
            answer[name] = "".join(line["message"].get(name, "") for line in lines)
        second = chat(("user", "a river"), options={"temperature": 0})
        second["messages"] += [answer, {"role": "user", "content": "another"}]
        done = (await ask(app, "/api/chat", second))[-1]
        return int(done["prompt_eval_count"] - done["prompt_eval_cached_count"])

    read = run_virtual(main())
    assert (read < 15) is few
    assert few or read > 30


def test_the_host_cache_can_be_small_or_off() -> None:
    async def found(mib: int) -> int:
        app = virtual_app(model(kv_bytes_per_token=2**14), version="0.33.3", cache_ram_mib=mib)
        bodies = [chat(("user", f"{c} word " * 60)) for c in "abc"]
        await dones(app, *bodies)
        (again,) = await dones(app, bodies[0])
        return int(again["prompt_eval_cached_count"])

    head = run_virtual(found(0))
    assert head < 5
    assert run_virtual(found(1)) == head  # b, at 16 KiB a token, has pushed a out
    assert run_virtual(found(100)) > 60


def test_two_models_that_do_not_fit_together_are_swapped() -> None:
    models = [model("a:latest"), model("b:latest", parameters=2e9)]

    async def main(vram_gb: float) -> tuple[Any, list[Any]]:
        app = virtual_app(*models, vram_gb=vram_gb)
        await dones(app, *[chat(("user", "hi"), model=name) for name in "aabbaba"])
        await asyncio.sleep(0.001)
        return swaps_of(app.state.truth.records), app.state.truth.records

    swaps, records = run_virtual(main(1.5))
    assert [r.unloaded for r in records] == [
        [], [], ["a:latest"], [], ["b:latest"], ["a:latest"], ["b:latest"]
    ]  # fmt: skip
    # b is loaded cold once, and everything else comes from the page cache.
    assert len(swaps) == 4
    assert sum(swaps) == (50 + 3 * 20) * MS
    assert [r.load_ns for r in records[:2]] == [50 * MS, None]
    # What a client sees of them: the load, and 1 ms for the metadata.
    seen = [r.metrics["load_duration"] - MS for r in records if r.unloaded]
    assert sum(seen) == sum(swaps)
    assert run_virtual(main(3.0))[0] == []


def test_a_load_anew_with_other_options_is_no_swap() -> None:
    async def main() -> tuple[Any, list[Any]]:
        app = virtual_app()
        bodies = [chat(("user", "hi"), options=SHORT | {"num_ctx": n}) for n in (1024, 2048)]
        await dones(app, *bodies)
        return swaps_of(app.state.truth.records), app.state.truth.records

    swaps, records = run_virtual(main())
    assert swaps == []
    assert records[1].unloaded == ["m:latest"]
    assert records[1].load_ns == 20 * MS
