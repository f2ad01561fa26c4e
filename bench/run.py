"""Run the benchmarks and write bench/results/DATE-CPU.json, .md and pictures: ``python bench/run.py [--quick]``.

A part at a time adds to the same file: ``--what layers --shapes vgg16``, then ``--what curves``, and so on; what is
measured again replaces what was there. ``--table FILE`` writes the README's table from a results file, ``--draw FILE``
its page and pictures again.
"""

from __future__ import annotations

import argparse
import contextlib
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

PEERS = ("step", "mlp", "inference", "gemm", "layers", "elementwise", "resnet", "memory", "scaling")
PARTS = (*PEERS, "curves", "cpp")


def run_json(command: list[str]) -> tuple[Any, bool]:
    """Run a command that writes JSON to the file behind its last argument; return that, and whether all went well.

    What a command wrote before it failed or was stopped counts.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        last = [command[-1] + str(file)] if command[-1].endswith("=") else [command[-1], str(file)]
        try:
            good = subprocess.run([*command[:-1], *last], check=False).returncode == 0
        except KeyboardInterrupt:
            good = False
        with contextlib.suppress(OSError, ValueError):
            return json.loads(file.read_text(encoding="utf-8")), good
        return None, False


def cpp(build: Path, threads: int, quick: bool, names: str) -> tuple[list[dict[str, Any]], bool]:
    """Return name, seconds, GFLOP/s and share of the peak of every C++ benchmark."""
    os.environ["TENFOLD_NUM_THREADS"] = str(threads)
    found = []
    programs = sorted(p for p in build.glob("bench_*") if os.access(p, os.X_OK) and p.is_file())
    if not programs:
        print(f"no C++ benchmarks in {build}: cmake --preset dev && cmake --build --preset dev")
    good = bool(programs)
    for program in programs:
        least = "0.01" if quick else "0.2"
        settings = [f"--benchmark_min_time={least}", "--benchmark_out_format=json"]
        settings += [f"--benchmark_filter={names}"] if names else []
        report, well = run_json([str(program), *settings, "--benchmark_out="])
        good &= well or bool(names)  # a filter that matches nothing of one program is no failure
        for b in report["benchmarks"] if report else []:
            unit = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}[b["time_unit"]]
            row = {"program": program.name, "name": b["name"], "seconds": b["real_time"] * unit}
            row.update(
                {k: b[k] for k in ("GFLOP/s", "GB/s", "peak_share", "triad_share", "error_message") if k in b}
            )
            found.append(row)
    return found, good


def merge(
    old: list[dict[str, Any]], new: list[dict[str, Any]], keys: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return the old rows with those of the same keys replaced, and the others behind."""
    fresh = {tuple(r[k] for k in keys): r for r in new}
    kept = [fresh.pop(tuple(r[k] for k in keys), r) for r in old]
    return kept + list(fresh.values())


def git(*arguments: str) -> str:
    """Return what git prints, or nothing where this is no checkout."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def measure(options: argparse.Namespace, results: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Run the wanted parts and return the results with them, and whether all went well."""
    python = sys.executable
    settings = [f"--threads={options.threads}"]
    settings += ["--quick"] * options.quick + ["--cpu-time"] * options.cpu_time
    settings += [f"--seconds={options.seconds}"] if options.seconds else []
    commit = git("describe", "--always") or "unknown"
    if git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results"):
        commit += "-dirty"
    well = True

    def done(part: str, facts: dict[str, Any]) -> None:
        for key in ("cpu", "isa", "threads", "clock"):
            if results["facts"].setdefault(key, facts[key]) != facts[key]:
                raise SystemExit(
                    f"{part}: {key} must be {results['facts'][key]!r} as in the results so far; "
                    f"received {facts[key]!r}: choose another folder with --out"
                )
        results["facts"].setdefault("libraries", {}).update(facts["libraries"])
        results["parts"][part] = {"commit": commit, "date": datetime.date.today().isoformat()}

    for part in options.what:
        command = [python, str(HERE / ("curves.py" if part == "curves" else "peers"))]
        if part in PEERS:
            command.append(part)
            for name in ("shapes", "batch", "without"):
                if values := getattr(options, name):
                    command += [f"--{name}", *map(str, values)]
            command += [f"--names={options.names}"] * bool(options.names)
        if part == "scaling" and (options.threads < 2 or options.cpu_time):
            print("scaling is left out: it needs two threads and wall time")
            continue
        if part == "cpp":
            rows, good = cpp(options.build, options.threads, options.quick, options.names)
            if rows:
                results["cpp"] = merge(results["cpp"], rows, ("program", "name"))
                results["parts"][part] = {"commit": commit, "date": datetime.date.today().isoformat()}
        else:
            found, good = run_json([*command, *settings, "--json"])
            if found:
                done(part, found["facts"])
                if part == "curves":
                    results["curves"] = found
                else:
                    rows = merge(results["rows"], found["results"], ("what", "name"))
                    results["rows"] = sorted(rows, key=lambda r: PEERS.index(r["what"]))
        well &= good
        if results["facts"]:
            write(results, options.file or path_of(results, options.out), draw=False)
    return results, well


def path_of(results: dict[str, Any], folder: Path) -> Path:
    cpu = re.sub(r"[^a-z0-9]+", "-", results["facts"]["cpu"].lower()).strip("-")
    return folder / f"{results['date']}-{cpu}.json"


def write(results: dict[str, Any], path: Path, draw: bool = True) -> list[Path]:
    """Write the results, and their page and pictures; return the files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)
    if not draw:
        return [path]
    import pictures
    import report

    drawn = pictures.draw(results, path.with_suffix(""))
    page = report.page(results, {what: file.name for what, file in drawn.items()})
    path.with_suffix(".md").write_text(page, encoding="utf-8")
    return [path, *drawn.values(), path.with_suffix(".md")]


def write_table(file: Path, readme: Path) -> None:
    """Replace what stands between the markers of the README by a table of the results."""
    import report

    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{readme} must have the lines '{BEGIN}' and '{END}' once")
    table = report.readme_table(json.loads(file.read_text(encoding="utf-8")))
    pattern = re.escape(BEGIN) + ".*" + re.escape(END)
    readme.write_text(
        re.sub(pattern, lambda _: f"{BEGIN}\n{table}\n{END}", text, flags=re.DOTALL), encoding="utf-8"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python bench/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rows, no torch.compile")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cpu-time", action="store_true", help="processor time: with --threads 1")
    parser.add_argument("--seconds", type=float, help="per row or point")
    parser.add_argument(
        "--what", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument("--shapes", nargs="+", help="of layers and scaling: files of bench/shapes")
    parser.add_argument("--names", default="", metavar="REGEX", help="of layers and C++ benchmarks")
    parser.add_argument("--batch", nargs="+", help="of steps and inference")
    parser.add_argument("--without", nargs="+", metavar="MODULE", help="leave libraries out")
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build/dev/bench/cpp", help="of the C++ benchmarks"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--into", dest="file", type=Path, metavar="FILE", help="add to this results file")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only write the README's table")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="only write page and pictures")
    options = parser.parse_args()
    if options.table:
        write_table(options.table, ROOT / "README.md")
        return 0
    if options.draw:
        print(*write(json.loads(options.draw.read_text(encoding="utf-8")), options.draw), sep="\n")
        return 0
    today = datetime.date.today().isoformat()
    results: dict[str, Any] = {"date": today, "facts": {}, "parts": {}, "rows": [], "curves": None, "cpp": []}
    before = options.file or next(iter(sorted(options.out.glob(f"{today}-*.json"))), None)
    if before and before.exists():
        results = json.loads(before.read_text(encoding="utf-8"))
        options.file = before
    results, well = measure(options, results)
    if not results["facts"]:
        print(
            "nothing was measured that says on which processor: take a part of bench/peers along",
            file=sys.stderr,
        )
        return 1
    print(*write(results, options.file or path_of(results, options.out)), sep="\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
