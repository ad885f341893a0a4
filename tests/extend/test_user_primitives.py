"""Primitives of users, with rules given one by one: the same program with Cyxla and with jax."""

import functools
import pickle

import numpy as np
import pytest
from compare import assert_same, in_both
from jaxlib.mlir.dialects import stablehlo as hlo

import cyxla
from cyxla._engine.core import all_primitives

X = np.arange(3, dtype=np.float32)
M = np.arange(6, dtype=np.float32).reshape(2, 3)


OURS, THEIRS = in_both(
    lax="lax",
    ShapedArray="core.ShapedArray",
    core="extend.core",
    ad="interpreters.ad",
    batching="interpreters.batching",
    mlir="interpreters.mlir",
    pe="interpreters.partial_eval",
    xla="interpreters.xla",
)


def same(define, program, *args):
    """Evaluates a program with a primitive that `define` makes, in both libraries."""
    results = [program(lib, define(lib), *args) for lib in (OURS, THEIRS)]
    assert_same(*results)
    return results[0]


def multiply_add(lib):
    """x * y + z, with every rule there is."""
    jnp = lib.jnp
    multiply_add_p = lib.core.Primitive("multiply_add")

    def multiply_add(x, y, z):
        return multiply_add_p.bind(x, y, z)

    @multiply_add_p.def_impl
    def _(x, y, z):
        return np.add(np.multiply(x, y), z)

    @multiply_add_p.def_abstract_eval
    def _(x, y, z):
        assert x.shape == y.shape == z.shape
        return lib.ShapedArray(x.shape, x.dtype)

    def lower(ctx, x, y, z):
        (aval,) = ctx.avals_out
        assert ctx.avals_in[0] == aval or aval.shape == ctx.avals_in[0].shape
        return [hlo.add(hlo.multiply(x, y), z)]

    lib.mlir.register_lowering(multiply_add_p, lower)
    lib.mlir.register_lowering(multiply_add_p, lower, platform="cpu")

    def derivative(primals, tangents):
        x, y, z = primals

        def instantiate(tangent):
            return jnp.zeros_like(x) if type(tangent) is lib.ad.Zero else tangent

        x_dot, y_dot, z_dot = map(instantiate, tangents)
        return multiply_add(x, y, z), multiply_add(x_dot, y, multiply_add(x, y_dot, z_dot))

    lib.ad.primitive_jvps[multiply_add_p] = derivative

    def transpose(ct, x, y, z):
        assert type(ct) is not lib.ad.Zero
        if not lib.ad.is_undefined_primal(x):
            ct_y = multiply_add(ct, x, jnp.zeros_like(x)) if lib.ad.is_undefined_primal(y) else None
            return None, ct_y, ct if lib.ad.is_undefined_primal(z) else None
        ct_x = multiply_add(ct, y, jnp.zeros_like(y))
        return ct_x, None, ct if lib.ad.is_undefined_primal(z) else None

    lib.ad.primitive_transposes[multiply_add_p] = transpose

    def batch(args, axes):
        size = next(x.shape[d] for x, d in zip(args, axes) if d is not None)
        moved = [lib.batching.bdim_at_front(x, d, size) for x, d in zip(args, axes)]
        return multiply_add(*moved), 0

    lib.batching.primitive_batchers[multiply_add_p] = batch
    return multiply_add


@pytest.mark.parametrize(
    "program",
    [
        lambda lib, f: f(lib.jnp.float32(2), lib.jnp.float32(10), lib.jnp.float32(3)) * 1,
        lambda lib, f: lib.jax.jit(f)(X, X, X),
        lambda lib, f: lib.jax.jit(lambda x: f(x, x, x))(X),
        lambda lib, f: lib.jax.jvp(lambda x, y: f(x, y, x), (X, X), (X, X)),
        lambda lib, f: lib.jax.grad(lambda x, y: f(x, y, x).sum())(X, X + 1),
        lambda lib, f: lib.jax.grad(lambda x, y: f(x, y, x).sum(), (0, 1))(X, X + 1),
        lambda lib, f: lib.jax.jit(lib.jax.grad(lambda x, y: f(x, y, x).sum(), 1))(X, X + 1),
        lambda lib, f: lib.jax.grad(lib.jax.jit(lambda x, y: f(x, y, x).sum()))(X, X + 1),
        lambda lib, f: lib.jax.vmap(lambda x, y: f(x, y, x))(M, M),
        lambda lib, f: lib.jax.vmap(lambda x, y: f(x, y, x), in_axes=(0, None))(M, X),
        lambda lib, f: lib.jax.vmap(lib.jax.grad(lambda x, y: f(x, y, x).sum()))(M, M),
        lambda lib, f: lib.jax.jit(lib.jax.vmap(lambda x: f(x, x, x), in_axes=1))(M),
        lambda lib, f: lib.jax.linearize(lambda x: f(x, x, x), X)[1](X),
        lambda lib, f: lib.jax.hessian(lambda x: f(x, x, x).sum())(X),
        lambda lib, f: lib.lax.scan(lambda c, x: (f(c, x, x), c), lib.jnp.ones(3), M),
        lambda lib, f: lib.jax.grad(lambda x: lib.lax.scan(lambda c, y: (f(c, y, y), None), x, M)[0].sum())(X),
        lambda lib, f: lib.jax.grad(lib.jax.checkpoint(lambda x: f(x, x, x).sum()))(X),
        lambda lib, f: lib.lax.cond(True, lambda x: f(x, x, x), lambda x: x, lib.jnp.array(X)),
        lambda lib, f: lib.lax.while_loop(lambda c: c.sum() < 99, lambda c: f(c, c, c), lib.jnp.ones(3)),
        lambda lib, f: str(lib.jax.make_jaxpr(lambda x: f(x, x, x))(X)),
    ],
)
def test_multiply_add(program):
    same(multiply_add, program)


def test_law_tests_do_not_see_it():
    multiply_add(OURS)
    sine = OURS.core.Primitive("sin")
    assert "multiply_add" not in all_primitives()
    assert all_primitives()["sin"] is OURS.core.primitives.sin_p is not sine


def named(lib, name="poly", **attributes):
    """A primitive without rules but evaluation."""
    primitive = lib.core.Primitive(name)
    primitive.def_abstract_eval(lambda x, *rest, **params: lib.ShapedArray(x.shape, x.dtype))
    for key, value in attributes.items():
        setattr(primitive, key, value)
    return primitive


def rules_by_defjvp(lib):
    p = named(lib)
    lib.mlir.register_lowering(p, lib.mlir.lower_fun(lambda x, y, *, n: x**n * y, multiple_results=False))
    p.def_impl(functools.partial(lib.xla.apply_primitive, p))
    lib.ad.defjvp(
        p,
        lambda t, x, y, *, n: t * n * x ** (n - 1) * y,
        lambda t, x, y, *, n: t * p.bind(x, lib.jnp.ones_like(y), n=n),
    )
    lib.batching.defbroadcasting(p)
    return lambda x, y, n=2: p.bind(x, y, n=n)


def rules_by_defjvp2(lib):
    p = named(lib)
    lib.mlir.register_lowering(p, lib.mlir.lower_fun(lambda x, *, n: lib.jnp.exp(n * x), multiple_results=False))
    p.def_impl(functools.partial(lib.xla.apply_primitive, p))
    lib.ad.defjvp2(p, lambda t, ans, x, *, n: t * ans * n)
    lib.batching.defvectorized(p)
    return lambda x, y, n=2: p.bind(x, n=n) * y


def rules_by_deflinear2(lib):
    p = named(lib)
    lib.mlir.register_lowering(
        p, lambda ctx, x, *, n: [hlo.multiply(x, lib.mlir.ir_constant(np.full(3, n, np.float32)))]
    )
    p.def_impl(functools.partial(lib.xla.apply_primitive, p))
    lib.ad.deflinear2(p, lambda ct, x, *, n: [p.bind(ct, n=n)])
    lib.batching.primitive_batchers[p] = lambda args, dims, *, n: (args[0] * n, dims[0])
    return lambda x, y, n=2: p.bind(x, n=n) * y


def rules_by_defbilinear(lib):
    p = named(lib)
    lib.mlir.register_lowering(p, lib.mlir.lower_fun(lambda x, y, *, n: x * y, multiple_results=False))
    p.def_impl(functools.partial(lib.xla.apply_primitive, p))
    lib.ad.defbilinear(p, lambda ct, x, y, *, n: p.bind(ct, y, n=n), lambda ct, x, y, *, n: p.bind(x, ct, n=n))
    lib.batching.defbroadcasting(p)
    return lambda x, y, n=2: p.bind(x, y, n=n)


@pytest.mark.parametrize("define", [rules_by_defjvp, rules_by_defjvp2, rules_by_deflinear2, rules_by_defbilinear])
@pytest.mark.parametrize(
    "program",
    [
        lambda lib, f: f(lib.jnp.array(X), lib.jnp.array(X)),
        lambda lib, f: lib.jax.jit(lambda x, y: f(x, y, n=3))(X, X),
        lambda lib, f: lib.jax.jvp(f, (X, X + 1), (X, X)),
        lambda lib, f: lib.jax.grad(lambda x, y: f(x, y).sum(), (0, 1))(X, X + 1),
        lambda lib, f: lib.jax.vmap(f)(M, M),
        lambda lib, f: lib.jax.vmap(f, in_axes=(0, None))(M, X),
    ],
)
def test_declared_rules(define, program):
    same(define, program)


def split_primitive(lib):
    """x -> (x + 1, sum(x)), of several results, reducing over the last axis."""
    p = named(lib, "pieces", multiple_results=True)
    p.def_abstract_eval(lambda x: [x, lib.ShapedArray(x.shape[:-1], x.dtype)])
    p.def_impl(lambda x: [np.asarray(x) + 1, np.asarray(x).sum(-1)])
    lib.mlir.register_lowering(p, lib.mlir.lower_fun(lambda x: [x + 1, x.sum(-1)]))
    lib.ad.primitive_jvps[p] = lambda primals, tangents: (
        p.bind(*primals),
        [tangents[0], lib.jnp.sum(tangents[0], -1)],
    )
    lib.batching.primitive_batchers[p] = lambda args, dims: (
        p.bind(lib.batching.bdim_at_front(args[0], dims[0], 0)),
        [0, 0],
    )
    return lambda x: tuple(p.bind(x))


@pytest.mark.parametrize(
    "program",
    [
        lambda lib, f: [x * 1 for x in map(lib.jnp.asarray, f(X))],
        lambda lib, f: lib.jax.jit(f)(X),
        lambda lib, f: lib.jax.grad(lambda x: f(x)[1])(X),
        lambda lib, f: lib.jax.jvp(f, (X,), (X,)),
        lambda lib, f: lib.jax.vmap(f, in_axes=1, out_axes=(1, 0))(M.T),
    ],
)
def test_several_results(program):
    same(split_primitive, program)


def reducer(lib):
    p = named(lib, "total")
    p.def_abstract_eval(
        lambda x, *, axes: lib.ShapedArray(tuple(s for i, s in enumerate(x.shape) if i not in axes), x.dtype)
    )
    p.def_impl(lambda x, *, axes: lib.jnp.sum(x, axes))
    lib.batching.defreducer(p)
    return lambda x, axes: p.bind(x, axes=axes)


@pytest.mark.parametrize("in_axis", [0, 1, 2])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_reducer(in_axis, axes):
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    same(reducer, lambda lib, f: lib.jax.vmap(lambda x: f(x, axes), in_axes=in_axis)(x))


def with_axis(lib, table):
    seen = []
    p = named(lib, "axis_user")
    p.def_impl(lambda x: x)

    def rule(*args, **params):
        *axis, values, dims = args
        if len(axis) == 1:
            seen.append((axis[0].size, axis[0].name if axis[0].name == "i" else None))
        else:
            seen.append((axis[0], axis[1] if axis[1] == "i" else None))
        return values[0] * 2, dims[0]

    getattr(lib.batching, table)[p] = rule
    if lib is OURS:
        assert getattr(lib.batching, table)[p] is rule
    out = lib.jax.vmap(lambda x: p.bind(x), axis_name="i", in_axes=1)(M)
    assert seen == [(3, "i")]
    return out


@pytest.mark.parametrize("table", ["fancy_primitive_batchers", "axis_primitive_batchers"])
def test_rules_that_see_the_axis(table):
    assert_same(with_axis(OURS, table), with_axis(THEIRS, table))


def test_tables_hold_the_rules_of_the_library_too():
    ad, batching, primitives = OURS.ad, OURS.batching, OURS.core.primitives
    x = OURS.jnp.float32(0.5)
    for p in (primitives.sin_p, primitives.mul_p, primitives.neg_p, primitives.ge_p, primitives.reduce_sum_p):
        assert p in ad.primitive_jvps, p
    assert ad.primitive_jvps[primitives.sin_p]((x,), (x,), accuracy=None)[1] == x * np.cos(np.float32(0.5))
    out, tangent = ad.primitive_jvps[primitives.mul_p]((x, x), (x, ad.Zero(x.aval)))
    assert (out, tangent) == (0.25, 0.25)
    out, tangent = ad.primitive_jvps[primitives.ge_p]((x, x), (x, x))
    assert bool(out) and type(tangent) is ad.Zero
    (ct,) = ad.get_primitive_transpose(primitives.neg_p)(x, ad.UndefinedPrimal(x.aval))
    assert ct == -0.5
    assert primitives.reduce_sum_p in batching.primitive_batchers
    assert primitives.add_p in ad.primitive_transposes
    assert len(ad.primitive_jvps) > 100
    p = named(OURS, "none")
    assert p not in ad.primitive_jvps and ad.primitive_transposes.get(p) is None
    with pytest.raises(KeyError):
        ad.primitive_jvps[p]
    with pytest.raises(TypeError):
        ad.primitive_jvps["sin"] = None


@pytest.mark.parametrize(
    "program",
    [
        lambda lib, p: lib.jax.jit(lambda x: p.bind(x))(X),
        lambda lib, p: lib.jax.grad(lambda x: p.bind(x).sum())(X),
        lambda lib, p: lib.jax.vmap(lambda x: p.bind(x))(X),
        lambda lib, p: p.bind(X),
        lambda lib, p: lib.jax.make_jaxpr(lib.core.Primitive("bare").bind)(X),
        lambda lib, p: lib.ad.get_primitive_transpose(p),
    ],
)
def test_missing_rules(program):
    for lib in (OURS, THEIRS):
        with pytest.raises(NotImplementedError):
            program(lib, named(lib, "nothing"))


def test_abstract_evaluation_must_return_avals():
    p = OURS.core.Primitive("wrong")
    p.def_abstract_eval(lambda x: 3)
    with pytest.raises(TypeError, match=r"wrong.*ShapedArray"):
        cyxla.make_jaxpr(p.bind)(X)
    p.multiple_results = True
    with pytest.raises(TypeError, match=r"wrong.*list"):
        cyxla.make_jaxpr(p.bind)(X)
    p.multiple_results = False
    p.def_abstract_eval(lambda x: cyxla.ShapeDtypeStruct(x.shape, x.dtype))
    assert cyxla.eval_shape(p.bind, X).shape == (3,)


class Announced(OURS.core.Effect):
    pass


def test_effects():
    p = OURS.core.Primitive("announce")
    effect = Announced()
    p.multiple_results = True
    p.def_effectful_abstract_eval(lambda x, *, loud: ([], {effect} if loud else set()))
    jaxpr = cyxla.make_jaxpr(lambda x: (p.bind(x, loud=True), p.bind(x, loud=False), x)[-1])(1.0).jaxpr
    assert jaxpr.effects == {effect}
    assert [eqn.effects for eqn in jaxpr.eqns] == [{effect}, set()]
    kept, _ = OURS.pe.dce_jaxpr(jaxpr, [True])
    assert len(kept.eqns) == 1


def test_new_rules_replace_old_ones():
    p = named(OURS, "changing")
    lower = OURS.mlir.lower_fun
    OURS.mlir.register_lowering(p, lower(lambda x: x + 1, multiple_results=False))
    assert p.bind(1.0) == 2
    OURS.mlir.register_lowering(p, lower(lambda x: x + 2, multiple_results=False))
    assert p.bind(1.0) == 3
    p.def_impl(lambda x: x + 3)
    assert p.bind(1.0) == 4
    assert p.def_abstract_eval(abs) is abs


def test_copies_and_pickles():
    import copy

    p = named(OURS, "mine")
    assert copy.deepcopy({"p": p})["p"] is p is copy.copy(p)
    with pytest.raises(TypeError, match="mine"):
        pickle.dumps(p)
    sine = OURS.core.primitives.sin_p
    assert pickle.loads(pickle.dumps(sine)) is sine


def test_interpreter_of_a_jaxpr():
    """The inverse of a function, from its jaxpr, as a tutorial writes it."""

    def interpret(lib):
        jnp, primitives = lib.jnp, lib.core.primitives
        inverse = {primitives.exp_p: jnp.log, primitives.tanh_p: jnp.arctanh}

        def inverted(fun):
            def call(y):
                closed = lib.jax.make_jaxpr(fun)(y)
                env = {closed.jaxpr.outvars[0]: y}
                for eqn in closed.jaxpr.eqns[::-1]:
                    assert not any(isinstance(v, lib.core.Literal) for v in eqn.invars)
                    with eqn.ctx.manager:
                        env[eqn.invars[0]] = inverse[eqn.primitive](env[eqn.outvars[0]])
                return env[closed.jaxpr.invars[0]]

            return call

        f = lambda x: jnp.exp(jnp.tanh(x))
        g = inverted(f)
        return g(f(1.0)), lib.jax.jit(lib.jax.vmap(lib.jax.grad(g)))((X + 1.5) / 2)

    assert_same(interpret(OURS), interpret(THEIRS))
