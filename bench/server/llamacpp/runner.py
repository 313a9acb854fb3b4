"""One loaded model: a llama.cpp process, spoken to over HTTP on the loopback interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from bench.server.engine import (
    Embedding,
    EngineFailure,
    EnginePrompt,
    Finish,
    Job,
    Json,
    Memory,
    Piece,
    Rendered,
    Sink,
)
from bench.server.llamacpp import completion
from bench.server.llamacpp.completion import as_text, instructions, read_answer
from bench.server.llamacpp.process import EngineProcess
from bench.server.llamacpp.thinking import OPENING, ThinkingSplitter
from bench.wire.http_client import httpx

_BROKE_OFF = "an error was encountered while running the model: unexpected EOF"
_GONE = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an "
    "internal error, check ollama server logs for details"
)


class LlamaCppRunner:
    """A `Runner` on a llama.cpp process.

    The process ends when it is unloaded.
    """

    def __init__(self, process: EngineProcess, key: str, memory: Memory, num_ctx: int) -> None:
        self.memory = memory
        self._process = process
        self._num_ctx = num_ctx
        self._broken = False
        self._tasks: dict[int, asyncio.Task[None]] = {}
        # No time-outs: a slot may compute for as long as it takes. No pool limit: the front
        # bounds the jobs. A connection for each call, as Ollama makes it. No proxy from the
        # environment: this is the loopback interface.
        self._client = httpx.AsyncClient(
            base_url=process.address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=None,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
        )

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.alive and not self._broken

    async def check(self) -> None:
        """Ask whether the process serves; so the first request pays nothing for the first call.

        Raises:
            EngineFailure: it does not.
        """
        await self._text_of([])

    async def render(self, prompt: EnginePrompt) -> Rendered:
        """Apply the template and tokenise; see `Runner.render`."""
        if prompt.template:
            raise EngineFailure("this engine cannot apply a template given with the request", 400)
        text = prompt.raw if prompt.raw is not None else await self._apply_template(prompt)
        if prompt.context:
            text = await self._text_of(prompt.context) + text
        body = {"content": text, "add_special": True, "parse_special": True}
        return Rendered(text, (await self._post("/tokenize", body))["tokens"])

    async def _apply_template(self, prompt: EnginePrompt) -> str:
        messages = [instructions(prompt.tools)] if prompt.tools else []
        messages += map(as_text, prompt.messages)
        body: dict[str, Json] = {
            "messages": [
                {"role": m.role, "content": m.content}
                | ({"reasoning_content": m.thinking} if m.thinking else {})
                for m in messages
            ]
        }
        if prompt.think is not None:
            body["chat_template_kwargs"] = {"enable_thinking": bool(prompt.think)}
        return str((await self._post("/apply-template", body))["prompt"])

    async def _text_of(self, tokens: Sequence[int]) -> str:
        return str((await self._post("/detokenize", {"tokens": list(tokens)}))["content"])

    async def embed(self, text: str) -> Embedding:
        """The embedding of one input; llama.cpp itself refuses with a model that only chats."""
        reply = await self._post("/v1/embeddings", {"input": text})
        return Embedding(reply["data"][0]["embedding"], reply["usage"]["prompt_tokens"])

    def start(self, job: Job, sink: Sink) -> None:
        """Begin a job; see `Runner.start`."""
        task = asyncio.get_running_loop().create_task(self._run(job, sink))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    def cancel(self, job_id: int) -> None:
        """Close the job's connection: llama.cpp then frees the slot."""
        if task := self._tasks.get(job_id):
            task.cancel()

    async def unload(self) -> None:
        """End the process, and any job that is left."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()
        await self._process.stop()

    async def _run(self, job: Job, sink: Sink) -> None:
        try:
            sink.finished(await self._complete(job, sink))
        except EngineFailure as failure:
            sink.failed(failure)
        except httpx.TransportError:
            self._broken = True
            sink.failed(EngineFailure(_BROKE_OFF))
        except Exception as error:  # whatever it is, the slot must be given back
            sink.failed(EngineFailure(f"unexpected reply from llama.cpp: {error!r}"))

    async def _complete(self, job: Job, sink: Sink) -> Finish:
        body = completion.completion_request(job, self._num_ctx)
        output = _Output(job)
        async with self._client.stream("POST", "/completion", json=body) as response:
            if response.status_code != httpx.codes.OK:
                raise _refusal(response.status_code, await response.aread())
            async with aclosing(_events(response)) as events:
                async for event in events:
                    if "error" in event:
                        raise _refusal(500, json.dumps(event).encode())
                    if event.get("stop"):
                        last = output.end(event)
                        tokens = await self._output_tokens(output, event)
                        return completion.finish(event, tokens, last)
                    if piece := output.piece(event):
                        sink.piece(piece)
        raise EngineFailure(_BROKE_OFF)

    async def _output_tokens(self, output: _Output, event: dict[str, Any]) -> Sequence[int]:
        """Ids of the output; llama.cpp names only the last token of a character made of several."""
        if len(output.tokens) >= event["tokens_predicted"] - 1:
            return output.tokens
        return list((await self._post("/tokenize", {"content": output.text}))["tokens"])

    async def _post(self, path: str, body: dict[str, Json]) -> Any:
        try:
            response = await self._client.post(path, json=body)
        except httpx.TransportError as error:
            self._broken = True
            raise EngineFailure(_GONE) from error
        if response.status_code != httpx.codes.OK:
            raise _refusal(response.status_code, response.content)
        return response.json()


class _Output:
    """What a job has put out so far."""

    def __init__(self, job: Job) -> None:
        self.text = ""
        self.tokens: list[int] = []
        self._top = job.top_logprobs
        self._call_id = f"call_{job.id:08x}" if job.tools and job.format is None else ""
        self._held = ""
        opened = job.prompt.text.rstrip().endswith(OPENING)
        self._splitter = ThinkingSplitter(opened=opened) if job.think else None

    def piece(self, event: dict[str, Any]) -> Piece | None:
        """The piece that an event makes; None if it has no text, or all of it is held back."""
        text = event["content"]
        if text:  # the end token comes with an event of its own, and belongs to no context
            self.text += text
            self.tokens.extend(event.get("tokens", ()))
        logprobs = completion.logprobs(event, self._top)
        thinking, answer = self._splitter.feed(text) if self._splitter else ("", text)
        if self._call_id:  # read as a whole, at its end
            self._held, answer = self._held + answer, ""
        if not (thinking or answer or logprobs):
            return None
        return Piece(text=answer, thinking=thinking, logprobs=logprobs)

    def end(self, event: dict[str, Any]) -> Piece | None:
        """Text that comes with the last event, or was held back until then."""
        last = self.piece(event)
        if self._splitter is not None:
            thinking, answer = self._splitter.flush()
            last = last or Piece()
            last.thinking, last.text = last.thinking + thinking, last.text + answer
        if self._call_id:
            last = last or Piece()
            said = read_answer(self._held + last.text, self._call_id)
            last.text, last.tool_calls = said.text, said.tool_calls
        return last if last and last != Piece() else None


async def _events(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    """The events of a server-sent stream, each as soon as its line is complete.

    Cut at line feeds only: JSON strings may hold other characters that count as line ends.
    """
    rest = b""
    async for data in response.aiter_raw():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            field, _, value = line.partition(b":")
            if field == b"data":
                yield json.loads(value)
            elif field == b"error":
                yield {"error": json.loads(value)}


def _refusal(status: int, body: bytes) -> EngineFailure:
    """llama.cpp's error as Ollama passes it on.

    Ollama shows the body as it is, but for "not supported", where it shows the message alone.
    """
    text = body.decode("utf-8", "replace")
    if status == httpx.codes.NOT_IMPLEMENTED:
        text = json.loads(body)["error"]["message"]
    return EngineFailure(text, status)
