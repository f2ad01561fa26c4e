"""Safetensors files: round trip, and every kind of damage."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from tenfold import io


def tensors():
    return {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 3)),
    }


def test_round_trip_keeps_values_types_shapes_and_metadata(tmp_path):
    path = tmp_path / "x.safetensors"
    io.save_safetensors(path, tensors(), {"note": "ü"})
    loaded, metadata = io.load_safetensors(path)
    assert metadata == {"note": "ü"}
    assert loaded.keys() == tensors().keys()
    for name, array in tensors().items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        assert np.array_equal(loaded[name], array)
        assert loaded[name].flags.writeable


def test_layout_and_byte_order_of_the_source_do_not_matter(tmp_path):
    path = tmp_path / "x.safetensors"
    a = np.arange(12, dtype=np.float64).reshape(3, 4)
    frozen = a.copy()
    frozen.flags.writeable = False
    io.save_safetensors(path, {"t": a.T, "s": a[:, ::2], "big": a.astype(">f8"), "frozen": frozen})
    loaded, _ = io.load_safetensors(path)
    assert np.array_equal(loaded["t"], a.T)
    assert np.array_equal(loaded["s"], a[:, ::2])
    assert np.array_equal(loaded["big"], a)
    assert np.array_equal(loaded["frozen"], a)


def test_objects_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"save_safetensors: tensors\['o'\] must hold .* dtype object"):
        io.save_safetensors(tmp_path / "x", {"o": np.array([None])})
    assert os.listdir(tmp_path) == []


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    io.save_safetensors(path, tensors(), {"note": "n"})
    whole = path.read_bytes()
    for n in [*range(0, len(whole), 3), len(whole) - 1]:
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"load_safetensors: .* is damaged or no safetensors file"):
            io.load_safetensors(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="damaged"):
        io.load_safetensors(path)


def test_every_flipped_bit_is_seen_or_harmless(tmp_path):
    path = tmp_path / "x.safetensors"
    io.save_safetensors(path, tensors(), {"note": "n"})
    whole = path.read_bytes()
    wanted, metadata = io.load_safetensors(path)
    seen = 0
    for i in range(len(whole)):
        flipped = bytearray(whole)
        flipped[i] ^= 1 << (i % 8)
        path.write_bytes(flipped)
        try:
            loaded, text = io.load_safetensors(path)
        except ValueError:
            seen += 1
            continue
        assert text == metadata  # a changed blank of the header
        assert all(np.array_equal(loaded[name], array) for name, array in wanted.items())
    assert seen > 0.95 * len(whole)


def test_a_file_of_another_program_needs_no_checksum(tmp_path):
    path = tmp_path / "foreign.safetensors"
    data = np.array([1.0, 2.0], "<f4").tobytes()
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    loaded, metadata = io.load_safetensors(path)
    assert loaded["w"].tolist() == [1.0, 2.0]
    assert metadata == {}


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        io.load_safetensors(tmp_path / "none")


class TestWriteAside:
    def test_keeps_link_and_mode(self, tmp_path):
        real = tmp_path / "real"
        real.write_bytes(b"old")
        real.chmod(0o640)
        link = tmp_path / "link"
        link.symlink_to(real)
        io.write_aside(link, b"new")
        assert link.is_symlink()
        assert real.read_bytes() == b"new"
        assert real.stat().st_mode & 0o777 == 0o640
        assert sorted(os.listdir(tmp_path)) == ["link", "real"]

    def test_no_folder_names_the_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"the file was not written.*nowhere"):
            io.write_aside(tmp_path / "nowhere" / "x", b"")

    def test_full_disk_leaves_the_old_file_and_nothing_else(self, tmp_path):
        path = tmp_path / "x"
        path.write_bytes(b"old")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # writing beyond fails, as on a full disk
        try:
            with pytest.raises(OSError, match="the file was not written"):
                io.write_aside(path, bytes(5000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["x"]

    def test_what_a_killed_writer_left_is_removed_once_it_is_old(self, tmp_path):
        path = tmp_path / "x"
        code = (
            "import os, signal; from tenfold import io; "
            "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); "
            f"io.write_aside({str(path)!r}, b'half')"
        )
        subprocess.run([sys.executable, "-c", code], check=False)
        (left,) = os.listdir(tmp_path)
        others = [".x.y", ".x.1.0123456.tmp", f".xx{left[2:]}"]
        for name in others:
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (0, 0))
        io.write_aside(path, b"new")
        assert left in os.listdir(tmp_path)  # another process may still be writing it
        os.utime(tmp_path / left, (0, 0))
        io.write_aside(path, b"newer")
        assert sorted(os.listdir(tmp_path)) == sorted(["x", *others])

    def test_device_that_is_full(self):
        with pytest.raises(OSError, match="No space left"):
            io.write_aside("/dev/full", b"x")
