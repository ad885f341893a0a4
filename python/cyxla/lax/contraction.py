"""Sums of products over axes: dot_general, and the matrix products written with it."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import int_tuple, shaped_array
from cyxla._engine.caches import cached
from cyxla._engine.core import Primitive, UndefinedPrimal
from cyxla._engine.dtypes import code_dtype, dtype_code, requested_code
from cyxla.lax._util import as_operand, bits_of, kind_of, short
from cyxla.lax.precision import (
    CPU_PRESETS,
    DotAlgorithm,
    DotAlgorithmPreset,
    PrecisionLike,
    algorithm_attribute,
    canonicalize_precision,
    precision_config,
)

__all__ = ["DotDimensionNumbers", "batch_matmul", "dot", "dot_general", "dot_general_p"]

DotDimensionNumbers = tuple[
    tuple[Sequence[int], Sequence[int]],
    tuple[Sequence[int], Sequence[int]],
]


def _free_dims(rank: int, contracting, batch) -> list[int]:
    return [d for d in range(rank) if d not in contracting and d not in batch]


def _check_side(side: str, aval, contracting, batch) -> None:
    rank = aval.ndim
    for d in (*contracting, *batch):
        if not 0 <= d < rank:
            raise TypeError(
                f"dot_general: dimension numbers of the {side} operand must be in [0, {rank}), got contracting "
                f"{contracting} and batch {batch} for {short(aval)}"
            )
    for what, dims in (("contracting", contracting), ("batch", batch)):
        if len(set(dims)) != len(dims):
            raise TypeError(f"dot_general: {side} {what} dimensions must be distinct, got {dims}")
    if set(contracting) & set(batch):
        raise TypeError(
            f"dot_general: {side} batch dimensions {batch} and contracting dimensions {contracting} must be disjoint"
        )


def _bits(aval) -> int:
    """Bits of an element, for complex ones of the real part."""
    bits = bits_of(aval.code)
    return bits // 2 if kind_of(aval) == "c" else bits


def _check_preferred(name: str, operand, preferred) -> None:
    if kind_of(operand) in "iuc" and _bits(preferred) < _bits(operand):
        raise TypeError(
            f"{name}: preferred_element_type must not be narrower than the operands' type, got "
            f"{preferred.dtype.name} for "
            f"operands of {operand.dtype.name}"
        )


def _dot_general_abstract(lhs, rhs, *, dimension_numbers, precision, preferred_element_type, out_sharding):
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    _check_side("lhs", lhs, lhs_contract, lhs_batch)
    _check_side("rhs", rhs, rhs_contract, rhs_batch)
    for what, left, right in (("batch", lhs_batch, rhs_batch), ("contracting", lhs_contract, rhs_contract)):
        left_sizes = tuple(lhs.shape[d] for d in left)
        right_sizes = tuple(rhs.shape[d] for d in right)
        if left_sizes != right_sizes:
            raise TypeError(
                f"dot_general: {what} dimensions of both operands must have the same sizes, got {left_sizes} for "
                f"dimensions {left} of {short(lhs)} and {right_sizes} for dimensions {right} of {short(rhs)}"
            )
    shape = (
        *(lhs.shape[d] for d in lhs_batch),
        *(lhs.shape[d] for d in _free_dims(lhs.ndim, lhs_contract, lhs_batch)),
        *(rhs.shape[d] for d in _free_dims(rhs.ndim, rhs_contract, rhs_batch)),
    )
    code, weak = _common_code(lhs, rhs)
    if preferred_element_type is not None:
        preferred = shaped_array((), dtype_code(preferred_element_type), False)
        _check_preferred("dot_general", shaped_array((), code, False), preferred)
        code, weak = preferred.code, False
    return shaped_array(shape, code, weak)


@cached("ranks of dtypes", 64)
def _rank_of(code: int) -> tuple:
    """Where a dtype stands when factors of two dtypes meet: the greater one is the dtype of the product."""
    aval = shaped_array((), code, False)
    kind = kind_of(aval)
    if kind in "iu":
        return 1, bits_of(code), kind == "i"
    if kind == "f":
        info = ml_dtypes.finfo(aval.dtype)
        return 2, info.maxexp, info.nmant
    return "b  c".index(kind), bits_of(code), 0


def _common_code(lhs, rhs) -> tuple[int, bool]:
    """Dtype and weak type of the product; unlike promotion elsewhere it never leaves the dtypes of the factors."""
    if lhs.code == rhs.code:
        return lhs.code, lhs.weak_type and rhs.weak_type
    return max(lhs.code, rhs.code, key=_rank_of), False


def _dims_text(left, right) -> str:
    return f"[{', '.join(map(str, left))}] x [{', '.join(map(str, right))}]"


def _convert(ctx, name: str, source, code: int):
    """The operand converted to another element type, and its type then."""
    if source.code == code:
        return name, source
    target = shaped_array(source.shape, code, False)
    return ctx.op(f"stablehlo.convert {name} : ({source.mlir}) -> {target.mlir}"), target


def _is_float8(aval) -> bool:
    return kind_of(aval) == "f" and aval.dtype.itemsize == 1


def _dot_general_lower(ctx, lhs, rhs, *, dimension_numbers, precision, preferred_element_type, out_sharding):
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    x, y = ctx.avals_in
    (out,) = ctx.avals_out
    if x.code != y.code and not (_is_float8(x) and _is_float8(y)):
        code, _ = _common_code(x, y)
        lhs, x = _convert(ctx, lhs, x, code)
        rhs, y = _convert(ctx, rhs, y, code)
    result = out
    if kind_of(out) != kind_of(x):
        result = shaped_array(out.shape, x.code, False)
    options = f"precision = [{precision_config(precision)}]"
    if isinstance(precision, (DotAlgorithm, DotAlgorithmPreset)):
        if isinstance(precision, DotAlgorithm) or precision.name not in CPU_PRESETS:
            raise ValueError(f"dot_general: the precision {str(precision)!r} is not supported on CPU")
        allowed = precision.supported_lhs_types
        if allowed is not None:
            codes = [dtype_code(t) for t in allowed]
            if x.code not in codes:
                lhs, x = _convert(ctx, lhs, x, codes[0])
            if y.code not in codes:
                rhs, y = _convert(ctx, rhs, y, codes[0])
            produced = [dtype_code(t) for t in precision.supported_output_types(x.dtype, y.dtype)]
            # bfloat16 operands may keep their type: the sums are still done in the algorithm's type.
            if result.code not in produced and not (result.code == x.code and x.code in codes):
                result = shaped_array(out.shape, produced[0], False)
        algorithm = algorithm_attribute(precision, x.dtype, y.dtype, result.dtype)
        if algorithm is not None:
            options += f", algorithm = {algorithm}"
    batch = f"batching_dims = {_dims_text(lhs_batch, rhs_batch)}, " if lhs_batch else ""
    name = ctx.op(
        f"stablehlo.dot_general {lhs}, {rhs}, {batch}contracting_dims = {_dims_text(lhs_contract, rhs_contract)}, "
        f"{options} : ({x.mlir}, {y.mlir}) -> {result.mlir}"
    )
    return _convert(ctx, name, result, out.code)[0]


def _cotangent_for(ct, other, dims_of_operand, dims_of_other, ct_other_free, operand_aval, precision, preferred):
    """The cotangent of one factor: the result's cotangent times the other factor, in the factor's own layout."""
    contract, batch = dims_of_operand
    other_contract, other_batch = dims_of_other
    other_free = _free_dims(other.ndim, other_contract, other_batch)
    product = dot_general(
        ct,
        other,
        ((ct_other_free, other_free), (range(len(batch)), other_batch)),
        precision,
        preferred,
    )
    # The product's last axes are the contracted ones, in the order that they have in the other factor.
    order = sorted(range(len(contract)), key=lambda i: other_contract[i])
    axes = [*batch, *_free_dims(operand_aval.ndim, contract, batch), *(contract[i] for i in order)]
    permutation = [axes.index(d) for d in range(len(axes))]
    if permutation != list(range(len(axes))):
        product = lax.transpose(product, tuple(permutation))
    if product.dtype != operand_aval.dtype:
        product = lax.convert_element_type(product, operand_aval.dtype)
    return product


def _dot_general_transpose(ct, lhs, rhs, *, dimension_numbers, precision, preferred_element_type, out_sharding):
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    count = len(lhs_batch)
    if isinstance(lhs, UndefinedPrimal):
        aval = lhs.aval
        first = count + len(_free_dims(aval.ndim, lhs_contract, lhs_batch))
        out = _cotangent_for(
            ct,
            rhs,
            (lhs_contract, lhs_batch),
            (rhs_contract, rhs_batch),
            range(first, ct.ndim),
            aval,
            _swap(precision, keep_right=True),
            preferred_element_type,
        )
        return [out, None]
    aval = rhs.aval
    free = len(_free_dims(lhs.ndim, lhs_contract, lhs_batch))
    out = _cotangent_for(
        ct,
        lhs,
        (rhs_contract, rhs_batch),
        (lhs_contract, lhs_batch),
        range(count, count + free),
        aval,
        _swap(precision, keep_right=False),
        preferred_element_type,
    )
    return [None, out]


def _swap(precision, keep_right: bool):
    """Each factor keeps its own precision when it meets the cotangent as the right operand."""
    if isinstance(precision, tuple) and not isinstance(precision, DotAlgorithm) and not keep_right:
        return precision[::-1]
    return precision


def _dot_general_batch(args, dims, *, dimension_numbers, precision, preferred_element_type, out_sharding):
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    lhs, rhs = args
    lhs_dim, rhs_dim = dims
    if lhs_dim is not None:
        lhs_contract = tuple(d + (d >= lhs_dim) for d in lhs_contract)
        lhs_batch = tuple(d + (d >= lhs_dim) for d in lhs_batch)
    if rhs_dim is not None:
        rhs_contract = tuple(d + (d >= rhs_dim) for d in rhs_contract)
        rhs_batch = tuple(d + (d >= rhs_dim) for d in rhs_batch)
    if lhs_dim is not None and rhs_dim is not None:
        lhs_batch, rhs_batch = (lhs_dim, *lhs_batch), (rhs_dim, *rhs_batch)
        out_dim = 0
    else:
        free = _free_dims(lhs.ndim, lhs_contract, lhs_batch)
        out_dim = len(lhs_batch)
        if lhs_dim is not None:
            out_dim += free.index(lhs_dim)
        else:
            out_dim += len(free) + _free_dims(rhs.ndim, rhs_contract, rhs_batch).index(rhs_dim)
    out = dot_general_p.bind(
        lhs,
        rhs,
        dimension_numbers=((lhs_contract, rhs_contract), (lhs_batch, rhs_batch)),
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    return out, out_dim


dot_general_p = Primitive(
    "dot_general",
    abstract=_dot_general_abstract,
    jvps=(
        lambda t, ans, lhs, rhs, **params: dot_general_p.bind(t, rhs, **params),
        lambda t, ans, lhs, rhs, **params: dot_general_p.bind(lhs, t, **params),
    ),
    transpose=_dot_general_transpose,
    batch=_dot_general_batch,
    lower=_dot_general_lower,
)


def preferred_dtype(dtype):
    """A user's preferred_element_type, made canonical."""
    if dtype is None:
        return None
    return code_dtype(requested_code(dtype))


def dot_general(
    lhs,
    rhs,
    dimension_numbers: DotDimensionNumbers,
    precision: PrecisionLike = None,
    preferred_element_type=None,
    *,
    out_sharding=None,
) -> Array:
    """The sum of products over the contracting dimensions, for each element of the batch dimensions.

    ``dimension_numbers`` is ``((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))``. The result has the batch
    dimensions first, then the other dimensions of ``lhs``, then those of ``rhs``. ``preferred_element_type`` is the
    dtype of the result; by default operands of different dtypes are promoted. Raises TypeError where dimensions do not
    fit.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> a, b = jnp.ones((2, 3, 4)), jnp.ones((2, 4, 5))
    >>> lax.dot_general(a, b, (((2,), (1,)), ((0,), (0,)))).shape
    (2, 3, 5)
    """
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    return dot_general_p.bind(
        lhs,
        rhs,
        dimension_numbers=(
            (int_tuple(lhs_contract), int_tuple(rhs_contract)),
            (int_tuple(lhs_batch), int_tuple(rhs_batch)),
        ),
        precision=canonicalize_precision(precision),
        preferred_element_type=preferred_dtype(preferred_element_type),
        out_sharding=out_sharding,
    )


def dot(
    lhs,
    rhs,
    *,
    dimension_numbers: DotDimensionNumbers | None = None,
    precision: PrecisionLike = None,
    preferred_element_type=None,
    out_sharding=None,
) -> Array:
    """Product of two vectors, a matrix and a vector, or two matrices; any contraction with ``dimension_numbers``.

    Raises ValueError for operands of another rank without ``dimension_numbers``, TypeError where sizes differ.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.dot(jnp.arange(3.0), jnp.arange(3.0))
    Array(5., dtype=float32)
    """
    lhs, rhs = as_operand(lhs), as_operand(rhs)
    if dimension_numbers is None:
        ranks = (lhs.ndim, rhs.ndim)
        if not (1 <= ranks[0] <= 2 and 1 <= ranks[1] <= 2 and lhs.shape[-1] == rhs.shape[0]):
            raise ValueError(
                "dot: dimension_numbers must be given unless the operands are matrices or vectors whose inner sizes "
                f"match; got lhs shape {lhs.shape} and rhs shape {rhs.shape}"
            )
        dimension_numbers = (((lhs.ndim - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type, out_sharding=out_sharding)


def batch_matmul(lhs, rhs, precision: PrecisionLike = None) -> Array:
    """Matrix products over leading batch axes that both operands share.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.batch_matmul(jnp.ones((2, 3, 4)), jnp.ones((2, 4, 5))).shape
    (2, 3, 5)
    """
    lhs, rhs = as_operand(lhs), as_operand(rhs)
    rank = lhs.ndim
    if rank < 2 or rhs.ndim != rank:
        raise ValueError(
            f"batch_matmul: operands must have the same rank of at least 2, got shapes {lhs.shape} and {rhs.shape}"
        )
    batch = tuple(range(rank - 2))
    return dot_general(lhs, rhs, (((rank - 1,), (rank - 2,)), (batch, batch)), precision)
