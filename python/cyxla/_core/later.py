"""Packages that load their modules when a name of one is first asked for, so that importing them costs little."""

import importlib
import sys

# The name by which a package holds what it would load, and has not yet.
LATER = "_names_for_later"


def later(package, names_by_module, modules=()):
    """`__getattr__` and `__dir__` of a package, as PEP 562 has them.

    Args:
      package: its `__name__`.
      names_by_module: module, relative to the package -> the names it gives, separated by spaces. No module may have
        the name of a function of the package: importing it would take that name.
      modules: names of modules that are public themselves.
    """
    namespace = vars(sys.modules[package])
    later = {name: f"{package}.{module}" for module, names in names_by_module.items() for name in names.split()}
    submodules = {name: f"{package}.{name}" for name in modules}
    everything = {*later, *submodules}
    namespace[LATER] = {**later, **submodules}

    def __getattr__(name):
        module = later.get(name)
        if module is not None:
            value = getattr(importlib.import_module(module), name)
        elif name in submodules:
            value = importlib.import_module(submodules[name])
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        namespace[name] = value
        namespace[LATER].pop(name, None)
        return value

    def __dir__():
        return sorted({*namespace, *everything})

    return __getattr__, __dir__
