"""Interned abstract values."""

import copy
import gc
import pickle
import sys
import threading
import weakref

import jax
import ml_dtypes
import numpy as np
import pytest

from cyxla._engine import aval, dtypes
from cyxla._engine.aval import AbstractRef, ShapedArray, shaped_array

NAMES = [name for name in dtypes.dtype_table() if not name.startswith("key<") and not name.startswith("pair<")]


def np_dtype(name):
    return dtypes.float0 if name == "float0" else np.dtype(getattr(ml_dtypes, name, None) or name)


def test_equal_avals_are_one_object():
    x = ShapedArray((2, 3), np.float32)
    assert ShapedArray([2, np.int64(3)], "float32") is x
    assert shaped_array((2, 3), dtypes.dtype_code("float32"), False) is x
    assert ShapedArray((2, 3), np.float32, weak_type=True) is not x
    assert ShapedArray((3, 2), np.float32) is not x
    assert ShapedArray((2, 3), np.float16) is not x
    assert x == ShapedArray((2, 3), np.float32)
    assert hash(x) == hash(ShapedArray((2, 3), np.float32))
    assert ShapedArray((True,), np.float32) is ShapedArray((1,), np.float32)
    assert type(ShapedArray((True,), np.float32).shape[0]) is int


def test_pickle_and_copy_give_the_same_object():
    for x in (ShapedArray((), np.int8), ShapedArray((2, 3), ml_dtypes.bfloat16, weak_type=True)):
        assert pickle.loads(pickle.dumps(x)) is x
        assert copy.copy(x) is x
        assert copy.deepcopy(x) is x


def test_avals_go_when_unused():
    gc.collect()
    before = aval.interned_count()
    many = [ShapedArray((i, j), np.int8) for i in range(60) for j in range(60)]
    assert aval.interned_count() >= before + 3000
    assert all(ShapedArray((i, j), np.int8) is many[60 * i + j] for i in range(60) for j in range(60))
    del many[::2]
    assert all(ShapedArray(x.shape, np.int8) is x for x in many)
    del many
    assert aval.interned_count() == before
    x = ShapedArray((7, 7, 7), np.int8)
    gone = weakref.ref(x)
    del x
    assert gone() is None


def test_an_aval_asked_for_while_its_predecessor_dies():
    x = ShapedArray((11, 13), np.int16)
    born = []
    keep = weakref.ref(x, lambda _: born.append(ShapedArray((11, 13), np.int16)))
    del x
    assert keep() is None
    assert born[0].shape == (11, 13)
    assert ShapedArray((11, 13), np.int16) is born[0]


def test_threads():
    failures = []

    def work(seed):
        for i in range(3000):
            shape = (i % 17, (i * seed) % 13)
            x = ShapedArray(shape, "float32", weak_type=bool(i & 1))
            if x is not ShapedArray(shape, "float32", weak_type=bool(i & 1)) or x.shape != shape:
                failures.append(shape)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 10)])
@pytest.mark.parametrize("weak", [False, True])
def test_text_as_in_jax(name, shape, weak):
    ours = ShapedArray(shape, np_dtype(name), weak_type=weak)
    theirs = jax.core.ShapedArray(shape, np_dtype(name), weak_type=weak)
    assert repr(ours) == repr(theirs)
    assert str(ours) == str(theirs)
    assert ours.str_short() == theirs.str_short()
    assert ours.str_short(short_dtypes=True) == theirs.str_short(short_dtypes=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weak", [False, True])
def test_fields_as_in_jax(name, weak):
    ours = ShapedArray((2, 3), np_dtype(name), weak_type=weak)
    theirs = jax.core.ShapedArray((2, 3), np_dtype(name), weak_type=weak)
    for field in ("shape", "dtype", "weak_type", "ndim", "size"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert ours.strip_weak_type() is ShapedArray((2, 3), np_dtype(name))
    assert ours.to_tangent_aval().dtype == theirs.to_tangent_aval().dtype


@pytest.mark.parametrize("name", [n for n in NAMES if n != "float0"])
def test_mlir_text_as_in_jax(name):
    with jax.enable_x64(True):
        text = jax.jit(lambda x: x).lower(jax.ShapeDtypeStruct((2, 3), np_dtype(name))).as_text()
    ours = ShapedArray((2, 3), np_dtype(name))
    assert f"(%arg0: {ours.mlir})" in text


def test_mlir_text_of_any_shape():
    assert ShapedArray((), np.float32).mlir == "tensor<f32>"
    assert ShapedArray((0, 10, 123456789012), np.complex64).mlir == "tensor<0x10x123456789012xcomplex<f32>>"
    long = (0, *range(1000, 1050))
    assert ShapedArray(long, bool).mlir == "tensor<" + "".join(f"{n}x" for n in long) + "i1>"
    for rank in range(70):
        assert ShapedArray((1,) * rank, bool).mlir == "tensor<" + "1x" * rank + "i1>"
        assert ShapedArray((1000000000001,) * 1 + (1,) * rank, bool).mlir.startswith("tensor<1000000000001x")


def test_update():
    x = ShapedArray((2, 3), np.float32, weak_type=True)
    assert x.update() is x
    assert x.update(shape=(4,)) is ShapedArray((4,), np.float32, weak_type=True)
    assert x.update(dtype=np.int8, weak_type=False) is ShapedArray((2, 3), np.int8)
    assert x.update(sharding=None) is x
    assert x.sharding is None
    assert x.at_least_vspace() is x.to_tangent_aval() is x
    assert x.nbytes == 24
    assert x.len == 2
    with pytest.raises(TypeError, match="scalar"):
        ShapedArray((), np.int8)._len()


@pytest.mark.parametrize(
    "shape, dtype, error",
    [
        ((2.0,), np.float32, TypeError),
        ((None,), np.float32, TypeError),
        (3, np.float32, TypeError),
        ((-1,), np.float32, ValueError),
        ((2**40, 2**40), np.float32, ValueError),
        ((2**70,), np.float32, OverflowError),
        ((2,), "S3", TypeError),
        ((2,), object, TypeError),
        ((2,), ">f4", TypeError),
        ((2,), np.zeros(3), ValueError),
    ],
)
def test_bad_arguments(shape, dtype, error):
    with pytest.raises(error):
        ShapedArray(shape, dtype)


def test_bad_calls():
    with pytest.raises(TypeError):
        ShapedArray()
    with pytest.raises(TypeError):
        ShapedArray((2,), np.float32, sharding="x")
    with pytest.raises(AttributeError):
        ShapedArray((2,), np.float32).shape = (3,)


class PairType:
    """An extended dtype: pairs of uint32."""

    physical_shape = (2,)
    physical_dtype = np.uint32


def test_extended_dtypes():
    dtype = PairType()
    code = dtypes.register_extended(dtype, "pair<u32>")
    assert dtypes.register_extended(dtype, "pair<u32>") == code
    assert dtypes.dtype_code(dtype) == code
    assert dtypes.code_dtype(code) is dtype
    x = ShapedArray((3,), dtype)
    assert x is ShapedArray((3,), dtype)
    assert x.mlir == "tensor<3x2xui32>"
    assert repr(x) == "ShapedArray(pair<u32>[3])"
    assert x.str_short(short_dtypes=True) == "pair<u32>[3]"
    assert x.size == 3
    assert x.itemsize == 8
    assert x.physical() is ShapedArray((3, 2), np.uint32)
    assert x.to_tangent_aval() is ShapedArray((3,), dtypes.float0)
    assert dtypes.promote_pair(2 * code, 2 * code) == 2 * code
    with pytest.raises(ValueError, match="pair<u32>"):
        dtypes.promote_nodes([2 * code, 2 * dtypes.dtype_code("int8")])


def test_the_collector_leaves_avals_alone():
    """What the table of avals hands out must never have been cleared."""
    assert not gc.is_tracked(ShapedArray((7, 3), "float32"))
    assert not gc.is_tracked(AbstractRef(ShapedArray((7, 3), "float32")))
