"""`pure_callback` and `io_callback`: results, calls, errors, and what transformations do with them, against jax."""

import gc
import threading
import weakref

import jax
import numpy as np
import pytest
from compare import agree, assert_same

import cyxla
import cyxla.numpy as jnp

X = np.arange(3, dtype=np.float32)


def io(lib):
    return __import__(f"{lib.__name__}.experimental", fromlist=["x"]).io_callback


def spec(jax, shape=(), dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def sine(jax, x, **options):
    return jax.pure_callback(np.sin, spec(jax, np.shape(x)), x, **options)


def boom(*args):
    raise ValueError("boom text")


PROGRAMS = {
    "eager": lambda jax: sine(jax, X),
    "jit": lambda jax: jax.jit(lambda x: sine(jax, x) * 2)(X),
    "tree": lambda jax: jax.jit(
        lambda x: jax.pure_callback(
            lambda a, b: {"s": a["p"] + b, "d": (a["p"] - b,)}, {"s": x, "d": (x,)}, {"p": x}, b=x
        )
    )(X),
    "no results": lambda jax: jax.jit(lambda x: jax.pure_callback(lambda v: None, None, x))(X),
    "no arguments": lambda jax: jax.jit(lambda: jax.pure_callback(lambda: np.float32(3), spec(jax)))(),
    "array as spec": lambda jax: jax.pure_callback(np.sin, X, X),
    "python scalar": lambda jax: jax.jit(lambda x: jax.pure_callback(lambda v: 3.0, spec(jax), x))(X),
    "float64 result": lambda jax: jax.jit(lambda x: jax.pure_callback(lambda v: np.ones(3), spec(jax, (3,)), x))(X),
    "non-contiguous": lambda jax: jax.jit(lambda x: jax.pure_callback(lambda v: np.asarray(v).T, spec(jax, (3, 2)), x))(
        np.arange(6.0, dtype=np.float32).reshape(2, 3)
    ),
    "calls the library": lambda jax: jax.jit(
        lambda x: jax.pure_callback(lambda v: jax.jit(jax.numpy.cos)(v) + 1, spec(jax, (3,)), x)
    )(X),
    **{
        f"dtype {name}": lambda jax, name=name: jax.jit(
            lambda x: jax.pure_callback(lambda v: np.asarray(v), spec(jax, (3,), name), x)
        )(jax.numpy.asarray([0, 1, 1]).astype(name))
        for name in ("bool", "int8", "uint16", "int32", "float16", "bfloat16", "complex64")
    },
    "wrong shape": lambda jax: jax.jit(lambda x: jax.pure_callback(lambda v: X[:2], spec(jax, (3,)), x))(X),
    "wrong shape eager": lambda jax: jax.pure_callback(lambda v: X[:2], spec(jax, (3,)), X),
    "wrong dtype": lambda jax: jax.jit(lambda x: jax.pure_callback(lambda v: np.arange(3), spec(jax, (3,)), x))(X),
    "wrong number": lambda jax: jax.jit(lambda x: jax.pure_callback(lambda v: (v, v), spec(jax, (3,)), x))(X),
    "raises": lambda jax: jax.jit(lambda x: jax.pure_callback(boom, spec(jax, (3,)), x))(X),
    "raises eager": lambda jax: jax.pure_callback(boom, spec(jax, (3,)), X),
    "io raises": lambda jax: jax.jit(lambda x: io(jax)(boom, spec(jax, (3,)), x))(X),
    "io raises eager": lambda jax: io(jax)(boom, spec(jax, (3,)), X),
    "64-bit spec": lambda jax: jax.pure_callback(np.sin, spec(jax, (3,), "float64") and np.ones(3), X),
    "bad spec": lambda jax: jax.pure_callback(np.sin, "text", X),
    "bad method": lambda jax: jax.pure_callback(np.sin, X, X, vmap_method="often"),
    "bad argument": lambda jax: jax.pure_callback(np.sin, X, "text"),
    "grad": lambda jax: jax.grad(lambda x: sine(jax, x))(1.0),
    "jvp": lambda jax: jax.jvp(lambda x: sine(jax, x), (1.0,), (1.0,)),
    "jvp io": lambda jax: jax.jvp(lambda x: io(jax)(np.sin, spec(jax), x), (1.0,), (1.0,)),
    "jvp of another": lambda jax: jax.jvp(lambda x: x * sine(jax, 2.0), (1.0,), (1.0,)),
    "grad of integers": lambda jax: jax.grad(
        lambda x: x * jax.pure_callback(lambda v: np.asarray(v), spec(jax, (), "int32"), np.int32(3))
    )(1.0),
    "grad of io": lambda jax: jax.grad(lambda x: x * io(jax)(lambda: np.float32(3), spec(jax)))(1.0),
    "custom_jvp": lambda jax: jax.jit(jax.value_and_grad(with_derivative(jax)))(np.float32(1)),
    "custom_jvp vmap": lambda jax: jax.vmap(jax.grad(with_derivative(jax)))(X),
    "scan": lambda jax: jax.lax.scan(lambda c, x: (sine(jax, c) + x, sine(jax, x)), np.float32(0.5), X),
    "while": lambda jax: jax.lax.while_loop(lambda c: c < 3, lambda c: c + 1 + 0 * sine(jax, c), np.float32(0)),
    "cond": lambda jax: jax.jit(lambda x: jax.lax.cond(x > 0, lambda x: sine(jax, x), lambda x: x, x))(2.0),
    "remat": lambda jax: jax.grad(jax.checkpoint(lambda x: with_derivative(jax)(x) ** 2))(np.float32(1)),
    "io ordered vmap": lambda jax: jax.vmap(lambda x: io(jax)(np.sin, spec(jax), x, ordered=True))(X),
    "io vmap": lambda jax: jax.vmap(lambda x: io(jax)(lambda v: np.float32(v), spec(jax), x))(X),
    "io jit vmap": lambda jax: jax.jit(jax.vmap(lambda x: io(jax)(lambda v: np.float32(v), spec(jax), x)))(X),
    "io ordered constant": lambda jax: jax.vmap(
        lambda x: x + io(jax)(lambda v: np.float32(v), spec(jax), 1.0, ordered=True)
    )(X),
}  # fmt: skip


def with_derivative(jax):
    f = jax.custom_jvp(lambda x: sine(jax, x, vmap_method="expand_dims"))

    @f.defjvp
    def rule(primals, tangents):
        return f(primals[0]), tangents[0] * jax.numpy.cos(primals[0])

    return f


@pytest.mark.parametrize("name", PROGRAMS)
def test_against_jax(name):
    """The same results, or exceptions of the same type."""

    def outcome(lib):
        try:
            return PROGRAMS[name](lib), None
        except Exception as error:
            return None, type(error).__name__

    (ours, our_error), (theirs, their_error) = outcome(cyxla), outcome(jax)
    assert our_error == their_error
    assert_same(ours, theirs)


METHODS = ["sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized", None]


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_vmap_methods(method, jitted):
    """The shapes that the callback sees, and the results."""

    def program(lib, seen):
        def host(a, b):
            a, b = np.asarray(a), np.asarray(b)
            seen.append((a.shape, b.shape))
            return a[..., None] + b

        def one(a, b):
            return lib.pure_callback(host, spec(lib, (2,)), a, b, vmap_method=method)

        f = lib.vmap(one, in_axes=(0, None))
        return np.asarray((lib.jit(f) if jitted else f)(X, np.ones(2, np.float32)))

    ours, theirs = [], []
    if method is None:
        for lib in (cyxla, jax):
            with pytest.raises(NotImplementedError):
                program(lib, ours)
        return
    np.testing.assert_array_equal(program(cyxla, ours), program(jax, theirs))
    assert ours == theirs


@pytest.mark.parametrize("method", METHODS[:-2])
def test_vmap_twice(method):
    agree(
        lambda jax: jax.vmap(
            lambda a: jax.vmap(
                lambda b: jax.pure_callback(
                    lambda a, b: np.asarray(a) * np.asarray(b), spec(jax), a, b, vmap_method=method
                )
            )(X[:2])
        )(X)
    )


def test_pure_callbacks_that_nobody_wants_are_not_called():
    calls = []
    f = cyxla.jit(lambda x: (cyxla.pure_callback(lambda v: calls.append(1) or v, x, x), x)[1])
    f(X)
    assert not calls


def test_io_callbacks_are_called_in_order():
    def program(lib, seen):
        def note(v):
            seen.append(int(v))
            return v

        def f(x):
            for i in range(4):
                x = io(lib)(note, x, x + i, ordered=True)
            io(lib)(note, x, x * 2, ordered=True)
            return lib.lax.fori_loop(0, 3, lambda i, c: io(lib)(note, c, c + 1, ordered=True), x)

        f = lib.jit(f)
        out = [f(0), f(10)]
        lib.effects_barrier()
        return [int(x) for x in out]

    ours, theirs = [], []
    assert program(cyxla, ours) == program(jax, theirs)
    assert ours == theirs


def test_state_across_calls():
    counter = iter(range(100))
    draw = cyxla.jit(lambda: io(cyxla)(lambda: np.int32(next(counter)), spec(cyxla, (), "int32"), ordered=True))
    assert [int(draw()) for _ in range(5)] == list(range(5))


def test_errors_carry_the_text_of_python():
    with pytest.raises(cyxla.errors.JaxRuntimeError, match="ValueError: boom text"):
        cyxla.jit(lambda x: cyxla.pure_callback(boom, x, x))(X).block_until_ready()
    with pytest.raises(cyxla.errors.JaxRuntimeError, match="ValueError: boom text") as info:
        cyxla.pure_callback(boom, X, X)
    assert isinstance(info.value.__cause__, ValueError)


def test_callbacks_compute_with_the_options_of_their_program():
    def host(v):
        # A thread of XLA's may make the call.
        return cyxla.numpy.asarray(np.float64(1) / 3) + v

    with cyxla.enable_x64(True):
        out = cyxla.jit(lambda x: cyxla.pure_callback(host, x, x))(np.zeros((), np.float64))
        assert out.dtype == np.float64 and float(out) == 1 / 3


def test_long_programs_and_callbacks_that_compute():
    def program(x):
        for _ in range(3):
            x = x @ x / 200
            x = cyxla.pure_callback(lambda v: np.asarray(v) @ np.eye(200, dtype=np.float32), x, x)
        return x

    out = cyxla.jit(program)(jnp.ones((200, 200)))
    np.testing.assert_allclose(np.asarray(out), 1, rtol=1e-5)


def test_many_threads():
    f = cyxla.jit(lambda x: cyxla.pure_callback(lambda v: np.asarray(v) * 2, x, x))
    outs = {}

    def work(i):
        outs[i] = [float(f(np.float32(i + k))) for k in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outs == {i: [2.0 * (i + k) for k in range(20)] for i in range(4)}


def test_callbacks_live_as_long_as_their_programs():
    class Host:
        def __call__(self, v):
            return np.asarray(v) + 1

    def make():
        host = Host()
        return cyxla.jit(lambda x: cyxla.pure_callback(host, x, x)), weakref.ref(host)

    f, host = make()
    f(X)
    gc.collect()
    assert host() is not None
    np.testing.assert_array_equal(f(X), X + 1)


def test_programs_with_callbacks_stay_out_of_the_disk_cache(tmp_path):
    from cyxla._runtime import compiler

    cyxla.config.update("jax_compilation_cache_dir", str(tmp_path))
    cyxla.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        loads = compiler.statistics.loads
        for scale in (2, 3):
            f = cyxla.jit(lambda x, scale=scale: cyxla.pure_callback(lambda v: np.asarray(v) * scale, x, x))
            np.testing.assert_array_equal(f(X), X * scale)
        assert compiler.statistics.loads == loads and not list(tmp_path.iterdir())
    finally:
        cyxla.config.update("jax_compilation_cache_dir", None)
        cyxla.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
