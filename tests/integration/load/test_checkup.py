"""What `doctor` finds about a server that it reaches in an unusual way."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_wire import Peer, WireServer

from bench.address import Address
from bench.doctor import checkup
from bench.doctor.checkup import Status, check_server


async def empty(peer: Peer) -> None:
    """An Ollama without models."""
    while True:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        body = b'{"version":"0.12.3"}' if b"version" in head else b'{"models":[]}'
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def test_a_server_without_kernel_stamps_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "why_no_kernel_stamps", lambda: "")
    async with WireServer(empty, unix=f"{tmp_path}/s"):
        found = await check_server(Address.parse(f"unix://{tmp_path}/s", environ={}))
    said = {f.what: f for f in found}
    assert said["server"].said == f"unix://{tmp_path}/s answers, on this machine"
    assert said["transport"].status is Status.CAUTION
    assert said["transport"].said.startswith("user, ") and said["transport"].advice
    assert said["models"].status is Status.CAUTION


async def test_the_usual_way_is_not_worth_a_word() -> None:
    async with WireServer(empty) as server:
        found = await check_server(Address.parse(f"127.0.0.1:{server.port}", environ={}))
    assert "transport" not in {f.what for f in found}
