"""Laws that hold for every primitive, over the table of examples: what all transformations give, against jax.

One jitted program an example evaluates the value, the forward and reverse derivatives, a second derivative, and `vmap`
over each operand and over all of them, so that an example costs one compilation on either side.
"""

import importlib
import pkgutil

import jax
import numpy as np
import pytest
from examples_control import EXAMPLES as CONTROL
from examples_control import INTERNAL
from table import EXAMPLES, FAST_COMPILE, as_tuple, batches, direction

import cyxla
from cyxla._engine.core import all_primitives


def is_inexact(x):
    return jax.numpy.issubdtype(x.dtype, np.inexact)


def laws(module, example, out_types):
    """The program that computes what the laws compare, as a function of the operands."""
    function, operands = example.function, example.operands
    active = [i for i, x in enumerate(operands) if is_inexact(x)]
    smooth = [i for i, (_, dtype) in enumerate(out_types) if jax.numpy.issubdtype(dtype, np.inexact)]
    cotangents = tuple(direction(*out_types[i], seed=11 + i) for i in smooth)
    tangents = tuple(direction(operands[i].shape, operands[i].dtype, seed=5 + i) for i in active)

    def f(*args):
        return as_tuple(function(module.lax, *args))

    def program(*args):
        def g(*inexact):
            full = list(args)
            for i, x in zip(active, inexact):
                full[i] = x
            return tuple(f(*full)[i] for i in smooth)

        def pullback(*primals):
            return module.vjp(g, *primals)[1](cotangents)

        primals = tuple(args[i] for i in active)
        results = {"value": f(*args)}
        if example.differentiate and active and smooth:
            results["jvp"] = module.jvp(g, primals, tangents)[1]
            results["vjp"] = pullback(*primals)
            if example.second:
                results["second"] = module.jvp(pullback, primals, tangents)[1]
        return results

    def vectorized():
        """Batched operands and the program over them: each alone along its last axis, then all along the first."""
        for i, x in enumerate(operands):
            axes = [None] * len(operands)
            axes[i] = x.ndim
            args = list(operands)
            args[i] = np.stack(batches(x), axis=-1)
            yield f"vmap {i}", module.vmap(f, in_axes=tuple(axes)), args
        if len(operands) > 1:
            yield "vmap", module.vmap(f), [np.stack(batches(x)) for x in operands]
        if example.differentiate and len(active) == len(operands) and smooth:

            def gradient(*primals):
                return module.vjp(lambda *p: tuple(f(*p)[i] for i in smooth), *primals)[1](cotangents)

            yield "vmap of vjp", module.vmap(gradient), [np.stack(batches(x)) for x in operands]

    def everything(args, vectors):
        results = program(*args)
        if example.vectorize and operands:
            for (name, mapped, _), values in zip(vectorized(), vectors):
                results[name] = mapped(*values)
        return results

    vectors = [args for _, _, args in vectorized()] if example.vectorize and operands else []
    return everything, (list(operands), vectors)


def close(actual, expected, rtol, name):
    assert actual.dtype == expected.dtype, f"{name}: dtype {actual.dtype} for {expected.dtype}"
    assert actual.shape == expected.shape, f"{name}: shape {actual.shape} for {expected.shape}"
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.dtype.kind in "biu":
        np.testing.assert_array_equal(actual, expected, err_msg=name)
    elif actual.dtype.kind in "fc":
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol, err_msg=name)
    else:
        np.testing.assert_array_equal(actual.astype(np.float32), expected.astype(np.float32), err_msg=name)


def groups():
    """The examples of each primitive, a few at a time: one pair of programs checks them all."""
    by_primitive = {}
    for example in EXAMPLES:
        by_primitive.setdefault(example.primitive, []).append(example)
    for name, examples in by_primitive.items():
        for i in range(0, len(examples), 6):
            yield pytest.param(examples[i : i + 6], id=f"{name}-{i // 6}" if len(examples) > 6 else name)


@pytest.mark.parametrize("examples", list(groups()))
def test_laws(examples):
    programs, oracles, operands, avals = [], [], [], []
    for example in examples:
        traced = jax.make_jaxpr(lambda *a, e=example: as_tuple(e.function(jax.lax, *a)))(*example.operands)
        avals.append([v.aval for v in traced.jaxpr.outvars])
        out_types = [(a.shape, a.dtype) for a in avals[-1]]
        program, args = laws(cyxla, example, out_types)
        programs.append(program)
        oracles.append(laws(jax, example, out_types)[0])
        operands.append(args)

    def all_of(functions):
        return lambda operands: [f(*args) for f, args in zip(functions, operands, strict=True)]

    expected = jax.jit(all_of(oracles), compiler_options=FAST_COMPILE)(operands)
    actual = cyxla.jit(all_of(programs), compiler_options=FAST_COMPILE)(operands)
    for example, ours, theirs, out_avals in zip(examples, actual, expected, avals, strict=True):
        assert set(ours) == set(theirs), example.label
        for name, values in theirs.items():
            for a, e in zip(ours[name], values, strict=True):
                close(a, e, example.rtol, f"{example.label}: {name}")
        eager = as_tuple(example.function(cyxla.lax, *example.operands))
        for a, e, aval in zip(eager, ours["value"], out_avals, strict=True):
            close(a, e, 2e-6, f"{example.label}: eager")
            assert a.weak_type == aval.weak_type, f"{example.label}: weak_type {a.weak_type}"


def test_every_primitive_has_an_example():
    for module in pkgutil.walk_packages(cyxla.__path__, "cyxla."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    missing = sorted(set(all_primitives()) - {e.primitive for e in EXAMPLES} - INTERNAL)
    assert not missing, f"add rows for these primitives to tests/lax/examples.py: {missing}"


def equations(module, example):
    def within(jaxpr):
        found = {e.primitive.name: e.params for e in jaxpr.eqns}
        for call in [e for e in jaxpr.eqns if e.primitive.name == "jit"]:
            found = within(call.params["jaxpr"].jaxpr) | found
        return found

    return within(module.make_jaxpr(lambda *a: as_tuple(example.function(module.lax, *a)))(*example.operands).jaxpr)


def test_examples_use_their_primitive():
    """Names and parameters of equations are those of jax; those of calls and loops may hold more there."""
    for example in EXAMPLES:
        name = example.primitive
        ours, theirs = equations(cyxla, example), equations(jax, example)
        assert name in ours or name == "add_any", example.label
        if name in theirs and name in ours and example not in CONTROL:
            left_out = {k for k, v in theirs[name].items() if k not in ours[name] and v is not None}
            assert set(ours[name]) <= set(theirs[name]) and not left_out, example.label
