"""Check the objects of the per-ISA kernels; run by ctest. Exit status 77 means that it could not be checked.

``check_kernels.py symbols ISA OBJECT...``: an object may export its tables and nothing else. A weak symbol (an inline
function or a template of a standard header) could be the copy that the linker keeps for the whole program, and stop
an older processor with an illegal instruction.

``check_kernels.py spills ISA OBJECT...``: no register tile may keep a vector on the stack in its inner loop, or call
something in the loop around it, where its sums would be saved. A register tile is any innermost loop of multiply-adds.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

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


def functions(path: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Yield name and instructions (address, text) of every function of an object; a call tells what it calls."""
    for function in run("objdump", "-dr", "--demangle", "--no-show-raw-insn", path).split("\n\n"):
        title = re.search(r"<(.*)>:", function)
        if title:
            named = re.sub(r"\t((?:call|bl)\s).*\n\s+\w+: R_\w+\s+([\w.]+).*", r"\t\1\2", function)
            found = re.findall(r"^\s+([0-9a-f]+):\t(.*)$", named, flags=re.MULTILINE)
            name = re.sub(r"tenfold::(\w+::)?|\(anonymous namespace\)::", "", title[1])
            yield name, [(int(address, 16), text.strip()) for address, text in found]


class Flow:
    """The blocks of a function's instructions, where each goes on, and the loops that they form.

    A jump back alone does not tell a loop: compilers put the rare end of a row behind the function and return
    from there.
    """

    PADDING = re.compile(r"(data16\s|cs\s)*(nop\w?\b|xchg\s+%ax,%ax$)")
    JUMP = re.compile(r"(j\w+|b(?:\.\w+)?|cbn?z\s+\w+,|tbn?z\s+\w+,\s*#\w+,)\s+([0-9a-f]+)\b")

    def __init__(self, instructions: list[tuple[int, str]]) -> None:
        jumps = {address: self.JUMP.match(text) for address, text in instructions}
        targets = {int(jump[2], 16) for jump in jumps.values() if jump}
        self.blocks: list[list[str]] = []
        at = {}  # address: block that begins there
        ended = True
        for address, text in instructions:
            if ended or address in targets:
                at[address] = len(self.blocks)
                self.blocks.append([])
            self.blocks[-1].append(text)
            ended = bool(jumps[address]) or text.startswith("ret")
        jumped_to = {at[address] for address in targets if address in at}
        self.after: list[list[int]] = []
        falls = True  # from one block into the next
        for i, block in enumerate(self.blocks):
            jump = self.JUMP.match(block[-1])
            follow = [at[int(jump[2], 16)]] if jump and int(jump[2], 16) in at else []
            # Between a jump and a loop there may be padding, which nothing reaches: it is no way into the loop.
            padding = not falls and i not in jumped_to and all(map(self.PADDING.match, block))
            falls = not padding and not block[-1].startswith("ret") and not (jump and jump[1] in ("jmp", "b"))
            self.after.append(follow + [i + 1] * (falls and i + 1 < len(self.blocks)))

    def text(self, blocks: set[int]) -> list[str]:
        return [line for i in sorted(blocks) for line in self.blocks[i]]

    def cycles(self, nodes: set[int]) -> list[set[int]]:
        """Return the strongly connected components of some blocks (Tarjan's algorithm) that have a cycle."""
        number: dict[int, int] = {}
        low: dict[int, int] = {}
        open_: list[int] = []
        found = []
        for root in sorted(nodes):
            work = [] if root in number else [(root, iter(self.after[root]))]
            while work:
                v, follow = work[-1]
                if v not in number:
                    number[v] = low[v] = len(number)
                    open_.append(v)
                for w in follow:
                    if w in nodes and w not in number:
                        work.append((w, iter(self.after[w])))
                        break
                    if w in open_:
                        low[v] = min(low[v], number[w])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[v])
                    if low[v] == number[v]:
                        first = open_.index(v)
                        component = set(open_[first:])
                        del open_[first:]
                        if len(component) > 1 or v in self.after[v]:
                            found.append(component)
        return found

    def tiles(self, nodes: set[int] | None = None) -> Iterator[tuple[set[int], set[int]]]:
        """Yield every loop with multiply-adds that has no such loop inside, and the loop around it."""
        every = range(len(self.blocks))
        for loop in self.cycles(set(every) if nodes is None else nodes):
            if multiply_adds(self.text(loop)):
                entries = {w for v in every if v not in loop for w in self.after[v] if w in loop}
                inside = list(self.tiles(loop - (entries or {min(loop)})))
                yield from ((tile, around or loop) for tile, around in inside) if inside else [(loop, set())]


def multiply_adds(lines: list[str]) -> int:
    return sum(bool(re.match(r"vfn?m(add|sub)\w*p[sd]|v?mulp[sd]|fml[as]\s", line)) for line in lines)


def stack_traffic(lines: list[str]) -> list[str]:
    """Return the instructions that read or write a whole vector on the stack.

    That is through %rsp, or below a frame pointer (%rbp is often an ordinary register). A scalar that is broadcast
    from there is none, nor a pointer that waits there for its turn.
    """
    stack = re.compile(r"\(%rsp[^)]*\)|-0x[0-9a-f]+\(%rbp\)|\[sp")
    scalar = re.compile(r"v?mov[dq]\s|v?\w+s[sd]\s|v?broadcast|v?\w*pinsr|vpbroadcast")
    return [
        line for line in lines
        if stack.search(line) and not scalar.match(line) and re.search(r"%[xyz]mm|\bq\d", line)
    ]  # fmt: skip


# A loop with fewer multiply-adds is no register tile.
LEAST_MULTIPLY_ADDS = 4
# Where register tiles are looked for.
TILED = (
    "gemm", "conv", "winograd", "lanes", "lanes_background", "lanes_nine_winograd", "lanes_row_winograd",
    "lanes_sparse", "lanes_winograd",
)  # fmt: skip
FILES = {"avx512": TILED, "avx2": TILED}


@dataclass(frozen=True)
class Known:
    """Tiles that are not clean: with at most so many vectors on the stack (GCC 12)."""

    isa: str
    file: str
    function: str
    reason: str
    vectors: int = 0
    instructions: int = 0  # of the loop, at least


_SQUARE = "a transform holds 6 x 6 vectors"  # forms 1 and 2 of kWinogradForms
_NINE = "a transform holds 8 x 9 vectors"  # form 3
_TURNED = "16 weights that are turned lie there"
KNOWN = (
    Known("avx512", "winograd", r"\binput<\w+, [12]>", _SQUARE, 30),
    Known("avx512", "winograd", r"\bweights<\w+, 2>", _SQUARE, 41),
    Known("avx512", "winograd", r"\boutput<\w+, [12]>", _SQUARE, 4),
    Known("avx512", "winograd", r"\blooks<\w+, 1>", _SQUARE, 28),
    Known("avx512", "winograd", r"\binput<\w+, 3>", _NINE, 110),
    Known("avx512", "winograd", r"\bweights<\w+, 3>", _NINE, 85),
    Known("avx512", "winograd", r"\boutput<\w+, 3>", _NINE, 26),
    Known("avx512", "winograd", r"\blooks<\w+, 3>", _NINE, 102),
    Known("avx512", "winograd", r"\bgradients<\w+, 3>", _NINE, 32),
    Known("avx512", "winograd", r"\btaps<\w+, 3>", _NINE, 48),
    Known("avx512", "lanes", r"\bconv_input<", "one vector of 33 waits on the stack", 2),
    Known("avx512", "lanes", r"\bconv_weight<double>", "one needless store", 1),
    Known("avx2", "winograd", r"\binput<\w+, [12]>", _SQUARE, 67),
    Known("avx2", "winograd", r"\bweights<\w+, 1>", _SQUARE, 24),
    Known("avx2", "winograd", r"\bweights<\w+, 2>", _SQUARE, 68),
    Known("avx2", "winograd", r"\boutput<\w+, 1>", _SQUARE, 30),
    Known("avx2", "winograd", r"\boutput<\w+, 2>", _SQUARE, 6),
    Known("avx2", "winograd", r"\blooks<\w+, 1>", _SQUARE, 60),
    Known("avx2", "winograd", r"\binput<\w+, 3>", _NINE, 191),
    Known("avx2", "winograd", r"\bweights<\w+, 3>", _NINE, 93),
    Known("avx2", "winograd", r"\boutput<\w+, 3>", _NINE, 52),
    Known("avx2", "winograd", r"\blooks<\w+, 3>", _NINE, 190),
    Known("avx2", "winograd", r"\bgradients<\w+, 3>", _NINE, 62),
    Known("avx2", "winograd", r"\btaps<\w+, 3>", _NINE, 76),
    Known("avx2", "winograd", r"\bgradients<\w+, 1>", _SQUARE, 30),
    Known("avx2", "winograd", r"\btaps<\w+, 1>", _SQUARE, 14),
    Known("avx2", "lanes", r"\bcross_entropy<", "coefficients of the exponential are read there", 10),
    Known("avx2", "lanes", r"\bconv<", "one vector of 17 waits on the stack", 2),
    Known("avx512", "lanes_row_winograd", r"\btransform<", _TURNED, 37),
    Known("avx2", "lanes_row_winograd", r"\btransform<", _TURNED, 72),
    Known("avx512", "lanes_winograd", r"\btransform(_back)?<", _SQUARE, 106),
    Known("avx512", "lanes_winograd", r"\bforward(_pooled)?<\w+, 3\b", _SQUARE, 33, instructions=150),
    Known("avx2", "lanes_winograd", r"\btransform(_back)?<", _SQUARE, 44),
    Known("avx2", "lanes_winograd", r"\bforward(_pooled)?<\w+, [35]\b", _SQUARE, 66, instructions=130),
)


def spills(isa: str, objects: list[str]) -> list[str]:
    failures, tiles = [], 0
    for path in objects:
        file = re.sub(r"\.cpp\b.*", "", path.replace("\\", "/").rsplit("/", 1)[-1])
        if file not in FILES.get(isa, ("gemm",)):
            continue
        for name, instructions in functions(path):
            flow = Flow(instructions)
            loops = [(flow.text(tile), flow.text(tile | around)) for tile, around in flow.tiles()]
            if not loops and file in ("gemm", "conv") and re.search(r"\btile<", name):
                failures.append(f"{file}: {name}: no inner loop found")
            for loop, around in loops:
                if multiply_adds(loop) < LEAST_MULTIPLY_ADDS:
                    continue
                known = [
                    k for k in KNOWN
                    if (k.isa, k.file) == (isa, file) and re.search(k.function, name) and len(loop) >= k.instructions
                ]  # fmt: skip
                tiles += 1
                bad = stack_traffic(loop)
                calls = [line for line in around if re.match(r"(call|bl)\s+mem", line)]
                what = (
                    f"{file}: {name}: {len(bad)} vectors on the stack among {len(loop)} instructions, "
                    f"{multiply_adds(loop)} of them multiply-adds, and {len(calls)} calls in the loop around"
                )
                if calls or len(bad) > max((k.vectors for k in known), default=0):
                    failures.append(f"{what}: {(bad or calls)[0]}")
                elif bad:
                    print(f"known: {what} ({known[0].reason})")
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
