"""Where data files lie: a folder that is given, $TENFOLD_DATA, the user's cache, or else a mirror."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..io._files import remove_abandoned

_CHUNK = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte


def cache_directory() -> Path:
    """Return the user's cache folder for data: ``~/.cache/tenfold``, or the platform's equal."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tenfold"


def folders(name: str, directory: str | os.PathLike[str] | None) -> list[Path]:
    """Return the folders that may hold a data set, in the order in which they are searched."""
    if directory is not None:
        given = Path(directory).expanduser()
        return [given, given / name]
    found = []
    if root := os.environ.get("TENFOLD_DATA"):
        found += [Path(root).expanduser() / name, Path(root).expanduser()]
    return [*found, cache_directory() / name]


def locate(
    name: str,
    files: dict[str, str],
    mirrors: Sequence[str],
    directory: str | os.PathLike[str] | None,
    download: bool,
) -> list[Path]:
    """Return the paths of a data set's files, downloaded when no folder has them all.

    Parameters
    ----------
    name : str
        The data set's name, which is also the name of its folder.
    files : dict
        File name -> SHA-256 of the file as the mirrors have it. A file that is found locally may be unpacked
        (the same name without ``.gz``), and is trusted.
    mirrors : sequence of str
        Addresses to which a file name is appended; tried in turn.
    directory : path-like, optional
        Looked into (and below, in a folder of the data set's name) in place of ``$TENFOLD_DATA`` and the
        cache.
    download : bool

    Raises
    ------
    FileNotFoundError
        If the files are nowhere and cannot be downloaded; the message says what to do.
    """
    searched = folders(name, directory)
    for folder in searched:
        paths = [_either(folder / file) for file in files]
        if all(path is not None for path in paths):
            return [path for path in paths if path is not None]
    target = searched[0] if directory is not None else searched[-1]
    reason = "downloading is switched off"
    if download:
        try:
            target.mkdir(parents=True, exist_ok=True)
            return [
                _either(target / file) or _fetch(target / file, digest, mirrors)
                for file, digest in files.items()
            ]
        except OSError as error:
            reason = f"downloading failed: {error}"
    raise FileNotFoundError(
        f"{name}: not found in {', '.join(map(str, searched))}, and {reason}. Put {', '.join(files)} "
        f"into one of these folders, name the folder that has them (--data-dir or the argument directory), "
        f"or set TENFOLD_DATA"
    )


def _either(path: Path) -> Path | None:
    """Return the file, or the same file unpacked, if it is there."""
    return next((p for p in (path, path.with_suffix("")) if p.is_file()), None)


def _fetch(path: Path, digest: str, mirrors: Sequence[str]) -> Path:
    """Download one file from the first mirror that has it right; its name never has half a file."""
    import urllib.error
    import urllib.request

    remove_abandoned(path.parent, rf"{re.escape(path.name)}\.\w{{8}}\.part")
    failures = []
    for mirror in mirrors:
        url = mirror + path.name
        handle, aside = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=path.parent)
        try:
            found = hashlib.sha256()
            with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
                print(f"tenfold: downloading {url}", file=sys.stderr, flush=True)
                while block := response.read(_CHUNK):
                    file.write(block)
                    found.update(block)
            if found.hexdigest() == digest:
                os.chmod(aside, 0o644)
                os.replace(aside, path)
                return path
            failures.append(f"{url}: SHA-256 must be {digest}; received {found.hexdigest()}")
        except (OSError, ValueError) as error:  # URLError and time-outs are OSErrors
            failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
        except Exception as error:  # http.client.HTTPException and the like
            failures.append(f"{url}: {error!r}")
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)
    raise OSError("; ".join(failures))
