"""Arrays of other libraries, by DLPack, without a copy where that is possible."""

from cyxla._engine.array import ArrayImpl, array_from_buffer
from cyxla._engine.aval import ShapedArray
from cyxla._engine.dtypes import dtype_kind, requested_code


def from_dlpack(external_array, device=None, copy=None):
    """An array over the memory of an object with `__dlpack__` and `__dlpack_device__` (NumPy, PyTorch, CuPy, jax...).

    `copy=None` copies only where it must, True always, False never. The memory must not be written to while the array
    lives. Raises TypeError for objects that do not speak DLPack, ValueError where `copy=False` cannot be honoured.

    >>> import numpy as np
    >>> from_dlpack(np.arange(3, dtype="int32"))
    Array([0, 1, 2], dtype=int32)
    """
    from cyxla._runtime import dlpack as runtime

    if isinstance(external_array, ArrayImpl) and device is None and not copy:
        return external_array
    target = device
    devices = getattr(device, "device_set", None)
    if devices is not None:
        if len(devices) != 1:
            raise ValueError(f"from_dlpack imports to one device; {device} has {len(devices)}")
        (target,) = devices
    buffer = runtime.from_dlpack(external_array, target, copy)
    return array_from_buffer(buffer, ShapedArray(buffer.aval.shape, buffer.aval.dtype), target, target is not None)


def is_supported_dtype(dtype):
    """Whether arrays of a dtype can be exchanged by DLPack: all but typed PRNG keys and float0.

    >>> is_supported_dtype("float32")
    True
    """
    return dtype_kind(requested_code(dtype)) <= 4


__all__ = ["from_dlpack", "is_supported_dtype"]
