"""`explain`: what is written down at a miss, hits that are counted, the warning of too many compilations."""

import functools
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
import weakref

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp
from cyxla import lax
from cyxla._core.config import OPTIONS, config
from cyxla._transform import records, sameness
from cyxla.errors import RecompilationWarning

X = np.array([1.0, 2.0, 3.0], np.float32)
HERE = os.path.abspath(__file__)
recompilation_warning = OPTIONS["cyxla_recompilation_warning"]


@pytest.fixture(autouse=True)
def nothing_known():
    """The functions of these tests have few codes, by which they are known."""
    records._histories.clear()
    sameness.traces.clear()


def misses(f):
    """The changes of each miss of a function so far, but the first."""
    return [
        [(change.kind, change.what, change.before, change.after) for change in record.changes]
        for history in records.find(f)
        for record in list(history.records)[1:]
    ]


def traced(f, *calls):
    """What had changed at each of some calls, traced without compiling."""
    for args, kwargs in calls:
        f.eval_shape(*args, **kwargs)
    return misses(f)


def struct(shape, dtype="float32", weak_type=False):
    return cyxla.ShapeDtypeStruct(shape, dtype, weak_type=weak_type)


# -- which change is named


@pytest.mark.parametrize(
    "first, second, changes",
    [
        (((struct((3,)),), {}), ((struct((4,)),), {}), [("shape", "x", "(3,)", "(4,)")]),
        (((struct((3,)),), {}), ((struct((3,), "int32"),), {}), [("dtype", "x", "float32", "int32")]),
        (((1.0,), {}), ((np.float32(1),), {}), [("weak type", "x", "True", "False")]),
        (
            ((struct((3,)),), {}),
            ((struct((), "int32"),), {}),
            [("shape", "x", "(3,)", "()"), ("dtype", "x", "float32", "int32")],
        ),
        (((X, {"w": X}), {}), ((X, {"w": X[:2]}), {}), [("shape", "y['w']", "(3,)", "(2,)")]),
        (((X,), {"y": X}), ((X,), {"y": X[:2]}), [("shape", "y", "(3,)", "(2,)")]),
        (((X, 1, 2), {}), ((X, 1, X), {}), [("shape", "args[2]", "()", "(3,)"), ("dtype", "args[2]", "int32", "float32"), ("weak type", "args[2]", "True", "False")]),
    ],
)  # fmt: skip
def test_arguments(first, second, changes):
    f = cyxla.jit(lambda x, y=0, *more: x)
    assert traced(f, first, second) == [changes]


def test_structure():
    f = cyxla.jit(lambda x, **more: 1.0)
    calls = ([X],), ([X, X],), ((X, X),), ({"a": X},), ({"b": X},)
    found = traced(f, *[(args, {}) for args in calls])
    assert [[(kind, what) for kind, what, _, _ in changes] for changes in found] == 4 * [[("tree structure", "x")]]
    assert [changes[0][2:] for changes in found] == [
        ("list of 1", "list of 2"),
        ("list of 2", "tuple of 2"),
        ("tuple of 2", "dict of 'a'"),
        ("dict of 'a'", "dict of 'b'"),
    ]
    f.eval_shape(X, more=1)
    assert [change[:2] for change in misses(f)[-1]] != []


def test_structure_of_arguments_as_a_whole():
    f = cyxla.jit(lambda *args, **kwargs: 1.0)
    found = traced(f, ((X,), {}), ((X, X), {}), ((X, X), {"a": X}))
    assert [changes[0][:2] for changes in found] == [
        ("tree structure", "arguments"),
        ("tree structure", "keyword arguments"),
    ]


def test_static_values():
    f = cyxla.jit(lambda x, n, mode="a": x, static_argnums=1, static_argnames="mode")
    found = traced(
        f, ((X, 1), {}), ((X, 2), {}), ((X, 2), {"mode": "b"}), ((X, 2), {"mode": "c"}), ((X, 2.0), {"mode": "c"})
    )
    assert found == [
        [("static value", "n", "1", "2")],
        [("static value", "mode", "absent", "'b'")],
        [("static value", "mode", "'b'", "'c'")],
        [("static value", "n", "2", "2.0")],
    ]  # fmt: skip


def test_static_values_that_print_alike():
    class Same:
        def __repr__(self):
            return "Same()"

    f = cyxla.jit(lambda x, s: x, static_argnums=1)
    assert traced(f, ((X, Same()), {}), ((X, Same()), {})) == [[("static value", "s", "Same()", "Same()")]]
    assert "another object" in records.find(f)[0].records[1].why()


def test_what_the_users_classes_cannot_do_fails_no_call():
    class array:  # reprlib has a way of its own for types of this name
        def __init__(self, n):
            self.n = n

        def __hash__(self):
            return self.n

        def __eq__(self, other):
            return self.n == other.n

        def __repr__(self):
            raise ValueError("no")

    @cyxla.tree_util.register_pytree_node_class
    class Strict:
        def __init__(self, x, size):
            self.x, self.size = x, x.ndim + size

        def tree_flatten(self):
            return (self.x,), self.size - self.x.ndim

        @classmethod
        def tree_unflatten(cls, size, children):
            return cls(*children, size)

    f = cyxla.jit(lambda s, n: s.x, static_argnums=1)
    found = traced(
        f,
        ((Strict(X, 1), array(1)), {}),
        ((Strict(X[:2], 1), array(1)), {}),
        ((Strict(X, 1), array(2)), {}),
        ((Strict(X, 2), array(2)), {}),
    )
    assert [[change[:2] for change in changes] for changes in found] == [
        [("shape", "leaf 0")],
        [("static value", "n")],
        [("tree structure", "arguments")],
    ]  # fmt: skip


def test_configuration_and_named_axes():
    f = cyxla.jit(lambda x: x * 2)
    f.eval_shape(X)
    with cyxla.default_matmul_precision("highest"):
        f.eval_shape(X)
    assert misses(f) == [[("configuration", "jax_default_matmul_precision", "None", "'highest'")]]
    g = cyxla.jit(lambda x: x * 3)
    g.eval_shape(X[0])
    cyxla.vmap(g, axis_name="i")(X)
    assert misses(g)[0] == [("named axes", "named axes", "()", "(('i', 3),)")]


def test_device():
    f = cyxla.jit(lambda x: x * 2)
    f(X)
    f(cyxla.device_put(X, cyxla.devices()[0]))
    ((kind, _, before, after),) = misses(f)[0]
    assert (kind, before, after) == ("device", "None", str(cyxla.devices()[0]))


def make(n, table=()):
    return cyxla.jit(lambda x: x * n + len(table))


def test_a_function_whose_closure_differs():
    for n in (1, 2, 2):
        make(n).eval_shape(X)
    assert misses(make(0)) == [[("function", "closure variable n", "1", "2")]]


def test_a_function_that_cannot_be_proved_to_be_the_same():
    for _ in range(2):
        cyxla.jit(lambda x, table=[]: x * len(table)).eval_shape(X)
        f = cyxla.jit(lambda x: x * len(mutable))
        f.eval_shape(X)
    (record,) = list(records.find(f)[0].records)[1:]
    assert [change.kind for change in record.changes] == ["function"]
    assert "list" in record.why()


mutable = [1, 2]


def test_methods_and_partials():
    class Model:
        def run(self, x, n=1):
            return x * n

    model = Model()
    for n in (1, 2):
        cyxla.jit(functools.partial(pure, n=n)).eval_shape(X)
    assert misses(functools.partial(pure, n=0)) == [[("function", "bound argument n", "1", "2")]]
    f = cyxla.jit(model.run)
    f.eval_shape(X)
    cyxla.jit(Model().run).eval_shape(X)
    (((kind, what, _, _),),) = misses(f)
    assert (kind, what) == ("function", "run")


def pure(x, n):
    return x * n


def test_the_nearest_call_is_the_one_compared_with():
    f = cyxla.jit(lambda x, y: x)
    found = traced(f, ((X, X), {}), ((1, 2.0), {}), ((X, X[:2]), {}), ((1, 2), {}))
    assert found[1:] == [[("shape", "y", "(3,)", "(2,)")], [("dtype", "y", "float32", "int32")]]


def test_caches_that_were_cleared():
    f = cyxla.jit(lambda x: x * 5)
    f.eval_shape(X)
    f.clear_cache()
    records_before = len(misses(f))
    sameness.traces.clear()
    f.eval_shape(X)
    assert records_before == 0 and [change[0] for change in misses(f)[0]] == ["forgotten"]


def test_a_function_that_closes_over_an_outer_tracer():
    @cyxla.jit
    def outer(x):
        inner = cyxla.jit(lambda y: y * x)
        for _ in range(2):
            inner.eval_shape(X)
        outer.inner = inner.__wrapped__
        return inner(X)

    outer.eval_shape(X)
    assert "outer trace" in [change[0] for change in misses(outer.inner)[-1]]


def test_many_changes_are_summed_up():
    f = cyxla.jit(lambda *args: args[0])
    found = traced(f, ([X] * 20, {}), ([X[:2]] * 20, {}))
    assert len(found[0]) == records.CHANGES_BOUND
    assert found[0][-1] == ("shape", "13 more", None, None)


# -- where, and at what cost


def test_where_the_call_is():
    f = cyxla.jit(lambda x: x + 7)
    line = sys._getframe().f_lineno + 1
    f(X)
    found = cyxla.explain(f)(X)
    (site,) = found["history"]
    assert (site["file"], site["line"], site["caller"]) == (HERE, line, "test_where_the_call_is")
    assert found["defined"] == f"{HERE}:{line - 2}"
    assert min(site["trace_s"], site["lower_s"], site["compile_s"]) > 0 and site["compilations"] == 1


def test_how_it_runs():
    with OPTIONS["cyxla_native"](False):
        (site,) = cyxla.explain(cyxla.jit(lambda x: x + 8))(X)["sites"]
    assert site["runs"] == "pjrt" and site["why_not_native"]
    compiled = cyxla.jit(lambda x: x + 9)
    (site,) = cyxla.explain(compiled)(X)["sites"]
    assert site["runs"] == compiled.entries[next(iter(compiled.entries))].executable.execution_path.partition(":")[0]


def test_all_sites_of_a_call():
    inner = cyxla.jit(lambda x: x * 2, inline=False)

    def step(carry, x):
        return carry + x, x

    def program(x):
        y = jnp.sort(inner(x))
        total, _ = lax.scan(step, 0.0, y)
        return total + jnp.sum(cyxla.grad(lambda x: jnp.sum(inner(x)))(y)), {"y": y}

    found = cyxla.explain(program)(jnp.asarray(X))
    assert float(found.result[0]) == 2 * X.sum() + 6 and list(found.result[1]) == ["y"]
    kinds = {(site["kind"], site["name"]) for site in found["sites"]}
    assert {("jit", "<lambda>"), ("operation", "sort"), ("scan", "step")} <= kinds
    again = cyxla.explain(program)(jnp.asarray(X))
    assert not any(site["new"] for site in again["sites"] if site["kind"] != "operation")
    assert all(site["hits_in_call"] >= 1 for site in again["sites"])
    assert found["misses"] == 0 and found["history"] == []


def test_a_traced_function_is_part_of_another():
    inner = cyxla.jit(lambda x: x * 3)
    found = cyxla.explain(cyxla.jit(lambda x: inner(x) + 1))(X)
    assert [(site["new"], site["runs"] is None) for site in found["sites"]] == [(True, True), (True, False)]
    assert "in a larger program" in str(found)


def test_eager_scan_of_a_new_function():
    scale = [2.0]
    for _ in range(2):
        found = cyxla.explain(lambda: lax.scan(lambda c, x: (c + scale[0], None), 0.0, jnp.asarray(X)))()
    (site,) = [site for site in found["sites"] if site["kind"] == "scan"]
    assert site["new"] and "list" in site["why"] and site["trace_s"] > 0


# -- hits


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    "args, kwargs",
    [((X,), {}), ((jnp.asarray(X),), {}), ((1.5,), {}), ((2,), {}), (({"a": X, "b": [X]},), {}), ((), {"x": X}), ((X, 3), {}), ((X,), {"n": 3}), ((cyxla.device_put(X, cyxla.devices()[0]),), {})],
)  # fmt: skip
def test_hits(native, args, kwargs):
    with OPTIONS["cyxla_native"](native):
        f = cyxla.jit(lambda x, n=1: cyxla.tree.map(lambda leaf: leaf * n, x), static_argnames="n")
        for _ in range(6):
            f(*args, **kwargs)
        (history,) = records.find(f)
        assert (history.misses, history.hits) == (1, 5)
        f(*args, **kwargs)
        assert history.hits == 6
        found = cyxla.explain(f)(*args, **kwargs)
    assert (found["hits"], found["misses"], found["sites"][0]["hits_in_call"]) == (7, 1, 1)


def test_hits_of_two_signatures_in_turn_and_of_donated_arguments():
    f = cyxla.jit(lambda x: x + 1, donate_argnums=0)
    for _ in range(4):
        f(jnp.asarray(X)), f(jnp.asarray(X[:2]))
    assert [record.tally.hits for record in records.find(f)[0].records] == [3, 3]


def test_hits_under_a_trace_and_of_the_same_function_made_again():
    f = cyxla.jit(lambda x: x * 4)
    f(1.0), cyxla.grad(f)(1.0), cyxla.grad(f)(2.0)
    assert records.find(f)[0].hits == 2
    for _ in range(5):
        found = cyxla.explain(cyxla.jit(lambda x: x - 4))(X)
    assert (found["misses"], found["hits"], found["compilations"]) == (1, 4, 1)


def test_hits_of_operations():
    def hits():
        histories = [h for k, h in records._histories.items() if k == ("operation", "atan2")]
        return sum(h.hits for h in histories), sum(h.misses for h in histories)

    x = jnp.ones(11)
    lax.atan2(x, x)
    before = hits()
    for _ in range(5):
        lax.atan2(x, x)
    assert hits() == (before[0] + 5, before[1])


def test_hits_of_programs_no_longer_listed_are_counted():
    f = cyxla.jit(lambda x, n: x, static_argnums=1)
    n = 3 * records.RECORD_BOUND
    for _ in range(3):
        for i in range(n):
            f.eval_shape(X, i)
    (history,) = records.find(f)
    assert (history.misses, history.hits, len(history.records)) == (n, 2 * n, records.RECORD_BOUND)
    f.clear_cache()
    for i in range(n, 6 * n):
        f.eval_shape(X, i)
        f.clear_cache()
        sameness.traces.clear()
    assert history.hits == 2 * n and len(history._retired) < 3 * n


# -- the object, and errors


def test_the_mapping_and_the_table():
    f = cyxla.jit(lambda x: x * 6)
    f(X)
    found = cyxla.explain(f)(X[:2])
    assert set(found) == {"function", "defined", "hits", "misses", "compilations", "sites", "history"}
    assert len(found) == 7 and found["function"] == "<lambda>"
    text = str(found)
    assert text == repr(found)
    for part in (HERE, "x: shape (3,) -> (2,)", "so far: 0 hits, 2 misses", "first call", "XLA"):
        assert part in text
    plain = found.as_dict()
    assert json.loads(json.dumps(plain)) == json.loads(json.dumps(dict(found)))
    np.testing.assert_array_equal(found.result, X[:2] * 6)
    assert "nothing was compiled" in str(cyxla.explain(lambda: None)())


def test_older_misses_are_not_listed():
    f = cyxla.jit(lambda x, n: x * 6, static_argnums=1)
    for i in range(records.RECORD_BOUND + 5):
        f.eval_shape(X, i)
    assert "(6 older ones are not listed)" in str(cyxla.explain(f)(X, -1))


def test_errors():
    with pytest.raises(TypeError, match="explain takes a function"):
        cyxla.explain(3)
    with pytest.raises(ZeroDivisionError):
        cyxla.explain(lambda: 1 / 0)()
    assert not records._listeners.stack

    def broken(x):
        raise KeyError("x")

    with pytest.raises(KeyError):
        cyxla.explain(cyxla.jit(broken))(X)
    assert records.find(broken) == []


# -- the option that logs, the warning


def test_explain_cache_misses_logs(caplog):
    f = cyxla.jit(lambda x: x * 12)
    with caplog.at_level(logging.WARNING, logger="cyxla"):
        f.eval_shape(X)
        with cyxla.explain_cache_misses():
            f.eval_shape(X)
            f.eval_shape(X[:2])
    (message,) = [record.getMessage() for record in caplog.records]
    assert "x: shape (3,) -> (2,)" in message and HERE in message and "float32[2]" in message


def test_the_warning():
    f = cyxla.jit(lambda x: x + 13)
    with recompilation_warning(2), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(1, 6):
            f(np.ones(n, np.float32))
    (warning,) = caught
    assert issubclass(warning.category, RecompilationWarning) and issubclass(warning.category, UserWarning)
    text = str(warning.message)
    assert warning.filename == HERE
    for part in ("<lambda>", HERE, "compiled 3 times", "x (shape)", "Pad arrays"):
        assert part in text


@pytest.mark.parametrize("limit", [0, None])
def test_the_warning_switched_off(limit):
    f = cyxla.jit(lambda x: x + 14)
    with recompilation_warning(limit), warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(1, 4):
            f(np.ones(n, np.float32))


def test_the_warning_is_of_functions_made_anew_and_not_of_traces():
    def use(values):
        return cyxla.jit(lambda x: x + values[0])(X)

    with recompilation_warning(2), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(8):
            cyxla.jit(lambda x: x + 15).eval_shape(np.ones(n))
        assert not caught
        for n in range(4):
            use([n])
    (warning,) = caught
    assert "Make the function once" in str(warning.message)


def test_the_option():
    assert config.cyxla_recompilation_warning == 200
    with pytest.raises(ValueError, match="cyxla_recompilation_warning"):
        config.update("cyxla_recompilation_warning", "often")
    code = "import cyxla; print(cyxla.config.cyxla_recompilation_warning)"
    environment = {**os.environ, "CYXLA_RECOMPILATION_WARNING": "7"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).stdout.strip() == b"7"


# -- memory, threads


def test_it_is_a_cache_with_a_bound(monkeypatch):
    monkeypatch.setattr(records, "FUNCTION_BOUND", 8)
    for i in range(20):
        scope = {}
        exec(f"def f(x): return x + {i}", scope)
        cyxla.jit(scope["f"]).eval_shape(X)
    info = cyxla.cache_info()[records.NAME]
    assert len(records._histories) <= 8 and info.rule and info.bound
    cyxla.clear_caches()
    assert cyxla.cache_info()[records.NAME].entries == 0


def test_nothing_of_the_user_is_kept_alive():
    class Static:
        pass

    def call():
        value = Static()

        def f(x, s):
            return x + len(held)

        held = [value]
        cyxla.jit(f, static_argnums=1).eval_shape(X, value)
        return weakref.ref(value), weakref.ref(f)

    value, f = call()
    gc.collect()
    assert value() is None and f() is None


def test_threads():
    f = cyxla.jit(lambda x, n: x * n, static_argnums=1)
    errors = []

    def work(k):
        try:
            for i in range(40):
                f.eval_shape(X, (i + 7 * k) % 50)
                found = cyxla.explain(make(i % 3))(X)
                assert len([s for s in found["sites"] if s["new"]]) <= 1
                str(found)
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    (history,) = records.find(f)
    assert not errors and history.misses >= 50
    assert len(history.records) == records.RECORD_BOUND
    assert [record.number for record in history.records] == sorted(record.number for record in history.records)
