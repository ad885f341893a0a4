"""`make_jaxpr`, jaxprs as text and as objects, `eval_jaxpr`."""

from pathlib import Path

import jax
import numpy as np
import pytest
from compare import agree, both_raise

import cyxla
import cyxla.random
from cyxla._engine.core import eval_jaxpr

X = np.ones(3, np.float32)
M = np.ones((3, 4), np.float32)


def shared(jax):
    f = jax.jit(lambda x: jax.lax.sin(x))
    return jax.make_jaxpr(lambda x: f(f(x) + 1.0))(X)


def two_named_alike(jax):
    def inner(x):
        return x + 1

    first = jax.jit(inner)

    def inner(x):
        return x + 2

    second = jax.jit(inner)
    return jax.make_jaxpr(lambda x: first(first(second(second(x)))))(X)


def steps(count):
    def f(x):
        for _ in range(count):
            x = x + 1
        return x

    return f


SAME_TEXT = [
    lambda jax: jax.make_jaxpr(lambda *xs: jax.lax.concatenate(xs, 0))(*[X] * 22),
    lambda jax: jax.make_jaxpr(lambda *xs: jax.jit(lambda *ys: jax.lax.concatenate(ys, 0))(*xs))(*[X] * 22),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.split(x, (1,) * 30))(np.ones(30, np.float32)),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.broadcast_in_dim(1.0, (2,), ()) * x)(1.0),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.while_loop(lambda c: c < 3, steps(1), x))(1.0),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.while_loop(lambda c: steps(11)(c) < 1, steps(11), x))(1.0),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.cond(x < 1, steps(1), steps(12), x))(1.0),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.cond(x < 1, steps(11), steps(12), x))(1.0),
    lambda jax: jax.make_jaxpr(lambda x: jax.jit(lambda y: steps(9)(jax.jit(steps(11))(y)) * 2 + y)(x))(1.0),
    lambda jax: jax.make_jaxpr(lambda x: x)(X),
    lambda jax: jax.make_jaxpr(lambda x: (x, x))(X),
    lambda jax: jax.make_jaxpr(lambda: ())(),
    lambda jax: jax.make_jaxpr(lambda x: 3)(X),
    lambda jax: jax.make_jaxpr(lambda d: d["a"] @ d["b"])({"a": X, "b": M}),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.sin(jax.lax.cos(x)))(1.0),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.sin(jax.lax.cos(jax.lax.tan(jax.lax.exp(x)))))(X),
    lambda jax: jax.make_jaxpr(jax.jit(lambda x: jax.numpy.sin(x) * 2))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.jit(lambda x: jax.numpy.sin(x) * 2)(x * 2) + 1)(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.jit(lambda x: (x, x))(x))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.jit(lambda x, y: x + y)(x, x))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.convert_element_type(x, "int32"))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.broadcast_in_dim(x, (2, 3), (1,)))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.reshape(x, (3, 1)))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.dot_general(x, M, (((0,), (0,)), ((), ()))))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.dot(x, M, precision="highest"))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.slice(x, (0,), (2,)))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.transpose(x, (1, 0)))(M),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.iota("int32", 3) + x)(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.pad(x, 0.0, [(1, 1, 0)]))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.top_k(x, 2))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.cumsum(x))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.cond(x[0] > 0, lambda y: y * 2, lambda y: y, x))(X),
    lambda jax: jax.make_jaxpr(
        lambda i, x: jax.lax.switch(i, [lambda y: y * 2, lambda y: y, lambda y: jax.numpy.sin(y) + 1], x)
    )(1, X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.scan(lambda c, a: (c + a, c * a), np.float32(0.0), x))(X),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.while_loop(lambda y: y < 3, lambda y: y * 2, x))(np.float32(1.0)),
    lambda jax: jax.make_jaxpr(lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y * 2, x))(X),
    lambda jax: jax.make_jaxpr(jax.vmap(lambda x: jax.lax.sin(x) * x))(X),
    lambda jax: jax.make_jaxpr(jax.grad(lambda x: jax.lax.sin(x) * x))(1.0),
    lambda jax: jax.make_jaxpr(jax.checkpoint(lambda x: jax.lax.sin(x) * 2.0))(X),
    lambda jax: jax.make_jaxpr(lambda x: x + np.arange(3, dtype=np.float32))(X),
    lambda jax: jax.make_jaxpr(lambda x: (jax.lax.sin(x), jax.lax.cos(x))[1])(X),
    lambda jax: jax.make_jaxpr(lambda *a: sum(a))(*[1.0] * 30),
    lambda jax: jax.make_jaxpr(lambda x: x * 2j)(np.complex64(1)),
    lambda jax: jax.make_jaxpr(lambda x: (x == x) & True)(X),
    lambda jax: jax.make_jaxpr(lambda x: x * np.nan + np.inf)(X),
    lambda jax: (
        jax.make_jaxpr(lambda x: x, static_argnums=1)(X) if False else jax.make_jaxpr(lambda k: k)(jax.random.key(0))
    ),
    shared,
    two_named_alike,
]


@pytest.mark.parametrize("program", SAME_TEXT)
def test_prints_as_jax(program):
    assert str(program(cyxla)) == str(program(jax))


def test_arguments_of_make_jaxpr():
    for module in (cyxla, jax):
        closed, shape = module.make_jaxpr(lambda x, n: {"a": x * n}, static_argnums=1, return_shape=True)(X, 3)
        assert str(closed) == "{ lambda ; a:f32[3]. let b:f32[3] = mul a 3.0:f32[] in (b,) }"
        assert shape["a"].shape == (3,)
        assert str(module.make_jaxpr(lambda x, y=1: x)(X, y=2)) == "{ lambda ; a:f32[3] b:i32[]. let  in (a,) }"
        assert len(module.make_jaxpr(lambda x, n: x, static_argnums=(-1,))(X, "text").jaxpr.invars) == 1
        struct = module.ShapeDtypeStruct((2,), "int8")
        assert str(module.make_jaxpr(lambda x: x)(struct)) == "{ lambda ; a:i8[2]. let  in (a,) }"
    both_raise("TypeError", lambda jax: jax.make_jaxpr(lambda x: x)("text"))
    both_raise("TypeError", lambda jax: jax.make_jaxpr(3))


def test_jaxpr_objects():
    for module in (cyxla, jax):
        closed = module.make_jaxpr(lambda x: module.lax.sin(x) + 2.0 + X)(X)
        jaxpr = closed.jaxpr
        assert [e.primitive.name for e in jaxpr.eqns] == ["sin", "add", "add"]
        assert closed.eqns is not None
        assert len(closed.consts) == len(jaxpr.constvars) == 1
        assert closed.literals is not None
        assert [a.shape for a in closed.in_avals] == [(3,)]
        assert [str(a) for a in closed.out_avals] == ["float32[3]"]
        sin, add, _ = jaxpr.eqns
        assert sin.invars == jaxpr.invars
        assert sin.outvars[0] is add.invars[0]
        literal = add.invars[1]
        assert float(literal.val) == 2.0
        assert literal.aval.shape == ()
        assert jaxpr.outvars[0] is jaxpr.eqns[-1].outvars[0]
        assert sin.params == {} or "accuracy" in sin.params
        assert not jaxpr.effects
        assert not sin.effects
        assert str(sin.primitive) == "sin"
        assert not sin.primitive.multiple_results


def test_changing_jaxprs():
    closed = cyxla.make_jaxpr(lambda x: (x * 2.0, x + 1.0))(1.0)
    jaxpr = closed.jaxpr
    shorter = jaxpr.replace(outvars=jaxpr.outvars[:1], eqns=jaxpr.eqns[:1])
    assert str(shorter) == "{ lambda ; a:f32[]. let b:f32[] = mul a 2.0:f32[] in (b,) }"
    assert closed.replace(jaxpr=shorter).eqns == shorter.eqns
    eqn = jaxpr.eqns[0].replace(primitive=cyxla.lax.sub_p)
    assert str(eqn) == "b:f32[] = sub a 2.0:f32[]"
    with pytest.raises(TypeError):
        jaxpr.replace(nothing=1)


def test_eval_jaxpr():
    closed = cyxla.make_jaxpr(lambda x: cyxla.numpy.sin(x) * X)(X)
    (out,) = eval_jaxpr(closed.jaxpr, closed.consts, [X])
    np.testing.assert_allclose(out, np.sin(X), rtol=1e-6)
    run = cyxla.jit(cyxla.vmap(lambda x: eval_jaxpr(closed.jaxpr, closed.consts, [x])[0]))
    np.testing.assert_allclose(run(np.stack([X, X])), np.sin(np.stack([X, X])), rtol=1e-6)
    with pytest.raises(TypeError, match="takes 1 constants and 1 arguments"):
        eval_jaxpr(closed.jaxpr, closed.consts, [])


def test_walking_into_nested_jaxprs():
    def names(module, jaxpr):
        found = []
        for eqn in jaxpr.eqns:
            found.append(eqn.primitive.name)
            for value in eqn.params.values():
                for item in value if isinstance(value, tuple) else (value,):
                    inner = getattr(item, "jaxpr", item)
                    if hasattr(inner, "eqns"):
                        found += names(module, inner)
        return found

    def program(jax):
        def f(x):
            y = jax.lax.cond(x > 0, lambda: x * 2, lambda: x)
            z, _ = jax.lax.scan(lambda c, a: (c * a, None), y, X)
            return jax.lax.while_loop(lambda a: a < 3, lambda a: a + 1, z)

        return names(jax, jax.make_jaxpr(jax.jit(f))(np.float32(1)).jaxpr)

    assert program(cyxla) == program(jax)


def test_source_of_equations():
    closed = cyxla.make_jaxpr(lambda x: x * 2.0)(1.0)
    file, line, name = closed.eqns[0].source
    assert file == __file__
    assert "x * 2.0" in Path(__file__).read_text().splitlines()[line - 1]
    assert "<lambda>" in name


def test_typed_keys_print():
    agree(lambda jax: str(jax.make_jaxpr(lambda k: k)(jax.random.key(0))) == "{ lambda ; a:key<fry>[]. let  in (a,) }")


@pytest.mark.parametrize("package", [jax, cyxla])
@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x.devices(),
        lambda x: x.delete(),
        lambda x: x.is_deleted(),
        lambda x: x.committed,
        lambda x: x.addressable_shards,
        lambda x: x.is_fully_addressable,
        lambda x: x.unsafe_buffer_pointer(),
        lambda x: x.on_device_size_in_bytes(),
    ],
)
def test_tracers_are_nowhere(package, ask):
    with pytest.raises(package.errors.ConcretizationTypeError):
        package.jit(lambda x: ask(x) and x)(X)


@pytest.mark.parametrize("package", [jax, cyxla])
def test_jaxprs_of_values_only(package):
    closed = package.make_jaxpr(lambda x: x)(X)
    assert [closed.is_high, closed.jaxpr.is_high] == [False, False]
    assert [a.shape for a in closed.in_aval_qdds + closed.final_aval_qdds] == [(3,), (3,)]
