"""Reductions over segments: elements with the same id are combined."""

import numpy as np

import cyxla.numpy as jnp
from cyxla._core.errors import ConcretizationTypeError
from cyxla._engine.array import Array, asarray
from cyxla._engine.core import Tracer
from cyxla.lax._util import check_arrays, check_not_negative, kind_of

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]


def _lowest(aval):
    kind = kind_of(aval)
    return -np.inf if kind == "f" else False if kind == "b" else np.iinfo(aval.dtype).min


def _highest(aval):
    kind = kind_of(aval)
    return np.inf if kind == "f" else True if kind == "b" else np.iinfo(aval.dtype).max


_IDENTITIES = {"add": lambda aval: 0, "multiply": lambda aval: 1, "max": _lowest, "min": _highest}
_REDUCTIONS = {"add": jnp.sum, "multiply": jnp.prod, "max": jnp.max, "min": jnp.min}


def _count(name, segment_ids, num_segments):
    if num_segments is None:
        if isinstance(segment_ids, Tracer):
            raise ConcretizationTypeError(
                segment_ids, f"{name}() needed the number of segments; give num_segments as a Python integer"
            )
        num_segments = jnp.max(segment_ids) + 1
    num_segments = int(num_segments)
    check_not_negative(name, "num_segments", num_segments)
    return num_segments


def _segment(name, method, data, segment_ids, num_segments, sorted_, unique, bucket_size, mode, out_sharding):
    check_arrays(name, data, segment_ids)
    data, ids = asarray(data), asarray(segment_ids)
    if kind_of(ids.aval) not in "iu":
        raise TypeError(f"{name}: segment_ids must have an integer dtype, got {ids.dtype}")
    count, identity = _count(name, ids, num_segments), _IDENTITIES[method](data.aval)
    options = {
        "indices_are_sorted": sorted_,
        "unique_indices": unique,
        "mode": mode,
        "wrap_negative_indices": False,
    }
    rest = data.shape[ids.ndim :] if ids.ndim > 1 else data.shape[1:]
    size = data.shape[0]
    buckets = 1 if bucket_size is None or not size else -(-size // bucket_size)
    if buckets == 1:
        start = jnp.full((count, *rest), identity, data.dtype)
        out = getattr(start.at[ids], method)(data, **options)
    else:
        # Short sums first: fewer rounding errors than in one long one.
        start = jnp.full((buckets, count, *rest), identity, data.dtype)
        bucket = jnp.arange(size) // bucket_size
        out = getattr(start.at[bucket, ids], method)(data, **options)
        out = _REDUCTIONS[method](out, axis=0).astype(data.dtype)
    if out_sharding is not None:
        from cyxla import lax

        out = lax.with_sharding_constraint(out, out_sharding)
    return out


_ARGUMENTS = """

    Args:
      data: array whose first axis runs over the elements.
      segment_ids: integer array of that length, the segment of each element. Elements whose id is negative or not below
        num_segments are dropped.
      num_segments: how many segments there are, by default one more than the largest id (which must then be concrete).
      indices_are_sorted, unique_indices: promises about the ids that may make it faster.
      bucket_size: reduce the elements in buckets of this size first.
      mode: what is done with ids out of range, as in `x.at[...]`.
      out_sharding: sharding of the result.

    Returns an array of shape `(num_segments, *data.shape[1:])`.
    """


def segment_sum(
    data,
    segment_ids,
    num_segments=None,
    indices_are_sorted=False,
    unique_indices=False,
    bucket_size=None,
    mode=None,
    out_sharding=None,
) -> Array:
    """Sums of the elements of each segment; 0 for empty ones.

    >>> import cyxla as jax, cyxla.numpy as jnp
    >>> jax.ops.segment_sum(jnp.arange(5), jnp.array([0, 0, 1, 1, 2]), num_segments=4)
    Array([1, 5, 4, 0], dtype=int32)
    """
    promises = indices_are_sorted, unique_indices
    return _segment("segment_sum", "add", data, segment_ids, num_segments, *promises, bucket_size, mode, out_sharding)


def segment_prod(
    data,
    segment_ids,
    num_segments=None,
    indices_are_sorted=False,
    unique_indices=False,
    bucket_size=None,
    mode=None,
    out_sharding=None,
) -> Array:
    """Products of the elements of each segment; 1 for empty ones."""
    promises = indices_are_sorted, unique_indices
    return _segment(
        "segment_prod", "multiply", data, segment_ids, num_segments, *promises, bucket_size, mode, out_sharding
    )


def segment_max(
    data,
    segment_ids,
    num_segments=None,
    indices_are_sorted=False,
    unique_indices=False,
    bucket_size=None,
    mode=None,
    out_sharding=None,
) -> Array:
    """Largest elements of each segment; the dtype's lowest value for empty ones."""
    promises = indices_are_sorted, unique_indices
    return _segment("segment_max", "max", data, segment_ids, num_segments, *promises, bucket_size, mode, out_sharding)


def segment_min(
    data,
    segment_ids,
    num_segments=None,
    indices_are_sorted=False,
    unique_indices=False,
    bucket_size=None,
    mode=None,
    out_sharding=None,
) -> Array:
    """Smallest elements of each segment; the dtype's highest value for empty ones."""
    promises = indices_are_sorted, unique_indices
    return _segment("segment_min", "min", data, segment_ids, num_segments, *promises, bucket_size, mode, out_sharding)


for _function in (segment_sum, segment_prod, segment_max, segment_min):
    _function.__doc__ = (_function.__doc__ or "").rstrip() + _ARGUMENTS
