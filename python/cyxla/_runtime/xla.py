"""jaxlib itself: the one module that imports it, and what differs between its releases.

Import this module inside functions, never at the top of another module: it loads jaxlib.
"""

import contextlib
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
finally:
    if _chosen_log_level is None:
        os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)

JAXLIB_VERSION = tuple(int(part) for part in _version.__version__.split(".")[:3])
JaxRuntimeError = jaxlib.JaxRuntimeError
_REPLICATED = hlo.HloSharding.replicate()


class BufferSharding(jaxlib.SingleDeviceSharding):
    """The sharding of every buffer we make: jaxlib's own, and what it looks up on the one that jax derives from it."""

    memory_kind = None

    def _to_xla_hlo_sharding(self, ndim):
        return _REPLICATED


if JAXLIB_VERSION < (0, 11):

    def result_handler(aval, sharding):
        # Without the checks off, 0.10 asks the sharding for a Python-side hash and device set.
        return jaxlib.array_result_handler(aval, sharding, True, _skip_checks=True)

else:

    def result_handler(aval, sharding):
        return jaxlib.array_result_handler(aval, sharding, True)


class _JaxBlocker:
    """Makes `import jax` fail in a thread that is inside `without_jax`, and only there.

    Some jaxlib functions import jax by name to make an aval that we have no use for; where jax is installed, that
    would silently load it, and where it is not they go on without. Either way they return what we want.
    """

    def __init__(self):
        self.blocked = threading.local()

    def find_spec(self, name, path=None, target=None):
        if (name == "jax" or name.startswith("jax.")) and getattr(self.blocked, "depth", 0):
            raise ModuleNotFoundError(f"jaxlib was kept from importing {name}", name=name)
        return None


_blocker = _JaxBlocker()
sys.meta_path.insert(0, _blocker)


@contextlib.contextmanager
def without_jax():
    """While inside, jaxlib's attempts to import jax fail (unless it is imported already, when they are harmless)."""
    local = _blocker.blocked
    local.depth = getattr(local, "depth", 0) + 1
    try:
        yield
    finally:
        local.depth -= 1
