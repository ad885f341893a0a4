"""Plans of indices: what ``x[...]`` and ``x.at[...]`` do to which axes, and how the result is laid out.

An index is decoded into one entry for each axis. A plan depends on shapes and static entries only, so plans are cached.

- StaticPlan, for integers, slices and None: a slice, then rev, squeeze and expand_dims where needed.
- DynamicPlan, for reads with traced scalars too: a dynamic_slice instead of the slice.
- LookupPlan, for the rest: a gather or a scatter, whose start indices StartIndices makes.
"""

from __future__ import annotations

import operator
from types import EllipsisType
from typing import NamedTuple

import numpy as np

from cyxla import errors, lax
from cyxla._engine.array import Array, ArrayImpl, asarray
from cyxla._engine.caches import cached
from cyxla._engine.dtypes import code_dtype, dtype_code, x64_enabled
from cyxla.lax._util import broadcast_error, kind_of, scalar, scalar_like, short

INT32_SIZE = 2**31
INT32, INT64 = dtype_code(np.int32), dtype_code(np.int64)


# decoding ------------------------------------------------------------------------------------------------------------


class Slice(NamedTuple):
    """A slice with its bounds resolved against the size of its axis."""

    start: int
    size: int
    step: int


class Lookup(NamedTuple):
    """An array of indices, of which a plan needs the shape only."""

    shape: tuple[int, ...]


def _check_sequence(index) -> None:
    if isinstance(index, list):
        raise TypeError(
            f"a list {index!r:.100} is no index: write x[jnp.array(indices)] to look elements up, x[tuple(indices)] "
            "to index axes"
        )
    if isinstance(index, str):
        raise TypeError(f"an array has no fields, so the string {index!r} is no index")


def _prepare_entry(entry):
    """One entry of an index: an int, bool, slice, None or Ellipsis, a NumPy array or a tracer."""
    if entry is None or entry is Ellipsis or type(entry) is slice or type(entry) is int or type(entry) is bool:
        return entry
    if isinstance(entry, ArrayImpl):
        _check_indexer_dtype(entry.aval)
        value = entry._value
    elif isinstance(entry, Array):
        _check_indexer_dtype(entry.aval)
        if kind_of(entry.aval) == "b":
            raise errors.NonConcreteBooleanIndexError(entry)
        return entry
    elif isinstance(entry, (np.ndarray, np.generic, float, complex)):
        value = np.asarray(entry)
    elif isinstance(entry, (list, tuple)):
        if any(isinstance(e, Array) and not isinstance(e, ArrayImpl) for e in entry):
            return _prepare_entry(lax.stack([asarray(e) for e in entry]))
        value = np.asarray(entry) if len(entry) else np.zeros(0, np.int32)
    elif hasattr(type(entry), "__index__"):
        return operator.index(entry)
    elif hasattr(type(entry), "__jax_array__"):
        return _prepare_entry(entry.__jax_array__())
    else:
        raise IndexError(
            f"{entry!r:.200} is no index: use integers, slices, ..., None, and arrays of integers or booleans"
        )
    if value.dtype.kind not in "biu":
        if value.dtype.name not in ("int2", "int4", "uint2", "uint4"):
            raise TypeError(
                f"an index must have integer or boolean type, got an index of type {value.dtype} in {entry!r}"
            )
        value = value.astype(np.int32)
    if not value.ndim:
        return value.item()
    return value


def _check_indexer_dtype(aval) -> None:
    if kind_of(aval) not in "biu":
        raise TypeError(f"an index must have integer or boolean type, got an index of type {short(aval)}")


class Index(NamedTuple):
    """An index with one entry for each axis of the operand, and None for each new axis."""

    entries: tuple  # None, int, Slice, a NumPy array or a tracer
    expanded: tuple  # positions of axes of size 1 that the operand must be given first, for scalar booleans
    static: bool  # no arrays and no tracers


def _resolve_slice(entry: slice, size: int, position: int) -> Slice:
    try:
        start, stop, step = entry.indices(size)
    except TypeError:
        if any(isinstance(v, Array) and not isinstance(v, ArrayImpl) for v in (entry.start, entry.stop, entry.step)):
            raise IndexError(
                f"slice entries must be static integers, got {entry} at position {position}; use lax.dynamic_slice or "
                "lax.dynamic_slice_in_dim for a slice of static size at a traced position"
            ) from None
        raise
    return Slice(start, len(range(start, stop, step)), step)


def decode(index, shape: tuple[int, ...]) -> Index:
    if type(index) is not tuple:
        _check_sequence(index)
        index = (index,)
    entries = [_prepare_entry(e) for e in index]
    consumed = 0
    ellipsis = None
    for i, entry in enumerate(entries):
        if entry is Ellipsis:
            if ellipsis is not None:
                raise IndexError("... may occur once in an index")
            ellipsis = i
        elif type(entry) is np.ndarray and entry.dtype.kind == "b":
            consumed += entry.ndim
        elif entry is not None and type(entry) is not bool:
            consumed += 1
    rank = len(shape)
    if consumed > rank:
        raise IndexError(f"too many indices: the array is {rank}-dimensional, but {consumed} were indexed")
    fill = [slice(None)] * (rank - consumed)
    if ellipsis is None:
        entries += fill
    else:
        entries[ellipsis : ellipsis + 1] = fill
    result, expanded, static = [], [], True
    axis = 0  # of the operand
    for position, entry in enumerate(entries):
        kind = type(entry)
        if entry is None:
            result.append(None)
        elif kind is slice:
            result.append(_resolve_slice(entry, shape[axis], position))
            axis += 1
        elif kind is int:
            if shape[axis] == 0:
                raise IndexError(f"index {entry} is out of bounds for axis {axis} with size 0")
            result.append(entry)
            axis += 1
        elif kind is bool:
            expanded.append(axis + len(expanded))
            result.append(np.zeros(int(entry), np.int32))
            static = False
        elif kind is np.ndarray and entry.dtype.kind == "b":
            wanted = shape[axis : axis + entry.ndim]
            if entry.shape != wanted:
                raise IndexError(
                    f"a boolean index must have the shape of what it indexes: got shape {entry.shape} for axes "
                    f"{axis} to "
                    f"{axis + entry.ndim} of an array of shape {shape}, which have shape {wanted}"
                )
            result += [i.astype(np.int32) if max(wanted) < INT32_SIZE else i for i in entry.nonzero()]
            axis += entry.ndim
            static = False
        else:
            result.append(entry)
            axis += 1
            static = False
    return Index(tuple(result), tuple(expanded), static)


def _slice_key(entry: slice):
    start, stop, step = entry.start, entry.stop, entry.step
    if (
        (start is None or type(start) is int)
        and (stop is None or type(stop) is int)
        and (step is None or type(step) is int)
    ):
        return (slice, start, stop, step)
    return None


def signature_of(index):
    """A hashable key of an index of static entries and traced arrays, and the latter; None for all other indices."""
    key, traced = [], []
    for entry in index if type(index) is tuple else (index,):
        kind = type(entry)
        if kind is slice:
            entry = _slice_key(entry)
            if entry is None:
                return None
        elif kind is not int and entry is not None and kind is not EllipsisType:
            if kind is ArrayImpl or not isinstance(entry, Array):
                return None
            traced.append(entry)
            entry = entry.aval
        key.append(entry)
    return tuple(key), traced


class PlanCache(dict):
    """Plans by shape, key of the index and whether negative indices are wrapped. Emptied when it is full."""

    LIMIT = 4096

    def keep(self, key, plan):
        if len(self) >= self.LIMIT:
            self.clear()
        self[key] = plan
        return plan


# static indices ------------------------------------------------------------------------------------------------------


class StaticPlan:
    """How to read, and to overwrite, at an index of ints, slices and None."""

    __slots__ = (
        "entries",
        "host",
        "in_bounds",
        "new_axes",
        "out_shape",
        "reversed",
        "slicing",
        "squeezed",
        "starts",
        "window",
    )

    def __init__(self, shape: tuple[int, ...], entries: tuple, wrap: bool):
        starts, limits, strides, squeezed, reverse, new_axes, host = [], [], [], [], [], [], []
        out_shape = []
        self.in_bounds = True
        for entry in entries:
            axis = len(starts)
            if entry is None:
                new_axes.append(len(out_shape))
                out_shape.append(1)
                host.append(None)
                continue
            size = shape[axis]
            if type(entry) is int:
                start = entry + size if entry < 0 and wrap else entry
                if not 0 <= start < size:
                    self.in_bounds = False
                    start = min(max(start, 0), size - 1)
                starts.append(start)
                limits.append(start + 1)
                strides.append(1)
                squeezed.append(axis)
                host.append(start)
                continue
            start, count, step = entry
            if step < 0:
                if count > 1:
                    reverse.append(axis)
                start, step = start + (count - 1) * step if count else 0, -step
            start = min(start, size)
            starts.append(start)
            limits.append(start + (count - 1) * step + 1 if count else start)
            strides.append(step if count > 1 else 1)
            out_shape.append(count)
            host.append(slice(start, limits[-1], step))
        for position, entry in zip(range(len(host)), entries):
            if type(entry) is Slice and entry.step < 0 and entry.size > 1:
                stop = entry.start + entry.size * entry.step
                host[position] = slice(entry.start, stop if stop >= 0 else None, entry.step)
        self.entries = entries
        self.starts = None
        self.out_shape = tuple(out_shape)
        self.host = tuple(host)
        self.squeezed = tuple(squeezed)
        self.reversed = tuple(reverse)
        self.new_axes = tuple(new_axes)
        self.window = (
            tuple(limit - start for start, limit in zip(starts, limits)) if max(strides, default=1) == 1 else None
        )
        whole = all(s == 0 and n == m for s, n, m in zip(starts, limits, shape))
        if whole and max(strides, default=1) == 1:
            self.slicing = None
        else:
            self.slicing = {
                "start_indices": tuple(starts),
                "limit_indices": tuple(limits),
                "strides": None if max(strides) == 1 else tuple(strides),
            }


_static_plans = PlanCache()


def static_plan(shape, index, key, wrap: bool) -> StaticPlan:
    found = _static_plans.get((shape, key, wrap))
    if found is None:
        plan = StaticPlan(shape, decode(index, shape).entries, wrap)
        found = _static_plans.keep((shape, key, wrap), plan)
    return found


def read_static(x, plan: StaticPlan) -> Array:
    if plan.slicing is not None:
        x = lax.slice_p.bind(x, **plan.slicing)
    if plan.reversed:
        x = lax.rev(x, plan.reversed)
    if plan.squeezed:
        x = lax.squeeze_p.bind(x, dimensions=plan.squeezed)
    if plan.new_axes:
        x = lax.expand_dims(x, plan.new_axes)
    return x


# traced scalars beside static entries --------------------------------------------------------------------------------


def _wrapped(index, size: int, wrap: bool):
    """A traced index with negative values counted from the end, as int32 or int64."""
    code = index.aval.code
    if code != INT32 and code != INT64:
        if kind_of(index.aval) == "u" and index.aval.dtype.itemsize >= 4:
            index = lax.min(index, scalar_like(index, size))
        index = lax.convert_element_type(index, np.int32)
    if not wrap:
        return index
    return lax.select(lax.lt(index, scalar_like(index, 0)), lax.add(index, scalar_like(index, size)), index)


def index_code(arrays) -> int:
    """The dtype of start indices among which are these traced ones, after ``_wrapped``."""
    return INT64 if any(a.aval.code == INT64 for a in arrays) else INT32


class DynamicPlan:
    """A read with traced scalars, clamped: a dynamic_slice of the windows, then what a static read does."""

    __slots__ = ("code", "rest", "sizes", "starts", "wrap")

    def __init__(self, shape, entries, wrap: bool, code: int):
        starts, sizes, rest = [], [], []
        for entry in entries:
            if entry is None:
                rest.append(None)
                continue
            size = shape[len(starts)]
            if type(entry) is Slice:
                start, count, step = entry
                low = min(start, start + (count - 1) * step) if count else 0
                span = (count - 1) * abs(step) + 1 if count else 0
                starts.append(scalar(low, code))
                sizes.append(span)
                rest.append(Slice(0 if step > 0 else span - 1, count, step))
                continue
            if type(entry) is int:
                start = entry + size if entry < 0 and wrap else entry
                starts.append(scalar(start, code))
            else:
                if size == 0:
                    raise IndexError(f"index is out of bounds for axis {len(starts)} with size 0")
                starts.append(size)
            sizes.append(1)
            rest.append(0)
        self.code = code
        self.wrap = wrap
        self.starts = starts
        self.sizes = tuple(sizes)
        self.rest = StaticPlan(self.sizes, tuple(rest), True)

    def read(self, x, traced) -> Array:
        indices = iter(traced)
        starts = []
        for start in self.starts:
            if type(start) is int:
                start = _wrapped(next(indices), start, self.wrap)
                if start.aval.code != self.code:
                    start = lax.convert_element_type(start, np.int64)
            starts.append(start)
        return read_static(lax.dynamic_slice_p.bind(x, *starts, slice_sizes=self.sizes), self.rest)


# arrays of indices ---------------------------------------------------------------------------------------------------


class LookupPlan(NamedTuple):
    """How an index with arrays becomes a gather or scatter."""

    numbers: lax.GatherDimensionNumbers
    slice_sizes: tuple[int, ...]
    batch_shape: tuple[int, ...]  # of the start indices, without the index vectors
    components: tuple  # of an index vector: (operand axis, what, ...) for each
    reversed: tuple[int, ...]  # axes of the gathered array
    new_axes: tuple[int, ...]  # axes of the result
    shape: tuple[int, ...]  # of the gathered array
    out_shape: tuple[int, ...]  # of the result
    unique: bool  # no index can occur twice


def broadcast_lookups(shapes) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise broadcast_error(shapes) from None


@cached("plans of indexing", 4096)
def _lookup_plan(shape: tuple[int, ...], entries: tuple, wrap: bool) -> LookupPlan:
    advanced = [i for i, e in enumerate(entries) if type(e) in (int, Lookup)]
    lookup_shape = broadcast_lookups([e.shape for e in entries if type(e) is Lookup])
    together = not advanced or advanced[-1] - advanced[0] + 1 == len(advanced)
    first = advanced[0] if together and advanced else 0
    # The axes of the result in order: ("new",), ("window", ...), ("iota", ...) or ("lookup", axis of lookup_shape).
    layout: list[tuple] = []
    axis = 0
    slice_sizes, collapsed = [], []
    components = []
    for position, entry in enumerate(entries):
        if position == first:
            layout += [("lookup", n) for n in lookup_shape]
        if entry is None:
            layout.append(("new", 1))
            continue
        if type(entry) is Slice:
            start, count, step = entry
            if abs(step) == 1 or count <= 1:
                low = start if step > 0 or not count else start - count + 1
                low = min(low, shape[axis]) if count else 0
                layout.append(("window", count, step < 0 and count > 1))
                slice_sizes.append(count)
                if count != shape[axis]:
                    components.append((axis, "constant", low))
            else:
                layout.append(("iota", count, len(components)))
                components.append((axis, "iota", start, step, count))
                slice_sizes.append(1)
                collapsed.append(axis)
        else:
            if type(entry) is int:
                value = entry + shape[axis] if entry < 0 and wrap else entry
                components.append((axis, "constant", value))
            else:
                components.append((axis, "lookup", position))
            slice_sizes.append(1)
            collapsed.append(axis)
        axis += 1
    if first == len(entries):
        layout += [("lookup", n) for n in lookup_shape]
    gathered = [e for e in layout if e[0] != "new"]
    batch = [e for e in gathered if e[0] != "window"]
    # Where in the start indices each component varies.
    lookup_axis = next((i for i, e in enumerate(batch) if e[0] == "lookup"), 0)
    iota_axes = {e[2]: i for i, e in enumerate(batch) if e[0] == "iota"}
    placed = []
    for i, component in enumerate(components):
        if component[1] == "lookup":
            own = entries[component[2]].shape
            dims = tuple(range(lookup_axis + len(lookup_shape) - len(own), lookup_axis + len(lookup_shape)))
            placed.append((*component, dims))
        elif component[1] == "iota":
            placed.append((*component, (iota_axes[i],)))
        else:
            placed.append(component)
    return LookupPlan(
        numbers=lax.GatherDimensionNumbers(
            offset_dims=tuple(i for i, e in enumerate(gathered) if e[0] == "window"),
            collapsed_slice_dims=tuple(collapsed),
            start_index_map=tuple(c[0] for c in components),
        ),
        slice_sizes=tuple(slice_sizes),
        batch_shape=tuple(e[1] for e in batch),
        components=tuple(placed),
        reversed=tuple(i for i, e in enumerate(gathered) if e[0] == "window" and e[2]),
        new_axes=tuple(i for i, e in enumerate(layout) if e[0] == "new"),
        shape=tuple(e[1] for e in gathered),
        out_shape=tuple(e[1] for e in layout),
        unique=not lookup_shape,
    )


def _plan_of(entries, shape: tuple[int, ...], wrap: bool) -> LookupPlan:
    shapes = tuple(e if e is None or type(e) in (int, Slice) else Lookup(e.shape) for e in entries)
    return _lookup_plan(shape, shapes, wrap)


def wrap_on_host(value, size: int, wrap: bool):
    """A concrete index array as int64, with negative values counted from the end."""
    if value.dtype.kind == "u":
        return np.minimum(value.astype(np.uint64), np.uint64(np.iinfo(np.int64).max)).astype(np.int64)
    value = value.astype(np.int64, copy=False)
    return np.where(value < 0, value + size, value) if wrap else value


class StartIndices:
    """Makes the array of index vectors of a gather or scatter."""

    __slots__ = ("columns", "constant", "dtype", "plan", "wrap")

    def __init__(self, plan: LookupPlan, entries, shape, wrap: bool):
        tracers = [e for e in entries if isinstance(e, Array)]
        code = index_code(tracers)
        if any(n >= INT32_SIZE for n in shape) and x64_enabled():
            code = INT64
        self.plan = plan
        self.wrap = wrap
        self.dtype = dtype = code_dtype(code)
        self.constant = None
        top = np.iinfo(dtype).max
        order = {i: n for n, i in enumerate(i for i, e in enumerate(entries) if isinstance(e, Array))}
        column_shape = (*plan.batch_shape, 1)
        # A column is a NumPy array, or (number of the tracer, size of its axis, axes of the column it varies along).
        columns = []
        for axis, what, *rest in plan.components:
            if what == "constant":
                columns.append(np.full([1] * len(column_shape), min(rest[0], top), dtype))
                continue
            if what == "iota":
                start, step, count, dims = rest
                value = np.arange(count, dtype=dtype) * dtype.type(step) + dtype.type(start)
            else:
                position, dims = rest
                if position in order:
                    columns.append((order[position], shape[axis], dims))
                    continue
                value = np.clip(wrap_on_host(entries[position], shape[axis], wrap), np.iinfo(dtype).min, top)
            own = [1] * len(column_shape)
            for d, n in zip(dims, value.shape):
                own[d] = n
            columns.append(value.astype(dtype, copy=False).reshape(own))
        if tracers:
            self.columns = [
                c if type(c) is tuple else asarray(np.broadcast_to(c, column_shape).copy()) for c in columns
            ]
        elif len(columns) == 1 and columns[0].size == 1:
            # One static index: a literal of the program rather than a constant beside it.
            self.columns = [asarray(columns[0].reshape(()))]
        elif not columns:
            self.constant = asarray(np.zeros((*plan.batch_shape, 0), dtype))
        else:
            self.constant = asarray(np.concatenate([np.broadcast_to(c, column_shape) for c in columns], -1))

    def of(self, traced) -> Array:
        if self.constant is not None:
            return self.constant
        shape = (*self.plan.batch_shape, 1)
        columns = []
        for column in self.columns:
            if type(column) is tuple:
                which, size, dims = column
                column = _wrapped(traced[which], size, self.wrap)
                if column.dtype != self.dtype:
                    column = lax.convert_element_type(column, self.dtype)
                if column.shape != shape:
                    column = lax.broadcast_in_dim_p.bind(column, shape=shape, broadcast_dimensions=dims, sharding=None)
            elif not column.shape:
                column = lax.broadcast_in_dim_p.bind(column, shape=shape, broadcast_dimensions=(), sharding=None)
            columns.append(column)
        if len(columns) == 1:
            return columns[0]
        return lax.concatenate_p.bind(*columns, dimension=len(shape) - 1)


_traced_plans = PlanCache()


def traced_plan(shape, index, key, wrap: bool):
    """The plans of an index of static entries and traced arrays: for a clamped read of scalars, and for the rest."""
    found = _traced_plans.get((shape, key, wrap))
    if found is None:
        entries = decode(index, shape).entries
        arrays = [e for e in entries if isinstance(e, Array)]
        dynamic = None
        if arrays and all(not e.shape for e in arrays) and static_in_bounds(entries, shape, wrap):
            dynamic = DynamicPlan(shape, entries, wrap, index_code(arrays))
        found = _traced_plans.keep((shape, key, wrap), (dynamic, start_indices(entries, shape, wrap)))
    return found


def static_in_bounds(entries, shape, wrap: bool) -> bool:
    """Whether the integers of an index are in bounds; others are left to the program, where checks see them."""
    sizes = iter(shape)
    return all(
        type(entry) is not int or -size * wrap <= entry < size
        for entry, size in ((entry, next(sizes)) for entry in entries if entry is not None)
    )


def start_indices(entries, shape, wrap: bool) -> StartIndices:
    return StartIndices(_plan_of(entries, shape, wrap), entries, shape, wrap)
