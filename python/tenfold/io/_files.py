"""Writing a file so that a failure half-way leaves the previous one whole."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from typing import Union

PathLike = Union[str, "os.PathLike[str]"]

# A temporary file to which nothing was added for so many seconds belongs to a writer that was killed. By its age, not
# by its process: the folder may be shared with other machines. Far longer than a disk or a mirror ever stalls.
_ABANDONED = 3600.0


def write_aside(path: PathLike, content: bytes) -> None:
    """Replace a file by new content, wholly or not at all.

    The bytes go to a temporary file in the same folder and reach the disk before it takes the old file's
    name. What a killed writer leaves is removed by a later one, after an hour. A link stays a link: the file
    that it points to is replaced. Something that is not a plain file (a pipe, ``/dev/stdout``) is written to
    directly.

    Parameters
    ----------
    path : str or path
        Its folder must exist.
    content : bytes

    Raises
    ------
    OSError
        A full disk, no permission, no such folder. The old file is untouched and no temporary file is left.
    """
    target = os.path.realpath(os.fspath(path))
    if os.path.exists(target) and not os.path.isfile(target):
        try:
            with open(target, "wb") as file:
                file.write(content)
        except OSError as error:
            raise _named(error, path) from error
        return
    folder, name = os.path.split(target)
    remove_abandoned(folder, rf"\.{re.escape(name)}\.\d+\.[0-9a-f]{{8}}\.tmp")
    aside = os.path.join(folder, f".{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(aside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(aside, os.stat(target).st_mode & 0o7777)
        os.replace(aside, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(
                error.errno, f"{error.strerror}; the file was not written", os.fspath(path)
            ) from error
        raise
    _sync_folder(folder)


def remove_abandoned(folder: PathLike, pattern: str) -> None:
    """Remove the temporary files that killed writers left: those of a name that have not changed for an hour."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(pattern, entry.name):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED:
                        os.unlink(entry.path)


def _named(error: OSError, path: PathLike) -> OSError:
    """Return the same error about the file that was asked for, not about the temporary one."""
    if error.errno is None:
        return error
    return OSError(error.errno, f"{error.strerror}; the file was not written", os.fspath(path))


def _sync_folder(folder: str) -> None:
    """Make the new name itself durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
