"""Run every benchmark and write bench/results/DATE-CPU.json, .md and pictures: ``python bench/run.py [--quick]``.

``--table FILE`` writes the README's table from a results file, ``--draw FILE`` draws its pictures again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
BEGIN, END = "<!-- results: python bench/run.py --table FILE -->", "<!-- end of results -->"


def run_json(command: list[str]) -> Any:
    """Run a command that writes JSON to the file behind its last argument; return what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        separate = not command[-1].endswith("=")
        arguments = [*command, str(file)] if separate else [*command[:-1], command[-1] + str(file)]
        subprocess.run(arguments, check=True)
        return json.loads(file.read_text(encoding="utf-8"))


def cpp(build: Path, threads: int, quick: bool) -> list[dict[str, Any]]:
    """Return name, seconds, GFLOP/s and share of the peak of every C++ benchmark."""
    os.environ["TENFOLD_NUM_THREADS"] = str(threads)
    found = []
    for program in sorted(p for p in build.glob("bench_*") if os.access(p, os.X_OK) and p.is_file()):
        least = "0.01" if quick else "0.2"
        report = run_json(
            [str(program), f"--benchmark_min_time={least}", "--benchmark_out_format=json", "--benchmark_out="]
        )
        for b in report["benchmarks"]:
            unit = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}[b["time_unit"]]
            row = {"program": program.name, "name": b["name"], "seconds": b["real_time"] * unit}
            row.update({k: b[k] for k in ("GFLOP/s", "GB/s", "peak_share", "error_message") if k in b})
            found.append(row)
    return found


def duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def title(results: dict[str, Any]) -> str:
    facts = results["peers"]["facts"]
    libraries = ", ".join(f"{n} {v}" for n, v in facts["libraries"].items() if not n.startswith("torch._"))
    return (
        f"{facts['cpu']} ({facts['isa']}), {facts['threads']} thread{'s' if facts['threads'] > 1 else ''}, "
        f"{facts['clock']}, {results['date']}, commit {results['commit']}; {libraries}"
    )


def peers_table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| work | tenfold | GFLOP/s | of peak | times as long: median (best) | windows dropped |"]
    lines.append("|---|---|---|---|---|---|")
    for r in rows:
        ours = r["times"]["tenfold"]
        rate = r["flops"] / ours["median"]
        others = ", ".join(
            f"{n} {t['median'] / ours['median']:.2f} ({t['best'] / ours['best']:.2f})"
            for n, t in r["times"].items() if n != "tenfold"
        )  # fmt: skip
        speed = f"{rate / 1e9:.1f} | {100 * rate / r['peak']:.0f} %" if r["flops"] else "| "
        lines.append(
            f"| {r['name']} | {duration(ours['median'])} | {speed} | {others} | {r['dropped']} of {r['windows']} |"
        )
    return lines


def report(results: dict[str, Any], pictures: list[Path]) -> str:
    """Return everything as a page."""
    lines = ["# Results", "", title(results), ""]
    lines += [f"![{p.stem}]({p.name})\n" for p in pictures]
    rows = results["peers"]["results"]
    for group in dict.fromkeys(r["group"] for r in rows):
        lines += [f"## {group}", ""]
        own = [r for r in rows if r["group"] == group]
        if group == "memory":
            lines += ["| work | MB added |", "|---|---|"]
            lines += [
                f"| {r['name']} | {', '.join(f'{n} {m:.1f}' for n, m in r['megabytes'].items())} |"
                for r in own
            ]
        else:
            lines += peers_table(own)
        lines.append("")
    if results["cpp"]:
        lines += ["## C++ benchmarks", "", "| benchmark | time | GFLOP/s | of peak |", "|---|---|---|---|"]
        for b in results["cpp"]:
            rate = f"{b['GFLOP/s']:.1f}" if "GFLOP/s" in b else f"{b['GB/s']:.1f} GB/s" if "GB/s" in b else ""
            share = f"{100 * b['peak_share']:.0f} %" if "peak_share" in b else ""
            what = b.get("error_message") or duration(b["seconds"])
            lines.append(f"| {b['name']} | {what} | {rate} | {share} |")
        lines.append("")
    return "\n".join(lines)


def write_table(file: Path, readme: Path) -> None:
    """Replace what stands between the markers of the README by a table of the results."""
    results = json.loads(file.read_text(encoding="utf-8"))
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{readme} must have the lines '{BEGIN}' and '{END}' once")
    rows = [r for r in results["peers"]["results"] if r["group"] in ("step", "inference")]
    table = "\n".join([*peers_table(rows), "", f"Measured on {title(results)}."])
    pattern = re.escape(BEGIN) + ".*" + re.escape(END)
    readme.write_text(
        re.sub(pattern, lambda _: f"{BEGIN}\n{table}\n{END}", text, flags=re.DOTALL), encoding="utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python bench/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rows, no torch.compile")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cpu-time", action="store_true", help="processor time: with --threads 1")
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build/dev/bench/cpp", help="of the C++ benchmarks"
    )
    parser.add_argument("--what", nargs="+", default=[], help="of bench/peers; all of it unless told")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only write the README's table")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="only draw the pictures")
    options = parser.parse_args()
    if options.table:
        return write_table(options.table, ROOT / "README.md")

    import pictures

    if options.draw:
        results = json.loads(options.draw.read_text(encoding="utf-8"))
        print(*pictures.draw(results, options.draw.with_suffix("")), sep="\n")
        return None
    settings = [f"--threads={options.threads}"]
    settings += ["--quick"] * options.quick + ["--cpu-time"] * options.cpu_time
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=False).stdout.strip()
    python = sys.executable
    seconds = ["--seconds=0.1"] if options.quick else []
    results = {
        "date": datetime.date.today().isoformat(),
        "commit": commit or "unknown",
        "peers": run_json([python, str(HERE / "peers"), *options.what, *settings, "--json"]),
        "curves": run_json([python, str(HERE / "curves.py"), *settings, *seconds, "--json"]),
        "cpp": cpp(options.build, options.threads, options.quick),
    }
    if not results["cpp"]:
        print(f"no C++ benchmarks in {options.build}: cmake --preset dev && cmake --build --preset dev")
    cpu = re.sub(r"[^a-z0-9]+", "-", results["peers"]["facts"]["cpu"].lower()).strip("-")
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / f"{results['date']}-{cpu}"
    stem.with_name(stem.name + ".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    drawn = pictures.draw(results, stem)
    stem.with_name(stem.name + ".md").write_text(report(results, drawn), encoding="utf-8")
    print(*drawn, stem.with_name(stem.name + ".md"), sep="\n")
    return None


if __name__ == "__main__":
    main()
