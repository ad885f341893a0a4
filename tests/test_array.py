"""The concrete array: operators with Python numbers and NumPy arrays, methods, conversions, text; against jax."""

import copy
import math
import operator
import pickle

import jax
import jax.numpy
import ml_dtypes
import numpy as np
import pytest
from compare import agree, assert_same, both_raise

import cyxla
import cyxla.numpy as jnp

X = np.array([1.5, -2.0, 3.0], np.float32)
N = np.array([3, 1, 2], np.int32)
B = np.array([True, False, True])
M = np.arange(6, dtype=np.float32).reshape(2, 3)

OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "eq", "ne", "lt", "le", "gt", "ge"]
BITWISE = ["and_", "or_", "xor", "lshift", "rshift"]


def arrays(jax, *values):
    return [jax.numpy.asarray(v) for v in values]


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name):
    op = getattr(operator, name)

    def program(jax):
        x, n, u = arrays(jax, X, N, N.astype(np.uint8))
        others = [2, 2.5, True, np.float32(2), X, N, x, n, u]
        out = []
        for a in (x, n, u):
            for b in others:
                out.append(op(a, b))
                out.append(op(b, a))
        return out

    with np.errstate(all="ignore"):
        agree(program, 1e-5)


@pytest.mark.parametrize("name", BITWISE)
def test_bitwise_operators(name):
    op = getattr(operator, name)

    def program(jax):
        n, u, b = arrays(jax, N, N.astype(np.uint8), B)
        pairs = [(n, 1), (1, n), (n, N), (N, n), (u, 1), (u, u), (n, u)]
        if name not in ("lshift", "rshift"):
            pairs += [(b, b), (b, True), (False, b), (b, B), (n, b)]
        return [op(x, y) for x, y in pairs]

    agree(program)
    both_raise("TypeError", lambda jax: op(jax.numpy.asarray(X), 1))


def test_other_operators():
    def program(jax):
        x, n, b, m = arrays(jax, X, N, B, M)
        return [
            -x, +x, abs(x), ~n, ~b, round(x), round(x, 1), divmod(x, 2), divmod(7.0, x), divmod(n, 2),
            m @ x, M @ x, m @ X, x @ x, x**2, 2**x, n**2, math.floor(x[0]), complex(x[0]),
        ]  # fmt: skip

    agree(program)


def test_in_place_operators_rebind():
    def program(jax):
        x = jax.numpy.asarray(X)
        y = x
        y += 1
        y *= 2
        y -= x
        y /= 3
        y **= 2
        y @= jax.numpy.eye(3)
        return x, y

    agree(program)


@pytest.mark.parametrize("other", ["text", None, object(), [1, 2, 3], (1, 2), {1: 2}, slice(1)])
def test_operands_that_are_not_arrays(other):
    both_raise("TypeError", lambda jax: jax.numpy.asarray(X) + other)
    both_raise("TypeError", lambda jax: other + jax.numpy.asarray(X))
    both_raise("TypeError", lambda jax: jax.numpy.asarray(X) < other)


def test_comparison_with_what_is_no_array():
    for module in (cyxla, jax):
        x = module.numpy.asarray(X)
        assert (x == "text") is False
        assert (x != None) is True  # noqa: E711
        assert (x == object()) is False


def test_operands_may_defer():
    class Mine:
        def __radd__(self, other):
            return "radd"

        def __rmatmul__(self, other):
            return "rmatmul"

    assert jnp.asarray(X) + Mine() == "radd"
    assert jnp.asarray(X) @ Mine() == "rmatmul"


def test_jax_array_protocol():
    class Wrapped:
        def __jax_array__(self):
            return jnp.asarray(X)

    np.testing.assert_array_equal(jnp.asarray(X) + Wrapped(), 2 * X)
    np.testing.assert_array_equal(jnp.sin(Wrapped()), jnp.sin(X))


METHODS = [
    lambda x: x.sum(), lambda x: x.sum(axis=0), lambda x: x.mean(1), lambda x: x.max(), lambda x: x.min(axis=0),
    lambda x: x.prod(), lambda x: x.std(), lambda x: x.var(0), lambda x: x.argmax(), lambda x: x.argmin(1),
    lambda x: x.any(), lambda x: x.all(axis=1), lambda x: x.cumsum(), lambda x: x.cumprod(1), lambda x: x.reshape(3, 2),
    lambda x: x.reshape((6,)), lambda x: x.reshape(-1), lambda x: x.ravel(), lambda x: x.flatten(), lambda x: x.T,
    lambda x: x.mT, lambda x: x.transpose(), lambda x: x.transpose(1, 0), lambda x: x.swapaxes(0, 1),
    lambda x: x[None].squeeze(), lambda x: x.astype("int32"), lambda x: x.astype(bool), lambda x: x.round(1),
    lambda x: x.clip(1, 3), lambda x: x.copy(), lambda x: x.sort(), lambda x: x.argsort(), lambda x: x.dot(x.T),
    lambda x: x.diagonal(), lambda x: x.trace(), lambda x: x.repeat(2), lambda x: x.take(1), lambda x: x.take(N, mode="clip"),
    lambda x: x.nonzero(), lambda x: x.conj(), lambda x: x.conjugate(), lambda x: x.real, lambda x: x.imag,
    lambda x: x.ptp(), lambda x: x[0].searchsorted(2.0), lambda x: x.view("int32"),
    lambda x: x.compress(np.array([True, False]), 0), lambda x: x.at[0].set(7), lambda x: x[0], lambda x: x[:, 1:],
    lambda x: x[..., None], lambda x: x[x > 2], lambda x: x.item(3), lambda x: x.tolist(), lambda x: x.nbytes,
    lambda x: x.itemsize, lambda x: x.size, lambda x: x.ndim, lambda x: x.shape, lambda x: len(x), lambda x: x.dtype.name,
    lambda x: x.astype("complex64").imag, lambda x: x.is_deleted(),
    lambda x: x.weak_type, lambda x: x.is_fully_addressable, lambda x: x.is_fully_replicated,
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_methods(method):
    agree(lambda jax: method(jax.numpy.asarray(M)), 1e-5)


def test_every_public_attribute_of_jax_arrays():
    theirs = {n for n in dir(jax.numpy.ones(2)) if not n.startswith("_")}
    ours = {n for n in dir(jnp.ones(2)) if not n.startswith("_")}
    # Internals of jaxlib's class that happen to be public there.
    internal = {"device_buffer", "device_buffers", "format", "traceback"}
    assert not theirs - ours - internal, theirs - ours


def test_iteration():
    agree(lambda jax: list(jax.numpy.asarray(M)))
    agree(lambda jax: [list(row) for row in jax.numpy.asarray(M)])
    agree(lambda jax: list(reversed(jax.numpy.asarray(X))))
    agree(lambda jax: [*zip(jax.numpy.asarray(X), jax.numpy.asarray(N))])
    both_raise("TypeError", lambda jax: iter(jax.numpy.asarray(1.0)), "0-d")
    both_raise("TypeError", lambda jax: len(jax.numpy.asarray(1.0)), "unsized")
    a, _ = jnp.asarray(X[:2])
    assert float(a) == 1.5
    assert isinstance(a, cyxla.Array)
    assert 3.0 in jnp.asarray(X)
    assert 9.0 not in jnp.asarray(X)
    assert max(jnp.asarray(X)) == 3


# -- conversions to Python


def test_python_scalars():
    for module in (cyxla, jax):
        x = module.numpy
        assert float(x.float32(1.5)) == 1.5
        assert int(x.int32(3)) == 3
        assert int(x.float32(3.7)) == 3
        assert complex(x.complex64(1j)) == 1j
        assert bool(x.asarray(1)) is True
        assert bool(x.asarray([0])) is False
        assert operator.index(x.int32(3)) == 3
        assert [10, 20][x.int32(1)] == 20
        assert list(range(x.int32(2))) == [0, 1]
        assert "abc"[x.uint8(2)] == "c"
        assert math.sqrt(x.float32(4)) == 2
        assert x.asarray([[1.5]]).item() == 1.5
        assert type(x.int32(3).item()) is int
        assert round(x.float32(1.6)) == 2
        assert math.ceil(x.float32(1.2)) == 2
        assert hex(x.int32(255)) == "0xff"


@pytest.mark.parametrize(
    ("error", "program", "match"),
    [
        ("TypeError", lambda jax: float(jax.numpy.asarray(X)), "needs an array of rank 0"),
        ("TypeError", lambda jax: int(jax.numpy.asarray(X)), "needs an array of rank 0"),
        ("TypeError", lambda jax: complex(jax.numpy.asarray(X)), "needs an array of rank 0"),
        ("TypeError", lambda jax: float(jax.numpy.asarray(1j)), None),
        ("TypeError", lambda jax: operator.index(jax.numpy.asarray(1.5)), "integer"),
        ("TypeError", lambda jax: operator.index(jax.numpy.asarray([1])), "integer"),
        ("TypeError", lambda jax: range(jax.numpy.asarray(1.0)), "integer"),
        ("ValueError", lambda jax: bool(jax.numpy.asarray(X)), "ambiguous"),
        ("ValueError", lambda jax: 1 if jax.numpy.asarray(X) > 1 else 2, "any"),
        ("ValueError", lambda jax: bool(jax.numpy.zeros(0)), None),
        ("ValueError", lambda jax: jax.numpy.asarray(X).item(), None),
        ("TypeError", lambda jax: hash(jax.numpy.asarray(X)), "unhashable"),
        ("TypeError", lambda jax: {jax.numpy.asarray(1.0): 1}, "unhashable"),
        ("TypeError", lambda jax: operator.setitem(jax.numpy.asarray(X), 0, 1), r"\.at\["),
        ("TypeError", lambda jax: operator.setitem(jax.numpy.asarray(X), slice(None), X), r"\.at\["),
        ("AttributeError", lambda jax: jax.numpy.asarray(X).no_such_method(), "no_such_method"),
        ("TypeError", lambda jax: jax.Array((1,)), None),
        ("TypeError", lambda jax: jax.numpy.asarray(X)["a"], None),
        ("TypeError", lambda jax: jax.numpy.asarray(X)[1.0], None),
        ("IndexError", lambda jax: jax.numpy.asarray(X)[0, 0], None),
    ],
)
def test_errors(error, program, match):
    both_raise(error, program, match)


# -- text

VALUES = [
    X, N, B, M, np.float32(1.5), np.int32(3), np.bool_(True), np.complex64(1 + 2j), X.astype(np.float16),
    X.astype(ml_dtypes.bfloat16), np.zeros((0,), np.float32), np.zeros((2, 0), np.int32), np.arange(2000, dtype=np.int32),
    np.arange(60, dtype=np.float32).reshape(5, 12) * 1000.123, np.array([1e-8, 1e8, np.nan, np.inf], np.float32),
    np.array([[True, False]]), np.array([1, 200], np.uint8), np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    np.arange(30, dtype=np.int32), np.linspace(0, 1, 23, dtype=np.float32), X.astype(np.complex64),
    np.array([1.0, 2.0], ml_dtypes.float8_e4m3fn), np.array([1, 2], ml_dtypes.int4),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{v.dtype}{v.shape}")
def test_text(value):
    ours, theirs = jnp.asarray(value), jax.numpy.asarray(value)
    assert repr(ours) == repr(theirs)
    assert str(ours) == str(theirs)


def test_text_of_weak_types_and_formats():
    for make in (
        lambda jax: jax.numpy.asarray(1.5),
        lambda jax: jax.numpy.asarray(3) + 1,
        lambda jax: jax.numpy.full(2, 1j),
    ):
        assert repr(make(cyxla)) == repr(make(jax))
    for spec in ("", ".2f", "8.3e", ">10"):
        assert format(jnp.float32(1.5), spec) == format(jax.numpy.float32(1.5), spec)
    assert f"{jnp.int32(7):04d}" == "0007"
    assert f"{jnp.asarray(X)}" == f"{jax.numpy.asarray(X)}"
    assert f"{jnp.float32(0.1):.3}" == f"{jax.numpy.float32(0.1):.3}"
    both_raise("TypeError", lambda jax: format(jax.numpy.asarray(X), ".2f"))
    with np.printoptions(precision=2):
        assert repr(jnp.asarray(X) / 3) == repr(jax.numpy.asarray(X) / 3)


def test_text_of_deleted_arrays():
    x = jnp.ones(3) + 1
    x.delete()
    assert "deleted" in repr(x)
    assert "deleted" in str(x)
    assert x.is_deleted()
    assert (x.shape, x.dtype, x.ndim) == ((3,), np.float32, 1)
    for use in (
        lambda: x + 1,
        lambda: np.asarray(x),
        lambda: x.sum(),
        lambda: x.block_until_ready(),
        lambda: cyxla.jit(lambda a: a)(x),
    ):
        with pytest.raises(RuntimeError, match="deleted"):
            use()
    x.delete()


# -- copies


def test_pickle_and_copy():
    for value in (X, N, B, M, np.float32(1), X.astype(ml_dtypes.bfloat16), np.zeros((0, 2), np.int8)):
        x = jnp.asarray(value)
        for other in (pickle.loads(pickle.dumps(x)), copy.copy(x), copy.deepcopy(x), x.copy(), jnp.array(x)):
            assert isinstance(other, cyxla.Array)
            np.testing.assert_array_equal(np.asarray(other), value)
            assert other.dtype == x.dtype
    weak = pickle.loads(pickle.dumps(jnp.asarray(1.5)))
    assert weak.weak_type
    state = {"x": jnp.asarray(X), "n": 3}
    np.testing.assert_array_equal(copy.deepcopy(state)["x"], X)
    y = copy.deepcopy(x := jnp.ones(3) * 2)
    x.delete()
    np.testing.assert_array_equal(y, [2, 2, 2])
    keys = cyxla.random.split(cyxla.random.key(3), 2)
    again = pickle.loads(pickle.dumps(keys))
    np.testing.assert_array_equal(cyxla.random.key_data(again), cyxla.random.key_data(keys))


# -- NumPy


def address(array):
    return array.__array_interface__["data"][0]


def test_numpy_sees_the_array_without_a_copy():
    x = jnp.arange(1000.0) * 2
    a, b = np.asarray(x), np.asarray(x)
    assert address(a) == address(b)
    assert not a.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 1
    assert np.array(x).flags.writeable
    assert address(np.array(x)) != address(a)
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        x.__array__(np.float64, copy=False)


def test_buffer_protocol():
    x = jnp.asarray(M) * 2
    view = memoryview(x)
    assert (view.shape, view.format, view.readonly) == ((2, 3), "f", True)
    np.testing.assert_array_equal(np.frombuffer(x, np.float32), (2 * M).ravel())
    assert bytes(x) == (2 * M).tobytes()


def test_a_view_outlives_the_array():
    x = jnp.arange(100.0) + 1
    view = np.asarray(x)
    del x
    np.testing.assert_array_equal(view, np.arange(100.0) + 1)
    y = jnp.arange(100.0) + 2
    view = np.asarray(y)
    y.delete()
    np.testing.assert_array_equal(view, np.arange(100.0) + 2)


def test_numpy_arrays_may_change_afterwards():
    host = np.ones(100, np.float32)
    x = jnp.asarray(host)
    y = cyxla.device_put(host)
    z = cyxla.jit(lambda a: a)(host)
    host[:] = 7
    for a in (x, y, z):
        np.testing.assert_array_equal(a, np.ones(100))


def test_numpy_functions_take_arrays():
    x = jnp.asarray(X)
    assert isinstance(np.sin(x), np.ndarray)
    np.testing.assert_allclose(np.sin(x), np.sin(X))
    np.testing.assert_allclose(np.add(X, x), 2 * X)
    np.testing.assert_allclose(np.concatenate([x, X]), np.concatenate([X, X]))
    assert np.sum(x) == np.sum(X)
    assert np.mean(jnp.asarray(M), axis=0).shape == (3,)
    assert isinstance(np.stack([x, x]), np.ndarray)
    assert np.array([x, x]).shape == (2, 3)
    assert np.float64(x[0]) == 1.5
    assert isinstance(X + x, cyxla.Array)
    assert isinstance(np.float32(2) * x, cyxla.Array)
    assert isinstance(np.arange(6).reshape(2, 3) @ x, cyxla.Array)
    host = np.zeros(3, np.float32)
    host[:] = x
    np.testing.assert_allclose(host, X)
    host += x
    assert isinstance(host, cyxla.Array)
    assert np.isscalar(float(x[0]))
    np.testing.assert_array_equal(np.where(x > 0, x, 0), np.where(X > 0, X, 0))


def test_array_namespace():
    x = jnp.asarray(X)
    assert x.__array_namespace__() is jnp
    assert x.__array_namespace__(api_version="2024.12") is jnp
    both_raise("ValueError", lambda jax: jax.numpy.asarray(X).__array_namespace__(api_version="2021.12"), "2021.12")
    assert x.__array_priority__ == jax.numpy.asarray(X).__array_priority__


# -- DLPack and other libraries


def test_dlpack_with_numpy():
    x = jnp.arange(100.0) * 2
    host = np.from_dlpack(x)
    assert address(host) == address(np.asarray(x))
    np.testing.assert_array_equal(host, x)
    memory = np.zeros(4096 + 64, np.uint8)
    start = -address(memory) % 64
    aligned = memory[start : start + 4096].view(np.float32)
    aligned[:] = np.arange(1024)
    y = jnp.from_dlpack(aligned)
    assert address(np.asarray(y)) == address(aligned)
    np.testing.assert_array_equal(y, aligned)
    np.testing.assert_array_equal(jnp.from_dlpack(np.arange(10)[::2]), np.arange(0, 10, 2))
    both_raise("TypeError", lambda jax: jax.numpy.from_dlpack("text"))


def test_dlpack_with_jax():
    theirs = jax.numpy.arange(100.0) * 3
    ours = jnp.from_dlpack(theirs)
    np.testing.assert_array_equal(ours, theirs)
    assert address(np.asarray(ours)) == address(np.asarray(theirs))
    back = jax.numpy.from_dlpack(ours)
    assert address(np.asarray(back)) == address(np.asarray(theirs))
    np.testing.assert_array_equal(cyxla.jit(lambda x: x * 2)(ours), np.asarray(theirs) * 2)
    np.testing.assert_array_equal(jax.jit(lambda x: x * 2)(jax.numpy.from_dlpack(ours)), np.asarray(theirs) * 2)
    assert ours.__dlpack_device__() == theirs.__dlpack_device__()


def test_arrays_of_jax_are_taken_as_arrays():
    theirs = jax.numpy.asarray(X)
    np.testing.assert_array_equal(jnp.asarray(theirs), X)
    assert isinstance(jnp.asarray(theirs), cyxla.Array)
    assert not isinstance(theirs, cyxla.Array)
    assert not isinstance(jnp.asarray(X), jax.Array)


# -- devices


def test_devices_and_shards():
    x = jnp.asarray(X)
    device = cyxla.devices()[0]
    assert x.devices() == {device}
    assert x.device == device
    assert x.sharding.device_set == {device}
    assert x.block_until_ready() is x
    (shard,) = x.addressable_shards
    np.testing.assert_array_equal(shard.data, X)
    assert shard.device == device
    assert shard.index == (slice(None),)
    assert shard.replica_id == 0
    np.testing.assert_array_equal(x.addressable_data(0), X)
    assert x.on_device_size_in_bytes() == 12
    x.copy_to_host_async()
    assert x.is_fully_addressable
    assert not x.committed
    assert cyxla.device_put(x, device).committed
    assert x.to_device(device).devices() == {device}
    assert not x.aval.weak_type
    assert cyxla.typeof(x) is x.aval


def test_isinstance_holds_for_tracers():
    seen = []

    def f(x):
        seen.append((isinstance(x, cyxla.Array), isinstance(x, jnp.ndarray)))
        return x

    f(jnp.asarray(X))
    cyxla.jit(f)(X)
    cyxla.vmap(f)(X)
    cyxla.grad(f)(1.0)
    assert set(seen) == {(True, True)}
    assert not isinstance(X, cyxla.Array)
    assert not isinstance(1.0, jnp.ndarray)


def test_tracers_have_the_same_interface():
    def f(x):
        assert x.shape == (2, 3)
        assert (x.ndim, x.size, len(x), x.dtype, x.nbytes, x.itemsize) == (2, 6, 2, np.float32, 24, 4)
        assert len(list(x)) == 2
        assert x.T.shape == (3, 2)
        assert x.at[0].set(1).shape == (2, 3)
        assert not x.weak_type
        assert x.block_until_ready() is x
        assert copy.copy(x) is x
        assert copy.deepcopy({"x": x})["x"] is x
        assert x.__array_namespace__() is jnp
        with pytest.raises(TypeError, match="unhashable"):
            hash(x)
        with pytest.raises(TypeError, match=r"\.at\["):
            x[0] = 1
        return sum(x.sum(0))

    cyxla.jit(f)(M)
    cyxla.grad(f)(M)
    cyxla.vmap(f)(M[None])


def test_results_of_one_and_the_other_are_the_same():
    assert_same(jnp.asarray(X), jax.numpy.asarray(X))
    with pytest.raises(AssertionError):
        assert_same(jnp.asarray(X), jax.numpy.asarray(N))
