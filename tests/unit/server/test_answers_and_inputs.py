"""Tool calls, JSON, images and embeddings of a simulated model, and what goes wrong on demand."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

import pytest
from virtual_server import MS, ask, model, virtual_app

from bench.clock import run_virtual
from bench.server.app import App
from bench.server.faults import FaultPlan, parse_fault
from bench.simulation.images import image_size
from bench.simulation.profile import ImageCost, Length

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TOOLS = ("completion", "tools")
SEES = ("completion", "vision")


def png(width: int, height: int, nonce: int = 0) -> str:
    """The beginning of a PNG file, which is all that a simulated model looks at."""
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)
    return base64.b64encode(head + nonce.to_bytes(4, "big")).decode()


def chat(content: str, **fields: Any) -> dict[str, Any]:
    message = {"role": "user", "content": content} | fields.pop("message", {})
    return {"model": "m", "messages": [message], "options": {"temperature": 0}} | fields


def faulty(*faults: str) -> FaultPlan:
    return FaultPlan([parse_fault(fault) for fault in faults])


async def replies(app: App, *bodies: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [await ask(app, "/api/chat", body) for body in bodies]


def said(lines: list[dict[str, Any]]) -> str:
    return "".join(line["message"]["content"] for line in lines)


def called(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    calls = [call for line in lines for call in line["message"].get("tool_calls", ())]
    return [call["function"] for call in calls]


@pytest.mark.parametrize("stream", [True, False])
def test_answers_can_be_no_json_or_json_of_another_shape(stream: bool) -> None:
    async def main() -> list[Any]:
        app = virtual_app(faults=faulty("bad_json:requests=2", "wrong_json:requests=3"))
        body = chat("Bob is 41", format=SCHEMA, stream=stream)
        lines = await replies(app, body, body, body)
        await asyncio.sleep(0.001)
        assert [r.fault for r in app.state.truth.records] == ["", "bad_json", "wrong_json"]
        return [said(one) for one in lines]

    right, bad, wrong = run_virtual(main())
    value = json.loads(right)
    assert isinstance(value["name"], str)
    assert isinstance(value["age"], int)
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(bad)
    assert json.loads(wrong) == [value]


def test_calls_can_be_of_an_unknown_tool_or_with_wrong_arguments() -> None:
    async def main() -> list[Any]:
        plan = faulty("unknown_tool:requests=2", "wrong_arguments:requests=3")
        app = virtual_app(model(capabilities=TOOLS), faults=plan)
        body = chat("What is the weather?", tools=[WEATHER])
        return [called(lines) for lines in await replies(app, body, body, body)]

    (right,), (unknown,), (wrong,) = run_virtual(main())
    assert right["name"] == wrong["name"] == "get_weather"
    assert isinstance(right["arguments"]["city"], str)
    assert unknown["name"] == "get_weather_not_offered"
    assert wrong["arguments"] == {"city": [right["arguments"]["city"]]}


def test_wrong_answers_come_at_their_rate() -> None:
    plan = FaultPlan([parse_fault("bad_json:rate=0.2")], seed=3)
    hits = sum(plan.next() is not None for _ in range(2000))
    assert 340 < hits < 460  # 400, and more than three standard deviations of 18


def test_tools_are_in_the_prompt_and_a_call_is_read_from_the_cache_in_the_next_step() -> None:
    async def main() -> tuple[int, int, dict[str, Any], list[Any]]:
        app = virtual_app(model(capabilities=TOOLS), version="0.33.3")
        plain, with_tools = await replies(
            app, chat("What is the weather?"), chat("What is the weather?", tools=[WEATHER])
        )
        body = chat("What is the weather?", tools=[WEATHER])
        body["messages"] += [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": with_tools[-1]["message"]["tool_calls"],
            },
            {"role": "tool", "content": "11 degrees", "tool_name": "get_weather"},
        ]
        (third,) = await replies(app, body)
        counts = [lines[-1]["prompt_eval_count"] for lines in (plain, with_tools)]
        return counts[0], counts[1], third[-1], called(third)

    without, with_tools, done, calls = run_virtual(main())
    assert with_tools > without + 30
    assert done["prompt_eval_cached_count"] > with_tools  # the call as well
    assert calls == []  # after the result comes prose


def test_a_model_calls_tools_at_the_rate_of_its_profile() -> None:
    async def main(rate: float) -> int:
        short = Length(median=20, p95=20)
        app = virtual_app(model(capabilities=TOOLS, tool_call_rate=rate, output_tokens=short))
        bodies = [chat(f"{n} questions", tools=[WEATHER]) for n in range(60)]
        return sum(bool(called(lines)) for lines in await replies(app, *bodies))

    assert run_virtual(main(1.0)) == 60
    assert run_virtual(main(0.0)) == 0
    assert 15 < run_virtual(main(0.5)) < 45


@pytest.mark.parametrize(
    ("size", "tokens"),
    [((512, 512), 258), ((1024, 768), 770), ((32, 32), 3), ((8000, 8000), 4098)],
)
def test_an_image_takes_tokens_by_its_size_and_time_by_its_tokens(
    size: tuple[int, int], tokens: int
) -> None:
    async def main() -> list[dict[str, Any]]:
        seeing = model(
            capabilities=SEES,
            images=ImageCost(encode_tok_per_s=500.0),
            output_tokens=Length(median=2, p95=2),
        )
        app = virtual_app(seeing, version="0.33.3", num_ctx=8192)
        texts = [chat("What is it?"), chat("What is it?", message={"images": [png(*size)]})]
        texts += [texts[1], chat("What is it?", message={"images": [png(*size, nonce=1)]})]
        return [lines[-1] for lines in await replies(app, *texts)]

    plain, first, again, another = run_virtual(main())
    counts = [end["prompt_eval_count"] for end in (plain, first, again, another)]
    assert counts == [counts[0], *[counts[0] + tokens] * 3]
    # 1 ms a prompt token and 2 ms a token of the encoder.
    spent = first["prompt_eval_count"] - first["prompt_eval_cached_count"] + 2 * tokens
    assert first["prompt_eval_duration"] == spent * MS
    assert again["prompt_eval_duration"] == 10 * MS  # cached: one token, which hides in a step
    assert another["prompt_eval_duration"] == first["prompt_eval_duration"]


def test_a_model_that_cannot_see_refuses_images() -> None:
    async def main() -> dict[str, Any]:
        return (await replies(virtual_app(), chat("What?", message={"images": [png(9, 9)]})))[0][0]

    assert "does not support multimodal requests" in run_virtual(main())["error"]


def jpeg(width: int, height: int) -> bytes:
    frame = b"\xff\xc2\0\x11\x08" + struct.pack(">HH", height, width)
    return b"\xff\xd8\xff\xe0\0\x04ab" + frame + b"\0" * 9


@pytest.mark.parametrize(
    "data",
    [
        base64.b64decode(png(300, 200)),
        jpeg(300, 200),
        b"\xff\xd8\xff\xff" + jpeg(300, 200)[2:],  # fill bytes (ITU T.81, B.1.1.2)
        b"GIF89a" + struct.pack("<HH", 300, 200),
        b"BM" + b"\0" * 16 + struct.pack("<ii", 300, -200),
        b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 10 + struct.pack("<HH", 300, 200),
        b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 299 | 199 << 14),
        b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + b"\x2b\x01\0\xc7\0\0",
    ],
)
def test_sizes_of_image_files(data: bytes) -> None:
    assert image_size(data) == (300, 200)
    assert image_size(data[:12]) is None or data.startswith(b"GIF")


def embedder(**changes: Any) -> Any:
    return model(capabilities=("embedding",), embedding_length=8, **changes)


async def embedded(app: App, **fields: Any) -> dict[str, Any]:
    return (await ask(app, "/api/embed", {"model": "m"} | fields))[0]


def test_texts_are_embedded_one_by_one_and_never_from_the_cache() -> None:
    async def main() -> list[dict[str, Any]]:
        app = virtual_app(embedder())
        await embedded(app)  # loads
        texts = ["word " * 99 + "end"] * 3
        replies = [await embedded(app, input=texts[:n]) for n in (1, 3, 1)]
        await asyncio.sleep(0.001)
        assert [r.prompt_tokens for r in app.state.truth.records] == [None, 100, 300, 100]
        return replies

    one, three, again = run_virtual(main())
    assert [len(r["embeddings"]) for r in (one, three)] == [1, 3]
    work = [r["total_duration"] - r["load_duration"] for r in (one, three, again)]
    assert work == [100 * MS, 300 * MS, 100 * MS]


@pytest.mark.parametrize(("version", "most"), [("0.32.15", 2048), ("0.24.0", 4096)])
def test_long_texts_are_cut_in_silence_to_what_a_batch_holds(version: str, most: int) -> None:
    async def main() -> list[Any]:
        app = virtual_app(embedder(), version=version)
        long = {"input": "word " * 5000, "options": {"num_ctx": 4096}}
        return [await embedded(app, **long), await embedded(app, truncate=False, **long)]

    cut, refused = run_virtual(main())
    assert cut["prompt_eval_count"] == most
    assert refused == {"error": "the input length exceeds the context length"}


def test_between_batch_and_context_an_uncut_text_is_refused_by_the_engine() -> None:
    async def main() -> list[Any]:
        app = virtual_app(embedder())
        long = {"input": "word " * 3000, "options": {"num_ctx": 4096}, "truncate": False}
        return [await embedded(app, **long), await embedded(app, input="word", dimensions=3)]

    refused, short = run_virtual(main())
    assert "current batch size: 2048" in refused["error"]
    assert len(short["embeddings"][0]) == 3
    assert sum(x * x for x in short["embeddings"][0]) == pytest.approx(1, abs=1e-5)
