"""How long ``import tenfold`` takes beyond ``import numpy``: best and median of fresh interpreters, in turns."""

import statistics
import subprocess
import sys

CODE = "import time, numpy; t = time.perf_counter(); import {0}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    """Return the seconds that importing a module takes in a fresh interpreter that has numpy."""
    return float(
        subprocess.run([sys.executable, "-c", CODE.format(module)], capture_output=True, check=True).stdout
    )


def main() -> None:
    modules = ["tenfold", "tenfold.functional", "tenfold.nn", "tenfold.train"]
    times: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(15):
        for module in modules:
            times[module].append(seconds(module))
    print("milliseconds beyond numpy         best  median")
    for module, values in times.items():
        print(f"import {module:24s} {min(values) * 1e3:6.1f}  {statistics.median(values) * 1e3:6.1f}")


if __name__ == "__main__":
    main()
