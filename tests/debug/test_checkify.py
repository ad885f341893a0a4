"""`checkify`: which checks fail, in which words, and what is computed all the same, against jax."""

import re

import jax
import jax.experimental.checkify
import numpy as np
import pytest
from compare import agree, assert_same

import cyxla
import cyxla.numpy as jnp
from cyxla.experimental import checkify

X = np.arange(3, dtype=np.float32)
F = np.float32


def module(lib):
    return lib.experimental.checkify


def essence(message):
    """What a message says, whoever says it."""
    if message is None:
        return None
    lines = []
    for line in message.split("\n"):
        line = re.sub(r" \(.?check.? failed.*\)$", "", line)
        if "out-of-bounds" in line:
            where = line.partition("out-of-bounds")[0]
            line = where + str(re.findall(r"(?:index|axis|size)\D*(-?\d+)", line.replace("indexing", "")))
        line = re.sub(r"(division by zero|primitive: \w+).*", r"\1", line)
        lines.append(line)
    return lines


class Converting:
    """A checkify module whose transformed functions are called with arrays, where a program passes NumPy's."""

    def __init__(self, lib):
        self.lib = lib

    def __getattr__(self, name):
        return getattr(module(self.lib), name)

    def checkify(self, f, **options):
        checked = module(self.lib).checkify(f, **options)
        return lambda *args, **kwargs: checked(*self.lib.tree.map(self.lib.numpy.asarray, args), **kwargs)


def same(program):
    """Runs `program(lib, checkify module) -> (error, result)` with both and compares."""

    def outcome(lib):
        try:
            error, out = program(lib, Converting(lib))
            return essence(error.get()), out
        except Exception as error:
            return type(error).__name__, None

    (ours, our_out), (theirs, their_out) = outcome(cyxla), outcome(jax)
    assert ours == theirs
    assert_same(our_out, their_out)
    return ours


def positive(lib, x):
    module(lib).check(lib.numpy.all(x > 0), "must be positive, got {x} {}", x + 1, x=x)
    return x + 1


USER = {
    "fails": lambda lib, c: c.checkify(lambda x: positive(lib, x))(X),
    "passes": lambda lib, c: c.checkify(lambda x: positive(lib, x))(X + 1),
    "jit": lambda lib, c: lib.jit(c.checkify(lambda x: positive(lib, x)))(X),
    "of jit": lambda lib, c: c.checkify(lib.jit(lambda x: positive(lib, x)))(X),
    "nested jit": lambda lib, c: lib.jit(c.checkify(lambda x: lib.jit(lambda y: positive(lib, y) * 2)(x)))(X),
    "of vmap": lambda lib, c: c.checkify(lib.vmap(lambda x: positive(lib, x)))(X),
    "of vmap later": lambda lib, c: c.checkify(lib.vmap(lambda x: positive(lib, x)))(X[::-1].copy()),
    "vmap": lambda lib, c: lib.vmap(c.checkify(lambda x: positive(lib, x)))(X - 1),
    "vmap passes": lambda lib, c: lib.vmap(c.checkify(lambda x: positive(lib, x)))(X + 1),
    "jit vmap": lambda lib, c: lib.jit(lib.vmap(c.checkify(lambda x: positive(lib, x))))(X - 1),
    "scan": lambda lib, c: c.checkify(
        lambda x: lib.lax.scan(lambda s, y: (s + positive(lib, y), y), np.float32(0), x)
    )(X),
    "scan late": lambda lib, c: lib.jit(
        c.checkify(lambda x: lib.lax.scan(lambda s, y: (s + positive(lib, 2 - y), y), np.float32(0), x))
    )(X),
    "scan of vmap": lambda lib, c: lib.vmap(
        c.checkify(lambda x: lib.lax.scan(lambda s, y: (s + y, positive(lib, s)), x, X))
    )(X),
    "while": lambda lib, c: c.checkify(
        lambda x: lib.lax.while_loop(lambda v: v < 3, lambda v: positive(lib, v - 1) + 1, x)
    )(F(0)),
    "while test": lambda lib, c: c.checkify(
        lambda x: lib.lax.while_loop(lambda v: (c.check(v < 2, "at {}", v), v < 3)[1], lambda v: v + 1, x)
    )(F(0)),
    "fori": lambda lib, c: c.checkify(lambda x: lib.lax.fori_loop(0, 3, lambda i, v: positive(lib, v - 1), x))(F(1)),
    "map": lambda lib, c: c.checkify(lambda x: lib.lax.map(lambda v: positive(lib, v), x))(X),
    "cond taken": lambda lib, c: c.checkify(
        lambda x: lib.lax.cond(x < 0, lambda v: positive(lib, v), lambda v: v, x)
    )(F(-1)),
    "cond not taken": lambda lib, c: c.checkify(
        lambda x: lib.lax.cond(x > 0, lambda v: positive(lib, v), lambda v: v, x)
    )(F(-1)),
    "cond both": lambda lib, c: lib.jit(
        c.checkify(
            lambda x: lib.lax.cond(x > 0, lambda v: positive(lib, v), lambda v: (c.check(v > 9, "other {}", v), v)[1], x)
        )
    )(F(-1)),
    "switch": lambda lib, c: c.checkify(
        lambda i, x: lib.lax.switch(i, [lambda v: v, lambda v: positive(lib, v)], x)
    )(1, F(-1)),
    "of grad": lambda lib, c: c.checkify(lib.grad(lambda x: positive(lib, x) ** 2))(F(-1)),
    "of value_and_grad": lambda lib, c: c.checkify(lib.value_and_grad(lambda x: positive(lib, x) ** 2))(F(-1)),
    "of jvp": lambda lib, c: c.checkify(lambda x: lib.jvp(lambda v: positive(lib, v), (x,), (x,)))(F(-1)),
    "of remat": lambda lib, c: c.checkify(lib.checkpoint(lambda x: positive(lib, x)))(F(-1)),
    "of grad of remat": lambda lib, c: c.checkify(lib.grad(lib.checkpoint(lambda x: positive(lib, x) ** 2)))(F(-1)),
    "first of two": lambda lib, c: c.checkify(lambda x: (c.check(x > 0, "a"), c.check(x > 1, "b"), x)[2])(F(-1)),
    "second of two": lambda lib, c: c.checkify(lambda x: (c.check(x > 0, "a"), c.check(x > 1, "b"), x)[2])(F(1)),
    "payloads of many types": lambda lib, c: lib.vmap(
        c.checkify(
            lambda x: (c.check(x > 0, "a {}", x), c.check(x > 1, "b {} {}", x.astype(int), x), c.check(x > 2, "c"))[2]
        )
    )(X),
    "debug": lambda lib, c: c.checkify(lambda x: c.debug_check(x > 0, "debug"))(F(-1)),
    "debug option": lambda lib, c: c.checkify(lambda x: c.check(x > 0, "debug", debug=True))(F(-1)),
    "switched off": lambda lib, c: c.checkify(lambda x: positive(lib, x), errors=c.div_checks)(X),
    "checkified in checkified": lambda lib, c: c.checkify(lambda x: c.checkify(lambda y: positive(lib, y))(x)[1])(X),
    "check_error": lambda lib, c: c.checkify(lambda x: c.check_error(c.checkify(lambda y: positive(lib, y))(x)[0]))(X),
    "check_error in jit": lambda lib, c: lib.jit(
        c.checkify(lambda x: (c.check(x[0] > -9, "{}", x[1]), c.check_error(c.checkify(lambda y: positive(lib, y))(x)[0])))
    )(X),
    "check_error in vmap": lambda lib, c: c.checkify(
        lib.vmap(lambda x: (c.check_error(c.checkify(lambda y: positive(lib, y))(x)[0]), x)[1])
    )(X),
    "keyword": lambda lib, c: c.checkify(lambda *, x: positive(lib, x))(x=X),
    "vector": lambda lib, c: c.checkify(lambda x: c.check(x > 0, "vector"))(X),
    "number": lambda lib, c: c.checkify(lambda x: c.check(3, "number"))(X),
    "missing value": lambda lib, c: c.checkify(lambda x: c.check(x[0] > 0, "a {} {b}", x))(X),
    "value that is no array": lambda lib, c: c.checkify(lambda x: c.check(x[0] > 0, "a {}", "text"))(X),
}  # fmt: skip


@pytest.mark.parametrize("name", USER)
def test_user_checks(name):
    same(USER[name])


def automatic(errors, f, *args):
    def program(lib, c):
        return c.checkify(lambda *a: f(lib, *a), errors=getattr(c, errors))(*map(lib.numpy.asarray, args))

    return program


AUTOMATIC = {
    "log": automatic("nan_checks", lambda lib, x: lib.numpy.log(x), F(-1)),
    "0 / 0": automatic("nan_checks", lambda lib, x: lib.numpy.sin(x) / x, F(0)),
    "no nan": automatic("nan_checks", lambda lib, x: lib.numpy.log(x), F(1)),
    "nan moved": automatic("nan_checks", lambda lib, x: lib.numpy.sort(x), np.array([1, np.nan], F)),
    "nan in jit": automatic("nan_checks", lambda lib, x: lib.jit(lib.numpy.sqrt)(x), F(-1)),
    "nan in scan": automatic("nan_checks", lambda lib, x: lib.lax.scan(lambda c, y: (lib.numpy.log(c), c), x, X), F(-1)),
    "nan in while": automatic(
        "nan_checks",
        lambda lib, x: lib.lax.while_loop(lambda v: v[0] < 3, lambda v: (v[0] + 1, lib.numpy.log(v[1])), (0, x)),
        F(-1),
    ),
    "nan in grad": automatic("nan_checks", lambda lib, x: lib.grad(lambda v: lib.numpy.sqrt(v) * 0)(x), F(0)),
    "nan in custom_jvp": automatic("nan_checks", lambda lib, x: lib.nn.relu(lib.numpy.log(x)), F(-1)),
    "nan in vmap": automatic("nan_checks", lambda lib, x: lib.vmap(lib.numpy.log)(x), X - 1),
    "nan in matmul": automatic("nan_checks", lambda lib, x: x @ np.ones(2, F), np.array([np.inf, -np.inf], F)),
    "division": automatic("div_checks", lambda lib, x: 1 / x, F(0)),
    "division of vector": automatic("div_checks", lambda lib, x: 1 / x, X),
    "division of integers": automatic("div_checks", lambda lib, x: 5 // x, np.int32(0)),
    "no division by zero": automatic("div_checks", lambda lib, x: 1 / x, X + 1),
    "float": automatic("float_checks", lambda lib, x: 1 / x, F(0)),
    "index": automatic("index_checks", lambda lib, x, i: x[i], X, 5),
    "negative": automatic("index_checks", lambda lib, x, i: x[i], X, -5),
    "negative within": automatic("index_checks", lambda lib, x, i: x[i], X, -1),
    "index array": automatic("index_checks", lambda lib, x, i: x[i], X, np.array([0, 3, 1])),
    "two indices": automatic("index_checks", lambda lib, x, i, j: x[i, j], np.ones((2, 3), F), 1, 3),
    "static": automatic("index_checks", lambda lib, x: x[5], X),
    "static, negative": automatic("index_checks", lambda lib, x: x[-9], X),
    "static and traced": automatic("index_checks", lambda lib, x, i: x[i, 3], np.ones((2, 3), F), 1),
    "constant array": automatic("index_checks", lambda lib, x: x[np.array([0, 9])], X),
    "set": automatic("index_checks", lambda lib, x, i: x.at[i].set(1.0), X, 5),
    "add": automatic("index_checks", lambda lib, x, i: x.at[i].add(1.0), X, np.array([1, 7])),
    "fill": automatic("index_checks", lambda lib, x, i: x.at[i].get(mode="fill"), X, 7),
    "take": automatic("index_checks", lambda lib, x, i: lib.numpy.take(x, i), X, 7),
    "dynamic_slice": automatic("index_checks", lambda lib, x, i: lib.lax.dynamic_slice(x, (i,), (2,)), X, 2),
    "dynamic_update_slice": automatic(
        "index_checks", lambda lib, x, i: lib.lax.dynamic_update_slice(x, x[:2], (i,)), X, 2
    ),
    "index in vmap": automatic("index_checks", lambda lib, x, i: lib.vmap(lambda k: x[k])(i), X, np.array([0, 5])),
    "index in scan": automatic(
        "index_checks", lambda lib, x, i: lib.lax.scan(lambda c, k: (c + x[k], None), F(0), i)[0], X, np.array([0, 5, 9])
    ),
    "grad of index": automatic("index_checks", lambda lib, x, i: lib.grad(lambda v: v[i])(x), X, 5),
    "automatic": automatic("automatic_checks", lambda lib, x, i: x[i] / 0, X, 9),
    "all": automatic("all_checks", lambda lib, x: positive(lib, 1 / x), X),
    "all well": automatic("all_checks", lambda lib, x: positive(lib, 1 / x)[x.astype(int)[0] - 1], X + 1),
}  # fmt: skip


@pytest.mark.parametrize("name", AUTOMATIC)
def test_automatic_checks(name):
    same(AUTOMATIC[name])


@pytest.mark.parametrize("index", [np.int8(100), np.uint32(400), np.int8(-101)])
def test_indices_of_other_types(index):
    f = checkify.checkify(lambda x, i: x[i], errors=checkify.index_checks)
    for size, fails in ((300, abs(int(index)) > 300), (50, True)):
        error, _ = f(jnp.ones(size), index)
        assert (error.get() is not None) == fails


def test_checks_in_the_derivative_of_a_loop():
    # jax loses these.
    def f(x):
        return cyxla.lax.scan(lambda s, y: (positive(cyxla, s * y), None), x, X)[0]

    assert "got 0.0 1.0" in checkify.checkify(cyxla.grad(f))(F(1))[0].get()


def test_unions_of_checks():
    for lib in (cyxla, jax):
        c = module(lib)
        assert c.float_checks == c.nan_checks | c.div_checks
        assert c.automatic_checks == c.float_checks | c.index_checks
        assert c.all_checks == c.automatic_checks | c.user_checks


def test_throw():
    error, _ = checkify.checkify(lambda x: positive(cyxla, x))(X)
    with pytest.raises(checkify.JaxRuntimeError, match="must be positive"):
        error.throw()
    with pytest.raises(ValueError, match="must be positive"):
        checkify.check_error(error)
    checkify.checkify(lambda x: positive(cyxla, x))(X + 1)[0].throw()
    assert error.get_exception() is not None and checkify.init_error.get() is None
    with pytest.raises(ValueError, match="Error"):
        checkify.check_error(3)


def test_the_message_says_where():
    error, _ = checkify.checkify(lambda x: positive(cyxla, x))(X)
    assert re.search(r"check failed at .*test_checkify.py:\d+\)$", error.get())
    error, _ = checkify.checkify(lambda x: jnp.log(x), errors=checkify.nan_checks)(F(-1))
    assert "test_checkify.py" in error.get()


def test_without_checkify():
    for lib in (cyxla, jax):
        c = module(lib)
        assert positive(lib, lib.numpy.asarray(X + 1)).shape == (3,)
        with pytest.raises(ValueError, match="must be positive"):
            positive(lib, lib.numpy.asarray(X))
        with pytest.raises(ValueError, match="checkif"):
            lib.jit(lambda x, lib=lib: positive(lib, x))(X)
        with pytest.raises(ValueError, match="checkif"):
            lib.lax.scan(lambda s, y, lib=lib: (positive(lib, s), y), F(1), X)
        out = lib.jit(lambda x, c=c: (c.debug_check(x[0] > 0, "debug"), x)[1])(X)
        np.testing.assert_array_equal(out, X)


def test_an_error_is_known_outside_of_jit_only():
    def f(x):
        return checkify.checkify(lambda y: positive(cyxla, y))(x)[0].get()

    with pytest.raises(ValueError, match="traced"):
        cyxla.jit(f)(X)


def test_errors_are_pytrees():
    error, _ = checkify.checkify(lambda x: positive(cyxla, x))(X)
    leaves, tree = cyxla.tree_util.tree_flatten(error)
    assert cyxla.tree_util.tree_unflatten(tree, leaves).get() == error.get()
    again = cyxla.jit(lambda e: e)(error)
    assert again.get() == error.get()


def test_gradient_through_checkified():
    agree(lambda lib: lib.grad(lambda x: module(lib).checkify(lambda y: positive(lib, y) ** 2)(x)[1])(F(3)))
    agree(
        lambda lib: lib.grad(
            lambda x: module(lib).checkify(lambda y: lib.numpy.log(y) / y, errors=module(lib).all_checks)(x)[1]
        )(F(3))
    )


def test_programs_are_compiled_once():
    traces = []

    def f(x):
        traces.append(1)
        return positive(cyxla, x)

    checked = cyxla.jit(checkify.checkify(f))
    for i in range(3):
        assert (checked(X + i)[0].get() is None) == (i > 0)
    assert len(traces) == 1


def test_updates_with_a_function_of_two_elements_are_checked():
    def f(lib, x, i):
        return x.at[i].add(2.0), x.at[i].multiply(x[0]), lib.lax.reduce(x, F(0), lambda a, b: a / b, (0,))

    for i in (1, 7):
        error, outs = checkify.checkify(lambda *a: f(cyxla, *a), errors=checkify.all_checks)(jnp.asarray(X), i)
        theirs, expected = module(jax).checkify(lambda *a: f(jax, *a), errors=module(jax).all_checks)(
            jax.numpy.asarray(X), jax.numpy.int32(i)
        )
        assert essence(error.get()) == essence(theirs.get())
        assert_same(outs, expected)


def checked_everywhere(lib, x):
    check, lax = module(lib).check, lib.lax

    def fails(value):
        check(lib.numpy.all(value > 100), "small")
        return value

    lax.cond(x[0] > 1, lambda: fails(x), lambda: x)
    lax.while_loop(lambda s: s < 2, lambda s: fails(s) + 1, 0)
    lax.scan(lambda c, v: (c, fails(v)), 0, x)
    lib.checkpoint(fails)(x)
    return lib.jit(fails)(x)


@pytest.mark.parametrize("errors", ["nan_checks", "index_checks", "div_checks", "float_checks"])
def test_checks_that_are_not_asked_for_are_left_out(errors):
    error, out = checkify.checkify(lambda x: checked_everywhere(cyxla, x), errors=getattr(checkify, errors))(X)
    assert error.get() is None
    assert_same(out, jax.numpy.asarray(X))


@pytest.mark.parametrize("good", ["0111", "1010", "0000", "1101"])
def test_the_last_failing_member_is_reported(good):
    good = np.array([c == "1" for c in good])

    def f(lib):
        def member(ok, i):
            module(lib).check(ok, "member {i}", i=i)
            return i

        error, _ = module(lib).checkify(lib.vmap(member))(lib.numpy.asarray(good), lib.numpy.arange(4))
        return essence(error.get())

    assert f(cyxla) == f(jax) == [f"member {np.flatnonzero(~good)[-1]}"]


def test_errors_handed_on_are_of_the_kinds_that_are_asked_for():
    def f(lib, errors):
        m = module(lib)

        def inner(x):
            m.check(lib.numpy.all(x < 2), "large")
            return lib.numpy.log(-x)

        def outer(x):
            error, out = m.checkify(inner, errors=m.all_checks)(x)
            m.check_error(error)
            return out

        return essence(m.checkify(outer, errors=getattr(m, errors))(lib.numpy.asarray(X))[0].get())

    def only_nan(lib):
        m = module(lib)

        def outer(x):
            error, out = m.checkify(lambda y: lib.numpy.log(-y), errors=m.nan_checks)(x)
            m.check_error(error)
            return out

        return m.checkify(outer)(lib.numpy.asarray(X))[0].get()

    for errors in ("user_checks", "nan_checks"):
        assert f(cyxla, errors) == f(jax, errors)
    assert only_nan(cyxla) is only_nan(jax) is None


@pytest.mark.parametrize("name", ["abs", "neg", "sign", "floor", "round", "square", "exp", "sin", "sqrt"])
def test_operations_that_hand_on_a_nan_have_not_made_it(name):
    def f(lib):
        x = lib.numpy.full(2, np.nan, F)
        m = module(lib)
        return essence(m.checkify(getattr(lib.lax, name), errors=m.nan_checks)(x)[0].get())

    assert f(cyxla) == f(jax)


def test_searches_read_nothing_behind_the_end():
    def f(x):
        return jnp.searchsorted(x, x + 1, side="right"), jnp.interp(x, x, x)

    assert checkify.checkify(f, errors=checkify.index_checks)(X)[0].get() is None


def test_keys_in_messages():
    def f(x):
        checkify.check(x > 0, "{} {}", cyxla.random.key(3), x)

    assert "[0 3]" in checkify.checkify(f)(F(0))[0].get()
