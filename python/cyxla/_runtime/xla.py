"""jaxlib itself: the one module that imports it, and what differs between its releases.

Import this module inside functions, never at the top of another module: it loads jaxlib.
"""

import os
import sys
import threading

# jaxlib reads the level once, as it loads; at its default it writes INFO lines to stderr for each client. What the user
# has set stands, and child processes do not inherit what we set.
_chosen_log_level = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
if _chosen_log_level is None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"
try:
    from jaxlib import _hlo as hlo
    from jaxlib import _jax as jaxlib
    from jaxlib import version as _version
    from jaxlib import xla_client as xla_client
finally:
    if _chosen_log_level is None:
        os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)

JAXLIB_VERSION = tuple(int(part) for part in _version.__version__.split(".")[:3])
JaxRuntimeError = jaxlib.JaxRuntimeError
Device = jaxlib.Device
_REPLICATED = hlo.HloSharding.replicate()


def buffer_sharding(device):
    """The sharding of buffers on one device.

    A GSPMDSharding: `batched_device_put` asks a SingleDeviceSharding for Python attributes that only jax's has, and
    this one for none, which also makes it 0.5 us faster.
    """
    return jaxlib.GSPMDSharding(jaxlib.DeviceList((device,)), _REPLICATED)


def parse_module(text):
    """A StableHLO module of jaxlib's MLIR bindings, which load when they are first needed."""
    from jaxlib.mlir import ir
    from jaxlib.mlir._mlir_libs import _jax_mlir_ext
    from jaxlib.mlir.dialects import chlo, stablehlo

    registry = ir.DialectRegistry()
    _jax_mlir_ext.register_dialects(registry)
    context = ir.Context()
    context.append_dialect_registry(registry)
    chlo.register_dialect(context)
    stablehlo.register_dialect(context)
    context.load_all_available_dialects()
    return ir.Module.parse(text, context)


if JAXLIB_VERSION < (0, 11):

    def result_handler(aval, device):
        # Without the checks off, 0.10 asks the sharding for a Python-side hash and device set.
        return jaxlib.array_result_handler(aval, jaxlib.SingleDeviceSharding(device), True, _skip_checks=True)

    def numpy_value(buffer):
        """The value of a buffer of which there is no memoryview."""
        from . import buffers, dlpack, packed

        if buffers.device_of(buffer).platform != "cpu":
            with without_jax:
                return buffer._single_device_array_to_np_array_did_copy()[0]
        if packed.is_packed(buffer.aval.dtype):
            return packed.read(buffer)
        return dlpack.view_of_capsule(dlpack.to_dlpack(buffer), (dlpack.CPU, 0))

    def copy_to_host_async(buffer):
        """0.10 has no way that would not import jax; `device_to_host` then waits for the whole transfer."""

    def export_dlpack(buffer, stream, max_version):
        return jaxlib.buffer_to_dlpack_managed_tensor(buffer, stream)

else:

    def result_handler(aval, device):
        return jaxlib.array_result_handler(aval, jaxlib.SingleDeviceSharding(device), True)

    def numpy_value(buffer):
        """The value of a buffer of which there is no memoryview."""
        return buffer._to_np_array_did_copy()[0]

    def copy_to_host_async(buffer):
        jaxlib.batched_copy_to_host_async([buffer])

    def export_dlpack(buffer, stream, max_version):
        if max_version is None or max_version[0] < 1:
            return jaxlib.buffer_to_dlpack_managed_tensor(buffer, stream)
        return jaxlib.buffer_to_dlpack_managed_tensor(buffer, stream, max_version)


class _WithoutJax:
    """`with without_jax:` makes `import jax` fail in this thread, and only there.

    Some jaxlib functions import jax by name to make an aval that we have no use for. Where jax is installed, that would
    silently load it; where it is not, they go on without: either way they return what we want.

    A last resort: jaxlib remembers that the import failed, and jax itself, imported later, then gets arrays without
    avals from it (its DLPack import fails, for one). So nothing on the way of a CPU program uses this. Where the
    program has imported jax already, jaxlib finds it and no harm is done.
    """

    def __init__(self):
        self.local = threading.local()
        self.installed = False

    def __enter__(self):
        if not self.installed:
            self.installed = True
            sys.meta_path.insert(0, self)
        self.local.depth = getattr(self.local, "depth", 0) + 1

    def __exit__(self, *exc_info):
        self.local.depth -= 1

    def find_spec(self, name, path=None, target=None):
        if (name == "jax" or name.startswith("jax.")) and getattr(self.local, "depth", 0):
            raise ModuleNotFoundError(f"jaxlib was kept from importing {name}", name=name)
        return None


without_jax = _WithoutJax()
