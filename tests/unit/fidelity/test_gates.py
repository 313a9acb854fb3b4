"""Is it broken? Each gate opens for a sound answer and shuts for a broken one."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest
from mock_server import mock_control

from bench.analysis.fidelity.gates import judge_gates, loops
from bench.analysis.fidelity.result import FidelityResult
from bench.errors import ServerUnreachable
from bench.load.word_by_word import ask_gates, total_questions
from bench.report.fidelity.page import fidelity_page
from bench.report.html import html
from bench.results.fidelity_files import FidelitySetup, GateRecord, Side
from bench.scenario.gates import COPIED, NEEDLE, Gate, questions

SOUND = {
    Gate.NEEDLE: f"The code is {NEEDLE}.",
    Gate.JSON: '{"name": "Titanic", "year": 1912}',
    Gate.COPY: COPIED,
    Gate.LOOP: "The sky is blue since air scatters short waves more than long ones.",
}
BROKEN = {
    Gate.NEEDLE: "I do not know of any archive.",
    Gate.JSON: '{"name": "Titanic", "year": 19',
    Gate.COPY: COPIED.replace("20418", "20481"),
    Gate.LOOP: "and then the keeper of the light went up again " * 9,
    Gate.MARKER: "Blue.<|im_end|>\n<|im_start|>user",
}


def answers(**other):
    """Records of one side that is sound but for the gates named."""
    told = {g: other.get(g.name, text) for g, text in SOUND.items()}
    found = []
    for asked in questions(2048):
        text = told[asked.gate]
        if "MARKER" in other and asked.gate is Gate.COPY:
            text = f"{COPIED}{other['MARKER']}"
        found.append(GateRecord(0, asked.gate.value, asked.number, asked.shown, text, "stop"))
    return found


def test_a_sound_model_passes_all():
    found = judge_gates(answers())
    assert [g.gate for g in found] == [g.value for g in Gate]
    assert all(g.passed and g.failed == 0 for g in found)
    assert [g.answers for g in found] == [1, 1, 1, 4, 7]


@pytest.mark.parametrize("gate", Gate)
def test_a_broken_answer_fails_its_gate_alone_and_is_named(gate):
    found = judge_gates(answers(**{gate.name: BROKEN[gate]}))
    assert [g.gate for g in found if not g.passed] == [gate.value]
    (failed,) = (g for g in found if not g.passed)
    assert failed.asked and failed.came and len(failed.came) < 200


def test_one_answer_of_four_may_repeat_itself():
    records = answers()
    at = next(i for i, r in enumerate(records) if r.gate == Gate.LOOP)
    once = GateRecord(0, Gate.LOOP, 0, "q", BROKEN[Gate.LOOP])
    found = judge_gates([*records[:at], once, *records[at + 1 :]])
    (loop,) = (g for g in found if g.gate == Gate.LOOP)
    assert loop.passed and loop.failed == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("a b c d e f g h " * 3, False),
        ("a b c d e f g h " * 4, True),
        ("天空是蓝色的因为空气" * 4, True),
        ("Add the tea. Wait. Add the milk. Wait. Add sugar. Wait. Stir it. Wait.", False),
        ("!" * 200, True),
    ],
)
def test_loops(text, expected):
    assert loops(text) is expected


def test_the_long_text_fills_most_of_the_context_and_holds_the_needle_once():
    needle = next(iter(questions(2048)))
    words = len(needle.prompt.split())
    assert 900 < words < 1_500 and needle.prompt.count(NEEDLE) == 1


async def test_each_question_is_asked_once_through_the_template_and_what_came_is_kept():
    bodies = []

    def answer(request):
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json={"response": "hm", "done": True, "done_reason": "stop"})

    side = Side("m", "m:1b", "http://x")
    setup = FidelitySetup(1, "r", "", "0", (side, side), (), "i", 2048, 7, 60)
    kept = []
    async with mock_control("http://x", answer) as control:
        await ask_gates(control, setup, 1, {(1, Gate.COPY.value, 0)}, kept.append)
    assert [r.gate for r in kept] == [Gate.NEEDLE, Gate.JSON, *[Gate.LOOP] * 4]
    assert all(r.side == 1 and r.answer == "hm" and r.ended == "stop" for r in kept)
    assert len(bodies) == 6 and not any("raw" in b for b in bodies)
    assert [b for b in bodies if "format" in b] == [bodies[1]]
    assert {b["options"]["num_ctx"] for b in bodies} == {2048}
    assert total_questions(setup) == 14


@pytest.mark.parametrize("trouble", ["refused", "too slow", "gone"])
async def test_a_question_without_an_answer_is_failed_and_the_run_goes_on(trouble):
    """A model that reads 1,500 tokens for ten minutes must not cost what was measured before."""

    def answer(request):
        if request.url.path == "/api/version" and trouble != "gone":
            return httpx.Response(200, json={"version": "0.32.15"})
        body = json.loads(request.content) if request.content else {}
        if "format" not in body and trouble != "gone":
            return httpx.Response(200, json={"response": "hm", "done_reason": "stop"})
        if trouble == "refused":
            return httpx.Response(500, json={"error": "failed to load grammar"})
        raise {"gone": httpx.ConnectError, "too slow": httpx.ReadTimeout}[trouble](trouble)

    side = Side("m", "m:1b", "http://x")
    setup = FidelitySetup(1, "r", "", "0", (side,), (), "i", 2048, 7, 60)
    kept = []
    async with mock_control("http://x", answer) as control:
        if trouble == "gone":
            with pytest.raises(ServerUnreachable):
                await ask_gates(control, setup, 0, (), kept.append)
            return
        await ask_gates(control, setup, 0, (), kept.append)
    assert [bool(r.error) for r in kept] == [False, True] + [False] * 5
    found = {g.gate: g for g in judge_gates(kept)}
    said = {"refused": "failed to load grammar", "too slow": "in time (600 s)"}[trouble]
    assert not found[Gate.JSON].passed and found[Gate.JSON].came.startswith("no answer: ")
    assert said in found[Gate.JSON].came
    assert found[Gate.MARKER].answers == 6 and found[Gate.MARKER].passed


def page_of(records):
    """The page of three sides of which only the gates are known."""
    sides = tuple(Side(n, n, "http://x") for n in ("ref", "c1", "c2"))
    found = FidelityResult(1, "r", "", "i", False, sides, 0, {}, None, (), (), judge_gates(records))
    return fidelity_page(found)


def test_the_page_names_what_was_asked_and_what_came():
    """Of a candidate alone it is bad news; of the reference, too, it says nothing."""
    sound, broken = answers(), answers(COPY=BROKEN[Gate.COPY])
    page = page_of([replace(r, side=s) for s, of in enumerate((sound, sound, broken)) for r in of])
    (bad,) = (a for a in page.findings if a.tone == "bad")
    assert bad.subject == "c2" and 'fails "copies a string"' in bad.texts[0]
    assert "Repeat the following text exactly" in bad.texts[0]
    assert BROKEN[Gate.COPY] in bad.texts[0]
    assert "<span>c2</span> fails &#34;copies a string&#34;" in html(page)  # it says which
    (section,) = (s for s in page.sections if s.title == "Does it work at all?")
    rows = [[cell.text for cell in row.cells] for row in section.items[0].rows]
    assert [row[1:4] for row in rows] == [["yes"] * 3] * 2 + [["yes", "yes", "no"]] + [
        ["yes"] * 3
    ] * 2

    page = page_of([replace(r, side=s) for s in (0, 1, 2) for r in broken])
    assert not [a for a in page.findings if a.tone == "bad"]
    assert sum("says nothing of the candidate" in t for a in page.findings for t in a.texts) == 2
