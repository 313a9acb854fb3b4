"""Before the load: reach the server, find the models, refuse what cannot give a true number."""

from __future__ import annotations

import difflib
import socket
from collections.abc import Callable, Iterator, Sequence

from bench.address import Address
from bench.errors import ModelError
from bench.ollama.control import Control, PullProgress, ServerVersion
from bench.ollama.eras import era_of
from bench.ollama.names import full_name, is_cloud_name, same_model
from bench.ollama.replies import InstalledModel, ShownModel
from bench.results.run import ModelInfo, RunWarning, TargetInfo
from bench.results.warning_codes import WarningCode
from bench.scenario.draws import largest
from bench.scenario.plan import Case, Plan

PullObserver = Callable[[str, PullProgress], None]
"""Called for every step of a pull: model, progress."""

_NEAREST = 3
_TEXT = "Choose a model that generates text."


async def resolve_model(control: Control) -> str:
    """The model to measure when none is named: the loaded one, else the only one installed.

    Raises:
        ModelError: several could be meant, or there is none.
    """
    loaded = await control.ps() or ()
    if len(loaded) == 1:
        return loaded[0].name
    every = await control.tags()
    installed = [m.name for m in every if not m.remote and not is_cloud_name(m.name)]
    if len(installed) == 1 and not loaded:
        return installed[0]
    if not installed:
        raise ModelError(
            f"no model is installed on {control.url}", "Get one, e.g.: ollama pull llama3.2:3b"
        )
    choice = [m.name for m in loaded] or installed
    where = "in memory" if loaded else "installed"
    raise ModelError(
        f"no model is named, and {len(choice)} are {where}: {', '.join(sorted(choice))}",
        f"Choose with -m, e.g. -m {choice[0]}",
    )


def describe_target(
    name: str, address: Address, version: ServerVersion, settings: dict[str, str] | None = None
) -> TargetInfo:
    """The target as it was found."""
    return TargetInfo(
        name=name,
        url=address.url,
        version=version.version,
        era=era_of(version.version).id,
        engine=version.engine,
        simulated=version.simulated,
        same_host=is_this_machine(address),
        settings=settings or {},
    )


def is_this_machine(address: Address) -> bool | None:
    """Whether the server runs on this machine; None if its name cannot be looked up."""
    if address.is_loopback:
        return True
    import psutil  # late: most servers are on the loopback

    try:
        found = socket.getaddrinfo(address.host, address.port, proto=socket.IPPROTO_TCP)
    except OSError:
        return None
    own = {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}
    return any(sockaddr[0] in own for *_, sockaddr in found)


async def check_models(
    plan: Plan, target: str, control: Control, pull: PullObserver | None
) -> tuple[list[ModelInfo], list[RunWarning]]:
    """Check every model that the plan asks of one target.

    `pull` pulls what is missing, and shows the progress; None = never pull.

    Raises:
        ModelError: a model is missing, is a cloud model, or cannot do what its cases ask.
    """
    models: list[ModelInfo] = []
    warnings: list[RunWarning] = []
    cases = [c for c in plan.cases if c.target == target]
    for name in dict.fromkeys(c.model for c in cases):
        if is_cloud_name(name):
            raise _cloud(name)
        installed = await _installed(name, control, pull)
        shown = await control.show(name)
        if installed.remote or shown.remote:
            raise _cloud(name)
        model = _model_info(target, name, installed, shown)
        models.append(model)
        for case in (c for c in cases if c.model == name):
            _check_capabilities(case, shown.capabilities)
            warnings += _check_context(case, model)
    return models, warnings


def control_warnings(control: Control) -> list[RunWarning]:
    """What the control calls have to say so far."""
    again = "The server was busy or away for a moment; nothing was being measured then."
    return [
        RunWarning(WarningCode.NOT_KNOWN, f"{control.url}: {note}")
        if note.startswith("not known")
        else RunWarning(WarningCode.ASKED_AGAIN, f"{control.url}: {note}", again)
        for note in control.notes
    ]


async def _installed(name: str, control: Control, pull: PullObserver | None) -> InstalledModel:
    installed = await control.tags()
    found = next((m for m in installed if same_model(m.name, name)), None)
    if found is None and pull is not None:
        async for progress in control.pull(name):
            pull(name, progress)
        installed = await control.tags()
        found = next((m for m in installed if same_model(m.name, name)), None)
    if found is None:
        raise missing_model(name, [m.name for m in installed], control.url)
    return found


def missing_model(name: str, installed: Sequence[str], url: str) -> ModelError:
    """The error for a model that is not there: how to get it, and what may have been meant."""
    near = difflib.get_close_matches(full_name(name), installed, _NEAREST, cutoff=0.5)
    near = near or sorted(installed)[:_NEAREST]
    others = f" Installed, and perhaps meant: {', '.join(near)}." if near else ""
    return ModelError(
        f"the model {name} is not installed on {url}",
        f"Get it with: ollama pull {name} (or let this command do it: --pull).{others}",
    )


def _cloud(name: str) -> ModelError:
    return ModelError(
        f"{name} is a cloud model: its requests are answered by a service on the internet, "
        "not by this server",
        "Measure a local model.",
    )


def _model_info(target: str, name: str, installed: InstalledModel, shown: ShownModel) -> ModelInfo:
    return ModelInfo(
        target=target,
        name=name,
        digest=installed.digest,
        format=shown.format or installed.format,
        family=shown.family or installed.family,
        parameter_size=shown.parameter_size or installed.parameter_size,
        quantization=shown.quantization or installed.quantization,
        size_bytes=installed.size_bytes,
        context_limit=shown.context_limit,
        capabilities=shown.capabilities or installed.capabilities,
        model_info=shown.model_info,
        weights=shown.weights,
    )


def _check_capabilities(case: Case, capabilities: tuple[str, ...] | None) -> None:
    """Refuse what the model cannot do; old servers do not say what a model can."""
    if not capabilities:
        return
    model, only = case.model, f"it can only do {', '.join(capabilities)}"
    asked, choose = f"which case {case.id} asks of it: {only}", "Choose a model with the ability "
    thinking = f"{model} cannot think, but the case {case.id} asks for think: {case.think}"
    needs: Sequence[tuple[object, str, str, str]] = (
        (case.tools, "tools", f"{model} cannot use tools, {asked}", f"{choose}tools."),
        (
            case.prompts.images,
            "vision",
            f"{model} cannot see pictures, {asked}",
            f"{choose}vision.",
        ),
        (True, "completion", f"{model} cannot {case.endpoint}: {only}", _TEXT),
        (case.think, "thinking", thinking, "Set think: false, or choose a thinking model."),
    )
    if case.endpoint == "embed":
        what = f"{model} cannot embed: {only}"
        needs = ((True, "embedding", what, "Choose an embedding model."),)
    for wanted, ability, message, advice in needs:
        if wanted not in (None, False) and ability not in capabilities:
            raise ModelError(message, advice)


def _check_context(case: Case, model: ModelInfo) -> Iterator[RunWarning]:
    """Whether num_ctx fits the model, and prompt and answer fit num_ctx."""
    num_ctx, limit = case.options.get("num_ctx"), model.context_limit
    if not isinstance(num_ctx, int):
        return
    if limit is not None and num_ctx > limit:
        yield RunWarning(
            WarningCode.CONTEXT_LIMIT,
            f"num_ctx {num_ctx} is more than {case.model} was trained for ({limit}): "
            f"the server will use {limit}",
            f"Set options.num_ctx to {limit} or less.",
            case.id,
        )
    room = min(num_ctx, limit or num_ctx)
    wanted = _wanted_tokens(case)
    if wanted is not None and wanted > room:
        yield RunWarning(
            WarningCode.CONTEXT_ROOM,
            f"prompts of up to {wanted} tokens, answer included, do not fit into the context "
            f"of {room}",
            "Raise options.num_ctx, or ask for shorter prompts or answers.",
            case.id,
        )


def _wanted_tokens(case: Case) -> int | None:
    """Tokens of prompt and answer that the case asks for at its usual largest; None = unknown."""
    num_predict = case.options.get("num_predict")
    output = num_predict if isinstance(num_predict, int) and num_predict > 0 else 0
    made = case.prompts.synthetic
    if made is None:
        return None
    if made.output_tokens is not None:
        output = round(largest(made.output_tokens))
    return round(largest(made.input_tokens)) + output
