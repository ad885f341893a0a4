"""Evaluation of single primitives, and the runtime's client class."""

from cyxla._engine.dispatch import apply_primitive as _apply


def apply_primitive(prim, *args, **params):
    """Evaluates a primitive on arrays, compiled by itself from its lowering rule.

    For `prim.def_impl(functools.partial(apply_primitive, prim))`.
    """
    return _apply(prim, *args, **params)


def __getattr__(name):
    if name == "Backend":
        from cyxla._runtime.backend import client_class

        return client_class()
    raise AttributeError(f"module 'cyxla.interpreters.xla' has no attribute {name!r}")
