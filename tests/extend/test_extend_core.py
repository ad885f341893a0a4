"""`core`, `extend.core`, `interpreters.partial_eval` and `interpreters.ad` apart from rules; against jax."""

import importlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
from compare import assert_same, in_both

import cyxla

X = np.arange(3, dtype=np.float32)
OURS, THEIRS = MODULES = in_both(
    api_util="api_util",
    core="core",
    linear_util="extend.linear_util",
    source_info_util="extend.source_info_util",
    ad="interpreters.ad",
    batching="interpreters.batching",
    partial_eval="interpreters.partial_eval",
    tree_util="tree_util",
    xcore="extend.core",
)


def wrapped(lib, fun, *args):
    return lib.linear_util.wrap_init(fun, debug_info=lib.api_util.debug_info("test", fun, args, {}))


@pytest.mark.parametrize(
    "program",
    [
        lambda m: m.core.eval_jaxpr(m.jax.make_jaxpr(lambda x: (x * 2, x + X))(X).jaxpr, [X], X),
        lambda m: m.xcore.jaxpr_as_fun(m.jax.make_jaxpr(lambda x: (x * 2, x + X))(X))(X),
        lambda m: [m.core.max_dim(2, 3), m.core.min_dim(2, 3)],
        lambda m: [m.xcore.valid_jaxtype(x) for x in (1, 1.0, "a", X, np.float32(1), None, object(), True, 1j)],
        lambda m: [str(m.xcore.primal_dtype_to_tangent_dtype(np.dtype(d))) for d in ("float32", "int32", "complex64")],
        lambda m: m.xcore.mapped_aval(3, 1, m.core.ShapedArray((2, 3), np.float32)).shape,
        lambda m: m.xcore.unmapped_aval(3, 1, m.core.ShapedArray((2,), np.float32)).shape,
        lambda m: m.xcore.mapped_aval(3, None, m.core.ShapedArray((2,), np.float32)).shape,
        lambda m: m.xcore.concrete_or_error(int, m.jnp.array(3)),
        lambda m: m.xcore.concrete_or_error(None, m.jnp.array(3)),
        lambda m: len(list(m.xcore.subjaxprs(m.jax.make_jaxpr(m.jax.jit(m.jnp.sin))(1.0).jaxpr))),
        lambda m: len(list(m.xcore.jaxprs_in_params(m.jax.make_jaxpr(m.jax.jit(m.jnp.sin))(1.0).eqns[0].params))),
        lambda m: m.xcore.check_jaxpr(m.jax.make_jaxpr(lambda x: m.jnp.sin(x) + 1)(X).jaxpr),
        lambda m: m.xcore.get_opaque_trace_state() == m.xcore.get_opaque_trace_state(),
        lambda m: m.jax.jit(lambda x: x + int(m.xcore.unsafe_am_i_under_a_jit_DO_NOT_USE()))(1),
        lambda m: m.jax.vmap(lambda x: x + int(m.xcore.unsafe_am_i_under_a_vmap_DO_NOT_USE()))(X),
        lambda m: [m.xcore.unsafe_am_i_under_a_jit_DO_NOT_USE(), m.xcore.unsafe_am_i_under_a_vmap_DO_NOT_USE()],
        lambda m: m.jax.vmap(lambda x: x + len(m.xcore.unsafe_get_axis_names_DO_NOT_USE()), axis_name="i")(X),
        lambda m: isinstance(m.core.ShapedArray((), np.float32), m.core.AbstractValue),
        lambda m: [m.ad.zeros_like_aval(m.core.ShapedArray((2,), np.float32)), m.ad.add_jaxvals(X, X)],
        lambda m: m.ad.instantiate_zeros(m.ad.Zero(m.core.ShapedArray((2,), np.float32))),
        lambda m: m.ad.add_tangents(m.ad.Zero(m.core.ShapedArray((3,), np.float32)), X),
        lambda m: m.batching.broadcast(m.jnp.ones((2, 3)), 4, 1, None).shape,
        lambda m: m.batching.bdim_at_front(m.jnp.ones((2, 3)), 1, 3).shape,
        lambda m: m.batching.bdim_at_front(m.jnp.ones((2, 3)), None, 4).shape,
        lambda m: repr(m.ad.UndefinedPrimal(m.core.ShapedArray((2,), np.float32))).startswith("UndefinedPrimal("),
    ],
)
def test_functions(program):
    assert_same(program(OURS), program(THEIRS))


def test_a_bad_jaxpr_is_found():
    jaxpr = cyxla.make_jaxpr(lambda x: cyxla.numpy.sin(x) + 1)(X).jaxpr
    first, second = jaxpr.eqns
    with pytest.raises(OURS.xcore.JaxprTypeError, match="not defined"):
        OURS.xcore.check_jaxpr(jaxpr.replace(eqns=[second]))
    wrong = OURS.xcore.Var(OURS.core.ShapedArray((7,), np.float32))
    with pytest.raises(OURS.xcore.JaxprTypeError, match=r"f32\[3\]|float32\[3\]"):
        OURS.xcore.check_jaxpr(jaxpr.replace(eqns=[first.replace(outvars=[wrong])], outvars=[wrong]))


def test_jaxprs_built_by_hand():
    core = OURS.xcore
    new_var = core.gensym()
    x, y = (new_var(OURS.core.ShapedArray((), np.float32)) for _ in range(2))
    eqn = core.new_jaxpr_eqn([x, x], [y], core.primitives.mul_p, {}, core.no_effects)
    jaxpr = core.Jaxpr([], [x], [y], [eqn], core.no_effects)
    core.check_jaxpr(jaxpr)
    assert core.jaxpr_as_fun(core.ClosedJaxpr(jaxpr, []))(3.0) == [9.0]
    assert isinstance(eqn, core.JaxprEqn) and isinstance(x, core.Var) and not isinstance(x, core.DropVar)


def test_concretization_says_the_context():
    for m in MODULES:
        with pytest.raises(m.jax.errors.ConcretizationTypeError, match="this is why"):
            m.jax.jit(lambda x, m=m: m.xcore.concrete_or_error(int, x, "this is why"))(1)


def test_deprecated_names_of_core():
    for name in ("DropVar", "find_top_trace", "get_opaque_trace_state", "valid_jaxtype", "is_concrete"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(OURS.core, name)
        assert [w.category for w in caught] == [DeprecationWarning], name
    with pytest.raises(AttributeError):
        getattr(OURS.core, "nothing")  # noqa: B009


# traces ---------------------------------------------------------------------------------------------------------------


def counting(m):
    """A function transformation that counts multiplications, as a trace of its own."""

    class Count(m.core.Trace):
        def __init__(self, parent):
            super().__init__()
            self.parent_trace, self.count = parent, 0

        def process_primitive(self, primitive, args, params):
            with m.xcore.set_current_trace(self.parent_trace):
                values = [a.val if isinstance(a, Counted) and a._trace is self else a for a in args]
                self.count += primitive.name == "mul"
                out = primitive.bind(*values, **params)
            return [Counted(self, o) for o in out] if primitive.multiple_results else Counted(self, out)

    class Counted(m.core.Tracer):
        def __init__(self, trace, val):
            super().__init__(trace, m.jax.typeof(val))
            self.val = val

    def count(fun, *args):
        args = [m.jnp.asarray(x) for x in args]
        with m.xcore.take_current_trace() as parent:
            trace = Count(parent)
            tracers = [Counted(trace, x) for x in args]
            with m.xcore.set_current_trace(trace):
                out = fun(*tracers)
        return out.val, trace.count

    return count


def test_a_trace_of_ones_own():
    results = []
    for m in MODULES:
        count = counting(m)
        f = lambda x: m.jax.lax.mul(m.jax.lax.sin(m.jax.lax.mul(x, x)), x)
        inside = m.jax.jit(lambda x: count(f, x))(X)
        results.append([count(f, X), inside, m.jax.grad(lambda x: count(f, x)[0])(1.0)])
    assert_same(*results)


def test_current_trace_is_restored():
    core = OURS.xcore
    seen = []

    def f(x):
        with core.take_current_trace() as trace:
            seen.append(type(core.find_top_trace(())).__name__)
            with core.set_current_trace(trace):
                y = x + 1
        return y * 2

    assert cyxla.jit(f)(1.0) == 4.0
    assert seen == ["EvalTrace"]


def test_evaluation_while_tracing():
    for m in MODULES:

        def f(x, m=m):
            with m.core.ensure_compile_time_eval():
                n = int(m.jnp.arange(4).sum())
            with m.core.eval_context():
                k = int(m.jnp.ones(2).sum())
            return x * n + k

        assert m.jax.jit(f)(2) == 14


def test_trace_states():
    core = OURS.xcore
    outside, states = core.get_opaque_trace_state(), []
    cyxla.jit(lambda x: (states.extend([core.get_opaque_trace_state(), core.get_opaque_trace_state()]), x)[1])(1)
    assert states[0] == states[1] != outside == core.get_opaque_trace_state()


# partial evaluation ---------------------------------------------------------------------------------------------------


def test_trace_to_jaxpr_dynamic():
    results = []
    for m in MODULES:
        fun = wrapped(m, lambda x: [m.jnp.sin(x), x * X], X)
        jaxpr, avals, consts = m.partial_eval.trace_to_jaxpr_dynamic(fun, [m.core.ShapedArray((3,), np.float32)])
        results.append([m.core.eval_jaxpr(jaxpr, consts, X), [a.shape for a in avals]])
    assert_same(*results)


@pytest.mark.parametrize("instantiate", [False, True, [True, False, False]])
def test_trace_to_jaxpr_nounits(instantiate):
    results = []
    for m in MODULES:
        pe = m.partial_eval
        known, unknown = (
            pe.PartialVal.known(m.jnp.array(X)),
            pe.PartialVal.unknown(m.core.ShapedArray((3,), np.float32)),
        )

        def f(x, y, m=m):
            assert float(x.sum()) == 3  # what is known is known
            return [m.jnp.sin(x), x * y, y + 1]

        jaxpr, pvals, consts = pe.trace_to_jaxpr_nounits(wrapped(m, f, X, X), [known, unknown], instantiate)
        assert len(jaxpr.invars) == 1
        rest = iter(m.core.eval_jaxpr(jaxpr, consts, X))
        results.append([(p.is_known(), p.get_known() if p.is_known() else next(rest)) for p in pvals])
    assert_same(*results)


@pytest.mark.parametrize("used", [[True, False], [False, True], [False, False]])
def test_dce(used):
    results = []
    for m in MODULES:
        jaxpr = m.jax.make_jaxpr(lambda x, y: (m.jnp.sin(x) + X, y * 2))(X, X).jaxpr
        out, inputs = m.partial_eval.dce_jaxpr(jaxpr, used)
        kept, all_inputs = m.partial_eval.dce_jaxpr(jaxpr, used, instantiate=True)
        consts = m.partial_eval.dce_jaxpr_consts(jaxpr, used)
        results.append(
            [len(out.eqns), inputs, len(kept.invars), all_inputs, len(consts[0].constvars), consts[1], consts[2]]
        )
    assert_same(*results)


def test_dce_rules():
    pe, p = OURS.partial_eval, OURS.xcore.Primitive("pair")
    p.multiple_results = True
    p.def_abstract_eval(lambda x, *, call_jaxpr: call_jaxpr.out_avals)
    inner = cyxla.make_jaxpr(lambda x: (cyxla.numpy.sin(x), cyxla.numpy.cos(x)))(X)
    jaxpr = cyxla.make_jaxpr(lambda x: p.bind(x, call_jaxpr=inner))(X).jaxpr
    pe.dce_rules[p] = pe.dce_jaxpr_closed_call_rule
    try:
        out, used = pe.dce_jaxpr(jaxpr, [False, True])
    finally:
        del pe.dce_rules[p]
    assert used == [True]
    assert [e.primitive.name for e in out.eqns[0].params["call_jaxpr"].eqns] == ["cos"] and len(
        out.eqns[0].outvars
    ) == 1


def test_jvp_and_linearize_of_flat_functions():
    ad = OURS.ad
    fun = OURS.linear_util.wrap_init(lambda x, y: [cyxla.numpy.sin(x) * y, y])
    outs, tangents = ad.jvp(fun, (X, X), (X, ad.Zero.from_primal_value(cyxla.numpy.array(X))))
    assert np.allclose(tangents[0], np.cos(X) * X * X) and np.array_equal(tangents[1], 0 * X)
    outs, linear = ad.linearize(fun, (X, X))
    assert np.allclose(outs[0], np.sin(X) * X)
    assert np.allclose(linear(X, X)[0], np.cos(X) * X * X + np.sin(X) * X) and np.array_equal(linear(X, X)[1], X)


# linear_util and api_util ---------------------------------------------------------------------------------------------


def transformations(m):
    lu = m.linear_util

    @lu.transformation
    def scaled(factor, *args, **kwargs):
        out = yield [a * factor for a in args], kwargs
        yield out + 1

    @lu.transformation_with_aux
    def with_count(*args):
        out = yield args, {}
        yield out, len(args)

    @lu.transformation2
    def doubled(f, times, *args):
        return f(*args) * times

    @lu.transformation_with_aux2
    def stored(f, store, *args):
        store.store("seen")
        return f(*args)

    fun = wrapped(m, lambda x, y: x - y, 1, 2)
    fun, count = with_count(scaled(fun, 10))
    fun, seen = stored(doubled(fun, 3))
    before = []
    for thunk in (count, seen):
        try:
            thunk()
        except lu.StoreException:
            before.append("unknown")
    out = fun.call_wrapped(5, 2)
    merged = lu.merge_linear_aux(seen, stored(fun)[1])
    return [out, count(), seen(), before, merged]


def test_transformations():
    assert transformations(OURS) == transformations(THEIRS)


def test_cache():
    calls = []
    for m in MODULES:
        lu = m.linear_util

        @lu.cache
        def analysed(fun, x):
            calls.append(x)
            return fun.call_wrapped(x)

        def plus(x):
            return x + 1

        assert [analysed(wrapped(m, plus, 1), x) for x in (1, 1, 2, 1)] == [2, 2, 3, 2]
    assert calls == [1, 2, 1, 2]


@pytest.mark.parametrize(
    "program",
    [
        lambda m: m.api_util.donation_vector((0,), (), m.tree_util.tree_structure(((1, [2, 3]), {}))),
        lambda m: m.api_util.donation_vector((1,), ("k",), m.tree_util.tree_structure(((1, [2, 3]), {"k": 1, "z": 2}))),
        lambda m: m.api_util.rebase_donate_argnums((0, 2, 3), (1,)),
        lambda m: m.api_util.flatten_axes("x", m.tree_util.tree_structure((1, [2, 3])), (0, None)),
        lambda m: m.api_util.flatten_axes("x", m.tree_util.tree_structure((1, [2, 3])), 0),
        lambda m: m.api_util.safe_map(lambda a, b: a + b, [1, 2], [3, 4]),
        lambda m: [m.api_util.shaped_abstractify(x).shape for x in (1.0, X, m.jax.ShapeDtypeStruct((2,), np.float32))],
        lambda m: list(m.api_util.debug_info("t", lambda a, b, c=1: a, (1, [2, 3]), {"c": 3}).arg_names),
        lambda m: list(m.api_util.debug_info("t", lambda a, b, c=1: a, (1, 2), {}, static_argnums=(1,)).arg_names),
    ],
)
def test_api_util(program):
    assert_same(program(OURS), program(THEIRS))


def test_flattening():
    results = []
    for m in MODULES:
        tree = m.tree_util.tree_structure
        fun = wrapped(m, lambda x, *, y: {"a": x, "b": [y]}, 1)
        flat, out = m.api_util.flatten_fun(fun, tree(((1,), {"y": 2})))
        results.append([flat.call_wrapped(1, 2), str(out())])
        flat, out = m.api_util.flatten_fun_nokwargs(wrapped(m, lambda x, y: {"a": x, "b": [y]}, 1, 2), tree((1, 2)))
        results[-1].append(flat.call_wrapped(1, 2))
        fun, args = m.api_util.argnums_partial(wrapped(m, lambda x, y, z: (x, y, z), 1, 2, 3), (0, 2), (1, "y", 3))
        results[-1] += [list(args), fun.call_wrapped(*args)]
    assert results[0] == results[1]


def test_api_util_errors():
    for m in MODULES:
        with pytest.raises(ValueError):
            m.api_util.flatten_axes("x", m.tree_util.tree_structure((1, [2, 3])), (0, [1]))
        with pytest.raises(ValueError):
            m.api_util.safe_map(lambda a, b: a + b, [1, 2], [3])
        with pytest.raises(TypeError):
            m.api_util.shaped_abstractify("a")
        with pytest.raises(ValueError):
            m.api_util.argnums_partial(wrapped(m, lambda x, y: x, 1, 2), 0, (1, [2]))


# source_info_util -----------------------------------------------------------------------------------------------------


def test_name_stacks():
    results = []
    for m in MODULES:
        si, names = m.source_info_util, []

        def f(x, si=si, names=names):
            note = lambda: names.append(str(si.current_name_stack()))
            with si.extend_name_stack("outer"):
                note()
                with si.extend_name_stack("inner"):
                    note()
                    with si.reset_name_stack():
                        note()
                with si.set_name_stack(si.new_name_stack("other")):
                    note()
            note()
            return x + 1

        m.jax.make_jaxpr(f)(1.0)
        results.append([names, str(si.new_name_stack("a").extend("b")), str(si.new_name_stack())])
    assert results[0] == results[1]


def test_source_of_equations():
    si = OURS.source_info_util
    eqn = cyxla.make_jaxpr(lambda x: x + 1)(1.0).eqns[0]
    assert "test_extend_core.py:" in si.summarize(eqn.source_info)
    assert "test_extend_core.py:" in si.summarize(si.current())
    with si.user_context(eqn.source_info.traceback, name_stack=si.new_name_stack("replayed")):
        assert str(si.current_name_stack()) == "replayed"


# Of programs over several devices, which the primitives of one cannot stand in for.
OF_MESHES = {"ragged_all_to_all_p", "sharding_constraint_p"}
ALL_PRIMITIVES = """
import sys
import cyxla, cyxla.numpy
from cyxla.extend.core import primitives
assert "cyxla.lax.special" not in sys.modules
assert str(primitives.digamma_p) == "digamma"
print(*[name for name in dir(primitives) if name.endswith("_p")])
"""


def test_all_primitives_are_listed():
    theirs = importlib.import_module("jax.extend.core.primitives")
    names = {name for name in dir(theirs) if name.endswith("_p")} - OF_MESHES
    # In a process of its own, where nothing has loaded the families yet.
    out = subprocess.run([sys.executable, "-c", ALL_PRIMITIVES], capture_output=True, text=True, check=True).stdout
    assert names <= set(out.split())
    ours = importlib.import_module("cyxla.extend.core.primitives")
    names.discard("empty2_p")  # of which jaxprs say "empty"
    assert {name: str(getattr(ours, name)) for name in names} == {name: str(getattr(theirs, name)) for name in names}


@pytest.mark.parametrize(
    "program",
    [
        lambda d: (d.func_name, d.func_filename == __file__, d.func_lineno),
        lambda d: d.safe_arg_names(2),
        lambda d: d.safe_arg_names(3),
        lambda d: d.filter_arg_names([True, False]),
        lambda d: d.replace_func_name("other").func_name,
        lambda d: d.replace_func_name("other").func_lineno,
        lambda d: d.with_unknown_names()[2:],
        lambda d: d.with_unknown_names().safe_arg_names(2),
        lambda d: d.with_unknown_names().safe_result_paths(2),
        lambda d: d.with_unknown_names().filter_result_paths([True]),
        lambda d: d.with_unknown_names().assert_arg_names(7),
        lambda d: d._replace(result_paths=("a", "b")).safe_result_paths(2),
        lambda d: d._replace(result_paths=("a", "b")).safe_result_paths(1),
        lambda d: d._replace(result_paths=("a", "b")).filter_result_paths([False, True]),
        lambda d: d._replace(result_paths=("a", "b")).assert_result_paths(3),
        lambda d: d._replace(result_paths=lambda: ("p",)).resolve_result_paths().result_paths,
        lambda d: d._replace(func_src_info="name")[1:2],
        lambda d: (d._replace(func_src_info="name").func_filename, d._replace(func_src_info="name").func_lineno),
    ],
)
def test_what_messages_say_of_a_function(program):
    def function(x, *, y):
        return x

    results = []
    for lib in MODULES:
        try:
            results.append(program(lib.api_util.debug_info("test", function, (1.0,), {"y": 2.0})))
        except AssertionError:
            results.append(AssertionError)
    assert results[0] == results[1]


def test_call_primitives_say_so():
    for lib in MODULES:
        assert not lib.xcore.Primitive("test").call_primitive
        assert importlib.import_module(f"{lib.xcore.__name__}.primitives").call_p.call_primitive


def test_results_on_the_side_are_taken_over():
    for lib in MODULES:
        lu = lib.linear_util

        @lu.transformation_with_aux2
        def noted(f, store, *args):
            store.store("aux")
            return f(*args)

        first, aux = noted(wrapped(lib, lambda x: x, 1.0))
        second, other = noted(wrapped(lib, lambda x: x, 1.0))
        first.call_wrapped(1.0)
        second.populate_stores(first.stores)
        assert (aux(), other()) == ("aux", "aux")
        info = first.debug_info.replace_func_name("other")
        assert first.replace_debug_info(info).debug_info.func_name == "other"
