"""The picture of a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..io._files import PathLike
from ._plot import _INK, _MUTED, _TRAIN, _VALIDATION, _figure

if TYPE_CHECKING:
    from ..graph import Operation, Profile

_FORWARD, _BACKWARD, _TRACK = _TRAIN, _VALIDATION, "#eef0f4"
_SMALL = 0.005  # of the time; what takes less is drawn as one bar when there are many
_MANY = 12


def _name(operation: Operation) -> str:
    return f"{operation.label}   {operation.kind}" if operation.name else operation.kind


def _rate(gigaflops: float) -> str:
    return f"{gigaflops:.0f}" if gigaflops >= 99.5 else f"{gigaflops:.1f}"


def profile(profile: Profile, path: PathLike | None = None, title: str | None = None) -> Any:
    """Draw where the time of a model goes, and how close to the processor's peak each operation comes.

    Parameters
    ----------
    profile : Profile
        What :func:`tenfold.profile` returned.
    path : path-like, optional
        Where to write the picture; PNG, PDF or SVG by its ending.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If Matplotlib is not installed.
    """
    operations = list(profile.operations)
    small = [o for o in operations if o.seconds < _SMALL * profile.seconds]
    if len(operations) <= _MANY or len(small) < 2:
        small = []
    shown = [o for o in operations if not any(o is s for s in small)]
    names = [_name(o) for o in shown]
    forward = [o.forward.seconds if o.forward else 0.0 for o in shown]
    backward = [o.backward.seconds if o.backward else 0.0 for o in shown]
    if small:
        names.append(f"{len(small)} others")
        forward.append(sum(o.forward.seconds for o in small if o.forward))
        backward.append(sum(o.backward.seconds for o in small if o.backward))
    unit, scale = ("ms", 1e3) if max(f + b for f, b in zip(forward, backward)) > 2e-3 else ("µs", 1e6)
    rows = range(len(names))
    both = profile.backward is not None

    with _figure((10.4, 1.75 + 0.3 * max(len(names), 3)), path) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
        left.barh(rows, [scale * f for f in forward], height=0.66, color=_FORWARD, label="forward")
        if both:
            left.barh(
                rows, [scale * b for b in backward], left=[scale * f for f in forward], height=0.66,
                color=_BACKWARD, label="backward",
            )  # fmt: skip
        totals = [scale * (f + b) for f, b in zip(forward, backward)]
        for row, total in zip(rows, totals):
            share = total / scale / profile.seconds
            left.annotate(
                f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %", (total, row), (5, 0),
                textcoords="offset points", va="center", fontsize=8.5, color=_MUTED,
            )  # fmt: skip
        left.set_xlim(0, 1.13 * max(totals))
        left.set_yticks(rows, names, fontsize=9.5)
        left.set_title(f"Time: {profile.seconds * scale:,.4g} {unit}")
        left.set_xlabel(f"{unit}, and the share of the whole")
        left.grid(axis="x")

        thick = 0.33 if both else 0.66
        for row, operation in zip(rows, shown):
            pairs = ((operation.forward, _FORWARD), (operation.backward, _BACKWARD))
            for at, (timing, color) in zip((row - thick / 2, row + thick / 2) if both else (row, row), pairs):
                if timing is None or not timing.flops:
                    continue
                share = 100 * timing.rate / profile.peak
                right.barh(at, 100, height=0.86 * thick, color=_TRACK, zorder=1)
                right.barh(at, min(share, 100), height=0.86 * thick, color=color, zorder=2)
                right.annotate(
                    _rate(timing.rate / 1e9), (min(share, 100), at), (4, 0), textcoords="offset points",
                    va="center", fontsize=7 if both else 8.5, color=_INK, zorder=3,
                )  # fmt: skip
        right.set_xlim(0, 108)
        right.set_xticks(range(0, 101, 25), [f"{t} %" for t in range(0, 101, 25)])
        right.axvline(100, color=_INK, linewidth=1.1)
        right.set_title(f"Speed: {_rate(profile.rate / 1e9)} GFLOP/s in all")
        right.set_xlabel(f"GFLOP/s, and the share of the peak of {profile.peak / 1e9:.0f}")
        right.tick_params(axis="y", length=0)
        left.tick_params(axis="y", length=0)
        for axes in (left, right):
            axes.spines["left"].set_visible(False)
        empty = max(0, 3 - len(names)) / 2  # a few bars stay bars
        left.set_ylim(len(names) - 0.4 + empty, -0.6 - empty)
        if both:
            figure.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=10)
        batch = " × ".join(map(str, profile.input_shape))
        threads = f"{profile.threads} thread{'s' if profile.threads > 1 else ''}"
        figure.suptitle(
            f"{title or profile.title}: {batch}, {profile.dtype}, {profile.isa}, {threads}",
            x=0.01, ha="left", fontsize=13, fontweight="bold",
        )  # fmt: skip
    return figure
