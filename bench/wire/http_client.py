"""httpx without its command line.

`import httpx` also imports the `httpx` command wherever its parts (rich, pygments) are installed,
which takes longer than httpx itself. It goes without where they are missing: here they seem to be.
"""

from __future__ import annotations

import sys

_COMMAND = "httpx._main"

if "httpx" in sys.modules:
    import httpx as httpx
else:
    sys.modules[_COMMAND] = None  # type: ignore[assignment]  # Python: "not to be found"
    try:
        import httpx as httpx
    finally:
        del sys.modules[_COMMAND]
