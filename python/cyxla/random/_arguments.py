"""Checks that samplers share: shapes, dtypes, and parameters that broadcast against the shape."""

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla.lax._util import canonicalize_shape, check_arrays
from cyxla.numpy.promotion import kind, requested_dtype


def sample_shape(shape) -> tuple:
    """A tuple of non-negative ints of a `shape` argument."""
    shape = canonicalize_shape(shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"shapes cannot have negative dimensions; got {shape}")
    return shape


def float_dtype(name: str, dtype):
    """The canonical dtype asked for, which must be a real floating one; None means the default."""
    dtype = requested_dtype(float if dtype is None else dtype)
    if kind(dtype) != "f":
        raise ValueError(f"dtype argument to `{name}` must be a float dtype, got {dtype}")
    return dtype


def int_dtype(dtype):
    """The canonical dtype asked for; None means the default integer dtype."""
    return requested_dtype(int if dtype is None else dtype)


def array_argument(name: str, value, position: int = 0) -> Array:
    """`value` as an array; TypeError for lists and other things that are not arrays or numbers."""
    check_arrays(name, value, first=position)
    return asarray(value)


def broadcast_shape(*shapes) -> tuple:
    """NumPy's broadcasting of shapes. Raises ValueError where there is none."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"Incompatible shapes for broadcasting: shapes={list(shapes)}") from None


def parameter_shape(name: str, shape, *parameters) -> tuple:
    """The shape of the samples: that of the parameters together, or the one given, to which they must broadcast."""
    shapes = [np.shape(p) for p in parameters]
    if shape is None:
        return broadcast_shape(*shapes)
    shape = sample_shape(shape)
    result = broadcast_shape(shape, *shapes)
    if result != shape:
        raise ValueError(
            f"{name} parameter shapes must be broadcast-compatible with shape argument, and the result of broadcasting "
            f"the shapes must equal the shape argument, but got result {result} for shape argument {shape}."
        )
    return shape


def full_rank(x: Array, rank: int) -> Array:
    """x with dimensions of size 1 in front; rank-0 arrays as they are."""
    if x.ndim in (0, rank):
        return x
    return lax.reshape(x, (1,) * (rank - x.ndim) + x.shape)


def place(x, out_sharding):
    """The samples with the sharding that was asked for."""
    if out_sharding is None:
        return x
    return lax.with_sharding_constraint(x, out_sharding)
