"""Control flow: values, derivatives, batches and errors of conditionals, loops and scans; against jax."""

import jax
import numpy as np
import pytest
from compare import agree, both_raise

import cyxla
import cyxla.numpy as jnp
from cyxla import lax

X = np.array([0.5, -1.0, 2.0], np.float32)
M = np.arange(12, dtype=np.float32).reshape(4, 3) / 8


def everything(jax, f, *args, forward=True, reverse=True):
    """Value, derivatives and second derivatives of a function of float arrays, as one jitted program."""

    def program(*args):
        scalar = lambda *a: sum(jax.numpy.sum(leaf) for leaf in jax.tree_util.tree_leaves(f(*a)))
        numbers = tuple(range(len(args)))
        out = {"value": f(*args)}
        if forward:
            out["jvp"] = jax.jvp(f, args, args)[1]
        if reverse:
            out["grad"] = jax.grad(scalar, numbers)(*args)
            out["hessian-vector"] = jax.jvp(jax.grad(scalar, numbers), args, args)[1]
        elif forward:
            out["second"] = jax.jvp(lambda *a: jax.jvp(scalar, a, a)[1], args, args)[1]
        return out

    return jax.jit(program)(*args)


def batched(jax, f, *args):
    """vmap over each argument alone and over all of them, and of the gradient."""
    two = [np.stack([a, a[::-1] if np.ndim(a) else a + 1]).astype(np.asarray(a).dtype) for a in args]

    def program(args, two):
        out = {"all": jax.vmap(f)(*two)}
        for i in range(len(args)):
            mixed = [two[k] if k == i else a for k, a in enumerate(args)]
            out[str(i)] = jax.vmap(f, in_axes=tuple(0 if k == i else None for k in range(len(args))))(*mixed)
        return out

    return jax.jit(program)(args, two)


# -- cond and switch

CONDITIONALS = {
    "cond": lambda jax, x: jax.lax.cond(x[0] > 0, lambda a: a * 2, lambda a: jax.numpy.sin(a) * a, x),
    "false": lambda jax, x: jax.lax.cond(x[1] > 0, lambda a: a * 2, lambda a: jax.numpy.sin(a) * a, x),
    "closures": lambda jax, x: jax.lax.cond(x[0] > 0, lambda: x * x, lambda: x),
    "constants": lambda jax, x: jax.lax.cond(x[0] > 0, lambda a: a * X, lambda a: a + M[0], x),
    "zero in one": lambda jax, x: jax.lax.cond(x[0] > 0, lambda a: a**3, lambda a: jax.numpy.ones(3), x),
    "pytrees": lambda jax, x: jax.lax.cond(x[0] > 0, lambda d: {"a": d["b"], "b": None}, lambda d: {"a": d["a"] * 2, "b": None}, {"a": x, "b": x**2}),
    "integers too": lambda jax, x: jax.lax.cond(x[0] > 0, lambda a, n: a * n, lambda a, n: a + n, x, 3),
    "residuals of both": lambda jax, x: jax.lax.cond(x[0] > 0, lambda a: jax.numpy.sin(a) * jax.numpy.cos(a), lambda a: jax.numpy.exp(a) * a, x),
    "nested": lambda jax, x: jax.lax.cond(x[0] > 0, lambda a: jax.lax.cond(a[1] > 0, lambda: a, lambda: a**2), lambda a: a, x),
    "switch": lambda jax, x: jax.lax.switch(2, [lambda a: a, lambda a: a * 2, lambda a: jax.numpy.sin(a) * x[0]], x),
    "traced switch": lambda jax, x: jax.lax.switch((x[2] * 0.6).astype("int32"), [lambda a: a, lambda a: a**2, lambda a: a], x),
    "inside scan": lambda jax, x: jax.lax.scan(lambda c, a: (jax.lax.cond(a > 0, lambda: c * a, lambda: jax.numpy.sin(c)), c), x[0], x),
}  # fmt: skip


@pytest.mark.parametrize("name", CONDITIONALS)
def test_conditionals(name):
    agree(lambda jax: everything(jax, lambda x: CONDITIONALS[name](jax, x), X), 1e-4, 1e-5)


@pytest.mark.parametrize("name", CONDITIONALS)
def test_batched_conditionals(name):
    def program(jax):
        f = lambda x: CONDITIONALS[name](jax, x)
        scalar = lambda x: sum(jax.numpy.sum(leaf) for leaf in jax.tree_util.tree_leaves(f(x)))
        return batched(jax, f, X), jax.jit(jax.vmap(jax.grad(scalar)))(np.stack([X, -X]))

    agree(program, 1e-4, 1e-5)


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.lax.cond(True, lambda: 1, lambda: 2),
        lambda jax: jax.lax.cond(np.bool_(False), lambda x: x, lambda x: -x, X),
        lambda jax: jax.lax.cond(1, lambda: 1.0, lambda: 2.0),
        lambda jax: jax.lax.cond(0.0, lambda: 1.0, lambda: 2.0),
        lambda jax: jax.lax.cond(np.int32(3), lambda: 1.0, lambda: 2.0),
        lambda jax: jax.lax.cond(True, lambda x: x, lambda x: -x, operand=X),
        lambda jax: jax.lax.cond(True, lambda x: 1, lambda x: 2, operand=None),
        lambda jax: jax.lax.cond(True, lambda: np.float32(1), lambda: 2.0),
        lambda jax: jax.lax.cond(False, lambda: 1.0, lambda: np.float32(2)),
        lambda jax: jax.lax.cond(True, lambda: None, lambda: None),
        lambda jax: jax.lax.cond(True, lambda d: d, lambda d: d, {"a": (1, X)}),
        lambda jax: jax.lax.switch(0, [lambda: 1, lambda: 2]),
        lambda jax: jax.lax.switch(7, [lambda: 1, lambda: 2]),
        lambda jax: jax.lax.switch(-3, [lambda: 1, lambda: 2]),
        lambda jax: jax.lax.switch(np.int8(1), [lambda x: x, lambda x: -x], X),
        lambda jax: jax.lax.switch(np.uint8(1), (lambda x: x, lambda x: -x), X),
        lambda jax: jax.lax.switch(5, [lambda x: x + 1], X),
        lambda jax: jax.lax.switch(1, [lambda x: x, lambda x: -x], operand=X),
        lambda jax: jax.vmap(lambda p, x: jax.lax.cond(p, lambda a: a, lambda a: -a, x))(np.array([True, False]), M[:2]),
        lambda jax: jax.vmap(lambda i, x: jax.lax.switch(i, [lambda a: a, lambda a: -a, lambda a: a * 9], x))(np.array([2, 0, 5]), M[:3]),
        lambda jax: jax.vmap(lambda p: jax.lax.cond(p, lambda: X, lambda: X * 2))(np.array([True, False])),
    ],
)  # fmt: skip
def test_forms_of_conditionals(program):
    agree(program)


def test_the_other_branch_does_not_run():
    text = cyxla.jit(lambda x: lax.cond(x > 0, lambda: jnp.sin(x), lambda: x)).lower(1.0).as_text()
    assert "stablehlo.case" in text


@pytest.mark.parametrize(
    ("program", "match"),
    [
        (lambda jax: jax.lax.cond(X > 0, lambda: 1, lambda: 2), r"shape \(3,\)"),
        (lambda jax: jax.lax.cond("text", lambda: 1, lambda: 2), "text"),
        (lambda jax: jax.lax.cond(None, lambda: 1, lambda: 2), "None"),
        (lambda jax: jax.lax.cond(True, lambda: 1, lambda: (1, 2)), "structure"),
        (
            lambda jax: jax.lax.cond(True, lambda: X, lambda: X[:2]),
            r"float32\[3\].*float32\[2\]|float32\[2\].*float32\[3\]",
        ),
        (lambda jax: jax.lax.cond(True, lambda: np.int32(1), lambda: np.float32(2)), "int32.*float32|float32.*int32"),
        (lambda jax: jax.lax.cond(True, 1, 2), None),
        (lambda jax: jax.lax.cond(True, lambda x: x, lambda x: x, "text"), "text"),
        (lambda jax: jax.lax.cond(True, lambda: "text", lambda: "text"), "text"),
        (lambda jax: jax.lax.switch(1.0, [lambda: 1, lambda: 2]), "float32"),
        (lambda jax: jax.lax.switch(np.arange(2), [lambda: 1, lambda: 2]), r"\(2,\)"),
        (lambda jax: jax.lax.switch(0, [lambda: 1, lambda: X]), None),
        (lambda jax: jax.lax.switch(0, [lambda: 1, 2]), None),
    ],
)
def test_errors_of_conditionals(program, match):
    both_raise("TypeError", program, match)


def test_no_branches():
    both_raise("ValueError", lambda jax: jax.lax.switch(0, []))


# -- scan


def rnn(jax, w, x):
    return jax.lax.scan(lambda c, a: (jax.numpy.sin(w @ c) * a, (c.sum(), a)), X, x)


SCANS = {
    "carry and rows": lambda jax, x, **k: jax.lax.scan(lambda c, a: (jax.numpy.sin(c) * a, c + a), x[0], x, **k),
    "scalars": lambda jax, x, **k: jax.lax.scan(lambda c, a: (c * a, c), x[0, 0], x[:, 0], **k),
    "no xs": lambda jax, x, **k: jax.lax.scan(lambda c, _: (jax.numpy.sin(c), c), x[0], None, length=3, **k),
    "no carry": lambda jax, x, **k: jax.lax.scan(lambda _, a: ((), a**2), (), x, **k),
    "no ys": lambda jax, x, **k: jax.lax.scan(lambda c, a: (c * a, None), x[0], x, **k),
    "pytrees": lambda jax, x, **k: jax.lax.scan(lambda c, a: ({"v": c["v"] * a["r"], "n": c["n"] + 1}, (c["v"], {"y": a["r"]})), {"v": x[0], "n": 0}, {"r": x}, **k),
    "closures": lambda jax, x, **k: jax.lax.scan(lambda c, a: (jax.numpy.sin(c * x[1]) + a, c * x[0]), x[0], x, **k),
    "constants": lambda jax, x, **k: jax.lax.scan(lambda c, a: (c * X + a, c * M[1]), x[0], x, **k),
    "integers": lambda jax, x, **k: jax.lax.scan(lambda c, a: ((c[0] + a[1], c[1] * a[0]), c[0]), (0, x[0]), (x, np.arange(4)), **k),
    "carry becomes active": lambda jax, x, **k: jax.lax.scan(lambda c, a: (c[1:] + (c[0] * a,), c[0]), (np.float32(1), np.float32(2), np.float32(3)), x[:, 0], **k),
    "nested": lambda jax, x, **k: jax.lax.scan(lambda c, a: (jax.lax.scan(lambda d, b: (d * b, d), c, a)[0], c), x[0, 0], x, **k),
    "jitted body": lambda jax, x, **k: jax.lax.scan(jax.jit(lambda c, a: (jax.numpy.sin(c) * a, c)), x[0], x, **k),
    "reverse": lambda jax, x, **k: jax.lax.scan(lambda c, a: (jax.numpy.sin(c) * a, c + a), x[0], x, reverse=True, **k),
}  # fmt: skip


@pytest.mark.parametrize("name", SCANS)
def test_scan(name):
    agree(lambda jax: everything(jax, lambda x: SCANS[name](jax, x), M), 1e-4, 1e-5)


@pytest.mark.parametrize("name", SCANS)
def test_batched_scan(name):
    def program(jax):
        f = lambda x: SCANS[name](jax, x)
        scalar = lambda x: sum(jax.numpy.sum(leaf) for leaf in jax.tree_util.tree_leaves(f(x)))
        return batched(jax, f, M), jax.jit(jax.vmap(jax.grad(scalar)))(np.stack([M, -M]))

    agree(program, 1e-4, 1e-5)


def test_scan_batched_in_parts():
    def program(jax):
        f = lambda c, w, x: jax.lax.scan(lambda c, a: (jax.numpy.sin(c) * w + a, c * a), c, x)
        return batched(jax, f, X, X + 1, M)

    agree(program, 1e-4, 1e-5)


@pytest.mark.parametrize("length", [1, 4, 7])
@pytest.mark.parametrize("unroll", [1, 2, 3, 4, 7, 9, True, False])
@pytest.mark.parametrize("reverse", [False, True])
def test_unroll(length, unroll, reverse):
    xs = np.arange(length, dtype=np.float32)
    step = lambda c, a: (c * 2 + a, c - a)
    carry, ys = lax.scan(step, np.float32(1), xs, reverse=reverse, unroll=unroll)
    c, rows = np.float32(1), [None] * length
    for i in reversed(range(length)) if reverse else range(length):
        c, rows[i] = step(c, xs[i])
    np.testing.assert_allclose(carry, c)
    np.testing.assert_allclose(ys, rows)


def test_unroll_differentiates():
    agree(lambda jax: everything(jax, lambda x: SCANS["closures"](jax, x, unroll=3), M), 1e-4, 1e-5)


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.lax.scan(lambda c, a: (c + a, c), 0, np.arange(3)),
        lambda jax: jax.lax.scan(lambda c, a: (c + a, c), 0.0, np.arange(3)),
        lambda jax: jax.lax.scan(lambda c, a: (c + a, c), 0, X),
        lambda jax: jax.lax.scan(lambda c, a: (c + a, c), 0.0, X),
        lambda jax: jax.lax.scan(lambda c, a: (c * 2, a), 1.0, X),
        lambda jax: jax.lax.scan(lambda c, a: (a, c), 1, X),
        lambda jax: jax.lax.scan(lambda c, a: (c, 1.0), 1, X),
        lambda jax: jax.lax.scan(lambda c, a: (c, a), X, X[:0]),
        lambda jax: jax.lax.scan(lambda c, a: (c, c), X, None, length=0),
        lambda jax: jax.lax.scan(lambda c, a: (c, a), X, M, length=4),
        lambda jax: jax.lax.scan(lambda c, a: (c, a), None, M),
        lambda jax: jax.lax.scan(lambda c, a: [c, a], X, M),
        lambda jax: jax.lax.scan(lambda c, a: (c & a, c), True, X > 0),
        lambda jax: jax.lax.scan(lambda c, a: (c, {"a": a, "n": None}), X, {"x": M}["x"]),
        lambda jax: jax.lax.map(lambda x: x * 2, X),
        lambda jax: jax.lax.map(lambda d: {"s": d["a"].sum(), "b": d["b"]}, {"a": M, "b": np.arange(4)}),
        lambda jax: jax.lax.map(lambda x: x.sum(), M, batch_size=2),
        lambda jax: jax.lax.map(lambda x: x.sum(), M, batch_size=3),
        lambda jax: jax.lax.map(lambda x: x.sum(), M, batch_size=9),
        lambda jax: jax.grad(lambda m: jax.lax.map(lambda x: (x**2).sum(), m, batch_size=3).sum())(M),
        lambda jax: jax.vmap(lambda x: jax.lax.map(lambda a: a * 2, x))(M),
    ],
)
def test_types_of_scans(program):
    agree(program)


@pytest.mark.parametrize("length", [3.0, np.float32(3), True])
def test_scan_length_is_made_an_integer(length):
    agree(lambda jax: jax.lax.scan(lambda c, _: (c + 1, c), 0, None, length=length))


def test_scan_length_from_numpy_integers():
    assert lax.scan(lambda c, _: (c + 1, c), 0, None, length=np.int64(3))[0] == 3
    assert lax.scan(lambda c, _: (c + 1, c), 0, None, length=jnp.int32(3))[0] == 3


def test_typed_keys():
    def program(jax):
        def step(key, slice_key):
            key, sub = jax.random.split(key)
            return key, (sub, jax.random.uniform(slice_key), jax.random.uniform(sub))

        key, (subs, a, b) = jax.lax.scan(step, jax.random.key(0), jax.random.split(jax.random.key(1), 3))
        chosen = jax.lax.cond(True, lambda k: k, lambda k: jax.random.fold_in(k, 1), key)
        looped = jax.lax.fori_loop(0, 3, lambda i, k: jax.random.fold_in(k, i), key)
        waited = jax.lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, jax.random.split(s[1], 1)[0]), (0, key))[1]
        return key, subs, a, b, chosen, looped, waited

    agree(program)
    agree(lambda jax: jax.jit(lambda: program(jax))())


def test_scan_is_traced_once():
    traces = []

    def step(c, a):
        traces.append(1)
        return c * a, c

    for _ in range(3):
        lax.scan(step, np.float32(1), X)
        cyxla.grad(lambda x: lax.scan(step, x, X)[0])(np.float32(1))
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("error", "program", "match"),
    [
        ("TypeError", lambda jax: jax.lax.scan(lambda c, a: (X, a), X[:2], M), r"float32\[2\].*float32\[3\]"),
        ("TypeError", lambda jax: jax.lax.scan(lambda c, a: ((c, c), a), X, M), "structure"),
        ("TypeError", lambda jax: jax.lax.scan(lambda c, a: (c.astype("int32"), a), X, M), "float32.*int32"),
        ("TypeError", lambda jax: jax.lax.scan(lambda c, a: c, X, M), "pair"),
        ("TypeError", lambda jax: jax.lax.scan(lambda c, a: (c, a, a), X, M), "pair"),
        ("TypeError", lambda jax: jax.lax.scan(lambda c, a: (c, "text"), X, M), "text"),
        ("TypeError", lambda jax: jax.lax.scan(lambda c, a: (c, a), "text", M), "text"),
        ("TypeError", lambda jax: jax.lax.scan(1, X, M), "function"),
        ("ValueError", lambda jax: jax.lax.scan(lambda c, a: (c, a), X, (M, X)), "3.*4|4.*3"),
        ("ValueError", lambda jax: jax.lax.scan(lambda c, a: (c, a), X, M, length=3), "length"),
        ("ValueError", lambda jax: jax.lax.scan(lambda c, a: (c, a), X, None), "length"),
        ("ValueError", lambda jax: jax.lax.scan(lambda c, a: (c, a), X, 1.0), "leading axis"),
        (
            "ConcretizationTypeError",
            lambda jax: jax.jit(lambda n: jax.lax.scan(lambda c, a: (c, a), X, None, length=n))(3),
            "length",
        ),
        ("TypeError", lambda jax: jax.lax.scan(lambda c, a: (c, a), X, M, unroll="2"), "unroll"),
        ("ValueError", lambda jax: jax.lax.scan(lambda c, a: (c, a), X, M, unroll=-1), "unroll"),
        ("ValueError", lambda jax: jax.lax.scan(lambda c, a: (c, a), X, None, length="long"), "length"),
        ("ValueError", lambda jax: jax.lax.map(lambda x: x, 1.0), None),
    ],
)
def test_errors_of_scan(error, program, match):
    both_raise(error, program, match)


def test_mismatch_is_told_leaf_by_leaf():
    def step(carry, x):
        return {"params": {"w": carry["params"]["w"][:1], "b": carry["params"]["b"]}, "step": carry["step"] + 0.5}, x

    carry = {"params": {"w": X, "b": X}, "step": np.int32(0)}
    with pytest.raises(TypeError) as caught:
        lax.scan(step, carry, X)
    text = str(caught.value)
    assert "carry['params']['w'] goes in as float32[3] and comes out as float32[1]" in text
    assert "carry['step'] goes in as int32[] and comes out as float32[]" in text
    assert "['b']" not in text


def test_tracer_errors_name_the_argument_of_the_body():
    def step(carry, x):
        return (carry if x > 0 else -carry), x

    with pytest.raises(cyxla.errors.TracerBoolConversionError, match="step"):
        lax.scan(step, 1.0, X)

    def other(carry, x):
        return (carry if x else -carry), x

    with pytest.raises(cyxla.errors.TracerBoolConversionError, match="the argument x in other"):
        lax.scan(other, 1.0, X)


# -- while_loop and fori_loop

LOOPS = {
    "while": lambda jax, x: jax.lax.while_loop(lambda c: c.sum() < 20, lambda c: c * 2 + 0.5, x),
    "counter": lambda jax, x: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jax.numpy.sin(c[1]) * c[1]), (0, x)),
    "closures": lambda jax, x: jax.lax.while_loop(lambda c: c[0] < 3 + x[0], lambda c: (c[0] + 1, c[1] * x), (0, x)),
    "pytrees": lambda jax, x: jax.lax.while_loop(lambda c: c["n"] < 2, lambda c: {"n": c["n"] + 1, "v": (c["v"][0] * 2, None)}, {"n": 0, "v": (x, None)}),
    "becomes active": lambda jax, x: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[2], c[1] * x, c[1]), (0, X, X, X)),
    "traced bounds": lambda jax, x: jax.lax.fori_loop(0, (x[2] * 2).astype("int32"), lambda i, c: c * x + i, x),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_while_loop(name):
    agree(lambda jax: everything(jax, lambda x: LOOPS[name](jax, x), X, reverse=False), 1e-4, 1e-5)


@pytest.mark.parametrize("name", LOOPS)
def test_batched_while_loop(name):
    def program(jax):
        f = lambda x: LOOPS[name](jax, x)
        return batched(jax, f, X + 1), jax.jit(jax.vmap(lambda x: jax.jvp(f, (x,), (x,))[1]))(np.stack([X + 1, X + 2]))

    agree(program, 1e-4, 1e-5)


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.vmap(lambda n: jax.lax.while_loop(lambda c: c < n, lambda c: c + 2, 0))(np.array([1, 4, 7])),
        lambda jax: jax.vmap(lambda n: jax.lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] * 2), (0, X)))(np.arange(3)),
        lambda jax: jax.vmap(lambda x: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + x), (0, 0.0)))(X),
        lambda jax: jax.vmap(jax.vmap(lambda n: jax.lax.while_loop(lambda c: c < n, lambda c: c + 2, 0)))(np.arange(4).reshape(2, 2)),
        lambda jax: jax.vmap(lambda n: jax.lax.fori_loop(0, n, lambda i, c: c + i, 0))(np.arange(4)),
    ],
)  # fmt: skip
def test_batched_predicates(program):
    agree(program)


FORI = {
    "fori": lambda jax, x: jax.lax.fori_loop(0, 3, lambda i, c: jax.numpy.sin(c) * i + x, x),
    "index": lambda jax, x: jax.lax.fori_loop(1, 3, lambda i, c: c + x[i] ** 2, 0.0),
    "unroll": lambda jax, x: jax.lax.fori_loop(0, 5, lambda i, c: c * x + i, x, unroll=2),
    "update": lambda jax, x: jax.lax.fori_loop(0, 3, lambda i, c: c.at[i].set(x[i] * c[0]), x),
}


@pytest.mark.parametrize("name", FORI)
def test_fori_loop(name):
    agree(lambda jax: everything(jax, lambda x: FORI[name](jax, x), X), 1e-4, 1e-5)


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.lax.while_loop(lambda x: x < 10, lambda x: x * 2, 1),
        lambda jax: jax.lax.while_loop(lambda x: x < 10, lambda x: x * 2, 1.0),
        lambda jax: jax.lax.while_loop(lambda x: x < 10, lambda x: x * np.float32(2), 1.0),
        lambda jax: jax.lax.while_loop(lambda x: x < 10, lambda x: x * 2.5, 1),
        lambda jax: jax.lax.while_loop(lambda x: False, lambda x: x, X),
        lambda jax: jax.lax.while_loop(lambda x: np.bool_(False), lambda x: x, X),
        lambda jax: jax.lax.fori_loop(0, 3, lambda i, x: x + i, 0),
        lambda jax: jax.lax.fori_loop(0, 3, lambda i, x: x + i, 0.0),
        lambda jax: jax.lax.fori_loop(0, 3, lambda i, x: x * 2.0, 1),
        lambda jax: jax.lax.fori_loop(3, 0, lambda i, x: x + i, X),
        lambda jax: jax.lax.fori_loop(-2, 2, lambda i, x: x + i, 0),
        lambda jax: jax.lax.fori_loop(np.int8(0), np.int8(3), lambda i, x: i, 0),
        lambda jax: jax.jit(lambda n: jax.lax.fori_loop(np.int16(0), n, lambda i, x: i, np.int16(0)))(np.int16(3)),
        lambda jax: jax.lax.fori_loop(0, jax.numpy.int32(3), lambda i, x: x + i, 0),
        lambda jax: jax.lax.fori_loop(0, 3, lambda i, d: {"a": d["a"] + i}, {"a": X}),
        lambda jax: jax.jit(lambda n: jax.lax.fori_loop(0, n, lambda i, x: x + i, 0.0))(4),
        lambda jax: jax.lax.fori_loop(0, 4, lambda i, x: x + i, 0, unroll=True),
        lambda jax: jax.lax.fori_loop(0.0, 3.0, lambda i, x: x + i, 0.0),
        lambda jax: jax.grad(lambda x: jax.lax.fori_loop(0.0, 2.5, lambda i, c: c * x, x))(2.0),
        lambda jax: jax.jit(lambda n: jax.lax.fori_loop(0.0, n, lambda i, x: x + i, 0.0))(2.5),
        lambda jax: jax.lax.fori_loop(False, True, lambda i, x: x + i, 0),
        lambda jax: jax.jit(lambda n: jax.lax.fori_loop(0, n, lambda i, x: x + i, 0, unroll=1))(4),
        lambda jax: jax.jit(lambda n: jax.lax.fori_loop(0, n, lambda i, x: x + i, 0, unroll=False))(4),
        lambda jax: jax.jvp(lambda x: jax.lax.fori_loop(0, 3, lambda i, c: c * x, 1.0), (2.0,), (1.0,)),
    ],
)
def test_types_of_loops(program):
    agree(program)


@pytest.mark.parametrize(
    ("error", "program", "match"),
    [
        ("TypeError", lambda jax: jax.lax.while_loop(lambda x: x, lambda x: x, 1.0), "boolean scalar"),
        ("TypeError", lambda jax: jax.lax.while_loop(lambda x: x > 0, lambda x: x, X), r"bool\[3\]"),
        ("TypeError", lambda jax: jax.lax.while_loop(lambda x: (True, False), lambda x: x, X), "boolean"),
        ("TypeError", lambda jax: jax.lax.while_loop(lambda x: True, lambda x: (x, x), X), "structure"),
        ("TypeError", lambda jax: jax.lax.while_loop(lambda x: True, lambda x: x[:2], X), r"float32\[3\].*float32\[2\]"),
        ("TypeError", lambda jax: jax.lax.while_loop(lambda x: True, lambda x: x.astype("int32"), X), "int32"),
        ("TypeError", lambda jax: jax.lax.while_loop(True, lambda x: x, X), None),
        ("TypeError", lambda jax: jax.lax.while_loop(lambda x: True, lambda x: x, "text"), "text"),
        ("TypeError", lambda jax: jax.lax.fori_loop(0.0, 3, lambda i, x: x, X), "float32"),
        ("TypeError", lambda jax: jax.lax.fori_loop(0, X, lambda i, x: x, X), None),
        ("TypeError", lambda jax: jax.lax.fori_loop(np.int8(0), np.int16(3), lambda i, x: x, X), "int8.*int16"),
        ("TypeError", lambda jax: jax.lax.fori_loop(0, 3, 1, X), None),
        ("TypeError", lambda jax: jax.lax.fori_loop(0, 3, lambda i, x: x[:1], X), r"float32\[3\].*float32\[1\]"),
        ("ValueError", lambda jax: jax.grad(lambda x: jax.lax.while_loop(lambda c: c < 9, lambda c: c * 2, x))(1.0), "scan"),
        ("ValueError", lambda jax: jax.grad(lambda x: jax.jit(lambda x, n: jax.lax.fori_loop(0, n, lambda i, c: c * x, x))(x, 3))(1.0), "scan"),
    ],
)  # fmt: skip
def test_errors_of_loops(error, program, match):
    both_raise(error, program, match)


def test_reverse_mode_past_a_loop_that_carries_nothing_active():
    agree(lambda jax: jax.grad(lambda x: x * jax.lax.while_loop(lambda n: n < 5, lambda n: n + 2, 0))(2.0))


# -- all of them


def test_closing_over_tracers():
    def program(jax):
        def outer(a):
            y = jax.lax.scan(lambda c, x: (c * a + x, c), a, X)[0]
            z = jax.lax.cond(a > 0, lambda: y * a, lambda: y)
            return jax.lax.fori_loop(0, 2, lambda i, c: c * a, z)

        return (
            jax.grad(outer)(2.0),
            jax.vmap(jax.grad(outer))(X),
            jax.jit(jax.grad(jax.grad(outer)))(2.0),
            jax.vmap(lambda b: jax.grad(lambda a: outer(a * b))(2.0))(X),
        )

    agree(program, 1e-4)


def test_inside_of_each_other():
    def program(jax):
        def f(x):
            def step(c, a):
                c = jax.lax.cond(
                    a > 0, lambda: jax.lax.fori_loop(0, 2, lambda i, v: v * a, c), lambda: jax.numpy.sin(c)
                )
                n = jax.lax.while_loop(lambda n: n < 3, lambda n: n + 1, 0)
                return c * n, c

            return jax.lax.scan(step, x, X)[0]

        return jax.jit(lambda x: (f(x), jax.grad(f)(x), jax.vmap(f)(X), jax.vmap(jax.grad(f))(X)))(1.5)

    agree(program, 1e-4)


def test_eager_derivatives():
    """Without jit around them: each loop is compiled as one program."""

    def program(jax):
        f = lambda x: jax.lax.scan(lambda c, a: (jax.numpy.sin(c) * a, c), x, X)[1].sum()
        g = lambda x: jax.lax.cond(x > 0, lambda: x**2, lambda: x)
        return (
            f(1.0),
            jax.grad(f)(1.0),
            jax.vmap(f)(X),
            jax.jvp(f, (1.0,), (1.0,)),
            g(1.0),
            jax.grad(g)(-1.0),
            jax.vmap(g)(X),
        )

    agree(program, 1e-4)


def test_disable_jit():
    def program(jax):
        seen = []
        with jax.disable_jit():
            out = (
                jax.lax.scan(lambda c, a: (c + a, seen.append(float(c))), 0.0, X),
                jax.lax.cond(np.bool_(True), lambda x: x, lambda x: x[0], X),
                jax.lax.while_loop(lambda c: c < 3, lambda c: c + 1, jax.numpy.float32(0)),
                jax.lax.fori_loop(0, 3, lambda i, c: c + i, jax.numpy.float32(0)),
                jax.lax.switch(1, [lambda: 1.0, lambda: 2.0]),
                jax.lax.map(lambda x: x * 2, X),
            )
        assert len(seen) == 3
        return [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(out)]

    for a, b in zip(program(cyxla), program(jax)):
        np.testing.assert_allclose(a, b)


def test_failed_body_leaves_no_state():
    def step(c, a):
        if fail:
            raise RuntimeError("mine")
        return c, a

    fail = True
    with pytest.raises(RuntimeError, match="mine"):
        lax.scan(step, 1.0, X)
    fail = False
    lax.scan(step, 1.0, X)
    assert jnp.ones(2).sum() == 2


@pytest.mark.parametrize("bounds", [(np.uint8(2), 10), (0, np.uint32(10)), (np.int8(2), np.int32(10)), (True, 5)])
def test_bounds_of_fori_loop_of_different_types(bounds):
    both_raise("TypeError", lambda jax: jax.lax.fori_loop(*bounds, lambda i, x: x + i, 0), "bound")
    agree(lambda jax: jax.lax.fori_loop(np.int8(2), 4, lambda i, x: x + i, 0))


# -- associative_scan


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scan(size, reverse):
    x = np.arange(size, dtype=np.float32) - 2
    agree(lambda jax: jax.jit(lambda x: jax.lax.associative_scan(jax.numpy.add, x, reverse=reverse))(x))


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.lax.associative_scan(jax.numpy.multiply, M, axis=1),
        lambda jax: jax.lax.associative_scan(jax.numpy.maximum, M, axis=-1),
        lambda jax: jax.lax.associative_scan(lambda a, b: {"m": a["m"] * b["m"], "s": a["s"] * b["m"] + b["s"]}, {"m": M, "s": M + 1}),
        lambda jax: jax.lax.associative_scan(jax.numpy.logical_or, M[:, 0] > 0.5),
        lambda jax: jax.lax.associative_scan(jax.numpy.matmul, np.stack([np.eye(2, dtype=np.float32) * i + 1 for i in range(5)])),
        lambda jax: jax.vmap(lambda x: jax.lax.associative_scan(jax.numpy.add, x))(M),
        lambda jax: jax.lax.associative_scan(jax.numpy.minimum, np.array([-0.0, 1.0, -0.0], np.float32)),
        lambda jax: jax.jit(jax.grad(lambda x: (jax.lax.associative_scan(jax.numpy.multiply, x) ** 2).sum()))(X),
    ],
)  # fmt: skip
def test_associative_scan_of(program):
    agree(program)


def test_errors_of_associative_scan():
    both_raise("TypeError", lambda jax: jax.lax.associative_scan(3, X), "function")
    both_raise("ValueError", lambda jax: jax.lax.associative_scan(jax.numpy.add, (X, M)), "size")
    both_raise("ValueError", lambda jax: jax.lax.associative_scan(jax.numpy.add, X, axis=2), "axis")
    both_raise("ValueError", lambda jax: jax.lax.associative_scan(lambda a, b: (a, b), X), "structure")
    both_raise("ValueError", lambda jax: jax.lax.associative_scan(lambda a, b: a[0], (X, X)), "structure")
    agree(lambda jax: jax.lax.associative_scan(lambda a, b: [a[0] + b[0], b[1]], (X, X)))
    both_raise("AttributeError", lambda jax: jax.lax.associative_scan(jax.numpy.add, 1.0), "1.0 of type float")
    both_raise("AttributeError", lambda jax: jax.lax.associative_scan(jax.numpy.add, "text"), "text")
    both_raise("IndexError", lambda jax: jax.lax.associative_scan(jax.numpy.add, ()), "no arrays")
    both_raise("TypeError", lambda jax: jax.lax.associative_scan(jax.numpy.add, X, axis=1.0))
    both_raise("TypeError", lambda jax: jax.lax.associative_scan(lambda a, b: (a + b)[:, :1], M), "keep the shapes")
    with pytest.raises(TypeError, match="keep the shapes"):  # jax makes something of it, or recurses without end
        lax.associative_scan(lambda a, b: (a + b)[:1], jnp.arange(4))


INDICES = [2**31 - 1, 2**31, 2**31 + 1, -(2**31) - 1, 2**40, 2**40 + 1, -(2**40), 2**63, 2**64 - 1, np.int64(2**40 + 2)]


@pytest.mark.parametrize("index", INDICES)
def test_indices_of_switch_beyond_32_bits(index):
    branches = [lambda x: x, lambda x: x * 2, lambda x: x * 3]
    agree(
        lambda jax: (jax.lax.switch(index, branches, 2.0), jax.jit(lambda x: jax.lax.switch(index, branches, x))(2.0))
    )


def test_wrong_scalars():
    both_raise("IndexError", lambda jax: jax.lax.scan(lambda c, x: (c, x), 1.0, (X, jax.numpy.ones(()))), r"xs\[1\]")
    both_raise("IndexError", lambda jax: jax.lax.map(lambda x: x, np.float32(1)), "leading axis")
    both_raise("IndexError", lambda jax: jax.lax.map(lambda x: x, np.float32(1), batch_size=2), "leading axis")
    both_raise("ValueError", lambda jax: jax.lax.scan(lambda c, x: (c, x), 1.0, (X, 1.0)), r"xs\[1\]")
    both_raise("ValueError", lambda jax: jax.lax.fori_loop(0, None, lambda i, c: c, 1.0), "upper")
    both_raise("ValueError", lambda jax: jax.lax.fori_loop(None, 2, lambda i, c: c, 1.0), "lower")
    both_raise("OverflowError", lambda jax: jax.lax.switch(2**70, [lambda: 1, lambda: 2]), "64 bits")


def test_old_and_odd_arguments():
    agree(lambda jax: jax.lax.cond(X[0] > 0, X, lambda x: x * 2, X, lambda x: x))
    agree(lambda jax: jax.lax.map(jax.numpy.sin, M, batch_size=0))
    agree(lambda jax: jax.lax.scan(lambda c, x: (c + x, c), np.float32(0), X, unroll=0))
    both_raise(
        "ValueError", lambda jax: jax.lax.custom_linear_solve(lambda v: v[:2], jax.numpy.asarray(X), lambda f, b: b)
    )


def test_branches_share_constants():
    w = jnp.asarray(X)
    jaxpr = cyxla.make_jaxpr(lambda w, p: lax.cond(p, lambda: w * 2, lambda: (w * w) * w))(w, True)
    (eqn,) = [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "cond"]
    assert len(eqn.invars) == 2
    swapped = lambda jax: lambda a, b, p: jax.lax.cond(p, lambda: a - 2 * b, lambda: b - 3 * a)
    for p in (True, False):
        agree(lambda jax: jax.jit(swapped(jax))(X, 2 * X, p))
