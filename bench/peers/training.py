"""Training steps: the same data, batches, network, loss and optimiser in every library.

Every contestant trains a shuffled epoch per call, as its users do: gathering mini-batches is part of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
from libraries import library
from measure import Call, Work, left_out

from tenfold import models, nn, optim
from tenfold.data import mnist
from tenfold.train import Trainer

RATE, MOMENTUM = 0.01, 0.9
# Images of an epoch: a third of MNIST. Turns stay short, and what an epoch takes besides its steps weighs little, as it
# does in all of it.
IMAGES, QUICK_IMAGES = 20_000, 1600


def torch_lenet5() -> Any:
    t = library("torch").nn
    return t.Sequential(
        t.Conv2d(1, 6, 5, padding=2), t.ReLU(), t.MaxPool2d(2),
        t.Conv2d(6, 16, 5), t.ReLU(), t.MaxPool2d(2), t.Flatten(),
        t.Linear(400, 120), t.ReLU(), t.Linear(120, 84), t.ReLU(), t.Linear(84, 10),
    )  # fmt: skip


def torch_mlp() -> Any:
    t = library("torch").nn
    return t.Sequential(
        t.Flatten(), t.Linear(784, 500), t.ReLU(), t.Linear(500, 150), t.ReLU(), t.Linear(150, 10)
    )


def torch_resnet18() -> Any:
    """Return the network of tenfold.models.resnet with ResNet-18's widths and blocks."""
    torch = library("torch")
    t = torch.nn

    class Residual(t.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = t.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = t.BatchNorm2d(outputs)
            self.conv2 = t.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = t.BatchNorm2d(outputs)
            self.shortcut = t.Sequential()
            if stride > 1 or inputs != outputs:
                self.shortcut = t.Sequential(
                    t.Conv2d(inputs, outputs, 1, stride, bias=False), t.BatchNorm2d(outputs)
                )

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    layers: list[Any] = [t.Conv2d(3, 64, 3, 1, 1, bias=False), t.BatchNorm2d(64), t.ReLU()]
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            layers.append(Residual(inputs, width, 2 if stage and not block else 1))
            inputs = width
    return t.Sequential(*layers, t.AdaptiveAvgPool2d(1), t.Flatten(), t.Linear(512, 10))


def torch_epoch(
    make: Callable[[], Any], x: np.ndarray, y: np.ndarray, batch: int, channels_last: bool, compiled: bool
) -> Call:
    torch: Any = library("torch")
    model = make()
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    loss_function = torch.nn.CrossEntropyLoss()

    def loss_of(rows: Any) -> Any:
        return loss_function(model(images[rows]), labels[rows])

    if compiled:
        loss_of = torch.compile(loss_of)

    def epoch() -> None:
        order = torch.randperm(len(images))
        for start in range(0, len(images), batch):
            optimizer.zero_grad()
            loss_of(order[start : start + batch]).backward()
            optimizer.step()

    return epoch


def tenfold_epoch(model: Any, x: np.ndarray, y: np.ndarray, batch: int) -> Call:
    trainer = Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        optimizer=optim.SGD(lr=RATE, momentum=MOMENTUM),
        metrics=["accuracy"],
    )
    return lambda: trainer.fit((x, y), epochs=1, batch_size=batch, progress=False)


def jax_epoch(net: str, x: np.ndarray, y: np.ndarray, batch: int) -> Call:
    jax: Any = library("jax")
    jnp, lax = jax.numpy, jax.lax
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> Any:
        return jnp.asarray(rng.normal(size=shape, scale=(2 / np.prod(shape[1:])) ** 0.5).astype(np.float32))

    def conv(x: Any, w: Any, b: Any, pad: int) -> Any:
        y = lax.conv_general_dilated(
            x, w, (1, 1), [(pad, pad)] * 2, dimension_numbers=("NCHW", "OIHW", "NCHW")
        )
        return jax.nn.relu(y + b[:, None, None])

    def pool(x: Any) -> Any:
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    dense = [(120, 400), (84, 120), (10, 84)] if net == "lenet5" else [(500, 784), (150, 500), (10, 150)]
    shapes = ([(6, 1, 5, 5), (16, 6, 5, 5)] if net == "lenet5" else []) + dense
    parameters = [(weight(*s), jnp.zeros(s[0])) for s in shapes]

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        layers = list(parameters)
        if net == "lenet5":
            x = pool(conv(x, *layers[0], 2))
            x = pool(conv(x, *layers[1], 0))
            layers = layers[2:]
        x = x.reshape(len(x), -1)
        for i, (w, b) in enumerate(layers):
            x = x @ w.T + b
            x = jax.nn.relu(x) if i + 1 < len(layers) else x
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1))

    @jax.jit
    def step(parameters: Any, velocity: Any, x: Any, y: Any, rows: Any) -> Any:
        gradients = jax.grad(loss_of)(parameters, x[rows], y[rows])
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, gradients)
        return jax.tree.map(lambda p, v: p - RATE * v, parameters, velocity), velocity

    images, labels = jnp.asarray(x), jnp.asarray(y.astype(np.int32))
    state = [parameters, jax.tree.map(jnp.zeros_like, parameters)]

    def epoch() -> None:
        order = rng.permutation(len(x)).astype(np.int32)
        for start in range(0, len(x), batch):
            state[0], state[1] = step(state[0], state[1], images, labels, order[start : start + batch])
        jax.block_until_ready(state[0])

    return epoch


def lenet_flops(batch: int) -> float:
    layers = 2 * np.array([28 * 28 * 6 * 25, 10 * 10 * 16 * 150, 120 * 400, 84 * 120, 10 * 84])
    return float(batch * (3 * layers.sum() - layers[0]))


def mlp_flops(batch: int) -> float:
    layers = 2 * np.array([784 * 500, 500 * 150, 150 * 10])
    return float(batch * (3 * layers.sum() - layers[0]))


def resnet18_flops(batch: int) -> float:
    """Return the operations of all convolutions and the last layer; the first has no input gradient."""
    layers = [32 * 32 * 64 * 27]
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        pixels = (32 >> stage) ** 2
        layers += [pixels * width * 9 * inputs, *[pixels * width * 9 * width] * 3]
        layers += [pixels * width * inputs] if stage else []
        inputs = width
    layers.append(10 * 512)
    return float(batch * 2 * (3 * sum(layers) - layers[0]))


def noise(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return images of independent pixels and labels, for what does not depend on the data."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, *shape)).astype(np.float32), rng.integers(0, 10, count)


@cache
def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of MNIST: where gradients are 0, and thus our time, depends on them."""
    try:
        train = mnist(download=False)[0]
    except FileNotFoundError as error:
        print(f"random images instead of MNIST, whose training may take another time: {error}", flush=True)
        return noise(count, (1, 28, 28))
    rows = np.arange(count) % len(train)
    return train.x[rows], train.y[rows]


def works(what: str, batches: list[int], quick: bool) -> Iterator[Work]:
    """Yield a work per batch size; `what` is "lenet", "mlp" or "resnet"."""
    make_ours, make_theirs, flops_of = {
        "lenet": (models.lenet5, torch_lenet5, lenet_flops),
        "mlp": (lambda: models.mlp((784, 500, 150, 10)), torch_mlp, mlp_flops),
        "resnet": (lambda: models.resnet(10, 3, (64, 128, 256, 512), 2), torch_resnet18, resnet18_flops),
    }[what]
    title = {"lenet": "LeNet-5", "mlp": "MLP 784-500-150-10", "resnet": "ResNet-18 for CIFAR"}[what]
    for batch in batches:
        steps = 1 if what == "resnet" else max(2, (QUICK_IMAGES if quick else IMAGES) // batch)
        x, y = noise(steps * batch, (3, 32, 32)) if what == "resnet" else digits(steps * batch)
        name = f"{title} step, batch {batch}"
        makers: dict[str, Callable[[], Call]] = {}
        if library("torch"):
            theirs = partial(torch_epoch, make_theirs, x, y, batch)
            makers["torch"] = partial(theirs, False, False)
            if what != "mlp":
                makers["channels_last"] = partial(theirs, True, False)
            if not quick and library("torch._inductor"):
                makers["compile"] = partial(theirs, False, True)
        if what != "resnet" and library("jax"):
            makers["jax"] = partial(jax_epoch, "lenet5" if what == "lenet" else "mlp", x, y, batch)
        contestants = {"tenfold": tenfold_epoch(make_ours(), x, y, batch)}
        for who, make in makers.items():
            try:
                contestants[who] = make()
            except Exception as error:
                left_out(name, who, error)
        yield Work("step", name, contestants, flops_of(batch), steps, {"batch": batch})
