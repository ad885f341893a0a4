"""PJRT plugins: accelerators whose support comes as a separate package.

Packages for jax put a module under the namespace package `jax_plugins`, or announce one by an entry point of that
group, whose `initialize()` registers the plugin with jax. Calling it would import jax, so only the shared library
beside that module is looked for; nothing of the plugin's Python code runs. The environment variable
`PJRT_NAMES_AND_LIBRARY_PATHS` ("name:path,...") names others.
"""

import os
import sys

_found: dict | None = None

# Library files of the packages known so far, by the platform they serve.
_LIBRARIES = {
    "xla_cuda_plugin.so": "cuda",
    "xla_rocm_plugin.so": "rocm",
    "xla_oneapi_plugin.so": "oneapi",
    "libtpu.so": "tpu",
}
_VISIBLE_DEVICES = {
    "cuda": ("JAX_CUDA_VISIBLE_DEVICES",),
    "rocm": ("JAX_ROCM_VISIBLE_DEVICES",),
}
_PREFERENCE = ("tpu", "cuda", "rocm")


def _namespace_folders():
    """The folders of the modules under `jax_plugins`, found on the path without importing one."""
    # Loaded here, as it takes longer than the rest of an import of the package that has no plugins to look for.
    import pathlib

    for entry in sys.path:
        root = pathlib.Path(entry or ".") / "jax_plugins"
        if root.is_dir():
            yield from sorted(item for item in root.iterdir() if item.is_dir())


def _entry_point_folders():
    # importlib.metadata takes longer to load than the rest of this package.
    import importlib.machinery
    import importlib.metadata
    import pathlib

    for point in importlib.metadata.entry_points(group="jax_plugins"):
        # find_spec on a dotted name would import its parents; the finder of each level does not.
        path = None
        spec = None
        for part in point.module.split("."):
            spec = importlib.machinery.PathFinder.find_spec(part, path)
            if spec is None or spec.submodule_search_locations is None:
                break
            path = list(spec.submodule_search_locations)
        if spec is None:
            continue
        for folder in path or ():
            yield pathlib.Path(folder)
        if spec.origin:
            yield pathlib.Path(spec.origin).parent


def _platform_of(library, folder):
    """The platform that a library file serves, or None if it is no plugin."""
    if library.name in _LIBRARIES:
        return _LIBRARIES[library.name]
    stem = library.name.lower()
    if "pjrt" in stem and library.suffix in (".so", ".dylib", ".dll"):
        return folder.name.lower().removeprefix("xla_").removesuffix("_plugin")
    return None


def _discover():
    found = {}
    for item in filter(None, os.environ.get("PJRT_NAMES_AND_LIBRARY_PATHS", "").split(",")):
        name, separator, path = item.strip().partition(":")
        if not separator or not path:
            raise ValueError(f"PJRT_NAMES_AND_LIBRARY_PATHS must be a list 'name:path,...'; got the item {item!r}")
        found[name.lower()] = path
    for folder in [*_namespace_folders(), *_entry_point_folders()]:
        try:
            libraries = sorted(folder.iterdir())
        except OSError:
            continue
        for library in libraries:
            name = _platform_of(library, folder)
            if name is not None:
                found.setdefault(name, str(library))
    if "tpu" not in found:
        import importlib.util

        spec = importlib.util.find_spec("libtpu")
        if spec is not None and spec.origin:
            library = os.path.join(os.path.dirname(spec.origin), "libtpu.so")
            if os.path.exists(library):
                found["tpu"] = library
    return found


def _all():
    global _found
    if _found is None:
        _found = _discover()
    return _found


def names():
    """The platforms that plugins serve, the preferred ones first."""
    found = _all()
    return [name for name in _PREFERENCE if name in found] + sorted(set(found) - set(_PREFERENCE))


def find(name):
    """The path of a platform's shared library, or None."""
    return _all().get(name)


def _client_options(name, xla):
    if name not in ("cuda", "rocm"):
        return {}
    settings = xla.xla_client.generate_pjrt_gpu_plugin_options()
    settings["platform_name"] = name
    for variable in _VISIBLE_DEVICES[name]:
        visible = os.environ.get(variable, "").strip()
        if visible and visible != "all":
            settings["visible_devices"] = [int(index) for index in visible.split(",")]
    return settings


def make_client(name):
    """A client of a plugin's platform. RuntimeError if there is no such plugin or it finds no device."""
    from . import xla

    path = find(name)
    if path is None:
        raise RuntimeError(f"no plugin for platform {name!r} is installed")
    client = xla.xla_client
    if not client.pjrt_plugin_loaded(name):
        client.load_pjrt_plugin_dynamically(name, path)
    if not client.pjrt_plugin_initialized(name):
        client.initialize_pjrt_plugin(name)
    return client.make_c_api_client(name, _client_options(name, xla))
