from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from mock_server import mock_control

from bench.address import Address
from bench.errors import ModelError
from bench.load.preflight import check_models, describe_target, resolve_model
from bench.ollama.control import ServerVersion
from bench.scenario.plan import Distribution, PromptSpec, SyntheticPrompts
from bench.scenario.work import Images, Tools


def tag(name, **extra):
    return {"name": name, "digest": "d" * 64, "size": 1, "details": {"format": "gguf"}, **extra}


def show(limit=8192, capabilities=("completion",), **extra):
    info = {"general.architecture": "llama", "llama.context_length": limit}
    return {"details": {}, "model_info": info, "capabilities": list(capabilities), **extra}


def server(installed=(), loaded=(), shown=None, pulls=()):
    """A server with these models; pulling adds the pulled one."""
    names = list(installed)

    def answer(request):
        path = request.url.path
        if path == "/api/tags":
            return httpx.Response(200, json={"models": [tag(n) for n in names]})
        if path == "/api/ps":
            return httpx.Response(200, json={"models": [{"name": n} for n in loaded]})
        if path == "/api/show":
            return httpx.Response(200, json=shown or show())
        assert path == "/api/pull"
        names.extend(pulls)
        return httpx.Response(200, content=b'{"status":"success"}\n')

    return mock_control("http://here", answer)


async def check(the_plan, control, pull=None):
    return await check_models(the_plan, "here", control, pull)


@pytest.mark.parametrize(
    ("installed", "loaded", "chosen"),
    [
        (["a:1b"], [], "a:1b"),
        (["a:1b", "b:1b"], ["b:1b"], "b:1b"),
        (["a:1b", "x:cloud"], [], "a:1b"),
    ],
)
async def test_the_model_that_must_be_meant(installed, loaded, chosen):
    assert await resolve_model(server(installed, loaded)) == chosen


@pytest.mark.parametrize(
    ("installed", "loaded", "said"),
    [
        ([], [], "no model is installed"),
        (["b:1b", "a:1b"], [], "2 are installed: a:1b, b:1b"),
        (["a:1b", "b:1b"], ["a:1b", "b:1b"], "2 are in memory"),
    ],
)
async def test_an_unclear_choice_lists_what_there_is(installed, loaded, said):
    with pytest.raises(ModelError, match=said):
        await resolve_model(server(installed, loaded))


async def test_a_missing_model_names_the_pull_command_and_the_nearest(kit):
    the_plan = kit.plan(kit.case(kit.closed(), model="llama3.2:3"))
    with pytest.raises(ModelError) as caught:
        await check(the_plan, server(["llama3.2:3b", "qwen3:8b"]))
    assert "llama3.2:3 is not installed" in caught.value.message
    assert "ollama pull llama3.2:3 " in caught.value.advice
    assert "--pull" in caught.value.advice
    assert "llama3.2:3b" in caught.value.advice


async def test_pull_gets_a_missing_model_and_only_when_asked(kit):
    steps = []
    the_plan = kit.plan(kit.case(kit.closed(), model="new:1b"))
    models, _ = await check(
        the_plan, server(["old:1b"], pulls=["new:1b"]), lambda name, step: steps.append(step.status)
    )
    assert [m.name for m in models] == ["new:1b"]
    assert steps == ["success"]


async def test_a_name_without_a_tag_means_latest(kit):
    models, _ = await check(kit.plan(kit.case(kit.closed(), model="m")), server(["m:latest"]))
    assert models[0].digest == "d" * 64


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "gpt-oss:cloud"])
async def test_cloud_models_are_refused_by_name(kit, name):
    with pytest.raises(ModelError, match="cloud model"):
        await check(kit.plan(kit.case(kit.closed(), model=name)), server([name]))


async def test_cloud_models_are_refused_by_their_stub(kit):
    stub = show(remote_host="https://ollama.com", remote_model="big:1t")
    with pytest.raises(ModelError, match="cloud model"):
        await check(kit.plan(kit.case(kit.closed())), server(["m:1b"], shown=stub))


async def test_an_embedding_model_is_refused(kit):
    with pytest.raises(ModelError, match="cannot chat: it can only do embedding"):
        await check(
            kit.plan(kit.case(kit.closed())),
            server(["m:1b"], shown=show(capabilities=["embedding"])),
        )


async def test_thinking_is_refused_where_the_model_cannot(kit):
    thinking = kit.plan(kit.case(kit.closed(), think="high"))
    with pytest.raises(ModelError, match="cannot think"):
        await check(thinking, server(["m:1b"]))
    await check(thinking, server(["m:1b"], shown=show(capabilities=["completion", "thinking"])))


SEEN = PromptSpec(inline=("x",), images=Images(1, (64, 64)))


@pytest.mark.parametrize(
    ("asked", "ability", "said"),
    [
        ({"tools": Tools((), "tools.json")}, "tools", "m:1b cannot use tools"),
        ({"prompts": SEEN}, "vision", "m:1b cannot see pictures"),
    ],
)
async def test_what_the_model_lacks_is_said_once_before_the_run(kit, asked, ability, said):
    several = kit.plan(
        *(replace(kit.case(kit.closed(n)), id=f"m:1b, {n}", **asked) for n in (1, 2))
    )
    with pytest.raises(ModelError, match="it can only do completion") as caught:
        await check(several, server(["m:1b"]))
    assert said in caught.value.message
    assert caught.value.message.count("cannot") == 1
    assert ability in caught.value.advice
    await check(several, server(["m:1b"], shown=show(capabilities=["completion", ability])))


async def test_old_servers_that_name_no_capabilities_are_believed(kit):
    old = show()
    del old["capabilities"]
    models, warnings = await check(
        kit.plan(kit.case(kit.closed(), think=True)), server(["m:1b"], shown=old)
    )
    assert models and not warnings


async def test_a_context_beyond_the_model_is_warned_of(kit):
    _, warnings = await check(kit.plan(kit.case(kit.closed())), server(["m:1b"], shown=show(2048)))
    assert [w.code for w in warnings] == ["context_limit"]


async def test_prompt_and_answer_must_have_room(kit):
    made = SyntheticPrompts(
        Distribution("uniform", {"low": 10, "high": 4000}),
        Distribution("fixed", {"value": 200}),
        "en",
    )
    case = replace(kit.case(kit.closed()), prompts=PromptSpec(synthetic=made))
    _, warnings = await check(kit.plan(case), server(["m:1b"]))
    assert [w.code for w in warnings] == ["context_room"]
    assert "4200" in warnings[0].message


def test_a_target_is_described_as_found():
    found = describe_target(
        "here",
        Address.parse("http://localhost:1", environ={"OLLAMA_BENCH_TOKEN": "secret"}),
        ServerVersion("0.32.15", "simulated"),
    )
    assert found.simulated and found.era == "E3" and found.same_host
    assert "secret" not in found.url
