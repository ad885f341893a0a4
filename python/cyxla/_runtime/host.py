"""Whether eager operations may run on the host, without XLA, and which device their results are on."""

from . import backend, plugins
from .options import options


def state():
    """None where operations are left to XLA, else a tuple of the device of their results, which is a CPU.

    The device is None, the default one, as long as no client has been started: knowing that it will be a CPU is enough,
    and starting one takes longer than all else that a short program does.
    """
    if not backend.is_started() and not backend.has_chosen_device():
        if options.platforms != "cpu" and (options.platforms or plugins.names()):
            return None
        return (None,)
    device = backend.default_device()
    return (device,) if device.platform == "cpu" else None
