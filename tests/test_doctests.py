"""Every example in a docstring and on a page of docs/ runs and gives what it says."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import tenfold

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
DOCS = Path(__file__).resolve().parent.parent / "docs"
MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(tenfold.__path__, "tenfold.")
    if not m.name.endswith(("__main__", "_core"))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=FLAGS)
    assert result.failed == 0


@pytest.mark.parametrize("page", ["lecture.md"])
def test_pages(page):
    with np.printoptions():  # the page sets some
        result = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=FLAGS)
    assert result.attempted > 0
    assert result.failed == 0
