"""Packages that load their modules when a name of one is first asked for, so that importing them costs little."""

import importlib
import sys


def later(package, names_by_module, modules=()):
    """`__getattr__` and `__dir__` of a package, as PEP 562 has them.

    Args:
      package: its `__name__`.
      names_by_module: module, relative to the package -> the names it gives, separated by spaces. No module may have
        the name of a function of the package: importing it would take that name.
      modules: names of modules that are public themselves.
    """
    namespace = vars(sys.modules[package])
    module_of = {name: module for module, names in names_by_module.items() for name in names.split()}

    def __getattr__(name):
        module = module_of.get(name)
        if module is not None:
            value = getattr(importlib.import_module(f"{package}.{module}"), name)
        elif name in modules:
            value = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        namespace[name] = value
        return value

    def __dir__():
        return sorted({*namespace, *module_of, *modules})

    return __getattr__, __dir__
