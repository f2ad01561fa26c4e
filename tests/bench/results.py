"""A small results file as bench/run.py writes them, with round numbers."""


def times(**medians):
    return {name.replace("_1", ", 1 thread"): {"median": median} for name, median in medians.items()}


def row(what, name, good=9, peak=100.0, **facts):
    own = facts.pop("times")
    return {"what": what, "name": name, "times": own, "good": good, "peak": peak, "flops": 0.0, **facts}


def layer(kind, direction, flops=50.0, model="net", layer="c1", **medians):
    facts = {
        "kind": kind,
        "direction": direction,
        "flops": flops,
        "model": model,
        "layer": layer,
        "bytes": 8e9,
    }
    return row("layers", f"{model} {layer} {direction}", times=times(**medians), **facts)


ROWS = [
    row("step", "LeNet-5 step, batch 64", batch=64, flops=50.0, times=times(tenfold=1.0, torch=12.0, jax=11.0)),
    row("step", "LeNet-5 step, batch 16", batch=16, good=3, times=times(tenfold=2.0, torch=10.0)),
    row("mlp", "MLP step", times=times(tenfold=1.0, torch=3.0)),
    row("resnet", "ResNet-18 step", times=times(tenfold=1.0, torch=1.2)),
    row("inference", "LeNet-5 inference, batch 1", times=times(tenfold=1.0, torch=9.0, onnxruntime=1.5)),
    row("gemm", "256 x 256 x 256 NN", shape=[256] * 3, flops=90.0, times=times(tenfold=1.0, OpenBLAS=1.1, MKL=1.2)),
    row("gemm", "32 x 32 x 32 NN", shape=[32] * 3, flops=30.0, times=times(tenfold=1.0, OpenBLAS=0.9, MKL=3.0)),
    layer("conv", "forward", tenfold=1.0, torch=4.0, channels_last=1.0),
    layer("conv", "backward", tenfold=1.0, torch=1.0, channels_last=2.0),
    layer("conv_transpose", "forward", tenfold=1.0, torch=3.0, channels_last=2.0),
    layer("pool", "forward", 0.0, tenfold=2.0, torch=20.0, channels_last=3.0),
    layer("pool", "backward", 0.0, tenfold=1.0, torch=3.0, channels_last=4.0),
    row("elementwise", "relu", bytes=8e9, times=times(tenfold=1.0, torch=2.0, triad=0.8)),
    row("elementwise", "cross_entropy", bytes=1e6, times=times(tenfold=1.0, torch=2.0, triad=0.1)),
    row("elementwise", "max_pool 2x2 s2", bytes=8e9, times=times(tenfold=1.0, torch=2.0, triad=0.5)),
    row("scaling", "VGG", peak_scaling=2.0, times=times(tenfold=1.0, tenfold_1=1.9, torch=2.0, torch_1=3.0)),
    {"what": "memory", "name": "step", "megabytes": {"tenfold": 10.0, "torch": 30.0, "channels_last": 20.0}},
]  # fmt: skip

POINT = {"flops": 50.0, "bytes": 10.0, "peak": 100.0, "bandwidth": 100.0}
CURVE = {
    "what": "images",
    "points": [{**POINT, "value": 8, "auto": {"median": 0.5}, "direct": {"median": 1.0}}],
}

RESULTS = {
    "date": "2026-01-01",
    "facts": {"cpu": "CPU", "isa": "avx2", "threads": 2, "clock": "wall time", "libraries": {"torch": "2"}},
    "parts": {
        "step": {"commit": "abc", "date": "2026-01-01"},
        "gemm": {"commit": "abc", "date": "2026-01-01"},
    },
    "rows": ROWS,
    "curves": {"curves": {"batch": CURVE}},
    "cpp": [
        {"program": "bench_gemm", "name": "square/64", "seconds": 2e-6, "GFLOP/s": 90.0, "peak_share": 0.9},
        {"program": "bench_elementwise", "name": "relu/64", "seconds": 2e-6, "GB/s": 9.0, "triad_share": 0.8},
        {"program": "bench_team", "name": "team", "seconds": 0.0, "error_message": "needs two threads"},
    ],
}
