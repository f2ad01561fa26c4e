"""Module: the base of every layer and model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any


from ..graph import Buffer, Parameter


class Module:
    """Base of all layers and models; subclass it, build parts in ``__init__``, combine them in ``forward``.

    Parameters, buffers and modules that are assigned to attributes are found by name, as in PyTorch: a model's
    ``state_dict`` has their names joined by dots.
    """

    training: bool

    def __init__(self) -> None:
        object.__setattr__(self, "_parameters", OrderedDict())
        object.__setattr__(self, "_buffers", OrderedDict())
        object.__setattr__(self, "_modules", OrderedDict())
        object.__setattr__(self, "training", True)

    # -- attributes ----------------------------------------------------------------------------------------------

    def _tables(self) -> tuple[tuple[type, dict[str, Any]], ...]:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning parts")
        d = self.__dict__
        return ((Parameter, d["_parameters"]), (Buffer, d["_buffers"]), (Module, d["_modules"]))

    def __setattr__(self, name: str, value: Any) -> None:
        for kind, table in self._tables():
            table.pop(name, None)
            if isinstance(value, kind):
                self.__dict__.pop(name, None)
                for other_kind, other in self._tables():
                    if other_kind is not kind:
                        other.pop(name, None)
                table[name] = value
                return
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(table, {})
            if name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    # -- the parts -----------------------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (name, module) of this module and all below it, parents first."""
        yield prefix, self
        for name, module in self._modules.items():
            yield from module.named_modules(f"{prefix}.{name}" if prefix else name)

    def _named(self, table: str) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in module.__dict__[table].items():
                if id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter), each parameter once."""
        yield from self._named("_parameters")

    def parameters(self) -> Iterator[Parameter]:
        """Yield the parameters, each once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Yield (name, buffer)."""
        yield from self._named("_buffers")

    # -- use -----------------------------------------------------------------------------------------------------

    def forward(self, *inputs: Any) -> Any:
        """Compute the output from the inputs; written by every subclass with ``tenfold.functional``."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    def train(self, mode: bool = True) -> Module:
        """Switch dropout and batch normalisation to training behaviour; return self."""
        for _, module in self.named_modules():
            object.__setattr__(module, "training", bool(mode))
        return self

    def eval(self) -> Module:
        """Switch to inference behaviour; return self."""
        return self.train(False)

    def extra_repr(self) -> str:
        """Return the arguments shown in ``repr``."""
        return ""

    def __repr__(self) -> str:
        lines = [f"  ({name}): " + repr(module).replace("\n", "\n  ") for name, module in self._modules.items()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ("\n" + "\n".join(lines) + "\n)" if lines else ")")


class Sequential(Module):
    """Modules one after the other; ``model[i]`` and ``len(model)`` work.

    Parameters
    ----------
    *modules : Module
        Applied in order. Their parameters are called ``"0.weight"``, ``"1.weight"``, …
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: every part must be a Module; part {i} is a {type(module).__name__}")
            setattr(self, str(i), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, i: int | slice) -> Any:
        modules = list(self._modules.values())
        return Sequential(*modules[i]) if isinstance(i, slice) else modules[i]

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input
