"""Checks that the functions of nn share."""

import cyxla.numpy as jnp
from cyxla._engine.array import asarray
from cyxla.lax._util import kind_of


def operand(name, x, position=0):
    """x as an array; TypeError for lists and other things that are not arrays or numbers."""
    if isinstance(x, (list, tuple)):
        raise TypeError(f"{name} requires ndarray or scalar arguments, got {type(x)} at position {position}.")
    return asarray(x)


def inexact(x):
    """x, converted to the default float dtype if it is of integers or booleans."""
    return x if kind_of(x.aval) in "fc" else x.astype(jnp.result_type(x, float))
