"""StableHLO text in, loaded executables out.

The policy on compile time: XLA:CPU spends most of a small program's compile time on setting up MLIR for its fusion
emitters. Without them it compiles in half the time to the same results, but not every program runs as fast then, and
some compile slower; and tan, cbrt, float16 arithmetic and conversions to narrower floats come out with other last
bits, where the samplers of `random` promise jax's. `is_small` is the rule, by what is in a program and by the size of
its arrays; `python -m bench.bench_compile` measures it. What the user says, by `options` or by XLA_FLAGS, always wins.
"""

import collections
import math
import os
import re
import threading
import time

from . import cache, callbacks
from .options import options as runtime_options

# What a program may have at most, to compile faster without the emitters and run as fast: lines, and elements of its
# largest array if it has an operation of a kind. Elementwise operations and those that move data by a fixed pattern are
# good at any size. Measured on 0.10 (default and without): tanh(x @ x) of 32x32 compiles in 39 and 189 ms and runs in
# 4.5 and 7.7 us; four blocks of norm, gelu and softmax of 8 numbers compile in 230 and 300 ms, of 16K in 147 and 388;
# softmax of 256K numbers runs in 240 and 300 us; adding 8K numbers into 1000 takes 12 and 29 us; concatenating and
# gathering a million is 1.1 to 5 times slower; transposing three million numbers takes 3.2 and 2.5 ms, ten million 18.5
# and 21; taking every second of three million 290 and 380 us; 100 steps of a scan over 16K numbers 5 times. What is
# written over a donated argument is not vectorized without them: gelu of 1024 donated numbers takes 0.8 and 3.6 us.
MAX_LINES = 400
MAX_LINES_OF_LARGE = 200
LARGE = 1 << 14
MAX_PRODUCTS = 5
MAX_REDUCTIONS = 4
_LARGEST = (
    (re.compile(rb"stablehlo\.(?:dot|convolution|scatter|select_and_scatter)|tf\.aliasing_output"), 64),
    (re.compile(rb"stablehlo\.reduce\b"), 4096),
    (re.compile(rb"stablehlo\.(?:reduce_window|concatenate|gather|sort|dynamic_\w+|pad|fft|custom_call)\b"), LARGE),
    (re.compile(rb"stablehlo\.(?:slice|reverse)\b"), 1 << 20),
    (re.compile(rb"stablehlo\.transpose\b"), 1 << 22),
)
_PRODUCT = re.compile(rb"stablehlo\.(?:dot|convolution)")
_REDUCTION = re.compile(rb"stablehlo\.reduce\b")
_CALL = re.compile(rb"func\.call @(\w+)")
_SHAPE = re.compile(rb"tensor<((?:\d+x)+)")
_OTHER_BITS = re.compile(rb"[<x]f(?:16|8E\w+|4E\w+)>|stablehlo\.(?:tan|cbrt)\b")

# Options that are fields of XLA's build options, not flags.
_BUILD_FIELDS = (
    "exec_time_optimization_effort",
    "fdo_profile",
    "memory_fitting_effort",
    "memory_fitting_level",
    "optimization_level",
)
_OPTIMIZATION_LEVELS = {"UNKNOWN": None, "O0": 0, "O1": 1, "O2": 2, "O3": 3}
_lapack_lock = threading.Lock()
_lapack_ready = False


class Statistics:
    """What compilation has cost this process so far."""

    __slots__ = ("compilations", "loads", "seconds")

    def __init__(self):
        self.clear()

    def clear(self):
        self.compilations = 0  # by XLA
        self.loads = 0  # from the persistent cache instead
        self.seconds = 0.0  # in both


statistics = Statistics()


def _lines(module_text):
    """The lines of a module whose functions have been inlined; the constants of a function count once."""
    lines = module_text.count(b"\n")
    called = collections.Counter(_CALL.findall(module_text))
    repeated = {name: n for name, n in called.items() if n > 1}
    if repeated:
        for function in module_text.split(b"func.func private @")[1:]:
            n = repeated.get(function[: function.index(b"(")])
            if n:
                lines += (n - 1) * (function.count(b" = ") - function.count(b" stablehlo.constant "))
    return lines


def is_small(module_text):
    """Whether a module (bytes) compiles faster without XLA:CPU's fusion emitters, to the same speed and results."""
    lines = _lines(module_text)
    if lines > MAX_LINES or b"stablehlo.while" in module_text or _OTHER_BITS.search(module_text):
        return False
    if len(_PRODUCT.findall(module_text)) > MAX_PRODUCTS or len(_REDUCTION.findall(module_text)) > MAX_REDUCTIONS:
        return False
    largest = max((math.prod(map(int, s[:-1].split(b"x"))) for s in set(_SHAPE.findall(module_text))), default=1)
    if largest > LARGE and lines > MAX_LINES_OF_LARGE:
        return False
    return not any(largest > limit and pattern.search(module_text) for pattern, limit in _LARGEST)


def _small_cpu_options(xla):
    """What small programs are compiled with on CPU."""
    if xla.JAXLIB_VERSION < (0, 11):
        return {"xla_cpu_use_fusion_emitters": False}
    # Later releases have no other emitters.
    return {}


def compile_options(devices, options=None, *, small=False, num_replicas=1, num_partitions=1):
    """jaxlib's CompileOptions for a program on the given devices, `options` being XLA's flags by name."""
    import numpy as np

    from . import xla

    out = xla.jaxlib.CompileOptions()
    out.num_replicas = num_replicas
    out.num_partitions = num_partitions
    build = out.executable_build_options
    build.num_replicas = num_replicas
    build.num_partitions = num_partitions
    ids = np.array([device.id for device in devices]).reshape(num_replicas, num_partitions)
    build.device_assignment = xla.jaxlib.DeviceAssignment.create(ids)
    if num_partitions > 1:
        build.use_spmd_partitioning = True
        build.use_shardy_partitioner = True
    level = _OPTIMIZATION_LEVELS.get(runtime_options.optimization_level)
    if level is not None:
        build.optimization_level = level
    if runtime_options.disable_most_optimizations:
        build.debug_options.xla_backend_optimization_level = 0
        build.debug_options.xla_llvm_disable_expensive_passes = True
    overrides = dict(options or {})
    for field in _BUILD_FIELDS:
        if field in overrides and hasattr(build, field):
            setattr(build, field, overrides.pop(field))
    if small and devices[0].platform == "cpu":
        flags = os.environ.get("XLA_FLAGS", "")
        for name, value in _small_cpu_options(xla).items():
            if name not in flags:
                overrides.setdefault(name, value)
    if overrides:
        out.env_option_overrides = list(overrides.items())
    return out


def register_lapack():
    """Makes XLA:CPU know jaxlib's LAPACK kernels, the targets `lapack_*_ffi`. Loads SciPy, whose LAPACK it is."""
    global _lapack_ready
    if _lapack_ready:
        return
    with _lapack_lock:
        if _lapack_ready:
            return
        from jaxlib import lapack

        for name, target, api_version in lapack.registrations()["cpu"]:
            register_custom_call_target(name, target, "cpu", api_version)
        # Any name will do: this loads the library for all of them.
        import numpy as np

        lapack.prepare_lapack_call("potrf", np.dtype("float32"))
        _lapack_ready = True


def register_custom_call_target(name, target, platform="cpu", api_version=1):
    """Makes a C function (a PyCapsule) known to XLA under a name, for `stablehlo.custom_call`.

    Raises JaxRuntimeError when the name stands for another function already.
    """
    from . import xla

    xla.xla_client.register_custom_call_target(name, target, platform, api_version)


def compile(
    module_text,
    devices,
    options=None,
    *,
    small=None,
    num_replicas=1,
    num_partitions=1,
    keep_alive=(),
    host_callbacks=(),
    name="module",
):
    """Compiles a StableHLO module (text, str or bytes) and loads it onto devices; or finds it in the persistent cache.

    `small=False` says that a program is not to be compiled as a small one (see above), whatever `is_small` says.
    Objects in `keep_alive` live as long as the executable, and so do `host_callbacks`, the Python functions that the
    program calls by their index; programs with any are not cached on disk, since they refer to this process. Releases
    the GIL: several threads compile at once.

    Returns jaxlib's LoadedExecutable. Raises JaxRuntimeError for a module that does not parse or compile, or an option
    that XLA does not know.
    """
    from . import xla

    start = time.perf_counter()
    if isinstance(module_text, str):
        module_text = module_text.encode()
    small = small is not False and is_small(module_text)
    client = devices[0].client
    if b"lapack_" in module_text and client.platform == "cpu":
        register_lapack()
    settings = compile_options(devices, options, small=small, num_replicas=num_replicas, num_partitions=num_partitions)
    device_list = xla.jaxlib.DeviceList(tuple(devices))
    key = None
    if not keep_alive and not host_callbacks and cache.is_enabled():
        key = cache.key(name, module_text, devices, settings)
        executable = cache.load(key, client, device_list, settings)
        if executable is not None:
            statistics.loads += 1
            statistics.seconds += time.perf_counter() - start
            return executable
    if host_callbacks:
        module = callbacks.module(module_text, client.platform)
        executable = client.compile_and_load(module, device_list, settings, list(host_callbacks))
    else:
        executable = client.compile_and_load(module_text, device_list, settings)
    for value in keep_alive:
        executable.keep_alive(value)
    seconds = time.perf_counter() - start
    statistics.compilations += 1
    statistics.seconds += seconds
    if key is not None:
        cache.store(key, client, executable, seconds)
    return executable


def serialize(executable):
    """A loaded executable as bytes, for `deserialize` in a process with the same jaxlib and kind of device."""
    return executable.client.serialize_executable(executable)


def deserialize(data, devices, options=None, *, num_replicas=1, num_partitions=1):
    """Loads what `serialize` returned. Raises JaxRuntimeError if the bytes are no executable of this jaxlib."""
    from . import xla

    settings = compile_options(devices, options, num_replicas=num_replicas, num_partitions=num_partitions)
    device_list = xla.jaxlib.DeviceList(tuple(devices))
    return devices[0].client.deserialize_executable(data, device_list, settings)


def hlo_text(executable):
    """The optimized HLO of an executable, as text."""
    return "\n\n".join(module.to_string() for module in executable.hlo_modules())


def unoptimized_hlo_text(module_text):
    """A StableHLO module as the HLO that XLA starts from."""
    from . import xla

    return xla.jaxlib.mlir.mlir_module_to_xla_computation(module_text).as_hlo_text()


def unoptimized_cost_analysis(module_text, client):
    """XLA's estimate of what a run of a StableHLO module costs, before it is optimized for the platform of a client."""
    from . import xla

    computation = xla.jaxlib.mlir.mlir_module_to_xla_computation(module_text)
    return dict(xla.jaxlib.hlo_module_cost_analysis(client, computation.get_hlo_module()))


def cost_analysis(executable):
    """XLA's estimate of what a run costs: `flops`, `bytes accessed`, ...; None where the platform makes none."""
    from . import xla

    try:
        return dict(executable.cost_analysis())
    except xla.JaxRuntimeError as error:
        if "UNIMPLEMENTED" in str(error):
            return None
        raise


def memory_analysis(executable):
    """The sizes of arguments, outputs, temporaries and code (jaxlib's CompiledMemoryStats); None where not known."""
    from . import xla

    try:
        return executable.get_compiled_memory_stats()
    except xla.JaxRuntimeError as error:
        if "UNIMPLEMENTED" in str(error):
            return None
        raise
