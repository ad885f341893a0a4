"""Operations that run on the host have XLA's results, bit by bit, and do not compile anything.

Each operation is compiled once a dtype, for vectors of one length: all pairs of edge values, padded with values that
hypothesis draws.
"""

import warnings

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cyxla
import cyxla.numpy as jnp
from cyxla import lax
from cyxla._core.config import OPTIONS
from cyxla._engine import dispatch, host
from cyxla._runtime.host import inexact_dtypes

host_kernels = OPTIONS["cyxla_native"]

SIGNED = ["int8", "int16", "int32", "int64"]
UNSIGNED = ["uint8", "uint16", "uint32", "uint64"]
INTEGERS = SIGNED + UNSIGNED
HALVES = ["float16", "bfloat16"]
FLOATS = ["float32", "float64"]
REALS = HALVES + FLOATS
COMPLEXES = ["complex64", "complex128"]
ALL = ["bool", *INTEGERS, *REALS, *COMPLEXES]

with host_kernels(True):
    before = dispatch.stats()["host"]
    lax.add(1, 1)
    pytestmark = pytest.mark.skipif(dispatch.stats()["host"] == before, reason="no host kernels on this machine")


@pytest.fixture(autouse=True)
def wide():
    with cyxla.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def dtype_of(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def bits_of(dtype):
    return np.dtype(f"u{dtype.itemsize}")


def edges(name):
    """Zeros, ones, extrema, denormals, infinities, and NaNs of both signs, quiet and not."""
    dtype = dtype_of(name)
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info, width = np.iinfo(dtype), 8 * dtype.itemsize
        values = [0, 1, 2, 7, width - 1, width, width + 1, info.max, info.max - 1, info.max // 2, info.min]
        return np.array(values + ([-1, -2, -7, -width, info.min + 1] if info.min else []), dtype)
    if dtype.kind == "c":
        parts = edges("float32" if name == "complex64" else "float64")[::3]
        return np.stack(np.meshgrid(parts, parts), -1).reshape(-1, 2).copy().view(dtype).ravel()
    info, bits = ml_dtypes.finfo(dtype), bits_of(dtype)
    fraction = info.nmant
    numbers = [
        0,
        1,
        0.5,
        1.5,
        2.5,
        0.4999999,
        3,
        float(info.max),
        float(info.tiny),
        1.5 * float(info.tiny),
        255.5,
        65504,
    ]
    numbers += [2.0**31, 2.0**31 - 1, 9.3e18, 1.9e19, 8388608.5]
    with np.errstate(all="ignore"):
        patterns = [int(x) for x in np.array(numbers).astype(dtype).view(bits)]
    infinity = int(np.array([np.inf], dtype).view(bits)[0])
    patterns += [1, 2, (1 << fraction) - 1, infinity]
    patterns += [infinity | payload for payload in (1, 1 << fraction - 1, (1 << fraction - 1) + 5, 3 << fraction - 2)]
    sign = 1 << 8 * dtype.itemsize - 1
    return np.array(patterns + [sign | pattern for pattern in patterns], bits).view(dtype)


N_DRAWN = 64


def drawn(name, n=N_DRAWN):
    """Arrays of any bits of a dtype."""
    dtype = dtype_of(name)
    if dtype.kind == "b":
        return hnp.arrays(bool, n)
    return hnp.arrays(np.uint8, n * dtype.itemsize).map(lambda octets: octets.view(dtype))


def pairs(name, x, y):
    few = edges(name)
    few = few[:: max(1, len(few) // 40)]
    left, right = np.meshgrid(few, few)
    return np.concatenate([left.ravel(), x]), np.concatenate([right.ravel(), y])


def run(function, arrays, on):
    with host_kernels(on):
        before = dispatch.stats()
        results = function(*map(jnp.asarray, arrays))
        after = dispatch.stats()
    results = list(results) if isinstance(results, (list, tuple)) else [results]
    if on and not any(x.dtype.name in inexact_dtypes() for x in (*arrays, *results)):
        assert after["compilations"] == before["compilations"]
        assert after["host"] > before["host"]
    elif not on:
        assert after["host"] == before["host"]
    return results


def one_nan(x):
    if x.dtype.kind == "c":
        return one_nan(x.view(x.real.dtype))
    return np.where(x != x, np.array(np.nan, x.dtype), x) if x.dtype.kind in "fV" else x


def check(function, *arrays, any_nan=False):
    """The same values, dtypes and weak types in both ways.

    With `any_nan` all NaNs count as one, for where XLA itself is not consistent: which one of two NaNs a result has
    depends on how LLVM orders the operands, and 16-bit NaNs on whether the program goes by way of float32.
    """
    for mine, reference in zip(run(function, arrays, True), run(function, arrays, False), strict=True):
        assert (mine.shape, mine.dtype, mine.weak_type) == (reference.shape, reference.dtype, reference.weak_type)
        mine, reference = np.asarray(mine), np.asarray(reference)
        if any_nan:
            mine, reference = one_nan(mine), one_nan(reference)
        if mine.tobytes() != reference.tobytes():
            width = (*mine.shape, mine.dtype.itemsize)
            differs = (mine.reshape(-1).view(np.uint8) != reference.reshape(-1).view(np.uint8)).reshape(width).any(-1)
            rows = []
            for where in map(tuple, np.argwhere(differs)[:5]):
                operands = [
                    shown(x[where] if x.shape == mine.shape else x)
                    for x in arrays
                    if np.size(x) < 5 or x.shape == mine.shape
                ]
                rows.append(f"{where}: {shown(mine[where])}, XLA has {shown(reference[where])}, of {operands}")
            pytest.fail(f"{differs.sum()} of {mine.dtype} differ\n" + "\n".join(rows))


def shown(value):
    value = np.asarray(value)
    return f"{value.tolist()} ({value.tobytes()[::-1].hex()})"


quick = settings(
    max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def for_all(body, *strategies, examples=4):
    """Calls the body with what the strategies draw."""
    settings(quick, max_examples=examples)(given(*strategies)(body))()


UNARY = {
    "neg": INTEGERS + REALS + COMPLEXES,
    "abs": SIGNED + REALS,
    "sign": INTEGERS + REALS,
    "floor": REALS,
    "ceil": REALS,
    "is_finite": REALS,
    "sqrt": REALS,
    "square": INTEGERS + REALS,
    "bitwise_not": ["bool", *INTEGERS],
    "population_count": INTEGERS,
    "clz": INTEGERS,
    "real": COMPLEXES,
    "imag": COMPLEXES,
    "conj": FLOATS + COMPLEXES,
}
BINARY = {
    "add": INTEGERS + REALS + COMPLEXES,
    "sub": INTEGERS + REALS + COMPLEXES,
    "mul": INTEGERS + REALS,
    "div": INTEGERS + REALS,
    "rem": INTEGERS,
    "max": ["bool", *INTEGERS, *REALS],
    "min": ["bool", *INTEGERS, *REALS],
    "bitwise_and": ["bool", *INTEGERS],
    "bitwise_or": ["bool", *INTEGERS],
    "bitwise_xor": ["bool", *INTEGERS],
    "shift_left": INTEGERS,
    "shift_right_logical": INTEGERS,
    "shift_right_arithmetic": INTEGERS,
    "eq": ALL,
    "ne": ALL,
    "lt": ["bool", *INTEGERS, *REALS],
    "le": ["bool", *INTEGERS, *REALS],
    "gt": ["bool", *INTEGERS, *REALS],
    "ge": ["bool", *INTEGERS, *REALS],
    "complex": FLOATS,
}
WITH_PARAMETERS = {
    "round_away": (lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO), REALS),
    "round_even": (lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), REALS),
    "cube": (lambda x: lax.integer_pow(x, 3), INTEGERS + FLOATS),
    "power 0": (lambda x: lax.integer_pow(x, 0), ["int32", "float32"]),
    "power -5": (lambda x: lax.integer_pow(x, -5), FLOATS),
}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    function = getattr(lax, name)
    for dtype in UNARY[name]:
        for_all(lambda x: check(function, np.concatenate([edges(dtype), x])), drawn(dtype))


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_unary_with_parameters(name):
    function, dtypes = WITH_PARAMETERS[name]
    for dtype in dtypes:
        for_all(lambda x: check(function, np.concatenate([edges(dtype), x])), drawn(dtype))


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    function = getattr(lax, name)
    for dtype in BINARY[name]:
        for_all(
            lambda x, y: check(function, *pairs(dtype, x, y), any_nan="complex" in dtype), drawn(dtype), drawn(dtype)
        )


@pytest.mark.parametrize("name", ["add", "max", "lt", "shift_left"])
@pytest.mark.parametrize("dtype", ["int32", "float16", "float32"])
def test_scalar_operands(name, dtype):
    if name == "shift_left" and dtype != "int32":
        return
    x = edges(dtype)
    for scalar in x[:: max(1, len(x) // 6)]:
        check(getattr(lax, name), x, scalar, any_nan=True)
        check(getattr(lax, name), scalar, x, any_nan=True)
    check(getattr(lax, name), x[:0], x[0])
    check(getattr(lax, name), x[1], x[2])


@pytest.mark.parametrize("dtype", INTEGERS + REALS)
def test_clamp(dtype):
    few, random = edges(dtype), np.random.default_rng(0)
    bounds = [random.choice(few, 400) for _ in range(3)]
    check(lax.clamp, *bounds, any_nan=True)
    for low, high in ((1, -1), (-3, 4)):
        check(lax.clamp, few[low], bounds[1], few[high], any_nan=True)


@pytest.mark.parametrize("source", ALL)
def test_conversions(source):
    for target in ALL:
        if target != source:
            for_all(
                lambda x: check(lambda x: lax.convert_element_type(x, target), np.concatenate([edges(source), x])),
                drawn(source, 16),
                examples=2,
            )


@pytest.mark.parametrize("target", HALVES)
@pytest.mark.parametrize("source", ["float64", "int32", "int64", "uint64"])
def test_conversions_that_might_round_twice(source, target):
    random = np.random.default_rng(0)
    if source == "float64":
        fraction = ml_dtypes.finfo(dtype_of(target)).nmant
        x = random.normal(size=300).astype(dtype_of(target)).astype(np.float64)
        tie = x + 2.0 ** (np.floor(np.log2(np.abs(x))) - fraction - 1)
        values = np.concatenate([tie * (1 + s) for s in (0, 1e-9, -1e-9, 1e-12, -1e-12, 1e-16)])
    else:
        x = random.integers(0, 1 << 30, 300).astype(source)
        tie = (x >> 16 << 16) | 1 << 15
        values = np.concatenate([x, tie, tie + 1, tie - 1, random.integers(0, 1 << 17, 300).astype(source)])
    check(lambda x: lax.convert_element_type(x, target), values)


def test_bit_casts():
    for source, target in (("float32", "int32"), ("int64", "float64"), ("float32", "uint8"), ("uint16", "int64")):
        wide = max(1, dtype_of(target).itemsize // dtype_of(source).itemsize)
        check(lambda x, t=target: lax.bitcast_convert_type(x, t), np.resize(edges(source), (5, wide)))


# ---- movement

MOVED = ["bool", "int8", "bfloat16", "int32", "float64", "complex128"]


def sample(dtype, *shape):
    values = np.random.default_rng(len(shape)).integers(-100, 100, shape)
    return values % 2 == 0 if dtype == "bool" else values.astype(dtype_of(dtype))


@pytest.mark.parametrize("dtype", MOVED)
def test_views(dtype):
    x = sample(dtype, 3, 4, 5)
    for function in (
        lambda x: lax.reshape(x, (5, 12)),
        lambda x: lax.reshape(x, (5, 12), (2, 0, 1)),
        lambda x: lax.transpose(x, (2, 0, 1)),
        lambda x: lax.expand_dims(x, (1, 3)),
        lambda x: lax.broadcast_in_dim(x, (4, 2, 3, 5), (2, 0, 3)),
        lambda x: lax.rev(x, (0, 2)),
        lambda x: lax.slice(x, (1, 0, 1), (3, 3, 5), (1, 2, 3)),
        lambda x: lax.slice(x, (1, 4, 1), (3, 4, 5)),
        lambda x: lax.tile(x, (2, 1, 3)),
        lambda x: lax.unstack(x, 1),
        lambda x: lax.split(x, (1, 2, 0, 1), 1),
    ):
        check(function, x)
    check(lambda x: lax.squeeze(x, (1,)), sample(dtype, 3, 1, 2))
    check(lambda x: lax.broadcast_in_dim(x, (2, 0, 4), ()), sample(dtype))
    check(lambda x: lax.broadcast_in_dim(x, (2, 3, 4), (1, 2)), sample(dtype, 3, 1))
    check(lambda x: lax.rev(x, (0, 1)), sample(dtype, 0, 3))


@pytest.mark.parametrize("dtype", MOVED)
def test_pieces(dtype):
    check(lambda *x: lax.concatenate(x, 1), sample(dtype, 2, 3), sample(dtype, 2, 0), sample(dtype, 2, 2))
    check(lambda *x: lax.stack(x, 1), sample(dtype, 2, 3), sample(dtype, 2, 3))
    for config in (
        ((1, 2, 0), (0, 0, 0)),
        ((-1, 2, 1), (3, -1, 2)),
        ((2, -7, 1), (-2, 1, 3)),
        ((5, -4, 0), (-3, 6, 2)),
    ):
        check(lambda x, v, c=config: lax.pad(x, v, c), sample(dtype, 5, 4), sample(dtype))
    check(lambda x, v: lax.pad(x, v, ((1, 1, 2), (0, 0, 0))), sample(dtype, 0, 4), sample(dtype))


@pytest.mark.parametrize("dtype", ["bool", "float32"])
def test_dynamic_slices(dtype):
    x = sample(dtype, 4, 6)
    for starts in (
        np.int32([1, 1]), np.int32([-3, 9]), np.int8([5, -1]), np.uint8([200, 1]), np.uint32([2**32 - 1, 0]),
        np.int64([2**62, -(2**62)]), np.uint64([2**64 - 1, 1]),
    ):  # fmt: skip
        check(lambda x, i, j: lax.dynamic_slice_p.bind(x, i, j, slice_sizes=(2, 3)), x, *starts)
        check(lambda x, u, i, j: lax.dynamic_update_slice_p.bind(x, u, i, j), x, sample(dtype, 2, 3), *starts)


@pytest.mark.parametrize("dtype", [*INTEGERS, *REALS, *COMPLEXES])
def test_from_nothing(dtype):
    check(lambda: lax.broadcasted_iota(dtype, (2, 700, 2), 1))
    check(lambda: lax.full((2, 3), 7, dtype))
    check(lambda: lax.empty((2, 3), dtype))


@pytest.mark.parametrize("dtype", MOVED)
def test_selection(dtype):
    cases = [sample(dtype, 3, 20) for _ in range(4)]
    random = np.random.default_rng(0)
    check(lax.select_n, random.integers(0, 2, (3, 20)).astype(bool), *cases[:2])
    check(lax.select_n, np.array(True), *cases[:2])
    for which in ("int32", "uint8"):
        numbers = random.integers(-2 if which == "int32" else 0, 6, (3, 20)).astype(which)
        check(lax.select_n, numbers, *cases)
        check(lax.select_n, numbers[0, 0], *cases)


# ---- reductions


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "and", "or", "xor"])
def test_reductions(name):
    function = getattr(lax, f"reduce_{name}")
    for dtype in ("bool", "int8", "uint16", "int32", "uint64"):
        if dtype == "bool" and name in ("sum", "prod"):
            continue
        x = np.resize(edges(dtype), (5, 3, 4))
        for axes in ((0,), (2,), (0, 2), (0, 1, 2), ()) if dtype == "int32" else ((1,), (1, 2)):
            check(lambda x, a=axes: function(x, a), x)
        check(lambda x: function(x, (0,)), x[:0])


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS, *REALS])
def test_positions_of_extrema(dtype):
    x = np.random.default_rng(0).choice(edges(dtype), (7, 9, 3))
    for axis in range(3):
        check(lambda x, a=axis: lax.argmax(x, a, "int32"), x)
        check(lambda x, a=axis: lax.argmin(x, a, "int64"), x)


# ---- indexing


@pytest.mark.parametrize("dtype", ["bool", "bfloat16", "int32", "float32", "complex64"])
@pytest.mark.parametrize("index_dtype", ["int32", "int8", "uint32"])
def test_gather(dtype, index_dtype):
    x = sample(dtype, 5, 6, 4)
    low = 0 if index_dtype[0] == "u" else -7
    random = np.random.default_rng(0)
    for mode in ("clip", "fill", "promise_in_bounds"):
        numbers = lax.GatherDimensionNumbers((1, 2), (0,), (0, 2))
        vectors = random.integers(low, 9, (4, 2)).astype(index_dtype)
        check(lambda x, i: lax.gather(x, i, numbers, (1, 6, 2), mode=mode), x, vectors)
        batched = lax.GatherDimensionNumbers((1,), (2,), (2,), (0,), (0,))
        vectors = random.integers(low, 5, (5, 1)).astype(index_dtype)
        check(lambda x, i: lax.gather(x, i, batched, (1, 6, 1), mode=mode), x, vectors)


@pytest.mark.parametrize("name", ["", "_add", "_sub", "_mul", "_min", "_max"])
def test_scatter(name):
    function = getattr(lax, f"scatter{name}")
    random = np.random.default_rng(0)
    # Which of two NaNs that meet is left depends on the options that XLA compiles with.
    meeting = name in ("_add", "_sub", "_mul")
    for dtype in ("bool", "float16", "bfloat16", "int32", "float32"):
        if dtype == "bool" and name in ("_add", "_sub", "_mul"):
            continue
        few = edges(dtype)
        for mode in ("clip", "fill"):
            numbers = lax.ScatterDimensionNumbers((1, 2), (0,), (0, 2))
            arrays = (
                random.choice(few, (5, 6, 4)),
                np.int32(random.integers(-7, 9, (4, 2))),
                random.choice(few, (4, 6, 2)),
            )
            check(lambda x, i, u: function(x, i, u, numbers, mode=mode), *arrays, any_nan=meeting or dtype in HALVES)
            # Indices that occur many times.
            single = lax.ScatterDimensionNumbers((), (0,), (0,))
            arrays = random.choice(few, 5), np.int32(random.integers(-1, 6, (30, 1))), random.choice(few, 30)
            check(lambda x, i, u: function(x, i, u, single, mode=mode), *arrays, any_nan=meeting or dtype in HALVES)


INDICES = [
    0, -1, slice(None), slice(1, 3), slice(None, None, -1), slice(3, 0, -2), slice(5, 2), None, ..., (1, 2), (..., 0),
    (slice(None, None, 2), None, -1), (None, ..., slice(0, 1)), (2, slice(4, None, -3), 0), (), (1, slice(0, 0)),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_static_indices(index):
    for dtype in ("bool", "float32", "complex128"):
        x = sample(dtype, 3, 4, 5)
        check(lambda x: x[index], x)
        np.testing.assert_array_equal(run(lambda x: x[index], [x], True)[0], x[index])
        for values in (x[index], x[index][..., :1] if x[index].ndim else x[index], sample(dtype)):
            want = x.copy()
            want[index] = values
            np.testing.assert_array_equal(run(lambda x, v: x.at[index].set(v), [x, values], True)[0], want)


def test_static_updates_with_numbers():
    x = jnp.arange(4.0, dtype=jnp.float32)
    with host_kernels(True):
        for value in (1, 2.5, True, -0.0):
            got = x.at[1].set(value)
            assert got.dtype == np.float32 and not got.weak_type
            np.testing.assert_array_equal(got, [0, value, 2, 3])
        assert (x.astype(np.uint8).at[0].set(-1)).tolist() == [255, 1, 2, 3]
        with pytest.warns(FutureWarning):
            x.astype(int).at[0].set(1.5)
        with pytest.raises(ValueError):
            x.at[:2].set(jnp.zeros(3, jnp.float32))
        with pytest.raises(IndexError):
            x[0, 0]
        np.testing.assert_array_equal(x.at[7].set(1.0), x)  # dropped
        assert float(x[7]) == 3  # clamped


# ---- where it runs


def test_numbers_beside_arrays_are_promoted_as_ever():
    with host_kernels(True):
        x = jnp.arange(3, dtype=jnp.float32)
        for _ in range(3):
            assert (x + 1).dtype == np.float32
            assert (x + 1.5).tolist() == [1.5, 2.5, 3.5]
            assert (x.astype(np.int32) + 1).dtype == np.int32
            assert (x.astype(np.int32) + 1.5).dtype == np.float64
            with cyxla.enable_x64(False):
                assert (x.astype(np.int32) + 1.5).dtype == np.float32
            assert cyxla.jit(lambda x: x + 1)(x).tolist() == [1, 2, 3]
            assert cyxla.grad(lambda x: (x * 3.0).sum())(x).tolist() == [3, 3, 3]


def test_filled():
    with host_kernels(True):
        assert jnp.zeros(3, jnp.float32).tolist() == [0, 0, 0]
        assert jnp.ones((2, 0)).shape == (2, 0)
        assert jnp.zeros((2, 2), int).dtype == np.int64
        with cyxla.enable_x64(False):
            assert jnp.zeros(()).dtype == np.float32
            assert jnp.ones(2, int).dtype == np.int32
            with pytest.warns(UserWarning):
                assert jnp.zeros(2, np.float64).dtype == np.float32
        with pytest.raises((TypeError, ValueError)):
            jnp.zeros((-1,))
        assert cyxla.jit(lambda: jnp.zeros(3) + 1)().tolist() == [1, 1, 1]


def test_placement_of_results():
    device = cyxla.devices("cpu")[0]
    with host_kernels(True):
        free = jnp.ones(3) + 1
        assert not free.committed and free.devices() == {device}
        placed = cyxla.device_put(np.ones(3), device)
        before = dispatch.stats()["host"]
        assert (placed + 1).committed and (placed + 1).devices() == {device}
        assert placed[0].committed
        assert dispatch.stats()["host"] > before


def test_deleted_operands():
    with host_kernels(True):
        x = jnp.ones(3) + 1
        y = x.reshape(3, 1)
        x.delete()
        with pytest.raises(RuntimeError, match="deleted"):
            x + 1
        with pytest.raises(RuntimeError, match="deleted"):
            x[0]
        assert y.tolist() == [[2], [2], [2]]


def test_large_arrays_are_left_to_xla():
    x = jnp.zeros(50_000, jnp.float32)
    with host_kernels(True):
        previous = host.limits(1 << 10, 1 << 12)
        try:
            before = dispatch.stats()
            lax.add(x, x)
            after = dispatch.stats()
        finally:
            host.limits(*previous)
    assert after["host"] == before["host"]
    assert after["compilations"] == before["compilations"] + 1


def test_middling_arrays_are_left_to_xla_when_repeated():
    x = jnp.zeros(300_000, jnp.int32)
    with host_kernels(True):
        before = dispatch.stats()
        lax.bitwise_xor(x, x)
        after = dispatch.stats()
        assert after["host"] == before["host"] + 1 and after["compilations"] == before["compilations"]
        for _ in range(20):
            lax.bitwise_xor(x, x)
        assert dispatch.stats()["compilations"] == before["compilations"] + 1


def test_others_are_left_to_xla():
    before = dispatch.stats()["compilations"]
    with host_kernels(True):
        lax.neg(jnp.asarray(np.array([1, 2], ml_dtypes.int4)))
        lax.reduce_sum(jnp.ones(3), (0,))
        lax.mul(jnp.ones(3, complex), 1j)
    assert dispatch.stats()["compilations"] == before + 3


def test_errors_are_those_of_the_operation():
    with host_kernels(True):
        for call in (
            lambda: lax.add(jnp.ones(3), jnp.ones(4)),
            lambda: lax.slice(jnp.ones(3), (2,), (5,)),
            lambda: lax.reshape(jnp.ones(3), (2,)),
            lambda: lax.bitwise_and(jnp.ones(3), 1.0),
        ):
            with pytest.raises(TypeError):
                call()


@quick
@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_windows_stay_inside(shape, random):
    """Kernels are given any parameters that the operations take; NumPy says what they do."""
    x = np.arange(np.prod(shape)).reshape(shape)
    order = random.sample(range(len(shape)), len(shape))
    with host_kernels(True):
        np.testing.assert_array_equal(lax.transpose(x, order), x.transpose(order))
        index = tuple(slice(random.randint(-4, 4), random.randint(-4, 4), random.choice([-2, -1, 1, 2])) for _ in shape)
        np.testing.assert_array_equal(jnp.asarray(x)[index], x[index])
