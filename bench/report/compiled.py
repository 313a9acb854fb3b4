"""Templates compiled once and kept beside them, as Python keeps its modules.

Compiling the page's template takes as long as filling it.
"""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from pathlib import Path

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from bench._version import __version__
from bench.files import write_whole


class KeptTemplates(BytecodeCache):
    """Compiled templates in a folder that need not be writable; Jinja looks whether one is stale.

    Args:
        folder: of the templates.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "__pycache__"

    def _file(self, bucket: Bucket) -> Path:
        return self._folder / f"{bucket.key}-{__version__}.jinja"

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept, if there is any."""
        with suppress(OSError), self._file(bucket).open("rb") as file:
            bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it, where Python would keep a module."""
        if sys.dont_write_bytecode:
            return
        compiled = io.BytesIO()
        bucket.write_bytecode(compiled)
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            write_whole(self._file(bucket), compiled.getvalue())
