"""Clients, one a platform, and their devices.

A client is made at the first question about its devices and lives until `clear_backends`. Devices are jaxlib's own
objects; each knows its client (`device.client`).
"""

import threading

from . import plugins
from .options import options

_lock = threading.RLock()
_clients: dict = {}
_failures: dict = {}
_default: list = []
_factories: dict = {}


def _chosen_device():
    return None


# What a user may call a platform, and the names that plugins register under.
ALIASES = {"gpu": ("cuda", "rocm"), "cuda": ("cuda",), "rocm": ("rocm",)}


def _make_cpu_client():
    from . import xla

    # The handlers pass on custom call targets registered through jaxlib before this client or after it.
    xla.xla_client.register_custom_call_handler("cpu", xla.jaxlib.register_custom_call_target)
    xla.xla_client.register_custom_type_handler("cpu", xla.jaxlib.register_custom_type)
    count = options.num_cpu_devices
    return xla.jaxlib.get_tfrt_cpu_client(
        asynchronous=options.cpu_enable_async_dispatch, num_devices=count if count > 0 else None
    )


def _requested_platforms():
    """Platforms in order of preference, and whether the user named them (then each must start)."""
    if options.platforms:
        names = []
        for name in options.platforms.split(","):
            name = name.strip().lower()
            if name in ALIASES:
                known = [alias for alias in ALIASES[name] if plugins.find(alias)]
                names.extend(known or ALIASES[name][:1])
            elif name:
                names.append(name)
        return names, True
    preferred = [name for name, (_, priority) in _factories.items() if priority > 0]
    preferred.sort(key=lambda name: -_factories[name][1])
    return [*preferred, *plugins.names(), "cpu"], False


def register_factory(platform, factory, priority):
    """Makes `factory()` give the client of a platform; with a positive priority it is preferred to plugins and CPU."""
    if platform in _clients:
        raise RuntimeError(f"the platform {platform!r} has started already; register its factory before")
    _factories[platform] = (factory, priority)


def _start(platform):
    """The client of one platform, made now if need be; RuntimeError if it does not start."""
    client = _clients.get(platform)
    if client is not None:
        return client
    with _lock:
        client = _clients.get(platform)
        if client is None:
            if platform in _factories:
                client = _factories[platform][0]()
                if client is None:
                    raise RuntimeError(f"the factory of the platform {platform!r} gave no client")
            elif platform == "cpu":
                client = _make_cpu_client()
            else:
                client = plugins.make_client(platform)
            if client.device_count() == 0:
                raise RuntimeError(f"platform {platform!r} has started but has no devices")
            _clients[platform] = client
    return client


def _default_client():
    if _default:
        return _default[0]
    with _lock:
        if _default:
            return _default[0]
        platforms, explicit = _requested_platforms()
        for platform in platforms:
            try:
                client = _start(platform)
            except Exception as error:
                if explicit:
                    raise RuntimeError(
                        f"the platform {platform!r} could not be started: {error} (JAX_PLATFORMS or the option "
                        f"'jax_platforms' asks for {options.platforms!r}; set it to '' to choose what is available)"
                    ) from error
                _failures[platform] = str(error)
                continue
            if not _default:
                _default.append(client)
            if not explicit:
                break
        if not _default:
            raise RuntimeError(f"no platform could be started; tried {platforms}: {_failures}")
        return _default[0]


def get_client(platform=None):
    """The client of a platform (`"cpu"`, `"gpu"`, `"cuda"`, ...; None for the default one).

    Raises RuntimeError when the platform is unknown, is excluded by JAX_PLATFORMS, or fails to start.
    """
    if platform is None:
        return _default_client()
    if not isinstance(platform, str):
        # A client stands for itself, as in `devices(backend=client)`.
        return platform
    client = _clients.get(platform)
    if client is not None:
        return client
    wanted = ALIASES.get(platform, (platform,))
    requested, explicit = _requested_platforms()
    for name in wanted:
        if name == "cpu" and not explicit:
            return _start("cpu")
        if name in requested or name in _factories:
            try:
                return _start(name)
            except RuntimeError as error:
                if len(wanted) == 1:
                    raise RuntimeError(f"the platform {platform!r} could not be started: {error}") from error
                _failures[name] = str(error)
    reasons = "".join(f" ({name}: {why})" for name, why in _failures.items() if name in wanted)
    raise RuntimeError(f"no devices of platform {platform!r}.{reasons} Available: {', '.join(_present())}")


def _present():
    _default_client()
    _, explicit = _requested_platforms()
    return sorted(_clients) if explicit else sorted({*_clients, "cpu"})


def clients():
    """The clients started so far, by platform."""
    return dict(_clients)


def is_started():
    """Whether any client exists yet."""
    return bool(_clients)


def devices(backend=None):
    """All devices of a backend, those of other processes included.

    Raises RuntimeError for an unknown backend.
    """
    return get_client(backend).devices()


def local_devices(process_index=None, backend=None, host_id=None):
    """The devices of one process, this one by default.

    Raises ValueError for a process that does not exist, RuntimeError for an unknown backend.
    """
    if host_id is not None:
        process_index = host_id
    client = get_client(backend)
    if process_index is None:
        process_index = client.process_index()
    found = [device for device in client.devices() if device.process_index == process_index]
    if not found and process_index not in {device.process_index for device in client.devices()}:
        raise ValueError(f"there is no process with index {process_index}")
    return found


def device_count(backend=None):
    """The number of devices of a backend, those of other processes included."""
    return get_client(backend).device_count()


def local_device_count(backend=None):
    """The number of devices of a backend that belong to this process."""
    return get_client(backend).local_device_count()


def default_backend():
    """The platform that computations run on when nothing else is asked for: `"cpu"`, `"gpu"`, `"tpu"`."""
    return public_platform(_default_client())


def public_platform(client):
    """A client's platform as users name it: any GPU is `"gpu"`."""
    name = client.platform
    return "gpu" if name in ("cuda", "rocm") else name


def lowering_platform(device=None):
    """The platform of a device (None: the default one), as programs are lowered for: cpu, cuda, rocm, tpu..."""
    return (device if device is not None else default_device()).client.platform


def process_index(backend=None):
    """The index of this process among those that compute together."""
    return get_client(backend).process_index()


def process_count(backend=None):
    """The number of processes that compute together."""
    return max(device.process_index for device in get_client(backend).devices()) + 1


def process_indices(backend=None):
    """The indices of all processes that compute together."""
    return list(range(process_count(backend)))


def host_count(backend=None):
    """Another name of `process_count`."""
    return process_count(backend)


def host_id(backend=None):
    """Another name of `process_index`."""
    return process_index(backend)


def default_device():
    """The device that new arrays are put on: the one that the user chose, else the first of the default backend."""
    device = _chosen_device()
    if device is not None:
        return local_devices(backend=device)[0] if isinstance(device, str) else device
    return _default_client().local_devices()[0]


def has_chosen_device():
    """Whether the user has said which device new arrays are put on."""
    return _chosen_device() is not None


def install_default_device(chosen):
    """Sets the function that says what the user chose: a device, the name of a platform, or None."""
    global _chosen_device
    _chosen_device = chosen


def clear_backends():
    """Drops every client, so that the next use starts afresh. Arrays and executables of the old ones stay valid."""
    from cyxla._engine import host

    from . import buffers

    with _lock:
        _clients.clear()
        _failures.clear()
        _default.clear()
        buffers.forget_targets()
        host.forget()


def runtime_error_class():
    """The class of errors that XLA raises: `jax.errors.JaxRuntimeError`."""
    from . import xla

    return xla.JaxRuntimeError


def client_class():
    """The class of clients."""
    from . import xla

    return xla.jaxlib.Client


def runtime_versions():
    """Release numbers of what runs below: jaxlib, and the platform's own text for each started client."""
    from . import xla

    return {"jaxlib": xla.JAXLIB_VERSION, **{name: client.platform_version for name, client in _clients.items()}}
