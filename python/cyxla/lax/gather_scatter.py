"""Gather and the scatters: reading and updating windows of an array at positions that are themselves an array.

The dimension numbers are XLA's. ``gather`` reads, ``scatter`` overwrites, ``scatter_add`` and its kin combine. Each is
differentiated and batched by way of the others, hence one file.
"""

from __future__ import annotations

import enum
import itertools
import math
from typing import NamedTuple

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla._engine.autodiff import jvp_flat
from cyxla._engine.aval import int_tuple, shaped_array
from cyxla._engine.caches import cached
from cyxla._engine.core import Primitive, UndefinedPrimal, Zero, eval_jaxpr
from cyxla.lax._util import (
    BOOL,
    as_operand,
    batch_size,
    called,
    check_same_dtype,
    compare_type,
    kind_of,
    move_axis,
    short,
    to_front,
    with_shape,
    zeros_of,
)
from cyxla.lax.slicing import instantiate

__all__ = [
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "ScatterDimensionNumbers",
    "gather",
    "gather_p",
    "index_take",
    "scatter",
    "scatter_add",
    "scatter_add_p",
    "scatter_apply",
    "scatter_max",
    "scatter_max_p",
    "scatter_min",
    "scatter_min_p",
    "scatter_mul",
    "scatter_mul_p",
    "scatter_p",
    "scatter_sub",
    "scatter_sub_p",
]


class GatherDimensionNumbers(NamedTuple):
    """How the axes of a gather's operand, start indices and result relate.

    - offset_dims: axes of the result that hold the gathered windows.
    - collapsed_slice_dims: axes of the operand, of window size 1, that the result lacks.
    - start_index_map: the operand axis of each component of an index vector.
    - operand_batching_dims: axes of the operand that are iterated together with those of the start indices in
      start_indices_batching_dims.

    The index vectors lie along the last axis of the start indices.
    """

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


class ScatterDimensionNumbers(NamedTuple):
    """How the axes of a scatter's operand, indices and updates relate; the mirror image of GatherDimensionNumbers."""

    update_window_dims: tuple[int, ...]
    inserted_window_dims: tuple[int, ...]
    scatter_dims_to_operand_dims: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    scatter_indices_batching_dims: tuple[int, ...] = ()


class GatherScatterMode(enum.Enum):
    """What happens to windows that are not wholly inside the operand.

    - CLIP: they are moved inside.
    - FILL_OR_DROP: a gather fills them, a scatter drops them.
    - PROMISE_IN_BOUNDS: the caller promises that there are none.
    - ONE_HOT: as FILL_OR_DROP, with zeros for the fill.
    """

    CLIP = 1
    FILL_OR_DROP = 2
    PROMISE_IN_BOUNDS = 3
    ONE_HOT = 4

    __hash__ = object.__hash__  # members are single objects, and parameters of equations: their hash must be quick

    @staticmethod
    def from_any(mode: str | GatherScatterMode | None) -> GatherScatterMode:
        """The mode of a name such as ``'clip'``, ``'fill'`` or ``'drop'``."""
        try:
            return _MODES[mode]
        except (KeyError, TypeError):
            raise ValueError(
                f"{called()}mode={mode!r} is unknown: choose 'fill', 'drop', 'clip', 'promise_in_bounds', 'one_hot' "
                "or a GatherScatterMode"
            ) from None


CLIP = GatherScatterMode.CLIP
FILL_OR_DROP = GatherScatterMode.FILL_OR_DROP
PROMISE_IN_BOUNDS = GatherScatterMode.PROMISE_IN_BOUNDS
ONE_HOT = GatherScatterMode.ONE_HOT

_MODES = {
    None: FILL_OR_DROP,
    "fill": FILL_OR_DROP,
    "drop": FILL_OR_DROP,
    "clip": CLIP,
    "promise_in_bounds": PROMISE_IN_BOUNDS,
    "one_hot": ONE_HOT,
    **{mode: mode for mode in GatherScatterMode},
}


def _as_scatter_numbers(numbers: GatherDimensionNumbers) -> ScatterDimensionNumbers:
    return ScatterDimensionNumbers(*numbers)


def _as_gather_numbers(numbers: ScatterDimensionNumbers) -> GatherDimensionNumbers:
    return GatherDimensionNumbers(*numbers)


# checks that the two families share ----------------------------------------------------------------------------------


def _check_dims(name: str, argument: str, dims, bound: int, ordered: bool = True) -> None:
    if any(type(dim) is not int for dim in dims):
        raise TypeError(f"{name}: {argument} must hold integers known while tracing, got {argument}={dims!r:.200}")
    if ordered and any(a > b for a, b in itertools.pairwise(dims)):
        raise TypeError(f"{name}: {argument} must be sorted, got {argument}={dims}")
    if len(set(dims)) != len(dims):
        raise TypeError(f"{name}: {argument} must not repeat an axis, got {argument}={dims}")
    for dim in dims:
        if not 0 <= dim < bound:
            raise TypeError(f"{name}: {argument} must lie in [0, {bound}), got {argument}={dims}")


def _check_numbers(name: str, operand, indices, window: str, numbers, fields) -> None:
    """Checks on the dimension numbers that a gather and a scatter have in common."""
    _, collapsed_dims, index_map, operand_batching, indices_batching = numbers
    collapsed, mapped, batching, index_batching = fields
    rank = operand.ndim
    if kind_of(indices) not in "iu":
        raise ValueError(f"{name}: indices must have an integer type, got {short(indices)}")
    if indices.ndim < 1:
        raise TypeError(f"{name}: indices must have at least one axis, that of the index vectors, got a scalar")
    _check_dims(name, collapsed, collapsed_dims, rank)
    _check_dims(name, batching, operand_batching, rank)
    _check_dims(name, index_batching, indices_batching, indices.ndim - 1, ordered=False)
    _check_dims(name, mapped, index_map, rank, ordered=False)
    if set(collapsed_dims) & set(operand_batching):
        raise TypeError(
            f"{name}: an axis cannot be both in {collapsed}={collapsed_dims} and in {batching}={operand_batching}"
        )
    if set(index_map) & set(operand_batching):
        raise TypeError(f"{name}: an axis cannot be both in {mapped}={index_map} and in {batching}={operand_batching}")
    if len(index_map) != indices.shape[-1]:
        raise TypeError(
            f"{name}: {mapped} needs one entry for each of the {indices.shape[-1]} components of an index vector, got "
            f"{mapped}={index_map} for indices of shape {indices.shape}"
        )
    if len(operand_batching) != len(indices_batching):
        raise TypeError(
            f"{name}: {batching}={operand_batching} and {index_batching}={indices_batching} must have the same length"
        )
    for a, b in zip(operand_batching, indices_batching):
        if operand.shape[a] != indices.shape[b]:
            raise TypeError(
                f"{name}: batching axes must have equal sizes, got {operand.shape[a]} for axis {a} of the operand and "
                f"{indices.shape[b]} for axis {b} of the indices"
            )


# pieces of text that the lowerings share -----------------------------------------------------------------------------


def _dims_text(dims) -> str:
    return "[" + ", ".join(map(str, dims)) + "]"


def _last_valid_starts(operand_shape, window_sizes, index_map, indices):
    """The largest in-bounds start of each index component, in the range of the index dtype."""
    top = int(np.iinfo(indices.dtype).max)
    return [min(operand_shape[d] - window_sizes[d], top) for d in index_map]


def _per_component(ctx, values, aval) -> str:
    """A constant of ``aval``'s shape that repeats one value for each component of the index vectors."""
    if len(set(values)) == 1:
        return ctx.constant(values[0], aval)
    row = shaped_array((len(values),), aval.code, False)
    name = ctx.constant(np.asarray(values, dtype=aval.dtype), row)
    return ctx.broadcast(name, row, aval, (aval.ndim - 1,))


# gather --------------------------------------------------------------------------------------------------------------

_GATHER_FIELDS = ("collapsed_slice_dims", "start_index_map", "operand_batching_dims", "start_indices_batching_dims")


def _gather_abstract(
    operand, indices, *, dimension_numbers, slice_sizes, indices_are_sorted, unique_indices, mode, fill_value
):
    offset_dims, collapsed, _, batching, _ = dimension_numbers
    rank = operand.ndim
    _check_numbers("gather", operand, indices, "offset_dims", dimension_numbers, _GATHER_FIELDS)
    out_rank = len(offset_dims) + indices.ndim - 1
    _check_dims("gather", "offset_dims", offset_dims, out_rank)
    if len(slice_sizes) != rank:
        raise TypeError(
            f"gather: slice_sizes needs one entry for each axis of the operand, got slice_sizes={slice_sizes} for "
            f"operand shape {operand.shape}"
        )
    if rank != len(offset_dims) + len(collapsed) + len(batching):
        raise TypeError(
            f"gather: each of the operand's {rank} axes must be kept in offset_dims={offset_dims}, or be in "
            f"collapsed_slice_dims={collapsed} or operand_batching_dims={batching}"
        )
    for axis, (size, bound) in enumerate(zip(slice_sizes, operand.shape)):
        if not 0 <= size <= bound:
            raise TypeError(
                f"gather: slice_sizes must lie within the operand, got slice_sizes={slice_sizes} for operand shape "
                f"{operand.shape}"
            )
        if size > 1 and (axis in collapsed or axis in batching):
            raise TypeError(
                f"gather: a collapsed or batching axis must have slice size 1, got {size} for axis {axis} in "
                f"slice_sizes={slice_sizes}"
            )
    window = iter([n for d, n in enumerate(slice_sizes) if d not in collapsed and d not in batching])
    batch = iter(indices.shape[:-1])
    shape = tuple(next(window) if d in offset_dims else next(batch) for d in range(out_rank))
    return with_shape(operand, shape)


def _gather_lower(
    ctx, operand, indices, *, dimension_numbers, slice_sizes, indices_are_sorted, unique_indices, mode, fill_value
):
    x, idx = ctx.avals_in
    (out,) = ctx.avals_out
    offset_dims, collapsed, index_map, batching, index_batching = dimension_numbers
    if x.size == 0 or (idx.shape[-1] == 0 and out.size == 0):
        # A window of an empty operand is empty, or lies outside: there is nothing that could be read.
        return ctx.constant(0 if fill_value is None else fill_value, out)
    numbers = [f"offset_dims = {_dims_text(offset_dims)}", f"collapsed_slice_dims = {_dims_text(collapsed)}"]
    if batching:
        numbers.append(f"operand_batching_dims = {_dims_text(batching)}")
        numbers.append(f"start_indices_batching_dims = {_dims_text(index_batching)}")
    numbers.append(f"start_index_map = {_dims_text(index_map)}, index_vector_dim = {idx.ndim - 1}")
    sizes = f": {', '.join(map(str, slice_sizes))}" if slice_sizes else ""
    result = ctx.op(
        f'"stablehlo.gather"({operand}, {indices}) <{{'
        f"dimension_numbers = #stablehlo.gather<{', '.join(numbers)}>, "
        f"indices_are_sorted = {'true' if indices_are_sorted else 'false'}, "
        f"slice_sizes = array<i64{sizes}>}}> : ({x.mlir}, {idx.mlir}) -> {out.mlir}"
    )
    if mode not in (FILL_OR_DROP, ONE_HOT) or not index_map:
        return result
    # A window is valid where every component of its start index is within bounds.
    mask_aval = shaped_array(idx.shape, BOOL, False)
    compare = compare_type(idx)
    limits = _per_component(ctx, _last_valid_starts(x.shape, slice_sizes, index_map, idx), idx)
    mask = ctx.op(
        f"stablehlo.compare LE, {indices}, {limits}, {compare} : ({idx.mlir}, {idx.mlir}) -> {mask_aval.mlir}"
    )
    if compare == "SIGNED":
        zero = ctx.constant(0, idx)
        low = ctx.op(
            f"stablehlo.compare GE, {indices}, {zero}, {compare} : ({idx.mlir}, {idx.mlir}) -> {mask_aval.mlir}"
        )
        mask = ctx.op(f"stablehlo.and {low}, {mask} : {mask_aval.mlir}")
    row_aval = shaped_array(idx.shape[:-1], BOOL, False)
    if idx.shape[-1] == 1:
        mask = ctx.op(f"stablehlo.reshape {mask} : ({mask_aval.mlir}) -> {row_aval.mlir}")
    else:
        true = ctx.constant(True, shaped_array((), BOOL, False))
        mask = ctx.op(
            f"stablehlo.reduce({mask} init: {true}) applies stablehlo.and across dimensions = [{idx.ndim - 1}] : "
            f"({mask_aval.mlir}, tensor<i1>) -> {row_aval.mlir}"
        )
    wide = shaped_array(out.shape, BOOL, False)
    mask = ctx.broadcast(mask, row_aval, wide, tuple(d for d in range(out.ndim) if d not in offset_dims))
    fill = ctx.constant(fill_value if mode is FILL_OR_DROP else 0, out)
    return ctx.op(f"stablehlo.select {mask}, {result}, {fill} : {wide.mlir}, {out.mlir}")


def _gather_jvp(t, ans, operand, indices, *, fill_value, **params):
    return gather_p.bind(t, indices, fill_value=None if fill_value is None else 0, **params)


def _gather_transpose(ct, operand, indices, *, dimension_numbers, mode, indices_are_sorted, unique_indices, **_):
    out = scatter_add(
        zeros_of(operand.aval),
        indices,
        ct,
        _as_scatter_numbers(dimension_numbers),
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )
    return [out, None]


def _shift(dims) -> tuple[int, ...]:
    return tuple(d + 1 for d in dims)


def _gather_batch(args, dims, *, dimension_numbers, slice_sizes, unique_indices, indices_are_sorted, **params):
    operand, indices = args
    operand_dim, indices_dim = dims
    offset_dims, collapsed, index_map, batching, index_batching = dimension_numbers
    if indices_dim is None:
        operand = move_axis(operand, operand_dim, 0)
        offset_dims = (0, *_shift(offset_dims))
        slice_sizes = (operand.shape[0], *slice_sizes)
        batching = _shift(batching)
    elif operand_dim is None:
        indices = move_axis(indices, indices_dim, 0)
        numbers = GatherDimensionNumbers(_shift(offset_dims), collapsed, index_map, batching, _shift(index_batching))
        out = gather_p.bind(
            operand,
            indices,
            dimension_numbers=numbers,
            slice_sizes=slice_sizes,
            unique_indices=False,
            indices_are_sorted=False,
            **params,
        )
        return out, 0
    else:
        operand = move_axis(operand, operand_dim, 0)
        indices = move_axis(indices, indices_dim, 0)
        offset_dims = _shift(offset_dims)
        slice_sizes = (min(1, operand.shape[0]), *slice_sizes)
        batching = (0, *_shift(batching))
        index_batching = (0, *_shift(index_batching))
    numbers = GatherDimensionNumbers(offset_dims, _shift(collapsed), _shift(index_map), batching, index_batching)
    out = gather_p.bind(
        operand,
        indices,
        dimension_numbers=numbers,
        slice_sizes=slice_sizes,
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        **params,
    )
    return out, 0


gather_p = Primitive(
    "gather",
    abstract=_gather_abstract,
    lower=_gather_lower,
    jvps=(_gather_jvp, None),
    transpose=_gather_transpose,
    batch=_gather_batch,
    host=True,
)

NAN = math.nan


def default_fill_value(aval):
    """What FILL_OR_DROP puts for windows outside: NaN, the least signed or greatest unsigned integer, or True."""
    kind = kind_of(aval)
    if kind in "fc":
        return NAN
    if kind == "i":
        return int(np.iinfo(aval.dtype).min) if aval.dtype.kind == "i" else -(1 << (_bits(aval) - 1))
    if kind == "u":
        return int(np.iinfo(aval.dtype).max) if aval.dtype.kind == "u" else (1 << _bits(aval)) - 1
    return True if kind == "b" else None


def _bits(aval) -> int:
    return int(aval.dtype.name.lstrip("uint"))


def _fill_scalar(fill_value, aval):
    if fill_value is None:
        return default_fill_value(aval)
    value = np.asarray(fill_value)
    if value.ndim:
        raise ValueError(f"gather: fill_value must be a scalar, got shape {value.shape}")
    value = value.item()
    # Every NaN is one object, for the sake of caches: NaN differs from itself, but a tuple that holds it does not.
    return NAN if isinstance(value, float) and math.isnan(value) else value


def gather(
    operand,
    start_indices,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes,
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: str | GatherScatterMode | None = None,
    fill_value=None,
) -> Array:
    """Windows of ``operand`` of static size at each of ``start_indices``.

    Most programs are better served by ``x[...]`` and ``x.at[...].get(...)``. The default mode is PROMISE_IN_BOUNDS.
    Raises TypeError where the dimension numbers and the shapes do not fit together, ValueError for indices that are not
    integers.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> numbers = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
    >>> lax.gather(jnp.arange(6).reshape(3, 2), jnp.array([[2], [0]]), numbers, (1, 2))
    Array([[4, 5],
           [0, 1]], dtype=int32)
    """
    operand = as_operand(operand)
    mode = PROMISE_IN_BOUNDS if mode is None else GatherScatterMode.from_any(mode)
    return gather_p.bind(
        operand,
        start_indices,
        dimension_numbers=dimension_numbers,
        slice_sizes=int_tuple(slice_sizes),
        unique_indices=bool(unique_indices),
        indices_are_sorted=bool(indices_are_sorted),
        mode=mode,
        fill_value=_fill_scalar(fill_value, operand.aval) if mode is FILL_OR_DROP else None,
    )


def index_take(src, idxs, axes) -> Array:
    """The elements of ``src`` at integer indices along ``axes``, one index array of shape (n,) for each.

    Negative indices count from the end. The result has the axis of the indices first, then the remaining axes.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.index_take(jnp.arange(6).reshape(3, 2), (jnp.array([2, -1]),), (0,))
    Array([[4, 5],
           [4, 5]], dtype=int32)
    """
    src = as_operand(src)
    axes = tuple(a % src.ndim for a in axes)
    columns = [lax.expand_dims(as_operand(i), (1,)) for i in idxs]
    indices = lax.concatenate(columns, 1)
    sizes = asarray(np.array([[src.shape[a] for a in axes]], indices.dtype))
    remainder = lax.rem(indices, lax.broadcast_in_dim(sizes, indices.shape, (0, 1)))
    negative = lax.lt(remainder, lax.full_like(remainder, 0))
    indices = lax.select(negative, lax.add(remainder, lax.broadcast_in_dim(sizes, indices.shape, (0, 1))), remainder)
    slice_sizes = tuple(1 if d in axes else n for d, n in enumerate(src.shape))
    numbers = GatherDimensionNumbers(
        offset_dims=tuple(range(1, src.ndim - len(axes) + 1)),
        collapsed_slice_dims=tuple(sorted(axes)),
        start_index_map=axes,
    )
    return gather(src, indices, numbers, slice_sizes)


# scatter -------------------------------------------------------------------------------------------------------------

_SCATTER_FIELDS = (
    "inserted_window_dims",
    "scatter_dims_to_operand_dims",
    "operand_batching_dims",
    "scatter_indices_batching_dims",
)


def _window_sizes(rank: int, updates_shape, numbers: ScatterDimensionNumbers) -> tuple[int, ...]:
    """Size of the updated window along each axis of the operand."""
    dropped = set(numbers.inserted_window_dims) | set(numbers.operand_batching_dims)
    sizes = iter([updates_shape[d] for d in numbers.update_window_dims])
    return tuple(1 if d in dropped else next(sizes) for d in range(rank))


@cached("checked scatters", 4096)
def _check_scatter(name: str, operand, indices, updates, numbers: ScatterDimensionNumbers):
    check_same_dtype(name, (operand, updates))
    window, inserted, _, batching, _ = numbers
    rank = operand.ndim
    _check_numbers(name, operand, indices, "update_window_dims", numbers, _SCATTER_FIELDS)
    if rank != len(window) + len(inserted) + len(batching):
        raise TypeError(
            f"{name}: each of the operand's {rank} axes must have a counterpart in update_window_dims={window}, or "
            "be in "
            f"inserted_window_dims={inserted} or operand_batching_dims={batching}"
        )
    wanted = len(window) + indices.ndim - 1
    if updates.ndim != wanted:
        raise TypeError(
            f"{name}: updates must have rank {wanted}, one axis for each of update_window_dims={window} and of the "
            f"indices' {indices.ndim - 1} leading axes, got updates of shape {updates.shape}"
        )
    _check_dims(name, "update_window_dims", window, updates.ndim)
    for axis, (size, bound) in enumerate(zip(_window_sizes(rank, updates.shape, numbers), operand.shape)):
        if size > bound and axis not in inserted and axis not in batching:
            raise TypeError(
                f"{name}: the window of updates must not exceed the operand, got size {size} for axis {axis} with "
                f"updates shape {updates.shape} and operand shape {operand.shape}"
            )
    rows = tuple(n for d, n in enumerate(updates.shape) if d not in window)
    if rows != indices.shape[:-1]:
        raise TypeError(
            f"{name}: the axes of updates outside update_window_dims={window} must have the sizes of the indices' "
            "leading "
            f"axes, got {rows} and {indices.shape[:-1]}"
        )
    return operand


def _clamp_indices(ctx, indices, numbers) -> str:
    """Text that moves the start indices of windows inside the operand."""
    x, idx, updates = ctx.avals_in
    sizes = _window_sizes(x.ndim, updates.shape, numbers)
    low = ctx.constant(0, idx)
    high = _per_component(ctx, _last_valid_starts(x.shape, sizes, numbers.scatter_dims_to_operand_dims, idx), idx)
    return ctx.op(f"stablehlo.clamp {low}, {indices}, {high} : {idx.mlir}")


def _scatter_lower(combine: str | None):
    def rule(
        ctx,
        operand,
        indices,
        updates,
        *,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
        update_jaxpr,
        update_consts,
    ):
        x, idx, upd = ctx.avals_in
        if x.size == 0 or upd.size == 0:
            return operand
        window, inserted, index_map, batching, index_batching = dimension_numbers
        if mode is CLIP and index_map:
            indices = _clamp_indices(ctx, indices, dimension_numbers)
        numbers = [f"update_window_dims = {_dims_text(window)}", f"inserted_window_dims = {_dims_text(inserted)}"]
        if batching:
            numbers.append(f"input_batching_dims = {_dims_text(batching)}")
            numbers.append(f"scatter_indices_batching_dims = {_dims_text(index_batching)}")
        numbers.append(f"scatter_dims_to_operand_dims = {_dims_text(index_map)}, index_vector_dim = {idx.ndim - 1}")
        if combine is None and update_jaxpr is not None:
            region = ctx.region(update_jaxpr)
        else:
            element = shaped_array((), x.code, False).mlir
            old, new = ctx.fresh(), ctx.fresh()
            if combine is None:
                body, result = "", new
            else:
                result = ctx.fresh()
                body = f"  {result} = {combine} {old}, {new} : {element}\n"
            region = (
                f"({{\n^bb0({old}: {element}, {new}: {element}):\n{body}  stablehlo.return {result} : {element}\n}})"
            )
        return ctx.op(
            f'"stablehlo.scatter"({operand}, {indices}, {updates}) <{{'
            f"indices_are_sorted = {'true' if indices_are_sorted else 'false'}, "
            f"scatter_dimension_numbers = #stablehlo.scatter<{', '.join(numbers)}>, "
            f"unique_indices = {'true' if unique_indices else 'false'}}}> {region} : "
            f"({x.mlir}, {idx.mlir}, {upd.mlir}) -> {x.mlir}"
        )

    return rule


def _scatter_batch(primitive):
    def rule(args, dims, *, dimension_numbers, **params):
        operand, indices, updates = args
        operand_dim, indices_dim, updates_dim = dims
        window, inserted, index_map, batching, index_batching = dimension_numbers
        size = batch_size(args, dims)
        operand = to_front(operand, operand_dim, size)
        updates = to_front(updates, updates_dim, size)
        if indices_dim is None:
            window = (0, *_shift(window))
            batching = _shift(batching)
        else:
            indices = move_axis(indices, indices_dim, 0)
            window = _shift(window)
            batching = (0, *_shift(batching))
            index_batching = (0, *_shift(index_batching))
        numbers = ScatterDimensionNumbers(window, _shift(inserted), _shift(index_map), batching, index_batching)
        return primitive.bind(operand, indices, updates, dimension_numbers=numbers, **params), 0

    return rule


def _gather_back(operand, indices, updates_shape, numbers, mode, indices_are_sorted) -> Array:
    """What a scatter with these numbers would touch, in the layout of its updates; zeros where it drops."""
    return gather(
        operand,
        indices,
        _as_gather_numbers(numbers),
        _window_sizes(operand.ndim, updates_shape, numbers),
        mode=mode,
        indices_are_sorted=indices_are_sorted,
        fill_value=0,
    )


def _scatter_winners(operand_shape, indices, updates_shape, numbers, mode) -> tuple[Array, Array]:
    """Which update an overwriting scatter keeps where several meet.

    Numbers the updates from 1 and scatters the numbers. Returns a mask over the operand (True where it is overwritten)
    and one over the updates (True for those that are kept).
    """
    rows = [d for d in range(len(updates_shape)) if d not in numbers.update_window_dims]
    count = math.prod(updates_shape[d] for d in rows)
    labels = lax.add(lax.iota(np.uint32, count), np.uint32(1))
    labels = lax.reshape(labels, tuple(updates_shape[d] for d in rows))
    labels = lax.broadcast_in_dim(labels, updates_shape, tuple(rows))
    kept = scatter(lax.full(operand_shape, 0, np.uint32), indices, labels, numbers, mode=mode)
    seen = _gather_back(kept, indices, updates_shape, numbers, mode, False)
    return lax.ne(kept, np.uint32(0)), lax.eq(seen, labels)


def _mask(keep: Array, x) -> Array:
    return lax.select(keep, x, lax.full_like(x, 0))


def _all_zero(tangents, indices) -> bool:
    return all(isinstance(tangents[i], Zero) for i in indices)


def _additive_jvp(primitive):
    def rule(primals, tangents, **params):
        out = primitive.bind(*primals, **params)
        t_operand, _, t_updates = tangents
        if _all_zero(tangents, (0, 2)):
            return out, Zero(t_operand.aval)
        return out, primitive.bind(instantiate(t_operand), primals[1], instantiate(t_updates), **params)

    return rule


def _additive_transpose(negate: bool):
    def rule(ct, operand, indices, updates, *, dimension_numbers, indices_are_sorted, mode, **_):
        ct_operand = ct if isinstance(operand, UndefinedPrimal) else None
        ct_updates = None
        if isinstance(updates, UndefinedPrimal):
            ct_updates = _gather_back(ct, indices, updates.aval.shape, dimension_numbers, mode, indices_are_sorted)
            if negate:
                ct_updates = lax.neg(ct_updates)
        return [ct_operand, None, ct_updates]

    return rule


def _scatter_mul_jvp(primals, tangents, *, dimension_numbers, indices_are_sorted, unique_indices, mode, **params):
    options = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
    operand, indices, updates = primals
    out = scatter_mul(operand, indices, updates, dimension_numbers, **options)
    t_operand, _, t_updates = tangents
    if _all_zero(tangents, (0, 2)):
        return out, Zero(t_operand.aval)
    total = None
    if not isinstance(t_operand, Zero):
        total = scatter_mul(t_operand, indices, updates, dimension_numbers, **options)
    if not isinstance(t_updates, Zero):
        if not unique_indices:
            raise NotImplementedError(
                "scatter_mul: derivatives with respect to the updates need unique_indices=True: products of updates "
                "that "
                "meet at one element have no derivative rule"
            )
        change = scatter_add(lax.full_like(operand, 0), indices, t_updates, dimension_numbers, **options)
        term = lax.mul(operand, change)
        total = term if total is None else lax.add(total, term)
    return out, total


def _scatter_mul_transpose(ct, operand, indices, updates, *, dimension_numbers, indices_are_sorted, mode, **params):
    options = {"indices_are_sorted": indices_are_sorted, "mode": mode}
    if isinstance(operand, UndefinedPrimal):
        out = scatter_mul(ct, indices, updates, dimension_numbers, unique_indices=params["unique_indices"], **options)
        return [out, None, None]
    product = lax.mul(ct, operand)
    return [None, None, _gather_back(product, indices, updates.aval.shape, dimension_numbers, mode, indices_are_sorted)]


def _scatter_extremal_jvp(primitive):
    """Minimum and maximum: the tangents of the operand and of all updates that attain the result are averaged."""

    def rule(primals, tangents, *, dimension_numbers, indices_are_sorted, unique_indices, mode, **params):
        options = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
        operand, indices, updates = primals
        out = primitive.bind(*primals, dimension_numbers=dimension_numbers, **options, **params)
        t_operand, _, t_updates = tangents
        if _all_zero(tangents, (0, 2)):
            return out, Zero(t_operand.aval)
        read_mode = CLIP if mode in (FILL_OR_DROP, ONE_HOT) else mode
        attained = _gather_back(out, indices, updates.shape, dimension_numbers, read_mode, indices_are_sorted)
        update_wins = lax.convert_element_type(lax.eq(updates, attained), updates.dtype)
        # A NaN in the operand is equal to nothing, but untouched it is the result.
        operand_wins = lax.bitwise_or(lax.eq(operand, out), lax.ne(operand, operand))
        operand_wins = lax.convert_element_type(operand_wins, operand.dtype)
        zeros = lax.full_like(operand, 0)
        ties = lax.add(scatter_add(zeros, indices, update_wins, dimension_numbers, **options), operand_wins)
        total = None
        if not isinstance(t_operand, Zero):
            total = lax.mul(t_operand, operand_wins)
        if not isinstance(t_updates, Zero):
            base = zeros if total is None else total
            total = scatter_add(base, indices, lax.mul(t_updates, update_wins), dimension_numbers, **options)
        return out, lax.div(total, ties)

    return rule


def _scatter_jvp(
    primals, tangents, *, dimension_numbers, indices_are_sorted, unique_indices, mode, update_jaxpr, update_consts
):
    options = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
    operand, indices, updates = primals
    out = scatter_p.bind(
        *primals, dimension_numbers=dimension_numbers, update_jaxpr=update_jaxpr, update_consts=update_consts, **options
    )
    t_operand, _, t_updates = tangents
    if _all_zero(tangents, (0, 2)):
        return out, Zero(t_operand.aval)
    if update_jaxpr is not None:
        return out, _scatter_apply_tangent(primals, t_operand, dimension_numbers, update_jaxpr, **options)
    if unique_indices or isinstance(t_updates, Zero):
        # Overwriting with zeros needs no order among updates that meet.
        return out, scatter(instantiate(t_operand), indices, instantiate(t_updates), dimension_numbers, **options)
    overwritten, kept = _scatter_winners(operand.shape, indices, updates.shape, dimension_numbers, mode)
    t_updates = _mask(kept, t_updates)
    base = lax.full_like(operand, 0) if isinstance(t_operand, Zero) else _mask(lax.bitwise_not(overwritten), t_operand)
    return out, scatter_add(base, indices, t_updates, dimension_numbers, **options)


def _scatter_apply_tangent(primals, t_operand, numbers, update_jaxpr, *, indices_are_sorted, unique_indices, mode):
    operand, indices, updates = primals
    if not unique_indices:
        raise NotImplementedError(
            "scatter_apply: derivatives need unique_indices=True: a function applied several times to one element "
            "has no "
            "derivative rule"
        )
    if isinstance(t_operand, Zero):
        return t_operand
    shape = updates.shape
    windows = [_gather_back(v, indices, shape, numbers, mode, indices_are_sorted) for v in (operand, t_operand)]

    def elementwise(args):
        return eval_jaxpr(update_jaxpr.jaxpr, update_jaxpr.consts, [args[0], lax.full_like(args[0], 0)])

    (value,), (tangent,) = jvp_flat(elementwise, windows[:1], windows[1:])
    tangent = lax.full_like(value, 0) if tangent is None else tangent
    return scatter(
        t_operand,
        indices,
        tangent,
        numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )


def _scatter_transpose(
    ct, operand, indices, updates, *, dimension_numbers, indices_are_sorted, unique_indices, mode, **_
):
    aval = updates.aval
    ct_operand = ct_updates = None
    if isinstance(operand, UndefinedPrimal):
        ct_operand = scatter(
            ct,
            indices,
            zeros_of(aval),
            dimension_numbers,
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
            mode=mode,
        )
    if isinstance(updates, UndefinedPrimal):
        ct_updates = _gather_back(ct, indices, aval.shape, dimension_numbers, mode, indices_are_sorted)
        if not unique_indices:
            _, kept = _scatter_winners(ct.shape, indices, aval.shape, dimension_numbers, mode)
            ct_updates = _mask(kept, ct_updates)
    return [ct_operand, None, ct_updates]


def _scatter_primitive(name: str, combine: str | None, jvp, transpose):
    function = name.replace("-", "_")

    def abstract(operand, indices, updates, *, dimension_numbers, **_):
        return _check_scatter(function, operand, indices, updates, dimension_numbers)

    primitive = Primitive(name, abstract=abstract, lower=_scatter_lower(combine), transpose=transpose, host=True)
    primitive.jvp = jvp(primitive)
    primitive.batch = _scatter_batch(primitive)
    return primitive


scatter_add_p = _scatter_primitive("scatter-add", "stablehlo.add", _additive_jvp, _additive_transpose(negate=False))
scatter_sub_p = _scatter_primitive("scatter-sub", "stablehlo.subtract", _additive_jvp, _additive_transpose(negate=True))
scatter_mul_p = _scatter_primitive(
    "scatter-mul", "stablehlo.multiply", lambda _: _scatter_mul_jvp, _scatter_mul_transpose
)
scatter_min_p = _scatter_primitive("scatter-min", "stablehlo.minimum", _scatter_extremal_jvp, None)
scatter_max_p = _scatter_primitive("scatter-max", "stablehlo.maximum", _scatter_extremal_jvp, None)
scatter_p = _scatter_primitive("scatter", None, lambda _: _scatter_jvp, _scatter_transpose)


@cached("combiners of scatters", 256)
def _combiner(combine: str, code: int):
    """The scalar program of a combiner, which the equation shows as its ``update_jaxpr``."""
    from cyxla._transform.jaxprs import trace_to_jaxpr

    function = getattr(lax, combine)
    element = shaped_array((), code, False)
    try:
        closed = trace_to_jaxpr(lambda args: [function(*args)], [element, element])
    except TypeError as error:
        raise TypeError(f"scatter_{combine}: {error}") from None
    closed.lasting = True  # there are few, and abstract evaluation is remembered by their like
    return closed


def _scatter_function(primitive, combine: str, summary: str):
    def function(
        operand,
        scatter_indices,
        updates,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: str | GatherScatterMode | None = None,
    ) -> Array:
        operand = as_operand(operand)
        return primitive.bind(
            operand,
            scatter_indices,
            updates,
            dimension_numbers=dimension_numbers,
            indices_are_sorted=bool(indices_are_sorted),
            unique_indices=bool(unique_indices),
            mode=GatherScatterMode.from_any(mode),
            update_jaxpr=_combiner(combine, operand.aval.code),
            update_consts=(),
        )

    name = primitive.name.replace("-", "_")
    function.__name__ = function.__qualname__ = name
    function.__code__ = function.__code__.replace(co_name=name, co_qualname=name)
    function.__doc__ = f"""{summary}

    Windows outside the operand are dropped unless ``mode`` says otherwise. Most programs are better served by
    ``x.at[...]``. Raises TypeError where dtypes, shapes and dimension numbers do not fit together.
    """
    return function


scatter_add = _scatter_function(scatter_add_p, "add", "``operand`` with ``updates`` added at ``scatter_indices``.")
scatter_sub = _scatter_function(scatter_sub_p, "sub", "``operand`` with ``updates`` subtracted at ``scatter_indices``.")
scatter_mul = _scatter_function(scatter_mul_p, "mul", "``operand`` multiplied by ``updates`` at ``scatter_indices``.")
scatter_min = _scatter_function(
    scatter_min_p, "min", "The lesser of ``operand`` and ``updates`` at ``scatter_indices``."
)
scatter_max = _scatter_function(
    scatter_max_p, "max", "The greater of ``operand`` and ``updates`` at ``scatter_indices``."
)


def scatter(
    operand,
    scatter_indices,
    updates,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Array:
    """``operand`` with windows at ``scatter_indices`` replaced by ``updates``.

    Where several updates meet, one of them wins, and it is not specified which. Windows outside the operand are dropped
    unless ``mode`` says otherwise. Most programs are better served by ``x.at[...].set(...)``.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> numbers = lax.ScatterDimensionNumbers((), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,))
    >>> lax.scatter(jnp.zeros(4), jnp.array([[3], [1]]), jnp.array([5.0, 6.0]), numbers)
    Array([0., 6., 0., 5.], dtype=float32)
    """
    return scatter_p.bind(
        operand,
        scatter_indices,
        updates,
        dimension_numbers=dimension_numbers,
        indices_are_sorted=bool(indices_are_sorted),
        unique_indices=bool(unique_indices),
        mode=GatherScatterMode.from_any(mode),
        update_jaxpr=None,
        update_consts=(),
    )


def scatter_apply(
    operand,
    scatter_indices,
    func,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    update_shape: tuple[int, ...] = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Array:
    """``operand`` with the scalar function ``func`` applied at ``scatter_indices``, as often as an index occurs.

    ``update_shape`` is the shape that updates would have.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> numbers = lax.ScatterDimensionNumbers((), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,))
    >>> lax.scatter_apply(jnp.ones(3), jnp.array([[1]]), lambda v: v + 1, numbers, update_shape=(1,))
    Array([1., 2., 1.], dtype=float32)
    """
    from cyxla._transform.jaxprs import trace_to_jaxpr

    operand = as_operand(operand)
    element = shaped_array((), operand.aval.code, False)

    def combine(args):
        result = as_operand(func(args[0]))
        if result.shape != () or result.dtype != operand.dtype:
            raise TypeError(
                f"scatter_apply: func must return a scalar of dtype {operand.dtype}, got {short(result.aval)}"
            )
        return [result]

    return scatter_p.bind(
        operand,
        as_operand(scatter_indices),
        lax.full(tuple(update_shape), 0, operand.dtype),
        dimension_numbers=dimension_numbers,
        indices_are_sorted=bool(indices_are_sorted),
        unique_indices=bool(unique_indices),
        mode=GatherScatterMode.from_any(mode),
        update_jaxpr=trace_to_jaxpr(combine, [element, element]),
        update_consts=(),
    )
