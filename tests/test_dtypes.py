"""The dtype tables and the promotion lattice, with jax as oracle."""

import pickle
import threading
import warnings

import jax
import jax.numpy as jjnp
import ml_dtypes
import numpy as np
import pytest

from cyxla._core import config
from cyxla._engine import dtypes

NAMES = [name for name in dtypes.dtype_table() if name != "float0" and not name.startswith("key<")]
CODES = {name: row[0] for name, row in dtypes.dtype_table().items()}
NARROW = {"int64": "int32", "uint64": "uint32", "float64": "float32", "complex128": "complex64"}


def np_dtype(name):
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def jax_result(a, weak_a, b, weak_b):
    """(name, weak) of the sum of two abstract operands in jax, None where it refuses."""
    operation = jjnp.logical_or if a == b == "bool" else jjnp.add
    operands = [jax.ShapeDtypeStruct((), np_dtype(n), weak_type=w) for n, w in ((a, weak_a), (b, weak_b))]
    try:
        out = jax.eval_shape(operation, *operands)
    except jax.dtypes.TypePromotionError:
        return None
    return str(out.dtype), out.weak_type


def our_result(a, weak_a, b, weak_b):
    node = dtypes.promote_pair(2 * CODES[a] + weak_a, 2 * CODES[b] + weak_b)
    return None if node < 0 else (str(dtypes.code_dtype(node // 2)), bool(node & 1))


def wrong_pairs(names, weak_a, weak_b):
    wrong = []
    for i, a in enumerate(names):
        for b in names[i if weak_a == weak_b else 0 :]:
            expected, found = jax_result(a, weak_a, b, weak_b), our_result(a, weak_a, b, weak_b)
            if expected != found or found != our_result(b, weak_b, a, weak_a):
                wrong.append((a, weak_a, b, weak_b, expected, found))
    return wrong


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("weak_a, weak_b", [(False, False), (True, False), (True, True)])
def test_promotion_of_every_pair(x64, weak_a, weak_b):
    with jax.enable_x64(x64), config.enable_x64(x64):
        assert not wrong_pairs(NAMES if x64 else [n for n in NAMES if n not in NARROW], weak_a, weak_b)


@pytest.mark.parametrize("weak_a, weak_b", [(False, False), (True, False), (True, True)])
def test_strict_promotion_of_every_pair(weak_a, weak_b):
    with (
        jax.enable_x64(True),
        config.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        config.numpy_dtype_promotion("strict"),
    ):
        assert not wrong_pairs(NAMES, weak_a, weak_b)


def test_64_bit_operands_where_64_bits_are_off():
    # Arrays made under enable_x64 keep their dtype among themselves, but not beside others.
    for wide, narrow in NARROW.items():
        assert our_result(wide, False, wide, False) == (wide, False)
        assert our_result(wide, False, "bool", False) == (narrow, False)


def test_table():
    table = dtypes.dtype_table()
    for name in NAMES:
        code, _, bits, itemsize, real, canonical, tangent, short, mlir = table[name]
        dtype = np_dtype(name)
        assert dtypes.code_dtype(code) == dtype
        assert dtypes.code_dtype(code) is dtypes.code_dtype(code)
        assert itemsize == dtype.itemsize
        assert bits == jax.dtypes.itemsize_bits(dtype)
        assert dtypes.code_dtype(real) == np.dtype({"complex64": "float32", "complex128": "float64"}.get(name, dtype))
        assert dtypes.code_dtype(canonical) == np.dtype(NARROW.get(name, dtype))
        inexact = jjnp.issubdtype(dtype, jjnp.inexact)
        assert dtypes.code_dtype(tangent) == (dtype if inexact else jax.dtypes.float0)
        assert (dtypes.code_name(code), dtypes.code_short_name(code), dtypes.code_mlir(code)) == (name, short, mlir)


@pytest.mark.parametrize("name", NAMES)
def test_every_spelling_gives_the_code(name):
    dtype = np_dtype(name)
    for spelling in (dtype, dtype.type, name, pickle.loads(pickle.dumps(dtype))):
        assert dtypes.dtype_code(spelling) == CODES[name]


def test_other_spellings():
    code = dtypes.dtype_code
    assert code(float) == code("f8") == code(None) == CODES["float64"]
    assert code(int) == code(np.longlong) == code(np.int64) == CODES["int64"]
    assert code(bool) == code("?") == CODES["bool"]
    assert code(complex) == CODES["complex128"]
    assert code([("float0", np.void, 0)]) == CODES.get("float0", dtypes.dtype_code(dtypes.float0))

    class Holder:
        dtype = np.dtype("int16")

    assert code(Holder()) == CODES["int16"]


@pytest.mark.parametrize("what", ["S3", object, ">f4", "foo", np.longdouble, 3, [("a", "f4")], {}, "M8[s]", b"f9"])
def test_what_is_no_dtype(what):
    with pytest.raises((TypeError, ValueError)):
        dtypes.dtype_code(what)


def test_an_array_is_no_dtype():
    with pytest.raises(ValueError, match=r"x\.dtype"):
        dtypes.dtype_code(np.zeros(3))


def test_canonical_codes_follow_the_mode_of_the_thread():
    wide, narrow = CODES["float64"], CODES["float32"]
    assert dtypes.canonicalize_code(wide) == narrow
    seen = []
    with config.enable_x64(True):
        assert dtypes.x64_enabled()
        assert dtypes.canonicalize_code(wide) == wide
        thread = threading.Thread(target=lambda: seen.append(dtypes.canonicalize_code(wide)))
        thread.start()
        thread.join()
    assert seen == [narrow]
    assert not dtypes.x64_enabled()


def test_promotion_of_several():
    strong, weak = (lambda name: 2 * CODES[name]), (lambda name: 2 * CODES[name] + 1)
    assert dtypes.promote_nodes([weak("int32"), strong("int8"), weak("float32")]) == weak("float32")
    assert dtypes.promote_nodes([strong("int8"), strong("bfloat16"), weak("float32")]) == strong("bfloat16")
    with pytest.raises(ValueError, match="at least one"):
        dtypes.promote_nodes([])


@pytest.mark.parametrize(
    "names, words",
    [
        (("int4", "float32"), ("int4 and float32", "less than 8 bits", "astype('int32')")),
        (("float8_e5m2", "float32"), ("8-bit floats", "astype('float32')")),
        (("float4_e2m1fn", "bfloat16"), ("4-bit floats",)),
        (("int4", "int2", "float8_e5m2"), ("int4 and int2 and float8_e5m2", "8-bit floats")),
    ],
)
def test_promotion_errors(names, words):
    with pytest.raises(dtypes.TypePromotionError) as caught:
        dtypes.promote_nodes([2 * CODES[name] for name in names])
    assert isinstance(caught.value, ValueError)
    for word in words:
        assert word in str(caught.value)


def test_strict_promotion_errors():
    with config.numpy_dtype_promotion("strict"), pytest.raises(dtypes.TypePromotionError, match="'strict'"):
        dtypes.promote_nodes([2 * CODES["int8"], 2 * CODES["float32"]])


def test_float0_is_not_promoted():
    node = 2 * dtypes.dtype_code(dtypes.float0)
    for other in (node, 2 * CODES["bool"]):
        assert dtypes.promote_pair(node, other) < 0
    with pytest.raises(ValueError, match="float0"):
        dtypes.promote_nodes([node])


def test_64_bits_by_name_warn_once_a_request():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert dtypes.requested_code(np.float64) == CODES["float32"]
        assert dtypes.requested_code(float) == CODES["float32"]
        with config.enable_x64(True):
            assert dtypes.requested_code(np.float64) == CODES["float64"]
    assert len(caught) == 1
