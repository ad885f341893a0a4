"""Division of integers by 0 and -1, evaluated eagerly, compiled, and of constants, which XLA folds; against jax."""

import jax
import numpy as np
import pytest
from compare import agree

import cyxla
from cyxla import lax


def operands(dtype):
    info = np.iinfo(dtype)
    values = np.array([info.min, info.min + 1, 0, 1, 7, info.max] + [-1] * (info.min < 0), dtype)
    return [a.ravel() for a in np.meshgrid(values, values)]


@pytest.mark.parametrize("name", ["div", "rem"])
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16, np.uint32])
def test_division(name, dtype):
    x, y = operands(dtype)
    expected = np.asarray(jax.jit(getattr(jax.lax, name))(x, y))
    divide = getattr(lax, name)
    np.testing.assert_array_equal(divide(x, y), expected)
    np.testing.assert_array_equal(cyxla.jit(divide)(x, y), expected)
    # jax ends the process for these.
    np.testing.assert_array_equal(cyxla.jit(lambda: divide(x, y))(), expected)


@pytest.mark.parametrize("name", ["div", "rem"])
@pytest.mark.parametrize("divisor", [0, -1, 3])
def test_division_by_constants(name, divisor):
    x = operands(np.int32)[0]
    agree(lambda jax: jax.jit(lambda x: getattr(jax.lax, name)(x, np.int32(divisor)))(x))
    agree(lambda jax: jax.jit(lambda x: getattr(jax.lax, name)(x[::2].reshape(5, 5), np.int32(divisor)))(x))


def test_division_in_loops_by_what_they_close_over():
    def program(jax):
        zero, five = jax.numpy.int32(0), jax.numpy.int32(5)
        return (
            jax.lax.fori_loop(0, 3, lambda i, c: c + jax.lax.div(np.int32(3), zero), 0),
            jax.lax.fori_loop(0, 3, lambda i, c: c + jax.lax.rem(five, zero), 0),
            jax.lax.scan(lambda c, _: (c + jax.lax.div(five, zero * 0), None), five, None, length=2)[0],
            jax.lax.while_loop(lambda c: c < 4, lambda c: c + jax.lax.rem(c, zero + 3) + 1, np.int32(0)),
        )

    agree(program)


def test_arguments_are_divided_as_they_are():
    x = np.arange(3, dtype=np.int32)
    text = cyxla.jit(lambda x, y: lax.div(x.reshape(3, 1), y.reshape(3, 1))).lower(x, x).as_text()
    assert "compare" not in text
