"""Products of narrow floats that come with scales for blocks of elements, as in the microscaling formats."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.autodiff import jvp_flat
from cyxla._engine.aval import int_tuple, shaped_array
from cyxla._engine.core import Primitive, Zero
from cyxla._engine.dtypes import dtype_code
from cyxla._transform.lower import lower_fun
from cyxla.lax._util import as_operand, batch_size, check_arrays, check_rank, short, to_front
from cyxla.lax.contraction import DotDimensionNumbers, dot_general_p, preferred_dtype

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_SCALE = np.dtype(ml_dtypes.float8_e8m0fnu)


def _check_scale(side, x, scale, contract):
    for d in range(x.ndim):
        size, blocks = x.shape[d], scale.shape[d]
        if d not in contract:
            if size != blocks:
                raise TypeError(
                    f"scaled_dot: {side}_scale {short(scale)} must have the size {size} of {side} {short(x)} in "
                    f"dimension {d}"
                )
        elif not blocks or size % blocks or size // blocks < 2:
            raise TypeError(
                f"scaled_dot: in the contracted dimension {d}, the size of {side}_scale {short(scale)} must divide "
                f"that of {side} {short(x)} into blocks of 2 elements or more"
            )


def _scaled_abstract(lhs, rhs, lhs_scale, rhs_scale, *, dimension_numbers, preferred_element_type):
    ranks = {x.ndim for x in (lhs, rhs, lhs_scale, rhs_scale)}
    if len(ranks) > 1:
        raise TypeError(
            "scaled_dot: the operands and their scales must have one rank, got "
            + ", ".join(short(x) for x in (lhs, rhs, lhs_scale, rhs_scale))
        )
    (lhs_contract, rhs_contract), _ = dimension_numbers
    out = dot_general_p.abstract_eval(
        shaped_array(lhs.shape, dtype_code(_BFLOAT16), False),
        shaped_array(rhs.shape, dtype_code(_BFLOAT16), False),
        dimension_numbers=dimension_numbers,
        precision=None,
        preferred_element_type=preferred_element_type,
        out_sharding=None,
    )
    _check_scale("lhs", lhs, lhs_scale, lhs_contract)
    _check_scale("rhs", rhs, rhs_scale, rhs_contract)
    return out


def _scaled(x, scale):
    """x times its scales, each repeated for the elements of its block."""
    shape, dims = [], []
    for size, blocks in zip(x.shape, scale.shape):
        dims.append(len(shape))
        shape += [blocks] if size == blocks else [blocks, size // blocks]
    scale = lax.reshape(lax.broadcast_in_dim(scale, shape, dims), x.shape)
    return lax.mul(lax.convert_element_type(x, _BFLOAT16), lax.convert_element_type(scale, _BFLOAT16))


def _decomposed(lhs, rhs, lhs_scale, rhs_scale, *, dimension_numbers, preferred_element_type):
    return lax.dot_general(
        _scaled(lhs, lhs_scale),
        _scaled(rhs, rhs_scale),
        dimension_numbers,
        preferred_element_type=preferred_element_type,
    )


def _scaled_jvp(primals, tangents, **params):
    out = scaled_dot_p.bind(*primals, **params)
    _, (tangent,) = jvp_flat(
        lambda args: [_decomposed(*args, **params)], list(primals), [None if type(t) is Zero else t for t in tangents]
    )
    return out, Zero(out.aval) if tangent is None else tangent


def _scaled_batch(args, dims, *, dimension_numbers, **params):
    size = batch_size(args, dims)
    contract, batch = (tuple(tuple(d + 1 for d in side) for side in pair) for pair in dimension_numbers)
    batched = contract, tuple((0, *side) for side in batch)
    args = [to_front(x, d, size) for x, d in zip(args, dims)]
    return scaled_dot_p.bind(*args, dimension_numbers=batched, **params), 0


scaled_dot_p = Primitive(
    "scaled_dot", abstract=_scaled_abstract, lower=lower_fun(_decomposed), jvp=_scaled_jvp, batch=_scaled_batch
)


def scaled_dot(
    lhs,
    rhs,
    *,
    lhs_scale=None,
    rhs_scale=None,
    dimension_numbers: DotDimensionNumbers | None = None,
    preferred_element_type=None,
) -> Array:
    """The `dot_general` of operands that are multiplied with scales first, in bfloat16.

    A scale has the shape of its operand, but for the contracted dimensions: there it has a size that divides the
    operand's, and each of its elements is the scale of a block. Without a scale the operand is taken as it is. By
    default the last dimension of lhs is contracted with the last but one of rhs and the dimensions in front are
    batches; the result is bfloat16. TypeError for shapes that do not fit.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> scale = jnp.array([[1, 2]], jnp.float8_e8m0fnu)
    >>> lax.scaled_dot(jnp.ones((1, 4)), jnp.ones((4, 1)), lhs_scale=scale)
    Array([[6]], dtype=bfloat16)
    """
    check_arrays("scaled_dot", lhs, rhs)
    lhs, rhs = as_operand(lhs), as_operand(rhs)
    check_rank("scaled_dot", "lhs", lhs, 2, error=TypeError)
    check_rank("scaled_dot", "rhs", rhs, 2, error=TypeError)
    if dimension_numbers is None:
        batch = tuple(range(lhs.ndim - 2))
        dimension_numbers = (((lhs.ndim - 1,), (rhs.ndim - 2,)), (batch, batch))
    contract, batch = (tuple(int_tuple(side) for side in pair) for pair in dimension_numbers)

    def scale_of(x, scale, dims):
        if scale is not None:
            return as_operand(scale)
        return lax.full([1 if d in dims else n for d, n in enumerate(x.shape)], 1, _SCALE)

    return scaled_dot_p.bind(
        lhs,
        rhs,
        scale_of(lhs, lhs_scale, contract[0]),
        scale_of(rhs, rhs_scale, contract[1]),
        dimension_numbers=(contract, batch),
        preferred_element_type=_BFLOAT16 if preferred_element_type is None else preferred_dtype(preferred_element_type),
    )
