import gc
import weakref

import ml_dtypes
import numpy as np
import pytest

from cyxla._runtime import backend, buffers

NUMPY_DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
WHOLE_BYTE_DTYPES = [
    *("bfloat16", "float8_e3m4", "float8_e4m3", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz"),
    *("float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
]
PACKED_DTYPES = ["int2", "int4", "uint2", "uint4", "float4_e2m1fn"]
ALL_DTYPES = NUMPY_DTYPES + WHOLE_BYTE_DTYPES + PACKED_DTYPES


def dtype_of(name):
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def sample(name, shape):
    # Powers of two from 1 up: values that every one of these types has.
    values = np.arange(int(np.prod(shape))) % 2
    if name != "float8_e8m0fnu":
        return values.reshape(shape).astype(dtype_of(name))
    return (values + 1).astype("float32").reshape(shape).astype(dtype_of(name))


def pointer(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(3, 5), (), (0, 4), (64,)], ids=str)
@pytest.mark.parametrize("name", ALL_DTYPES)
def test_round_trip(device, name, shape):
    array = sample(name, shape)
    back = buffers.device_to_host(buffers.host_to_device(array, device))
    assert back.dtype == array.dtype
    assert back.shape == shape
    assert back.tobytes() == array.tobytes()
    assert not back.flags.writeable


@pytest.mark.parametrize("name", ["float32", "int64", "bfloat16", "int4", "bool"])
def test_numpy_scalars_and_other_layouts(device, name):
    base = sample(name, (4, 6))
    views = [base.T, base[:, ::2], base[::-1], np.asfortranarray(base), np.broadcast_to(base[0], (3, 6)), base[1:3, 2]]
    for view in views:
        np.testing.assert_array_equal(buffers.device_to_host(buffers.host_to_device(view, device)), view)
    scalar = base[0, 1]
    back = buffers.device_to_host(buffers.host_to_device(scalar, device))
    assert back.shape == () and back.dtype == base.dtype and back == scalar


def test_big_endian_is_converted(device):
    array = np.arange(5, dtype=">f4")
    back = buffers.device_to_host(buffers.host_to_device(array, device))
    assert back.dtype == np.dtype("float32")
    np.testing.assert_array_equal(back, array)


def test_unknown_dtypes_are_refused(device):
    for array in (np.array(["a"]), np.array([None]), np.zeros(2, "datetime64[s]"), np.zeros(2, [("a", "f4")])):
        with pytest.raises(Exception) as info:
            buffers.host_to_device(array, device)
        assert isinstance(info.value, (TypeError, backend.runtime_error_class()))


def test_aligned_memory_is_used_in_place(device, aligned):
    array = aligned(np.arange(16, dtype="float32"))
    assert buffers.is_zero_copy(array)
    buffer = buffers.host_to_device(array, device)
    assert buffers.unsafe_pointer(buffer) == pointer(array)
    assert pointer(buffers.device_to_host(buffer)) == pointer(array)
    shifted = aligned(np.arange(16, dtype="float32"), offset=16)
    assert not buffers.is_zero_copy(shifted)
    assert buffers.unsafe_pointer(buffers.host_to_device(shifted, device)) != pointer(shifted)


def test_copy_takes_the_contents_at_once(device, aligned):
    array = aligned(np.zeros(16, "float32"))
    buffer = buffers.host_to_device(array, device, copy=True)
    array[:] = 7
    np.testing.assert_array_equal(buffers.device_to_host(buffer), 0)


def test_memory_lives_as_long_as_a_buffer_or_a_view(device, aligned):
    class Traced(np.ndarray):
        pass

    array = aligned(np.arange(16, dtype="float32")).view(Traced)
    gone = weakref.ref(array)
    buffer = buffers.host_to_device(array, device)
    del array
    gc.collect()
    assert gone() is not None
    view = buffers.device_to_host(buffer)
    buffer.delete()
    del buffer
    gc.collect()
    np.testing.assert_array_equal(view, np.arange(16, dtype="float32"))
    del view
    # jaxlib drops what it kept alive when it next makes a buffer.
    for _ in range(3):
        buffers.host_to_device(np.zeros(1, "float32"), device)
        gc.collect()
    assert gone() is None


def test_aval_is_what_the_caller_gave(device, make_aval):
    value = make_aval((3,))
    buffer = buffers.host_to_device(np.zeros(3, "float32"), device, value)
    assert buffer.aval is value
    other = make_aval((3,))
    renamed = buffers.with_aval(buffer, other, device)
    assert renamed.aval is other
    assert buffers.unsafe_pointer(renamed) == buffers.unsafe_pointer(buffer)
    assert buffers.device_of(renamed) == device


def test_state(device):
    buffer = buffers.host_to_device(np.zeros((4, 4), "float32"), device)
    assert buffers.on_device_size(buffer) == 64
    buffers.block_until_ready([buffer])
    assert buffers.is_ready(buffer)
    assert buffers.device_of(buffer) is device
    buffers.copy_to_host_async(buffer)
    assert not buffers.is_deleted(buffer)
    buffers.delete(buffer)
    assert buffers.is_deleted(buffer)
    buffers.delete(buffer)
    error = backend.runtime_error_class()
    for use in (
        buffers.device_to_host,
        buffers.unsafe_pointer,
        buffers.is_ready,
        lambda b: buffers.block_until_ready([b]),
    ):
        with pytest.raises(error, match="deleted"):
            use(buffer)


def test_copy_to_device(device):
    buffer = buffers.host_to_device(np.arange(5.0), device)
    same = buffers.copy_to_device(buffer, device)
    assert buffers.unsafe_pointer(same) == buffers.unsafe_pointer(buffer)
    copied = buffers.copy_to_device(buffer, device, always=True)
    assert buffers.unsafe_pointer(copied) != buffers.unsafe_pointer(buffer)
    buffer.delete()
    np.testing.assert_array_equal(buffers.device_to_host(copied), np.arange(5.0))
