"""Pictures of a results file: layers against the peak, ratios to other libraries, cost against work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report import ratio
from tenfold.plot._plot import _INK, _MUTED, _TRAIN, _VALIDATION, _figure

_TRACK = "#eef0f4"
_GREEN = "#2e8b6f"


RATIOS = ("step", "mlp", "resnet", "inference", "gemm", "elementwise")


def draw(results: dict[str, Any], stem: Path) -> dict[str, Path]:
    """Draw what the results have; return the files by what they show, named like the results with that behind."""
    written: dict[str, Path] = {}

    def path(what: str) -> Path:
        written[what] = stem.with_name(f"{stem.name}-{what}.png")
        return written[what]

    layers = [r for r in results["rows"] if r["what"] == "layers" and r["flops"]]
    for model in dict.fromkeys(r["model"] for r in layers):
        _layers([r for r in layers if r["model"] == model], results, path(f"layers-{model}"))
    for what in RATIOS:
        contests = [r for r in results["rows"] if r["what"] == what and len(r["times"]) > 1]
        if contests:
            _ratios(contests, results, path(what))
    if results.get("curves"):
        _curves(results["curves"]["curves"], results, path("curves"))
    return written


def _where(results: dict[str, Any]) -> str:
    facts = results["facts"]
    count = facts["threads"]
    return f"{facts['cpu']}, {facts['isa']}, {count} thread{'s' if count > 1 else ''}"


def _layers(rows: list[dict[str, Any]], results: dict[str, Any], path: Path) -> None:
    names = list(dict.fromkeys((r["model"], r["layer"]) for r in rows))
    with _figure((9.2, 1.6 + 0.34 * len(names)), path) as figure:
        axes = figure.subplots()
        for r in rows:
            row = names.index((r["model"], r["layer"]))
            backward = r["direction"] == "backward"
            at, color = (row + 0.18, _VALIDATION) if backward else (row - 0.18, _TRAIN)
            share = 100 * r["flops"] / r["times"]["tenfold"]["median"] / r["peak"]
            axes.barh(at, 100, height=0.32, color=_TRACK, zorder=1)
            axes.barh(at, share, height=0.32, color=color, zorder=2)
            others = [t["median"] for n, t in r["times"].items() if n != "tenfold"]
            if others:
                other = 100 * r["flops"] / min(others) / r["peak"]
                axes.plot([other] * 2, [at - 0.16, at + 0.16], color=_INK, linewidth=1.8, zorder=3)
            reach = max(share, other if others else 0)
            beside = 100 if 85 < reach < 100 else reach  # not across the line
            axes.annotate(
                f"{share:.0f} %", (beside, at), (5, 0), va="center",
                textcoords="offset points", fontsize=8, color=_MUTED, zorder=4,
            )  # fmt: skip
        axes.set_yticks(range(len(names)), [f"{model}  {layer}" for model, layer in names], fontsize=9)
        axes.set_ylim(len(names) - 0.4, -0.6)
        top = max(
            100.0, 1.08 * max(100 * r["flops"] / r["times"]["tenfold"]["median"] / r["peak"] for r in rows)
        )
        axes.set_xlim(0, top + 4)
        axes.set_xticks(range(0, 101, 25), [f"{t} %" for t in range(0, 101, 25)])
        axes.axvline(100, color=_INK, linewidth=1.1)
        axes.set_xlabel("share of the multiply-add peak")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles = [Patch(color=_TRAIN, label="forward"), Patch(color=_VALIDATION, label="backward")]
        handles.append(
            Line2D([], [], color=_INK, linewidth=0, marker="|", markersize=11, markeredgewidth=1.8,
                   label="PyTorch, the better of its layouts")
        )  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9.5)
        figure.suptitle(f"Layers against the peak: {_where(results)}", x=0.01, ha="left", fontweight="bold")


def _ratios(rows: list[dict[str, Any]], results: dict[str, Any], path: Path) -> None:
    others = list(dict.fromkeys(n for r in rows for n in r["times"] if n != "tenfold"))
    palette = ["#8a94a6", "#d9622b", "#6d4fb3", "#2e8b6f", "#c2a83e", "#b3431a", "#12305a"]
    markers = ["o", "s", "D", "^", "v", "P", "X"]
    with _figure((9.2, 1.5 + 0.3 * len(rows)), path) as figure:
        axes = figure.subplots()
        for i, name in enumerate(others):
            have = [(row, r) for row, r in enumerate(rows) if name in r["times"]]
            axes.plot(
                [r["times"][name]["median"] / r["times"]["tenfold"]["median"] for _, r in have],
                [row for row, _ in have], linestyle="none", marker=markers[i % 7], markersize=7,
                color=palette[i % 7], markeredgecolor="white", markeredgewidth=0.8, label=name, zorder=3,
            )  # fmt: skip
        for row, r in enumerate(rows):
            fastest = ratio(r)
            if fastest is not None:
                axes.plot([1, fastest], [row] * 2, color=_GREEN if fastest >= 1 else "#b3431a", linewidth=2.2)
        axes.axvline(1, color=_INK, linewidth=1.2)
        axes.set_xscale("log")
        low = min(t["median"] / r["times"]["tenfold"]["median"] for r in rows for t in r["times"].values())
        high = max(t["median"] / r["times"]["tenfold"]["median"] for r in rows for t in r["times"].values())
        wide = high / low > 20
        steps = (1, 2, 5) if wide else (1, 1.5, 2, 3, 5, 7)
        ticks = [
            t for e in (0.01, 0.1, 1, 10, 100) for s in steps if low / 1.25 <= (t := e * s) <= high * 1.25
        ]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()
        axes.set_xlim(low / 1.25, high * 1.25)
        axes.set_yticks(range(len(rows)), [f"{r['name']}" for r in rows], fontsize=9)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("how many times as long as tenfold (median); the bar ends at the fastest of them")
        figure.legend(loc="outside lower center", ncols=len(others), fontsize=9.5, handletextpad=0.2)
        figure.suptitle(f"tenfold = 1: {_where(results)}", x=0.01, ha="left", fontweight="bold")


def _curves(curves: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    words = {
        "batch": "images",
        "image": "pixels along a side",
        "channels": "channels in and out",
        "threads": "threads",
    }
    with _figure((10.4, 8.0), path) as figure:
        figure.get_layout_engine().set(h_pad=0.12, w_pad=0.1)
        grid = figure.subplots(2, 2).flat
        for axes, (name, curve) in zip(grid, curves.items()):
            if len(curve["points"]) < 2:  # one thread
                axes.set_axis_off()
                continue
            points = curve["points"]
            values = [p["value"] for p in points]
            roof = [
                1e-9 * p["flops"] / max(p["flops"] / p["peak"], p["bytes"] / p["bandwidth"]) for p in points
            ]
            direct, auto = ([1e-9 * p["flops"] / p[a]["median"] for p in points] for a in ("direct", "auto"))
            axes.set_title(f"More {words[name]}" if name != "image" else "Larger images", fontsize=11.5)
            axes.plot(values, roof, color=_INK, linewidth=1.3)
            axes.plot(values, direct, color=_TRAIN, marker="o", markersize=4.5, linewidth=1.8, zorder=3)
            axes.plot(values, auto, color=_VALIDATION, marker="o", markersize=3.2, linewidth=1.5, zorder=4)
            axes.set_xscale("log", base=2)
            axes.set_ylim(0, 1.08 * max(*roof, *direct, *auto))
            low, high = min(values), max(values)
            ticks = [2**i for i in range(11) if low <= 2**i <= high]
            axes.set_xticks(ticks, [str(v) for v in ticks])
            axes.set_xlim(low / 1.3, high * 1.3)
            axes.minorticks_off()
            axes.set_xlabel(f"{words[name]} ({curve['what']})")
            axes.set_ylabel("GFLOP/s by the definition")
            axes.grid()
            share = max(d / r for d, r in zip(direct, roof))
            gain = max(a / d for d, a in zip(direct, auto))
            text = f"direct: up to {100 * share:.0f} % of the roofline"
            text += f"\nauto: up to {gain:.1f} times as fast" if gain > 1.2 else ""
            axes.text(
                0.97, 0.05, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=9, zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.9, "pad": 3},
            )  # fmt: skip
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=_TRAIN, marker="o", markersize=4.5, label="3 x 3 convolution, direct"),
            Line2D([], [], color=_VALIDATION, marker="o", markersize=3.2, label="the same, auto"),
            Line2D([], [], color=_INK, label="roofline: most for direct"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10)
        figure.suptitle(f"Speed against work: {_where(results)}", x=0.01, ha="left", fontweight="bold")
