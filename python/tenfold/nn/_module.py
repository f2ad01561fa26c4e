"""Module: the base of every layer and model."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .._random import next_seed
from ..graph import Array, Buffer, InferenceProgram, Parameter, Variable, active

_NO_PROGRAM = (-1, None)
_MAX_PROGRAMS = 8  # per module: as many input shapes are kept compiled


class _Revision:
    """Counts assignments to modules, so that compiled programs know when they are out of date."""

    number = 0


_revision = _Revision()


class Module:
    """Base of all layers and models; subclass it, build parts in ``__init__``, combine them in ``forward``.

    Parameters, buffers and modules that are assigned to attributes are found by name, as in PyTorch: a
    model's ``state_dict`` has their names joined by dots.
    """

    training: bool
    _recent: tuple[int, Any] = _NO_PROGRAM  # of the last call: the revision, the program
    _name: str | None = None  # under which its parent knows it, for people who read a graph

    def __init__(self) -> None:
        object.__setattr__(self, "_parameters", OrderedDict())
        object.__setattr__(self, "_buffers", OrderedDict())
        object.__setattr__(self, "_modules", OrderedDict())
        object.__setattr__(self, "training", True)
        object.__setattr__(self, "_programs", OrderedDict())

    # -- attributes ------------------------------------------------------------------------------------------

    def _tables(self) -> tuple[tuple[type, dict[str, Any]], ...]:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning parts")
        d = self.__dict__
        return ((Parameter, d["_parameters"]), (Buffer, d["_buffers"]), (Module, d["_modules"]))

    def __setattr__(self, name: str, value: Any) -> None:
        _revision.number += 1
        if isinstance(value, Module) and value._name is None:
            value._take_name(name)
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

    def __getstate__(self) -> dict[str, Any]:
        """Leave compiled programs out of copies and pickles; they are made again when needed."""
        return {**self.__dict__, "_programs": OrderedDict(), "_recent": _NO_PROGRAM}

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(table, {})
            if name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _take_name(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    # -- the parts -------------------------------------------------------------------------------------------

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

    # -- state -----------------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Variable]:
        """Return every name and its variable; a shared one stands under each of its names, as in PyTorch."""
        variables: dict[str, Variable] = {}
        for prefix, module in self.named_modules():
            for table in ("_parameters", "_buffers"):
                for name, value in module.__dict__[table].items():
                    variables[f"{prefix}.{name}" if prefix else name] = value
        return variables

    def num_parameters(self) -> int:
        """Return how many numbers training changes; shared parameters count once.

        Examples
        --------
        >>> import numpy as np
        >>> from tenfold import nn
        >>> model = nn.Module()
        >>> model.weight = nn.Parameter(np.zeros((3, 4), np.float32))
        >>> model.num_parameters()
        12
        """
        return sum(parameter.size for parameter in self.parameters())

    def state_dict(self) -> dict[str, Array]:
        """Return parameters and buffers by name, with PyTorch's names and layouts.

        Returns
        -------
        dict of str to ndarray
            The arrays are the live ones: training changes them, and after ``Trainer.fit`` the model may hold
            others. Copy them for a snapshot.

        Examples
        --------
        >>> import numpy as np
        >>> from tenfold import nn
        >>> model = nn.Module()
        >>> model.weight = nn.Parameter(np.zeros((3, 4), np.float32))
        >>> {name: array.shape for name, array in model.state_dict().items()}
        {'weight': (3, 4)}
        """
        return {name: variable.data for name, variable in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into parameters and buffers, all of them or none.

        Parameters
        ----------
        state : mapping of str to array
            What ``state_dict`` returns; floats of another width are converted. A shared parameter may stand
            under one of its names or, with equal values, under several.
        strict : bool
            If False, names that are missing or unexpected are passed over; shapes must agree all the same.

        Raises
        ------
        ValueError
            If names are missing or unexpected, shapes differ, or two names of a shared parameter disagree.
        TypeError
            If floats were to become integers or the reverse, or something is not a number.
        """
        values = self._checked_state("load_state_dict", state, strict)
        for variable, value in values:
            if variable.data.flags.writeable:
                variable.data[...] = value
            else:
                variable.data = value.astype(variable.dtype)

    def _checked_state(
        self, what: str, state: Mapping[str, Any], strict: bool
    ) -> list[tuple[Variable, Array]]:
        """Return (variable, value) pairs that are certain to fit, or raise with all that does not."""
        where = f"{type(self).__name__}.{what}"
        if not isinstance(state, Mapping):
            raise TypeError(
                f"{where}: state must be a mapping of names to arrays; received {type(state).__name__}"
            )
        own = self._state()
        problems: list[str] = []
        found: dict[int, tuple[str, Variable, Array]] = {}
        for name, variable in own.items():
            if name not in state:
                continue
            value = np.asarray(state[name])
            if value.dtype.kind != variable.dtype.kind:
                raise TypeError(f"{where}: {name} must be {variable.dtype}; received dtype {value.dtype}")
            if value.shape != variable.shape:
                problems.append(f"{name} has shape {value.shape} instead of {variable.shape}")
            elif id(variable) in found:
                first, _, other = found[id(variable)]
                if not np.array_equal(value, other, equal_nan=value.dtype.kind == "f"):
                    problems.append(f"{first} and {name} are one array in the model but differ here")
            else:
                found[id(variable)] = (name, variable, value)
        if strict:
            given = {id(variable) for name, variable in own.items() if name in state}
            missing = [name for name, variable in own.items() if id(variable) not in given]
            unexpected = sorted(str(name) for name in state if name not in own)
            if missing:
                problems.insert(0, "missing: " + ", ".join(missing))
            if unexpected:
                problems.insert(bool(missing), "unexpected: " + ", ".join(unexpected))
        if problems:
            raise ValueError(f"{where}: the state is of another architecture; " + "; ".join(problems))
        return [(variable, value) for _, variable, value in found.values()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``state_dict()`` to a safetensors file with a checksum; a failure leaves the old file whole.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        from .. import io

        io.save_safetensors(path, self.state_dict(), {"tenfold.format": "model 1"})

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read what ``save`` wrote, or the safetensors file of a PyTorch model; all or nothing.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        ValueError
            If the file is damaged, or holds another architecture; the model is unchanged.
        FileNotFoundError
            If there is no such file.
        """
        from .. import io

        tensors, metadata = io.load_safetensors(path)
        if metadata.get("tenfold.format", "").startswith(
            "checkpoint"
        ):  # a Trainer's: the model is a part of it
            tensors = {name[6:]: array for name, array in tensors.items() if name.startswith("model.")}
        self.load_state_dict(tensors)

    # -- use -------------------------------------------------------------------------------------------------

    def forward(self, *inputs: Any) -> Any:
        """Compute the output from the inputs; written by every subclass with ``tenfold.functional``."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def __call__(self, *inputs: Any) -> Any:
        """Apply the module: to symbols, by recording; to arrays, by running a compiled program.

        The program is made at the first call with arrays of certain shapes and dtypes, and kept. It is made
        again when an attribute of any module was assigned, or the mode changed. In training mode buffers such
        as running means are updated.
        """
        trace = active()
        revision, program = self._recent
        if revision == _revision.number and trace is None:
            results = program.run_if_fits(inputs)
            if results is not None:
                return results
        if trace is None and inputs:
            for value in inputs:
                if not isinstance(value, np.ndarray):
                    break
            else:
                return self._run(inputs)
        if trace is None or self._name is None:
            return self.forward(*inputs)
        with trace.scope(self._name):
            return self.forward(*inputs)

    def _run(self, inputs: tuple[Array, ...]) -> Any:
        key = (_revision.number, *[(value.shape, value.dtype) for value in inputs])
        program = self._programs.get(key)
        if program is None:
            for value in inputs:
                if value.dtype not in (np.float32, np.float64, np.int64):
                    raise TypeError(
                        f"{type(self).__name__}: input must be a float32 or float64 array; received dtype "
                        f"{value.dtype}"
                    )
            program = InferenceProgram(self.forward, [(value.shape, value.dtype) for value in inputs])
            kept = [k for k in list(self._programs) if k[0] == key[0]][1 - _MAX_PROGRAMS :]
            for k in set(self._programs) - set(kept):
                self._programs.pop(k, None)  # another thread may have been here
            self._programs[key] = program
        if program.random:
            return program(*inputs, seed=next_seed())
        object.__setattr__(self, "_recent", (key[0], program))
        return program(*inputs)

    def train(self, mode: bool = True) -> Module:
        """Switch dropout and batch normalisation to training behaviour; return self."""
        for _, module in self.named_modules():
            if module.training != bool(mode):
                _revision.number += 1
                object.__setattr__(module, "training", bool(mode))
        return self

    def eval(self) -> Module:
        """Switch to inference behaviour; return self."""
        return self.train(False)

    def extra_repr(self) -> str:
        """Return the arguments shown in ``repr``."""
        return ""

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(module).replace("\n", "\n  ") for name, module in self._modules.items()
        ]
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
                raise TypeError(
                    f"Sequential: every part must be a Module; part {i} is a {type(module).__name__}"
                )
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
