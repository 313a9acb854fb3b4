"""The real model, fetched at most once for all tests."""

import asyncio

import pytest
import pytest_asyncio

from bench.server.engine import EngineFailure, Finish, Job, LoadOptions, Piece
from bench.server.llamacpp.engine import create_engine


@pytest.fixture(scope="session")
def demo_model_file():
    """Path of the demo model; fetched if this machine has not got it yet."""
    from bench.server.llamacpp.model_file import find_model

    return find_model(say=print)


@pytest.fixture
async def engine(demo_model_file):
    engine = create_engine(threads=1)
    yield engine
    await engine.aclose()


@pytest.fixture
async def runner(engine):
    """The demo model with two slots."""
    card, *_ = engine.cards()
    return await engine.load(card, LoadOptions(num_ctx=1024, parallel=2))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_runner(demo_model_file):
    """The same for tests that leave nothing in it, loaded once; they run on the module's loop."""
    engine = create_engine(threads=1)
    card, *_ = engine.cards()
    yield await engine.load(card, LoadOptions(num_ctx=1024, parallel=2))
    await engine.aclose()


class Collector:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.ended: asyncio.Future[Finish] = asyncio.get_running_loop().create_future()
        self.first: asyncio.Event = asyncio.Event()

    def piece(self, piece: Piece) -> None:
        assert not self.ended.done(), "a piece after the end"
        self.pieces.append(piece)
        self.first.set()

    def finished(self, finish: Finish) -> None:
        self.ended.set_result(finish)

    def failed(self, failure: EngineFailure) -> None:
        self.ended.set_exception(failure)

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@pytest.fixture
def new_sink():
    """Makes a sink that keeps everything."""
    return Collector


GREEDY = {"temperature": 0.0, "seed": 7, "repeat_penalty": 1.0}


@pytest.fixture
def complete(runner):
    """Runs one job to its end: `finish, sink = await complete(prompt, num_predict=8)`."""
    ids = iter(range(1, 1000))

    async def run(prompt, *, stop=(), format=None, logprobs=False, top_logprobs=0, **options):
        job = Job(
            id=next(ids),
            prompt=await runner.render(prompt),
            options=GREEDY | options,
            stop=stop,
            format=format,
            logprobs=logprobs,
            top_logprobs=top_logprobs,
        )
        sink = Collector()
        runner.start(job, sink)
        return await asyncio.wait_for(sink.ended, 60), sink

    return run
