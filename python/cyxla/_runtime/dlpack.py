"""Arrays of other libraries, in and out without a copy, by DLPack.

On CPU an incoming array goes by way of a NumPy view: jaxlib's own DLPack import would import jax, and NumPy's strides
and read-only flags come for free. NumPy does not know the types of ml_dtypes, so their bytes are handed over as
unsigned integers of the same size and named again on this side.
"""

import ctypes

import ml_dtypes
import numpy as np

from . import backend, buffers

CPU, CUDA, CUDA_HOST, ROCM, ROCM_HOST = 1, 2, 3, 10, 11
_HOST_KINDS = (CPU, CUDA_HOST, ROCM_HOST)
_KIND_OF_PLATFORM = {"cpu": CPU, "cuda": CUDA, "gpu": CUDA, "rocm": ROCM}
_PLATFORM_OF_KIND = {CUDA: "cuda", ROCM: "rocm"}

_UNSIGNED = 1
# DLPack's type codes that NumPy does not read.
_EXTENDED_TYPES = {
    (4, 16): np.dtype(ml_dtypes.bfloat16),
    (7, 8): np.dtype(ml_dtypes.float8_e3m4),
    (8, 8): np.dtype(ml_dtypes.float8_e4m3),
    (9, 8): np.dtype(ml_dtypes.float8_e4m3b11fnuz),
    (10, 8): np.dtype(ml_dtypes.float8_e4m3fn),
    (11, 8): np.dtype(ml_dtypes.float8_e4m3fnuz),
    (12, 8): np.dtype(ml_dtypes.float8_e5m2),
    (13, 8): np.dtype(ml_dtypes.float8_e5m2fnuz),
    (14, 8): np.dtype(ml_dtypes.float8_e8m0fnu),
}


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    ]


_is_capsule = ctypes.pythonapi.PyCapsule_IsValid
_is_capsule.restype = ctypes.c_int
_is_capsule.argtypes = [ctypes.py_object, ctypes.c_char_p]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _tensor_of(capsule):
    """The DLTensor inside a capsule not yet consumed."""
    if _is_capsule(capsule, b"dltensor_versioned"):
        return _Versioned.from_address(_capsule_pointer(capsule, b"dltensor_versioned")).tensor
    if _is_capsule(capsule, b"dltensor"):
        return _Tensor.from_address(_capsule_pointer(capsule, b"dltensor"))
    raise TypeError(f"__dlpack__ must return a DLPack capsule that nobody has consumed yet, not {capsule!r}")


class _Capsule:
    """A capsule as the object with the two methods that NumPy wants."""

    def __init__(self, capsule, device):
        self.capsule = capsule
        self.device = device

    def __dlpack__(self, **kwargs):
        return self.capsule

    def __dlpack_device__(self):
        return self.device


def _capsule_from(array, **request):
    """An array's capsule, of the newest form that it can make."""
    try:
        return array.__dlpack__(max_version=(1, 0), **request)
    except TypeError:
        return array.__dlpack__(**request)


def numpy_view(array):
    """A host array of another library as a NumPy array over the same memory, ml_dtypes' types included."""
    return view_of_capsule(_capsule_from(array), array.__dlpack_device__())


def view_of_capsule(capsule, device):
    """A NumPy array over the memory of a capsule; `device` is its DLPack device, some kind of host."""
    tensor = _tensor_of(capsule)
    named = _EXTENDED_TYPES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if named is not None:
        tensor.code = _UNSIGNED
    view = np.from_dlpack(_Capsule(capsule, device))
    return view if named is None else view.view(named)


def address_in_capsule(capsule):
    """The address of a capsule's first element."""
    tensor = _tensor_of(capsule)
    return (tensor.data or 0) + tensor.byte_offset


def from_dlpack(array, device=None, copy=None):
    """A buffer over the memory of an array with `__dlpack__` and `__dlpack_device__`.

    `copy=None` copies only if it must (another device, strides that are not C order, memory not aligned to 64 bytes),
    True always, False never. Raises TypeError for an object without these methods, ValueError when `copy=False` and a
    copy is needed, BufferError for a type that DLPack or XLA does not have.
    """
    if not (hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__")):
        raise TypeError(
            f"from_dlpack needs an object with __dlpack__ and __dlpack_device__ methods, not {type(array).__name__}"
        )
    kind, index = array.__dlpack_device__()
    if kind not in _HOST_KINDS:
        return _from_accelerator(array, int(kind), index, device, copy)
    if device is None:
        device = backend.get_client("cpu").local_devices()[0]
    view = numpy_view(array)
    if copy is False:
        reason = _why_copy(view, device)
        if reason:
            raise ValueError(
                f"from_dlpack was told not to copy (copy=False), but {reason}. Use copy=None or copy=True."
            )
    return buffers.host_to_device(view, device, copy=bool(copy))


def _why_copy(view, device):
    if device.platform != "cpu":
        return f"the array is in host memory and must go to {device}"
    if not view.flags.c_contiguous:
        return f"its strides {view.strides} (shape {view.shape}) are not those of C order"
    if not buffers.is_zero_copy(view) and view.size:
        return f"its memory is not aligned to {buffers.ALIGNMENT} bytes"
    return None


def _from_accelerator(array, kind, index, device, copy):
    from . import xla

    platform = _PLATFORM_OF_KIND.get(kind)
    if platform is None:
        raise BufferError(f"arrays on a device of DLPack kind {kind} cannot be taken over; CPU, CUDA and ROCm can")
    source = backend.get_client(platform).device_from_local_hardware_id(index)
    stream = source.get_stream_for_external_ready_events()
    capsule = _capsule_from(array, stream=stream)
    with xla.without_jax:
        buffer = xla.jaxlib.dlpack_managed_tensor_to_buffer(capsule, source, stream, None)
    value = buffers.BufferAval(*_shape_and_dtype(array))
    buffer = buffers.with_aval(buffer, value, source)
    if device is None or device == source:
        return buffers.copy_to_device(buffer, source, always=True) if copy else buffer
    if copy is False:
        raise ValueError(f"from_dlpack was told not to copy (copy=False), but the array is on {source}, not {device}")
    return buffers.copy_to_device(buffer, device)


def _shape_and_dtype(array):
    name = str(array.dtype).rpartition(".")[2]
    try:
        return tuple(array.shape), np.dtype(name)
    except TypeError:
        return tuple(array.shape), np.dtype(getattr(ml_dtypes, name))


def dlpack_device(buffer):
    """DLPack's name of the device of a buffer: (kind, index)."""
    device = buffers.device_of(buffer)
    kind = _KIND_OF_PLATFORM.get(device.platform)
    if kind is None:
        raise BufferError(f"DLPack has no name for devices of platform {device.platform!r}")
    return kind, 0 if kind == CPU else device.local_hardware_id


def to_dlpack(buffer, *, stream=None, max_version=None, dl_device=None, copy=None):
    """A DLPack capsule over a buffer's memory; the arguments are those of the standard's `__dlpack__`.

    Raises BufferError for a type that DLPack does not have, or when `copy=False` and `dl_device` is another device.
    """
    from . import xla

    here = dlpack_device(buffer)
    if dl_device is not None and tuple(dl_device) != here:
        if dl_device[0] != CPU:
            raise BufferError(f"the array is on DLPack device {here} and can be exported there or to the host only")
        if copy is False:
            raise BufferError(f"the array is on DLPack device {here}: exporting it to {dl_device} needs a copy")
        cpu = backend.get_client("cpu").local_devices()[0]
        buffer, stream = buffers.copy_to_device(buffer, cpu), None
    elif copy:
        buffer = buffers.copy_to_device(buffer, buffers.device_of(buffer), always=True)
    if stream is not None and here[0] == CPU:
        raise BufferError(f"arrays on the host have no streams: stream must be None, not {stream!r}")
    buffers.check_alive(buffer)
    try:
        # The capsule keeps what it was made from, here the clone: were it the buffer itself, deleting that would
        # destroy memory that others hold, and XLA ends the process when it sees this.
        return xla.export_dlpack(buffer.clone(), stream, max_version)
    except xla.JaxRuntimeError as error:
        raise BufferError(f"the array cannot be exported by DLPack: {error}") from None
