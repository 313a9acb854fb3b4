from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from mock_server import mock_control

from bench.errors import ModelError, NotOllama, ServerError, ServerUnreachable
from bench.load.target import residency
from bench.ollama.names import full_name, is_cloud_name, same_model
from bench.ollama.replies import parse_ps, parse_show, parse_tags

RECORDINGS = Path(__file__).parents[2] / "recordings"
VERSIONS = ("ollama-0.12.11", "ollama-0.24.0", "ollama-0.32.15")


def recorded(version, name):
    exchange = json.loads((RECORDINGS / version / f"{name}.json").read_text())["response"]
    body = "".join(c["data"] for c in exchange["chunks"])
    return exchange["status"], body.encode()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("bench.ollama.control_calls._PAUSES_S", (0.0, 0.0, 0.0))


def control(answer):
    return mock_control("http://here:11434/base", answer)


def recorded_control(version, /, **names):
    """A server that answers with recordings: path -> name of the recording."""

    def answer(request):
        name = names[request.url.path.rpartition("/")[2]]
        status, body = recorded(version, name)
        return httpx.Response(status, content=body)

    return control(answer)


@pytest.mark.parametrize("version", VERSIONS)
async def test_reads_what_every_recorded_version_answers(version):
    server = recorded_control(version, version="version", tags="tags", show="show", ps="ps-loaded")
    assert (await server.version()).version == version.removeprefix("ollama-")
    assert (await server.version()).engine == "ollama"
    installed = await server.tags()
    assert all(m.name and len(m.digest) == 64 and m.size_bytes for m in installed)
    shown = await server.show("smollm2:135m-1t")
    assert shown.context_limit == 8192
    assert shown.capabilities == ("completion",)
    assert shown.model_info["general.architecture"] == "llama"
    [resident] = await server.ps()
    assert resident.served_context == 2048
    assert residency((resident,), "smollm2:135m-1t").gpu_share == 0.0


@pytest.mark.parametrize("version", VERSIONS)
async def test_preload_and_unload_as_recorded(version):
    server = recorded_control(version, generate="preload-generate", ps="ps-empty")
    assert await server.preload("smollm2:135m-1t", {}, "5m", 60.0) > 0
    server = recorded_control(version, generate="unload", ps="ps-empty")
    await server.unload("smollm2:135m-1t")


async def test_preload_carries_the_options_and_the_prefix_of_the_path():
    asked = []

    def answer(request):
        asked.append((request.url.path, json.loads(request.content)))
        return httpx.Response(200, json={"done": True, "done_reason": "load"})

    await control(answer).preload("m", {"num_ctx": 2048}, -1, 60.0)
    [(path, body)] = asked
    assert path == "/base/api/generate"
    assert body == {"model": "m", "options": {"num_ctx": 2048}, "keep_alive": -1, "stream": False}


async def test_unload_waits_until_ps_says_gone(monkeypatch):
    monkeypatch.setattr("bench.ollama.control._PS_POLL_S", 0.0)
    left = [["m:latest"], ["m:latest"], []]

    def answer(request):
        if request.method == "GET":
            return httpx.Response(200, json={"models": [{"name": n} for n in left.pop(0)]})
        return httpx.Response(200, json={"done": True, "done_reason": "unload"})

    await control(answer).unload("m")
    assert left == []


async def test_unload_says_when_the_model_stays():
    def answer(request):
        return httpx.Response(200, json={"models": [{"name": "m:latest"}]})

    with pytest.raises(ServerError, match="still in memory"):
        await control(answer).unload("m", timeout_s=0.01)


@pytest.mark.parametrize(
    "body",
    [b"<html>hi</html>", b"[]", b'{"version": 7}', b"", b"\xff\xfe", b'{"hello": "world"}'],
)
async def test_something_else_than_ollama_is_named(body):
    with pytest.raises(NotOllama, match="not what Ollama sends"):
        await control(lambda request: httpx.Response(200, content=body)).version()


async def test_a_server_without_the_path_is_not_ollama():
    with pytest.raises(NotOllama, match="404"):
        await control(lambda request: httpx.Response(404)).version()


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), ServerUnreachable, "ollama serve"),
        (httpx.ConnectTimeout("slow"), ServerUnreachable, "no server answers"),
        (httpx.ReadTimeout("slow"), ServerUnreachable, r"GET /api/version in time \(10 s\)"),
        (httpx.RemoteProtocolError("illegal status line"), NotOllama, "does not speak HTTP"),
        (httpx.ReadError("reset"), ServerUnreachable, "failed"),
    ],
)
async def test_network_errors_have_one_clear_message(error, kind, said):
    def answer(request):
        raise error

    with pytest.raises(kind, match=said):
        await control(answer).version()


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("peer closed connection without sending complete message body", ServerUnreachable, "log"),
        ("Server disconnected without sending a response.", NotOllama, "address and port"),
        ("illegal status line", NotOllama, "address and port"),
    ],
)
async def test_a_broken_connection_is_not_something_else_than_ollama(said, kind, words):
    def answer(request):
        raise httpx.RemoteProtocolError(said)

    with pytest.raises(kind) as caught:
        await control(answer).ps()
    assert type(caught.value) is kind
    assert words in caught.value.advice


def once(first, then):
    """Answers the first call of all in one way, all others in another."""
    answers = [first]

    def answer(request):
        said = answers.pop() if answers else then
        if isinstance(said, Exception):
            raise said
        return said

    return answer


@pytest.mark.parametrize(
    "first",
    [
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        httpx.Response(503, json={"error": "busy"}, headers={"Retry-After": "0"}),
        httpx.Response(503, content=b"", headers={"Retry-After": "Fri, 31 Dec 2021 23:59:59 GMT"}),
        httpx.Response(502, content=b"<html><title>502 Bad Gateway</title>"),
        httpx.Response(429, content=b"slow down", headers={"Retry-After": "nan"}),
    ],
)
async def test_a_call_that_fails_once_is_asked_again_and_that_is_noted(first):
    server = control(once(first, httpx.Response(200, json={"models": []})))
    assert await server.tags() == ()
    [note] = server.notes
    assert "GET /api/tags was asked 2 times" in note


async def test_a_preload_is_asked_again():
    busy = httpx.Response(503, json={"error": "server busy"}, headers={"Retry-After": "0"})
    server = control(once(busy, httpx.Response(200, json={"done": True})))
    assert await server.preload("m", {}, "5m", 60.0) >= 0
    assert "server busy" in server.notes[0]


async def test_what_stays_broken_is_told_after_some_attempts():
    asked = []

    def answer(request):
        asked.append(request)
        return httpx.Response(503, content=b"")

    with pytest.raises(ServerError, match=r"/api/tags with HTTP 503 Service Unavailable.* empty"):
        await control(answer).tags()
    assert len(asked) == 4


async def test_waits_as_long_as_asked_but_not_for_ever(monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("bench.ollama.control_calls._PAUSES_S", (0.25, 0.5, 1.0))
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)  # Tue, 14 Nov 2023 22:13:20 GMT
    dates = ("Tue, 14 Nov 2023 22:13:25 GMT", "Tue, 14 Nov 2023 22:13:19 GMT", "9" * 400)
    for asked in ("2", "9999", "-5", "soon", "inf", *dates, "Tue, 14 Nov 9999 22:13:25 GMT", ""):
        busy = httpx.Response(503, headers={"Retry-After": asked})
        calls = control(once(busy, httpx.Response(200, json={"models": []})))
        calls._sleep = sleep
        await calls.ask("GET", "api/tags")
    assert waited == [2.0, 30.0, 0.25, 0.25, 0.25, 5.0, 0.25, 0.25, 30.0, 0.25]


async def test_whether_it_speaks_https_is_looked_at_once(monkeypatch):
    """It takes seconds if nothing answers; four calls of four attempts took a minute."""
    looked = []

    async def speaks_https(url, error):
        looked.append(error)
        return False

    monkeypatch.setattr("bench.ollama.control_calls.speaks_https", speaks_https)

    def answer(request):
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    server = control(answer)
    for _ in range(2):
        with pytest.raises(NotOllama):
            await server.tags()
    assert len(looked) == 1


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_calls_that_no_number_needs_may_be_missing(status):
    server = control(lambda request: httpx.Response(status, content=b"404 page not found"))
    assert await server.ps() is None
    assert (await server.show("m")).capabilities is None
    assert len(server.notes) == 2
    assert all(n.startswith("not known") and str(status) in n for n in server.notes)
    await server.ps()
    assert len(server.notes) == 2  # said once


@pytest.mark.parametrize("body", [b"{}", b'{"models": 3}', b"<html>", b"[" * 3000, b"\xff"])
async def test_an_odd_list_of_models_in_memory_is_as_good_as_none(body):
    server = control(lambda request: httpx.Response(200, content=body))
    assert await server.ps() is None
    assert len(server.notes) == 1


PAGE = b"<!DOCTYPE html><html><title>Sign in</title>" + b"<style>x</style>" * 500


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(504, content=b""), "HTTP 504 Gateway Timeout with an empty body"),
        (httpx.Response(500, content=PAGE), "HTTP 500 Internal Server Error, a page: Sign in"),
        (httpx.Response(500, json={"error": "out of memory"}), "Error: out of memory"),
        (httpx.Response(413, content=PAGE), "HTTP 413 .*, a page: Sign in"),
        (httpx.Response(503, content=PAGE), "HTTP 503 Service Unavailable, a page: Sign in"),
        (
            httpx.Response(400, content=b"Client sent an HTTP request to an HTTPS server."),
            "speaks https, not http",
        ),
    ],
)
async def test_failures_name_path_status_and_cause(answer, words):
    with pytest.raises(ServerError, match=words) as caught:
        await control(lambda request: answer).tags()
    assert len(caught.value.message) < 300
    assert "https" in words or "/api/tags" in caught.value.message
    assert ("gateway" in caught.value.advice) == (answer.status_code in (413, 503, 504))


async def test_an_address_with_v1_is_explained():
    server = mock_control("http://here:11434/v1", lambda request: httpx.Response(404))
    with pytest.raises(NotOllama) as caught:
        await server.version()
    assert "leave it out (http://here:11434)" in caught.value.advice


async def test_redirects_and_refusals_are_explained():
    moved = httpx.Response(301, headers={"location": "https://other/api/version"})
    with pytest.raises(ServerError, match="redirects to https://other"):
        await control(lambda request: moved).version()
    with pytest.raises(ServerError, match="401"):
        await control(lambda request: httpx.Response(401, json={"error": "who?"})).version()


async def test_unknown_model_is_named_with_the_pull_command():
    status, body = recorded("ollama-0.32.15", "error-show-unknown")
    with pytest.raises(ModelError, match="ollama pull nope"):
        await control(lambda request: httpx.Response(status, content=body)).show("nope")


async def test_a_model_that_cannot_be_loaded_is_a_model_error():
    answer = httpx.Response(500, json={"error": "model requires 80 GiB"})
    with pytest.raises(ModelError, match="model requires 80 GiB"):
        await control(lambda request: answer).preload("m", {}, "5m", 60.0)


async def test_an_error_under_status_200_is_an_error():
    server = control(lambda request: httpx.Response(200, json={"error": "out of memory"}))
    with pytest.raises(ModelError, match="out of memory"):
        await server.preload("m:1b", {}, "5m", 10.0)
    with pytest.raises(ModelError, match="out of memory"):
        await server.generate({"model": "m:1b"}, 10.0)


async def test_pull_tells_progress_and_fails_on_an_error_line():
    lines = b'{"status":"pulling manifest"}\n{"status":"pulling abc","digest":"abc","total":9}\n'
    good = httpx.Response(200, content=lines + b'{"status":"success"}\n')
    steps = [s async for s in control(lambda request: good).pull("m")]
    assert [s.status for s in steps] == ["pulling manifest", "pulling abc", "success"]
    assert steps[1].total == 9
    bad = httpx.Response(200, content=lines + b'{"error":"no such model"}\n')
    with pytest.raises(ModelError, match="no such model"):
        [s async for s in control(lambda request: bad).pull("m")]


async def test_the_embedded_engines_are_recognised():
    def answer(request):
        return httpx.Response(
            200, json={"version": "0.32.15"}, headers={"X-Ollama-Bench-Engine": "simulated"}
        )

    assert (await control(answer).version()).simulated
    suffixed = {"version": "0.32.15-ollama-bench.llama.cpp"}
    found = await control(lambda request: httpx.Response(200, json=suffixed)).version()
    assert (found.engine, found.simulated) == ("llama.cpp", False)


def test_missing_and_null_fields_are_absent_not_zero():
    [model] = parse_ps(b'{"models":[{"name":"m","size":5,"details":null}]}')
    assert model.vram_bytes is None and model.served_context is None
    assert residency((model,), "m").gpu_share is None
    assert parse_ps(b'{"models":null}') == ()
    assert parse_tags(b'{"models":[{"model":"m","details":{}}]}')[0].name == "m"
    shown = parse_show(b'{"model_info":null,"details":null}')
    assert shown.capabilities is None and shown.context_limit is None


def test_stubs_of_cloud_models_are_seen():
    assert parse_tags(b'{"models":[{"name":"m","remote_host":"https://ollama.com"}]}')[0].remote
    assert parse_show(b'{"remote_model":"gpt-oss:120b"}').remote


@pytest.mark.parametrize(
    ("name", "full"),
    [("llama3.2", "llama3.2:latest"), ("a/b:c", "a/b:c"), ("h:5000/a/b", "h:5000/a/b:latest")],
)
def test_names_get_their_tag(name, full):
    assert full_name(name) == full
    assert same_model(name.upper(), full)


@pytest.mark.parametrize(
    ("name", "cloud"),
    [
        ("gpt-oss:cloud", True),
        ("gpt-oss:120b-cloud", True),
        ("cloud", False),
        ("my-cloud:7b", False),
        ("x:local", False),
    ],
)
def test_cloud_names(name, cloud):
    assert is_cloud_name(name) is cloud
