"""Pictures drawn with Matplotlib, without a display and without touching the user's own figures."""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..io._files import PathLike, write_aside

_TRAIN, _VALIDATION, _INK, _MUTED, _RULE = "#2a6fbb", "#d9622b", "#1f2430", "#6b7280", "#d8dce3"
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _MUTED,
    "axes.linewidth": 0.8,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _RULE,
    "grid.linewidth": 0.8,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "savefig.dpi": 160,
    "figure.dpi": 100,
    "svg.hashsalt": "tenfold",
}


@contextlib.contextmanager
def _figure(size: tuple[float, float], path: PathLike | None, layout: Any = "constrained") -> Iterator[Any]:
    """Yield a figure of its own, written to `path` at the end, wholly or not at all; no display is ever opened."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            'plots need Matplotlib: pip install "tenfold[cli]" or pip install matplotlib'
        ) from None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout=layout)
        FigureCanvasAgg(figure)
        yield figure
        if path is not None:
            suffix = os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
            known = figure.canvas.get_supported_filetypes()
            if suffix not in known:
                raise ValueError(
                    f"plot: path must end in one of {', '.join(sorted(known))}; received {os.fspath(path)!r}"
                )
            content = io.BytesIO()
            figure.savefig(content, format=suffix, facecolor="white")
            write_aside(path, content.getvalue())


def _columns(history: Any) -> list[dict[str, Any]]:
    """Return the rows of a History, of a list of rows, or of the file that a History was written to."""
    if isinstance(history, (str, os.PathLike)):
        return read_history(history)
    rows = getattr(history, "epochs", history)
    return [dict(row) for row in rows]


def read_history(path: PathLike) -> list[dict[str, Any]]:
    """Return the rows of a history in a CSV or JSON file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds something else.
    """
    name = os.fspath(path)
    if name.endswith(".json"):
        from ..train import History

        return [dict(row) for row in History.from_json(path)]
    import csv

    rows: list[dict[str, Any]] = []
    with open(name, encoding="utf-8", newline="") as file:
        try:
            for row in csv.DictReader(file):
                rows.append({key: float(value) for key, value in row.items() if value not in ("", None)})
        except (ValueError, TypeError, UnicodeDecodeError, csv.Error) as error:
            raise ValueError(
                f"plot: {name} must be a history (CSV with a header, or JSON); received {error}"
            ) from None
    if not rows or "epoch" not in rows[0]:
        raise ValueError(f"plot: {name} must be a history with a column 'epoch'; received none")
    return rows


def _series(rows: list[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    pairs = [(float(r["epoch"]), float(r[name])) for r in rows if r.get(name) is not None and "epoch" in r]
    return [e for e, _ in pairs], [v for _, v in pairs]


def learning_curve(history: Any, path: PathLike | None = None, title: str | None = None) -> Any:
    """Draw loss and accuracy over the epochs, training beside validation, the best epoch marked.

    Parameters
    ----------
    history : History, sequence of dict, or path of a history in CSV or JSON
        ``epoch`` and any of ``loss``, ``accuracy``, ``validation_loss``, ``validation_accuracy``.
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
    ValueError
        If the history has no epoch, or the ending of the path names no format.
    """
    rows = _columns(history)
    if not any("epoch" in row for row in rows):
        raise ValueError("learning_curve: history must have at least one epoch; received none")
    has_accuracy = any(row.get(k) is not None for row in rows for k in ("accuracy", "validation_accuracy"))
    with _figure((9.6 if has_accuracy else 5.4, 4.0), path) as figure:
        axes = figure.subplots(1, 2 if has_accuracy else 1, squeeze=False)[0]
        _curves(axes[0], rows, "loss", "Loss")
        if has_accuracy:
            _curves(axes[1], rows, "accuracy", "Accuracy")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def _curves(axes: Any, rows: list[dict[str, Any]], name: str, title: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    percent = name == "accuracy"
    axes.set_title(title)
    axes.grid(axis="y")
    axes.set_xlabel("epoch")
    axes.set_ylabel("share of images classified correctly" if percent else "mean loss per image")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    drawn = []
    for key, label, color in ((name, "training", _TRAIN), (f"validation_{name}", "validation", _VALIDATION)):
        epochs, values = _series(rows, key)
        finite = [(e, v) for e, v in zip(epochs, values) if math.isfinite(v)]
        if not finite:
            continue
        epochs, values = [e for e, _ in finite], [v for _, v in finite]
        few = len(epochs) <= 30
        axes.plot(
            epochs,
            values,
            color=color,
            label=label,
            linewidth=1.9,
            marker="o" if few else None,
            markersize=3.6 if few else 0,
            markeredgewidth=0,
            solid_capstyle="round",
            zorder=3,
        )
        drawn.append((epochs, values, color, label))
    if not drawn:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=_MUTED)
        return
    everything = [v for _, values, _, _ in drawn for v in values]
    low, high = min(everything), max(everything)
    if percent:
        _percent_limits(axes, low)
    # From a thousandth to one: only a logarithmic axis shows the end of such a run.
    elif low > 0 and high / low > 30:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, high * 1.08 or 1)
    first, last = min(e[0] for e, *_ in drawn), max(e[-1] for e, *_ in drawn)
    pad = max(0.03 * (last - first), 0.4)
    axes.set_xlim(first - pad, last + pad)
    _mark_best(axes, drawn[-1], percent)
    axes.legend(
        loc="best", handlelength=1.6, frameon=True, facecolor="white", edgecolor="none", framealpha=1
    ).set_zorder(6)


def _percent_limits(axes: Any, low: float) -> None:
    floor = max(0.0, math.floor((low - 0.02) * 20) / 20)
    axes.set_ylim(floor, 1)
    ticks = [t for t in axes.get_yticks() if floor - 1e-9 <= t <= 1 + 1e-9]
    axes.set_yticks(ticks, [f"{100 * t:.4g} %" for t in ticks])
    axes.set_ylim(floor, 1 + 0.06 * (1 - floor))


def _mark_best(axes: Any, curve: tuple[list[float], list[float], str, str], percent: bool) -> None:
    epochs, values, color, label = curve
    best = int(np.argmax(values) if percent else np.argmin(values))
    number = f"{100 * values[best]:.2f} %" if percent else f"{values[best]:.3g}"
    axes.plot(
        epochs[best],
        values[best],
        linestyle="none",
        marker="o",
        markersize=9,
        markerfacecolor="white",
        markeredgecolor=color,
        markeredgewidth=2,
        zorder=4,
        label=f"best {label}: {number}, epoch {epochs[best]:g}",
    )
    axes.axvline(epochs[best], color=color, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)


def confusion_matrix(
    matrix: npt.ArrayLike,
    classes: Sequence[str] | None = None,
    path: PathLike | None = None,
    title: str | None = None,
) -> Any:
    """Draw a confusion matrix: rows are the true classes, columns the predicted ones.

    Parameters
    ----------
    matrix : array-like of shape (K, K), integers
    classes : sequence of K str, optional
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
    ValueError
        If the matrix is not square, or there are not K names.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"confusion_matrix: matrix must be of shape (K, K); received {counts.shape}")
    size = len(counts)
    names = [str(i) for i in range(size)] if classes is None else [str(c) for c in classes]
    if len(names) != size:
        raise ValueError(f"confusion_matrix: classes must have {size} names; received {len(names)}")
    long = max(map(len, names)) > 3
    side = max(4.2, 0.52 * size + (1.6 if long else 1.0))
    with _figure((side + (1.9 if long else 0.9), side), path, "compressed") as figure:
        axes = figure.subplots()
        from matplotlib.colors import LinearSegmentedColormap

        rows = counts.sum(1, keepdims=True)
        share = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
        # The square root lets a single confusion be seen beside a full diagonal.
        colors = LinearSegmentedColormap.from_list("tenfold", ["#ffffff", "#bcd4ee", _TRAIN, "#12305a"])
        image = axes.imshow(np.sqrt(share), cmap=colors, vmin=0, vmax=1)
        for i in range(size):
            for j in range(size):
                if counts[i, j]:
                    axes.text(
                        j, i, f"{counts[i, j]:,}", ha="center", va="center",
                        fontsize=9.5 if counts.max() < 1000 else 8,
                        color="white" if share[i, j] > 0.3 else (_INK if i == j else "#b3431a"),
                    )  # fmt: skip
        axes.set_xticks(range(size), names, rotation=40 if long else 0, ha="right" if long else "center")
        axes.set_yticks(range(size), names)
        axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=_RULE, linewidth=0.8)
        axes.tick_params(which="both", length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
        bar.outline.set_visible(False)
        shown = [0, 0.01, 0.1, 0.25, 0.5, 1]
        bar.set_ticks([math.sqrt(s) for s in shown], labels=[f"{100 * s:g} %" for s in shown])
        bar.set_label("share of the true class")
        bar.ax.tick_params(length=0)
        axes.set_title(title or f"{np.trace(counts):,} of {counts.sum():,} correct")
    return figure


def filters(weight: Any, path: PathLike | None = None, title: str | None = None) -> Any:
    """Draw the filters of a convolution, one square each, blue negative and red positive.

    Parameters
    ----------
    weight : array-like or Parameter of shape (F, C, KH, KW)
        With C = 3 the filters are drawn in colour, otherwise each input channel has its own row.
    path : path-like, optional
        Where to write the picture; PNG, PDF or SVG by its ending.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    w = np.asarray(getattr(weight, "data", weight), np.float64)
    if w.ndim != 4 or not w.size:
        raise ValueError(f"filters: weight must be of shape (F, C, KH, KW); received {w.shape}")
    if w.shape[1] == 3:
        tiles = [(w[f].transpose(1, 2, 0), f"{f}") for f in range(w.shape[0])]
        columns = min(len(tiles), 8)
    else:
        w = w[:, :8]
        tiles = [(w[f, c], f"{f}") for c in range(w.shape[1]) for f in range(w.shape[0])]
        columns = w.shape[0] if w.shape[1] > 1 else min(len(tiles), 8)
    return _grid(tiles, columns, path, title or "filters", signed=True)


def feature_maps(maps: npt.ArrayLike, path: PathLike | None = None, title: str | None = None) -> Any:
    """Draw what a layer makes of one image, one square per channel.

    Parameters
    ----------
    maps : array-like of shape (C, H, W) or (1, C, H, W)
    path : path-like, optional
        Where to write the picture; PNG, PDF or SVG by its ending.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    m = np.asarray(maps, np.float64)
    m = m[0] if m.ndim == 4 and len(m) == 1 else m
    if m.ndim != 3 or not m.size:
        raise ValueError(f"feature_maps: maps must be of shape (C, H, W); received {m.shape}")
    return _grid(
        [(plane, f"{c}") for c, plane in enumerate(m)], min(len(m), 8), path, title or "feature maps"
    )


def _grid(
    tiles: list[tuple[Any, str]], columns: int, path: PathLike | None, title: str, signed: bool = False
) -> Any:
    rows = -(-len(tiles) // columns)
    with _figure((max(1.05 * columns, 3.2), 1.2 * rows + 0.45), path) as figure:
        top = max(float(np.abs(tile).max()) for tile, _ in tiles) or 1.0
        axes = figure.subplots(rows, columns, squeeze=False)
        for cell in axes.flat:
            cell.set_axis_off()
        for cell, (tile, label) in zip(axes.flat, tiles):
            if tile.ndim == 3:
                cell.imshow(0.5 + 0.5 * tile / top)
            elif signed:
                cell.imshow(tile, cmap="RdBu_r", vmin=-top, vmax=top)
            else:
                cell.imshow(tile, cmap="magma")
            cell.set_title(label, fontsize=8.5, fontweight="normal", loc="center", color=_MUTED, pad=2)
        figure.suptitle(title, x=0.02, ha="left", fontsize=12, fontweight="bold")
    return figure
