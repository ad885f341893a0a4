import numpy as np
import pytest

from cyxla._runtime import backend, buffers


@pytest.fixture(scope="session")
def device():
    return backend.get_client("cpu").local_devices()[0]


def aval(shape, dtype="float32"):
    return buffers.BufferAval(shape, np.dtype(dtype))


@pytest.fixture(scope="session")
def make_aval():
    return aval


@pytest.fixture
def aligned():
    """Makes a copy of an array that starts at a multiple of 64 bytes, plus `offset`."""

    def make(array, offset=0):
        array = np.asarray(array)
        raw = np.empty(array.nbytes + 128, np.uint8)
        start = -raw.ctypes.data % 64 + offset
        out = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        out[...] = array
        return out

    return make
