"""The page of a results file: targets, means, layers, scaling, everything else; and the README's table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

ONE = ", 1 thread"  # of the contestants that bench/peers/scaling.py runs with one thread
# A row with fewer undisturbed turns than this (measure.py's GOOD_TURNS) has a mark; and one whose cores were so many
# times as far from each other (FARTHER) as in the row where they were nearest.
GOOD_TURNS = 9
FARTHER = 2.0
TRIAD = "triad"  # the contestant of measure.py that is no library


def libraries(row: Row) -> list[str]:
    """Return the other libraries that take part in a row."""
    return [n for n in row["times"] if n not in ("tenfold", TRIAD)]


def ratio(row: Row, names: Iterable[str] = ()) -> float | None:
    """Return how many times as long the fastest of the named contestants (of all libraries unless told) takes."""
    times = row["times"]
    others = [times[n]["median"] for n in (names or libraries(row)) if n in times]
    return min(others) / times["tenfold"]["median"] if others else None


def mean(values: Iterable[float | None]) -> float | None:
    """Return the geometric mean of what is there."""
    found = [math.log(v) for v in values if v]
    return math.exp(sum(found) / len(found)) if found else None


def share(row: Row) -> float | None:
    """Return the share of the multiply-add peak that a row reached, by the multiply-adds of the definition."""
    return row["flops"] / row["times"]["tenfold"]["median"] / row["peak"] if row.get("flops") else None


def of(rows: list[Row], what: str, **facts: Any) -> list[Row]:
    """Return the rows of a part of bench/peers with these facts, without those that have no other contestant."""
    return [r for r in rows if r["what"] == what and all(r.get(k) == v for k, v in facts.items())]


def weighty(rows: list[Row]) -> list[Row]:
    """Return the layers that multiply."""
    return [r for r in of(rows, "layers") if r["flops"]]


LAYOUTS = ("torch", "channels_last")


@dataclass(frozen=True)
class Target:
    """Something to reach: `found` takes all rows and returns the number, or None where it was not measured."""

    what: str
    least: float
    unit: str
    found: Callable[[list[Row]], float | None]


NCHW = ("torch",)


def kind(rows: list[Row], name: str) -> list[Row]:
    """Return the layers of a kind: "conv", "conv_transpose", "pool"."""
    return of(rows, "layers", kind=name)


def least(values: Iterable[float | None]) -> float | None:
    """Return the smallest of what is there."""
    return min((v for v in values if v), default=None)


def large(rows: list[Row]) -> list[Row]:
    """Return the square products from 256 on and the other large ones."""
    return [r for r in of(rows, "gemm") if min(r["shape"]) >= 64 and math.prod(r["shape"]) >= 256**3]


def pools(rows: list[Row], direction: str) -> list[Row]:
    return [r for r in kind(rows, "pool") if r["direction"] == direction]


def streams(rows: list[Row]) -> list[Row]:
    """Return what moves more memory than caches hold, without pools."""
    return [r for r in of(rows, "elementwise") if r["bytes"] >= 32e6 and not r["name"].startswith("max_pool")]


def memory(rows: list[Row]) -> float | None:
    """Return how many times the memory PyTorch's better layout adds in a step, in the worst case."""
    return least(
        min(m for n, m in r["megabytes"].items() if n != "tenfold") / r["megabytes"]["tenfold"]
        for r in of(rows, "memory")
    )


# What the project set out to reach, by median; "better layout": the faster of PyTorch's NCHW and channels_last.
TARGETS = [
    Target(
        "LeNet-5 step, batch 64, against the fastest of the others", 10, "×",
        lambda rows: mean(ratio(r) for r in of(rows, "step", batch=64)),
    ),
    Target(
        "LeNet-5 step, other batches, the worst", 6, "×",
        lambda rows: least(ratio(r) for r in of(rows, "step") if r["batch"] != 64),
    ),
    Target("MLP step, batch 64", 2, "×", lambda rows: mean(ratio(r) for r in of(rows, "mlp"))),
    Target("ResNet-18 for CIFAR step, batch 64", 1.3, "×", lambda rows: mean(ratio(r) for r in of(rows, "resnet"))),
    Target("LeNet-5 inference, the worst batch", 2, "×", lambda rows: least(ratio(r) for r in of(rows, "inference"))),
    Target(
        "convolutions against PyTorch in NCHW, geometric mean", 1.6, "×",
        lambda rows: mean(ratio(r, NCHW) for r in kind(rows, "conv")),
    ),
    Target(
        "convolutions against PyTorch in NCHW, the worst", 0.95, "×",
        lambda rows: least(ratio(r, NCHW) for r in kind(rows, "conv")),
    ),
    Target(
        "convolutions against the better layout, geometric mean", 1.4, "×",
        lambda rows: mean(ratio(r, LAYOUTS) for r in kind(rows, "conv")),
    ),
    Target(
        "convolutions against the better layout, the worst", 0.85, "×",
        lambda rows: least(ratio(r, LAYOUTS) for r in kind(rows, "conv")),
    ),
    Target(
        "transposed convolutions against the better layout, geometric mean", 1.5, "×",
        lambda rows: mean(ratio(r, LAYOUTS) for r in kind(rows, "conv_transpose")),
    ),
    Target(
        "max-pool forward against PyTorch in NCHW, the worst", 8, "×",
        lambda rows: least(ratio(r, NCHW) for r in pools(rows, "forward")),
    ),
    Target(
        "max-pool forward against channels_last, the worst", 2, "×",
        lambda rows: least(ratio(r, ["channels_last"]) for r in pools(rows, "forward")),
    ),
    Target(
        "max-pool backward against the better layout, the worst", 2, "×",
        lambda rows: least(ratio(r, LAYOUTS) for r in pools(rows, "backward")),
    ),
    Target(
        "matrix products against the faster of OpenBLAS and MKL, the worst", 1, "×",
        lambda rows: least(ratio(r) for r in of(rows, "gemm")),
    ),
    Target(
        "large matrix products, the least share of the peak", 0.85, "",
        lambda rows: least(share(r) for r in large(rows)),
    ),
    Target(
        "element by element and softmax, beyond the caches: the least share of a triad's speed", 0.85, "",
        lambda rows: least(ratio(r, [TRIAD]) for r in streams(rows)),
    ),
    Target("memory of a training step, PyTorch's over ours, the worst", 1 / 0.7, "×", memory),
    Target(
        "all threads against one, LeNet-5's step and large layers, the worst", 1.85, "×",
        lambda rows: least(speedup(r, "tenfold") for r in of(rows, "scaling")),
    ),
]  # fmt: skip


def speedup(row: Row, name: str) -> float:
    return row["times"][name + ONE]["median"] / row["times"][name]["median"]


def duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def table(head: str, rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a Markdown table, or nothing without rows; `head` has its columns between bars."""
    body = ["| " + " | ".join(row) + " |" for row in rows]
    return [f"| {head} |", "|" + "---|" * (head.count("|") + 1), *body, ""] if body else []


def title(results: dict[str, Any]) -> str:
    """Return where and how the results were measured, in one line."""
    facts = results["facts"]
    libraries = ", ".join(f"{n} {v}" for n, v in facts["libraries"].items() if not n.startswith("torch._"))
    commits = list(dict.fromkeys(p["commit"] for p in results["parts"].values()))
    return (
        f"{facts['cpu']} ({facts['isa']}), {facts['threads']} thread{'s' if facts['threads'] > 1 else ''}, "
        f"{facts['clock']}, {results['date']}, commit {', '.join(commits)}; {libraries}"
    )


def targets(rows: list[Row]) -> list[str]:
    lines = []
    for t in TARGETS:
        value = t.found(rows)
        if value is not None:
            met = "yes" if value >= t.least else "**no**"
            lines.append((t.what, f"{t.least:.3g} {t.unit}".strip(), f"{value:.2f} {t.unit}".strip(), met))
    return table("target | at least | measured | met", lines)


def means(rows: list[Row]) -> list[str]:
    """Return geometric means by model and direction, with the worst layer of each."""
    lines = []
    kinds = [(m, d) for m in dict.fromkeys(r["model"] for r in rows) for d in ("forward", "backward")]
    for model, direction in [*kinds, ("all", "forward"), ("all", "backward"), ("all", "both")]:
        own = [r for r in rows if model in ("all", r["model"]) and direction in ("both", r["direction"])]
        judged = [(v, r) for r in own if (v := ratio(r, LAYOUTS))]
        if not judged:
            continue
        worst, row = min(judged, key=lambda pair: pair[0])
        where = f"{row['name'] if model == 'all' else row['layer']}: {worst:.2f}"
        lines.append(
            (model, direction, str(len(own)), times(mean(ratio(r, ["torch"]) for r in own)),
             times(mean(v for v, _ in judged)), percent(mean(share(r) for r in own)), where)
        )  # fmt: skip
    return table("model | direction | layers | NCHW | better layout | of peak | worst (better layout)", lines)


def near(rows: list[Row]) -> float:
    """Return up to which round trip of a cache line, in seconds, cores count as near each other."""
    return FARTHER * (least(r.get("round_trip") for r in rows) or math.inf)


def peers(rows: list[Row], nearby: float) -> list[str]:
    """Return a table of rows with the ratios of everybody who takes part in one of them, and marks explained."""
    few = [r["good"] < GOOD_TURNS for r in rows]
    far = [r.get("round_trip", 0) > nearby for r in rows]
    others = list(dict.fromkeys(n for r in rows for n in r["times"] if n != "tenfold"))
    lines = []
    for r, is_few, is_far in zip(rows, few, far):
        ours = r["times"]["tenfold"]
        if r.get("flops"):
            speed = f"{r['flops'] / ours['median'] / 1e9:.0f} GFLOP/s"
        else:
            speed = f"{r['bytes'] / ours['median'] / 1e9:.1f} GB/s" if r.get("bytes") else ""
        ratios = [
            times(r["times"][n]["median"] / ours["median"] if n in r["times"] else None) for n in others
        ]
        mark = " *" * is_few + " †" * is_far
        lines.append((r["name"] + mark, duration(ours["median"]), speed, percent(share(r)), *ratios))
    found = table(" | ".join(["work", "tenfold", "speed", "of peak", *others]), lines)
    if any(few):
        found += [f"\\* fewer than {GOOD_TURNS} undisturbed turns", ""]
    if any(far):
        trips = [1e9 * r["round_trip"] for r, is_far in zip(rows, far) if is_far]
        found += [f"† cores far from each other: a cache line took {max(trips):.0f} ns to and fro", ""]
    return found


def scaling(rows: list[Row]) -> list[str]:
    lines = []
    for r in rows:
        own = r["times"]
        theirs = times(speedup(r, "torch")) if "torch" in own and "torch" + ONE in own else ""
        lines.append(
            (r["name"], duration(own["tenfold" + ONE]["median"]), duration(own["tenfold"]["median"]),
             times(speedup(r, "tenfold")), theirs, times(r["peak_scaling"]))
        )  # fmt: skip
    return table("work | one thread | all threads | tenfold | torch | the peak", lines)


def curve(name: str, found: dict[str, Any]) -> list[str]:
    lines = []
    for p in found["points"]:
        direct, auto = p["direct"]["median"], p["auto"]["median"]
        least = max(p["flops"] / p["peak"], p["bytes"] / p["bandwidth"])
        lines.append((str(p["value"]), *map(duration, (auto, direct, least)), percent(least / direct)))
    return table(f"{name} ({found['what']}) | auto | direct | least | direct reaches", lines)


HEADINGS = {
    "step": "Training steps", "mlp": "Training steps: multi-layer perceptron", "resnet": "Training steps: ResNet-18",
    "inference": "Inference", "gemm": "Matrix products", "elementwise": "Operations that move memory",
    "layers": "Layers", "scaling": "All threads against one", "memory": "Memory",
}  # fmt: skip


def page(results: dict[str, Any], pictures: dict[str, str]) -> str:
    """Return everything as a page; `pictures` has the file names by what they show."""
    rows = results["rows"]
    nearby = near(rows)
    lines = ["# Results", "", title(results), ""]
    lines += [
        "Medians of undisturbed turns. The columns of the other libraries say how many times as long they take; "
        "a triad is a sum of two arrays that moves as many bytes.",
        "",
    ]
    if rows and (found := targets(rows)):
        lines += ["## Targets", "", *found]
    if found := means(weighty(rows)):
        lines += ["## Layers: geometric means against PyTorch", "", *found]
    for what, heading in HEADINGS.items():
        own = of(rows, what)
        if not own:
            continue
        lines += [f"## {heading}", ""]
        if what in pictures:
            lines += [f"![{heading}]({pictures[what]})", ""]
        if what == "memory":
            names = list(dict.fromkeys(n for r in own for n in r["megabytes"]))
            body = [
                (r["name"], *(f"{r['megabytes'][n]:.1f}" if n in r["megabytes"] else "" for n in names))
                for r in own
            ]
            lines += table(" | ".join(["MB added", *names]), body)
        elif what == "scaling":
            lines += scaling(own)
        elif what == "layers":
            for model in dict.fromkeys(r["model"] for r in own):
                lines += [f"### {model}", ""]
                if f"layers-{model}" in pictures:
                    lines += [f"![{model}]({pictures[f'layers-{model}']})", ""]
                lines += peers([r for r in own if r["model"] == model], nearby)
        else:
            lines += peers(own, nearby)
    if results.get("curves"):
        lines += ["## Cost against work", "", f"![Cost against work]({pictures['curves']})", ""]
        for name, found in results["curves"]["curves"].items():
            lines += curve(name, found)
    if results.get("cpp"):
        lines += ["## C++ benchmarks", ""]
        body = []
        for b in results["cpp"]:
            rate = f"{b['GFLOP/s']:.1f}" if "GFLOP/s" in b else f"{b['GB/s']:.1f} GB/s" if "GB/s" in b else ""
            body.append(
                (
                    b["name"],
                    b.get("error_message") or duration(b["seconds"]),
                    rate,
                    percent(b.get("peak_share", b.get("triad_share"))),
                )
            )
        lines += table("benchmark | time | GFLOP/s | of peak, or of a triad", body)
    return "\n".join(lines)


def readme_table(results: dict[str, Any]) -> str:
    """Return the README's summary: steps, inference, and the means of layers and products."""
    rows = results["rows"]
    lines = peers([r for what in ("step", "mlp", "resnet", "inference") for r in of(rows, what)], near(rows))
    body = []
    for name, own, names in (
        ("convolutions, forward", [r for r in kind(rows, "conv") if r["direction"] == "forward"], LAYOUTS),
        ("convolutions, backward", [r for r in kind(rows, "conv") if r["direction"] == "backward"], LAYOUTS),
        ("transposed convolutions, both", kind(rows, "conv_transpose"), LAYOUTS),
        ("max-pools, both", kind(rows, "pool"), LAYOUTS),
        ("matrix products", of(rows, "gemm"), ()),
    ):
        value = mean(ratio(r, names) for r in own)
        if value is not None:
            against = "PyTorch's better layout" if names else "the faster of OpenBLAS and MKL"
            body.append((f"{len(own)} {name}", against, times(value)))
    lines += table("geometric mean of | against | times as long", body)
    return "\n".join([*lines, f"Measured on {title(results)}."])
