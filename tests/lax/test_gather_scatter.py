"""Gather and scatter: modes, ties, errors; rules and values of the common layouts are in the law tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cyxla
from cyxla import lax

X = np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)
FAR = np.array([[1], [5], [-1]], np.int32)
ROWS = lax.GatherDimensionNumbers(offset_dims=(1, 2), collapsed_slice_dims=(0,), start_index_map=(0,))
SIZES = (1, 3, 4)
ELEMENTS = lax.ScatterDimensionNumbers((), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,))
UPDATED = lax.ScatterDimensionNumbers((1, 2), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,))


def theirs(numbers):
    return getattr(jax.lax, type(numbers).__name__)(*numbers)


@pytest.mark.parametrize("mode", ["clip", "fill", "promise_in_bounds", lax.GatherScatterMode.CLIP, None])
def test_gather_modes(mode):
    ours = cyxla.jit(lambda x, i: lax.gather(x, i, ROWS, SIZES, mode=mode))(X, FAR)
    name = mode.name.lower() if isinstance(mode, lax.GatherScatterMode) else mode
    expected = jax.jit(lambda x, i: jax.lax.gather(x, i, theirs(ROWS), SIZES, mode=name))(X, FAR)
    np.testing.assert_array_equal(ours, expected)


def test_one_hot_mode_reads_zeros_outside():
    ours = lax.gather(X, FAR, ROWS, SIZES, mode="one_hot")
    np.testing.assert_array_equal(ours, lax.gather(X, FAR, ROWS, SIZES, mode="fill", fill_value=0))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, bool, np.float16, np.complex64, jnp.bfloat16])
def test_default_fill_values(dtype):
    x = np.asarray(jnp.asarray(X).astype(dtype))
    ours = lax.gather(x, FAR, ROWS, SIZES, mode="fill")
    expected = jax.lax.gather(x, FAR, theirs(ROWS), SIZES, mode="fill")
    assert ours.dtype == expected.dtype
    wide = np.complex64 if dtype is np.complex64 else np.float32
    np.testing.assert_array_equal(np.asarray(ours).astype(wide), np.asarray(expected).astype(wide))


def test_default_fill_value_of_int4():
    numbers = lax.GatherDimensionNumbers((), (0,), (0,))
    ours = lax.gather(np.asarray(jnp.arange(3, dtype=jnp.int4)), FAR, numbers, (1,), mode="fill")
    assert ours.dtype == jnp.int4
    np.testing.assert_array_equal(np.asarray(ours).astype(int), [1, -8, -8])


@pytest.mark.parametrize("index_dtype", [np.int8, np.uint8, np.uint32])
def test_index_dtypes(index_dtype):
    indices = np.array([[1], [100], [0]], index_dtype)
    for mode in ("clip", "fill"):
        ours = cyxla.jit(lambda x, i, m=mode: lax.gather(x, i, ROWS, SIZES, mode=m))(X, indices)
        expected = jax.jit(lambda x, i, m=mode: jax.lax.gather(x, i, theirs(ROWS), SIZES, mode=m))(X, indices)
        np.testing.assert_array_equal(ours, expected)
        ours = cyxla.jit(lambda x, i, u, m=mode: lax.scatter_add(x, i, u, UPDATED, mode=m))(X, indices, X[[0, 1, 0]])
        expected = jax.jit(lambda x, i, u, m=mode: jax.lax.scatter_add(x, i, u, theirs(UPDATED), mode=m))(
            X, indices, X[[0, 1, 0]]
        )
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_indices_narrower_than_the_axis():
    x = np.arange(300, dtype=np.float32)
    numbers = lax.GatherDimensionNumbers((), (0,), (0,))
    ours = lax.gather(x, np.array([[127], [-1]], np.int8), numbers, (1,), mode="fill")
    np.testing.assert_array_equal(ours, [127, np.nan])


def test_empty_operands():
    x = np.zeros((0, 3), np.float32)
    numbers = lax.GatherDimensionNumbers((0, 1), (), (0,))
    assert lax.gather(x, np.array([0], np.int32), numbers, (0, 3)).shape == (0, 3)
    none = np.zeros((0, 1), np.int32)
    np.testing.assert_array_equal(lax.scatter_add(X, none, np.zeros((0, 3, 4), np.float32), UPDATED), X)


@pytest.mark.parametrize("name", ["scatter_min", "scatter_max"])
def test_extremal_derivatives_of_clamped_indices(name):
    """The tangents of all that attain the result are averaged, also where clamping lets updates meet."""
    x = np.array([1.0, 5.0, 3.0], np.float32)
    indices = np.array([[0], [7], [2]], np.int32)
    updates = np.array([1.0, 3.0, 3.0], np.float32)
    for run in (cyxla.jit, lambda f: f):
        _, pullback = cyxla.vjp(run(lambda x, u: getattr(lax, name)(x, indices, u, ELEMENTS, mode="clip")), x, updates)
        to_x, to_updates = pullback(np.ones(3, np.float32))
        np.testing.assert_allclose(to_x, [1 / 2, 1, 1 / 3], rtol=1e-6)
        np.testing.assert_allclose(to_updates, [1 / 2, 1 / 3, 1 / 3], rtol=1e-6)


def test_derivative_of_set_follows_the_update_that_won():
    x = np.zeros(3, np.float32)
    indices = np.array([[1], [1], [7]], np.int32)
    updates = np.array([4.0, 5.0, 6.0], np.float32)
    out, pullback = cyxla.vjp(lambda x, u: lax.scatter(x, indices, u, ELEMENTS), x, updates)
    to_x, to_updates = pullback(np.array([1.0, 2.0, 3.0], np.float32))
    np.testing.assert_array_equal(to_x, [1, 0, 3])
    np.testing.assert_array_equal(to_updates, np.where(updates == np.asarray(out)[1], 2, 0))


def test_derivative_of_set_to_a_constant_needs_no_order():
    names = [
        e.primitive.name
        for e in cyxla.make_jaxpr(
            lambda x, t: cyxla.jvp(lambda x: lax.scatter(x, FAR, X[[0, 1, 0]], UPDATED), (x,), (t,))[1]
        )(X, X).jaxpr.eqns
    ]
    assert names.count("scatter") == 2
    assert "gather" not in names


def test_scatter_mul_derivatives():
    indices = np.array([[1], [1]], np.int32)
    updates = np.array([2.0, 3.0], np.float32)
    x = np.arange(3, dtype=np.float32)
    _, tangent = cyxla.jvp(lambda x: lax.scatter_mul(x, indices, updates, ELEMENTS), (x,), (np.ones_like(x),))
    np.testing.assert_array_equal(tangent, [1, 6, 1])
    with pytest.raises(NotImplementedError, match="unique_indices"):
        cyxla.jvp(lambda u: lax.scatter_mul(x, indices, u, ELEMENTS), (updates,), (updates,))


def test_scatter_apply():
    indices = np.array([[1], [1], [0]], np.int32)
    x = np.arange(3, dtype=np.float32)

    def apply(lax, x, numbers, **options):
        return lax.scatter_apply(x, indices, lambda v: v * v + 2, numbers, update_shape=(3,), **options)

    np.testing.assert_array_equal(apply(lax, x, ELEMENTS), apply(jax.lax, x, theirs(ELEMENTS)))
    with pytest.raises(NotImplementedError, match="unique_indices"):
        cyxla.grad(lambda x: apply(lax, x, ELEMENTS)[0])(x)
    one = np.array([[1]], np.int32)
    gradient = cyxla.grad(
        lambda x: lax.scatter_apply(x, one, lambda v: v * v, ELEMENTS, update_shape=(1,), unique_indices=True).sum()
    )(x + 2)
    np.testing.assert_array_equal(gradient, [1, 6, 1])
    with pytest.raises(TypeError, match="scalar of dtype float32"):
        lax.scatter_apply(x, indices, lambda v: v > 0, ELEMENTS, update_shape=(3,))


def test_batch_of_indices_only_and_of_pairs():
    """Sets of batched arguments beyond those of the law tests."""
    x = np.stack([X, X * 2])
    indices = np.stack([FAR, FAR[::-1]])
    updates = np.stack([X[[0, 1, 0]], X[[1, 0, 1]]])
    for axes in ((0, 0, None), (0, None, 0), (None, 0, 0), (None, 0, None)):
        args = [a if d == 0 else a[0] for a, d in zip((x, indices, updates), axes)]
        ours = cyxla.jit(cyxla.vmap(lambda x, i, u: lax.scatter_add(x, i, u, UPDATED), in_axes=axes))(*args)
        expected = [
            jax.lax.scatter_add(*[a[k] if d == 0 else a for a, d in zip(args, axes)], theirs(UPDATED)) for k in range(2)
        ]
        np.testing.assert_allclose(ours, np.stack(expected), rtol=1e-6)


def test_repeated_vmap_over_a_batched_gather():
    def f(lax_module, np_module, x, i):
        numbers = lax_module.GatherDimensionNumbers((), (0,), (0,))
        return lax_module.gather(x, i[:, None], numbers, (1,))

    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    i = np.arange(12, dtype=np.int32).reshape(2, 3, 2) % 4
    ours = cyxla.jit(cyxla.vmap(cyxla.vmap(lambda x, i: f(lax, cyxla.numpy, x, i))))(x, i)
    np.testing.assert_array_equal(ours, np.take_along_axis(x, i, 2))


@pytest.mark.parametrize(
    ("change", "sizes", "named"),
    [
        ({}, (1, 3, 9), "slice_sizes"),
        ({}, (2, 3, 4), "slice size 1"),
        ({}, (1, 3), "slice_sizes"),
        ({"offset_dims": (1, 7)}, SIZES, "offset_dims"),
        ({"offset_dims": (2, 1)}, SIZES, "offset_dims"),
        ({"offset_dims": (1,)}, SIZES, "offset_dims"),
        ({"collapsed_slice_dims": (9,)}, SIZES, "collapsed_slice_dims"),
        ({"start_index_map": (9,)}, SIZES, "start_index_map"),
        ({"start_index_map": (0, 1)}, SIZES, "start_index_map"),
        ({"operand_batching_dims": (0,)}, SIZES, "operand_batching_dims"),
        ({"operand_batching_dims": (1,)}, SIZES, "operand_batching_dims"),
    ],
)
def test_gather_errors(change, sizes, named):
    with pytest.raises(TypeError, match=named):
        lax.gather(X, FAR, ROWS._replace(**change), sizes)


@pytest.mark.parametrize(
    ("change", "shape", "named"),
    [
        ({"update_window_dims": (1, 7)}, (3, 3, 4), "update_window_dims"),
        ({"update_window_dims": (1,)}, (3, 3, 4), "update_window_dims"),
        ({"inserted_window_dims": (5,)}, (3, 3, 4), "inserted_window_dims"),
        ({"scatter_dims_to_operand_dims": (0, 1)}, (3, 3, 4), "scatter_dims_to_operand_dims"),
        ({}, (3, 3), "rank 3"),
        ({}, (3, 3, 5), "exceed"),
        ({}, (2, 3, 4), "leading axes"),
    ],
)
def test_scatter_errors(change, shape, named):
    for function in (lax.scatter, lax.scatter_add):
        with pytest.raises(TypeError, match=named):
            function(X, FAR, np.ones(shape, np.float32), UPDATED._replace(**change))


def test_dtype_and_mode_errors():
    with pytest.raises(ValueError, match="integer type"):
        lax.gather(X, FAR.astype(np.float32), ROWS, SIZES)
    with pytest.raises(ValueError, match="integer type"):
        lax.scatter_add(X, FAR.astype(np.float32), X[[0, 1, 0]], UPDATED)
    with pytest.raises(TypeError, match="one dtype"):
        lax.scatter_add(X, FAR, X[[0, 1, 0]].astype(np.int32), UPDATED)
    with pytest.raises(TypeError, match="bool"):
        lax.scatter_add(X > 0, FAR, X[[0, 1, 0]] > 0, UPDATED)
    with pytest.raises(ValueError, match="wrap"):
        lax.gather(X, FAR, ROWS, SIZES, mode="wrap")
    with pytest.raises(ValueError, match="scalar"):
        lax.gather(X, FAR, ROWS, SIZES, mode="fill", fill_value=np.ones(2))
    assert lax.GatherScatterMode.from_any("drop") is lax.GatherScatterMode.FILL_OR_DROP
