"""``python bench/peers [WHAT …]``: the same work in tenfold and in other libraries, with ratios.

WHAT is any of step, mlp, inference, gemm, layers, elementwise, resnet, memory, scaling; all of them unless told.
Whatever of PyTorch, JAX, ONNX Runtime (with the onnx package) is installed takes part: ``pip install torch jax onnx
onnxruntime``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

WHAT = ("step", "mlp", "inference", "gemm", "layers", "elementwise", "resnet", "memory", "scaling")
# They force a kernel upon OpenBLAS that may not be the best of this processor.
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# PyTorch's allocator at its best: large buffers are kept instead of being mapped anew at every call.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python bench/peers", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(WHAT))
    parser.add_argument("--seconds", type=float, help="per row; default: 5, and 1 with --quick")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, nargs="+", help="of steps and inference")
    parser.add_argument(
        "--shapes", nargs="+", help="files of bench/shapes for layers and scaling; all of them unless told"
    )
    parser.add_argument("--names", default="", metavar="REGEX", help="of the layers")
    parser.add_argument("--without", nargs="+", default=[], metavar="MODULE", help="leave libraries out")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="processor time: for --threads 1 on a machine that others use too",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rows, no torch.compile")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    options = parser.parse_args()
    options.what = options.what or list(WHAT)
    if "scaling" in options.what and (options.threads < 2 or options.cpu_time):
        if len(options.what) < len(WHAT):
            parser.error("scaling needs --threads of at least 2 and wall time")
        options.what.remove("scaling")
    for what in options.what:
        if what not in WHAT:
            parser.error(f"WHAT must be any of {', '.join(WHAT)}; received {what!r}")
    options.seconds = options.seconds or (1.0 if options.quick else 5.0)
    return options


def prepare(threads: int) -> None:
    """Start again with an environment that suits everybody; libraries read it when they are loaded."""
    wanted = {
        **ALLOCATOR,
        **{f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS", "TENFOLD")},
    }
    if any(name in os.environ for name in FORCED) or any(os.environ.get(k) != v for k, v in wanted.items()):
        environment = {k: v for k, v in os.environ.items() if k not in FORCED}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**environment, **wanted})
    # JAX takes as many threads as there are processors.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def works(what: str, options: argparse.Namespace) -> Iterator[Any]:
    quick = options.quick
    if what in ("step", "mlp", "resnet"):
        import training

        batches = options.batch or ([16, 64, 256, 1024] if what == "step" and not quick else [64])
        yield from training.works({"step": "lenet"}.get(what, what), batches, quick)
    elif what == "inference":
        import inference

        yield from inference.works(options.batch or [1, 256], options.threads, quick)
    elif what == "gemm":
        import gemm

        yield from gemm.works(quick)
    elif what == "layers":
        import layers

        yield from layers.works(options.shapes or (["lenet"] if quick else None), options.names)
    elif what == "elementwise":
        import elementwise

        yield from elementwise.works(quick)
    elif what == "scaling":
        import scaling

        yield from scaling.works(options.threads, options.shapes, options.batch, quick)


def main() -> None:
    options = arguments()
    prepare(options.threads)

    import memory
    from libraries import left_out, set_threads, versions
    from measure import fastest, geometric_mean, line, take_turns

    import tenfold
    from tenfold import _core

    left_out.update(options.without)
    set_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    results: list[dict[str, Any]] = []

    def keep(row: dict[str, Any], what: str) -> None:
        """Write everything so far, so that a run that is cut short leaves what it measured."""
        results.append({**row, "what": what})
        if options.json:
            facts = {
                "clock": "processor time" if options.cpu_time else "wall time",
                "cpu": _core.cpu_name(), "isa": _core.isa(), "threads": options.threads,
                "tenfold": tenfold.__version__, "libraries": versions(),
            }  # fmt: skip
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump({"facts": facts, "results": results}, file, indent=1)

    print(
        f"tenfold {tenfold.__version__} ({_core.isa()}), {_core.cpu_name()}, {options.threads} threads; medians, and "
        "how many times as long the others take by median (by best)",
        flush=True,
    )
    for what in options.what:
        if what == "memory":
            for row in memory.rows(options.threads, options.quick):
                keep(row, what)
            continue
        slow = what in ("step", "mlp", "resnet")
        rows = []
        for work in works(what, options):
            result = take_turns(work, options.seconds * (2 if slow else 1), clock)
            rows.append(result)
            keep(result.as_dict(), what)
            print(line(result), flush=True)
        if what != "scaling" and sum(len(r.times) > 1 for r in rows) > 1:
            by_median, by_best = (
                geometric_mean(fastest(r, by) for r in rows if len(r.times) > 1) for by in ("median", "best")
            )
            print(
                f"{what:12s} geometric mean against the fastest of the others: {by_median:.2f} by median, "
                f"{by_best:.2f} by best"
            )


if __name__ == "__main__":
    main()
