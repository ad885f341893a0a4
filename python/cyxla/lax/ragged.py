"""Products of arrays of which one dimension is divided into groups of varying sizes."""

from dataclasses import dataclass, fields

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.autodiff import backward_pass
from cyxla._engine.aval import int_tuple
from cyxla._engine.core import Primitive, UndefinedPrimal
from cyxla._engine.staging import trace_flat
from cyxla._transform.lower import lower_fun
from cyxla.lax._util import (
    as_operand,
    batch_size,
    bits_of,
    check_arrays,
    kind_of,
    move_axis,
    short,
    to_front,
    with_shape,
)
from cyxla.lax.contraction import DotDimensionNumbers, dot_general_p, preferred_dtype
from cyxla.lax.precision import PrecisionLike, canonicalize_precision


@dataclass(frozen=True)
class RaggedDotDimensionNumbers:
    """What a ragged product contracts and batches, which dimension of lhs is divided, and which of rhs counts groups.

    ``dot_dimension_numbers`` are those of `dot_general`. ``lhs_ragged_dimensions`` names one dimension of lhs. If that
    is neither contracted nor a batch dimension, ``rhs_group_dimensions`` names the one of rhs along which each group
    has its own factor; else it is empty.
    """

    dot_dimension_numbers: DotDimensionNumbers
    lhs_ragged_dimensions: tuple[int, ...]
    rhs_group_dimensions: tuple[int, ...]

    def __post_init__(self):
        (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = self.dot_dimension_numbers
        values = (
            ((int_tuple(lhs_contract), int_tuple(rhs_contract)), (int_tuple(lhs_batch), int_tuple(rhs_batch))),
            int_tuple(self.lhs_ragged_dimensions),
            int_tuple(self.rhs_group_dimensions),
        )
        for field, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)


def _prefix(lhs, numbers):
    """The dimensions of lhs that may have group sizes of their own, in the order of the dimensions of group_sizes."""
    (contract, _), (batch, _) = numbers.dot_dimension_numbers
    (ragged,) = numbers.lhs_ragged_dimensions
    if ragged in batch:
        return batch[: batch.index(ragged)]
    if ragged in contract:
        return (*batch, *contract[: contract.index(ragged)])
    return (*batch, *(d for d in range(ragged) if d not in batch and d not in contract))


def _check_dimension(argument, dims, count, aval):
    if len(dims) != count:
        raise TypeError(f"ragged_dot_general: {argument}={dims} must name {count} dimension{'s' * (count != 1)} here")
    if any(not 0 <= d < aval.ndim for d in dims):
        raise TypeError(
            f"ragged_dot_general: {argument}={dims} must lie in [0, {aval.ndim}), the operand is {short(aval)}"
        )


def _ragged_abstract(
    lhs,
    rhs,
    group_sizes,
    *,
    ragged_dot_dimension_numbers,
    precision,
    preferred_element_type,
    group_offset,
    out_sharding,
):
    numbers = ragged_dot_dimension_numbers
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = numbers.dot_dimension_numbers
    if kind_of(group_sizes) not in "iu":
        raise TypeError(f"ragged_dot_general: group_sizes must be integers, got {short(group_sizes)}")
    if not group_sizes.ndim:
        raise TypeError("ragged_dot_general: group_sizes is a scalar; it needs an entry for each group")
    _check_dimension("lhs_ragged_dimensions", numbers.lhs_ragged_dimensions, 1, lhs)
    (ragged,) = numbers.lhs_ragged_dimensions
    own_factors = ragged not in lhs_contract and ragged not in lhs_batch
    _check_dimension("rhs_group_dimensions", numbers.rhs_group_dimensions, int(own_factors), rhs)
    groups = group_sizes.shape[-1]
    if own_factors:
        (group_dim,) = numbers.rhs_group_dimensions
        if group_dim in rhs_contract or group_dim in rhs_batch:
            raise TypeError(
                f"ragged_dot_general: dimension {group_dim} of rhs counts groups, so it cannot be contracted or batched"
            )
        if rhs.shape[group_dim] != groups:
            raise TypeError(
                f"ragged_dot_general: group_sizes {short(group_sizes)} has {groups} groups, dimension {group_dim} of "
                f"rhs {short(rhs)} another number"
            )

        def without(dims):
            return tuple(d - (d > group_dim) for d in dims)

        rhs = with_shape(rhs, rhs.shape[:group_dim] + rhs.shape[group_dim + 1 :])
        rhs_contract, rhs_batch = without(rhs_contract), without(rhs_batch)
    out = dot_general_p.abstract_eval(
        lhs,
        rhs,
        dimension_numbers=((lhs_contract, rhs_contract), (lhs_batch, rhs_batch)),
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    expected = (*(lhs.shape[d] for d in _prefix(lhs, numbers)), groups)
    if group_sizes.ndim > 1 and group_sizes.shape != expected:
        raise TypeError(
            f"ragged_dot_general: the shape of group_sizes must be {(groups,)} or {expected}, got {group_sizes.shape}"
        )
    return with_shape(out, (groups, *out.shape)) if ragged in lhs_contract else out


def _members(lhs, group_sizes, numbers):
    """Which elements of lhs belong to each group, the groups counted along a new first axis."""
    (ragged,) = numbers.lhs_ragged_dimensions
    if bits_of(group_sizes.aval.code) < 32:
        group_sizes = lax.convert_element_type(group_sizes, np.int32)
    last = group_sizes.ndim - 1
    ends = lax.cumsum(group_sizes, last)
    shape = (group_sizes.shape[-1], *lhs.shape)
    prefix = _prefix(lhs, numbers) if last else ()
    targets = (*(d + 1 for d in prefix), 0)
    order = tuple(sorted(range(len(targets)), key=targets.__getitem__))

    def spread(bounds):
        return lax.broadcast_in_dim(lax.transpose(bounds, order), shape, sorted(targets))

    place = lax.broadcasted_iota(ends.dtype, shape, ragged + 1)
    return lax.bitwise_and(lax.ge(place, spread(lax.sub(ends, group_sizes))), lax.lt(place, spread(ends)))


def _as_dense(lhs, rhs, group_sizes, *, ragged_dot_dimension_numbers, precision, preferred_element_type, **params):
    """The same with dot_general: lhs once for each group, with zeros where it belongs to others."""
    numbers = ragged_dot_dimension_numbers
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = numbers.dot_dimension_numbers
    (ragged,) = numbers.lhs_ragged_dimensions
    separate_sums = ragged in lhs_contract
    if ragged not in lhs_batch:
        spread = lax.broadcast(lhs, (group_sizes.shape[-1],))
        lhs = lax.select(_members(lhs, group_sizes, numbers), spread, lax.full_like(spread, 0))
        lhs_contract, lhs_batch = (tuple(d + 1 for d in dims) for dims in (lhs_contract, lhs_batch))
        if numbers.rhs_group_dimensions:
            lhs_contract, rhs_contract = (*lhs_contract, 0), (*rhs_contract, *numbers.rhs_group_dimensions)
    out = lax.dot_general(
        lhs, rhs, ((lhs_contract, rhs_contract), (lhs_batch, rhs_batch)), precision, preferred_element_type
    )
    # Groups are the first of the dimensions of lhs that are left, which come after those of batches.
    return move_axis(out, len(lhs_batch), 0) if separate_sums else out


def _ragged_transpose(ct, lhs, rhs, group_sizes, **params):
    linear = lhs if isinstance(lhs, UndefinedPrimal) else rhs

    def product(args):
        return [
            _as_dense(*args, rhs, group_sizes, **params)
            if linear is lhs
            else _as_dense(lhs, *args, group_sizes, **params)
        ]

    jaxpr, consts = trace_flat(product, [linear.aval])
    (out,) = backward_pass(jaxpr, consts, [linear], [ct])
    return [out, None, None] if linear is lhs else [None, out, None]


def _ragged_batch(args, dims, *, ragged_dot_dimension_numbers, **params):
    numbers = ragged_dot_dimension_numbers
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = (
        tuple(tuple(d + 1 for d in side) for side in pair) for pair in numbers.dot_dimension_numbers
    )
    size = batch_size(args, dims)
    lhs, rhs = (to_front(x, d, size) for x, d in zip(args[:2], dims))
    sizes = args[2]
    if dims[2] is not None or sizes.ndim > 1:
        sizes = to_front(sizes, dims[2], size)
        prefix = _prefix(lhs, numbers)
        if sizes.ndim == 2 and prefix:
            shape = (size, *(lhs.shape[d + 1] for d in prefix), sizes.shape[-1])
            sizes = lax.broadcast_in_dim(sizes, shape, (0, len(shape) - 1))
    batched = RaggedDotDimensionNumbers(
        ((lhs_contract, rhs_contract), ((0, *lhs_batch), (0, *rhs_batch))),
        tuple(d + 1 for d in numbers.lhs_ragged_dimensions),
        tuple(d + 1 for d in numbers.rhs_group_dimensions),
    )
    out = ragged_dot_general_p.bind(lhs, rhs, sizes, ragged_dot_dimension_numbers=batched, **params)
    return out, int(numbers.lhs_ragged_dimensions[0] in numbers.dot_dimension_numbers[0][0])


ragged_dot_general_p = Primitive(
    "ragged_dot_general",
    abstract=_ragged_abstract,
    lower=lower_fun(_as_dense),
    jvps=(
        lambda t, ans, lhs, rhs, sizes, **params: ragged_dot_general_p.bind(t, rhs, sizes, **params),
        lambda t, ans, lhs, rhs, sizes, **params: ragged_dot_general_p.bind(lhs, t, sizes, **params),
        None,
    ),
    transpose=_ragged_transpose,
    batch=_ragged_batch,
)


def ragged_dot_general(
    lhs,
    rhs,
    group_sizes,
    ragged_dot_dimension_numbers: RaggedDotDimensionNumbers,
    precision: PrecisionLike = None,
    preferred_element_type=None,
    group_offset=None,
    out_sharding=None,
) -> Array:
    """A `dot_general` of which one dimension of lhs, the ragged one, is divided into consecutive groups.

    ``group_sizes`` are integers of shape ``(groups,)``, or with the dimensions in front that come before the ragged
    one. What the ragged dimension is says what the groups do:

    - neither contracted nor batched: each group has its own factor, along the group dimension of rhs. Rows beyond the
      last group give zeros. The result has the shape of the product without that dimension.
    - contracted: each group is summed by itself; the result counts the groups along a new first dimension.
    - batched: the product is that of `dot_general`.

    TypeError for dimensions, shapes and dtypes that do not fit. Groups cannot be offset: ``group_offset`` must be None.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> numbers = lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), [0], [])
    >>> lax.ragged_dot_general(jnp.ones((5, 1)), jnp.ones((5, 1)), jnp.array([2, 3]), numbers).ravel()
    Array([2., 3.], dtype=float32)
    """
    check_arrays("ragged_dot_general", lhs, rhs, group_sizes)
    if group_offset is not None:
        raise NotImplementedError(
            f"ragged_dot_general: group_offset={group_offset!r}; groups can only start at 0 (None)"
        )
    return ragged_dot_general_p.bind(
        as_operand(lhs),
        as_operand(rhs),
        as_operand(group_sizes),
        ragged_dot_dimension_numbers=ragged_dot_dimension_numbers,
        precision=canonicalize_precision(precision),
        preferred_element_type=preferred_dtype(preferred_element_type),
        group_offset=None,
        out_sharding=out_sharding,
    )


_MATRICES = RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), (0,), (0,))


def ragged_dot(
    lhs,
    rhs,
    group_sizes,
    precision: PrecisionLike = None,
    preferred_element_type=None,
    group_offset=None,
    out_sharding=None,
) -> Array:
    """The product of a matrix with a matrix a group of rows: lhs is ``[m, k]``, rhs ``[groups, k, n]``.

    The first ``group_sizes[0]`` rows are multiplied with ``rhs[0]``, the next ones with ``rhs[1]``...; rows beyond the
    last group give zeros. TypeError for shapes that do not fit.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.ragged_dot(jnp.ones((3, 1)), jnp.float32([[[10]], [[20]]]), jnp.array([1, 2])).ravel()
    Array([10., 20., 20.], dtype=float32)
    """
    return ragged_dot_general(
        lhs, rhs, group_sizes, _MATRICES, precision, preferred_element_type, group_offset, out_sharding
    )
