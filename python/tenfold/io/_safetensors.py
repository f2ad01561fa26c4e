"""Named arrays and text in one safetensors file, with a checksum over all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ._files import PathLike, write_aside

Array = npt.NDArray[Any]

CHECKSUM = "tenfold.sha256"
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def save_safetensors(
    path: PathLike, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays to a safetensors file, wholly or not at all.

    Parameters
    ----------
    path : str or path
        Replaced only when the new file is complete on the disk.
    tensors : mapping of str to ndarray
        float32, float64, float16, integers or booleans, of any layout.
    metadata : mapping of str to str, optional
        Text to keep beside them. A SHA-256 over names, types, shapes, bytes and metadata is added to it.

    Raises
    ------
    TypeError
        If an array has another dtype.
    OSError
        If the file cannot be written; the previous one survives.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> from tenfold import io
    >>> path = os.path.join(tempfile.mkdtemp(), "a.safetensors")
    >>> io.save_safetensors(path, {"w": np.arange(3.0)}, {"kind": "example"})
    >>> tensors, metadata = io.load_safetensors(path)
    >>> tensors["w"], metadata["kind"]
    (array([0., 1., 2.]), 'example')
    """
    import safetensors.numpy

    arrays: dict[str, Array] = {}
    for name, array in tensors.items():
        value = np.asarray(array)
        value = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<")).reshape(value.shape)
        if not any(value.dtype == dtype for dtype in _DTYPES.values()):
            raise TypeError(
                f"save_safetensors: tensors[{name!r}] must hold floats, integers or booleans; "
                f"received dtype {value.dtype}"
            )
        arrays[name] = value
    texts = {str(key): str(value) for key, value in (metadata or {}).items()}
    texts[CHECKSUM] = _digest(arrays, texts)
    write_aside(path, safetensors.numpy.save(arrays, texts))


def load_safetensors(path: PathLike) -> tuple[dict[str, Array], dict[str, str]]:
    """Read a safetensors file and verify it.

    Parameters
    ----------
    path : str or path
        Written by :func:`save_safetensors` or by another program; without a checksum, only the form is
        verified.

    Returns
    -------
    tensors : dict of str to ndarray
        Fresh arrays.
    metadata : dict of str to str

    Raises
    ------
    ValueError
        If the file is damaged, cut short, or no safetensors file at all.
    FileNotFoundError
        If there is no such file.
    """
    import safetensors

    with open(path, "rb") as file:
        content = file.read()

    def damaged(why: str) -> ValueError:
        return ValueError(f"load_safetensors: {str(path)!r} is damaged or no safetensors file: {why}")

    if len(content) < 8:
        raise damaged(f"it has only {len(content)} bytes")
    try:
        parts = safetensors.deserialize(content)
        metadata = _metadata(content)
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise damaged(str(error)) from None
    tensors: dict[str, Array] = {}
    for name, part in parts:
        if part["dtype"] not in _DTYPES:
            raise ValueError(
                f"load_safetensors: {str(path)!r}: tensor {name!r} has the unknown dtype {part['dtype']}"
            )
        dtype = np.dtype(_DTYPES[part["dtype"]])
        flat = np.frombuffer(bytes(part["data"]), dtype.newbyteorder("<")).astype(dtype)
        tensors[name] = flat.reshape(part["shape"])
    marked = metadata.pop(CHECKSUM, None)
    # a damaged key still begins or ends like ours: the file has a checksum that can no longer be read
    if marked is None and any(key.startswith("tenfold") or key.endswith("sha256") for key in metadata):
        raise damaged("its checksum is missing")
    if marked is not None and marked != _digest(tensors, metadata):
        raise damaged("its checksum does not match its content")
    return tensors, metadata


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return dict(header.get("__metadata__", {}))


def _digest(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(json.dumps([name, array.dtype.str, list(array.shape)]).encode())
        digest.update(array.tobytes())
    digest.update(json.dumps(sorted(metadata.items())).encode())
    return digest.hexdigest()
