"""Files are written whole or not at all; what is no file is not read, for it may never end."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

# A folder that takes no new file, or a file that stands for itself (a bind mount): it may still be
# written in place.
_IN_PLACE = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV})


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write or replace a file: at every moment it holds all of its old content or all of the new.

    Devices, pipes and files that cannot be replaced are written in place; a pipe that nobody reads
    is refused.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        with open_for_writing(path) as file:
            file.write(data)
        return
    target = path.resolve() if path.is_symlink() else path
    draft = target.with_name(f".{target.name[:200]}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            draft.chmod(stat.S_IMODE(target.stat().st_mode))
        draft.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        if error.errno not in _IN_PLACE or not target.is_file():
            raise
        target.write_bytes(data)


def open_for_writing(path: Path, *, append: bool = False) -> BinaryIO:
    """Open or make a file, in binary, and write where it stands.

    A pipe that nobody reads is refused: to wait for a reader may be for ever.

    Raises:
        OSError: it cannot be opened, or nobody reads it.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC) | _NO_WAIT | _BINARY
    try:
        fd = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "it is a pipe that nobody reads", str(path)) from None
        raise
    if sys.platform != "win32":
        os.set_blocking(fd, True)
    return os.fdopen(fd, "wb")


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading, in binary.

    Pipes and devices are refused: one without a writer would never end, and nor would some with
    one. Those that a shell makes for `<(command)` are fine: it has started the writer.

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    fd = os.open(path, os.O_RDONLY | _NO_WAIT | _BINARY)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, "it is a folder", str(path))
        if stat.S_ISFIFO(mode) and path.is_absolute() and path.parts[1] in ("dev", "proc"):
            if sys.platform != "win32":
                os.set_blocking(fd, True)
        elif not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def read_file(path: Path, most: int = -1) -> bytes:
    """The content of a file, or its first `most` bytes; an OSError as of `open_file`."""
    with open_file(path) as file:
        return file.read(most)


_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)
