"""Abstract values, tracers and the evaluation of jaxprs. More for libraries is in `cyxla.extend.core`."""

import abc
import warnings
from contextlib import contextmanager
from typing import Any, Union

from cyxla._engine.aval import ShapedArray
from cyxla._engine.core import Literal, Trace, Tracer, Var, using_trace
from cyxla._engine.core import eval_jaxpr as _eval_jaxpr
from cyxla._transform.compile_time import ensure_compile_time_eval

Atom = Union[Var, Literal]  # noqa: UP007
ParamDict = dict[str, Any]
Value = Any


class AbstractValue(abc.ABC):  # noqa: B024
    """What is known of values without computing them: the class above `ShapedArray`."""


AbstractValue.register(ShapedArray)


def eval_jaxpr(jaxpr, consts, *args, propagate_source_info=True):
    """Evaluates a jaxpr, equation by equation; returns the list of its results.

    Args:
      jaxpr: a `Jaxpr`.
      consts: values of its constvars.
      args: values of its invars.

    >>> import cyxla
    >>> closed = cyxla.make_jaxpr(lambda x: x * 2.0)(3.0)
    >>> eval_jaxpr(closed.jaxpr, closed.consts, 4.0)
    [Array(8., dtype=float32, weak_type=True)]
    """
    return _eval_jaxpr(jaxpr, consts, args)


@contextmanager
def eval_context():
    """Under it, operations on arrays are evaluated at once, also while a function is traced."""
    with using_trace(None):
        yield


def max_dim(d1, d2):
    """The larger of two sizes of dimensions."""
    return d1 if d1 >= d2 else d2


def min_dim(d1, d2):
    """The smaller of two sizes of dimensions."""
    return d1 if d1 <= d2 else d2


def _is_constant_dim(d):
    return isinstance(d, int)


def _is_constant_shape(s):
    return all(map(_is_constant_dim, s))


def _is_concrete(x):
    return not isinstance(x, Tracer)


# Names that libraries still use; they belong to `cyxla.extend.core`.
_MOVED = {
    "CallPrimitive", "ClosedJaxpr", "DebugInfo", "DropVar", "Effect", "Effects", "InconclusiveDimensionOperation",
    "Jaxpr", "JaxprEqn", "JaxprTypeError", "Primitive", "Token", "TraceTag", "abstract_token", "array_types",
    "check_jaxpr", "concrete_or_error", "find_top_trace", "gensym", "get_opaque_trace_state", "jaxpr_as_fun",
    "jaxprs_in_params", "mapped_aval", "new_jaxpr_eqn", "no_effects", "nonempty_axis_env_DO_NOT_USE",
    "primal_dtype_to_tangent_dtype", "set_current_trace", "subjaxprs", "take_current_trace",
    "unmapped_aval", "unsafe_am_i_under_a_jit_DO_NOT_USE", "unsafe_am_i_under_a_vmap_DO_NOT_USE",
    "unsafe_get_axis_names_DO_NOT_USE", "valid_jaxtype",
}  # fmt: skip
_HERE = {
    "is_concrete": _is_concrete,
    "is_constant_dim": _is_constant_dim,
    "is_constant_shape": _is_constant_shape,
    "OutputType": Any,
}


def __getattr__(name):
    if name in _HERE:
        found = _HERE[name]
    elif name in _MOVED:
        from cyxla.extend import core as extended

        found = getattr(extended, name)
    else:
        raise AttributeError(f"module 'cyxla.core' has no attribute {name!r}")
    place = "" if name in _HERE else f"; use cyxla.extend.core.{name}"
    warnings.warn(f"cyxla.core.{name} is kept for older programs{place}", DeprecationWarning, stacklevel=2)
    return found


__all__ = [
    "AbstractValue",
    "Atom",
    "ParamDict",
    "ShapedArray",
    "Trace",
    "Tracer",
    "Value",
    "ensure_compile_time_eval",
    "eval_context",
    "eval_jaxpr",
    "max_dim",
    "min_dim",
]
