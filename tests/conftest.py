"""Fixtures and options that all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenfold import _core


def pytest_configure() -> None:
    """Give Ctrl-C its usual meaning: shells start background jobs, and so the tests in them, with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=_core.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test once on every instruction set of this build that the processor has."""
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


@pytest.fixture(params=[1, 2, 3], ids=lambda n: f"{n}threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run a test on 1, 2 and 3 threads."""
    before = _core.num_threads()
    _core.set_num_threads(request.param)
    yield request.param
    _core.set_num_threads(before)


@pytest.fixture(scope="session")
def mnist_directory() -> Path:
    """The folder with the real MNIST: in $TENFOLD_DATA, or in ../shared/data beside the checkout."""
    root = Path(__file__).parent.parent
    candidates = [root.parent / "shared" / "data" / "mnist"]
    if given := os.environ.get("TENFOLD_DATA"):
        candidates = [Path(given) / "mnist", Path(given), *candidates]
    for folder in candidates:
        if list(folder.glob("train-images-idx3-ubyte*")):
            return folder
    pytest.skip("the real MNIST is neither in $TENFOLD_DATA nor in ../shared/data/mnist")
