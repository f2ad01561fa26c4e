"""Matrix products against OpenBLAS (NumPy) and MKL (PyTorch), single precision, every combination of transposes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from libraries import library
from measure import Call, Work

from tenfold import _core

SQUARES = (32, 64, 128, 256, 512, 1024, 2048)
SKINNY = (
    (6, 784, 25), (16, 100, 150), (64, 120, 400), (64, 10, 84), (256, 3136, 576), (64, 3025, 363),
)  # fmt: skip
COMBINATIONS = ((False, False), (False, True), (True, False), (True, True))


def works(quick: bool) -> Iterator[Work]:
    shapes = [(n, n, n) for n in (SQUARES[:-1:2] if quick else SQUARES)]
    for m, n, k in (*shapes, *(SKINNY[:4] if quick else SKINNY)):
        for ta, tb in COMBINATIONS[:1] if quick else COMBINATIONS:
            rng = np.random.default_rng(0)
            a = rng.normal(size=(k, m) if ta else (m, k)).astype(np.float32)
            b = rng.normal(size=(n, k) if tb else (k, n)).astype(np.float32)
            x, y = a.T if ta else a, b.T if tb else b
            out = [np.empty((m, n), np.float32) for _ in range(3)]
            contestants: dict[str, Call] = {
                "tenfold": lambda a=a, b=b, c=out[0], t=(ta, tb): _core.gemm(a, b, c, *t),
                "OpenBLAS": lambda x=x, y=y, c=out[1]: np.matmul(x, y, out=c),
            }
            torch: Any = library("torch")
            if torch:
                p, q, c = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(out[2])
                p, q = p.T if ta else p, q.T if tb else q
                contestants["MKL"] = lambda p=p, q=q, c=c, f=torch.matmul: f(p, q, out=c)
            contestants["tenfold"]()
            np.testing.assert_allclose(out[0], x @ y, rtol=1e-3, atol=1e-3 * k**0.5)
            form = f"{'T' if ta else 'N'}{'T' if tb else 'N'}"
            yield Work(
                "sgemm", f"{m} x {n} x {k} {form}", contestants, 2.0 * m * n * k, facts={"shape": [m, n, k]}
            )
