"""Checks that the functions of nn share."""

import cyxla.numpy as jnp
from cyxla._engine.array import asarray
from cyxla.lax._util import check_arrays, kind_of


def operand(name, x, position=0):
    """x as an array; TypeError for lists and other things that are not arrays or numbers."""
    check_arrays(name, x, first=position)
    return asarray(x)


def inexact(x):
    """x, converted to the default float dtype if it is of integers or booleans."""
    return x if kind_of(x.aval) in "fc" else x.astype(jnp.result_type(x, float))
