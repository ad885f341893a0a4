"""NumPy-style indexing: ``x[...]`` and the updates ``x.at[...]``.

An index is decoded into a plan: which axes are sliced, dropped or looked up, and how the result is laid out. Plans depend
on shapes and static entries only, so they are cached.

- Only integers, slices, None and Ellipsis: a slice, then rev, squeeze and expand_dims where needed.
- Traced scalars too: a dynamic_slice instead.
- Integer arrays: a gather, or a scatter for updates. A boolean mask stands for the positions of its True entries.

Concrete arrays outside of any transformation are read and overwritten on the host: nothing is compiled for them.

Out-of-bounds integers are clamped when reading and dropped when updating, unless ``mode`` says otherwise.
"""

from __future__ import annotations

import operator
import warnings
from functools import lru_cache
from types import EllipsisType
from typing import NamedTuple

import numpy as np

from cyxla import errors, lax
from cyxla._engine.array import Array, ArrayImpl, array_from_host, asarray, install, install_operator
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import get_trace
from cyxla._engine.dtypes import promote_nodes, x64_enabled
from cyxla._runtime import backend
from cyxla.lax._util import kind_of, scalar, short
from cyxla.lax.convert import convert
from cyxla.lax.gather_scatter import CLIP, FILL_OR_DROP, PROMISE_IN_BOUNDS, GatherScatterMode

__all__ = ["IndexUpdateHelper", "getitem", "take"]

INT32_SIZE = 2**31


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
            "Using a non-tuple sequence for multidimensional indexing is not allowed; use x[jnp.array(seq)] instead of "
            f"x[seq], got index {index}"
        )
    if isinstance(index, str):
        raise TypeError(f"an array cannot be indexed by a string; got index {index!r}")


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
            "only integers, slices (`:`), ellipsis (`...`), None and integer or boolean arrays are valid indices; got "
            f"{entry!r}"
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

    entries: tuple          # None, int, Slice, a NumPy array or a tracer
    expanded: tuple         # positions of axes of size 1 that the operand must be given first, for scalar booleans
    static: bool            # no arrays and no tracers


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


def _decode(index, shape: tuple[int, ...]) -> Index:
    if type(index) is not tuple:
        _check_sequence(index)
        index = (index,)
    entries = [_prepare_entry(e) for e in index]
    consumed = 0
    ellipsis = None
    for i, entry in enumerate(entries):
        if entry is Ellipsis:
            if ellipsis is not None:
                raise IndexError("an index can only have a single ellipsis ('...')")
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
                    f"a boolean index must have the shape of what it indexes: got shape {entry.shape} for axes {axis} to "
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


def _static_key(index):
    """A hashable key of an index of ints, slices, None and Ellipsis; None for all other indices."""
    kind = type(index)
    if kind is int:
        return index
    if kind is slice:
        return _slice_key(index)
    if kind is not tuple:
        return "..." if index is Ellipsis else "None" if index is None else None
    key = []
    for entry in index:
        kind = type(entry)
        if kind is slice:
            entry = _slice_key(entry)
            if entry is None:
                return None
        elif kind is not int and entry is not None and kind is not EllipsisType:
            return None
        key.append(entry)
    return tuple(key)


def _slice_key(entry: slice):
    start, stop, step = entry.start, entry.stop, entry.step
    if (
        (start is None or type(start) is int)
        and (stop is None or type(stop) is int)
        and (step is None or type(step) is int)
    ):
        return (slice, start, stop, step)
    return None


# static indices ------------------------------------------------------------------------------------------------------


class StaticPlan:
    """How to read, and to overwrite, at an index of ints, slices and None."""

    __slots__ = ("entries", "host", "in_bounds", "new_axes", "out_shape", "reversed", "slicing", "squeezed", "window")

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
        self.out_shape = tuple(out_shape)
        self.host = tuple(host)
        self.squeezed = tuple(squeezed)
        self.reversed = tuple(reverse)
        self.new_axes = tuple(new_axes)
        self.window = tuple(limit - start for start, limit in zip(starts, limits)) if max(strides, default=1) == 1 else None
        whole = all(s == 0 and n == m for s, n, m in zip(starts, limits, shape))
        if whole and max(strides, default=1) == 1:
            self.slicing = None
        else:
            self.slicing = {
                "start_indices": tuple(starts),
                "limit_indices": tuple(limits),
                "strides": None if max(strides) == 1 else tuple(strides),
            }


_static_plans: dict = {}
MAX_STATIC_PLANS = 4096


def _static_plan(shape, index, key, wrap: bool) -> StaticPlan:
    found = _static_plans.get((shape, key, wrap))
    if found is None:
        found = StaticPlan(shape, _decode(index, shape).entries, wrap)
        if len(_static_plans) >= MAX_STATIC_PLANS:
            _static_plans.clear()
        _static_plans[shape, key, wrap] = found
    return found


_host_is_near = False  # known for certain


def _is_concrete(x) -> bool:
    """Whether to read x on the host: it is concrete, placed by nobody, no trace is under way, and devices are CPUs."""
    return type(x) is ArrayImpl and get_trace() is None and not x.committed and (_host_is_near or _check_platform())


def _check_platform() -> bool:
    global _host_is_near
    if not backend.is_started():
        return True  # nothing has been computed on any device yet
    _host_is_near = backend.default_backend() == "cpu"
    return _host_is_near


def _from_host(value, like) -> Array:
    """The array of a NumPy result of indexing ``like``, in memory of its own."""
    if not isinstance(value, np.ndarray):
        value = np.asarray(value, dtype=like.dtype)
    elif value.base is not None:
        value = value.copy()
    return array_from_host(value, like.aval.weak_type)


def _read_static(x, plan: StaticPlan) -> Array:
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
    """A traced index with negative values counted from the end, in a dtype that holds the axis size."""
    aval = index.aval
    if kind_of(aval) == "u":
        if aval.dtype.itemsize >= 4:
            index = lax.min(index, scalar(size, aval.code))
            return index if aval.dtype.itemsize == 8 else lax.convert_element_type(index, np.int32)
        return lax.convert_element_type(index, np.int32)
    if aval.dtype.itemsize < 4 or aval.weak_type:
        index = lax.convert_element_type(index, np.int32 if aval.dtype.itemsize < 4 else aval.dtype)
    if not wrap:
        return index
    code = index.aval.code
    return lax.select(lax.lt(index, scalar(0, code)), lax.add(index, scalar(size, code)), index)


def _read_dynamic(x, index: Index, wrap: bool) -> Array:
    """A read with traced scalars, clamped: a dynamic_slice of the windows, then what a static read does."""
    starts, sizes, rest = [], [], []
    for entry in index.entries:
        if entry is None:
            rest.append(None)
            continue
        size = x.shape[len(starts)]
        if type(entry) is Slice:
            start, count, step = entry
            low = min(start, start + (count - 1) * step) if count else 0
            span = (count - 1) * abs(step) + 1 if count else 0
            starts.append(low)
            sizes.append(span)
            rest.append(Slice(0 if step > 0 else span - 1, count, step))
            continue
        if type(entry) is int:
            start = entry + size if entry < 0 and wrap else entry
            starts.append(min(max(start, 0), size - 1))
        else:
            if size == 0:
                raise IndexError(f"index is out of bounds for axis {len(starts)} with size 0")
            starts.append(_wrapped(entry, size, wrap))
        sizes.append(1)
        rest.append(0)
    x = lax.dynamic_slice(x, starts, sizes, allow_negative_indices=False)
    return _read_static(x, StaticPlan(x.shape, tuple(rest), True))


# arrays of indices ---------------------------------------------------------------------------------------------------


class LookupPlan(NamedTuple):
    """How an index with arrays becomes a gather or scatter."""

    numbers: lax.GatherDimensionNumbers
    slice_sizes: tuple[int, ...]
    batch_shape: tuple[int, ...]   # of the start indices, without the index vectors
    components: tuple              # of an index vector: (operand axis, what, ...) for each
    reversed: tuple[int, ...]      # axes of the gathered array
    new_axes: tuple[int, ...]      # axes of the result
    shape: tuple[int, ...]         # of the gathered array
    out_shape: tuple[int, ...]     # of the result
    unique: bool                   # no index can occur twice


def _broadcast_shapes(shapes) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"Incompatible shapes for broadcasting: index arrays of shapes {list(shapes)}") from None


@lru_cache(maxsize=4096)
def _lookup_plan(shape: tuple[int, ...], entries: tuple, wrap: bool) -> LookupPlan:
    advanced = [i for i, e in enumerate(entries) if type(e) in (int, Lookup)]
    lookup_shape = _broadcast_shapes([e.shape for e in entries if type(e) is Lookup])
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


def _plan_of(index: Index, shape: tuple[int, ...], wrap: bool) -> LookupPlan:
    entries = tuple(
        e if e is None or type(e) in (int, Slice) else Lookup(e.shape) for e in index.entries
    )
    return _lookup_plan(shape, entries, wrap)


def _wrap_on_host(value, size: int, wrap: bool):
    """A concrete index array with negative values counted from the end; what stays outside is -1 or size."""
    if value.dtype.kind == "u":
        return np.minimum(value, size).astype(np.int64)
    value = value.astype(np.int64, copy=False)
    if wrap:
        value = np.where(value < 0, value + size, value)
    return np.clip(value, -1, size)


def _start_indices(plan: LookupPlan, index: Index, shape, wrap: bool) -> Array:
    """The array of index vectors of a gather or scatter."""
    large = any(n >= INT32_SIZE for n in shape)
    lookups = {}
    for axis, what, *rest in plan.components:
        if what == "lookup":
            entry = index.entries[rest[0]]
            if type(entry) is np.ndarray:
                lookups[axis] = _wrap_on_host(entry, shape[axis], wrap)
            else:
                lookups[axis] = entry = _wrapped(entry, shape[axis], wrap)
                large = large or entry.dtype.itemsize == 8
    dtype = np.dtype(np.int64 if large and x64_enabled() else np.int32)
    top = np.iinfo(dtype).max
    columns = []
    column_shape = (*plan.batch_shape, 1)
    traced = False
    for axis, what, *rest in plan.components:
        if what == "constant":
            columns.append(np.asarray(min(rest[0], top), dtype))
            continue
        if what == "iota":
            start, step, count, dims = rest
            value = np.arange(count, dtype=dtype) * dtype.type(step) + dtype.type(start)
        else:
            value, dims = lookups[axis], rest[1]
        if type(value) is np.ndarray:
            own = [1] * len(column_shape)
            for d, n in zip(dims, value.shape):
                own[d] = n
            columns.append(value.astype(dtype, copy=False).reshape(own))
        else:
            traced = True
            if value.dtype != dtype:
                value = lax.convert_element_type(value, dtype)
            columns.append(lax.broadcast_in_dim(value, column_shape, dims))
    if not traced:
        if len(columns) == 1 and not columns[0].ndim:
            # One static index: a literal of the program rather than a constant beside it.
            return lax.broadcast_in_dim(asarray(columns[0]), column_shape, ())
        if not columns:
            return asarray(np.zeros((*plan.batch_shape, 0), dtype))
        value = np.concatenate([np.broadcast_to(c, column_shape) for c in columns], -1)
        value.flags.writeable = False
        return array_from_host(value)
    columns = [
        lax.broadcast_in_dim(asarray(c), column_shape, tuple(range(c.ndim))) if type(c) is np.ndarray else c
        for c in columns
    ]
    return columns[0] if len(columns) == 1 else lax.concatenate(columns, len(column_shape) - 1)


def _read_lookup(x, index: Index, mode, fill_value, wrap: bool, sorted_hint: bool, unique_hint: bool) -> Array:
    plan = _plan_of(index, x.shape, wrap)
    indices = _start_indices(plan, index, x.shape, wrap)
    if 0 in plan.shape:
        return lax.full(plan.out_shape, 0, x.dtype) if kind_of(x.aval) != "e" else lax.empty(plan.out_shape, x.dtype)
    x = lax.gather(
        x,
        indices,
        plan.numbers,
        plan.slice_sizes,
        unique_indices=unique_hint or plan.unique,
        indices_are_sorted=sorted_hint or plan.unique,
        mode=mode,
        fill_value=fill_value,
    )
    if plan.reversed:
        x = lax.rev(x, plan.reversed)
    if plan.new_axes:
        x = lax.expand_dims(x, plan.new_axes)
    return x


def _host_lookup(x, index: Index, wrap: bool, fill: bool):
    """The result of reading at concrete arrays, by NumPy; None where it would need to be filled."""
    parts, axis = [], 0
    for entry in index.entries:
        if entry is None:
            parts.append(None)
            continue
        size = x.shape[axis]
        axis += 1
        if type(entry) is Slice:
            start, count, step = entry
            stop = start + count * step
            parts.append(slice(start, stop if stop >= 0 else None, step) if count else slice(0, 0))
            continue
        value = _wrap_on_host(np.asarray(entry), size, wrap)
        if value.size and (value.min() < 0 or value.max() >= size):
            if fill or not size:
                return None
            value = np.clip(value, 0, size - 1)
        parts.append(value)
    return _from_host(x._value[tuple(parts)], x)


# reading -------------------------------------------------------------------------------------------------------------


def getitem(x, index) -> Array:
    """``x[index]`` of an array.

    Raises IndexError for too many indices, TypeError for an index that is no integer, boolean, slice, None or Ellipsis,
    NonConcreteBooleanIndexError for a traced boolean mask: the shape of the result would depend on its values.
    """
    key = _static_key(index)
    if key is None:
        return take(x, index)
    plan = _static_plan(x.shape, index, key, True)
    if type(x) is ArrayImpl and kind_of(x.aval) != "e" and _is_concrete(x):
        return _from_host(x._value[plan.host], x)
    return _read_static(x, plan)


def take(
    x,
    index,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
    fill_value=None,
    wrap_negative_indices: bool = True,
    out_sharding=None,
) -> Array:
    """``x[index]`` with the options of ``x.at[index].get``."""
    mode = PROMISE_IN_BOUNDS if mode is None else GatherScatterMode.from_any(mode)
    fill = mode not in (CLIP, PROMISE_IN_BOUNDS)
    wrap = bool(wrap_negative_indices)
    key = _static_key(index)
    if key is not None:
        plan = _static_plan(x.shape, index, key, wrap)
        if plan.in_bounds or not fill:
            return _read_static(x, plan)
    decoded = _decode(index, x.shape)
    if decoded.expanded:
        x = lax.expand_dims(x, decoded.expanded)
    if decoded.static:
        plan = StaticPlan(x.shape, decoded.entries, wrap)
        if plan.in_bounds or not fill:
            return _from_host(x._value[plan.host], x) if _reads_on_host(x) else _read_static(x, plan)
    arrays = [e for e in decoded.entries if e is not None and type(e) not in (int, Slice)]
    if _reads_on_host(x) and all(type(e) is np.ndarray for e in arrays):
        # Shapes that do not go together are reported in the same way as under a trace.
        _broadcast_shapes([e.shape for e in arrays])
        result = _host_lookup(x, decoded, wrap, fill)
        if result is not None:
            return result
    if not fill and arrays and all(not e.shape for e in arrays):
        return _read_dynamic(x, decoded, wrap)
    return _read_lookup(x, decoded, mode, fill_value, wrap, indices_are_sorted, unique_indices)


def _reads_on_host(x) -> bool:
    return _is_concrete(x) and kind_of(x.aval) != "e"


# updating ------------------------------------------------------------------------------------------------------------


def _promoted(x, values):
    """Operand and values in the dtype in which they are combined, with a warning where that is not the operand's."""
    if x.aval.code == values.aval.code:
        return x, values
    if kind_of(values.aval) == "e" or kind_of(x.aval) == "e":
        raise TypeError(f"scatter: the update must have the dtype of the array, got {short(values.aval)} for {short(x.aval)}")
    code = promote_nodes([2 * a.code + a.weak_type for a in (x.aval, values.aval)]) // 2
    if code != x.aval.code:
        warnings.warn(
            f"scatter inputs have incompatible types: an update of dtype {values.dtype} cannot be cast safely to the array's "
            f"dtype {x.dtype}; cast it with .astype({str(x.dtype)!r}). This will become an error.",
            FutureWarning,
            stacklevel=4,
        )
        x = _convert(x, code)
    return x, _convert(values, code)


def _convert(x, code: int):
    return x if x.aval.code == code else lax.convert_element_type(x, shaped_array((), code, False).dtype)


def _as_values(values) -> Array:
    if isinstance(values, Array):
        return values
    if isinstance(values, (list, tuple)):
        from cyxla.numpy import asarray as from_nested

        return from_nested(values)
    if values is None:
        raise ValueError("None is not a valid value for an update of an array")
    return asarray(values)


def _fit_values(values, plan: LookupPlan) -> Array:
    """Values broadcast to the indexed shape, in the layout of a scatter's updates."""
    shape = values.shape
    if not shape:
        return lax.broadcast_in_dim(values, plan.shape, ()) if plan.shape else values
    values = _broadcast_values(values, plan.out_shape)
    if plan.new_axes:
        values = lax.squeeze(values, plan.new_axes)
    if plan.reversed:
        values = lax.rev(values, plan.reversed)
    return values


def _broadcast_values(values, shape) -> Array:
    own = values.shape
    if own == shape:
        return values
    lead = len(own) - len(shape)
    if lead > 0:
        if any(n != 1 for n in own[:lead]):
            raise ValueError(f"an update of shape {own} cannot be broadcast to the indexed shape {shape}")
        values = lax.squeeze(values, tuple(range(lead)))
        own = values.shape
    if any(n not in (1, m) for n, m in zip(own, shape[len(shape) - len(own) :])):
        raise ValueError(f"Incompatible shapes for broadcasting: an update of shape {own} for the indexed shape {shape}")
    return lax.broadcast_in_dim(values, shape, tuple(range(len(shape) - len(own), len(shape))))


def _host_set(x, plan: StaticPlan, values):
    """Overwrites on the host at a static index; None where NumPy's cast might differ from XLA's."""
    value = values._value if type(values) is ArrayImpl else values
    if np.shape(value) != plan.out_shape and np.ndim(value):
        value = np.broadcast_to(value, plan.out_shape)
    out = x._value.copy()
    out[plan.host] = value
    return array_from_host(out, x.aval.weak_type)


def _update(
    x, index, values, combine, *, indices_are_sorted, unique_indices, mode, wrap_negative_indices, func=None
) -> Array:
    """The common part of all updates; ``combine`` is a scatter function of lax."""
    mode = FILL_OR_DROP if mode is None else GatherScatterMode.from_any(mode)
    wrap = bool(wrap_negative_indices)
    aval = x.aval
    if combine is not lax.scatter_apply:
        values = _as_values(values)
        x, values = _promoted(x, values)
    if combine is lax.scatter:
        key = _static_key(index)
        if key is not None:
            plan = _static_plan(x.shape, index, key, wrap)
            if plan.in_bounds and x.aval is aval:
                if _reads_on_host(x) and type(values) is ArrayImpl:
                    _check_broadcast(values.shape, plan.out_shape)
                    return _host_set(x, plan, values)
                if plan.window is not None:
                    return _set_window(x, plan, values)
    decoded = _decode(index, x.shape)
    operand = lax.expand_dims(x, decoded.expanded) if decoded.expanded else x
    plan = _plan_of(decoded, operand.shape, wrap)
    indices = _start_indices(plan, decoded, operand.shape, wrap)
    if combine is not lax.scatter_apply:
        values = _fit_values(values, plan)
    if 0 in plan.shape:
        out = operand
    else:
        options = {
            "indices_are_sorted": indices_are_sorted or plan.unique,
            "unique_indices": unique_indices or plan.unique,
            "mode": mode,
        }
        numbers = lax.ScatterDimensionNumbers(*plan.numbers)
        if combine is lax.scatter_apply:
            out = lax.scatter_apply(operand, indices, func, numbers, update_shape=plan.shape, **options)
        else:
            out = combine(operand, indices, values, numbers, **options)
    if decoded.expanded:
        out = lax.squeeze(out, decoded.expanded)
    if out.aval.code != aval.code or out.aval.weak_type != aval.weak_type:
        out = convert(out, aval.code, aval.weak_type)
    return out


def _check_broadcast(own, shape) -> None:
    lead = len(own) - len(shape)
    if lead > 0 and any(n != 1 for n in own[:lead]):
        raise ValueError(f"an update of shape {own} cannot be broadcast to the indexed shape {shape}")
    own = own[max(lead, 0) :]
    if any(n not in (1, m) for n, m in zip(own, shape[len(shape) - len(own) :])):
        raise ValueError(f"Incompatible shapes for broadcasting: an update of shape {own} for the indexed shape {shape}")


def _set_window(x, plan: StaticPlan, values) -> Array:
    """Overwrites a static window without strides: a dynamic_update_slice, which XLA can do in place."""
    shape = plan.out_shape
    values = _broadcast_values(values, shape) if values.shape != shape else values
    if plan.new_axes:
        values = lax.squeeze(values, plan.new_axes)
    if plan.squeezed:
        values = lax.expand_dims(values, plan.squeezed)
    if plan.reversed:
        values = lax.rev(values, plan.reversed)
    if plan.slicing is None:
        out = values
    else:
        out = lax.dynamic_update_slice(x, values, plan.slicing["start_indices"], allow_negative_indices=False)
    if out.aval.weak_type != x.aval.weak_type:
        out = convert(out, x.aval.code, x.aval.weak_type)
    return out


class IndexUpdateHelper:
    """What ``x.at`` is: indexing it gives the updates at that index."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array

    def __getitem__(self, index):
        return IndexUpdateRef(self.array, index)

    def __repr__(self):
        return f"_IndexUpdateHelper({self.array!r})"


def _updater(name: str, combine_name: str, summary: str):
    def method(
        self,
        values,
        *,
        indices_are_sorted=False,
        unique_indices=False,
        mode=None,
        out_sharding=None,
        wrap_negative_indices=True,
    ):
        return _update(
            self.array,
            self.index,
            values,
            getattr(lax, combine_name),
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
            mode=mode,
            wrap_negative_indices=wrap_negative_indices,
        )

    method.__name__ = name
    method.__qualname__ = f"IndexUpdateRef.{name}"
    method.__doc__ = summary
    return method


class IndexUpdateRef:
    """The updates of an array at an index. Each returns a new array; the array itself stays as it is.

    Options of all: ``mode`` (``'drop'``, the default, ``'clip'`` or ``'promise_in_bounds'``) says what happens to indices out
    of bounds; ``unique_indices`` and ``indices_are_sorted`` are promises that let the compiler do better;
    ``wrap_negative_indices=False`` makes negative indices out of bounds.

    >>> import cyxla.numpy as jnp
    >>> x = jnp.zeros(3)
    >>> x.at[1].set(5.0)
    Array([0., 5., 0.], dtype=float32)
    >>> x.at[jnp.array([0, 0, 2])].add(1.0)
    Array([2., 0., 1.], dtype=float32)
    """

    __slots__ = ("array", "index")

    def __init__(self, array, index):
        self.array = array
        self.index = index

    def __repr__(self):
        return f"_IndexUpdateRef({self.array!r}, {self.index!r})"

    def get(
        self,
        *,
        indices_are_sorted=False,
        unique_indices=False,
        mode=None,
        fill_value=None,
        out_sharding=None,
        wrap_negative_indices=True,
    ):
        """``x[index]``, with a choice of what is read out of bounds: ``mode='fill'`` reads ``fill_value``."""
        return take(
            self.array,
            self.index,
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
            mode=mode,
            fill_value=fill_value,
            wrap_negative_indices=wrap_negative_indices,
            out_sharding=out_sharding,
        )

    set = _updater("set", "scatter", "``x[index] = values``")
    add = _updater("add", "scatter_add", "``x[index] += values``, as often as an index occurs.")
    subtract = _updater("subtract", "scatter_sub", "``x[index] -= values``, as often as an index occurs.")
    multiply = _updater("multiply", "scatter_mul", "``x[index] *= values``, as often as an index occurs.")
    mul = multiply
    min = _updater("min", "scatter_min", "``x[index] = minimum(x[index], values)``")
    max = _updater("max", "scatter_max", "``x[index] = maximum(x[index], values)``")

    def _factors(self, values, options):
        """One everywhere, times the values where the index points."""
        ones = lax.full_like(self.array, 1)
        return _update(ones, self.index, values, lax.scatter_mul, **options)

    def divide(
        self,
        values,
        *,
        indices_are_sorted=False,
        unique_indices=False,
        mode=None,
        out_sharding=None,
        wrap_negative_indices=True,
    ):
        """``x[index] /= values``, as often as an index occurs."""
        from cyxla import numpy as jnp

        options = {
            "indices_are_sorted": indices_are_sorted,
            "unique_indices": unique_indices,
            "mode": mode,
            "wrap_negative_indices": wrap_negative_indices,
        }
        return jnp.divide(self.array, self._factors(values, options))

    def power(
        self,
        values,
        *,
        indices_are_sorted=False,
        unique_indices=False,
        mode=None,
        out_sharding=None,
        wrap_negative_indices=True,
    ):
        """``x[index] **= values``, as often as an index occurs."""
        from cyxla import numpy as jnp

        options = {
            "indices_are_sorted": indices_are_sorted,
            "unique_indices": unique_indices,
            "mode": mode,
            "wrap_negative_indices": wrap_negative_indices,
        }
        return jnp.power(self.array, self._factors(values, options))

    def apply(
        self, func, *, indices_are_sorted=False, unique_indices=False, mode=None, wrap_negative_indices=True
    ):
        """``x[index] = func(x[index])`` for a function of scalars, applied as often as an index occurs."""
        return _update(
            self.array,
            self.index,
            None,
            lax.scatter_apply,
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
            mode=mode,
            wrap_negative_indices=wrap_negative_indices,
            func=func,
        )


install_operator("getitem", getitem)
install("at", property(IndexUpdateHelper, doc="Updates at an index: ``x.at[index].set(values)`` and the like."))
