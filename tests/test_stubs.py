"""The stub file and the built module say the same: every name, every argument, every default."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tenfold
from tenfold import _core

STUB = Path(tenfold.__file__).parent / "_core.pyi"


def signature_of_stub(node: ast.FunctionDef) -> list[str]:
    """Return the arguments after self: ``name=`` with a default, ``/`` where the module has no name."""
    arguments = node.args
    names = [a.arg for a in arguments.posonlyargs] + [a.arg for a in arguments.args]
    optional = len(arguments.defaults)
    shown = [n + "=" if i >= len(names) - optional else n for i, n in enumerate(names)]
    shown = ["/" if i < len(arguments.posonlyargs) and n != "self" else n for i, n in enumerate(shown)]
    return [n for n in shown if n != "self"]


def signature_of_module(doc: str) -> list[str]:
    """Read the arguments from the first line that pybind11 writes into a docstring."""
    match = re.match(r"\w+\((.*)\) -> ", doc.strip(), re.DOTALL)
    assert match, doc
    parts, depth, start = [], 0, 0
    text = match[1]
    for i, c in enumerate(text + ","):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    names = []
    for part in filter(None, parts):
        name = part.split(":")[0].strip()
        name = "/" if re.fullmatch(r"arg\d+", name) else name
        names.append(name + "=" if re.search(r" = [^\]]*$", part) or part.endswith("= []") else name)
    return [n for n in names if n != "self"]


def stub() -> dict[str, list[str] | None]:
    """Return name -> arguments of the stub file; None for a property, [] for a class itself."""
    found: dict[str, list[str] | None] = {}
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = signature_of_stub(node)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    prop = any(isinstance(d, ast.Name) and d.id == "property" for d in item.decorator_list)
                    found[f"{node.name}.{item.name}"] = None if prop else signature_of_stub(item)
    return found


def built() -> dict[str, list[str] | None]:
    """Return the same of the built module."""
    found: dict[str, list[str] | None] = {}
    for name, value in vars(_core).items():
        if name.startswith("__"):
            continue
        if isinstance(value, type):
            bases = [base.__name__ for base in value.__bases__]
            found[name] = [base for base in bases if base != "pybind11_object"]
            for method, member in vars(value).items():
                if isinstance(member, property):
                    found[f"{name}.{method}"] = None
                elif callable(member) and (not method.startswith("_") or method in ("__init__", "__call__")):
                    doc = getattr(member, "__doc__", None) or ""
                    if doc.startswith(method):  # a class without a constructor inherits object's
                        found[f"{name}.{method}"] = signature_of_module(doc)
        elif callable(value):
            found[name] = signature_of_module(value.__doc__)
    return found


def test_every_name_is_in_both():
    assert sorted(stub()) == sorted(built())


@pytest.mark.parametrize("name", sorted(set(stub()) & set(built())))
def test_the_arguments_are_the_same(name):
    assert stub()[name] == built()[name]


def test_the_package_is_marked_as_typed():
    assert STUB.with_name("py.typed").is_file()
