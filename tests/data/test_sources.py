"""Finding and fetching: folders in order, mirrors in turn, checksums, messages that say what to do."""

import gzip
import hashlib
import http.server
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from tenfold import data
from tenfold.data import _sources

NAMES = list(_sources._MNIST_FILES)


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape) + array.tobytes()


def contents(train=7, test=3, fill=1):
    generator = np.random.default_rng(fill)
    arrays = []
    for n in (train, test):
        arrays += [generator.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8)]
    return {name: gzip.compress(idx(a), mtime=0) for name, a in zip(NAMES, arrays)}


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    """No test of this file may see the user's data, or the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TENFOLD_DATA", raising=False)
    for name in ("_MNIST_MIRRORS", "_FASHION_MIRRORS", "_CIFAR_MIRRORS"):
        monkeypatch.setattr(_sources, name, ())


@pytest.fixture
def mirror(tmp_path):
    """A mirror on this machine: (address, folder that it serves)."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", folder
        server.shutdown()
        thread.join()


def test_a_folder_that_is_given(tmp_path):
    train, test = data.mnist(put(tmp_path / "here", contents()))
    assert (len(train), len(test)) == (7, 3)
    assert train.shape == (1, 28, 28)
    assert train.classes == list("0123456789")


def test_unpacked_files_do_as_well(tmp_path):
    files = {name.removesuffix(".gz"): gzip.decompress(c) for name, c in contents().items()}
    assert len(data.mnist(put(tmp_path / "here", files))[0]) == 7


def test_a_folder_of_the_data_sets_name_below_the_given_one(tmp_path):
    put(tmp_path / "here" / "fashion_mnist", contents())
    train, _ = data.fashion_mnist(tmp_path / "here")
    assert train.classes[9] == "Ankle boot"


def test_the_environment_then_the_cache(tmp_path, monkeypatch):
    put(data.cache_directory() / "mnist", contents(train=5))
    assert len(data.mnist(download=False)[0]) == 5
    put(tmp_path / "elsewhere" / "mnist", contents(train=4))
    monkeypatch.setenv("TENFOLD_DATA", str(tmp_path / "elsewhere"))
    assert len(data.mnist(download=False)[0]) == 4
    assert len(data.mnist(put(tmp_path / "given", contents(train=6)))[0]) == 6


def test_offline_and_absent_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TENFOLD_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError) as caught:
        data.mnist(download=False)
    message = str(caught.value)
    assert message.startswith("mnist: not found in")
    for part in (
        str(tmp_path / "elsewhere"),
        str(data.cache_directory()),
        *NAMES,
        "--data-dir",
        "TENFOLD_DATA",
    ):
        assert part in message
    assert not data.cache_directory().exists()


def test_no_mirror_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(_sources, "_MNIST_MIRRORS", ("http://127.0.0.1:9/",))
    with pytest.raises(FileNotFoundError, match=r"downloading failed: .*127\.0\.0\.1:9.*Put train-images"):
        data.mnist(tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_the_second_mirror_is_tried_and_the_files_stay(tmp_path, monkeypatch, mirror, capsys):
    address, folder = mirror
    files = contents()
    put(folder, files)
    monkeypatch.setattr(_sources, "_MNIST_MIRRORS", (address + "missing/", address))
    monkeypatch.setattr(
        _sources, "_MNIST_FILES", {name: hashlib.sha256(c).hexdigest() for name, c in files.items()}
    )
    assert len(data.mnist()[0]) == 7
    cache = data.cache_directory() / "mnist"
    assert sorted(p.name for p in cache.iterdir()) == sorted(NAMES)
    assert "downloading" in capsys.readouterr().err
    monkeypatch.setattr(_sources, "_MNIST_MIRRORS", ())
    assert len(data.mnist()[0]) == 7


def test_a_wrong_checksum_is_not_kept(tmp_path, monkeypatch, mirror):
    address, folder = mirror
    put(folder, contents())
    monkeypatch.setattr(_sources, "_MNIST_MIRRORS", (address,))
    with pytest.raises(FileNotFoundError, match=r"SHA-256 must be 440fcabf.*; received"):
        data.mnist(tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_an_abandoned_download_is_removed_once_it_is_old(tmp_path, monkeypatch):
    monkeypatch.setattr(_sources, "_MNIST_MIRRORS", ())
    (tmp_path / "mnist").mkdir()
    parts = [tmp_path / "mnist" / f"{NAMES[0]}.{middle}.part" for middle in ("ab_d1234", "dcba4321")]
    for part in parts:
        part.touch()
    os.utime(parts[0], (0, 0))
    with pytest.raises(FileNotFoundError, match="downloading failed"):
        data.mnist(tmp_path / "mnist")
    assert list((tmp_path / "mnist").iterdir()) == parts[1:]


def test_images_of_another_size_are_refused(tmp_path):
    files = contents()
    files[NAMES[0]] = idx(np.zeros((7, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"mnist: .*must hold images of 28 x 28; received .*\(7, 8, 8\)"):
        data.mnist(put(tmp_path / "here", files))


def test_checksums_are_whole():
    for files in (_sources._MNIST_FILES, _sources._FASHION_FILES, _sources._CIFAR_ARCHIVE):
        assert all(len(digest) == 64 and int(digest, 16) for digest in files.values())


def cifar(path, batches):
    import io
    import tarfile

    with tarfile.open(path, "w:gz") as tar:
        for name, body in batches.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


BATCHES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


def test_cifar10_reads_planes_in_order(tmp_path):
    record = bytes([6]) + bytes([10]) * 1024 + bytes([20]) * 1024 + bytes([30]) * 1024
    cifar(tmp_path / "cifar-10-binary.tar.gz", {name: 2 * record for name in BATCHES})
    train, test = data.cifar10(tmp_path, standardize=False)
    assert train.x.shape == (10, 3, 32, 32)
    assert test.x.shape == (2, 3, 32, 32)
    np.testing.assert_array_equal(np.round(train.x[0, :, 3, 4] * 255), [10, 20, 30])
    assert train.classes[train.y[0]] == "frog"


def test_cifar10_refuses_half_a_record_and_a_missing_batch(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    cifar(path, dict.fromkeys(BATCHES, b"\0" * 100))
    with pytest.raises(ValueError, match="whole number of records of 3073 bytes; received 100 bytes"):
        data.cifar10(tmp_path)
    cifar(path, dict.fromkeys(BATCHES[:-1], b"\0" * 3073))
    with pytest.raises(ValueError, match=r"it has no test_batch\.bin"):
        data.cifar10(tmp_path)
    whole = gzip.compress(np.random.default_rng(0).bytes(20000))
    half = len(whole) // 2
    for damaged in (b"nothing of the kind", whole[:half] + bytes(50) + whole[half + 50 :], whole[:half]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            data.cifar10(tmp_path)
    cifar(path, dict.fromkeys(BATCHES, np.random.default_rng(0).bytes(3073 * 3)))
    whole = path.read_bytes()
    half = len(whole) // 2
    path.write_bytes(whole[:half] + bytes(50) + whole[half + 50 :])
    with pytest.raises(ValueError, match="damaged"):
        data.cifar10(tmp_path)


def test_the_real_mnist(mnist_directory: Path):
    train, test = data.mnist(mnist_directory)
    assert (len(train), len(test)) == (60000, 10000)
    assert np.bincount(train.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert round(train.mean[0], 4) == 0.1307
    assert round(train.std[0], 4) == 0.3081
    assert abs(float(train.x.mean(dtype=np.float64))) < 1e-6
