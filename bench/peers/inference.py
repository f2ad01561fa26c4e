"""LeNet-5 on a batch of images: one call from Python, arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from libraries import library
from measure import Call, Work, left_out, says_when_slow
from training import torch_lenet5

from tenfold import models

MULTIPLY_ADDS = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 120 * 400 + 84 * 120 + 10 * 84  # per image


def onnx_call(state: dict[str, np.ndarray], x: np.ndarray, threads: int) -> Call | None:
    """Return a call of ONNX Runtime on the network with these parameters (the names of tenfold.models.lenet5)."""
    onnx: Any = library("onnx")
    runtime: Any = library("onnxruntime")
    if not onnx or not runtime:
        return None
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, value = [], "x"

    def add(kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"v{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    weights = sorted({name.rsplit(".", 1)[0] for name in state}, key=int)
    for layer in weights:
        operands = [value, f"{layer}.weight", f"{layer}.bias"]
        if state[f"{layer}.weight"].ndim == 4:
            pad = 2 if layer == weights[0] else 0
            value = add("Relu", [add("Conv", operands, kernel_shape=[5, 5], pads=[pad] * 4)])
            value = add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
            continue
        if state[f"{layer}.weight"].shape[1] == 400:
            operands[0] = add("Flatten", [value])
        value = add("Gemm", operands, transB=1)
        if layer != weights[-1]:
            value = add("Relu", [value])
    graph = helper.make_graph(
        nodes, "lenet5",
        [helper.make_tensor_value_info("x", 1, x.shape)],
        [helper.make_tensor_value_info(value, 1, [len(x), 10])],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in state.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def works(batches: list[int], threads: int, quick: bool) -> Iterator[Work]:
    """Yield a work per batch size; every contestant must first agree with ours."""
    model = models.lenet5().eval()
    state = model.state_dict()
    for batch in batches:
        x = np.random.default_rng(0).normal(size=(batch, 1, 28, 28)).astype(np.float32)
        contestants: dict[str, Call] = {"tenfold": lambda x=x: model(x)}
        torch: Any = library("torch")
        if torch:
            theirs = torch_lenet5().eval()
            theirs.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in state.items()})
            images = torch.from_numpy(x)

            def torch_call(net: Any, images: Any = images, torch: Any = torch) -> Any:
                with torch.inference_mode():
                    return net(images).numpy()

            contestants["torch"] = lambda f=torch_call, n=theirs: f(n)
            if not quick:
                compiled = torch.compile(theirs)
                contestants["compile"] = lambda f=torch_call, n=compiled: f(n)
        session = onnx_call(state, x, threads)
        if session:
            contestants["onnxruntime"] = session
        name = f"LeNet-5 inference, batch {batch}"
        expected = model(x)
        for who, call in list(contestants.items()):
            try:
                with says_when_slow(f"{name}: {who} is checked"):
                    np.testing.assert_allclose(call(), expected, rtol=1e-3, atol=1e-4, err_msg=who)
            except Exception as error:
                left_out(name, who, error)
                del contestants[who]
        flops = 2.0 * batch * MULTIPLY_ADDS
        yield Work("inference", name, contestants, flops, facts={"batch": batch})
