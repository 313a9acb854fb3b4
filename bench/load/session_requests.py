"""The requests of sessions: each is encoded right before it is due, on top of those before it."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import msgspec

from bench.load.checks import checked
from bench.load.requests import base_body
from bench.load.supply import Prepared
from bench.load.thread_body import ThreadBody
from bench.ollama.line_reader import ollama_call
from bench.results.record import Phase
from bench.scenario.block_text import block_text
from bench.scenario.corpus import TokenRates
from bench.scenario.draws import Stream, draw, generator
from bench.scenario.made_sessions import script
from bench.scenario.plan import Block, Case, Plan
from bench.scenario.prompts import PromptSource, nonce
from bench.scenario.room import played_steps
from bench.scenario.session_texts import MadeTexts, RecordedTexts, SessionTexts
from bench.scenario.sessions import Session, Step
from bench.wire.exchange import Outcome, Reply

_encoder = msgspec.json.Encoder()
_NS = 1e9
_THREADS = 32
"""Numbers of a session's own: its threads beyond them share."""
_HEAD_NUMBER = 4_900_000
_UNMEASURED = 50_000
"""Sessions from here on are those of the warm-up."""


@dataclass(eq=False)
class SessionMaker:
    """Makes the sessions of one block.

    `source` has the prompts, where a session is a prompt and calls of tools.
    """

    case: Case
    block: Block
    plan: Plan
    rates: TokenRates
    source: PromptSource
    keep_text: bool = False
    sessions: Sequence[Session] = ()

    def __post_init__(self) -> None:
        self.timeouts = asdict(self.case.timeouts)
        if self.case.prompts.replay is not None:
            from bench.scenario.session_files import played_file

            self.sessions = played_file(self.case.prompts.replay).sessions

    def session(self, number: int) -> LiveSession:
        """The session with this number, from its first request on."""
        return LiveSession(self, self._texts(number), number)

    def warm_up(self, phase: Phase, number: int) -> Prepared:
        """The first request of a session that is played no further."""
        live = self.session(_UNMEASURED + number)
        return replace(live.prepare(0), marks={}, hear=None)

    def _texts(self, number: int) -> SessionTexts:
        made = self.case.prompts.made
        tools = self.case.tools.tools if self.case.tools else ()
        if made is not None:
            seed, always = self.block.seed, self.case.system or ""
            told, number_of = script(made, seed, number), partial(self._number, number)
            return MadeTexts(str(number), made, told, self.rates, number_of, seed, always, tools)
        replay = self.case.prompts.replay
        if replay is not None:
            session = self.sessions[number % len(self.sessions)]
            rounds = number // len(self.sessions)
            steps = played_steps(session, replay, self.case, self.block.seed, number)
            name = f"{session.id} ({rounds + 1})" if rounds else session.id
            # Blocks of a trace are shared by its sessions, so all of them have one number.
            blocks = any(step.blocks for step in steps)
            return RecordedTexts(name, session, steps, self._number(number, 0 if blocks else 1))
        prompt = self.source.prompt(self.block, number)
        system = ({"role": "system", "content": prompt.system},) if prompt.system else ()
        asked = (*system, {"role": "user", "content": prompt.user})
        step = Step("user", asked, fresh=True, output_tokens=prompt.num_predict)
        return RecordedTexts(str(number), Session(str(number), (step,), tools), [step], "")

    def _number(self, session: int, thread: int) -> str:
        """The cache-busting text of a thread; 0 is that of the head, one for all sessions."""
        if self.case.prompts.cache != "bust":
            return ""
        plan, place = self.plan, self.plan.nonce_block(self.block)
        index = session % 100_000 * _THREADS + thread % _THREADS
        if not thread:
            return nonce(plan.seed, plan.salt, place, _HEAD_NUMBER, warmup=True)
        return nonce(plan.seed, plan.salt, place, index)


class LiveSession:
    """A session while it is played: the histories of its threads, as encoded bytes.

    Attributes:
        steps: its requests; scripted results of tools are appended as they are called for.
        turns: of each step, which message of the user it helps to answer.
    """

    def __init__(self, maker: SessionMaker, texts: SessionTexts, number: int) -> None:
        self._maker = maker
        self._texts = texts
        self._number = number
        self._case = case = maker.case
        self.id = texts.id
        self.steps = list(texts.steps)
        self.turns = turns_of(self.steps)
        self._mains = [i for i, step in enumerate(self.steps) if not step.thread]
        self._threads: dict[str, ThreadBody] = {}
        kind = case.prompts.made or case.prompts.replay
        self._own = kind is None or kind.history == "own"
        self._rounds = 0
        self._calls: list[Any] = []
        self._open = _encoder.encode(base_body(case))[:-1]
        tools = texts.tools or (case.tools.tools if case.tools else ())
        self._tools = self._encoded_tools(tools)

    @staticmethod
    def _encoded_tools(tools: Sequence[dict[str, Any]]) -> bytes:
        return b',"tools":' + _encoder.encode(list(tools)) if tools else b""

    def prepare(self, index: int) -> Prepared:
        """The request of a step; the answers of the steps before it in its thread are known."""
        step, texts, maker, case = self.steps[index], self._texts, self._maker, self._case
        first = step.fresh or step.thread not in self._threads
        body = self._threads.setdefault(step.thread, ThreadBody())
        if step.fresh:
            body.restart()
        if step.blocks:
            body.blocks(step.blocks, step.lengths, maker.rates, case.prompts.language)
        elif index < len(texts.steps):
            body.add(texts.added(index))
        else:
            body.add(step.added)
        options = case.options
        if step.output_tokens is not None:
            options = {**options, "num_predict": max(1, step.output_tokens)}
        tools = self._tools if step.tools is None else self._encoded_tools(step.tools)
        head = texts.head(index) if index < len(texts.steps) else ()
        messages = body.messages(head)
        data = b"".join(
            (self._open, b',"options":', _encoder.encode(options), tools, b',"messages":', messages)
        )
        answer = texts.answer(index) if index < len(texts.steps) and not self._own else None
        heard = self._own or (answer is None and not step.blocks)

        def hear(reply: Reply) -> dict[str, Any]:
            if reply.outcome is not Outcome.OK:
                return {}
            self._hear(step, body, answer, reply)
            return self._ends(index)

        return Prepared(
            call=ollama_call(
                path="/api/chat",
                body=data + b"}",
                stream=case.stream,
                keep_text=maker.keep_text or heard or bool(case.checks) or bool(case.tools),
                **maker.timeouts,
            ),
            number=index,
            prompt_sha256=hashlib.sha256(messages).hexdigest()[:16],
            # Answers of the model's own are as long as they are.
            target_input_tokens=step.prompt_tokens if first or not self._own else None,
            num_predict=options.get("num_predict"),
            seed=options.get("seed"),
            marks=self._marks(index),
            # What follows results of tools may well be the answer at last.
            check=partial(checked, case) if case.checks and step.kind == "user" else None,
            hear=hear,
            text_kept=maker.keep_text,
        )

    def _marks(self, index: int) -> dict[str, Any]:
        step = self.steps[index]
        return {
            "session": self.id,
            "turn": self.turns[index],
            "step": step.kind,
            "thread": step.thread,
            "fresh": step.fresh,
            "gap_ns": None if step.gap_s is None else round(step.gap_s * _NS),
        }

    def _ends(self, index: int) -> dict[str, Any]:
        """Whether a step that was answered ends its turn, and its session."""
        if self.steps[index].thread or self._will_follow_up():
            return {}
        after = bisect_right(self._mains, index)
        if after == len(self._mains):
            return {"last_of_turn": True, "last_of_session": True}
        return {"last_of_turn": self.turns[self._mains[after]] != self.turns[index]}

    def _hear(
        self, step: Step, body: ThreadBody, answer: dict[str, Any] | None, reply: Reply
    ) -> None:
        """The answer joins the history of its thread."""
        self._calls = reply.calls
        if step.blocks:
            return
        if answer is None:
            answer = {"role": "assistant", "content": reply.answer or ""}
            if reply.calls:
                answer["tool_calls"] = reply.calls
        body.add((answer,))

    def _will_follow_up(self) -> bool:
        tools = self._case.tools
        if tools is None or tools.result_tokens is None or self._case.prompts.in_sessions:
            return False
        return bool(self._calls) and self._rounds < tools.rounds

    def follow_up(self) -> bool:
        """Append the scripted results of the calls in the last answer, if there are any."""
        tools = self._case.tools
        if not self._will_follow_up() or tools is None:
            return False
        self._rounds += 1
        added = []
        for number, call in enumerate(self._calls):
            function = call.get("function") if isinstance(call, dict) else None
            name = function.get("name", "") if isinstance(function, dict) else ""
            result = {"role": "tool", "tool_name": name, "content": self._result(number)}
            identity = call.get("id") if isinstance(call, dict) else None
            added.append({**result, "tool_call_id": identity} if identity else result)
        self._calls = []
        self._mains.append(len(self.steps))
        self.steps.append(Step("tool", tuple(added), gap_s=tools.pause_s))
        self.turns.append(self.turns[-1])
        return True

    def _result(self, call: int) -> str:
        maker, tools = self._maker, self._case.tools
        assert tools is not None
        assert tools.result_tokens is not None
        where = (self._number, self._rounds, call)
        rng = generator(maker.block.seed, Stream.TOOL_RESULTS, *where)
        tokens = max(1, round(draw(tools.result_tokens, rng)))
        language = self._case.prompts.language or "en"
        bare = replace(maker.rates, overhead_tokens=0.0)
        return block_text((rng.randrange(2**31),), (tokens,), bare, language)


def turns_of(steps: Sequence[Step]) -> list[int]:
    """Of each step, which message of the user it helps to answer.

    A summary belongs to the message that it makes room for, a side request to the main step before.
    """
    mains = [step for step in steps if not step.thread]
    begins = []
    for before, step, after in zip([None, *mains], mains, [*mains[1:], None], strict=False):
        made_room = before is not None and before.kind == "summary"
        makes_room = step.kind == "summary" and after is not None and after.kind == "user"
        begins.append((step.kind == "user" and not made_room) or makes_room)
    turn, turns, nth = -1, [], iter(begins)
    for step in steps:
        if not step.thread:
            turn += next(nth) or turn < 0
        turns.append(max(turn, 0))
    return turns
