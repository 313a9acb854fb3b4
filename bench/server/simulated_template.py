"""How a simulated model's prompt is put together: ChatML, tools in front, images as tokens."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.server.engine import EnginePrompt, Json, Message, Rendered
from bench.simulation.images import image_size
from bench.simulation.profile import ModelProfile
from bench.simulation.tokens import IMAGE, VOCABULARY, tokenize

Tokens = NDArray[np.int32]


def render(model: ModelProfile, prompt: EnginePrompt) -> Rendered:
    """Nothing around a raw text; else each message in its marks, and the assistant's opened."""
    if prompt.raw is not None:
        return _joined([prompt.raw], [_tokens(prompt.raw)], prompt.context)
    parts: list[str] = []
    tokens: list[Tokens] = []

    def add(text: str, ids: Tokens | None = None) -> None:
        parts.append(text)
        tokens.append(_tokens(text) if ids is None else ids)

    if prompt.tools:
        tools = "".join(f"{json.dumps(tool, ensure_ascii=False)}\n" for tool in prompt.tools)
        add(f"<|im_start|>system\nTools:\n{tools}<|im_end|>\n")
    for message, text in zip(prompt.messages, _texts(model, prompt.messages), strict=True):
        head = f"<|im_start|>{message.role}\n" if message.images else ""
        add(head)
        for image in message.images:
            add(*_image(model, image))
        add(text.removeprefix(head))
    add("<|im_start|>assistant\n")
    return _joined(parts, tokens, prompt.context)


def _texts(model: ModelProfile, messages: Sequence[Message]) -> list[str]:
    last_user = max((i for i, m in enumerate(messages) if m.role == "user"), default=-1)
    kept = {"none": len(messages), "turn": last_user, "all": -1}[model.thinking_kept]
    made = []
    for place, message in enumerate(messages):
        thought = f"{message.thinking}</think>" if place > kept and message.thinking else ""
        said = f"{thought}{message.content}{''.join(map(_call, message.tool_calls))}"
        made.append(f"<|im_start|>{message.role}\n{said}<|im_end|>\n")
    return made


def _call(call: Json) -> str:
    """A tool call as the model writes it."""
    function = call.get("function", {})
    said = {"name": function.get("name", ""), "arguments": function.get("arguments", {})}
    return json.dumps(said, ensure_ascii=False)


@lru_cache(maxsize=4096)
def _tokens(text: str) -> Tokens:
    """Of a part that comes again with every turn; marks part them, so that parts add up."""
    ids = np.asarray(tokenize(text), np.int32)
    ids.flags.writeable = False
    return ids


@lru_cache(maxsize=512)
def _image(model: ModelProfile, image: str) -> tuple[str, Tokens]:
    """An image's text and tokens: as many as its size asks for, all drawn from its bytes."""
    data = base64.b64decode(image)
    digest = hashlib.sha256(data).hexdigest()
    identity = VOCABULARY + int(digest[:6], 16)
    count = model.image_tokens_of(*(image_size(data) or (0, 0)))
    return f"{IMAGE}{digest[:16]}", np.full(count, identity, np.int32)


def _joined(parts: Sequence[str], tokens: Sequence[Tokens], context: Sequence[int]) -> Rendered:
    before = np.asarray(context, np.int32)
    return Rendered("".join(parts), np.concatenate((before, *tokens)))
