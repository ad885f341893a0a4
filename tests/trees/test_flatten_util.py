"""ravel_pytree, compared with jax."""

import warnings

import jax
import jax.flatten_util
import jax.numpy
import numpy as np
import pytest

import cyxla
import cyxla.flatten_util
import cyxla.numpy
import cyxla.tree_util

F32, I32 = np.arange(4, dtype=np.float32).reshape(2, 2), np.arange(3, dtype=np.int32)
F16, C64, BOOL = np.ones(2, np.float16), np.ones(2, np.complex64), np.array([True, False])
TREES = [
    [],
    {},
    None,
    1.0,
    np.float32(3),
    [1, 2.0],
    [1.0, I32],
    (F32,),
    {"b": I32, "a": F32},
    [I32, BOOL],
    [F32, C64],
    [F16, F32, None],
    [np.zeros((0, 2), np.float32), F32],
]


def described(array):
    return np.asarray(array).tolist(), str(array.dtype), array.shape, array.weak_type


def outcome(library, tree, change):
    """What unravelling a changed vector gives, or the type of the exception."""
    vector, unravel = library.flatten_util.ravel_pytree(tree)
    try:
        leaves = library.tree_util.tree_leaves(unravel(change(library.numpy, vector)))
    except Exception as error:
        return type(error)
    return [described(leaf) for leaf in leaves]


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: str(jax.tree.structure(tree)))
def test_round_trip(tree):
    ours, _ = cyxla.flatten_util.ravel_pytree(tree)
    theirs, _ = jax.flatten_util.ravel_pytree(tree)
    assert described(ours) == described(theirs)
    assert outcome(cyxla, tree, lambda np, x: x) == outcome(jax, tree, lambda np, x: x)


CHANGES = {
    "too long": lambda np, x: np.concatenate([x, x]),
    "NumPy": lambda _, x: np.asarray(x),
    "column": lambda _, x: np.asarray(x)[:, None],
    "float16": lambda _, x: np.zeros(x.size, np.float16),
    "complex": lambda _, x: np.zeros(x.size, np.complex64),
    "scalar": lambda _, x: 3.0,
    "list": lambda _, x: [1.0] * x.size,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("tree", [[], (F32,), (F32, I32)], ids=["empty", "one dtype", "two dtypes"])
def test_unravel_of_another_vector(tree, change):
    assert outcome(cyxla, tree, change) == outcome(jax, tree, change)


def test_no_warning_for_dropped_imaginary_parts():
    vector, unravel = cyxla.flatten_util.ravel_pytree((F32, C64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unravel(vector)


@pytest.mark.parametrize("leaf", ["abc", object()])
def test_leaves_must_be_arrays(leaf):
    with pytest.raises(TypeError):
        cyxla.flatten_util.ravel_pytree([F32, leaf])


def test_unravel_functions_compare_by_value():
    one, other = (cyxla.flatten_util.ravel_pytree((F32 + i, I32))[1] for i in range(2))
    assert one == other and hash(one) == hash(other)
    assert one != cyxla.flatten_util.ravel_pytree((I32, F32))[1]


def test_under_transformations():
    ravel = cyxla.flatten_util.ravel_pytree
    tree = (F32, F32 + 1)
    vector, unravel = ravel(tree)
    assert np.array_equal(cyxla.jit(lambda t: ravel(t)[0] * 2)(tree), 2 * np.asarray(vector))
    gradient = cyxla.grad(lambda t: (ravel(t)[0] ** 2).sum())(tree)
    assert all(np.array_equal(g, 2 * x) for g, x in zip(gradient, tree))
    rows = cyxla.vmap(unravel)(np.stack([vector, vector]))
    assert [row.shape for row in rows] == [(2, 2, 2), (2, 2, 2)]
