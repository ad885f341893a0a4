"""Arguments of special functions: arrays of one inexact dtype, and of one that is wide enough to compute in."""

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla.lax._util import check_arrays, check_kind
from cyxla.numpy.promotion import promote_inexact


def arrays(name, *args):
    """Arguments as arrays of one inexact dtype; TypeError for lists and other things that are not arrays."""
    check_arrays(name, *args)
    return promote_inexact(*args)


def real_arrays(name, *args):
    """Arguments broadcast together in float32 or float64, and the dtype of the result. ValueError for complex ones."""
    args = arrays(name, *args)
    check_kind(name, args[0].aval, "f", error=ValueError)
    dtype = args[0].dtype
    wide = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float32)
    return dtype, [lax.convert_element_type(x, wide) for x in jnp.broadcast_arrays(*args)]


def constant(x, value):
    """A number in the dtype of an array, and without weak type."""
    return np.asarray(value, x.dtype)
