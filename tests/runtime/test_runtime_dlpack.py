import ml_dtypes
import numpy as np
import pytest

from cyxla._runtime import buffers, dlpack


class Export:
    """A buffer with the two methods of the standard."""

    def __init__(self, buffer):
        self.buffer = buffer

    def __dlpack__(self, **kwargs):
        return dlpack.to_dlpack(self.buffer, **kwargs)

    def __dlpack_device__(self):
        return dlpack.dlpack_device(self.buffer)


def pointer(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("name", ["bool", "int8", "uint32", "int64", "float16", "float32", "float64", "complex64"])
def test_numpy_both_ways_without_a_copy(device, aligned, name):
    array = aligned((np.arange(12) % 2).astype(name).reshape(3, 4))
    buffer = dlpack.from_dlpack(array)
    assert buffers.unsafe_pointer(buffer) == pointer(array)
    back = np.from_dlpack(Export(buffer))
    assert pointer(back) == pointer(array)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_read_only_arrays_are_taken(device, aligned):
    array = aligned(np.arange(4, dtype="float32"))
    array.flags.writeable = False
    assert buffers.unsafe_pointer(dlpack.from_dlpack(array)) == pointer(array)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float8_e4m3fn", "float8_e5m2", "bool", "int32"])
def test_jax_both_ways_without_a_copy(device, name):
    jax = pytest.importorskip("jax")
    dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
    theirs = jax.numpy.asarray((np.arange(6) % 2).reshape(2, 3).astype(dtype))
    ours = dlpack.from_dlpack(theirs)
    assert buffers.unsafe_pointer(ours) == theirs.unsafe_buffer_pointer()
    host = buffers.device_to_host(ours)
    assert host.dtype == dtype
    assert host.tobytes() == np.asarray(theirs).tobytes()
    again = jax.dlpack.from_dlpack(Export(ours))
    assert again.unsafe_buffer_pointer() == theirs.unsafe_buffer_pointer()
    assert again.dtype == dtype
    del theirs, again
    assert buffers.device_to_host(ours).tobytes() == host.tobytes()


def test_torch_both_ways_without_a_copy(device):
    torch = pytest.importorskip("torch")
    theirs = torch.arange(6, dtype=torch.bfloat16)
    ours = dlpack.from_dlpack(theirs)
    assert buffers.unsafe_pointer(ours) == theirs.data_ptr()
    assert torch.from_dlpack(Export(ours)).data_ptr() == theirs.data_ptr()


def test_copy_argument(device, aligned):
    array = aligned(np.arange(16, dtype="float32"))
    copied = dlpack.from_dlpack(array, copy=True)
    assert buffers.unsafe_pointer(copied) != pointer(array)
    assert buffers.unsafe_pointer(dlpack.from_dlpack(array, copy=False)) == pointer(array)
    with pytest.raises(ValueError, match="aligned to 64 bytes"):
        dlpack.from_dlpack(aligned(array, offset=16), copy=False)
    with pytest.raises(ValueError, match="C order"):
        dlpack.from_dlpack(array.reshape(4, 4).T, copy=False)
    np.testing.assert_array_equal(
        buffers.device_to_host(dlpack.from_dlpack(array.reshape(4, 4).T)), array.reshape(4, 4).T
    )
    exported = np.from_dlpack(Export(copied))
    assert pointer(exported) == buffers.unsafe_pointer(copied)
    capsule = dlpack.to_dlpack(copied, copy=True)
    other = np.from_dlpack(dlpack._Capsule(capsule, (dlpack.CPU, 0)))
    assert pointer(other) != buffers.unsafe_pointer(copied)


def test_refusals(device):
    with pytest.raises(TypeError, match="__dlpack__"):
        dlpack.from_dlpack(3)
    with pytest.raises(BufferError):
        dlpack.from_dlpack(np.array(["a"]))
    buffer = buffers.host_to_device(np.arange(4, dtype="int32").astype(ml_dtypes.int4), device)
    with pytest.raises(BufferError):
        dlpack.to_dlpack(buffer)
    plain = buffers.host_to_device(np.arange(4, dtype="int32"), device)
    with pytest.raises(BufferError, match="stream"):
        dlpack.to_dlpack(plain, stream=3)
    with pytest.raises(BufferError):
        dlpack.to_dlpack(plain, dl_device=(dlpack.CUDA, 0))
    assert dlpack.dlpack_device(plain) == (1, 0)


def test_a_capsule_that_was_consumed_is_refused(device):
    buffer = buffers.host_to_device(np.arange(4, dtype="int32"), device)
    capsule = dlpack.to_dlpack(buffer)
    once = dlpack._Capsule(capsule, (dlpack.CPU, 0))
    np.from_dlpack(once)
    with pytest.raises(TypeError, match="consumed"):
        dlpack.from_dlpack(once)
