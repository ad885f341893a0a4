"""Scalar types and dtype functions of cyxla.numpy and cyxla.dtypes, with jax as oracle."""

import itertools
import pickle
import warnings

import jax
import jax.numpy as jjnp
import ml_dtypes
import numpy as np
import pytest

from cyxla import dtypes
from cyxla._core.config import config, enable_x64
from cyxla._engine import dtypes as engine
from cyxla._engine.aval import ShapedArray
from cyxla.numpy import dtypes as jnp

SCALAR_NAMES = [name for name in jnp.__all__ if isinstance(getattr(jnp, name), engine.ScalarMeta)]
ABSTRACT = ["generic", "number", "integer", "signedinteger", "unsignedinteger", "inexact", "floating"]
ABSTRACT += ["complexfloating", "character", "flexible"]
KINDS = ["bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric"]


def outcome(function, *args, **kwargs):
    """The result of a call, or the type of its exception."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error).__name__


def test_every_name_that_jax_has():
    types = {n for n in dir(jjnp) if isinstance(getattr(jjnp, n), type)} - {"ndarray", "ufunc"}
    assert types <= set(jnp.__all__)
    assert {n for n in dir(jax.dtypes) if not n.startswith("_")} <= set(dtypes.__all__)


@pytest.mark.parametrize("name", SCALAR_NAMES)
def test_scalar_type_is_a_dtype(name):
    ours, theirs = getattr(jnp, name), getattr(jjnp, name)
    dtype = theirs.dtype
    assert ours.dtype == dtype
    assert np.dtype(ours) == dtype
    assert ours == dtype
    assert dtype == ours
    assert ours == dtype.type
    assert (ours != dtype.type) is False
    assert hash(ours) == hash(dtype.type)
    assert ours != "float32"
    assert ours != (np.int16 if dtype != np.int16 else np.int8)
    assert ours.__name__ == theirs.__name__
    assert isinstance(np.zeros((), dtype)[()], ours)
    assert np.zeros(2, ours).dtype == dtype
    assert engine.dtype_code(ours) == engine.dtype_code(dtype)
    assert ShapedArray((), ours) is ShapedArray((), dtype)


def test_scalar_types_repr():
    assert repr(jnp.float32) == "<class 'cyxla.numpy.float32'>"
    assert jnp.bool is jnp.bool_
    assert jnp.float_ is jnp.double is jnp.float64
    assert "makes an array" in jnp.float32.__doc__


@pytest.mark.parametrize(
    "name, value",
    [
        ("float32", 3),
        ("float32", "3"),
        ("float32", np.float64(2.5)),
        ("float32", np.arange(3)),
        ("float64", 3),
        ("int32", 3.7),
        ("int32", True),
        ("int64", 7),
        ("int8", 300),
        ("uint8", -1),
        ("int32", 2**40),
        ("float32", 1j),
        ("float32", "a"),
        ("float32", None),
        ("bool_", 3),
        ("complex64", 1),
        ("bfloat16", 3.3),
    ],
)
def test_scalar_types_make_arrays(name, value):
    ours, theirs = outcome(getattr(jnp, name), value), outcome(getattr(jjnp, name), value)
    if isinstance(theirs, str):
        assert ours == theirs
        return
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert not ours.weak_type
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_scalar_types_convert_arrays():
    x = jnp.float32(3)
    assert jnp.float32(x).dtype == np.float32
    with pytest.raises(TypeError):
        jnp.float32()


@pytest.mark.parametrize("name", SCALAR_NAMES)
def test_issubdtype(name):
    ours, theirs = getattr(jnp, name), getattr(jjnp, name)
    for kind in ABSTRACT:
        assert jnp.issubdtype(ours, getattr(jnp, kind)) == jjnp.issubdtype(theirs, getattr(jjnp, kind)), kind
    for other in ("float32", float, int, bool, np.int8, "int32"):
        assert jnp.issubdtype(ours, other) == jjnp.issubdtype(theirs, other), other
    for other in SCALAR_NAMES:
        expected = jjnp.issubdtype(theirs, getattr(jjnp, other))
        assert jnp.issubdtype(ours, getattr(jnp, other)) == jnp.issubdtype(ours.dtype, getattr(jnp, other)) == expected


@pytest.mark.parametrize(
    "a, b",
    [
        (float, np.floating),
        ("float32", np.floating),
        ("bfloat16", np.floating),
        (bool, np.integer),
        (None, np.floating),
        (3, np.floating),
        ("foo", np.floating),
        (np.float32, "float32"),
    ],
)
def test_issubdtype_of_other_things(a, b):
    expected = outcome(jjnp.issubdtype, a, b)
    assert outcome(jnp.issubdtype, a, b) == (True if a == "bfloat16" else expected)


def test_issubdtype_of_extended():
    assert jnp.issubdtype(dtypes.prng_key, dtypes.extended)
    assert jnp.issubdtype(dtypes.prng_key, np.generic)
    assert not jnp.issubdtype(np.uint32, dtypes.prng_key)
    assert not jnp.issubdtype(dtypes.float0, np.inexact)
    assert dtypes.float0 == jax.dtypes.float0


@pytest.mark.parametrize("name", SCALAR_NAMES)
def test_isdtype(name):
    ours, theirs = getattr(jnp, name), getattr(jjnp, name)
    for kind in [*KINDS, ("bool", "integral"), "float32", np.dtype("int8"), int]:
        assert jnp.isdtype(ours, kind) == jjnp.isdtype(theirs, kind), kind
    assert jnp.isdtype(ours, ours)
    assert jnp.isdtype(ours, (jnp.float32, ours))


@pytest.mark.parametrize("kind", ["foo", 3, np.integer, None])
def test_isdtype_refuses(kind):
    assert outcome(jnp.isdtype, np.float32, kind) == outcome(jjnp.isdtype, np.float32, kind)


def test_finfo_and_iinfo():
    for name in SCALAR_NAMES:
        dtype = getattr(jnp, name).dtype
        if jnp.issubdtype(dtype, jnp.inexact):
            assert jnp.finfo(getattr(jnp, name)) is not None
            assert jnp.finfo(dtype).max == jjnp.finfo(dtype).max
        elif jnp.issubdtype(dtype, jnp.integer):
            assert jnp.iinfo(getattr(jnp, name)).max == jjnp.iinfo(dtype).max
    assert jnp.finfo(jnp.float32(1)).dtype == np.float32
    assert jnp.iinfo(jnp.int8(1)).min == -128
    with pytest.raises(ValueError):
        jnp.finfo(jnp.int32)
    with pytest.raises(ValueError):
        jnp.iinfo(jnp.float32)


def test_can_cast():
    for a, b in itertools.product(("int8", "float16", "bfloat16", "complex64"), repeat=2):
        assert jnp.can_cast(getattr(jnp, a), getattr(jnp, b)) == jjnp.can_cast(getattr(jjnp, a), getattr(jjnp, b))


@pytest.mark.parametrize("x64", [False, True])
def test_canonicalize_dtype(x64):
    with jax.enable_x64(x64), enable_x64(x64):
        for dtype in [float, int, complex, bool, None, "float64", "uint64", np.int8, "S3", dtypes.float0, "foo", 3]:
            assert outcome(dtypes.canonicalize_dtype, dtype) == outcome(jax.dtypes.canonicalize_dtype, dtype)


PROMOTED = [
    int,
    float,
    complex,
    bool,
    None,
    "int8",
    np.uint8,
    "uint32",
    "int64",
    "uint64",
    "float16",
    ml_dtypes.bfloat16,
]
PROMOTED += ["float64", "complex64", ml_dtypes.int4, ml_dtypes.float8_e5m2]


@pytest.mark.parametrize("x64", [False, True])
def test_promote_types(x64):
    with jax.enable_x64(x64), enable_x64(x64):
        for a, b in itertools.product(PROMOTED, repeat=2):
            assert outcome(jnp.promote_types, a, b) == outcome(jjnp.promote_types, a, b), (a, b)


VALUES = [
    3,
    2.5,
    1j,
    True,
    np.float64(2),
    np.int8(1),
    np.bool_(True),
    np.arange(3),
    np.ones(2, np.float16),
    object(),
    [1],
]
MIXED = [*PROMOTED, *VALUES]


@pytest.mark.filterwarnings("ignore:.*requested")
@pytest.mark.parametrize("x64", [False, True])
def test_result_type(x64):
    def flagged(module, *args):
        return outcome(module.result_type, *args, return_weak_type_flag=True)

    with jax.enable_x64(x64), enable_x64(x64):
        for args in [*zip(MIXED), *itertools.product(MIXED, repeat=2), (1, 2.0, "int8"), (3, np.int8, 2.0, 1j), ()]:
            assert flagged(dtypes, *args) == flagged(jax.dtypes, *args), args


def test_result_type_of_arrays():
    assert jnp.result_type(jnp.int8(1), 2) == np.int8
    assert jnp.result_type(jnp.int8(1), jnp.float16(1), 3.0) == np.float16


def test_64_bits_by_name_warn():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert jnp.result_type("float64") == np.float32
        assert jnp.result_type(float) == np.float32
    assert len(caught) == 1
    assert "jax_enable_x64" in str(caught[0].message)
    previous = config.jax_explicit_x64_dtypes
    try:
        config.update("jax_explicit_x64_dtypes", "error")
        with pytest.raises(ValueError, match="float64"):
            jnp.result_type("float64")
        config.update("jax_explicit_x64_dtypes", "allow")
        assert engine.requested_code("float64") == engine.dtype_code("float64")
    finally:
        config.update("jax_explicit_x64_dtypes", previous)


@pytest.mark.parametrize("value", [1, True, 2.5, 1j, np.float32(1), np.float32, np.ones(2, np.int8), "s", "bfloat16"])
def test_scalar_type_of(value):
    expected = float if isinstance(value, str) and value == "bfloat16" else outcome(jax.dtypes.scalar_type_of, value)
    assert outcome(dtypes.scalar_type_of, value) == expected


@pytest.mark.parametrize("dtype", [np.float32, "int8", ml_dtypes.int4, bool, np.complex64, None, "S3", dtypes.float0])
def test_itemsize_bits(dtype):
    assert outcome(dtypes.itemsize_bits, dtype) == outcome(jax.dtypes.itemsize_bits, dtype)


def test_scalar_types_pickle():
    assert pickle.loads(pickle.dumps(jnp.float32)) is jnp.float32
