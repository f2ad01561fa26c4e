"""``python bench/peers [WHAT …]``: the same work in tenfold and in other libraries, with ratios.

WHAT is any of step, mlp, inference, gemm, layers, elementwise, resnet, memory; all of them unless told. Whatever of
PyTorch, JAX, ONNX Runtime (with the onnx package) is installed takes part: ``pip install torch jax onnx onnxruntime``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

WHAT = ("step", "mlp", "inference", "gemm", "layers", "elementwise", "resnet", "memory")
# They force a kernel upon OpenBLAS that may not be the best of this processor.
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# PyTorch's allocator at its best: large buffers are kept instead of being mapped anew at every call.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python bench/peers", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(WHAT))
    parser.add_argument("--seconds", type=float, help="per row; default: 5, and 1 with --quick")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, nargs="+", help="of the LeNet-5 steps and inference")
    parser.add_argument(
        "--shapes", nargs="+", help="files of bench/shapes for layers; all of them unless told"
    )
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

        batches = {
            "step": options.batch or ([64] if quick else [16, 64, 256, 1024]),
            "mlp": [64],
            "resnet": [64],
        }
        yield from training.works({"step": "lenet"}.get(what, what), batches[what], quick)
    elif what == "inference":
        import inference

        yield from inference.works(options.batch or [1, 256], options.threads, quick)
    elif what == "gemm":
        import gemm

        yield from gemm.works(quick)
    elif what == "layers":
        import layers

        yield from layers.works(options.shapes or (["lenet"] if quick else None))
    elif what == "elementwise":
        import elementwise

        yield from elementwise.works(quick)


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
    rest = 0.05 if options.threads > 1 else 0.01
    clock = time.process_time if options.cpu_time else time.perf_counter
    results = []
    print(
        f"tenfold {tenfold.__version__} ({_core.isa()}), {_core.cpu_name()}, {options.threads} threads; medians, and "
        "how many times as long the others take by median (by best)",
        flush=True,
    )
    for what in options.what:
        if what == "memory":
            results += memory.run(options.threads, options.quick)
            continue
        slow = what in ("step", "mlp", "resnet")
        rows = []
        for work in works(what, options):
            result = take_turns(
                work, options.seconds * (2 if slow else 1), rest if slow else 0.01, clock=clock
            )
            rows.append(result)
            results.append(result.as_dict())
            print(line(result), flush=True)
        if len(rows) > 1:
            means = (
                f"{geometric_mean(fastest(r, by) for r in rows if len(r.times) > 1):.2f}"
                for by in ("median", "best")
            )
            print(
                "{:12s} geometric mean against the fastest of the others: {} by median, {} by best".format(
                    what, *means
                )
            )
    if options.json:
        facts = {
            "clock": "processor time" if options.cpu_time else "wall time",
            "cpu": _core.cpu_name(), "isa": _core.isa(), "threads": options.threads, "quick": options.quick,
            "tenfold": tenfold.__version__, "libraries": versions(),
        }  # fmt: skip
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"facts": facts, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
