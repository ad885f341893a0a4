"""`debug.print`, `debug.callback`, `debug.log`: what is printed, how often, in which order, compared with jax."""

import contextlib
import io
import logging
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

import cyxla

X = np.arange(3, dtype=np.float32)


def printed(lib, program):
    """The lines a program prints, and its result or the type of its exception."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            result = program(lib)
            lib.block_until_ready(result)
            lib.effects_barrier()
        except Exception as error:
            result = type(error).__name__
    leaves = [np.asarray(x).tolist() if hasattr(x, "dtype") else x for x in lib.tree_util.tree_leaves(result)]
    return out.getvalue().splitlines(), leaves


def both(program, in_order=True):
    ours, theirs = printed(cyxla, program), printed(jax, program)
    if not in_order:
        ours, theirs = (sorted(ours[0]), ours[1]), (sorted(theirs[0]), theirs[1])
    assert ours == theirs
    return ours[0]


def shows(jax, x, ordered=False):
    jax.debug.print("x = {}", x, ordered=ordered)
    return x


FORMATS = {
    "plain": lambda jax: jax.debug.print("hello"),
    "array": lambda jax: jax.debug.print("{}", jax.numpy.asarray(X)),
    "numbers": lambda jax: jax.debug.print("{} {} {}", 1, True, 2.5),
    "named": lambda jax: jax.debug.print("{a} {b:.2f}", a=X, b=1.5),
    "spec": lambda jax: jax.jit(lambda x: jax.debug.print("{b:.3f}", b=x[1] / 3))(X),
    "nested spec": lambda jax: jax.debug.print("{:{width}}", 3, width=5),
    "conversion": lambda jax: jax.jit(lambda x: jax.debug.print("{!r}", x))(X),
    "attributes": lambda jax: jax.jit(lambda x: jax.debug.print("{0.shape} {0[1]}", x))(X),
    "strings": lambda jax: jax.jit(lambda x: jax.debug.print("{} {}", "abc", x))(X),
    "none": lambda jax: jax.jit(lambda x: jax.debug.print("{} {}", None, x))(X),
    "tree": lambda jax: jax.jit(lambda x: jax.debug.print("{}", {"a": x, "b": (x,)}))(X),
    "float16": lambda jax: jax.jit(lambda x: jax.debug.print("{}", x))(X.astype(np.float16)),
    "bfloat16": lambda jax: jax.jit(lambda x: jax.debug.print("{}", x))(jax.numpy.asarray(X, jax.numpy.bfloat16)),
    "bool": lambda jax: jax.jit(lambda x: jax.debug.print("{}", x > 1))(X),
    "int8": lambda jax: jax.jit(lambda x: jax.debug.print("{}", x))(X.astype(np.int8)),
    "complex": lambda jax: jax.jit(lambda x: jax.debug.print("{}", x))(X * 1j),
    "empty": lambda jax: jax.jit(lambda x: jax.debug.print("{}", x[:0]))(X),
    "key": lambda jax: jax.jit(lambda x: jax.debug.print("{}", jax.random.key(3)))(X),
    "unchecked": lambda jax: jax.debug.print("{}", X, X, skip_format_check=True),
    "missing": lambda jax: jax.debug.print("{} {}", X),
    "missing traced": lambda jax: jax.jit(lambda x: jax.debug.print("{} {}", x))(X),
    "missing name": lambda jax: jax.debug.print("{a}", b=X),
    "unused": lambda jax: jax.debug.print("{}", X, X),
    "unused name": lambda jax: jax.debug.print("{}", X, y=X),
    "no field": lambda jax: jax.debug.print("text", X),
    "no format": lambda jax: jax.debug.print(3),
    "bad spec": lambda jax: jax.debug.print("{:.2f}", jax.numpy.asarray(X)),
    "options first": lambda jax: jax.debug.print(ordered=True)("{}", 3),
    "callback later": lambda jax: jax.debug.callback(ordered=True)(lambda x: print("called", x), 3),
    "not callable": lambda jax: jax.debug.callback(3, X),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name):
    both(FORMATS[name])


def test_print_options_are_those_of_the_call():
    def program(jax):
        with np.printoptions(precision=2):
            return jax.jit(lambda x: shows(jax, x / 3))(X)

    assert both(program) == ["x = [0.   0.33 0.67]"]


def loop(jax, x, ordered=False):
    return jax.lax.while_loop(lambda c: c < 2, lambda c: shows(jax, c, ordered) + 1, x)


def choice(jax, x):
    jnp = jax.numpy
    return jax.lax.cond(x > 0, lambda x: shows(jax, x), lambda x: shows(jax, jnp.negative(x)), x)


def scanned(jax, x, ordered=False):
    return jax.lax.scan(lambda c, y: (shows(jax, c * y, ordered), c), x, jax.numpy.asarray(X))[0]


def prints_in_test(jax, x):
    """A loop whose test prints too: the order must hold between test and body."""

    def test(c):
        jax.debug.print("test {}", c, ordered=True)
        return c < 2

    def body(c):
        jax.debug.print("body {}", c, ordered=True)
        return c + 1

    return jax.lax.while_loop(test, body, x)


def nested(jax, x):
    """Ordered prints in functions, branches and loops within each other."""
    inner = jax.jit(lambda c: shows(jax, c, True) + 1)

    def step(c, y):
        c = jax.lax.cond(y > 0, lambda c: shows(jax, inner(c), True), lambda c: c, c)
        jax.debug.print("step {}", y, ordered=True)
        return c, None

    jax.debug.print("start", ordered=True)
    out = jax.lax.scan(step, x, jax.numpy.asarray(X))[0]
    jax.debug.print("end {}", out, ordered=True)
    return inner(out)


def square(jax, x, ordered=False):
    return jax.numpy.sin(shows(jax, x, ordered) ** 2)


TRANSFORMED = {
    "eager": lambda jax: square(jax, 2.0),
    "jit": lambda jax: jax.jit(lambda x: square(jax, x))(2.0),
    "jit twice": lambda jax: [jax.jit(lambda x: square(jax, x))(float(i)) for i in range(3)],
    "jit in jit": lambda jax: jax.jit(lambda x: jax.jit(lambda x: square(jax, x))(x))(2.0),
    "result unused": lambda jax: jax.jit(lambda x: (square(jax, x), x)[1])(2.0),
    "grad": lambda jax: jax.grad(lambda x: square(jax, x))(2.0),
    "jit grad": lambda jax: jax.jit(jax.grad(lambda x: square(jax, x)))(2.0),
    "grad jit": lambda jax: jax.grad(jax.jit(lambda x: square(jax, x)))(2.0),
    "hessian": lambda jax: jax.hessian(lambda x: square(jax, x))(2.0),
    "jvp": lambda jax: jax.jvp(lambda x: square(jax, x), (2.0,), (1.0,)),
    "linearize": lambda jax: jax.linearize(lambda x: square(jax, x), 2.0)[1](1.0),
    "vjp": lambda jax: jax.vjp(lambda x: square(jax, x), 2.0)[1](1.0),
    "remat": lambda jax: jax.grad(jax.checkpoint(lambda x: square(jax, x)))(2.0),
    "jit remat": lambda jax: jax.jit(jax.grad(jax.checkpoint(lambda x: square(jax, x, True))))(2.0),
    "vmap": lambda jax: jax.vmap(lambda x: square(jax, x))(X),
    "vmap jit": lambda jax: jax.vmap(jax.jit(lambda x: square(jax, x)))(X),
    "jit vmap": lambda jax: jax.jit(jax.vmap(lambda x: square(jax, x, True)))(X),
    "vmap grad": lambda jax: jax.vmap(jax.grad(lambda x: square(jax, x)))(X),
    "vmap out axis": lambda jax: jax.vmap(lambda x: shows(jax, x), in_axes=1)(np.ones((2, 3), np.float32)),
    "vmap constant": lambda jax: jax.vmap(lambda x: (shows(jax, 1.0), x)[1])(X),
    "vmap vmap": lambda jax: jax.vmap(lambda a: jax.vmap(lambda b: shows(jax, a + 10 * b))(X))(X),
    "scan": lambda jax: scanned(jax, 1.0),
    "jit scan ordered": lambda jax: jax.jit(lambda x: scanned(jax, x, True))(1.0),
    "scan grad": lambda jax: jax.grad(lambda x: scanned(jax, x))(1.0),
    "scan vmap": lambda jax: jax.vmap(lambda x: scanned(jax, x))(X),
    "scan unrolled": lambda jax: jax.lax.scan(lambda c, y: (shows(jax, c + y), None), 0.0, X, unroll=2)[0],
    "while": lambda jax: loop(jax, 0),
    "while ordered": lambda jax: loop(jax, 0, True),
    "while vmap": lambda jax: jax.vmap(lambda x: loop(jax, x))(X),
    "while test": lambda jax: prints_in_test(jax, 0),
    "jit while test": lambda jax: jax.jit(lambda x: (prints_in_test(jax, x), prints_in_test(jax, x + 1)))(0),
    "fori": lambda jax: jax.jit(lambda n: jax.lax.fori_loop(0, n, lambda i, c: shows(jax, c + i, True), 0))(3),
    "cond": lambda jax: [jax.jit(lambda x: choice(jax, x))(v) for v in (2.0, -2.0)],
    "cond grad": lambda jax: jax.grad(lambda x: choice(jax, x))(2.0),
    "cond vmap": lambda jax: jax.vmap(lambda x: choice(jax, x))(X - 1),
    "switch": lambda jax: jax.jit(
        lambda i: jax.lax.switch(i, [lambda: shows(jax, k, bool(k)) for k in range(3)])
    )(1),
    "nested": lambda jax: jax.jit(lambda x: nested(jax, x))(1.0),
    "map": lambda jax: jax.lax.map(lambda x: shows(jax, x, True), X),
    "custom_jvp": lambda jax: custom_jvp(jax)(3.0),
    "custom_jvp jvp": lambda jax: jax.jvp(custom_jvp(jax), (3.0,), (2.0,)),
    "custom_vjp": lambda jax: custom_vjp(jax)(3.0),
    "custom_vjp grad": lambda jax: jax.grad(custom_vjp(jax))(3.0),
    "disable_jit": lambda jax: without_jit(jax),
    "ordered": lambda jax: jax.jit(lambda x: [shows(jax, x + i, True) for i in range(4)])(1),
    "partitioned": lambda jax: jax.jit(lambda x: jax.debug.print("{}", x, partitioned=True))(1),
}  # fmt: skip


def custom_jvp(jax):
    f = jax.custom_jvp(lambda x: shows(jax, x) * 2)

    @f.defjvp
    def rule(primals, tangents):
        jax.debug.print("rule {}", primals[0])
        return primals[0] * 2, tangents[0] * 2

    return f


def custom_vjp(jax):
    f = jax.custom_vjp(lambda x: shows(jax, x) * 2)

    def forward(x):
        jax.debug.print("forward {}", x)
        return x * 2, x

    def backward(residual, ct):
        jax.debug.print("backward {} {}", residual, ct)
        return (ct * 2,)

    f.defvjp(forward, backward)
    return f


def without_jit(jax):
    with jax.disable_jit():
        return jax.jit(lambda x: shows(jax, x))(X)


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformed(name):
    # The order of prints that are not ordered is nobody's promise.
    assert both(TRANSFORMED[name], in_order="ordered" in name or name in ("nested", "while test", "fori", "map"))


def test_order_across_programs():
    seen = []
    f = cyxla.jit(lambda x: cyxla.debug.callback(lambda v: seen.append(float(v[0, 0])), x @ x, ordered=True))
    big = cyxla.numpy.ones((200, 200))
    expected = []
    for i in range(10):
        f(big * i)
        cyxla.debug.callback(lambda i=i: seen.append(-i), ordered=True)
        expected += [200.0 * i * i, -i]
    cyxla.effects_barrier()
    assert seen == expected


def test_barrier_waits_for_all_threads():
    seen = []

    def work():
        cyxla.jit(lambda x: cyxla.debug.callback(lambda v: seen.append(v.shape), x @ x))(cyxla.numpy.ones((300, 300)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cyxla.effects_barrier()
    assert seen == [(300, 300)] * 3


def test_callback_arguments():
    seen = []

    def program(jax):
        jax.jit(lambda x: jax.debug.callback(lambda *a, **k: seen.append((a, k)), "s", x, k=x, f=len))(X)

    for lib in (cyxla, jax):
        printed(lib, program)
    (ours, our_names), (theirs, _) = seen
    assert ours[0] == theirs[0] == "s" and our_names["f"] is len
    assert isinstance(ours[1], cyxla.Array) and isinstance(our_names["k"], cyxla.Array)
    assert not ours[1].weak_type


def test_errors_of_callbacks(caplog):
    def boom(x):
        raise KeyError("my key")

    # Outside of programs it is the callback's own exception; jax does the same.
    for lib in (cyxla, jax):
        with pytest.raises(KeyError, match="my key"):
            lib.debug.callback(boom, X)
        with pytest.raises(lib.errors.JaxRuntimeError, match="KeyError: 'my key'"):
            lib.block_until_ready(lib.jit(lambda x, lib=lib: (lib.debug.callback(boom, x), x + 1)[1])(X))
            lib.effects_barrier()
    assert "debug.callback failed" in caplog.text
    cyxla.effects_barrier()
    # The next program is none the worse for it.
    assert both(lambda jax: jax.jit(lambda x: shows(jax, x, True))(1.0)) == ["x = 1.0"]


def test_errors_of_long_programs():
    def boom(x):
        raise ValueError("late")

    def program(x):
        for _ in range(3):
            x = x @ x / 300
        cyxla.debug.callback(boom, x, ordered=True)
        return x @ x

    with pytest.raises(cyxla.errors.JaxRuntimeError, match="late"):
        cyxla.jit(program)(cyxla.numpy.ones((300, 300))).block_until_ready()
        cyxla.effects_barrier()
    with contextlib.suppress(cyxla.errors.JaxRuntimeError):
        cyxla.effects_barrier()
    cyxla.effects_barrier()


def test_log(caplog):
    with caplog.at_level(logging.INFO, logger="cyxla.debug"):
        cyxla.jit(lambda x: cyxla.debug.log("value {}", x))(2)
        cyxla.effects_barrier()
    [record] = caplog.records
    assert record.getMessage() == "value 2" and record.filename == "test_effects_printing.py"


def test_effects_of_jaxprs():
    def effects(lib, f):
        return sorted(type(e).__name__ for e in lib.make_jaxpr(f)(1.0).effects)

    for ordered in (False, True):
        for wrap in (lambda lib, f: f, lambda lib, f: lib.jit(f), lambda lib, f: lib.checkpoint(f)):
            ours, theirs = (effects(lib, wrap(lib, lambda x, lib=lib: shows(lib, x, ordered))) for lib in (cyxla, jax))
            assert ours == theirs == ["OrderedDebugEffect" if ordered else "DebugEffect"]
    assert cyxla.make_jaxpr(lambda x: shows(cyxla, x))(1.0).effects == {cyxla.debug.DebugEffect()}


def test_programs_with_callbacks_do_not_run_natively():
    with cyxla._core.config.Override(((cyxla._core.config.OPTIONS["cyxla_native"].number, True),)):
        compiled = cyxla.jit(lambda x: shows(cyxla, x)).lower(1.0).compile()
    assert compiled.execution_path == "pjrt: calls Python functions"


def test_prints_before_the_interpreter_ends():
    program = """
import cyxla, cyxla.numpy as jnp
def f(x):
    for _ in range(5):
        x = x @ x / 300
    cyxla.debug.print("at the end {}", x[0, 0])
cyxla.jit(f)(jnp.ones((300, 300)))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("at the end")
    assert not run.stderr
