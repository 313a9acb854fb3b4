"""httpx without its command line, and without its vain search for a package.

`import httpx` also imports the `httpx` command wherever its parts (rich, pygments) are installed,
which takes longer than httpx itself. It goes without where they are missing: here they seem to be.
Where sniffio is not installed, httpcore looks for it on the disk a dozen times a request, 0.1 ms
each.
"""

from __future__ import annotations

import importlib.util
import sys

_SNIFFIO = "sniffio"
_COMMAND = "httpx._main"

if "httpx" in sys.modules:
    import httpx as httpx
else:
    sys.modules[_COMMAND] = None  # type: ignore[assignment]  # Python: "not to be found"
    try:
        import httpx as httpx
    finally:
        del sys.modules[_COMMAND]

if _SNIFFIO not in sys.modules and importlib.util.find_spec(_SNIFFIO) is None:
    sys.modules[_SNIFFIO] = None  # type: ignore[assignment]
