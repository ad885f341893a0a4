"""Whether eager operations may run on the host, without XLA, and which device their results are on."""

from . import backend, plugins
from .options import options

_release = None


def inexact_dtypes():
    """Names of dtypes whose arithmetic the host kernels do not do as this release of jaxlib does.

    Since 0.11 XLA:CPU keeps denormals and the payloads of NaNs in bfloat16. The release is read from a file: jaxlib
    must not be loaded for it.
    """
    global _release
    if _release is None:
        import importlib.util
        import os
        import re

        (folder,) = importlib.util.find_spec("jaxlib").submodule_search_locations
        with open(os.path.join(folder, "version.py")) as file:
            numbers = re.search(r"^_version\s*=\s*[\"'](\d+)\.(\d+)", file.read(), re.MULTILINE).groups()
        _release = tuple(map(int, numbers))
    return () if _release < (0, 11) else ("bfloat16",)


def state():
    """None where operations are left to XLA, else their results' device, which is a CPU, and `inexact_dtypes()`.

    The device is None, the default one, as long as no client has been started: knowing that it will be a CPU is enough,
    and starting one takes longer than all else that a short program does.
    """
    if not backend.is_started() and not backend.has_chosen_device():
        if options.platforms != "cpu" and (options.platforms or plugins.names()):
            return None
        return None, inexact_dtypes()
    device = backend.default_device()
    return (device, inexact_dtypes()) if device.platform == "cpu" else None
