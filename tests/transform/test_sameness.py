"""Fresh functions that are provably the same share their traces; whatever could have changed is seen."""

import functools
import operator
import types
from typing import NamedTuple

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine import dispatch
from cyxla._transform import sameness

X = jnp.arange(3.0)
SCALE = 2.0
LIST = [1.0]
MODULE = types.ModuleType("user_module")
MODULE.factor = 3.0
MODULE.function = lambda v: v * 5.0


class Carry(NamedTuple):
    total: object
    last: object


class Model:
    scale = 1.0

    def __init__(self, weight):
        self.weight = weight

    def step(self, v):
        return v * self.weight * self.scale

    def __call__(self, v):
        return self.step(v)


cyxla.tree_util.register_pytree_node(Model, lambda m: ((m.weight,), None), lambda _, c: Model(*c))


def run(f, x=X):
    """An eager scan, a conditional and a jitted call of the function; one value of each."""
    total, _ = lax.scan(lambda c, v: (c + f(v), None), 0.0, x)
    return [float(total), float(jnp.sum(lax.cond(True, f, lambda v: v, x))), float(jnp.sum(cyxla.jit(f)(x)))]


def compilations(program):
    before = dispatch.stats()
    program()
    after = dispatch.stats()
    return after["compilations"] - before["compilations"], after["traces"] - before["traces"]


SAME = {
    "a lambda": lambda: lambda v: jnp.sin(v) * 2,
    "a global number": lambda: lambda v: v * SCALE,
    "a closed-over number": lambda n=4: (lambda v: v + n) if n else None,
    "defaults": lambda: lambda v, k=3.0, *, j=2: v * k + j,
    "a nested function": lambda: lambda v: (lambda u: u + SCALE)(v),
    "a global array": lambda: lambda v: v + X[0],
    "functions of other modules": lambda: lambda v: cyxla.nn.relu(v) + np.float32(2) * jnp.ones_like(v),
    "builtins": lambda: lambda v: sum([v * i for i in range(3)]) + len("abc"),
    "a partial": lambda: functools.partial(lambda k, v: v * k, 2.0),
    "a transformed function": lambda: cyxla.vmap(lambda v: v * 3.0) and (lambda v: cyxla.jit(jnp.sin)(v)),
    "a loop inside": lambda: lambda v: lax.fori_loop(0, 3, lambda i, u: u + 1.0, v),
}


@pytest.mark.parametrize("name", SAME)
def test_nothing_is_traced_again(name):
    make = SAME[name]

    def program():
        lax.scan(lambda c, v: (c, make()(v)), 0.0, X)
        lax.map(make(), X)
        lax.cond(False, make(), lambda v: v + 0.0, X)
        lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, make()(c[1]) * 1.0), (0, X))
        cyxla.jit(make())(X)

    assert sameness.function_key(make()) is not None
    program()
    assert compilations(program) == (0, 0)


def by_newton(c):
    solve = lambda f, x: lax.fori_loop(0, 3, lambda _, x: x - f(x) / (2 * x), x)
    return lax.custom_root(lambda x: x * x - c, 1.0, solve, lambda g, y: y / g(1.0))


# Each makes its functions anew whenever it is called.
FRESH = {
    "scan": lambda: lax.scan(lambda c, v: (c + v * SCALE, c), 0.0, X),
    "cond": lambda: lax.cond(X[0] > 1, lambda v: v * 2.0, lambda v: v + SCALE, X),
    "switch": lambda: lax.switch(1, [lambda v: v * 2.0, lambda v: v + SCALE, lambda v: v], X),
    "while_loop": lambda: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * SCALE), (0, X)),
    "fori_loop": lambda: lax.fori_loop(0, 3, lambda i, c: c * SCALE + i, X),
    "fori_loop, counted": lambda: lax.fori_loop(0, jnp.int32(3), lambda i, c: c * SCALE + i, X),
    "map": lambda: lax.map(lambda v: v * SCALE, X),
    "map in batches": lambda: lax.map(lambda v: v * SCALE, X, batch_size=2),
    "associative_scan": lambda: lax.associative_scan(lambda a, b: a * b, X),
    "jit": lambda: cyxla.jit(lambda v: v * SCALE)(X),
    "grad": lambda: cyxla.grad(lambda v: (jnp.sin(v) * SCALE).sum())(X),
    "grad of jit": lambda: cyxla.grad(cyxla.jit(lambda v: (jnp.sin(v) * SCALE).sum()))(X),
    "jit of grad": lambda: cyxla.jit(cyxla.grad(lambda v: (jnp.sin(v) * SCALE).sum()))(X),
    "grad of scan": lambda: cyxla.grad(lambda w: lax.scan(lambda c, v: (jnp.sin(c * v) + SCALE, None), w, X)[0])(1.0),
    "vmap": lambda: cyxla.vmap(lambda v: jnp.sin(v) * SCALE)(X),
    "vmap of scan": lambda: cyxla.vmap(lambda w: lax.scan(lambda c, v: (c * v + SCALE, None), w, X)[0])(X),
    "checkpoint": lambda: cyxla.checkpoint(lambda v: jnp.sin(v) * SCALE)(X),
    "grad of checkpoint": lambda: cyxla.grad(cyxla.checkpoint(lambda v: (jnp.sin(v) * SCALE).sum()))(X),
    "custom_root": lambda: by_newton(2.0),
    "custom_linear_solve": lambda: lax.custom_linear_solve(lambda v: v * SCALE, X, lambda _, b: b / SCALE),
}


@pytest.mark.parametrize("name", FRESH)
def test_fresh_functions_of_every_kind(name):
    first = FRESH[name]()
    results = []
    assert compilations(lambda: results.append(FRESH[name]())) == (0, 0)
    for a, b in zip(cyxla.tree.leaves(first), cyxla.tree.leaves(results[0])):
        np.testing.assert_array_equal(a, b)


def test_transformed_functions_that_differ():
    def apply(f):
        return [float(jnp.sum(cyxla.jit(f)(X))), float(lax.scan(lambda c, v: (c + f(v[None])[0], None), 0.0, X)[0])]

    by = lambda n: cyxla.grad(lambda v: (v**2 * n).sum())
    assert [apply(by(n)) for n in (1.0, 2.0, 1.0)] == [[6, 6], [12, 12], [6, 6]]
    assert apply(cyxla.grad(lambda v: (v**2 * SCALE).sum())) == [12, 12]
    weights = [1.0]
    mutable = cyxla.grad(lambda v: (v * weights[0]).sum())
    assert apply(mutable) == [3, 3]
    weights[0] = 2.0
    assert apply(cyxla.grad(lambda v: (v * weights[0]).sum())) == [6, 6]
    pair = [cyxla.grad(lambda v, w: (v * w * w).sum(), i) for i in (0, 1)]
    assert [float(cyxla.jit(f)(X, X + 1).sum()) for f in pair] == [14, 16]
    wrapped = [cyxla.vmap(lambda v, w: v * w, axes) for axes in ((0, None), (None, 0))]
    assert [cyxla.jit(f)(X, X).tolist() for f in wrapped] == [np.outer(X, X).tolist()] * 2
    body = [lambda i, c: c + 1.0, lambda i, c: c + 2.0]
    assert [float(lax.fori_loop(0, 3, f, 0.0)) for f in (*body, *body)] == [3, 6, 3, 6]


def test_modules_that_refer_to_each_other():
    first, second = types.ModuleType("first"), types.ModuleType("second")
    first.second, second.first, second.factor = second, first, 2.0

    def program():
        return float(cyxla.jit(lambda v: v * first.second.first.second.factor)(1.0))

    assert program() == 2
    assert compilations(program) == (0, 0)
    second.factor = 3.0
    assert program() == 3


def test_structures_of_named_tuples_are_followed():
    def program():
        return lax.scan(lambda c, v: (Carry(c.total + v, v), None), Carry(0.0, 0.0), X)

    program()
    assert compilations(program) == (0, 0)


def changes():
    """Functions of a fresh lambda's state: what makes it, how it changes, and whether the two differ for X."""
    global SCALE
    namespace = types.SimpleNamespace(value=2.0)
    cell = 2.0
    array = np.ones(3, np.float32)
    table = {"k": 1.0}
    model = Model(2.0)

    def set_scale(value):
        global SCALE
        SCALE = value

    def set_cell(value):
        nonlocal cell
        cell = value

    def helper(v):
        return v * SCALE

    def outer(v):
        return helper(v) + 1

    yield "a global", lambda: lambda v: v * SCALE, lambda: set_scale(SCALE + 1)
    yield "a global of a function called", lambda: lambda v: outer(v), lambda: set_scale(SCALE + 1)
    yield "a global list", lambda: lambda v: v * LIST[0], lambda: LIST.__setitem__(0, LIST[0] + 1)
    yield (
        "a module's attribute",
        lambda: lambda v: v * MODULE.factor,
        lambda: setattr(MODULE, "factor", MODULE.factor + 1),
    )
    yield (
        "a module's function",
        lambda: lambda v: MODULE.function(v),
        lambda: setattr(MODULE, "function", lambda v: v * 7.0),
    )
    yield "a closed-over module", lambda m=MODULE: lambda v: v * m.factor, lambda: setattr(MODULE, "factor", 77.0)
    yield "a module in a default", lambda: lambda v, m=MODULE: v * m.factor, lambda: setattr(MODULE, "factor", 78.0)
    yield (
        "a module in a partial",
        lambda: functools.partial(lambda m, v: v * m.factor, MODULE),
        lambda: setattr(MODULE, "factor", 79.0),
    )
    yield "a module handed on", lambda: lambda v: read_factor(MODULE, v), lambda: setattr(MODULE, "factor", 80.0)
    yield (
        "an attribute by its name",
        lambda: lambda v: v * operator.attrgetter("factor")(MODULE),
        lambda: setattr(MODULE, "factor", 81.0),
    )
    yield "a nonlocal", lambda: lambda v: v * cell, lambda: set_cell(cell + 1)
    yield "an object", lambda: lambda v: v * namespace.value, lambda: setattr(namespace, "value", 9.0)
    yield "a NumPy array", lambda: lambda v: v * array.sum(), lambda: array.__setitem__(0, 5.0)
    yield "a dictionary", lambda: lambda v: v * table["k"], lambda: table.update(k=4.0)
    yield "a bound method", lambda: model.step, lambda: setattr(model, "weight", 6.0)
    yield "a class attribute", lambda: lambda v: model(v), lambda: setattr(Model, "scale", Model.scale + 1)
    yield "a partial's argument", lambda: functools.partial(lambda t, v: v * t["k"], table), lambda: table.update(k=8.0)
    yield "an attribute of the function", make_with_attribute, lambda: setattr(with_attribute, "factor", 3.0)
    yield "defaults", lambda: lambda v, k=SCALE: v * k, lambda: set_scale(SCALE + 1)
    yield "keyword defaults", lambda: lambda v, *, k=SCALE: v * k, lambda: set_scale(SCALE + 1)
    yield "a mutable default", lambda: lambda v, k=LIST: v * k[0], lambda: LIST.__setitem__(0, LIST[0] + 1)
    yield "code", lambda: lambda v: replaced(v), lambda: setattr(replaced, "__code__", (lambda v: v * 100.0).__code__)
    yield "builtins", lambda: lambda v: v * abs(-2.0), lambda: globals().__setitem__("abs", lambda x: 17.0)


def with_attribute(v):
    return v * with_attribute.factor


with_attribute.factor = 2.0


def read_factor(module, v):
    return v * module.factor


def make_with_attribute():
    return lambda v: with_attribute(v)


def replaced(v):
    return v * 2.0


@pytest.mark.parametrize("index, name", [(i, name) for i, (name, _, _) in enumerate(changes())])
def test_changes_are_seen(index, name):
    _, make, change = list(changes())[index]
    try:
        before = run(make())
        assert run(make()) == before
        change()
        after = run(make())
        expected = [float(make()(v)) for v in X]
    finally:
        globals().pop("abs", None)
    np.testing.assert_allclose(after, [sum(expected)] * 3, rtol=1e-6)
    assert not np.allclose(before, after)


def test_a_jitted_function_traced_later_reads_what_holds_then():
    def make(state):
        def read(v):
            return v * state[0]

        return cyxla.jit(read)

    state = [2.0]
    f = make(state)
    assert float(f(1.0)) == 2
    state[0] = 3.0
    assert float(f(jnp.ones(1))[0]) == 3

    global SCALE
    previous, SCALE = SCALE, 50.0
    try:
        first = cyxla.jit(lambda v: v + SCALE)
        assert float(first(1.0)) == 51
        SCALE = 60.0
        # A new signature: traced now. The old one stays what it was, as in jax.
        assert float(first(jnp.ones(1))[0]) == 61
        assert float(first(1.0)) == 51
        assert float(cyxla.jit(lambda v: v + SCALE)(1.0)) == 61
    finally:
        SCALE = previous


def test_side_effects_of_tracing_happen_each_time():
    seen = []
    for _ in range(2):
        lax.scan(lambda c, v: (seen.append(1) or c + v, None), 0.0, X)
    assert len(seen) == 2

    def counting():
        count = 0

        def f(v):
            nonlocal count
            count += 1
            return v

        lax.map(f, X)
        return count

    assert [counting(), counting()] == [1, 1]


def test_methods_of_arguments_are_not_taken_for_granted():
    def program():
        return float(cyxla.jit(lambda m, v: m.step(v))(Model(2.0), 1.0))

    previous = Model.scale
    try:
        Model.scale = 1.0
        assert program() == 2
        Model.scale = 5.0
        assert program() == 10
    finally:
        Model.scale = previous


def test_static_arguments_are_not_taken_for_granted():
    class Setting:
        value = 1.0

        def __hash__(self):
            return 1

        def __eq__(self, other):
            return isinstance(other, Setting)

    def program():
        return float(cyxla.jit(lambda v, s: v * s.value, static_argnums=1)(2.0, Setting()))

    assert program() == 2
    Setting.value = 4.0
    assert program() == 8


def test_numbers_that_are_equal_are_told_apart():
    def by(k):
        return cyxla.jit(lambda v: v * k)(1)

    assert [by(1).dtype, by(1.0).dtype, by(True).dtype] == [jnp.int32, jnp.float32, jnp.int32]
    assert [str(by(0.0)), str(by(-0.0))] == ["0.0", "-0.0"]


def test_arrays_are_told_apart_by_identity():
    for value in (1.0, 2.0, 3.0):
        array = jnp.full(3, value)
        total, _ = lax.scan(lambda c, v: (c + (v * array).sum(), None), 0.0, X)
        assert float(total) == 9 * value


def test_functions_under_transformations():
    def program(x):
        return lax.scan(lambda c, v: (c + jnp.sin(v * x), None), 0.0, X)[0]

    first = cyxla.grad(program)(1.0)
    again = [cyxla.grad(program)(1.0), cyxla.vmap(cyxla.grad(program))(jnp.ones(2))[1]]
    np.testing.assert_allclose(again, [first, first], rtol=1e-6)
    np.testing.assert_allclose(first, (np.cos(X) * X).sum(), rtol=1e-6)


def test_other_options_are_other_traces():
    def program():
        return lax.map(lambda v: v + np.float64(1) * jnp.ones((), jnp.float64), np.arange(2.0)).dtype

    assert program() == jnp.float32
    with cyxla.enable_x64(True):
        assert program() == jnp.float64
    assert program() == jnp.float32


def test_traces_that_hold_arrays_are_bounded_in_bytes():
    kept = sameness.SharedTraces(max_entries=4, max_bytes=10_000)
    for i in range(20):
        kept.put(i, object(), [jnp.ones(1000)] if i % 2 else [])
    assert len(kept.entries) <= 4
    assert kept.bytes <= 10_000
    assert kept.get(19) is not None and kept.get(0) is None
    assert (kept.hits, kept.misses) == (1, 1)
    kept.put("large", object(), [jnp.ones(10_000)])
    assert kept.get("large") is None
    kept.clear()
    assert kept.bytes == 0 and not kept.entries
