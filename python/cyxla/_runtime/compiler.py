"""StableHLO text in, loaded executables out.

The policy on compile time: XLA:CPU spends most of a small program's compile time on setting up MLIR for its fusion
emitters; `small=True` leaves them out (same results, about half the time). What the user says, by `options` or by
XLA_FLAGS, always wins.
"""

import os

from .options import options as runtime_options


def _small_cpu_options(xla):
    """What small programs are compiled with on CPU, unless the user's own options say otherwise."""
    if xla.JAXLIB_VERSION < (0, 11):
        return {"xla_cpu_use_fusion_emitters": False}
    # Later releases have no other emitters.
    return {}


def compile_options(devices, options=None, *, small=False, num_replicas=1, num_partitions=1):
    """jaxlib's CompileOptions for a program on the given devices.

    Raises JaxRuntimeError (at compilation) for an option that XLA does not know.
    """
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
    if runtime_options.disable_most_optimizations:
        build.debug_options.xla_backend_optimization_level = 0
        build.debug_options.xla_llvm_disable_expensive_passes = True
    overrides = dict(options or {})
    if small and devices[0].platform == "cpu":
        flags = os.environ.get("XLA_FLAGS", "")
        for name, value in _small_cpu_options(xla).items():
            if name not in flags:
                overrides.setdefault(name, value)
    if overrides:
        out.env_option_overrides = list(overrides.items())
    return out


def compile(module_text, devices, options=None, *, small=False, num_replicas=1, num_partitions=1):
    """Compiles a StableHLO module (text, str or bytes) and loads it onto devices. Releases the GIL.

    Returns jaxlib's LoadedExecutable. Raises JaxRuntimeError for a module that does not parse or compile.
    """
    from . import xla

    if isinstance(module_text, str):
        module_text = module_text.encode()
    device_list = xla.jaxlib.DeviceList(tuple(devices))
    settings = compile_options(devices, options, small=small, num_replicas=num_replicas, num_partitions=num_partitions)
    return devices[0].client.compile_and_load(module_text, device_list, settings)
