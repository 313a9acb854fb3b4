"""Whatever llama.cpp replies, the job ends and its slot is given back."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest

from bench.server.engine import Job, Memory, Rendered
from bench.server.llamacpp.runner import LlamaCppRunner


class Sink:
    """Remembers how the job ended."""

    def __init__(self):
        self.ended = asyncio.get_running_loop().create_future()

    def piece(self, piece):
        pass

    def finished(self, finish):
        self.ended.set_result(finish)

    def failed(self, failure):
        self.ended.set_result(failure.message)


@pytest.mark.parametrize(
    "event",
    ["5", "[]", "null", "{}", '{"stop": true}', '{"content": 3}', '{"stop": true, "content": []}'],
)
async def test_an_event_of_another_form_ends_the_job(event):
    process = SimpleNamespace(address="http://llama", alive=True)
    runner = LlamaCppRunner(process, "key", Memory(1, 0), 512)
    await runner._client.aclose()
    answer = httpx.MockTransport(lambda _: httpx.Response(200, text=f"data: {event}\n\n"))
    runner._client = httpx.AsyncClient(transport=answer, base_url="http://llama")
    sink = Sink()
    runner.start(Job(id=1, prompt=Rendered("a", [1]), options={}), sink)
    assert "llama.cpp" in await asyncio.wait_for(sink.ended, 10)
    await runner._client.aclose()
