"""Lowering for other platforms than the one that runs: `jit(f).trace(x).lower(lowering_platforms=...)`."""

import importlib
import re

import jax
import numpy as np
import pytest
from compare import both_raise
from jaxlib.mlir.dialects import stablehlo as hlo

import cyxla
import cyxla.numpy as jnp
from cyxla._engine import dispatch
from cyxla._runtime import backend, compiler, execute
from cyxla.experimental import io_callback

X = np.array([1.0, 2.0, 5.0], np.float32)
BUILDERS = {"cpu": hlo.multiply, "tpu": hlo.add, "cuda": hlo.maximum}


def primitive_with_rules(m, default=None, **rules):
    """A primitive that is lowered to one operation, which depends on the platform."""
    p = importlib.import_module(f"{m.__name__}.extend.core").Primitive("custom")
    mlir = importlib.import_module(f"{m.__name__}.interpreters.mlir")
    p.def_abstract_eval(lambda x: x)
    for platform, builder in {None: default, **rules}.items():
        if builder is not None:
            mlir.register_lowering(p, lambda ctx, x, f=builder: [f(x, x)], platform=platform)
    return p


def lowered(m, fun, platforms, *args, **options):
    return m.jit(fun, **options).trace(*args).lower(lowering_platforms=platforms)


def operations(text):
    """The arithmetic of a program."""
    return sorted(re.findall(r"stablehlo\.(multiply|add|subtract|maximum|sine)\b", text))


def run(low, *args):
    """The results of a program that is run as it was lowered."""
    device = backend.default_device()
    loaded = compiler.compile(low.as_text(), [device])
    avals = tuple(cyxla.tree.leaves(low.out_avals))
    return dispatch.Executable(execute.prepare(loaded, avals, device), loaded, avals, device).call(
        [jnp.asarray(x) for x in args]
    )


def by_platform(m):
    return lambda x: m.lax.platform_dependent(
        x, cpu=lambda v: m.numpy.sin(v), tpu=lambda v: v * 100, default=lambda v: v - 7
    )


def with_default(m):
    return primitive_with_rules(m, hlo.subtract, tpu=hlo.add, gpu=hlo.multiply).bind


PROGRAMS = {
    "rules by platform": lambda m: primitive_with_rules(m, **BUILDERS).bind,
    "a default, and a rule for all GPUs": with_default,
    "a rule inside jit": lambda m: m.jit(with_default(m)),
    "a rule inside a loop": lambda m: (
        lambda x, f=with_default(m): m.lax.while_loop(lambda v: v[0] < 5, lambda v: f(v), x)
    ),
    "platform_dependent": by_platform,
    "an operation of the library": lambda m: m.numpy.sin,
}


@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda", "rocm"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_one_platform(name, platform):
    if name == "rules by platform" and platform == "rocm":
        both_raise(
            "NotImplementedError", lambda m: lowered(m, PROGRAMS[name](m), (platform,), X), "no lowering rule.*rocm"
        )
        return
    ours, theirs = (lowered(m, PROGRAMS[name](m), (platform,), X) for m in (cyxla, jax))
    assert operations(ours.as_text()) == operations(theirs.as_text())
    if name != "a rule inside a loop":
        # As in jax, nobody minds where a program runs.
        np.testing.assert_array_equal(ours.compile()(X), theirs.compile()(X))


@pytest.mark.parametrize("name", PROGRAMS)
def test_several_platforms(name):
    platforms = ("cpu", "tpu", "cuda")
    ours, theirs = (lowered(m, PROGRAMS[name](m), platforms, X) for m in (cyxla, jax))
    for text in (ours.as_text(), theirs.as_text()):
        assert re.search(r"@main\(%\w+: tensor<i32> \{jax.global_constant = \"_platform_index\"\}, ", text)
    assert set(operations(ours.as_text())) == set(operations(theirs.as_text()))
    if name == "a rule inside a loop":
        return
    for index, platform in enumerate(platforms):
        (got,) = run(ours, np.int32(index), X)
        alone = lowered(cyxla, PROGRAMS[name](cyxla), (platform,), X).compile()(X)
        np.testing.assert_array_equal(got, alone)


def test_programs_that_do_not_depend_on_the_platform_are_written_once():
    assert lowered(cyxla, jnp.sin, ("cpu", "tpu"), X).as_text().count("stablehlo.sine") == 1


def test_a_program_for_several_platforms_is_not_compiled_here():
    both_raise("ValueError", lambda m: lowered(m, m.numpy.sin, ("cpu", "tpu"), X).compile(), "lower it for one")


def test_several_results_constants_donation_and_locations():
    table = np.arange(3000, dtype=np.float32)

    def fun(x, unused):
        return x + 1, cyxla.lax.platform_dependent(x, cpu=lambda v: v * table[:3], default=lambda v: v + table[0])

    low = lowered(cyxla, fun, ("tpu", "cpu"), X, X, donate_argnums=0)
    assert "tf.aliasing_output = 0" in low.as_text()
    assert "loc(" in low.as_text(debug_info=True)
    assert "HloModule" in low.as_text("hlo")
    assert lowered(cyxla, lambda x: (), ("tpu", "cpu"), X).as_text().count("@main(%platform") == 1


def test_large_constants_come_between():
    table = jnp.arange(3000.0)

    def fun(x):
        return cyxla.lax.platform_dependent(x, tpu=lambda v: v + table, default=lambda v: v - table)

    low = lowered(cyxla, fun, ("tpu", "cuda"), np.float32(1))
    for index, sign in enumerate([1, -1]):
        (got,) = run(low, np.int32(index), table, np.float32(1))
        np.testing.assert_array_equal(got, 1 + sign * np.arange(3000))


def test_ordered_effects():
    seen = []

    def fun(x):
        io_callback(lambda v: seen.append(float(v)), None, x[0], ordered=True)
        x = by_platform(cyxla)(x)
        io_callback(lambda v: seen.append(float(v)), None, x[0], ordered=True)
        return x

    text = lowered(cyxla, fun, ("tpu", "cuda"), X).as_text()
    assert text.count("stablehlo.create_token") == 1
    assert '"stablehlo.case"(%platform)' in text
    compiled = lowered(cyxla, fun, ("tpu",), X).compile()
    np.testing.assert_array_equal(compiled(X), X * 100)
    cyxla.effects_barrier()
    assert seen == [1.0, 100.0]


def test_references():
    ref = cyxla.new_ref(X)

    def fun(r):
        r[...] = by_platform(cyxla)(r[...])

    lowered(cyxla, fun, ("tpu",), ref).compile()(ref)
    np.testing.assert_array_equal(ref[...], X * 100)


@pytest.mark.parametrize("platforms", [None, ()])
def test_no_platforms_are_the_one_that_runs(platforms):
    ours, theirs = (lowered(m, by_platform(m), platforms, X) for m in (cyxla, jax))
    assert operations(ours.as_text()) == operations(theirs.as_text()) == ["sine"]


def test_wrong_platforms():
    with pytest.raises(TypeError, match="tuple of names"):
        lowered(cyxla, jnp.sin, "cpu", X)
    with pytest.raises(TypeError, match="tuple of names"):
        lowered(cyxla, jnp.sin, (1,), X)
    # It stands for the one that is present, of which there is none where the suite runs.
    if cyxla.default_backend() == "cpu":
        both_raise("RuntimeError", lambda m: lowered(m, m.numpy.sin, ("gpu",), X), "gpu")
    both_raise(
        "NotImplementedError",
        lambda m: lowered(
            m, lambda x: m.lax.platform_dependent(x, cpu=lambda v: v + 1, cuda=lambda v: v), ("cpu", "tpu"), X
        ),
        "tpu",
    )


def test_a_rule_for_another_platform_of_an_operation_of_the_library():
    """It replaces the library's own there, and only there."""
    mlir = importlib.import_module("cyxla.interpreters.mlir")
    p = cyxla.lax.asinh_p
    before = p.lower
    try:
        mlir.register_lowering(p, lambda ctx, x: [hlo.add(x, x)], platform="tpu")
        assert operations(lowered(cyxla, cyxla.lax.asinh, ("tpu",), X).as_text()) == ["add"]
        np.testing.assert_allclose(cyxla.jit(cyxla.lax.asinh)(X), np.arcsinh(X), rtol=1e-6)
        p.lower = "stablehlo.sine"
        mlir.register_lowering(p, lambda ctx, x: [hlo.add(x, x)], platform="tpu")
        assert operations(lowered(cyxla, cyxla.lax.asinh, ("tpu",), X).as_text()) == ["add"]
        assert operations(lowered(cyxla, cyxla.lax.asinh, ("cpu",), X).as_text()) == ["sine"]
    finally:
        p.lower = before
        p.forget_programs()
