"""Types of users' own that `vmap` splits into elements and joins again, along axes that they define."""

from collections.abc import Callable
from typing import Any, NamedTuple

from cyxla._engine.array import asarray, is_arraylike
from cyxla._engine.batching import BatchTracer
from cyxla._engine.core import get_trace, using_trace
from cyxla._transform import operations
from cyxla._transform.jaxprs import move_batch_axis


class Vmappable(NamedTuple):
    """How values of a type are split and joined; see `register_vmappable`."""

    spec_type: type
    axis_size_type: type
    to_elt: Callable[..., Any]
    from_elt: Callable[..., Any]
    make_iota: Callable[..., Any] | None


registered: dict[type, Vmappable] = {}


def register_vmappable(data_type, spec_type, axis_size_type, to_elt, from_elt, make_iota):
    """Makes `vmap` map over values of a type, along what an object of another type in `in_axes` or `out_axes` says.

    Args:
      data_type: the type. `vmap` does not look inside its values, even where they are pytrees.
      spec_type: the type of the axes.
      axis_size_type: the type that `axis_size` may have for it, besides int.
      to_elt: `(split, index, data, spec) -> element`, what the mapped function gets. `split(array, axis)` is one
        element of an array along an axis, `index()` the number of the element.
      from_elt: `(join, axis_size, element, spec) -> data`. `join(axis_size, element, axis)` is the array of all
        elements, along an axis.
      make_iota: `(axis_size) -> array` of the numbers of all elements, where `axis_size` is no int.

    No size is taken from the data: give `axis_size` where no array is mapped.

    >>> import cyxla, cyxla.numpy as jnp
    >>> from typing import NamedTuple
    >>> from cyxla.interpreters.batching import register_vmappable, unregister_vmappable
    >>> class Columns(NamedTuple):
    ...     array: cyxla.Array
    >>> class ByColumn: pass
    >>> register_vmappable(Columns, ByColumn, int,
    ...                    lambda split, index, data, spec: Columns(split(data.array, 1)),
    ...                    lambda join, size, element, spec: Columns(join(size, element.array, 1)), None)
    >>> def scaled(column):
    ...     return Columns(column.array / column.array.sum())
    >>> along = ByColumn()
    >>> cyxla.vmap(scaled, in_axes=(along,), out_axes=along, axis_size=2)(Columns(jnp.array([[1., 3.], [4., 1.]])))
    Columns(array=Array([[0.2 , 0.75],
           [0.8 , 0.25]], dtype=float32))
    >>> unregister_vmappable(Columns)
    """
    for what, kind in (("data_type", data_type), ("spec_type", spec_type), ("axis_size_type", axis_size_type)):
        if not isinstance(kind, type):
            raise TypeError(f"register_vmappable: {what} is a class, got {kind!r:.200}")
    registered[data_type] = Vmappable(spec_type, axis_size_type, to_elt, from_elt, make_iota)


def unregister_vmappable(data_type):
    """Makes values of a type again what they were to `vmap` before `register_vmappable`."""
    registered.pop(data_type, None)


def is_data(x):
    """Whether a value is of a registered type."""
    return type(x) in registered


def is_spec(x):
    """Whether an object is an axis of a registered type."""
    return any(isinstance(x, kind.spec_type) for kind in registered.values())


def size_as_int(axis_size):
    """The number of elements, of what was given as `axis_size`."""
    if axis_size is None or isinstance(axis_size, int):
        return axis_size
    for kind in registered.values():
        if isinstance(axis_size, kind.axis_size_type) and kind.make_iota is not None:
            return len(kind.make_iota(axis_size))
    return axis_size


class Mapping:
    """One call of `vmap`, for the data among its arguments and results."""

    def __init__(self, axis_size, size):
        self.axis_size = size if axis_size is None else axis_size
        self.size = size

    def element(self, x, spec):
        """One element of data, or of an array along an axis, while the trace of the call is current."""
        kind = registered.get(type(x))
        if kind is not None:
            return kind.to_elt(self.element, lambda: self._index(kind), x, spec)
        x = _array(x, "split")
        if spec is None:
            return x
        return BatchTracer(get_trace(), x, _axis(spec, x.ndim, "split"))

    def _index(self, kind):
        if isinstance(self.axis_size, int) or kind.make_iota is None:
            numbers = operations.lax.iota("int32", self.size)
        else:
            numbers = asarray(kind.make_iota(self.axis_size))
        return BatchTracer(get_trace(), numbers, 0)

    def joined(self, element, spec):
        """All elements of a result, seen from outside of the call, while its trace is current."""
        trace = get_trace()
        with using_trace(trace.parent):
            return self._join(trace, self.axis_size, element, spec)

    def _join(self, trace, axis_size, x, spec):
        kind = registered.get(type(x))
        if kind is not None:
            return kind.from_elt(lambda size, x, spec: self._join(trace, size, x, spec), axis_size, x, spec)
        x = _array(x, "joined")
        batched = type(x) is BatchTracer and x._trace is trace
        if spec is None:
            if batched:
                raise ValueError(
                    f"vmap: a result of type {x.aval.str_short()} inside of data depends on a mapped argument, and "
                    "from_elt joins it along the axis None; give it an axis"
                )
            return x
        axis = _axis(spec, x.ndim + 1, "joined")
        return move_batch_axis(x.value if batched else x, x.batch_dim if batched else None, self.size, axis)


def _array(x, what):
    if not is_arraylike(x):
        raise TypeError(
            f"arrays, and values of types given to register_vmappable, can be {what} along an axis; got {x!r:.200} of "
            f"type {type(x).__name__}"
        )
    return asarray(x)


def _axis(spec, rank, what):
    if isinstance(spec, int) and -rank <= spec < rank:
        return spec % rank
    raise ValueError(f"an array is {what} along an axis, an int from {-rank} to {rank - 1} here; got {spec!r:.200}")
