"""Files of recorded sessions: one module a format, recognised by the fields of their rows."""

from bench.scenario.session_files.formats import FORMAT_NAMES as FORMAT_NAMES
from bench.scenario.session_files.reading import read_sessions as read_sessions
