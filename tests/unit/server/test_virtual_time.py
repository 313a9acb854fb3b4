"""The whole server in virtual time: waits, orders and durations, exact to the nanosecond."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from virtual_server import MS, Client, ask, later, model, virtual_app

from bench.clock import run_virtual
from bench.server.app import App
from bench.server.engine import EnginePrompt, LoadOptions, Rendered
from bench.server.faults import Fault, FaultPlan, Kind
from bench.server.simulated_runner import SimulatedRunner
from bench.server.truth import TruthRecord
from bench.simulation.service import ServiceModel, Work

# A request's way until it has its model: 1 ms for the metadata, 50 ms for the load.
READY = 51


def raw(text: str, tokens: int = 11, **fields: Any) -> dict[str, Any]:
    """A raw prompt of two tokens, so that nothing is shared between prompts."""
    options = {"num_predict": tokens, "temperature": 0} | fields.pop("options", {})
    return {"model": "m", "prompt": f"{text} x", "raw": True, "options": options} | fields


def at(ms: float) -> int:
    return round(ms * MS)


async def send_in_order(app: App, bodies: list[dict[str, Any]]) -> list[Client]:
    """One request each on a connection of its own, one nanosecond after the other."""
    clients = [Client(app) for _ in bodies]
    for client, body in zip(clients, bodies, strict=True):
        client.send("/api/generate", body)
        await app.state.clock.sleep_until(app.state.clocks.now_ns() + 1)
    return clients


async def eight_at_once(**settings: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """Done lines and truth records of eight requests, one nanosecond after the other."""
    app = virtual_app(**settings)
    clients = await send_in_order(app, [raw(text) for text in "abcdefgh"])
    ends = [(await client.lines())[-1] for client in clients]
    await asyncio.sleep(0.001)
    records = sorted(app.state.truth.records, key=lambda r: r.id)
    assert [r.received_ns for r in records] == list(range(8))
    # Durations counted from the first request's arrival are easier on the eye.
    for end, record in zip(ends, records, strict=True):
        end["total_duration"] += record.received_ns
        end["load_duration"] += record.received_ns
    return ends, records


def test_four_slots_and_eight_requests() -> None:
    ends, records = run_virtual(eight_at_once(num_parallel=4))
    # Four prefills of 2 tokens hide in a step of 10 ms; ten more steps follow; then the other four.
    assert [end["total_duration"] for end in ends] == [at(READY + 110)] * 4 + [at(READY + 220)] * 4
    assert {end["load_duration"] for end in ends} == {at(READY)}
    assert {end["prompt_eval_duration"] for end in ends} == {at(10)}
    assert {end["eval_duration"] for end in ends} == {at(100)}
    assert {end["eval_count"] for end in ends} == {11}
    assert {end["prompt_eval_count"] for end in ends} == {2}
    assert [r.slot_ns - r.queued_ns for r in records] == [0] * 4 + [at(110)] * 4
    assert [r.slot_ns for r in records] == [at(READY)] * 4 + [at(READY + 110)] * 4
    for record in records:
        start = record.slot_ns
        assert record.line_sent_ns[:11] == [start + at(10 * k) for k in range(1, 12)]
        assert record.line_due_ns == record.line_sent_ns
        assert record.line_batch[:11] == [4] * 11


def test_one_slot_serves_in_order_and_the_wait_shows_in_total_only() -> None:
    ends, records = run_virtual(eight_at_once(num_parallel=1))
    assert [end["total_duration"] for end in ends] == [at(READY + 110 * k) for k in range(1, 9)]
    assert {end["load_duration"] for end in ends} == {at(READY)}
    assert {end["eval_duration"] for end in ends} == {at(100)}
    assert [r.slot_ns - r.queued_ns for r in records] == [at(110 * k) for k in range(8)]


def test_a_prompt_that_takes_long_to_render_is_not_overtaken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    render = SimulatedRunner.render

    async def slow(runner: SimulatedRunner, prompt: EnginePrompt) -> Rendered:
        await asyncio.sleep(0.05 if prompt.raw == "a x" else 0.001)
        return await render(runner, prompt)

    monkeypatch.setattr(SimulatedRunner, "render", slow)

    async def main() -> list[int]:
        clients = await send_in_order(virtual_app(), [raw(text) for text in "abc"])
        await asyncio.gather(*(client.lines() for client in clients))
        return [client.writes[-1][0] for client in clients]

    assert run_virtual(main()) == [at(READY + 50 + 110 * k) for k in (1, 2, 3)]


def test_the_front_agrees_with_the_model_alone() -> None:
    lengths = [7, 3, 12, 5, 9, 4, 8, 6, 11, 2]

    async def front() -> list[int]:
        app = virtual_app(num_parallel=3)
        await ask(app, "/api/generate", {"model": "m", "keep_alive": -1})
        began = app.state.clocks.now_ns()
        bodies = [raw(c, n, keep_alive=-1) for c, n in zip("abcdefghij", lengths, strict=True)]
        clients = await send_in_order(app, bodies)
        assert all([(await client.lines())[-1]["done"] for client in clients])
        await asyncio.sleep(0.001)
        records = [r for r in app.state.truth.records if r.line_sent_ns[:-1]]
        return [r.line_sent_ns[-1] - began - MS for r in sorted(records, key=lambda r: r.id)]

    service = ServiceModel(model().service(slots=3, batch_tokens=1024, slowdown=1))
    ends = {}
    for number, length in enumerate(lengths):
        service.submit(number, Work(number, 2, length))
        assert service.pop(number) is None
    while (due := service.next_event_ns()) is not None:
        while (event := service.pop(due)) is not None:
            ends[event.id] = event.at_ns
    assert run_virtual(front()) == [ends[i] for i in range(len(lengths))]


def test_the_prefix_cache_lowers_the_duration_but_not_the_count() -> None:
    async def main() -> list[dict[str, Any]]:
        app = virtual_app()
        prompt = {"model": "m", "messages": [{"role": "user", "content": "word " * 60}]}
        prompt["options"] = {"num_predict": 2, "temperature": 0}
        return [(await ask(app, "/api/chat", prompt))[-1] for _ in range(2)]

    first, second = run_virtual(main())
    assert first["prompt_eval_count"] == second["prompt_eval_count"] > 60
    assert first["prompt_eval_duration"] == at(first["prompt_eval_count"])
    assert second["prompt_eval_duration"] == at(10)  # one token, which hides in a step


def test_a_load_makes_other_models_wait_and_loaded_ones_not() -> None:
    async def main() -> list[int]:
        slow = model("slow:latest", cold_load_s=2.0)
        app = virtual_app(model(), model("n:latest"), slow)
        await ask(app, "/api/generate", {"model": "m"})
        began = app.state.clocks.now_ns()
        names = ["slow", "n", "m"]
        done: list[int] = []

        async def one(name: str) -> None:
            await ask(app, "/api/generate", {"model": name})
            done.append(app.state.clocks.now_ns() - began)

        await asyncio.gather(*map(one, names))
        return done

    assert run_virtual(main()) == [at(1), at(2001), at(2051)]


def test_keep_alive_expires_and_is_refreshed() -> None:
    async def main() -> list[list[str]]:
        app = virtual_app()

        async def loaded() -> list[str]:
            (reply,) = await ask(app, "/api/ps", None, "GET")
            return [entry["name"] for entry in reply["models"]]

        seen = []
        await ask(app, "/api/generate", {"model": "m", "keep_alive": "10s"})
        await asyncio.sleep(9)
        await ask(app, "/api/generate", {"model": "m", "keep_alive": "10s"})
        await asyncio.sleep(9)
        seen.append(await loaded())
        await asyncio.sleep(2)
        seen.append(await loaded())
        await ask(app, "/api/generate", {"model": "m"})
        seen.append(await loaded())
        (reply,) = await ask(app, "/api/generate", {"model": "m", "keep_alive": 0})
        assert reply["done_reason"] == "unload"
        seen.append(await loaded())
        return seen

    assert run_virtual(main()) == [["m:latest"], [], ["m:latest"], []]


def test_the_idle_model_with_the_shortest_keep_alive_makes_room() -> None:
    async def main() -> list[str]:
        app = virtual_app(model("a:latest"), model("b:latest"), model("c:latest"), max_loaded=2)
        await ask(app, "/api/generate", {"model": "a", "keep_alive": "1h"})
        await ask(app, "/api/generate", {"model": "b", "keep_alive": "5m"})
        await ask(app, "/api/generate", {"model": "c", "keep_alive": "5m"})
        (reply,) = await ask(app, "/api/ps", None, "GET")
        return [entry["name"] for entry in reply["models"]]

    assert run_virtual(main()) == ["a:latest", "c:latest"]


def test_a_keep_alive_stays_until_another_is_named() -> None:
    async def main() -> list[int]:
        app = virtual_app(keep_alive_ns=300 * 10**9)
        seen = []
        for named in ({}, {"keep_alive": "1h"}, {}, {"keep_alive": -1}, {}, {"keep_alive": 0}, {}):
            await ask(app, "/api/generate", raw("a", 1, **named))
            seen += [m.keep_alive_ns // 10**9 for m in app.state.scheduler.loaded()] or [0]
        return seen

    ever = (2**63 - 1) // 10**9
    assert run_virtual(main()) == [300, 3600, 3600, ever, ever, 0, 300]


def test_an_unload_is_due_at_once_and_done_when_the_model_is_idle() -> None:
    async def main() -> list[tuple[str, int]]:
        app = virtual_app()
        await ask(app, "/api/generate", {"model": "m"})
        began = app.state.clocks.now_ns()
        running = Client(app)
        running.send("/api/generate", raw("a"))
        seen = []

        async def note(when: int) -> None:
            await app.state.clock.sleep_until(began + at(when))
            models = app.state.scheduler.loaded()
            seen.extend((m.card.name, app.state.scheduler.expires_at(m) - began) for m in models)

        await app.state.clock.sleep_until(began + at(40))
        (reply,) = await ask(app, "/api/generate", {"model": "m", "keep_alive": 0})
        assert reply["done_reason"] == "unload"
        assert app.state.clocks.now_ns() == began + at(40)
        await note(110)  # a millisecond before the end
        await note(112)
        assert (await running.lines())[-1]["done"]
        return seen

    assert run_virtual(main()) == [("m:latest", at(40))]


def test_a_deleted_model_stays_in_memory() -> None:
    async def main() -> list[str]:
        app = virtual_app()
        await ask(app, "/api/generate", {"model": "m"})
        await ask(app, "/api/delete", {"model": "m"}, "DELETE")
        (reply,) = await ask(app, "/api/ps", None, "GET")
        return [entry["name"] for entry in reply["models"]]

    assert run_virtual(main()) == ["m:latest"]


def test_another_context_reloads_after_what_is_under_way() -> None:
    async def main() -> tuple[list[dict[str, Any]], int]:
        app = virtual_app()
        await ask(app, "/api/generate", {"model": "m", "options": {"num_ctx": 2048}})
        began = app.state.clocks.now_ns()
        both = await asyncio.gather(
            ask(app, "/api/generate", raw("a", options={"num_ctx": 2048})),
            ask(app, "/api/generate", raw("b", options={"num_ctx": 1024})),
        )
        (reply,) = await ask(app, "/api/ps", None, "GET")
        assert [m["context_length"] for m in reply["models"]] == [1024]
        return [lines[-1] for lines in both], began

    (first, second), _ = run_virtual(main())
    assert first["load_duration"] == at(1)
    assert first["total_duration"] == at(1 + 110)
    # It waits for the first to end, and then for a load from the page cache.
    assert second["load_duration"] == at(1 + 110 + 20)


def test_a_full_queue_answers_503() -> None:
    async def main() -> list[tuple[int, int]]:
        names = [f"m{i}:latest" for i in range(4)]
        app = virtual_app(*(model(name) for name in names), max_queue=2)
        clients = await send_in_order(app, [{"model": name} for name in names])
        statuses = [await client.status() for client in clients]
        assert (
            b"server busy, please try again.  maximum pending requests exceeded"
            in (clients[-1].writes[0][1])
        )
        return list(zip(statuses, [c.writes[0][0] for c in clients], strict=True))

    # One loads, two wait, and there is no room for the last.
    assert run_virtual(main()) == [
        (200, at(51)),
        (200, at(101)),
        (200, at(151)),
        (503, at(1) + 3),
    ]


def test_requests_for_the_model_that_is_loading_wait_in_the_queue_too() -> None:
    async def main() -> list[tuple[int, int]]:
        app = virtual_app(max_queue=1)
        clients = await send_in_order(app, [{"model": "m"}] * 3)
        return [(await client.status(), client.writes[0][0]) for client in clients]

    assert run_virtual(main()) == [(200, at(51)), (200, at(51)), (503, at(1) + 2)]


def test_a_request_for_a_model_that_loads_waits_behind_the_others() -> None:
    async def main() -> list[int]:
        app = virtual_app(model(), model("n:latest", cold_load_s=0.5))
        clients = await send_in_order(app, [{"model": name} for name in ("m", "n", "m")])
        await asyncio.gather(*(client.lines() for client in clients))
        return [client.writes[0][0] for client in clients]

    assert run_virtual(main()) == [at(51), at(551), at(551)]


def test_who_gives_up_keeps_the_place_in_the_queue_until_its_turn() -> None:
    async def main() -> list[int]:
        app = virtual_app(model(cold_load_s=1.0), model("n:latest"), max_queue=1)
        first, gone, refused, served = (Client(app) for _ in range(4))
        first.send("/api/generate", {"model": "m"})
        gone.send("/api/generate", {"model": "n"})
        await later(100, gone.close)
        refused.send("/api/generate", {"model": "n"})
        await first.lines()
        served.send("/api/generate", {"model": "n"})
        assert [await client.status() for client in (first, refused, served)] == [200, 503, 200]
        return [client.writes[0][0] for client in (first, served)]

    assert run_virtual(main()) == [at(1001), at(1001 + 1 + 50)]


def two_rivals() -> App:
    """A server with room for one of two models."""
    return virtual_app(model(), model("n:latest"), max_loaded=1, keep_alive_ns=300 * 10**9)


async def rivalry(**fields: Any) -> list[int]:
    """`n` wants the room of `m`, which is busy and asked for again; when each has its reply."""
    app = two_rivals()
    await ask(app, "/api/generate", {"model": "m"})
    began = app.state.clocks.now_ns()
    busy, rival, again = (Client(app) for _ in range(3))
    busy.send("/api/generate", raw("a"))
    await asyncio.sleep(0.02)
    rival.send("/api/generate", {"model": "n"})
    await asyncio.sleep(0.02)
    again.send("/api/generate", raw("b", **fields))
    await asyncio.gather(busy.lines(), rival.lines(), again.lines())
    return [client.writes[-1][0] - began for client in (busy, again, rival)]


def test_a_busy_model_makes_room_when_all_have_been_served_that_found_it() -> None:
    assert run_virtual(rivalry()) == [at(1 + 110), at(1 + 220), at(1 + 220 + 50)]


def test_a_keep_alive_named_meanwhile_keeps_the_room() -> None:
    assert run_virtual(rivalry(keep_alive="2s")) == [at(111), at(221), at(221 + 2000 + 50)]


def test_a_model_goes_even_if_who_needed_the_room_has_given_up() -> None:
    async def main() -> list[int]:
        app = two_rivals()
        await ask(app, "/api/generate", {"model": "m"})
        busy, rival = Client(app), Client(app)
        busy.send("/api/generate", raw("a"))
        await asyncio.sleep(0.02)
        rival.send("/api/generate", {"model": "n"})
        await later(20, rival.close)
        counts = [len(app.state.scheduler.loaded())]
        await busy.lines()
        await asyncio.sleep(1)
        return [*counts, len(app.state.scheduler.loaded())]

    assert run_virtual(main()) == [1, 0]


def test_of_busy_models_the_one_with_the_shortest_keep_alive_is_waited_for() -> None:
    async def main() -> tuple[int, list[str]]:
        app = virtual_app(model(), model("n:latest"), model("o:latest"), max_loaded=2)
        for name, stay in (("m", "100s"), ("n", "50s")):
            await ask(app, "/api/generate", {"model": name, "keep_alive": stay})
        began = app.state.clocks.now_ns()
        soon, late, third = (Client(app) for _ in range(3))
        soon.send("/api/generate", raw("a", 11))
        late.send("/api/generate", raw("b", 31) | {"model": "n"})
        await asyncio.sleep(0.02)
        third.send("/api/generate", {"model": "o"})
        await asyncio.gather(soon.lines(), late.lines(), third.lines())
        names = sorted(m.card.name for m in app.state.scheduler.loaded())
        return third.writes[-1][0] - began, names

    assert run_virtual(main()) == (at(1 + 310 + 50), ["m:latest", "o:latest"])


def test_of_models_that_stay_as_long_the_first_by_digest_goes() -> None:
    async def main(*order: str) -> set[str]:
        app = virtual_app(model("a:latest"), model("b:latest"), model("c:latest"), max_loaded=2)
        for name in (*order, "c"):
            await ask(app, "/api/generate", {"model": name})
        return {m.card.name for m in app.state.scheduler.loaded()}

    assert run_virtual(main("a", "b")) == run_virtual(main("b", "a"))


def test_who_gives_up_just_when_the_model_is_ready_lets_it_go() -> None:
    async def main() -> list[int]:
        app = virtual_app()
        scheduler = app.state.scheduler
        (card,) = app.state.engine.cards()
        wanted = LoadOptions(num_ctx=4096, parallel=1)
        truth = TruthRecord(id=1, peer="", method="", path="", body_sha256="", received_ns=0)
        task = asyncio.create_task(scheduler.acquire(card, wanted, None, truth))
        await app.state.clock.sleep_until(at(50))
        while not scheduler.loaded():
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return [m.users for m in scheduler.loaded()]

    assert run_virtual(main()) == [0]


def test_who_hangs_up_frees_the_slot_and_leaves_the_queue() -> None:
    async def main() -> tuple[list[Any], dict[str, Any]]:
        app = virtual_app()
        await ask(app, "/api/generate", {"model": "m"})
        running, waiting, last = (Client(app) for _ in range(3))
        for client, text in ((running, "a"), (waiting, "b"), (last, "c")):
            client.send("/api/generate", raw(text, 100))
        await asyncio.gather(later(46, waiting.close), later(76, running.close))
        lines = await last.lines()
        await asyncio.sleep(0.001)
        assert app.state.scheduler.loaded()[0].users == 0
        assert app.state.scheduler.loaded()[0].slots.used == 0
        return sorted(app.state.truth.records, key=lambda r: r.id)[1:], lines[-1]

    (first, second, third), end = run_virtual(main())
    began = third.received_ns
    assert (first.gone, second.gone, third.gone) == (True, True, False)
    assert second.slot_ns is None
    assert third.slot_ns == began + at(76)
    # The step under way when the first hung up is finished first.
    assert end["prompt_eval_duration"] == at(81 - 76 + 10)


def test_a_load_that_nobody_waits_for_is_aborted() -> None:
    async def main() -> int:
        app = virtual_app(model(cold_load_s=5.0), model("n:latest"))
        client = Client(app)
        client.send("/api/generate", {"model": "m"})
        await later(1000, client.close)
        await ask(app, "/api/generate", {"model": "n"})
        assert [m.card.name for m in app.state.scheduler.loaded()] == ["n:latest"]
        return app.state.clocks.now_ns()

    assert run_virtual(main()) == at(1000 + 1 + 50)


def test_the_head_goes_out_with_the_first_line_and_each_line_in_one_write() -> None:
    async def main() -> list[tuple[int, bytes]]:
        client = Client(virtual_app())
        client.send("/api/generate", raw("a", 3))
        await client.lines()
        return client.writes

    writes = run_virtual(main())
    assert [when for when, _ in writes] == [at(READY + ms) for ms in (10, 20, 30, 30, 30)]
    assert writes[0][1].startswith(b"HTTP/1.1 200 OK\r\n")
    assert [data.count(b'"done":') for _, data in writes] == [1, 1, 1, 1, 0]
    assert writes[-1][1] == b"0\r\n\r\n"


def test_a_long_chat_loses_its_oldest_messages_and_a_long_prompt_its_middle() -> None:
    async def main() -> list[int]:
        app = virtual_app()
        options = {"num_ctx": 128, "num_predict": 1}
        words = [{"role": "user", "content": "word " * 40} for _ in range(5)]
        chat = {"model": "m", "messages": words, "options": options}
        long = raw("a" + " word" * 300, options=options)
        replies = [await ask(app, "/api/chat", chat), await ask(app, "/api/generate", long)]
        refused = Client(app)
        refused.send("/api/generate", long | {"truncate": False})
        assert await refused.status() == 400
        assert b"context size (256 tokens)" in b"".join(data for _, data in refused.writes)
        # A slot has a multiple of 256 tokens.
        whole = raw("a" + " word" * 200, options=options, truncate=False)
        replies.append(await ask(app, "/api/generate", whole))
        return [lines[-1]["prompt_eval_count"] for lines in replies]

    chat, cut, whole = run_virtual(main())
    assert 80 < chat < 128
    assert cut == 128 - (128 - 4) // 2
    assert 128 < whole < 256


def test_without_shift_a_slot_is_filled_to_its_end() -> None:
    async def main() -> dict[str, Any]:
        app = virtual_app()
        body = raw("a", -1, options={"num_ctx": 100, "num_predict": -1}, shift=False)
        return (await ask(app, "/api/generate", body))[-1]

    end = run_virtual(main())
    assert (end["done_reason"], end["prompt_eval_count"] + end["eval_count"]) == ("length", 256)


@pytest.mark.parametrize(
    ("version", "load_ms", "one_token", "cut", "refusal"),
    [
        ("0.32.15", 1, 1000, 66, "exceed_context_size_error"),
        ("0.24.0", 36, None, 128, "the input length exceeds the context length"),
        ("0.12.11", 34, None, 128, "the input length exceeds the context length"),
    ],
)
def test_versions_differ(
    version: str, load_ms: int, one_token: int | None, cut: int, refusal: str
) -> None:
    async def main() -> None:
        app = virtual_app(version=version)
        options = {"num_ctx": 128}
        await ask(app, "/api/generate", {"model": "m", "options": options})
        (*_, end) = await ask(app, "/api/generate", raw("a", 1, options=options))
        assert end["load_duration"] == at(load_ms)
        assert end["eval_count"] == 1
        assert end.get("eval_duration") == one_token
        long = raw("a" + " word" * 300, options=options)
        (*_, end) = await ask(app, "/api/generate", long)
        assert end["prompt_eval_count"] == cut
        (error,) = await ask(app, "/api/generate", long | {"truncate": False})
        assert refusal in error["error"]

    run_virtual(main())


def test_an_error_in_the_place_of_the_last_line_gives_the_slot_back_once() -> None:
    async def main() -> tuple[list[str], int, str]:
        defects: list[str] = []
        handler = lambda _, context: defects.append(str(context))  # noqa: E731
        asyncio.get_running_loop().set_exception_handler(handler)
        app = virtual_app(faults=FaultPlan([Fault(kind=Kind.ERROR_LINE, requests=(1,), after=1)]))
        body = {"model": "m", "prompt": "hi", "options": {"num_predict": 1}}
        broken = await ask(app, "/api/generate", body)
        both = await asyncio.gather(*(ask(app, "/api/generate", body) for _ in range(2)))
        ends = [lines[-1]["total_duration"] for lines in both]
        assert "error" in broken[-1]
        return defects, ends[1] - ends[0], both[1][-1]["done_reason"]

    defects, waited, reason = run_virtual(main())
    assert defects == []
    assert waited > 0, "there is one slot, not two"
    assert reason == "length"
