"""Files of recorded sessions: one module a format, recognised by the fields of their rows."""

from bench.scenario.session_files.reading import matching_files as matching_files
from bench.scenario.session_files.reading import played_file as played_file
from bench.scenario.session_files.reading import read_sessions as read_sessions
from bench.scenario.session_files.reading import session_file as session_file
