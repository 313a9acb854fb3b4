"""What a simulated model says: deterministic for its prompt and seed, and of no meaning.

An `Utterance` is the list of tokens to come, known beforehand: thinking, the mark that ends it,
the answer, and the end token if it stops by itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any

from bench.simulation.fitting import NOUNS, fitting
from bench.simulation.profile import Length, ModelProfile
from bench.simulation.tokens import EOS, pieces, token_id

_Z95 = 1.6448536269514722
_SENTENCES = 300
_REPEATS = 40
"""A raw prompt that ends with this many equal words is continued with that word."""

_ENGLISH = {
    "noun": NOUNS,
    "verb": "holds follows carries opens keeps finds moves shows leaves meets builds reaches",
    "adjective": "quiet small bright old narrow green steady open warm plain distant simple",
    "place": "near the|above the|behind the|along the|inside the|before the",
}
_CHINESE = {
    "noun": "河流 灯光 花园 信件 窗户 山峰 市场 桥梁 老师 森林 故事 机器 村庄 早晨 问题 答案",
    "verb": "照亮 跟随 打开 保持 发现 移动 显示 离开 遇见 建造",
    "adjective": "安静的 小小的 明亮的 古老的 绿色的 温暖的 遥远的 简单的",
}


class Part(Enum):
    """What a token is."""

    THINKING = auto()
    END_OF_THINKING = auto()
    ANSWER = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the output; marks have no text."""

    part: Part
    text: str = ""
    id: int = 0


_THOUGHT = Token(Part.END_OF_THINKING, "", token_id("</think>"))
END = Token(Part.END, "", EOS)


@dataclass(frozen=True, slots=True)
class Utterance:
    """A whole output.

    Attributes:
        tokens: what is sampled, in order.
        stopped: it ended by itself (its last token is the end token), not by its limit.
        tool_call: the call that the answer is, if it is one.
    """

    tokens: Sequence[Token]
    stopped: bool
    tool_call: Mapping[str, Any] | None = None

    def until(self, stops: Sequence[str]) -> Utterance:
        """The output if it ends where the first of some stop sequences appears in the answer.

        The tokens that make up the stop sequence are sampled, but their text is not shown.
        """
        answer = "".join(t.text for t in self.tokens if t.part is Part.ANSWER)
        places = [(answer.find(stop), len(stop)) for stop in stops if stop and stop in answer]
        if not places:
            return self
        begin, length = min(places)
        shown: list[Token] = []
        at = 0
        for token in self.tokens:
            if token.part is not Part.ANSWER:
                shown.append(token)
                continue
            shown.append(Token(Part.ANSWER, token.text[: max(begin - at, 0)], token.id))
            at += len(token.text)
            if at >= begin + length:
                break
        return Utterance(shown, True)


def utter(
    model: ModelProfile,
    prompt: str,
    *,
    limit: int,
    seed: int | None,
    think: bool = False,
    form: Any = None,
    tools: Sequence[Any] = (),
) -> Utterance:
    """Decide what a model says to a prompt.

    Args:
        model: sets language and lengths.
        prompt: as it was rendered.
        limit: most tokens to sample.
        seed: of the sampling; None if greedy, so that the prompt alone decides.
        think: whether thinking comes first.
        form: None, "json", or a JSON schema the answer must fit.
        tools: tool definitions; see `ModelProfile.tool_call_rate`.
    """
    key = hashlib.sha256(f"{model.name}\0{seed}\0{prompt}".encode()).digest()
    draw = random.Random(key)
    tokens: list[Token] = []
    if think:
        n = _draw_length(model.thinking_tokens, draw)
        tokens += _prose(model.language, Part.THINKING, n, draw)
        tokens.append(_THOUGHT)
    call = _call(model, prompt, tools, draw) if tools else None
    repeated = _repeated_word(prompt)
    if call is not None:
        # The call's own tokens are sampled, but never seen as text.
        tokens += _tokens(json.dumps(call, ensure_ascii=False), Part.ANSWER)
    elif form is not None:
        sample = {"name": "lamp", "count": 3} if form == "json" else fitting(form, draw)
        text = json.dumps(sample, ensure_ascii=False, indent=2)
        tokens += _tokens(text, Part.ANSWER)
    elif repeated:
        tokens += _tokens(repeated, Part.ANSWER) * limit
    else:
        n = max(_draw_length(model.output_tokens, draw) - 1, 1)
        n = min(n, max(limit - len(tokens) + 1, 0))
        tokens += _prose(model.language, Part.ANSWER, n, draw)
    tokens.append(END)
    stopped = len(tokens) <= limit
    return Utterance(tokens[:limit], stopped, call if stopped else None)


def prepare(model: ModelProfile) -> None:
    """Make the sentences of a model's language, which takes some ms, before time matters."""
    for part in (Part.ANSWER, Part.THINKING):
        _sentences(model.language, part)


def _draw_length(length: Length, draw: random.Random) -> int:
    sigma = math.log(length.p95 / length.median) / _Z95
    return max(1, round(length.median * math.exp(sigma * draw.gauss(0.0, 1.0))))


def _tokens(text: str, part: Part) -> list[Token]:
    return [Token(part, piece, token_id(piece)) for piece in pieces(text)]


def _prose(language: str, part: Part, n: int, draw: random.Random) -> list[Token]:
    """Some tokens of prose; the last sentence may be broken off."""
    sentences = _sentences(language, part)
    tokens: list[Token] = []
    while len(tokens) < n:
        tokens += draw.choice(sentences)
    if tokens and tokens[0].text.startswith(" "):
        tokens[0] = _tokens(tokens[0].text.lstrip(), part)[0]
    return tokens[:n]


@cache
def _sentences(language: str, part: Part) -> list[list[Token]]:
    """The sentences that prose is made of, cut into tokens once."""
    draw = random.Random(language)
    if language == "zh":
        return [_tokens(_chinese_sentence(draw), part) for _ in range(_SENTENCES)]
    return [_tokens(f" {_english_sentence(draw)}", part) for _ in range(_SENTENCES)]


def _english_sentence(draw: random.Random) -> str:
    noun, verb, adjective = (_ENGLISH[k].split() for k in ("noun", "verb", "adjective"))
    place = draw.choice(_ENGLISH["place"].split("|"))
    return (
        f"The {draw.choice(adjective)} {draw.choice(noun)} {draw.choice(verb)} the "
        f"{draw.choice(noun)} {place} {draw.choice(noun)}."
    )


def _chinese_sentence(draw: random.Random) -> str:
    noun, verb, adjective = (_CHINESE[k].split() for k in ("noun", "verb", "adjective"))
    return f"{draw.choice(adjective)}{draw.choice(noun)}{draw.choice(verb)}{draw.choice(noun)}。"


def _repeated_word(prompt: str) -> str:
    words = prompt.rsplit(maxsplit=_REPEATS)[-_REPEATS:]
    return f" {words[0]}" if len(words) == _REPEATS and len(set(words)) == 1 else ""


def _call(
    model: ModelProfile, prompt: str, tools: Sequence[Any], draw: random.Random
) -> dict[str, Any] | None:
    """A call with arguments that fit its schema; None if the answer is prose.

    Without a rate the tool is called that the last user message names, once: not after its result.
    """
    functions = [tool.get("function", {}) for tool in tools]
    if model.tool_call_rate is not None:
        if draw.random() >= model.tool_call_rate:
            return None
        function = draw.choice(functions)
        arguments = fitting(function.get("parameters", {}), draw)
        return {"name": str(function.get("name", "")), "arguments": arguments}
    question = prompt.lower().rsplit("user", 1)[-1]
    if "<|im_start|>tool" in question:
        return None
    for function in functions:
        name = str(function.get("name", ""))
        if any(word in question for word in name.lower().split("_") if word):
            fixed = random.Random(name)
            return {"name": name, "arguments": fitting(function.get("parameters", {}), fixed)}
    return None
