"""Importing the package in a new process; the floor is NumPy alone."""

import statistics
import subprocess
import sys

import pytest

PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
STATEMENTS = {"cyxla": "cyxla, cyxla.numpy", "jax": "jax, jax.numpy", "floor": "numpy"}


@pytest.mark.parametrize("impl", STATEMENTS)
def test_import(benchmark, impl):
    seconds = []

    def run():
        program = PROGRAM.format(STATEMENTS[impl])
        seconds.append(float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout))

    benchmark.group = "import"
    benchmark.pedantic(run, rounds=9, warmup_rounds=1)
    # What the process measured itself: starting the interpreter does not count.
    benchmark.extra_info["median_s"] = statistics.median(seconds[1:])
