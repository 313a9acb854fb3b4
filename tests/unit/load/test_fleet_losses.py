"""Whoever dies, the others do not wait for it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from bench.errors import ServerUnreachable
from bench.load.fleet import agent as agents
from bench.load.fleet.asker import Place, TimeAsker
from bench.load.fleet.dask_cluster import DaskCluster
from bench.load.fleet.fleet import Fleet
from bench.load.fleet.link import RemoteSender
from bench.load.fleet.spool import kept_here


class Client:
    """Dask's, as far as it is used; its scheduler is gone while `status` is not running."""

    def __init__(self, status, workers=(), silent=()):
        self.status, self.workers, self.silent = status, workers, silent
        self.ended = threading.Event()

    def scheduler_info(self, n_workers):
        return {"workers": dict.fromkeys(self.workers)}

    def run(self, function, asked, workers):
        if self.status != "running" or workers[0] in self.silent:
            self.ended.wait()
        return {workers[0]: function(asked)}


def cluster_of(client):
    cluster = DaskCluster("tcp://nowhere:1")
    cluster._client = client
    return cluster


async def test_what_needs_a_scheduler_that_is_gone_is_not_awaited():
    """Dask tries to reach it for half a minute, for every question anew."""
    client = Client("connecting", ["tcp://a:1"])
    client.scheduler_info = lambda n_workers: client.ended.wait()  # type: ignore[method-assign]
    try:
        with pytest.raises(ServerUnreachable, match="scheduler has gone"):
            await cluster_of(client).spots()
        fleet = Fleet("tcp://nowhere:1")
        fleet._cluster = cluster_of(client)
        with pytest.raises(ServerUnreachable, match="scheduler has gone"):
            await fleet.start(None)  # type: ignore[arg-type]
    finally:
        client.ended.set()


async def test_a_machine_that_was_cut_off_does_not_keep_the_others():
    client = Client("running", ["tcp://a:1", "tcp://b:1", "tcp://c:1"], silent=["tcp://b:1"])
    try:
        found = await cluster_of(client)._each(lambda _: b"here", b"", 0.3)
    finally:
        client.ended.set()
    assert found == {"tcp://a:1": b"here", "tcp://c:1": b"here"}


async def test_an_agent_that_nobody_calls_ends(tmp_path, monkeypatch):
    """The run was killed after it had asked for the agent, and before it knew its port."""
    monkeypatch.setattr(agents, "SILENCE_S", 0.5)
    monkeypatch.setattr(agents, "_LINGER_S", 0.1)
    agent = agents.Agent(agents.AgentStart("token", "run", "0-a", bind="127.0.0.1"), tmp_path)
    await agent.serve()
    async with asyncio.timeout(20):
        await agent.until_over()
    assert not list(kept_here(tmp_path))  # it has no records


async def test_an_agent_without_room_for_what_is_said_ends(tmp_path, monkeypatch):
    """Else the run would wait for words for as long as it asks for the time."""

    def full(data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(agents, "_LINGER_S", 0.1)
    agent = agents.Agent(agents.AgentStart("token", "run", "0-a", bind="127.0.0.1"), tmp_path)
    await agent.serve()
    monkeypatch.setattr(agent._spool, "append", full)
    monkeypatch.setattr(agent, "_heard_s", float("inf"))
    agent._process.kill()
    async with asyncio.timeout(20):
        await agent.until_over()


async def test_an_agent_whose_words_cannot_be_had_is_not_asked_for_the_time_any_more(monkeypatch):
    """It goes on for as long as it is asked."""
    monkeypatch.setattr(TimeAsker, "start", lambda self: True)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    place = Place("there", "127.0.0.1", port, "token", "0-a")
    sender = RemoteSender(place, "sender 1 of 1", None)  # type: ignore[arg-type]
    with pytest.raises(OSError):
        await sender.start(None)  # type: ignore[arg-type]
    assert sender._asker._ended.is_set()


def test_what_an_ended_agent_said_is_known_as_left(tmp_path):
    zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert zombie.stdout is not None
    zombie.stdout.read()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    for sender, pid in [("zombie", zombie.pid), ("living", os.getpid()), ("reused", os.getpid())]:
        (tmp_path / f"run~{sender}~{pid}.jsonl").touch()
    # Written before the process that has its number now began.
    reused = tmp_path / f"run~reused~{os.getpid()}.jsonl"
    os.utime(reused, (time.time() - 86_400,) * 2)
    assert {k.sender: k.left for k in kept_here(tmp_path)} == {
        "living": False,
        "reused": True,
        "zombie": True,
    }
    zombie.communicate()
