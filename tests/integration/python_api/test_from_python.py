"""The Python API as programs and notebooks use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench
from bench import EmbeddedServer, ScriptedReply, Settings, start_server
from bench.errors import ScenarioError
from bench.results.directory import read_run
from bench.results.run import RunStatus

QUICK = {
    "name": "mine",
    "options": {"num_predict": 8},
    "load": {"closed": {"requests": 4}},
    "blocks": 2,
    "warmup": 1,
}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with start_server(profile="test") as server:
        yield server


def settings(folder: Path) -> Settings:
    return Settings(output=folder, history=None)


def test_a_scenario_may_be_a_dict_and_a_model_a_text(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    run = bench.run(QUICK, models="sim-small:latest", hosts=server.url, settings=settings(tmp_path))
    assert [c.model for c in run.info.plan.cases] == ["sim-small:latest"]
    assert run.info.plan.name == "mine" and run.summary.cases[0].requests.ok == 8


def test_errors_in_a_dict_name_the_key() -> None:
    with pytest.raises(ScenarioError, match=r"scenario: load\.closed\.userz"):
        bench.run({"load": {"closed": {"userz": 4}}}, models="m", hosts=":1")


def test_an_observer_may_leave_methods_out(server: EmbeddedServer, tmp_path: Path) -> None:
    class Counts:
        ended = 0

        def request_ended(self, record: object) -> None:
            self.ended += 1

    counts = Counts()
    more = {"settings": settings(tmp_path), "observer": counts, "report": False}
    bench.run(QUICK, models="sim-small", hosts=server.url, **more)
    assert counts.ended >= 8 + 2


async def test_where_an_event_loop_runs_already(server: EmbeddedServer, tmp_path: Path) -> None:
    """As in a notebook's cell: the plain function works in it; without a model, it asks for one."""
    more = {"settings": settings(tmp_path), "report": False, "hosts": server.url}
    assert bench.run(QUICK, models="sim-small", **more).info.status is RunStatus.COMPLETE
    assert bench.run(QUICK, **more).info.plan.cases[0].model.startswith("sim-small")  # in memory


async def test_the_twin_lets_the_caller_go_on(server: EmbeddedServer, tmp_path: Path) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    more = {"settings": settings(tmp_path), "report": False, "hosts": server.url}
    run = await bench.run_async(QUICK, models="sim-small", **more)
    ticking.cancel()
    assert run.summary.cases[0].requests.ok == 8 and ticks > 3


@pytest.mark.parametrize("wait_for", ["request", "nothing"])
async def test_a_cancelled_twin_keeps_what_was_measured(
    server: EmbeddedServer, tmp_path: Path, wait_for: str
) -> None:
    seen = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Sees:
        def request_ended(self, record: object) -> None:
            loop.call_soon_threadsafe(seen.set)

    endless = QUICK | {"load": {"closed": {"requests": 100_000}}}
    more = {"settings": settings(tmp_path), "hosts": server.url, "report": False}
    running = asyncio.ensure_future(
        bench.run_async(endless, models="sim-small", observer=Sees(), **more)
    )
    if wait_for == "request":
        await seen.wait()
    else:
        await asyncio.sleep(0)
    begun = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - begun < 60
    for run in [read_run(path) for path in sorted(tmp_path.glob("*"))]:  # noqa: ASYNC240
        assert run.info.status is RunStatus.INTERRUPTED
        assert run.records or wait_for == "nothing"


async def test_the_fake_transport_is_public() -> None:
    assert ScriptedReply and bench.FakeTransport
