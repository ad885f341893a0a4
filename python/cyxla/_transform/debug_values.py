"""`jax_debug_nans` and `jax_debug_infs`: which operation made the first NaN or infinity.

The engine hands over results when one of the options is on. A compiled function that returned such a value is run
again, one operation after the other, to find the one that made it.
"""

import numpy as np

from cyxla._core.config import config
from cyxla._engine.array import ArrayImpl
from cyxla._transform.jaxprs import bind_equation, interpret
from cyxla._transform.jit import jit_p


def _found(array):
    """'nan' or 'inf', if the options ask for what is in an array."""
    dtype = array.dtype
    if hasattr(dtype, "physical_shape") or array.is_deleted():
        return None
    value = np.asarray(array)
    if dtype.kind in "biu" or dtype.names is not None or (value.dtype.kind == "V" and not _is_float(value)):
        return None
    if config.jax_debug_nans and np.isnan(value).any():
        return "nan"
    if config.jax_debug_infs and np.isinf(value).any():
        return "inf"
    return None


def _is_float(value):
    try:
        np.isnan(value.reshape(-1)[:0])
    except TypeError:
        return False
    return True


def check(primitive, params, args, results):
    """Raises FloatingPointError for results with a NaN or infinity that is asked for.

    `primitive` is None for an array made of a value of the user's.
    """
    kind = next(filter(None, map(_found, results)), None)
    if kind is not None and primitive is None:
        raise FloatingPointError(f"invalid value ({kind}) among the elements of a new array")
    if kind is None or primitive.name == "broadcast_in_dim":
        # What is spread out was there before: often one branch of a selection, as the NaN that a quantile of NaNs is.
        return
    if primitive is not jit_p:
        raise FloatingPointError(f"invalid value ({kind}) encountered in {primitive.name}")
    closed = params["jaxpr"]
    reason = "its arguments were donated, so that it cannot be run again to see which operation made it"
    if not any(isinstance(a, ArrayImpl) and a.is_deleted() for a in args):
        _run(closed.jaxpr, closed.consts, args)
        reason = "run one operation after the other it gives none, so the compiler's optimizations make it"
    raise FloatingPointError(f"invalid value ({kind}) encountered in the compiled function {params['name']}: {reason}")


def _run(jaxpr, consts, args):
    """Evaluates a jaxpr; the error of the operation that fails gets the line of the user's that wrote it."""

    def apply(eqn, operands):
        try:
            return bind_equation(eqn, operands)
        except FloatingPointError as error:
            if eqn.source is None or ", at " in str(error):
                raise
            file, line, function = eqn.source
            raise FloatingPointError(f"{error}, at {file}:{line} ({function.rpartition('.')[2]})") from None

    interpret(jaxpr, consts, args, apply)
