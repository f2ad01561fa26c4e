"""Modules that hold others and leave it to their owner how they are combined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ._module import Module


class ModuleList(Module):
    """A list of modules whose parameters are found; a plain Python list would hide them.

    Parameters
    ----------
    modules : iterable of Module, optional
        Their parameters are called ``"0.weight"``, ``"1.weight"``, … It is indexed, iterated and appended to like a
        list, and is not called itself.

    Raises
    ------
    TypeError
        If a part is not a Module.

    Examples
    --------
    >>> from tenfold import nn
    >>> class Tower(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.floors = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    ...     def forward(self, x):
    ...         for floor in self.floors:
    ...             x = floor(x)
    ...         return x
    >>> len(list(Tower().parameters()))
    6
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end; return self."""
        if not isinstance(module, Module):
            raise TypeError(f"ModuleList: every part must be a Module; received {type(module).__name__}")
        name = str(len(self))
        if self._name is not None and module._name is None:
            module._take_name(f"{self._name}.{name}")
        setattr(self, name, module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end; return self."""
        for module in modules:
            self.append(module)
        return self

    def _take_name(self, name: str) -> None:
        # The list itself is never called, so its parts carry its name.
        super()._take_name(name)
        for i, module in enumerate(self):
            module._take_name(f"{name}.{i}")

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, i: int | slice) -> Any:
        modules = list(self._modules.values())
        return ModuleList(modules[i]) if isinstance(i, slice) else modules[i]

    def forward(self, *inputs: Any) -> Any:
        """Refuse: a list does not say how its parts are combined."""
        raise TypeError("ModuleList: a list of modules cannot be called; call its parts, or use Sequential")
