"""Which compiled programs run in this process, without PJRT, and on which jaxlib.

`prepare` decides, once a program: it takes jaxlib's serialized form of the executable apart (`cyxla._engine.native`).
That form is internal to jaxlib. So only releases that it was verified with are considered, only after a test program
has given the same bits as through PJRT, and whatever is not known in a program leaves it to PJRT.
"""

import platform
import sys
import threading

VERIFIED_JAXLIB = ((0, 10, 2), (0, 12, 0))

# Denormals (flushed?), NaNs of both signs (which of libm's versions?), a loop, a temporary.
_TEST_PROGRAM = """
module @self_test {
  func.func public @main(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) {
    %half = stablehlo.constant dense<0.5> : tensor<8xf32>
    %0 = stablehlo.multiply %x, %half : tensor<8xf32>
    %1 = stablehlo.log %x : tensor<8xf32>
    %2 = stablehlo.sine %x : tensor<8xf32>
    %3 = stablehlo.exponential %2 : tensor<8xf32>
    %zero = stablehlo.constant dense<0.0> : tensor<f32>
    %4 = stablehlo.reduce(%3 init: %zero) applies stablehlo.add across dimensions = [0]
      : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
    %5 = stablehlo.broadcast_in_dim %4, dims = [] : (tensor<f32>) -> tensor<8xf32>
    %6 = stablehlo.multiply %3, %5 : tensor<8xf32>
    return %0, %1, %6 : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>
  }
}
"""

_lock = threading.Lock()
_verdict: str | None = None  # '': the test was passed
_lapack_ready = False


def prepare(loaded, device, avals_in, avals_out, *, enabled=True, calls_python=False):
    """A NativeProgram for a loaded executable; or, where it is left to PJRT, the reason as a string.

    `avals_in` and `avals_out` (anything with `shape` and `dtype`) are those that its callers will see to.
    """
    if not enabled:
        return "switched off (cyxla_native)"
    if calls_python:
        return "calls Python functions"
    if device.platform != "cpu":
        return f"on a device of platform {device.platform}"
    reason = unsupported(device)
    if reason:
        return reason
    return _load(loaded, avals_in, avals_out)


def unsupported(device):
    """Why no program can run natively here, or ''. The first call compiles and runs the test program."""
    global _verdict
    if _verdict is None:
        with _lock:
            if _verdict is None:
                _verdict = _examine(device)
    return _verdict


def _load(loaded, avals_in, avals_out):
    from cyxla._engine import native

    from . import compiler, xla

    try:
        data = compiler.serialize(loaded)
    except xla.JaxRuntimeError as error:
        return f"cannot be serialized: {error}"
    if b"lapack_" in data:
        _register_lapack()
    program = native.load(data)
    if isinstance(program, str):
        return program
    for shapes, avals in ((program.parameters, avals_in), (program.outputs, avals_out)):
        if len(shapes) != len(avals):
            return "takes or returns other arrays than it was compiled for"
        for (_, shape), size, aval in zip(shapes, _sizes(program, shapes), avals):
            if shape != tuple(aval.shape) or size != aval.dtype.itemsize:
                return f"takes or returns arrays of dtype {aval.dtype} in another form"
    return program


def _register_lapack():
    """Tells the loader where jaxlib's LAPACK kernels are."""
    global _lapack_ready
    if _lapack_ready:
        return
    from jaxlib import lapack

    from cyxla._engine import native

    from . import compiler

    compiler.register_lapack()
    for name, target, api_version in lapack.registrations()["cpu"]:
        # 1: XLA's typed interface; the older ones have no calls of their own here.
        if api_version == 1 and type(target).__name__ == "PyCapsule":
            native.register_function(name, target)
    _lapack_ready = True


# XLA's numbers of dtypes (xla_data.proto) and their sizes in bytes.
_ITEMSIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 2, 8: 4, 9: 8, 10: 2, 11: 4, 12: 8, 15: 8, 16: 2, 18: 16}


def _sizes(program, shapes):
    return [_ITEMSIZES[dtype] for dtype, _ in shapes]


def _examine(device):
    from . import xla

    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"on {sys.platform} {platform.machine()}"
    if xla.JAXLIB_VERSION not in VERIFIED_JAXLIB:
        return f"with jaxlib {'.'.join(map(str, xla.JAXLIB_VERSION))}, which it was not verified with"
    return _self_test(device)


def _self_test(device):
    """Compares the test program on both ways of running, bit by bit; '' if they agree."""
    import numpy as np

    from . import buffers, compiler, execute, xla

    x = np.array([1e-39, -1e-39, -1.0, np.inf, -np.inf, np.nan, 0.0, 3.5], np.float32)
    aval = buffers.BufferAval(x.shape, x.dtype)
    # Not by compiler.compile: the program is none of the user's, to be counted or cached.
    settings = compiler.compile_options([device], small=True)
    loaded = device.client.compile_and_load(_TEST_PROGRAM.encode(), xla.jaxlib.DeviceList((device,)), settings)
    program = _load(loaded, [aval], [aval] * 3)
    if isinstance(program, str):
        return f"the self-test's program was refused: {program}"
    theirs = execute.run(loaded, [buffers.host_to_device(x, device)], [aval] * 3, device)
    for mine, reference in zip(program.run([x]), theirs):
        if bytes(mine) != buffers.device_to_host(reference).tobytes():
            return "the self-test gave other results than PJRT"
    return ""
