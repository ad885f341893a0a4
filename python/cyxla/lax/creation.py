"""Arrays from nothing: iota, full, empty."""

from cyxla import lax
from cyxla._engine.array import Array, typeof
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.core import Primitive
from cyxla._engine.dtypes import code_dtype, dtype_code
from cyxla.lax._util import as_operand, canonicalize_shape, check_kind, check_not_negative, check_rank, scalar
from cyxla.lax.convert import canonical_code, convert

# ---- iota


def _iota_abstract(dtype, shape, dimension, sharding=None):
    check_not_negative("iota", "shape", shape, TypeError)
    out = shaped_array(shape, dtype_code(dtype), False)
    check_kind("iota", out, "iufc")
    if not 0 <= dimension < len(shape):
        raise ValueError(f"iota: dimension={dimension} must lie in [0, {len(shape)}), the axes of shape={shape}")
    return out


iota_p = Primitive(
    "iota",
    abstract=_iota_abstract,
    lower=lambda ctx, dtype, shape, dimension, sharding=None: ctx.op(
        f"stablehlo.iota dim = {dimension} : {ctx.avals_out[0].mlir}"
    ),
    differentiable=False,
    host=True,
)


def iota(dtype, size):
    """The numbers 0, 1, ..., size - 1 in a dtype.

    >>> from cyxla import lax
    >>> lax.iota("int32", 3)
    Array([0, 1, 2], dtype=int32)
    """
    return broadcasted_iota(dtype, (size,), 0)


def broadcasted_iota(dtype, shape, dimension, *, out_sharding=None):
    """An array of a shape that counts along one dimension.

    TypeError for bool and for negative sizes, ValueError for a dimension that the shape has not.

    >>> from cyxla import lax
    >>> lax.broadcasted_iota("int32", (2, 3), 1)
    Array([[0, 1, 2],
           [0, 1, 2]], dtype=int32)
    """
    return iota_p.bind(
        dtype=code_dtype(canonical_code(dtype)),
        shape=canonicalize_shape(shape),
        dimension=integer(dimension),
        sharding=out_sharding,
    )


# ---- full


def _filled(shape, fill_value, sharding):
    if not shape:
        return fill_value
    return lax.broadcast_in_dim_p.bind(fill_value, shape=shape, broadcast_dimensions=(), sharding=sharding)


def full(shape, fill_value, dtype=None, *, sharding=None):
    """An array filled with one value.

    Without a dtype the result has that of `fill_value`, weakly typed for a Python scalar. TypeError for a `fill_value`
    that is not a scalar, or for negative sizes.

    >>> from cyxla import lax
    >>> lax.full((2,), 7, "float32")
    Array([7., 7.], dtype=float32)
    """
    shape = canonicalize_shape(shape)
    if isinstance(fill_value, Array) or dtype is None:
        fill_value = as_operand(fill_value)
        weak = dtype is None and fill_value.weak_type
        fill_value = convert(fill_value, fill_value.aval.code if dtype is None else canonical_code(dtype), weak)
    else:
        fill_value = scalar(fill_value, canonical_code(dtype))
    check_rank("full", "fill_value", fill_value, 0, 0, TypeError)
    return _filled(shape, fill_value, sharding)


def full_like(x, fill_value, dtype=None, shape=None, sharding=None):
    """An array filled with one value, of the shape and dtype of x except where others are given.

    >>> from cyxla import lax
    >>> lax.full_like(lax.iota("int32", 3), 5)
    Array([5, 5, 5], dtype=int32)
    """
    aval = typeof(x)
    shape = aval.shape if shape is None else canonicalize_shape(shape)
    if dtype is None:
        code, weak = aval.code, aval.weak_type
    else:
        code, weak = canonical_code(dtype), False
    if weak or isinstance(fill_value, Array):
        fill_value = convert(as_operand(fill_value), code, weak)
    else:
        fill_value = scalar(fill_value, code)
    check_rank("full", "fill_value", fill_value, 0, 0, TypeError)
    return _filled(shape, fill_value, sharding)


# ---- empty


def _empty_abstract(shape, dtype, out_sharding=None):
    check_not_negative("empty", "shape", shape, TypeError)
    return shaped_array(shape, dtype_code(dtype), False)


empty_p = Primitive(
    "empty",
    abstract=_empty_abstract,
    lower=lambda ctx, shape, dtype, out_sharding=None: ctx.constant(0, ctx.avals_out[0]),
    differentiable=False,
    host=True,
)


def empty(shape, dtype, *, out_sharding=None):
    """An array of unspecified contents (zeros, at present)."""
    dtype = code_dtype(canonical_code(dtype))
    if hasattr(dtype, "physical_shape"):
        return full(shape, 0, dtype, sharding=out_sharding)
    return empty_p.bind(shape=canonicalize_shape(shape), dtype=dtype, out_sharding=out_sharding)


def dtype(x):
    """The dtype that an array, a NumPy array or a Python scalar has as an operand."""
    return typeof(x).dtype
