"""The rules of primitives, for authors of libraries: differentiation, batching, partial evaluation, lowering."""

import importlib

_MODULES = ("ad", "batching", "mlir", "partial_eval", "pxla", "xla")


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"cyxla.interpreters.{name}")
    raise AttributeError(f"module 'cyxla.interpreters' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_MODULES})
