"""What the runtime may be told before it starts, as plain attributes.

`cyxla.config` writes here when an option changes, so that the runtime depends on no module above it. Each has the
name of jax's option without its `jax_` prefix, and takes its default from the environment variable that jax reads.
"""

import os


def _flag(name, default):
    value = os.environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in ("1", "true", "yes", "on", "y", "t"):
        return True
    if value in ("0", "false", "no", "off", "n", "f"):
        return False
    raise ValueError(f"environment variable {name} must be a truth value such as 'true' or '0', not {value!r}")


def _number(name, default, kind=int):
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"environment variable {name} must be a number, not {value!r}") from None


class Options:
    """The options of the runtime; one instance, `options`, serves the process."""

    __slots__ = (
        "compilation_cache_dir",
        "compilation_cache_max_size",
        "cpu_enable_async_dispatch",
        "disable_most_optimizations",
        "enable_compilation_cache",
        "num_cpu_devices",
        "optimization_level",
        "persistent_cache_min_compile_time_secs",
        "persistent_cache_min_entry_size_bytes",
        "platforms",
        "raise_persistent_cache_errors",
    )

    def __init__(self):
        self.platforms = os.environ.get("JAX_PLATFORMS", "").strip().lower() or None
        self.num_cpu_devices = _number("JAX_NUM_CPU_DEVICES", -1)
        self.cpu_enable_async_dispatch = _flag("JAX_CPU_ENABLE_ASYNC_DISPATCH", True)
        self.disable_most_optimizations = _flag("JAX_DISABLE_MOST_OPTIMIZATIONS", False)
        self.optimization_level = os.environ.get("JAX_OPTIMIZATION_LEVEL", "UNKNOWN").strip().upper()
        self.enable_compilation_cache = _flag("JAX_ENABLE_COMPILATION_CACHE", True)
        self.compilation_cache_dir = os.environ.get("JAX_COMPILATION_CACHE_DIR") or None
        self.compilation_cache_max_size = _number("JAX_COMPILATION_CACHE_MAX_SIZE", -1)
        self.persistent_cache_min_compile_time_secs = _number("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", 1.0, float)
        self.persistent_cache_min_entry_size_bytes = _number("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", 0)
        self.raise_persistent_cache_errors = _flag("JAX_RAISE_PERSISTENT_CACHE_ERRORS", False)


options = Options()
