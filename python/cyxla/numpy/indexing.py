"""NumPy-style indexing: ``x[...]`` and the updates ``x.at[...]``.

Integers, slices, None, Ellipsis, integer arrays and boolean masks mean what they mean to NumPy. Out-of-bounds integers
are clamped when reading and dropped when updating, unless ``mode`` says otherwise. The plans are those of
index_plans.py.

Concrete arrays outside of any transformation are read and overwritten on the host: nothing is compiled for them.
"""

from __future__ import annotations

import warnings

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, ArrayImpl, array_from_host, asarray, install, install_operator
from cyxla._engine.aval import AbstractRef
from cyxla._engine.core import get_trace
from cyxla._engine.dtypes import code_dtype, promote_nodes
from cyxla._engine.host import getitem, install_indexing, overwrite, static_key
from cyxla._runtime import backend
from cyxla.lax._util import kind_of, scalar, short
from cyxla.lax.convert import convert
from cyxla.lax.gather_scatter import CLIP, FILL_OR_DROP, PROMISE_IN_BOUNDS, GatherScatterMode
from cyxla.numpy.index_plans import (
    INT32,
    DynamicPlan,
    Index,
    LookupPlan,
    Slice,
    StartIndices,
    StaticPlan,
    broadcast_lookups,
    decode,
    index_code,
    read_static,
    signature_of,
    start_indices,
    static_in_bounds,
    static_plan,
    traced_plan,
    wrap_on_host,
)

__all__ = ["IndexUpdateHelper", "getitem", "take"]

# reading -------------------------------------------------------------------------------------------------------------


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


def _read_lookup(x, starts: StartIndices, traced, mode, fill_value, sorted_hint: bool, unique_hint: bool) -> Array:
    plan = starts.plan
    indices = starts.of(traced)
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
        value = np.asarray(entry)
        # NumPy counts negative indices from the end itself.
        if value.size and (value.min() < (-size if wrap else 0) or value.max() >= size):
            if fill or not size:
                return None
            value = np.clip(wrap_on_host(value, size, wrap), 0, size - 1)
        parts.append(value)
    return _from_host(x._value[tuple(parts)], x)


def read(x, index) -> Array:
    """``x[index]`` of an array that the engine does not read itself.

    Raises IndexError for too many indices, TypeError for an index that is no integer, boolean, slice, None or Ellipsis,
    NonConcreteBooleanIndexError for a traced boolean mask: the shape of the result would depend on its values.
    """
    if type(x.aval) is AbstractRef:
        return lax.refs.reference.get(x, index)
    key = static_key(index)
    if key is None:
        return take(x, index)
    plan = static_plan(x.shape, index, key, True)
    if type(x) is ArrayImpl and kind_of(x.aval) != "e" and _is_concrete(x):
        return _from_host(x._value[plan.host], x)
    return read_static(x, plan) if plan.in_bounds else take(x, index)


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
    signature = signature_of(index)
    if signature is not None:
        key, traced = signature
        if not traced:
            plan = static_plan(x.shape, index, key, wrap)
            if _reads_on_host(x) and (plan.in_bounds or not fill):
                return _from_host(x._value[plan.host], x)
            if plan.in_bounds:
                return read_static(x, plan)
        dynamic, starts = traced_plan(x.shape, index, key, wrap)
        if dynamic is not None and not fill:
            return dynamic.read(x, traced)
        return _read_lookup(x, starts, traced, mode, fill_value, indices_are_sorted, unique_indices)
    decoded = decode(index, x.shape)
    if decoded.expanded:
        x = lax.expand_dims(x, decoded.expanded)
    entries = decoded.entries
    if decoded.static:
        plan = StaticPlan(x.shape, entries, wrap)
        if _reads_on_host(x) and (plan.in_bounds or not fill):
            return _from_host(x._value[plan.host], x)
        if plan.in_bounds:
            return read_static(x, plan)
    traced = [e for e in entries if isinstance(e, Array)]
    arrays = [e for e in entries if type(e) is np.ndarray]
    if not traced and _reads_on_host(x):
        # Shapes that do not go together are reported in the same way as under a trace.
        broadcast_lookups([e.shape for e in arrays])
        result = _host_lookup(x, decoded, wrap, fill)
        if result is not None:
            return result
    scalars = traced and not arrays and all(not e.shape for e in traced)
    if not fill and scalars and static_in_bounds(entries, x.shape, wrap):
        return DynamicPlan(x.shape, entries, wrap, index_code(traced)).read(x, traced)
    starts = start_indices(entries, x.shape, wrap)
    return _read_lookup(x, starts, traced, mode, fill_value, indices_are_sorted, unique_indices)


def _reads_on_host(x) -> bool:
    return _is_concrete(x) and kind_of(x.aval) != "e"


# updating ------------------------------------------------------------------------------------------------------------


def _promoted(x, values):
    """Operand and values in the dtype in which they are combined, with a warning where that is not the operand's."""
    if x.aval.code == values.aval.code:
        return x, values
    if kind_of(values.aval) == "e" or kind_of(x.aval) == "e":
        raise TypeError(
            f"x.at[...]: an update must have the dtype of the array, got {short(values.aval)} for {short(x.aval)}"
        )
    code = promote_nodes([2 * a.code + a.weak_type for a in (x.aval, values.aval)]) // 2
    if code != x.aval.code:
        warnings.warn(
            f"x.at[...]: an update of dtype {values.dtype} does not fit an array of dtype {x.dtype}; convert it by "
            f".astype({str(x.dtype)!r}). This will become an error.",
            FutureWarning,
            stacklevel=4,
        )
        x = _convert(x, code)
    return x, _convert(values, code)


def _convert(x, code: int):
    return x if x.aval.code == code else lax.convert_element_type(x, code_dtype(code))


def _as_values(values) -> Array:
    if isinstance(values, Array):
        return values
    if isinstance(values, (list, tuple)):
        from cyxla.numpy import asarray as from_nested

        return from_nested(values)
    if values is None:
        raise ValueError("x.at[...]: the update is None; give an array or a number")
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
    _check_broadcast(own, shape)
    lead = len(own) - len(shape)
    if lead > 0:
        values = lax.squeeze(values, tuple(range(lead)))
    return lax.broadcast_in_dim(values, shape, tuple(range(max(-lead, 0), len(shape))))


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
    signature = signature_of(index)
    if signature is not None:
        key, traced = signature
        if combine is lax.scatter and not traced:
            plan = static_plan(x.shape, index, key, wrap)
            if plan.in_bounds and x.aval is aval:
                if _reads_on_host(x) and type(values) is ArrayImpl:
                    _check_broadcast(values.shape, plan.out_shape)
                    return _host_set(x, plan, values)
                if plan.window is not None:
                    return _set_window(x, plan, values)
        operand, expanded = x, ()
        starts = traced_plan(x.shape, index, key, wrap)[1]
    else:
        entries, expanded, _ = decode(index, x.shape)
        operand = lax.expand_dims(x, expanded) if expanded else x
        traced = [e for e in entries if isinstance(e, Array)]
        starts = start_indices(entries, operand.shape, wrap)
    plan = starts.plan
    indices = starts.of(traced)
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
    if expanded:
        out = lax.squeeze(out, expanded)
    if out.aval.code != aval.code or out.aval.weak_type != aval.weak_type:
        out = convert(out, aval.code, aval.weak_type)
    return out


def _check_broadcast(own, shape) -> None:
    lead = len(own) - len(shape)
    sizes = (1,) * lead + shape if lead > 0 else shape[-lead:]
    if any(n not in (1, m) for n, m in zip(own, sizes)):
        raise ValueError(f"x.at[...]: an update of shape {own} does not broadcast to the indexed shape {shape}")


def _set_window(x, plan: StaticPlan, values) -> Array:
    """Overwrites a static window without strides: a dynamic_update_slice, which XLA can do in place."""
    if not values.shape:
        values = lax.broadcast_in_dim(values, plan.window, ())
    else:
        values = _broadcast_values(values, plan.out_shape)
        if plan.new_axes:
            values = lax.squeeze(values, plan.new_axes)
        if plan.squeezed:
            values = lax.expand_dims(values, plan.squeezed)
        if plan.reversed:
            values = lax.rev(values, plan.reversed)
    if plan.slicing is None:
        out = values
    else:
        if plan.starts is None:
            plan.starts = [scalar(start, INT32) for start in plan.slicing["start_indices"]]
        out = lax.dynamic_update_slice_p.bind(x, values, *plan.starts)
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
        if combine_name == "scatter" and mode is None and wrap_negative_indices is True:
            updated = overwrite(self.array, self.index, values)
            if updated is not None:
                return updated
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

    Options of all: ``mode`` (``'drop'``, the default, ``'clip'`` or ``'promise_in_bounds'``) says what happens to
    indices out of bounds; ``unique_indices`` and ``indices_are_sorted`` are promises that let the compiler do better;
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

    def apply(self, func, *, indices_are_sorted=False, unique_indices=False, mode=None, wrap_negative_indices=True):
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


install_indexing(read, static_plan)
install_operator("getitem", getitem)


def _at(x):
    # A tracer of a reference is indexed like the reference.
    return lax.refs.reference.views(x) if type(x.aval) is AbstractRef else IndexUpdateHelper(x)


install("at", property(_at, doc="Updates at an index: ``x.at[index].set(values)`` and the like."))
