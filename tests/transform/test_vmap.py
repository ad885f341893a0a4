"""`vmap`: axes of arguments and results, names, nesting, errors; against jax."""

import jax
import numpy as np
import pytest
from compare import agree, both_raise

import cyxla

X = np.arange(6, dtype=np.float32).reshape(2, 3)
Y = np.array([1.0, 2.0, 3.0], np.float32)


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.vmap(lambda x: x * 2)(X),
        lambda jax: jax.vmap(lambda x: x.sum())(X),
        lambda jax: jax.vmap(lambda x: x.sum(), in_axes=1)(X),
        lambda jax: jax.vmap(lambda x: x.sum(), in_axes=-1)(X),
        lambda jax: jax.vmap(lambda x: x.sum(), in_axes=-2)(X),
        lambda jax: jax.vmap(lambda x, y: x * y)(X, X),
        lambda jax: jax.vmap(lambda x, y: x * y, in_axes=(0, None))(X, Y),
        lambda jax: jax.vmap(lambda x, y: x * y, in_axes=(0, None))(X, 2.0),
        lambda jax: jax.vmap(lambda x, y: x @ y, in_axes=[1, None])(X, np.ones(2, np.float32)),
        lambda jax: jax.vmap(lambda x, y: x * y, in_axes=(None, 0))(X, Y),
        lambda jax: jax.vmap(lambda d: d["a"] * d["b"], in_axes=({"a": 0, "b": None},))({"a": X, "b": Y}),
        lambda jax: jax.vmap(lambda d: d["a"][0] * d["b"], in_axes=({"a": 1, "b": 0},))({"a": (X, X), "b": Y}),
        lambda jax: jax.vmap(lambda d, y: d["a"] * y, in_axes=(0, 0))({"a": X, "b": X}, X),
        lambda jax: jax.vmap(lambda x: (x, {"s": x.sum()}), out_axes=(1, 0))(X),
        lambda jax: jax.vmap(lambda x: (x, {"s": x.sum()}), out_axes=(-1, {"s": 0}))(X),
        lambda jax: jax.vmap(lambda x: (x, x), out_axes=1)(X),
        lambda jax: jax.vmap(lambda x: (x, 3.0, Y), out_axes=(0, None, None))(X),
        lambda jax: jax.vmap(lambda x: (x, 3.0, Y))(X),
        lambda jax: jax.vmap(lambda x: Y, out_axes=1)(X),
        lambda jax: jax.vmap(lambda x: None)(X),
        lambda jax: jax.vmap(lambda: Y, axis_size=4)(),
        lambda jax: jax.vmap(lambda x: x, in_axes=None, axis_size=4)(Y),
        lambda jax: jax.vmap(lambda x: x, axis_size=2)(X),
        lambda jax: jax.vmap(lambda x, *, k: x * k)(X, k=X),
        lambda jax: jax.vmap(lambda x, *, k: x * k, in_axes=1)(X, k=Y),
        lambda jax: jax.vmap(lambda x, k=2.0: x * k)(X),
        lambda jax: jax.vmap(jax.vmap(lambda x: x + 1))(X),
        lambda jax: jax.vmap(jax.vmap(lambda x, y: x * y, in_axes=(0, None)), in_axes=(1, 0))(X, Y),
        lambda jax: jax.vmap(jax.vmap(lambda x, y: x * y, (None, 0)), (0, None))(Y, Y),
        lambda jax: jax.vmap(jax.vmap(lambda x: x.T, in_axes=1, out_axes=1), out_axes=2)(
            np.ones((2, 3, 4, 5), np.float32)
        ),
        lambda jax: jax.vmap(lambda x: jax.vmap(lambda y: x @ y)(X))(X),
        lambda jax: jax.vmap(lambda i: jax.numpy.asarray(X)[i])(np.array([1, 0, 1])),
        lambda jax: jax.vmap(lambda x, i: x[i])(X, np.array([1, 0])),
        lambda jax: jax.vmap(lambda x, i: x.at[i].set(9.0))(X, np.array([1, 0])),
        lambda jax: jax.vmap(lambda x, i: jax.lax.dynamic_slice(x, (i,), (2,)))(X, np.array([1, 0])),
        lambda jax: jax.vmap(lambda x: x + 0)(np.arange(3)),
        lambda jax: jax.vmap(lambda x: x + 1)(np.zeros((3, 0), np.float32)),
        lambda jax: jax.vmap(lambda x: x + 1)(np.zeros((0, 3), np.float32)),
        lambda jax: jax.vmap(lambda p: p)((X, None, [Y[:2]])),
        lambda jax: jax.vmap(jax.jit(lambda x, y: x * y), in_axes=(0, None))(X, 2.0),
        lambda jax: jax.jit(jax.vmap(lambda x: jax.numpy.sort(x)[::-1]))(X),
        lambda jax: jax.vmap(lambda x: x > 1)(X),
        lambda jax: jax.vmap(lambda x: jax.numpy.where(x > 1, x, -x))(X),
        lambda jax: jax.vmap(lambda x: jax.numpy.cumsum(x))(X),
        lambda jax: jax.vmap(lambda x: (x**2).sum())(X),
        lambda jax: jax.vmap(lambda k: jax.random.uniform(k, (2,)))(jax.random.split(jax.random.key(0), 3)),
        lambda jax: jax.vmap(lambda x: x, axis_name="batch")(X),
        lambda jax: jax.vmap(lambda x: x, spmd_axis_name="data")(X),
    ],
)
def test_vmap(program):
    agree(program)


def test_all_over_and_over():
    """One function under five nested vmaps of different axes."""

    def program(jax):
        x = np.arange(32, dtype=np.float32).reshape(2, 2, 2, 2, 2)
        f = lambda a: jax.numpy.sin(a) * 2
        for axes in ((0, 0), (1, 0), (0, 1), (2, 1), (0, 3)):
            f = jax.vmap(f, in_axes=axes[0], out_axes=axes[1])
        return f(x)

    agree(program)


@pytest.mark.parametrize(
    ("error", "program", "match"),
    [
        ("ValueError", lambda jax: jax.vmap(lambda x, y: x)(X, Y), r"size.*size 2: .*\(2, 3\).*size 3: .*\(3,\)"),
        ("ValueError", lambda jax: jax.vmap(lambda x: x, axis_size=3)(X), "size 2.*size 3|size 3.*size 2"),
        ("ValueError", lambda jax: jax.vmap(lambda x: x)(2.0), r"shape \(\).*no axis.*rank 1"),
        ("ValueError", lambda jax: jax.vmap(lambda x: x, in_axes=2)(X), r"no axis 2.*rank 3"),
        ("ValueError", lambda jax: jax.vmap(lambda x: x, in_axes=-3)(X), "axis -3"),
        ("ValueError", lambda jax: jax.vmap(lambda x: x, in_axes=None)(X), "axis_size"),
        ("ValueError", lambda jax: jax.vmap(lambda: 1)(), "axis_size"),
        ("ValueError", lambda jax: jax.vmap(lambda x, y: x, in_axes=(0,))(X, X), "in_axes"),
        ("ValueError", lambda jax: jax.vmap(lambda x: x, in_axes=(0, 0))(X), "in_axes"),
        ("ValueError", lambda jax: jax.vmap(lambda d: d, in_axes=({"a": 0},))({"b": X}), "prefix"),
        ("ValueError", lambda jax: jax.vmap(lambda x: (x, x), out_axes=(0, 0, 0))(X), "prefix"),
        ("ValueError", lambda jax: jax.vmap(lambda x: x, out_axes=None)(X), "out_axes is None"),
        ("ValueError", lambda jax: jax.vmap(lambda x: x, out_axes=3)(X), "out_axes"),
        ("TypeError", lambda jax: jax.vmap(lambda x: x, in_axes="0")(X), "in_axes"),
        ("TypeError", lambda jax: jax.vmap(lambda x: x, in_axes=(1.0,))(X), "in_axes"),
        ("TypeError", lambda jax: jax.vmap(lambda x: x, out_axes="0")(X), "out_axes"),
        ("TypeError", lambda jax: jax.vmap(lambda x: "text")(X), "text"),
        ("TypeError", lambda jax: jax.vmap(lambda x: x)("text"), "text"),
        ("TypeError", lambda jax: jax.vmap(3), "function"),
    ],
)
def test_errors(error, program, match):
    both_raise(error, program, match)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"params\['w'\]"):
        cyxla.vmap(lambda x, params: x)(X, {"w": np.ones((5, 2))})
    with pytest.raises(ValueError, match="scale"):
        cyxla.vmap(lambda x, *, scale: x)(X, scale=np.ones(5))


def test_arguments_that_are_not_mapped_may_be_anything():
    for module in (cyxla, jax):
        out = module.vmap(lambda x, how: -x if how == "minus" else x, in_axes=(0, None))
        try:
            np.testing.assert_array_equal(out(X, "minus"), -X)
        except TypeError:
            assert module is jax


def test_unmapped_values_stay_unmapped():
    seen = []

    def f(x, y):
        seen.append(y * 2)
        return x

    cyxla.vmap(f, in_axes=(0, None))(X, Y)
    assert seen[0].shape == (3,)
    np.testing.assert_array_equal(seen[0], 2 * Y)


def test_tracers_show_the_shape_of_one_example():
    shapes = []

    def f(x, y):
        shapes.append((x.shape, x.ndim, x.size, len(x), y.shape, str(x.dtype)))
        assert "float32[3]" in repr(x)
        return x

    cyxla.vmap(f, in_axes=(0, 1))(X, X.T)
    assert shapes == [((3,), 1, 3, 3, (3,), "float32")]
