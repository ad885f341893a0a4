"""Objects of the engine in the hands of the collector, of destructors and of other threads: wrong use raises, at worst."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp
from cyxla._engine.array import array_from_host
from cyxla._runtime import native as runtime_native

VECTOR = np.arange(8, dtype=np.float32)
reads_memory = pytest.mark.skipif(
    os.environ.get("CYXLA_NATIVE") == "0" or runtime_native.unsupported(cyxla.devices("cpu")[0]) != "",
    reason="no native execution here",
)


class Base:
    """Read-only memory that NumPy refers to; calls a function when it ends."""

    def __init__(self, values, end):
        self.values = np.ascontiguousarray(values)
        self.__array_interface__ = self.values.__array_interface__ | {"data": (self.values.ctypes.data, True)}
        self.end = end

    def __del__(self):
        self.end()


class Garbage:
    """A cycle that calls a function when the collector finds it."""

    def __init__(self, *parts):
        self.itself = self
        self.parts = parts
        self.calls = []

    def __del__(self):
        for call in self.calls:
            call()


def collect(garbage, *calls):
    garbage.calls += calls
    del garbage, calls
    gc.collect()


# -- the collector


def test_jitted_functions_are_called_by_garbage():
    results = []

    def make():
        def function(x, static):
            return x + garbage.parts[0]

        static = frozenset([1])
        jitted = cyxla.jit(function, static_argnums=1)
        garbage = Garbage(jnp.asarray(VECTOR), jitted)
        # Function, entry, executable and constant are in the cycle with what calls them.
        jitted(VECTOR, static)
        garbage.calls.append(lambda: results.append(np.asarray(jitted(VECTOR, static))))
        garbage.calls.append(lambda: results.append(np.asarray(jitted(jnp.asarray(VECTOR), static))))

    make()
    gc.collect()
    for result in results:
        np.testing.assert_array_equal(result, VECTOR + VECTOR)
    assert len(results) == 2


def test_arrays_structures_and_programs_in_garbage():
    results = []

    def make():
        x = jnp.asarray(VECTOR) * 2
        structure = cyxla.tree.structure({"a": x, "b": (1, 2)})
        jaxpr = cyxla.make_jaxpr(lambda x: jnp.sin(x) * 2)(x)
        compiled = cyxla.jit(lambda x: x + 1).lower(x).compile()
        garbage = Garbage(x, structure, jaxpr, compiled, weakref.ref(x, results.append))
        garbage.calls += [
            lambda: results.append(float(x.sum())),
            lambda: results.append(cyxla.tree.unflatten(structure, [1, 2, 3])),
            lambda: results.append(cyxla.tree.structure({"a": 0, "b": (0, 0)}) == structure),
            lambda: results.append(len(jaxpr.eqns)),
            lambda: results.append(compiled(x)[0].item()),
            x.delete,
        ]

    make()
    gc.collect()
    assert results == [56.0, {"a": 1, "b": (2, 3)}, True, 2, 1.0]


def test_what_is_replaced_may_end_in_python():
    """The last call of a function and the last result of an operation are replaced while their ends use them."""
    calls = []

    class Static:
        def __init__(self, number):
            self.number = number

        def __hash__(self):
            return 1

        def __eq__(self, other):
            return self.number == other.number

        def __del__(self):
            calls.append(jitted(VECTOR, None)[0])

    jitted = cyxla.jit(lambda x, s: x + (0 if s is None else s.number), static_argnums=1)
    jitted(VECTOR, None)
    for number in range(20):
        jitted(VECTOR, Static(number))
        jitted.clear_cache()
        gc.collect()
    jitted(VECTOR, None)
    assert len(calls) >= 10
    assert not any(map(float, calls))


# -- memory that is looked up while Python code runs


def read_only(values, end):
    array = np.asarray(Base(values, end))
    assert not array.flags.writeable
    return array


def unaligned(values):
    """Memory that no program reads in place."""
    room = np.zeros(values.nbytes + 64, np.uint8)
    start = (-room.ctypes.data) % 64 + 4
    array = room[start : start + values.nbytes].view(values.dtype)
    array[:] = values
    return array


@reads_memory
@pytest.mark.parametrize("way", ["jit", "jit, donated", "jit, dict", "eager", "concatenate"])
def test_arguments_deleted_while_others_are_read(way):
    """The second argument is copied; that ends its first memory, which deletes the first argument."""
    first = jnp.asarray(VECTOR) + 1
    second = array_from_host(read_only(unaligned(VECTOR), lambda: first.delete()))
    function = {
        "jit": cyxla.jit(lambda a, b: a * b),
        "jit, donated": cyxla.jit(lambda a, b: (a * b, a), donate_argnums=1),
        "jit, dict": lambda a, b: cyxla.jit(lambda d: d["a"] * d["b"])({"a": a, "b": b}),
        "eager": lambda a, b: a * b,
        "concatenate": lambda a, b: jnp.concatenate([a, b]),
    }[way]
    function(jnp.asarray(VECTOR), jnp.asarray(VECTOR) + 0)
    gc.collect()
    with pytest.raises(RuntimeError, match="deleted"):
        function(first, second)


@reads_memory
def test_an_array_whose_memory_s_end_uses_it():
    ends = []
    array = array_from_host(read_only(unaligned(VECTOR), lambda: ends.append(array.is_deleted())))
    cyxla.jit(lambda x: x + 1)(array)
    other = array_from_host(read_only(VECTOR + 1, lambda: ends.append(other.is_deleted())))
    other.delete()
    assert ends[-1] is True
    assert len(ends) == 2


# Small enough to run here: jaxlib's own buffers must not be deleted while another thread uses them (jax crashes, too).
@reads_memory
@pytest.mark.parametrize("size", [8, 3000])
def test_threads_delete_arguments(size):
    """Results are right, or there is an error."""
    jitted = cyxla.jit(lambda a, b, c: a + b * c)
    wanted = np.full(size, 7, np.float32)
    one, two, three = (np.full(size, n, np.float32) for n in (1, 2, 3))
    jitted(one, two, three)
    shared, deleted, stop, wrong = [], [], threading.Event(), []

    def call():
        for _ in range(150):
            a, b, c = (jnp.asarray(x) for x in (one, two, three))
            c = c + 0
            shared.append((a, b, c))
            try:
                result = np.asarray(jitted(a, b, c) if len(shared) % 2 else a + b * c)
            except RuntimeError:
                deleted.append((a, b, c))  # as it, or the runtime, said
            else:
                if not np.array_equal(result, wanted):
                    wrong.append(result)

    def delete():
        while not stop.is_set():
            for arrays in shared[-2:]:
                for x in arrays:
                    x.delete()

    callers = [threading.Thread(target=call) for _ in range(3)]
    deleter = threading.Thread(target=delete)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in [*callers, deleter]:
            thread.start()
        for thread in callers:
            thread.join()
        stop.set()
        deleter.join()
    finally:
        stop.set()
        sys.setswitchinterval(interval)
    assert not wrong
    assert all(any(x.is_deleted() for x in arrays) for arrays in deleted)


# -- traces


def suspended(context):
    with context:
        yield


def test_a_generator_that_ends_after_the_trace_it_was_left_in():
    left = []

    @cyxla.jit
    def function(x):
        left.append(suspended(cyxla.ensure_compile_time_eval()))
        next(left[0])
        return x + 1

    function(VECTOR)
    left.clear()
    gc.collect()
    np.testing.assert_array_equal(jnp.sin(VECTOR) * 0 + VECTOR, VECTOR)
    np.testing.assert_array_equal(function(VECTOR + 1), VECTOR + 2)


def test_a_generator_that_ends_in_a_trace_begun_inside_it():
    left = [suspended(cyxla.ensure_compile_time_eval())]
    next(left[0])

    @cyxla.jit
    def function(x):
        left.clear()
        gc.collect()
        return jnp.sin(x) * 0 + x

    np.testing.assert_array_equal(function(VECTOR), VECTOR)
    np.testing.assert_array_equal(jnp.cos(VECTOR) * 0 + VECTOR, VECTOR)


# -- threads


def test_options_changed_while_a_function_is_traced():
    def function():
        result = jnp.zeros(3)
        cyxla.config.update("jax_enable_x64", True)  # as another thread may
        return result

    jitted = cyxla.jit(function)
    try:
        assert jitted().dtype == np.float32
        assert jitted().dtype == np.float64
    finally:
        cyxla.config.update("jax_enable_x64", False)


STRESS = """
    import faulthandler, gc, random, sys, threading, time
    import numpy as np
    import cyxla
    import cyxla.numpy as jnp

    faulthandler.enable()
    sys.setswitchinterval(1e-5)
    end = time.monotonic() + float(sys.argv[1])
    wrong = []

    @cyxla.jit
    def shared(tree):
        return {"sum": tree["a"] * 2 + tree["b"], "a": (tree["a"], [tree["b"]])}

    power = cyxla.jit(lambda x, n: x ** n, static_argnums=1)
    add = cyxla.jit(lambda x, y: x + y)
    give = cyxla.jit(lambda x: x * 3, donate_argnums=0)

    def watched(work):
        def run(number):
            rng = random.Random(number)
            try:
                while time.monotonic() < end:
                    work(rng)
            except BaseException as error:
                wrong.append(error)
                raise
        return run

    def equal(got, wanted):
        if not np.array_equal(np.asarray(got), wanted):
            raise AssertionError(f"{got} is not {wanted}")

    @watched
    def hammer(rng):
        n = rng.choice((1, 3, 8, 20_000))
        x = np.full(n, rng.randrange(9), np.float32)
        as_given = rng.choice((lambda x: x, jnp.asarray, lambda x: jnp.asarray(x) + 0))
        out = shared({"a": as_given(x), "b": as_given(x + 1)})
        equal(out["sum"], x * 3 + 1)
        equal(out["a"][1][0], x + 1)
        power_of = rng.randrange(1, 4)
        equal(power(as_given(x), power_of), x ** power_of)
        equal(add(as_given(x), 2.0), x + 2)
        given = jnp.asarray(x) + 0
        equal(give(given), x * 3)
        equal(as_given(x) * 2.0 + 1, x * 2 + 1)
        equal(jnp.concatenate([as_given(x), as_given(x)]), np.concatenate([x, x]))

    @watched
    def disturb(rng):
        choice = rng.randrange(5)
        if choice == 0:
            cyxla.clear_caches()
        elif choice == 1:
            gc.collect()
        elif choice == 2:
            cyxla.config.update("cyxla_native", rng.random() < 0.7)
        elif choice == 3:
            rng.choice((shared, power, add, give)).clear_cache()
        else:
            with cyxla.enable_x64(True):
                add(np.ones(3), 1.0)
        time.sleep(rng.random() * 0.02)

    @watched
    def compile(rng):
        n = rng.randrange(1, 1000)
        f = cyxla.jit(lambda x: jnp.sin(x) * n)
        equal(f(np.zeros(3, np.float32)), np.zeros(3))

    works = [hammer] * 8 + [disturb, compile]
    threads = [threading.Thread(target=work, args=(i,)) for i, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
"""


def test_threads_under_changing_conditions():
    """Eight threads call what others forget, collect, switch to and fro, and compile, on checked memory.

    CYXLA_STRESS is how many seconds it takes.
    """
    seconds = os.environ.get("CYXLA_STRESS", "4")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STRESS), seconds],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONMALLOC": "debug", "MALLOC_PERTURB_": "165"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
