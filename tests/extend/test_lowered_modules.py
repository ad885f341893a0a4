"""Whole modules from jaxprs, effects that may be lowered, options of compilation; against jax."""

import collections
import re
import types

import numpy as np
import pytest
from compare import both_raise, in_both
from jaxlib.mlir.dialects import stablehlo as hlo

import cyxla
from cyxla._engine import dispatch
from cyxla._runtime import backend, compiler, execute

X = np.array([1.0, 2.0, 5.0], np.float32)
OURS, THEIRS = MODULES = in_both(
    core="extend.core", primitives="extend.core.primitives", mlir="interpreters.mlir", pxla="interpreters.pxla"
)


def of(module):
    return OURS if module is cyxla else THEIRS


def to_module(m, fun, *args, **changes):
    closed = m.jax.make_jaxpr(fun)(*args)
    options = {
        "num_const_args": 0,
        "in_avals": closed.in_avals,
        "ordered_effects": [],
        "platforms": ("cpu",),
        "backend": None,
        "axis_context": None if m is OURS else m.mlir.ShardingContext(1),
        "donated_args": [False] * len(closed.in_avals),
        "lowering_parameters": m.mlir.LoweringParameters(),
        **changes,
    }
    return m.mlir.lower_jaxpr_to_module("jit_f", closed, **options)


def signature(result):
    """The first line of a module, and that of its main function."""
    text = str(result.module)
    return re.match(r"module @.*\n", text)[0] + re.search(r"func.func public @main\(.*", text)[0]


def negated(m):
    rule = lambda ctx, x, **params: [hlo.negate(x)]
    return m.mlir.LoweringParameters(override_lowering_rules=((m.primitives.sin_p, rule),))


CASES = {
    "plain": lambda m: to_module(m, lambda x, y: x + y, X, X),
    "several results": lambda m: to_module(m, lambda x: (x, x + 1), X),
    "donated": lambda m: to_module(m, lambda x, y: (x + y, x * 2), X, X, donated_args=[True, False]),
    "both donated": lambda m: to_module(m, lambda x, y: (x + y, x * 2), X, X, donated_args=[True, True]),
    "aliases": lambda m: to_module(m, lambda x, y: (x + y, x * 2), X, X, input_output_aliases=(1, None)),
    "platforms": lambda m: to_module(m, lambda x: x + 1, X, platforms=["tpu", "cpu"]),
    "names": lambda m: to_module(m, lambda x: x + 1, X, arg_names=["a"], result_names=["r[0]"]),
    "too few names of results": lambda m: to_module(m, lambda x: x + 1, X, result_names=["a", "b"]),
    "partitions": lambda m: to_module(m, lambda x: x + 1, X, num_partitions=2),
    "replicated": lambda m: to_module(m, lambda x: x + 1, X, replicated_args=[True]),
    "small constant": lambda m: to_module(m, lambda x: x + X, X),
    "large constant": lambda m: to_module(m, lambda x: x + np.arange(2000, dtype=np.float32)[:3], X),
    "override": lambda m: to_module(m, m.jnp.sin, X, lowering_parameters=negated(m)),
}


@pytest.mark.parametrize("name", CASES)
def test_modules(name):
    ours, theirs = map(CASES[name], MODULES)
    assert signature(ours) == signature(theirs)
    assert ours._fields == theirs._fields
    assert list(ours.keepalive) == list(ours.host_callbacks) == []
    for field in ("dim_vars", "has_platform_index_argument", "uses_dim_vars"):
        assert getattr(ours.shape_poly_state, field) == getattr(theirs.shape_poly_state, field)
    if name == "names":
        assert 'loc("a")' in OURS.mlir.module_to_string(ours.module, enable_debug_info=True)
    if name == "override":
        assert "stablehlo.negate" in str(ours.module)
        assert "stablehlo.sine" not in str(ours.module)


def test_modules_run():
    result = to_module(OURS, lambda x, y: (OURS.jnp.sin(x) + y, x * 2), X, X, donated_args=[False, True])
    device = backend.default_device()
    loaded = compiler.compile(OURS.mlir.module_to_string(result.module), [device])
    avals = (cyxla.typeof(X),) * 2
    runner = execute.prepare(loaded, avals, device)
    outs = dispatch.Executable(runner, loaded, avals, device).call([OURS.jnp.asarray(X), OURS.jnp.asarray(X)])
    np.testing.assert_allclose(outs[0], np.sin(X) + X, rtol=1e-6)
    np.testing.assert_array_equal(outs[1], 2 * X)


def test_constants_as_arguments():
    table = cyxla.numpy.arange(2000.0)
    closed = cyxla.make_jaxpr(lambda x: x + table)(1.0)
    avals = [*(cyxla.typeof(c) for c in closed.consts), *closed.in_avals]
    result = to_module(OURS, lambda x: x + table, 1.0, num_const_args=1, in_avals=avals, donated_args=[False, False])
    assert "(%arg0: tensor<2000xf32>, %arg1: tensor<f32>)" in signature(result)


def test_modules_that_call_python():
    def loud(m, ordered):
        return lambda x: (m.jax.debug.print("{}", x, ordered=ordered), x)[1]

    ours, theirs = (to_module(m, loud(m, False), X) for m in MODULES)
    assert len(ours.host_callbacks) == len(theirs.host_callbacks) == 1
    ours, theirs = (
        to_module(m, loud(m, True), X, ordered_effects=list(m.jax.make_jaxpr(loud(m, True))(X).effects))
        for m in MODULES
    )
    for result in (ours, theirs):
        assert "(%arg0: !stablehlo.token" in signature(result)
    with pytest.raises(ValueError, match="ordered_effects lacks"):
        to_module(OURS, loud(OURS, True), X)


WRONG = {
    "avals": ({"in_avals": []}, "in_avals has 0"),
    "donated": ({"donated_args": [True, False]}, "donated_args has 2"),
    "names": ({"arg_names": ["a", "b"]}, "arg_names has 2"),
    "no platforms": ({"platforms": ()}, "platforms is empty"),
    "constants": ({"num_const_args": 1}, "num_const_args is 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_of_modules(name):
    changes, message = WRONG[name]
    with pytest.raises((ValueError, AssertionError)):
        to_module(THEIRS, lambda x: x + 1, X, **changes)
    with pytest.raises(ValueError, match=message):
        to_module(OURS, lambda x: x + 1, X, **changes)


def test_other_wrong_arguments_of_modules():
    with pytest.raises(ValueError, match=r"in_avals\[0\] is float32\[\]"):
        to_module(OURS, lambda x: x + 1, X, in_avals=[cyxla.typeof(np.float32(1))])
    with pytest.raises(ValueError, match="in_layouts"):
        to_module(OURS, lambda x: x + 1, X, in_layouts=["something"])


# effects --------------------------------------------------------------------------------------------------------------


def with_effect(m, base=True, kind=None):
    """A primitive with an effect of a new class; the class."""
    kind = kind or type("Loud", (m.core.Effect,) if base else (), {})
    p = m.core.Primitive("loud")
    p.def_effectful_abstract_eval(lambda x: (x, {kind()}))
    m.mlir.register_lowering(p, lambda ctx, x: [hlo.negate(x)])
    return p.bind, kind


@pytest.mark.parametrize("base", [True, False])
def test_effects_that_may_be_lowered(base):
    for m in MODULES:
        bind, kind = with_effect(m, base)
        f = m.jax.jit(bind)
        assert len(m.jax.make_jaxpr(bind)(X).effects) == 1
        assert not m.mlir.lowerable_effects.contains(kind())
        with pytest.raises(ValueError):
            f(X)
        with pytest.raises(ValueError):
            to_module(m, bind, X)
        m.mlir.lowerable_effects.add_type(kind)
        assert m.mlir.lowerable_effects.contains(kind())
        effects = [kind(), 3]
        assert m.mlir.lowerable_effects.filter_in(effects) == effects[:1]
        assert m.mlir.lowerable_effects.filter_not_in(effects) == effects[1:]
        np.testing.assert_array_equal(f(X), -X)
        np.testing.assert_array_equal(m.jax.jit(m.jax.checkpoint(bind))(X), -X)
        assert "negate" in str(to_module(m, bind, X).module)
        # Derived classes count.
        derived, _ = with_effect(m, kind=type("Louder", (kind,), {}))
        np.testing.assert_array_equal(m.jax.jit(derived)(X), -X)


def test_messages_about_effects():
    bind, _ = with_effect(OURS)
    with pytest.raises(ValueError, match=r"loud has effects.*Loud.*lowerable_effects.add_type"):
        bind(X)
    with pytest.raises(TypeError, match="add_type takes a class"):
        OURS.mlir.lowerable_effects.add_type(3)
    assert "IOEffect" in repr(OURS.mlir.lowerable_effects)


# the rest -------------------------------------------------------------------------------------------------------------

Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "tree", [(1, (2, None)), [1, (2,)], Pair(1, (2,)), {"a": 1}, None, ()], ids=lambda tree: repr(tree)
)
def test_trees_of_values(tree):
    ours, theirs = (m.mlir.ir_tree_registry.flatten(tree) for m in MODULES)
    assert ours[0] == theirs[0]
    assert str(ours[1]) == str(theirs[1])
    assert ours[1].unflatten(ours[0]) == tree


def test_constants():
    for name in ("DEVICE_TO_DEVICE_TYPE", "SEND_TO_HOST_TYPE", "RECV_FROM_HOST_TYPE"):
        assert getattr(OURS.mlir, name) == getattr(THEIRS.mlir, name)


@pytest.mark.parametrize("flags", [{}, {"xla_cpu_enable_fast_math": True}, {"exec_time_optimization_effort": 1.0}])
@pytest.mark.parametrize("tuple_args", [False, True])
def test_options_of_compilation(flags, tuple_args):
    def described(m):
        devices = np.array(m.jax.devices()[:1])
        module = to_module(m, lambda x: x, X).module
        out = m.pxla.create_compile_options(module, tuple_args, (True,), (False,), None, devices, dict(flags))
        build = out.executable_build_options
        return (
            out.num_replicas,
            out.num_partitions,
            out.parameter_is_tupled_arguments,
            str(out.device_assignment),
            out.env_option_overrides,
            build.num_replicas,
            build.num_partitions,
            str(build.device_assignment),
            build.use_spmd_partitioning,
            build.use_shardy_partitioner,
            build.allow_spmd_sharding_propagation_to_parameters,
            build.allow_spmd_sharding_propagation_to_output,
            build.exec_time_optimization_effort,
        )

    assert described(OURS) == described(THEIRS)


def test_names_of_pxla():
    assert isinstance(cyxla.interpreters.pxla, types.ModuleType)
    both_raise("AttributeError", lambda module: of(module).pxla.nothing)
