"""Checks that samplers share: shapes, dtypes, and parameters that broadcast against the shape."""

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla.lax._util import accepted_names, canonicalize_shape, check_arrays
from cyxla.numpy.axes import broadcast_shapes
from cyxla.numpy.promotion import kind, requested_dtype


def sample_shape(shape) -> tuple:
    """A tuple of non-negative ints of a `shape` argument."""
    shape = canonicalize_shape(shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"the sizes of a shape must not be negative, got shape={shape}")
    return shape


def _sampled_dtype(name, dtype, accepts, error):
    dtype = requested_dtype(dtype)
    if kind(dtype) not in accepts:
        raise error(f"{name}: there are no samples of dtype={dtype}; the kind must be {accepted_names(accepts)}")
    return dtype


def float_dtype(name: str, dtype, accepts="f"):
    """The canonical dtype asked for, which must be a floating one; None means the default."""
    return _sampled_dtype(name, float if dtype is None else dtype, accepts, ValueError)


def int_dtype(name: str, dtype, accepts="iu", error=ValueError):
    """The canonical dtype asked for, which must be an integer one; None means the default."""
    return _sampled_dtype(name, int if dtype is None else dtype, accepts, error)


def array_argument(name: str, value, position: int = 0) -> Array:
    """`value` as an array; TypeError for lists and other things that are not arrays or numbers."""
    check_arrays(name, value, first=position)
    return asarray(value)


def batch_shape(name: str, shape, *batches) -> tuple:
    """The shape of the samples: that of the parameters' batches together, or the one given, to which they broadcast."""
    if shape is None:
        return broadcast_shapes(*batches)
    shape = sample_shape(shape)
    if broadcast_shapes(shape, *batches) != shape:
        raise ValueError(
            f"{name}: parameters of shapes {', '.join(map(str, batches))} do not broadcast to shape={shape}"
        )
    return shape


def parameter_shape(name: str, shape, *parameters) -> tuple:
    """`batch_shape` of parameters of which each element is one batch."""
    return batch_shape(name, shape, *[np.shape(p) for p in parameters])


def check_enough(name: str, draws: int, population: int):
    """ValueError where more elements are drawn without replacement than there are."""
    if draws > population:
        raise ValueError(f"{name}: {draws} of {population} elements cannot be drawn without replacement")


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
