"""The engine's process: loads that fail or are cancelled, and parents that die."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from bench.server.engine import EngineFailure, LoadOptions
from bench.server.llamacpp.engine import create_engine
from bench.server.llamacpp.process import EngineProcess

pytestmark = pytest.mark.real_engine

PARENT = """
import asyncio, sys
from bench.server.llamacpp.process import EngineProcess

async def main():
    process = await EngineProcess.start({"model.path": sys.argv[1], "n_ctx": 512, "ui": False})
    print(process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def wait_until_gone(pid, seconds=30.0):
    """Whether the process has ended within so many seconds."""
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent(demo_model_file, how):
    command = [sys.executable, "-c", PARENT, str(demo_model_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        os.kill(parent.pid, how)
    assert wait_until_gone(pid)


async def test_ctrl_c_is_left_to_the_parent(demo_model_file):
    process = await EngineProcess.start({"model.path": str(demo_model_file), "n_ctx": 512})
    os.kill(process.pid, signal.SIGINT)
    await asyncio.sleep(0.3)
    assert process.alive
    await process.stop()
    assert not process.alive


async def test_a_load_that_fails_names_the_cause(tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF, but no more than that")
    with pytest.raises(EngineFailure) as caught:
        await EngineProcess.start({"model.path": str(bad)})
    assert caught.value.status == 500
    assert "llama-server process has terminated: exit status 1" in caught.value.message
    assert "version" in caught.value.message  # what llama.cpp stumbled over


async def test_a_parameter_that_this_llama_cpp_has_not_got(demo_model_file):
    with pytest.raises(EngineFailure, match="no_such_parameter"):
        await EngineProcess.start({"no_such_parameter.x": 1})


async def test_a_cancelled_load_leaves_no_process(demo_model_file):
    engine = create_engine(threads=1)
    card, *_ = engine.cards()
    load = asyncio.create_task(engine.load(card, LoadOptions(num_ctx=512, parallel=1)))
    me = psutil.Process()
    for _ in range(400):
        if children := [p for p in me.children() if "child.py" in " ".join(p.cmdline())]:
            break
        await asyncio.sleep(0.01)
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert wait_until_gone(children[0].pid)
    await engine.aclose()


async def test_an_unknown_model(demo_model_file):
    engine = create_engine(threads=1)
    card, *_ = engine.cards()
    other = type(card)(
        **{f: getattr(card, f) for f in card.__slots__} | {"name": "other:latest", "digest": "0"}
    )
    with pytest.raises(EngineFailure, match="model 'other:latest' not found") as caught:
        await engine.load(other, LoadOptions(num_ctx=512, parallel=1))
    assert caught.value.status == 404
