"""`cache_info`, `clear_caches`, bounds: what the library remembers is counted, bounded and forgotten on demand."""

import functools
import gc
import resource
import sys
import threading
import weakref

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp
from cyxla._engine import caches, dispatch
from cyxla._transform import sameness

X = np.array([1.0, 2.0, 3.0], np.float32)


def body(carry, y):
    return carry + y, y


def use():
    f = cyxla.jit(lambda x: jnp.sort(x) + 1)
    f(X)
    x = jnp.asarray(X)
    jnp.einsum("i,i->", x, x), x[1], x.at[1].set(2.0), jnp.sum(x), cyxla.lax.scan(body, 0.0, x)
    return f


def test_every_cache_is_reported_with_a_bound_and_a_rule():
    use()
    info = cyxla.cache_info()
    assert {"eager programs", "signatures of jitted functions", "traces of functions", "abstract evaluation"} <= {*info}
    for name, cache in info.items():
        assert cache.entries >= 0 and cache.rule, name
        assert cache.bound or cache.bytes is not None, name
        assert len(str(info).splitlines()) == len(info) + 2
    assert info.programs["native"] + info.programs["pjrt"] == dispatch.stats()["compilations"]


def test_entries_are_counted_and_cleared():
    cyxla.clear_caches()
    before = cyxla.cache_info()
    f = use()
    info = cyxla.cache_info()
    for name in ("eager programs", "signatures of jitted functions", "traces of functions", "abstract evaluation"):
        assert info[name].entries > before[name].entries, name
    assert info["plans of einsum"].misses >= 1
    cyxla.clear_caches()
    info = cyxla.cache_info()
    assert f._cache_size() == 0
    for name in {*info} - {"options of jitted functions", "executables on disk", "named axes"}:
        assert info[name].entries == 0, name
    use()


def test_functions_that_share_no_entries_are_cleared_too():
    class Model:
        @property
        def step(self):
            return cyxla.jit(self.run)

        def run(self, x):
            return x + 1

    step = Model().step
    step(X)
    assert step._cache_size() == 1
    cyxla.clear_caches()
    assert step._cache_size() == 0
    np.testing.assert_array_equal(step(X), X + 1)


def test_keep_drops_the_oldest_quarter():
    table = {}
    for i in range(8):
        caches.keep(table, i, i, 8, "of a test")
    caches.keep(table, 3, "again", 8, "of a test")
    assert list(table) == list(range(8)) and caches.evicted("of a test") == 0
    caches.keep(table, 8, 8, 8, "of a test")
    assert list(table) == [3, 4, 5, 6, 7, 8] and caches.evicted("of a test") == 3


def test_caches_that_others_fill_meanwhile():
    """One thread jits functions and uses primitives, while this one asks what there is and forgets it."""
    stop, wrong = threading.Event(), []

    def fill():
        try:
            while not stop.is_set():
                jitted = [cyxla.jit(functools.partial(body, i)) for i in range(1000)]
                assert len(jitted) == 1000
                np.testing.assert_array_equal(jnp.concatenate([jnp.ones(2), jnp.ones(1)]), np.ones(3))
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=fill)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(300):
            cyxla.cache_info()
            cyxla.clear_caches()
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert not wrong


def test_a_snapshot_is_taken_again_where_the_table_has_grown():
    tables = weakref.WeakSet([test_two_caches_of_one_name])
    taken = []

    def iterate():
        for table in tables:
            if not taken:
                taken.append(table)
                tables.add(iterate)
            yield table

    assert set(caches.snapshot(iterate)) == {test_two_caches_of_one_name, iterate}
    assert taken == [test_two_caches_of_one_name]


def test_two_caches_of_one_name():
    with pytest.raises(ValueError, match="two caches named 'eager programs'"):
        caches.register("eager programs", None, None)


def test_evicted_signatures_and_eager_programs_work_again(monkeypatch):
    monkeypatch.setattr(dispatch, "SIGNATURE_BOUND", 4)
    monkeypatch.setattr(dispatch, "EAGER_BOUND", 2)
    f = cyxla.jit(lambda x, n: x * n, static_argnums=1)
    for _ in range(2):
        for n in range(6):
            np.testing.assert_array_equal(f(X, n), X * n)
            np.testing.assert_array_equal(jnp.negative(jnp.ones(n + 1)), -np.ones(n + 1))
        assert f._cache_size() <= 4
    assert cyxla.cache_info()["signatures of jitted functions"].evictions > 0


def memory():
    """Resident memory in bytes, once garbage is gone."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_memory_stays_flat_once_bounds_are_reached(monkeypatch):
    """10,000 signatures, traced only: shapes, static values and functions never seen before."""
    monkeypatch.setattr(dispatch, "SIGNATURE_BOUND", 200)
    f = cyxla.jit(lambda x, n: jnp.reshape(x * n, (1, -1)).T, static_argnums=1)

    def run(start, stop):
        for i in range(start, stop):
            f.eval_shape(cyxla.ShapeDtypeStruct((i + 1,), jnp.float32), i)
            cyxla.eval_shape(lambda x, i=i: x + i, 1.0)
            cyxla.tree_util.tree_structure({f"key {i}": (i, [i])})
        return memory()

    # Abstract evaluation keeps 2048 results of each primitive.
    reached = run(0, 4000)
    assert run(4000, 10_000) - reached < 3e6
    assert f._cache_size() <= 200


def make_function(i):
    """A function that no other is the same as; every second one has a code object of its own."""
    if i % 2:
        return lambda x: jnp.sin(x * i) * x
    scope = {"jnp": jnp}
    exec(f"def f{i}(x): return jnp.cos(x * {i}) * x", scope)
    return scope[f"f{i}"]


def transformed(f, i):
    x = cyxla.ShapeDtypeStruct((3,), jnp.float32)
    ways = (
        lambda: cyxla.jit(f).eval_shape(x),
        lambda: cyxla.make_jaxpr(cyxla.grad(lambda x: jnp.sum(f(x))))(x),
        lambda: cyxla.jit(cyxla.vmap(f)).eval_shape(x),
        lambda: cyxla.make_jaxpr(lambda x: cyxla.lax.scan(lambda c, y: (c + f(y), c), 0.0, x))(x),
        lambda: cyxla.jit(cyxla.grad(lambda x: jnp.sum(cyxla.vmap(f)(x)))).eval_shape(x),
    )
    return ways[i % len(ways)]()


def test_memory_stays_flat_through_retraces_of_functions_that_differ(monkeypatch):
    """10,000 functions never seen before, jitted, differentiated, batched and scanned, and compiled now and then."""
    monkeypatch.setattr(sameness.traces, "max_entries", 200)
    monkeypatch.setattr(sameness, "_reads_of", functools.lru_cache(200)(sameness._reads_of.__wrapped__))

    def run(start, stop):
        for i in range(start, stop):
            transformed(make_function(i), i)
            if i % 200 == 0:
                make_function(i + 1)(X), cyxla.jit(make_function(i))(X)
        return memory()

    reached = run(0, 4000)
    assert run(4000, 10_000) - reached < 3e6


def test_memory_stays_flat_through_a_million_calls():
    f = cyxla.jit(lambda x: x + 1)
    g = cyxla.jit(lambda tree, n: {"sum": tree["a"] + tree["b"] * n}, static_argnames="n")
    x = jnp.asarray(X)
    tree = {"a": x, "b": x}

    def run(calls):
        for _ in range(calls // 10):
            f(x), f(x), f(x), f(x), f(2.0), f(2.0), f(X), x + x
            g(tree, n=1), g(tree, n=2)
        return memory()

    reached = run(20_000)
    assert run(1_000_000) - reached < 1e6


def test_the_collector_looks_only_at_equations_that_may_be_part_of_a_cycle():
    def f(x):
        return cyxla.jit(lambda x: jnp.sin(x))(x @ x) + 1

    call, product, plain = {}, None, None
    for eqn in cyxla.make_jaxpr(f)(jnp.ones((2, 2))).jaxpr.eqns:
        assert not gc.is_tracked(eqn.invars) and not gc.is_tracked(eqn.outvars)
        if eqn.primitive.name == "jit":
            call = eqn
        elif eqn.primitive.name == "dot_general":
            product = eqn
        else:
            plain = eqn
    assert gc.is_tracked(call) and gc.is_tracked(call.params)
    assert not gc.is_tracked(product) and not gc.is_tracked(plain)
    assert product.params["dimension_numbers"] == (((1,), (0,)), ((), ()))


def test_a_cycle_through_an_equation_is_garbage():
    class Marker:
        pass

    def trace():
        marker = Marker()

        def f(x):
            return marker and cyxla.jit(g)(x)

        def g(x):
            return jnp.sin(x)

        jaxpr = cyxla.make_jaxpr(f)(1.0)
        marker.jaxpr, marker.equation = jaxpr, jaxpr.jaxpr.eqns[0]
        jaxpr.jaxpr.eqns[0].params["jaxpr"].derived["marker"] = marker
        return weakref.ref(marker)

    marker = trace()
    cyxla.clear_caches()
    gc.collect()
    assert marker() is None
