"""Buffers on a device: made from NumPy arrays, read back, copied, deleted.

A buffer is jaxlib's single-device ArrayImpl. Its `aval` is whatever object it was made with: jaxlib reads `shape` and
`dtype` of it and nothing more.

Some of ArrayImpl's own methods import jax by name, which must not happen (see `xla.without_jax`) and is why there are
functions here for what they do: `unsafe_buffer_pointer` (on buffers made by `host_to_device`), `_arrays`,
`_fully_replicated_shard`, `_single_device_array_to_np_array_did_copy`, `_copy_single_device_array_to_host_async`. Four
end the process by a segmentation fault when the buffer is deleted (0.10): `is_ready`, `platform`, `clone`,
`_pjrt_layout`. The others (`block_until_ready`, `is_deleted`, `delete`, `on_device_size_in_bytes`) may be called
directly.
"""

import numpy as np

# XLA:CPU uses host memory in place only when it is aligned to this.
ALIGNMENT = 64

_targets: dict = {}


class BufferAval:
    """Shape and dtype: all that jaxlib asks of a buffer's aval."""

    __slots__ = ("dtype", "ndim", "shape", "weak_type")

    def __init__(self, shape, dtype):
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)
        self.weak_type = False


class Target:
    """What it takes to put arrays on one device, for callers that count nanoseconds.

    `put(aval, sharding, [array], devices, True, False, zero_copy, True)` is what `host_to_device` calls.
    """

    __slots__ = ("devices", "only_during_call", "put", "sharding", "zero_copy")

    def __init__(self, device):
        from . import xla

        semantics = xla.jaxlib.HostBufferSemantics
        self.put = xla.jaxlib.batched_device_put
        self.sharding = xla.buffer_sharding(device)
        self.devices = [device]
        self.zero_copy = semantics.ZERO_COPY
        self.only_during_call = semantics.IMMUTABLE_ONLY_DURING_CALL


def target(device):
    """The Target of a device, made once."""
    found = _targets.get(device)
    if found is None:
        found = _targets[device] = Target(device)
    return found


def forget_targets():
    """Drops what is kept for each device, so that a dropped client can be freed."""
    _targets.clear()


def sharding_of(device):
    """The jaxlib sharding of the buffers on a device; one object a device."""
    return target(device).sharding


def host_to_device(array, device, aval=None, copy=False):
    """A buffer with the contents of a NumPy array (or NumPy scalar) of any strides and any dtype that XLA has.

    On CPU, C-contiguous memory aligned to 64 bytes is used in place and kept alive until the buffer is gone; other
    memory is copied, perhaps after this returns. In both cases the array must not be written to afterwards, unless
    `copy` is true: then the contents are taken before this returns. A donated buffer never lets XLA write to the
    array. `aval`, if given, becomes the buffer's `aval`.

    Raises TypeError for a dtype that XLA does not have.
    """
    to = _targets.get(device) or target(device)
    dtype = array.dtype
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
        dtype = array.dtype
    if aval is None:
        aval = BufferAval(array.shape, dtype)
    # The last argument, enable_x64: the bytes as they are, whatever x64 state jax may have set in jaxlib.
    if copy:
        return to.put(aval, to.sharding, [array], to.devices, True, True, to.only_during_call, True)
    return to.put(aval, to.sharding, [array], to.devices, True, False, to.zero_copy, True)


def is_zero_copy(array):
    """Whether `host_to_device` to a CPU device uses this NumPy array's memory in place."""
    return array.flags.c_contiguous and array.dtype.isnative and array.__array_interface__["data"][0] % ALIGNMENT == 0


def device_to_host(buffer):
    """The contents of a buffer as a read-only NumPy array; waits for them.

    On CPU without a copy (but for the types of 2 and 4 bits): the array keeps the memory alive, and while it lives the
    buffer cannot be donated in place (XLA copies it instead). Raises JaxRuntimeError for a deleted buffer.
    """
    try:
        view = memoryview(buffer)
    except (BufferError, TypeError, ValueError):
        # The buffer protocol knows neither ml_dtypes' types nor memory that is not the host's.
        from . import guards, xla

        if device_of(buffer).platform != "cpu":
            guards.check("device_to_host", buffer.aval)
        return xla.numpy_value(buffer)
    return np.asarray(view)


def check_alive(buffer):
    """Raises JaxRuntimeError for a deleted buffer."""
    if buffer.is_deleted():
        from . import xla

        raise xla.JaxRuntimeError("INVALID_ARGUMENT: the array has been deleted or donated")


def copy_to_host_async(buffer):
    """Starts the copy to the host that `device_to_host` will wait for; nothing to do on CPU."""
    if device_of(buffer).platform == "cpu":
        return
    from . import xla

    xla.copy_to_host_async(buffer)


def copy_to_device(buffer, device, *, always=False):
    """The same contents on another device, or on the same one; the same memory unless `always` or it must move."""
    from . import xla

    check_alive(buffer)
    jaxlib = xla.jaxlib
    source = device_of(buffer)
    if source.client is not device.client:
        return host_to_device(device_to_host(buffer), device, buffer.aval)
    semantics = jaxlib.ArrayCopySemantics
    [out] = jaxlib.batched_copy_array_to_devices_with_sharding(
        [buffer],
        [jaxlib.DeviceList((device,))],
        [sharding_of(device)],
        [semantics.ALWAYS_COPY if always else semantics.REUSE_INPUT],
    )
    return out


def with_aval(buffer, aval, device):
    """The same memory as another buffer object, with another aval; deleting one deletes both."""
    from . import xla

    check_alive(buffer)
    return xla.jaxlib.ArrayImpl(aval, sharding_of(device), [buffer], True, _skip_checks=True)


def device_of(buffer):
    """The device that a buffer is on."""
    sharding = buffer._sharding
    device = getattr(sharding, "_device", None)
    return device if device is not None else sharding._internal_device_list[0]


def unsafe_pointer(buffer):
    """The address of a buffer's memory. The memory lives only as long as the buffer.

    Raises JaxRuntimeError for a deleted buffer, BufferError for one of a type of 2 or 4 bits that no program made.
    """
    from . import dlpack, xla

    if type(buffer._sharding) is xla.jaxlib.SingleDeviceSharding:
        # A program's result: jaxlib finds its one shard without jax.
        return buffer.unsafe_buffer_pointer()
    return dlpack.address_in_capsule(dlpack.to_dlpack(buffer))


def on_device_size(buffer):
    """The bytes that a buffer takes on its device."""
    return buffer.on_device_size_in_bytes()


def is_deleted(buffer):
    """Whether a buffer's memory is gone: deleted, or donated to a program."""
    return buffer.is_deleted()


def delete(buffer):
    """Frees a buffer's memory now, or when its last user is done with it."""
    buffer.delete()


def is_ready(buffer):
    """Whether the program that computes a buffer has finished. Raises JaxRuntimeError for a deleted buffer."""
    check_alive(buffer)
    return buffer.is_ready()


def block_until_ready(buffers):
    """Waits for buffers to be computed; raises JaxRuntimeError if a computation failed or a buffer is deleted."""
    from . import xla

    xla.jaxlib.batched_block_until_ready(buffers)
