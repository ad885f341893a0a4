"""Types that `vmap` splits and joins by functions of the user's: `register_vmappable`; against jax."""

import importlib

import jax
import numpy as np
import pytest
from compare import assert_same

import cyxla

X = np.arange(12, dtype=np.float32).reshape(3, 4)


class Table:
    """Arrays whose rows, or columns, are elements; not a pytree."""

    def __init__(self, array, weights=None):
        self.array, self.weights = array, weights


class Along:
    def __init__(self, axis):
        self.axis = axis


class Count:
    def __init__(self, number):
        self.number = number


def axis_of(spec):
    return spec.axis if isinstance(spec, Along) else spec


def to_elt(split, index, table, spec):
    return Table(split(table.array, axis_of(spec)), index() if table.weights is None else split(table.weights, 0))


def from_elt(join, size, element, spec):
    return Table(join(size, element.array, axis_of(spec)), size)


@pytest.fixture(autouse=True)
def registered():
    batching = [importlib.import_module(f"{lib.__name__}.interpreters.batching") for lib in (cyxla, jax)]
    for lib, module in zip((cyxla, jax), batching):
        iota = lambda count, lib=lib: lib.numpy.arange(count.number)
        module.register_vmappable(Table, Along, Count, to_elt, from_elt, iota)
    yield
    for module in batching:
        module.unregister_vmappable(Table)


def contents(x):
    return (x.array, x.weights) if isinstance(x, Table) else x


def normed(table):
    return Table(table.array / table.array.sum())


@pytest.mark.parametrize(
    "program",
    [
        lambda m: m.vmap(normed, in_axes=Along(0), out_axes=Along(0), axis_size=3)(Table(X)),
        lambda m: m.vmap(normed, in_axes=(Along(1),), out_axes=Along(0), axis_size=4)(Table(X)),
        lambda m: m.vmap(normed, in_axes=1, out_axes=1, axis_size=4)(Table(X)),
        lambda m: m.vmap(lambda t: t.array * t.weights, in_axes=(Along(0),), axis_size=3)(Table(X)),
        lambda m: m.vmap(lambda t: t.weights, in_axes=(Along(0),), axis_size=Count(3))(Table(X)),
        lambda m: m.vmap(lambda t: t.array * t.weights, in_axes=(Along(1),), axis_size=4)(Table(X, X[0])),
        # The size is that of an array beside it.
        lambda m: m.vmap(lambda t, y: t.array + y, in_axes=(Along(0), 0))(Table(X), X[:, 0]),
        lambda m: m.vmap(lambda y: Table(y * 2), in_axes=1, out_axes=Along(1))(X),
        # A result that is the same for all elements is repeated.
        lambda m: m.vmap(lambda y: Table(m.numpy.ones(2)), out_axes=Along(0))(X),
        lambda m: m.vmap(lambda ts: ts[0].array + ts[1].array, in_axes=(Along(0),), axis_size=3)([Table(X), Table(X)]),
        lambda m: m.vmap(lambda ts: ts[0].array + ts[1].array, in_axes=([Along(0), Along(0)],), axis_size=3)(
            [Table(X), Table(X)]
        ),
        lambda m: m.vmap(lambda *, t: t.array.sum(), axis_size=3)(t=Table(X)),
        lambda m: m.jit(lambda x: m.vmap(lambda t: t.array.sum(), in_axes=Along(0), axis_size=3)(Table(x)))(X),
        lambda m: m.grad(
            lambda x: m.vmap(lambda t: m.numpy.sin(t.array).sum(), in_axes=Along(1), axis_size=4)(Table(x))[1]
        )(X),
        lambda m: m.vmap(
            lambda x: m.vmap(lambda t: t.array * t.weights, in_axes=Along(0), axis_size=4)(Table(x)), in_axes=0
        )(X),
        lambda m: m.vmap(lambda t: m.lax.psum(t.array, "i"), in_axes=Along(0), axis_size=3, axis_name="i", out_axes=0)(
            Table(X)
        ),
        lambda m: m.vmap(lambda t, y: (Table(t.array), y, Table(y)), in_axes=(Along(0), 0), out_axes=(Along(1), 0, 0))(
            Table(X), X
        )[0],
    ],
)
def test_programs(program):
    assert_same(contents(program(cyxla)), contents(program(jax)))


def test_data_is_found_among_results():
    first, y, second = cyxla.vmap(
        lambda t, y: (Table(t.array), y, Table(y)), in_axes=(Along(0), 0), out_axes=(Along(1), 1, 0)
    )(Table(X), X)
    np.testing.assert_array_equal(first.array, X.T)
    np.testing.assert_array_equal(y, X.T)
    np.testing.assert_array_equal(second.array, X)


@pytest.mark.parametrize(
    "program, error, message",
    [
        (lambda: cyxla.vmap(normed, in_axes=Along(0), out_axes=Along(0))(Table(X)), ValueError, "axis_size"),
        (lambda: cyxla.vmap(lambda x: x, in_axes=(Along(0),), axis_size=3)(X), TypeError, "is an array"),
        (
            lambda: cyxla.vmap(lambda t: t.array, in_axes=Along(0), out_axes=Along(0), axis_size=3)(Table(X)),
            ValueError,
            "a result is an array",
        ),
        (
            lambda: cyxla.vmap(normed, in_axes=Along(0), out_axes=None, axis_size=3)(Table(X)),
            ValueError,
            "along the axis None",
        ),
        (lambda: cyxla.vmap(normed, in_axes=Along(2), axis_size=3)(Table(X)), ValueError, "from -2 to 1"),
        (lambda: cyxla.vmap(normed, in_axes=Along(0), axis_size=3)(Table("a")), TypeError, "can be split"),
    ],
)
def test_errors(program, error, message):
    with pytest.raises(error, match=message):
        program()


def test_types_are_forgotten():
    batching = importlib.import_module("cyxla.interpreters.batching")
    batching.unregister_vmappable(Table)
    batching.unregister_vmappable(Table)
    with pytest.raises(TypeError, match="in_axes"):
        cyxla.vmap(normed, in_axes=Along(0), axis_size=3)(Table(X))
    with pytest.raises(TypeError, match="spec_type"):
        batching.register_vmappable(Table, Along(0), int, to_elt, from_elt, None)
