"""Buffers on a device: made from NumPy arrays, read back, copied, deleted.

A buffer is jaxlib's single-device ArrayImpl. Its `aval` is whatever object it was made with (jaxlib reads `shape` and
`dtype` of it and no more); arrays that jaxlib makes by itself have None there.
"""

import numpy as np

_targets: dict = {}
_avals: dict = {}
_put = None
_zero_copy = None


class BufferAval:
    """Shape and dtype: all that jaxlib asks of a buffer's aval."""

    __slots__ = ("dtype", "ndim", "shape", "weak_type")

    def __init__(self, shape, dtype):
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)
        self.weak_type = False


def _target(device):
    """Per device: its sharding and the one-element list that jaxlib wants. Loads jaxlib's functions once."""
    global _put, _zero_copy
    from . import xla

    _put = xla.jaxlib.batched_device_put
    _zero_copy = xla.jaxlib.HostBufferSemantics.ZERO_COPY
    target = _targets[device] = (xla.BufferSharding(device), [device])
    return target


def forget_targets():
    _targets.clear()


def sharding_of(device):
    """The jaxlib sharding of buffers on a device; one object a device."""
    return (_targets.get(device) or _target(device))[0]


def host_to_device(array, device, aval=None):
    """A buffer with the contents of a NumPy array.

    On CPU, memory that is contiguous and 16-byte aligned is used in place and kept alive: the array must not be written
    to afterwards. Anything else is copied. `aval`, if given, becomes the buffer's `aval`.
    """
    target = _targets.get(device) or _target(device)
    if aval is None:
        aval = BufferAval(array.shape, array.dtype)
    # enable_x64=True: the bytes as they are, whatever x64 state jax may have set in jaxlib.
    return _put(aval, target[0], [array], target[1], True, False, _zero_copy, True)


def device_to_host(buffer):
    """The contents of a buffer as a read-only NumPy array; waits for them. On CPU without a copy."""
    return np.asarray(buffer)


def is_deleted(buffer):
    return buffer.is_deleted()


def delete(buffer):
    buffer.delete()


def block_until_ready(buffer):
    buffer.block_until_ready()


def is_ready(buffer):
    return buffer.is_ready()


def unsafe_pointer(buffer):
    return buffer.unsafe_buffer_pointer()


def on_device_size(buffer):
    return buffer.on_device_size_in_bytes()
