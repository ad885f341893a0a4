"""Transfer guards: what the options `jax_transfer_guard_*` say about moving data between host and devices.

A number or NumPy array that becomes an array outside of a trace counts as a transfer to a device, whether or not the
bytes have to move: on CPU they do not. Reading an array on the host is one only where they do.
"""

import logging
import threading

from cyxla._engine.config import get_by_name

logger = logging.getLogger("cyxla")

_REASONS = {
    "host_to_device": "put it on the device by cyxla.device_put before",
    "device_to_host": "read it by cyxla.device_get",
    "device_to_device": "move it by cyxla.device_put before",
}
_thread = threading.local()


class Explicit:
    """`with explicit:` marks the transfers of this thread as asked for."""

    def __enter__(self):
        _thread.depth = getattr(_thread, "depth", 0) + 1

    def __exit__(self, *exc_info):
        _thread.depth -= 1


explicit = Explicit()


def check(direction, value):
    """Logs or refuses a transfer, as the guard of its direction asks. Raises JaxRuntimeError."""
    level = get_by_name(f"jax_transfer_guard_{direction}")
    if level in (None, "allow"):
        return
    if getattr(_thread, "depth", 0) and not level.endswith("_explicit"):
        return
    what = f"{direction.replace('_', '-')} transfer of {_describe(value)}"
    if level.startswith("log"):
        logger.warning(what)
        return
    from . import xla

    advice = "" if level.endswith("_explicit") else f"; {_REASONS[direction]}, or allow it"
    raise xla.JaxRuntimeError(f"INVALID_ARGUMENT: disallowed {what}: jax_transfer_guard_{direction} is {level}{advice}")


def _describe(value):
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    return repr(value)
