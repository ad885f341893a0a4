"""What libraries built on Cyxla extend it with: primitives, jaxprs, generators of random bits, platforms."""

import importlib

_MODULES = ("backend", "core", "linear_util", "mlir", "random", "source_info_util")


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"cyxla.extend.{name}")
    raise AttributeError(f"module 'cyxla.extend' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_MODULES})
