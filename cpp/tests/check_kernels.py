"""Check the objects of the per-ISA kernels; run by ctest. Exit status 77 means that it could not be checked.

``check_kernels.py symbols ISA OBJECT...``: an object may export its tables and nothing else. A weak symbol (an inline
function or a template of a standard header) could be the copy that the linker keeps for the whole program, and stop
an older processor with an illegal instruction.

``check_kernels.py spills ISA OBJECT...``: the inner loop of no register tile may keep a vector on the stack.
"""

import re
import shutil
import subprocess
import sys

SKIP = 77


def run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        print(f"skipped: no {command[0]} here")
        sys.exit(SKIP)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def symbols(isa: str, objects: list[str]) -> list[str]:
    allowed = re.compile(rf"tenfold::{isa}::table\(")
    failures = []
    for path in objects:
        for line in run("nm", "--demangle", "--defined-only", path).splitlines():
            match = re.match(r"[0-9a-fA-F]*\s+(\w)\s+(.*)", line)
            if not match:
                continue
            kind, name = match.groups()
            weak = kind in "WVvwu"
            if weak or (kind.isupper() and not allowed.match(name)):
                failures.append(f"{path}: {'weak' if weak else 'exported'} symbol {name}")
    return failures


def inner_loop(function: str) -> list[str]:
    """Return the instructions of the loop with the most floating-point arithmetic."""
    instructions = [
        (int(address, 16), text.strip())
        for address, text in re.findall(r"^\s+([0-9a-f]+):\t(.*)$", function, flags=re.MULTILINE)
    ]
    best: list[str] = []
    most = 0
    for end, text in instructions:
        jump = re.match(r"(?:j\w+|b\.\w+|cbn?z\s+\w+,)\s*([0-9a-f]+)", text)
        if jump and int(jump[1], 16) <= end:
            body = [line for address, line in instructions if int(jump[1], 16) <= address <= end]
            arithmetic = sum(bool(re.match(r"vfn?m(add|sub)|v?mulp|fmla", line)) for line in body)
            # The innermost loop: of two with the same arithmetic, the shorter.
            if arithmetic > most or (arithmetic == most and arithmetic and len(body) < len(best)):
                best, most = body, arithmetic
    return best


def spills(isa: str, objects: list[str]) -> list[str]:
    # The stack: through %rsp, or below a frame pointer (%rbp is often an ordinary register).
    stack = r"(?:\(%rsp[^)]*\)|-0x[0-9a-f]+\(%rbp\))"
    store = re.compile(rf"v?mov\w+\s+%[xyz]mm\d+,.*{stack}|st[rp]\s+q\d+.*\[sp")
    reload = re.compile(rf"{stack},.*%[xyz]mm|ld[rp]\s+q\d+.*\[sp")
    failures, tiles = [], 0
    for path in objects:
        if "gemm" not in path:
            continue
        for function in run("objdump", "-d", "--demangle", "--no-show-raw-insn", path).split("\n\n"):
            title = re.search(r"<(.*tile<.*)>:", function)
            if not title:
                continue
            loop = inner_loop(function)
            if not loop:
                failures.append(f"{title[1]}: no inner loop found")
                continue
            tiles += 1
            bad = [line for line in loop if store.search(line) or reload.search(line)]
            if bad:
                failures.append(f"{title[1]}: {len(bad)} vector(s) on the stack in the inner loop: {bad[0]}")
    print(f"{tiles} register tiles of {isa}")
    if tiles == 0 and not failures:
        failures.append("no register tile found")
    return failures


def main() -> int:
    check, isa, *objects = sys.argv[1:]
    failures = {"symbols": symbols, "spills": spills}[check](isa, objects)
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
