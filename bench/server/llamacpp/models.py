"""The models that the engine serves: names, files, and what the server says about them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import EngineError
from bench.ollama.names import full_name, same_model
from bench.server.engine import ModelCard, ModelDetails
from bench.server.go import human_number
from bench.server.llamacpp.metadata import GgufMetadata, read_metadata
from bench.server.llamacpp.model_file import SMOLLM2, Say, find_model
from bench.server.llamacpp.thinking import CLOSING, OPENING

DEMO_MODEL = "smollm2:135m"
_DEMO_TOOLS = "smollm2-tools:135m"
_DEMO_EMBEDDER = "smollm2-embed:135m"

# Ollama's library runs this model without the system prompt that the file's own template inserts.
_SMOLLM2_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SMOLLM2_STOP = ("<|im_start|>", "<|im_end|>")
_NOT_IN_A_NAME = re.compile(r"[^\w.:/-]+")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model and the file it comes from.

    Attributes:
        chat_template: Jinja, where it replaces the file's own; else "".
        pool: take the mean of its tokens' vectors, though the file names no pooling.
    """

    card: ModelCard
    path: Path
    chat_template: str = ""
    pool: bool = False


def served_models(arguments: Sequence[str], say: Say | None = None) -> tuple[ServedModel, ...]:
    """The models of `--model` arguments; if there are none the demo model, and its other roles.

    Each argument is `PATH.gguf` or `NAME=PATH.gguf`.

    Raises:
        EngineError: a file is missing or bad, or two models have one name.
    """
    if not arguments:
        demo = _demo_model(say)
        tools = _in_role(demo, _DEMO_TOOLS, "completion", "tools")
        # As an embedder no good one, but real work on real texts.
        return demo, tools, replace(_in_role(demo, _DEMO_EMBEDDER, "embedding"), pool=True)
    models = [_from_argument(argument) for argument in arguments]
    for at, model in enumerate(models):
        for other in models[:at]:
            if same_model(model.card.name, other.card.name):
                raise EngineError(
                    f"two models would be called {model.card.name}: {other.path} and {model.path}",
                    f"name one of them yourself: --model NAME={model.path}",
                )
    return tuple(models)


def _demo_model(say: Say | None) -> ServedModel:
    """SmolLM2-135M-Instruct, fetched if need be."""
    path = find_model(SMOLLM2, say)
    card = _card(DEMO_MODEL, path, read_metadata(path), _SMOLLM2_TEMPLATE, _SMOLLM2_STOP)
    return ServedModel(card, path, _SMOLLM2_TEMPLATE)


def _in_role(model: ServedModel, name: str, *capabilities: str) -> ServedModel:
    """The same file as another model: loaded apart, with an identity of its own."""
    digest = hashlib.sha256(f"{model.card.digest} {name}".encode()).hexdigest()
    card = replace(model.card, name=name, digest=digest, capabilities=capabilities)
    return replace(model, card=card)


def _from_argument(argument: str) -> ServedModel:
    name, equals, text = argument.partition("=")
    path = Path(text if equals else argument).expanduser()
    if equals and not name:
        raise EngineError(f"--model {argument}: the name before = is empty")
    name = name if equals else path.stem
    metadata = read_metadata(path)
    card = _card(full_name(_NOT_IN_A_NAME.sub("-", name)), path, metadata, metadata.chat_template)
    return ServedModel(card, path)


def _card(
    name: str, path: Path, metadata: GgufMetadata, template: str, stop: tuple[str, ...] = ()
) -> ModelCard:
    stat = path.stat()
    family = metadata.architecture
    return ModelCard(
        name=name,
        digest=metadata.digest,
        size=stat.st_size,
        modified_at=_rfc3339(stat.st_mtime_ns),
        details=ModelDetails(
            family=family,
            families=(family,),
            parameter_size=human_number(metadata.model_info["general.parameter_count"]),
            quantization_level=metadata.quantization,
        ),
        context_length=metadata.number("context_length"),
        embedding_length=metadata.number("embedding_length"),
        capabilities=_capabilities(metadata, template),
        model_info=metadata.model_info,
        tensors=metadata.tensors,
        template=template,
        modelfile="".join([f"FROM {path}\n", *(f"PARAMETER stop {text}\n" for text in stop)]),
        # Each line padded as Ollama pads it.
        parameters="\n".join(f'{"stop":<30} "{text}"' for text in stop),
        default_options={"stop": list(stop)} if stop else {},
    )


def _capabilities(metadata: GgufMetadata, template: str) -> tuple[str, ...]:
    """What this engine can do with the model: a template that knows tools knows their results."""
    if metadata.pools:
        return ("embedding",)
    tools = ("tools",) if "tool" in template else ()
    thinks = ("thinking",) if OPENING in template or CLOSING in template else ()
    return ("completion", *tools, *thinks)


def _rfc3339(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
