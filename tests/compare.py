"""One program run by Cyxla and by jax: the results, or the exceptions, must be the same.

A program is a function of the module: `agree(lambda jax: jax.grad(jax.numpy.sin)(1.0))`.
"""

import builtins
import importlib
import pkgutil
import types

import jax
import numpy as np
import pytest

import cyxla

for name in ("numpy", "lax", "random", "nn", "tree_util"):
    importlib.import_module(f"cyxla.{name}")


def in_both(**paths):
    """Two namespaces, for Cyxla and for jax: the package as `jax`, `jnp`, and modules or members of it by their paths.

    `OURS, THEIRS = MODULES = in_both(core="extend.core", Primitive="extend.core.Primitive")`
    """
    return [
        types.SimpleNamespace(
            jax=package,
            jnp=package.numpy,
            **{name: pkgutil.resolve_name(f"{package.__name__}.{path}") for name, path in paths.items()},
        )
        for package in (cyxla, jax)
    ]


def is_key(x):
    return str(x.dtype).startswith("key<")


def leaf_type(x):
    weak = bool(getattr(x, "weak_type", getattr(getattr(x, "aval", None), "weak_type", False)))
    # jax marks some booleans as weakly typed, which means nothing.
    return tuple(x.shape), str(x.dtype), weak and str(x.dtype) != "bool"


def assert_leaves_equal(ours, theirs, rtol, atol, where=""):
    if isinstance(theirs, (bool, int, float, complex)) and hasattr(ours, "dtype"):
        # jax returns some results that are arguments or constants as Python scalars.
        theirs = jax.numpy.asarray(theirs)
    if not hasattr(theirs, "dtype"):
        assert type(ours) is type(theirs) and (ours == theirs or callable(ours)), (where, ours, theirs)
        return
    assert hasattr(ours, "dtype"), (where, ours, theirs)
    assert leaf_type(ours) == leaf_type(theirs), (where, ours, theirs)
    if theirs.dtype == jax.dtypes.float0:
        return
    if isinstance(theirs, jax.ShapeDtypeStruct):
        return
    if is_key(theirs):
        ours, theirs = cyxla.random.key_data(ours), jax.random.key_data(theirs)
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if not np.issubdtype(theirs.dtype, np.number) and theirs.dtype != bool:
        ours, theirs = ours.astype(np.float32), theirs.astype(np.float32)
    np.testing.assert_allclose(ours, theirs, rtol, atol, err_msg=where)


def assert_same(ours, theirs, rtol=2e-5, atol=1e-6):
    """Equal tree structures; equal shapes, dtypes and weak types; values within the tolerance."""
    mine, my_tree = cyxla.tree_util.tree_flatten(ours)
    other, other_tree = jax.tree_util.tree_flatten(theirs)
    assert str(my_tree) == str(other_tree)
    for i, (a, b) in enumerate(zip(mine, other)):
        assert_leaves_equal(a, b, rtol, atol, f"leaf {i}")


def agree(program, rtol=2e-5, atol=1e-6):
    """Runs the program with both modules and compares; returns what Cyxla gave."""
    ours = program(cyxla)
    assert_same(ours, program(jax), rtol, atol)
    return ours


def both_raise(error, program, match=None):
    """Both modules raise the exception of this name (from `errors`, or a builtin one); returns Cyxla's message."""
    theirs = getattr(jax.errors, error, None) or getattr(builtins, error)
    ours = getattr(cyxla.errors, error, None) or getattr(builtins, error)
    with pytest.raises(theirs):
        program(jax)
    with pytest.raises(ours, match=match) as caught:
        program(cyxla)
    return str(caught.value)
