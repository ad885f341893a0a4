"""The operations of `lax` with structure: traced, per operation of a program of many, and called outside of jit."""

import numpy as np
import pytest

REPEATS = 50
X = np.ones((8, 8), np.float32)
IMAGE = np.ones((1, 2, 8, 8), np.float32)
KERNEL = np.ones((2, 2, 3, 3), np.float32)
ROWS = np.array([[1], [3]], np.int32)


def gather(lax, x):
    numbers = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
    return lax.gather(x, ROWS, numbers, (1, 8), mode="clip")


def scatter(lax, x):
    numbers = lax.ScatterDimensionNumbers((1,), (0,), (0,))
    return lax.scatter_add(x, ROWS, X[:2], numbers, mode="clip")


CASES = {
    "dot_general": (lambda lax, x: lax.dot_general(x, x, (((1,), (0,)), ((), ()))), X),
    "gather": (gather, X),
    "scatter": (scatter, X),
    "reduce": (lambda lax, x: lax.reduce(x, np.float32(0), lax.add, (1,)), X),
    "conv": (lambda lax, x: lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME"), IMAGE),
    "sort": (lambda lax, x: lax.sort(x), X),
}


@pytest.mark.parametrize("name", CASES)
def test_trace(measure, jax, jnp, name):
    function, x = CASES[name]
    x = jnp.asarray(x)

    def trace():
        def program(x):
            for _ in range(REPEATS):
                out = function(jax.lax, x)
            return out

        return jax.make_jaxpr(program)(x)

    measure(f"trace {name}", trace, per=REPEATS)


@pytest.mark.parametrize("name", CASES)
def test_eager(measure, jax, jnp, name):
    function, x = CASES[name]
    x = jnp.asarray(x)
    measure(f"lax.{name}, eager", lambda: function(jax.lax, x))
