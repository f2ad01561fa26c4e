"""``python bench/peers lenet|layers``: the same work in tenfold and in PyTorch, with ratios.

PyTorch is not installed with tenfold: ``pip install torch`` (a CPU build) first.
"""

from __future__ import annotations

import argparse
import platform

import torch

import tenfold


def main() -> None:
    parser = argparse.ArgumentParser(prog="python bench/peers", description=__doc__)
    parser.add_argument("what", choices=["lenet", "layers"])
    parser.add_argument("--seconds", type=float, default=20.0, help="per batch size or layer")
    parser.add_argument("--threads", type=int, default=tenfold.num_threads())
    parser.add_argument("--batch", type=int, nargs="+", default=[64])
    parser.add_argument("--shapes", nargs="+", help="files of bench/shapes; all of them unless told")
    args = parser.parse_args()

    print(
        f"tenfold {tenfold.__version__} ({tenfold._core.isa()}), torch {torch.__version__}, numpy on "
        f"{platform.machine()}, {tenfold._core.cpu_name()}, {args.threads} threads"
    )
    if args.what == "lenet":
        import lenet

        print(lenet.run(args.seconds, args.threads, args.batch))
    else:
        import layers

        print(layers.run(args.seconds, args.threads, args.shapes))


if __name__ == "__main__":
    main()
