"""Arguments, results and memory of calls that run in this process."""

import gc
import importlib
import threading

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp
from cyxla import lax
from cyxla._core.config import OPTIONS
from cyxla._engine import dispatch
from cyxla._engine import native as engine
from cyxla._engine.array import with_aval
from cyxla._runtime import native as runtime_native

pytestmark = pytest.mark.skipif(
    runtime_native.unsupported(cyxla.devices("cpu")[0]) != "", reason="no native execution here"
)
importlib.import_module("cyxla.random")


@pytest.fixture(autouse=True)
def switched_on():
    with OPTIONS["cyxla_native"](True):
        yield


def is_native(f, *args):
    return f.lower(*args).compile().execution_path == "native"


def test_kinds_of_arguments():
    f = cyxla.jit(lambda x, y: x * 2 + y)
    x = np.arange(8, dtype=np.float32)
    want = x * 2 + 3
    unaligned = np.arange(9, dtype=np.float32)[1:] - 1
    strided = np.repeat(x, 2)[::2]
    on_device = cyxla.device_put(x, cyxla.devices()[0])
    made = cyxla.jit(lambda x: x + 0)(x)
    for argument in (x, unaligned, strided, jnp.asarray(x), on_device, made, lax.sin(x) * 0 + x):
        for y in (3, 3.0, np.float32(3), jnp.float32(3)):
            np.testing.assert_array_equal(f(argument, y), want)


def test_results_are_arrays_like_others():
    x = jnp.arange(6.0)
    y = cyxla.jit(lambda x: x + 1)(x)
    assert np.asarray(y).ctypes.data % 64 == 0
    assert not np.asarray(y).flags.writeable
    assert y.devices() == x.devices()
    assert not y.committed
    y.block_until_ready()
    assert y.is_ready()
    assert y.tolist() == [1, 2, 3, 4, 5, 6]
    assert repr(y) == repr(jnp.arange(1.0, 7.0))
    np.testing.assert_array_equal(np.from_dlpack(y), y)
    np.testing.assert_array_equal(y.reshape(2, 3)[1], [4, 5, 6])
    with OPTIONS["cyxla_native"](False):
        np.testing.assert_array_equal(cyxla.jit(lambda x: x * 2)(y), np.arange(1, 7) * 2)


def test_results_outlive_the_function_and_the_array():
    views = [np.asarray(cyxla.jit(lambda x, i=i: x + i)(np.zeros(4, np.float32))) for i in range(5)]
    gc.collect()
    for i, view in enumerate(views):
        np.testing.assert_array_equal(view, [i] * 4)


def test_committed_results():
    x = cyxla.device_put(np.ones(3, np.float32), cyxla.devices()[0])
    assert cyxla.jit(lambda x: x + 1)(x).committed == x.committed


def test_donation():
    f = cyxla.jit(lambda x, y: (x + 1, y), donate_argnums=0)
    x = jnp.arange(4.0) * 1
    before = np.asarray(x).copy()
    out, _ = f(x, 1.0)
    assert x.is_deleted()
    np.testing.assert_array_equal(out, before + 1)
    with pytest.raises(RuntimeError, match="deleted or donated"):
        f(x, 1.0)


def test_donated_memory_is_reused():
    f = cyxla.jit(lambda x, y: x * 2 + y, donate_argnums=0)
    y = jnp.ones(1000)

    def address(x):
        return memoryview(x).obj.address

    x = cyxla.jit(lambda: jnp.full(1000, 3.0))()
    before = address(x)
    out = f(x, y)
    assert address(out) == before
    np.testing.assert_array_equal(out, np.full(1000, 7.0))

    # Not where somebody else looks at it, or where it is passed twice.
    x = cyxla.jit(lambda: jnp.full(1000, 3.0))()
    view = np.asarray(x)
    out = f(x, y)
    np.testing.assert_array_equal(view, np.full(1000, 3.0))
    np.testing.assert_array_equal(out, np.full(1000, 7.0))
    x = cyxla.jit(lambda: jnp.full(1000, 3.0))()
    np.testing.assert_array_equal(f(x, x), np.full(1000, 9.0))


def test_deleted_arguments():
    f = cyxla.jit(lambda x: x + 1)
    x = jnp.arange(4.0) * 1
    f(x)
    x.delete()
    with pytest.raises(RuntimeError, match="deleted or donated"):
        f(x)


def test_weak_types_and_signatures():
    f = cyxla.jit(lambda x: x + 1)
    assert f(1).dtype == jnp.int32
    assert f(1).weak_type
    assert f(1.5).dtype == jnp.float32
    assert not f(np.float32(1)).weak_type
    assert f(np.ones((2, 3), np.float16)).shape == (2, 3)


def test_the_switch():
    f = cyxla.jit(lambda x: x + 1)
    before = dispatch.stats()["native"]
    f(1.0)
    assert dispatch.stats()["native"] == before + 1
    with OPTIONS["cyxla_native"](False):
        assert f.lower(1.0).compile().execution_path == "pjrt: switched off (cyxla_native)"
        f(1.0)
    assert dispatch.stats()["native"] == before + 1


def test_denormal_mode_is_restored():
    cyxla.jit(lambda x: x * 0.5)(np.full(8, 1e-39, np.float32))
    assert np.float32(1e-39) * np.float32(0.5) != 0


def test_threads_share_a_function():
    def step(x, n):
        return lax.fori_loop(0, n, lambda i, c: jnp.sort(c) * 0.99 + jnp.sin(c), x)

    f = cyxla.jit(step)
    start = np.linspace(-3, 3, 40, dtype=np.float32)
    inputs = [start * (k + 1) for k in range(8)]
    assert is_native(f, start, 20)
    want = [np.asarray(f(x, 20)) for x in inputs]
    wrong = []

    def work(k):
        for _ in range(200):
            if np.asarray(f(inputs[k], 20)).tobytes() != want[k].tobytes():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_compile_at_once():
    x = np.arange(6, dtype=np.float32)
    results = {}

    def work(k):
        f = cyxla.jit(lambda x: jnp.sort(-x) * k + jnp.linalg.cholesky(jnp.eye(3) * (k + 1))[0, 0] ** 2)
        results[k] = [np.asarray(f(x)) for _ in range(50)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(8):
        for result in results[k]:
            np.testing.assert_allclose(result, np.sort(-x) * k + k + 1, 1e-5, 1e-5)


def test_arguments_in_place_and_copied():
    # As long as this, the program lets other threads run, and reads copies of what the caller may write to.
    for n in (8, 40_000):
        f = cyxla.jit(lambda x, y, n: (x + y, n * 2))
        x, y = np.arange(n, dtype=np.float32), np.ones(n + 1, np.float32)[1:]
        for i in range(4):
            x[0] = i
            total, double = f(x, y, i)
            assert total[0] == i + 1
            assert double == 2 * i
            assert f(jnp.asarray(x), y, i)[0][0] == i + 1


def test_more_arguments_and_results_than_fit_on_the_stack():
    f = cyxla.jit(lambda *xs: [x + 1 for x in xs])
    for values in (range(80), range(80, 0, -1)):
        assert [int(y) for y in f(*values)] == [v + 1 for v in values]


def test_many_arguments_of_the_caller():
    """NumPy's and Python's values are copied where they are not aligned: together more than the stack has room for."""
    f = cyxla.jit(lambda *xs: [x + 1 for x in xs])
    for size in (0, 1, 3, 8, 17, 100):
        memory = np.arange(size + 40, dtype=np.float32)
        args = [memory[i : i + size] for i in range(40)] + [2.5, 7]
        for _ in range(3):
            for got, value in zip(f(*args), args, strict=True):
                np.testing.assert_array_equal(got, value + np.float32(1))


def test_arguments_of_which_only_the_type_matters():
    """The program does not read them, and yet another shape or dtype is another signature."""
    by_shape = cyxla.jit(lambda x, y: x * y.shape[0])
    by_dtype = cyxla.jit(lambda x, y: x * (2 if y.dtype == jnp.int32 else 3))
    x = jnp.float32(1)
    assert [float(by_shape(x, np.ones(n, np.float32))) for n in (3, 3, 4, 3, 5)] == [3, 3, 4, 3, 5]
    assert [float(by_dtype(x, y)) for y in (1, 1, 1.5, 2)] == [2, 2, 3, 2]


@pytest.mark.parametrize("change", ["shape", "size"])
def test_an_argument_changed_while_it_is_passed(change):
    """A collection during the call, before the argument is read: the result is of what it then is, or was."""

    class Changes:
        def __init__(self):
            self.itself = self

        def __del__(self):
            if change == "shape":
                x.shape = (2, 8)
            else:
                x.resize((2,), refcheck=False)

    f = cyxla.jit(lambda x: x + 1)
    thresholds = gc.get_threshold()
    for _ in range(20):
        x = np.arange(16, dtype=np.float32)
        f(x)
        gc.collect()
        Changes()
        try:
            gc.set_threshold(1)
            y = f(x)
        finally:
            gc.set_threshold(*thresholds)
        assert y.shape in ((16,), (2, 8), (2,))
        np.testing.assert_array_equal(np.ravel(y), 1 + np.arange(y.size, dtype=np.float32))
        gc.collect()
        assert x.shape != (16,)


def test_numbers_that_do_not_fit():
    f = cyxla.jit(lambda x: x + 1)
    assert f(1) == 2
    with pytest.raises(OverflowError):
        f(2**40)
    assert f(True).dtype == jnp.int32
    assert f(2) == 3


def test_views_of_results():
    for dtype in ("bool", "int8", "uint16", "int32", "bfloat16", "float16", "float32", "complex64"):
        for shape in ((), (3,), (2, 3), (0, 4)):
            y = cyxla.jit(lambda s=shape, t=dtype: jnp.ones(s, t))()
            view = np.asarray(y)
            assert (view.shape, view.dtype) == (shape, y.dtype)
            assert (view == 1).all()
            assert not view.flags.writeable
            if dtype != "bfloat16":
                assert memoryview(y).shape == shape
            y.delete()
            gc.collect()
            assert (view == 1).all()


def test_views_at_the_same_time():
    y = cyxla.jit(lambda: jnp.arange(6.0))()
    z = y.reshape(2, 3)
    first, other, second = memoryview(y), memoryview(z), memoryview(y)
    assert (first.shape, other.shape, second.shape) == ((6,), (2, 3), (6,))
    first.release()
    third = memoryview(y)
    fourth = memoryview(y.reshape(6, 1))
    assert (second.shape, third.shape, fourth.shape) == ((6,), (6,), (6, 1))
    assert (second.strides, third.strides, fourth.strides) == ((4,), (4,), (4, 4))
    del y, z
    assert second.tolist() == third.tolist() == [0, 1, 2, 3, 4, 5]
    assert other.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_freed_memory_is_used_again():
    f = cyxla.jit(lambda x: x + 1)
    x = f(np.zeros(100, np.float32))
    del x
    idle = engine.idle_bytes()
    for _ in range(100):
        f(1.0)
    assert engine.idle_bytes() <= idle + 4096
    engine.trim()
    assert engine.idle_bytes() == 0


def test_scalars_shared_by_calls_become_arrays():
    f = cyxla.jit(lambda x, y: x * y)
    for _ in range(2):
        assert f(jnp.arange(3.0), 7.25).tolist() == [0, 7.25, 14.5]
        assert float(jnp.asarray(7.25)) == 7.25
        assert jnp.array(7.25).reshape(1).tolist() == [7.25]


def test_memory_of_others_stays_theirs_when_the_collector_comes():
    """Memory that the runtime lends is read in place; a cycle of garbage around it must not give it to the pool."""
    f = cyxla.jit(lambda x: x * 0 - 1)
    x = cyxla.device_put(np.full(1000, 7, np.float32), cyxla.devices()[0])
    f(x)
    same = with_aval(x, x.aval)
    address = np.asarray(x).__array_interface__["data"][0]
    del x
    cycle = [same]
    cycle.append(cycle)
    del same, cycle
    gc.collect()
    results = [f(jnp.ones(1000)) for _ in range(50)]
    assert address not in [np.asarray(r).__array_interface__["data"][0] for r in results]
