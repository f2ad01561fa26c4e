"""One model, several threads; a child that forks after the threads were used."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tenfold
from tenfold import nn

PACKAGE = str(Path(tenfold.__file__).parent.parent)


def in_a_process(code):
    """Run code that would hang if it were wrong; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env={**os.environ, "PYTHONPATH": PACKAGE, "TENFOLD_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_threads_share_a_model_and_its_programs():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
    ).eval()
    x = [
        np.linspace(-1, 1, n * 64, dtype=np.float32).reshape(n, 1, 8, 8) for n in range(1, 13)
    ]  # > programs kept
    expected = [model(a) for a in x]
    wrong = []

    def work(first):
        try:
            for i in range(60):
                k = (7 * i + first) % len(x)
                if i % 10 == 0:
                    nn.ReLU()  # makes every program stale
                if not np.array_equal(model(x[k]), expected[k]):
                    wrong.append((first, i))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_weights_can_be_replaced_while_another_thread_is_in_a_custom_operation():
    code = """
import threading, time
import numpy as np
import tenfold
from tenfold import nn

class Slow(tenfold.Function):
    def forward(self, x):
        time.sleep(0.01)
        return x

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.slow = nn.Linear(3, 1, bias=False), Slow()
    def forward(self, x):
        return self.slow(self.linear(x))

net, x = Net().eval(), np.ones((2, 3), np.float32)
net(x)
other = threading.Thread(target=lambda: [net(x) for _ in range(10)])
other.start()
for i in range(10):
    net.linear.weight.data = np.full((1, 3), i, np.float32)
    net(x)
other.join()
print(net(x)[0, 0])
"""
    assert in_a_process(code) == "27.0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_computes_the_same():
    code = """
import os
import numpy as np
import tenfold
from tenfold import nn

model = nn.Conv2d(3, 8, 3)
x = np.linspace(-1, 1, 4 * 3 * 32 * 32, dtype=np.float32).reshape(4, 3, 32, 32)
expected = model(x)
child = os.fork()
if child == 0:
    os._exit(0 if tenfold.num_threads() == 1 and np.array_equal(model(x), expected) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), tenfold.num_threads())
"""
    assert in_a_process(code) == "0 2"
