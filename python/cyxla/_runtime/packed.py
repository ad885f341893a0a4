"""Reading arrays of 2- and 4-bit types on jaxlib 0.10, where neither the buffer protocol nor DLPack has them.

XLA converts them to a type that NumPy can be given, by a program for each type and shape.
"""

import ml_dtypes
import numpy as np

from cyxla._engine.caches import cached

# The type, its name in StableHLO, and the name of one that holds all its values and can be read.
_WIDER = {
    np.dtype(ml_dtypes.int2): ("i2", "i8", np.dtype("int8")),
    np.dtype(ml_dtypes.int4): ("i4", "i8", np.dtype("int8")),
    np.dtype(ml_dtypes.uint2): ("ui2", "ui8", np.dtype("uint8")),
    np.dtype(ml_dtypes.uint4): ("ui4", "ui8", np.dtype("uint8")),
    np.dtype(ml_dtypes.float4_e2m1fn): ("f4E2M1FN", "f32", np.dtype("float32")),
}


def is_packed(dtype):
    """Whether values of a type may share a byte."""
    return dtype in _WIDER


@cached("programs that widen narrow integers", 64)
def _widening(shape, dtype, device):
    from . import buffers, compiler, execute

    narrow, wide, readable = _WIDER[dtype]
    sizes = "".join(f"{size}x" for size in shape)
    text = f"""module @widen {{ func.func public @main(%a: tensor<{sizes}{narrow}>) -> tensor<{sizes}{wide}> {{
      %0 = stablehlo.convert %a : (tensor<{sizes}{narrow}>) -> tensor<{sizes}{wide}>
      return %0 : tensor<{sizes}{wide}> }} }}"""
    executable = compiler.compile(text, [device], small=True)
    return execute.prepare(executable, [buffers.BufferAval(shape, readable)], device)


def read(buffer):
    """The value of a buffer of such a type, as a read-only NumPy array (one value a byte)."""
    from . import buffers

    dtype = np.dtype(buffer.aval.dtype)
    runner = _widening(tuple(buffer.aval.shape), dtype, buffers.device_of(buffer))
    value = buffers.device_to_host(runner.run([buffer])[0]).astype(dtype)
    value.flags.writeable = False
    return value
