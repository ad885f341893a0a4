"""The first call of thirty functions in a new process, imports not counted: what a short script waits for."""

import statistics
import subprocess
import sys

import pytest

PROGRAM = """
import time
import numpy as np
import {0} as jax
import {0}.numpy as jnp

values = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
start = time.perf_counter()
x = jnp.asarray(values)
n = jnp.arange(12).reshape(3, 4)
calls = [
    lambda: jnp.zeros((3, 4)),
    lambda: jnp.ones(5, jnp.int32),
    lambda: jnp.full((2, 2), 7.0),
    lambda: jnp.eye(3),
    lambda: x + 1,
    lambda: x * x - 2.0,
    lambda: x / 3,
    lambda: -x,
    lambda: jnp.abs(x),
    lambda: x > 0,
    lambda: jnp.where(x > 0, x, 0.0),
    lambda: jnp.maximum(x, 0),
    lambda: jnp.clip(x, -0.5, 0.5),
    lambda: x[0],
    lambda: x[:, 1:3],
    lambda: x[jnp.array([0, 2])],
    lambda: x.at[0, 1].set(5.0),
    lambda: x.at[1].add(1.0),
    lambda: x.T,
    lambda: x.reshape(4, 3),
    lambda: jnp.concatenate([x, x]),
    lambda: jnp.stack([x, x]),
    lambda: x.astype(jnp.int32),
    lambda: n.sum(),
    lambda: n % 5,
    lambda: (n & 3) << 2,
    lambda: jnp.argmax(x),
    lambda: jnp.sqrt(jnp.abs(x)),
    lambda: jnp.sin(x),
    lambda: x @ x.T,
]
assert len(calls) == 30
jax.block_until_ready([call() for call in calls])
print(time.perf_counter() - start)
"""


@pytest.mark.parametrize("impl", ["cyxla", "jax"])
def test_thirty_functions(benchmark, impl):
    seconds = []

    def run():
        command = [sys.executable, "-c", PROGRAM.format(impl)]
        seconds.append(float(subprocess.run(command, capture_output=True, check=True).stdout))

    benchmark.group = "first calls of 30 functions"
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    # What the process measured itself.
    benchmark.extra_info["median_s"] = statistics.median(seconds[1:])
