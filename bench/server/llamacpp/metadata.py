"""What a GGUF file says about its model, in the shapes of /api/show and /api/tags.

Reading the header of a file with a large vocabulary takes seconds and hashing a large file longer,
so both are kept in the cache directory until the file changes.
"""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from bench.errors import EngineError
from bench.files import read_file, write_whole
from bench.server.llamacpp.model_file import cache_dir

Info: TypeAlias = dict[str, Any]

_MAGIC = b"GGUF"
# Raised when the layout of what is cached changes.
_CACHE_LAYOUT = 1


@dataclass(frozen=True, slots=True)
class GgufMetadata:
    """A model as its file describes it.

    Attributes:
        digest: sha256 of the whole file, 64 hex digits.
        model_info: `model_info` of /api/show: keys sorted, arrays null, as Ollama shows them.
        tensors: `{"name", "type", "shape"}` of each tensor, in the file's order.
        chat_template: the Jinja template, or "" if the file has none.
    """

    digest: str
    model_info: Info
    tensors: list[Info]
    chat_template: str

    @property
    def architecture(self) -> str:
        """E.g. "llama"; "unknown" if the file does not say."""
        return str(self.model_info.get("general.architecture", "unknown"))

    def number(self, key: str) -> int:
        """A whole number of the architecture, such as "context_length"; 0 if it is not there."""
        value = self.model_info.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else 0

    @property
    def pools(self) -> bool:
        """Whether it is an embedding model: such files name a pooling (Ollama's own test)."""
        return f"{self.architecture}.pooling_type" in self.model_info

    @property
    def quantization(self) -> str:
        """E.g. "Q4_K_M"; "unknown" if the file does not say."""
        return _file_type_name(self.model_info.get("general.file_type"))


def read_metadata(path: Path) -> GgufMetadata:
    """Metadata of a GGUF file, from the cache if the file has not changed.

    Raises:
        EngineError: the file is missing, unreadable, or not a complete GGUF file.
    """
    try:
        stat = path.stat()
        magic = read_file(path, len(_MAGIC))
    except OSError as error:
        raise EngineError(f"cannot read the model {path}: {error.strerror}") from error
    if magic != _MAGIC:
        raise EngineError(f"{path} is not a GGUF file (it does not begin with GGUF)")
    key = f"{_CACHE_LAYOUT}|{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    kept = cache_dir() / "metadata" / f"{hashlib.sha256(os.fsencode(key)).hexdigest()[:32]}.json"
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(kept.read_bytes(), type=GgufMetadata)
    metadata = _parse(path)
    with suppress(OSError):  # a cache that cannot be written only costs time
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, msgspec.json.encode(metadata))
    return metadata


def _parse(path: Path) -> GgufMetadata:
    from gguf import GGUFReader  # slow to import, and only in the extra

    try:
        reader = GGUFReader(path)
        fields = {name: _value(field) for name, field in reader.fields.items()}
        tensors: list[Info] = [
            {"name": t.name, "type": t.tensor_type.name, "shape": [int(n) for n in t.shape]}
            for t in reader.tensors
        ]
    # The reader checks nothing beyond the magic: a torn file surfaces as whatever breaks first.
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise EngineError(
            f"{path} is damaged or cut off: its GGUF header cannot be read"
        ) from error
    info = {k: v for k, v in fields.items() if not k.startswith("GGUF.")}
    template = info.pop("tokenizer.chat_template", None) or ""
    info.pop("general.name", None)
    info["general.parameter_count"] = sum(math.prod(t["shape"]) for t in tensors)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return GgufMetadata(digest, dict(sorted(info.items())), tensors, str(template))


def _value(field: Any) -> Any:
    """A field's value; None for arrays, which /api/show leaves out too."""
    from gguf import GGUFValueType

    kind = field.types[0] if field.types else None
    if kind is None or kind is GGUFValueType.ARRAY:
        return None
    if kind is GGUFValueType.FLOAT32:
        # The shortest decimal that is this 32-bit number: 1e-05, not 9.999999747378752e-06.
        return float(str(field.parts[field.data[0]][0]))
    return field.contents()


def _file_type_name(file_type: Any) -> str:
    from gguf import LlamaFileType

    try:
        return LlamaFileType(file_type).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return "unknown"
