"""Dask runs whatever a scheduler is sent, so it must not be open to a network unnoticed."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from bench.errors import ServerUnreachable
from bench.load.fleet import dask_cluster
from bench.load.fleet.dask_cluster import Spot
from bench.load.fleet.fleet import Fleet
from bench.load.fleet.hosting import MachineSeen


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("tcp://localhost:8786", False),
        ("tls://10.0.0.5:8786", False),
        ("wss://10.0.0.5:8786", False),
        ("inproc://10.0.0.5/12/1", False),
        ("tcp://10.0.0.5:8786", True),
        ("tcp://[fd00::5]:8786", True),
        ("tcp://scheduler.example.com:8786", True),
        ("ws://10.0.0.5:8786", True),
    ],
)
def test_a_scheduler_open_to_a_network_without_tls_is_warned_of(address, is_open):
    fleet = Fleet(address)
    client = SimpleNamespace(scheduler=SimpleNamespace(address=address))
    fleet._cluster._client = client
    fleet._spots = [Spot("tcp://10.0.0.7:1", "there", "10.0.0.7", MachineSeen("there", "3", 2))]
    warnings = fleet.warnings({"default": "http://gpu-box:11434"})
    assert [w.code for w in warnings] == (["open_scheduler"] if is_open else [])
    if is_open:
        assert address in warnings[0].message
        assert "TLS" in warnings[0].advice


def test_a_scheduler_that_hangs_is_named_in_time(monkeypatch):
    """Its process is stopped, say: the connection stands, and nothing comes."""
    hung = threading.Event()
    client = SimpleNamespace(status="running", scheduler_info=lambda n_workers: hung.wait(5))
    monkeypatch.setattr(dask_cluster, "_ANSWER_S", 0.2)
    fleet = Fleet("tcp://10.0.0.5:8786")
    fleet._cluster._client = client
    with pytest.raises(ServerUnreachable, match="no answer within"):
        asyncio.run(fleet._cluster.spots())
    hung.set()
