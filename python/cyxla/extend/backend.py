"""Clients of XLA's platforms."""

from cyxla._runtime import backend as _backend
from cyxla._runtime import compiler as _compiler


def get_backend(platform=None):
    """The client of a platform, the default one if None.

    Raises RuntimeError when the platform is unknown or fails to start.
    """
    return _backend.get_client(platform)


def backends():
    """The clients by platform, the default one among them."""
    _backend.get_client()
    return _backend.clients()


def get_default_device():
    """The device that new arrays are put on."""
    return _backend.default_device()


def backend_xla_version(platform=None):
    """The version of XLA that a platform's plugin was built with; None where the platform is no plugin."""
    client = _backend.get_client(platform)
    version = getattr(client, "platform_xla_version", None)
    return version if isinstance(version, int) else None


def register_backend_factory(
    name, factory, *, priority=0, fail_quietly=True, experimental=False, make_topology=None, c_api=None
):
    """Makes a function without arguments give the client of a platform.

    Args:
      name: the platform.
      factory: returns jaxlib's client.
      priority: where positive, the platform is the default one if it starts, before those of lower priority.
      fail_quietly, experimental, make_topology, c_api: accepted; a platform that nobody asked for by its name always
        fails quietly.

    Raises RuntimeError when the platform has started already.
    """
    _backend.register_factory(name, factory, priority)


_caches: list = []


def register_backend_cache(cache, for_what):
    """Has `cache.cache_clear()` called whenever the clients are dropped."""
    _caches.append(cache)


def clear_in_memory_compilation_cache():
    """Drops every program compiled so far; they are compiled again when needed."""
    from cyxla._transform.caches import clear_caches

    clear_caches()


def clear_backends(_crash=False):
    """Drops every client, and the programs compiled for it, so that the next use starts afresh."""
    clear_in_memory_compilation_cache()
    for cache in _caches:
        cache.cache_clear()
    _backend.clear_backends()


def get_compile_options(
    num_replicas,
    num_partitions,
    device_assignment=None,
    env_options_overrides=None,
    fdo_profile=None,
    detailed_logging=True,
    backend=None,
):
    """The options to compile a program with, for `num_replicas` copies of `num_partitions` devices each.

    Args:
      device_assignment: the numbers of the devices, by default the first ones.
      env_options_overrides: options of XLA by name.
      fdo_profile: a profile to compile with.
      backend: the client whose devices are meant.
    """
    options = dict(env_options_overrides or {})
    if fdo_profile is not None:
        options["fdo_profile"] = fdo_profile
    devices = _backend.devices(backend)
    wanted = num_replicas * num_partitions
    if device_assignment is not None:
        import numpy as np

        by_number = {device.id: device for device in devices}
        devices = [by_number[int(i)] for i in np.asarray(device_assignment).reshape(-1)]
    if len(devices) < wanted:
        raise ValueError(f"get_compile_options: {wanted} devices are needed, there are {len(devices)}")
    return _compiler.compile_options(
        devices[:wanted], options, num_replicas=num_replicas, num_partitions=num_partitions
    )
