"""Every example in a docstring runs and gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import tenfold

MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(tenfold.__path__, "tenfold.")
    if not m.name.endswith(("__main__", "_core"))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0
