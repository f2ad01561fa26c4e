"""Which room may enter which (docs/design.md), checked on the sources."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "tenfold"

# From a package to those it may import; every package may import itself, _core and the private modules.
MAY_IMPORT = {
    "graph": set(),
    "functional": {"graph"},
    "io": {"graph"},
    "nn": {"functional", "graph", "io"},
    "optim": {"graph"},
    "models": {"functional", "nn"},
    "data": {"io"},
    "train": {"data", "functional", "graph", "io", "nn", "optim"},
    "plot": {"data", "functional", "graph", "io", "nn", "train"},
}
PACKAGES = {*MAY_IMPORT, "cli"}

# Operators of symbols call functions, which are built on symbols: looked up when an operator is used.
LOOKS_UP = PACKAGE / "graph" / "_operators.py"


def imports(path):
    """Yield the top-level tenfold packages that a file imports, lazily or not."""
    parts = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            base = list(parts[: len(parts) - node.level + 1])
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            for module in modules:
                yield (base + module.split("."))[0]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tenfold":
            yield node.module.split(".")[1] if "." in node.module else "tenfold"


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_python_packages_import_only_what_lies_below_them(package):
    for path in (PACKAGE / package).rglob("*.py"):
        if path == LOOKS_UP:
            continue
        found = {name for name in imports(path) if name in PACKAGES and name != package}
        assert found <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {found - MAY_IMPORT[package]}"


def test_kernels_include_no_standard_cpp_header():
    allowed = re.compile(r'#include (<(stddef|stdint|immintrin|xmmintrin|arm_neon)\.h>|"kernels/[a-z_]+\.h")')
    sources = sorted((ROOT / "cpp" / "src" / "kernels").iterdir())
    assert sources
    for path in sources:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not line.startswith("#include") or allowed.fullmatch(line.strip()), f"{path.name}: {line}"


@pytest.mark.parametrize("folder", ["cpp/include", "cpp/src"])
def test_the_core_knows_neither_python_nor_numpy(folder):
    for path in (ROOT / folder).rglob("*.[hc]*"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'#include [<"](pybind11|Python\.h|numpy)', text), path


def test_public_headers_use_no_intrinsics():
    for path in (ROOT / "cpp" / "include").rglob("*.h"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"immintrin|arm_neon|_mm\d*_|vector_size", text), path
