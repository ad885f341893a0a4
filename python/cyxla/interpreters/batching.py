"""Batching rules of primitives, and what rules work with.

A rule of `primitive_batchers` takes the operands, the batch axis of each (None where it has none) and the parameters,
and returns the result with its batch axis, or lists of both for a primitive of several results.
"""

from typing import NamedTuple

from cyxla import lax
from cyxla._engine.batching import BatchTrace, BatchTracer
from cyxla._transform.jaxprs import move_batch_axis
from cyxla._transform.vmappables import register_vmappable, unregister_vmappable
from cyxla.interpreters._tables import RuleTable, checked_primitive

not_mapped = None


def _read_batcher(primitive):
    if primitive.kind:
        # The engine batches the elementwise kinds itself.
        return lambda args, dims, **params: _broadcast_batcher(primitive, args, dims, **params)
    return None if primitive.batch_needs_axis else primitive.batch


def _write_batcher(primitive, rule):
    if primitive.kind:
        raise ValueError(f"{primitive} is elementwise, which needs no batching rule and can have no other")
    primitive.batch, primitive.batch_needs_axis = rule, False


def _write_with_axis(primitive, rule):
    _write_batcher(primitive, rule)
    primitive.batch_needs_axis = rule is not None


class _NoName:
    def __repr__(self):
        return "<no axis name>"


no_axis_name = _NoName()


class _AxisRule(NamedTuple):
    """A rule that takes size and name of the axis one by one."""

    rule: object

    def __call__(self, axis, args, dims, **params):
        name = no_axis_name if axis.name is None else axis.name
        return self.rule(axis.size, name, None, args, dims, **params)


def _read_axis_batcher(primitive):
    rule = primitive.batch
    return rule.rule if primitive.batch_needs_axis and isinstance(rule, _AxisRule) else None


primitive_batchers = RuleTable("primitive_batchers", _read_batcher, _write_batcher)
fancy_primitive_batchers = RuleTable(
    "fancy_primitive_batchers", lambda p: p.batch if p.batch_needs_axis else None, _write_with_axis
)
axis_primitive_batchers = RuleTable(
    "axis_primitive_batchers",
    _read_axis_batcher,
    lambda p, rule: _write_with_axis(p, None if rule is None else _AxisRule(rule)),
)


def broadcast(x, sz, axis, mesh_axis=None):
    """An array repeated `sz` times along a new axis."""
    return move_batch_axis(x, None, sz, axis)


def bdim_at_front(x, bdim, size, mesh_axis=None):
    """An array with its batch axis first; one without (`bdim` None) is repeated `size` times."""
    return move_batch_axis(x, bdim, size)


def moveaxis(x, src, dst):
    """An array with one axis moved."""
    order = [i for i in range(x.ndim) if i != src % x.ndim]
    order.insert(dst % x.ndim, src % x.ndim)
    return lax.transpose(x, tuple(order))


def _vectorized_batcher(primitive, args, dims, **params):
    if any(d != dims[0] for d in dims):
        raise ValueError(f"{primitive} was declared as vectorized, which needs one batch axis for all operands: {dims}")
    out = primitive.bind(*args, **params)
    return out, [dims[0]] * len(out) if primitive.multiple_results else dims[0]


def defvectorized(prim):
    """Gives a primitive that treats all elements of its operand alike its batching rule."""
    checked_primitive(prim)
    primitive_batchers[prim] = lambda args, dims, **params: _vectorized_batcher(prim, args, dims, **params)


def _broadcast_batcher(primitive, args, dims, **params):
    size = next(x.shape[d] for x, d in zip(args, dims) if d is not None)
    rank = max(x.ndim - (d is not None) for x, d in zip(args, dims))
    moved = []
    for x, d in zip(args, dims):
        if d is None and x.ndim == 0:
            moved.append(x)
            continue
        x = move_batch_axis(x, d, size)
        if x.ndim < rank + 1:
            # Scalars for each example, beside arrays.
            x = lax.reshape(x, (size, *(1 for _ in range(rank + 1 - x.ndim)), *x.shape[1:]))
        moved.append(x)
    out = primitive.bind(*moved, **params)
    return out, [0] * len(out) if primitive.multiple_results else 0


def defbroadcasting(prim):
    """Gives a primitive that works elementwise on operands of one shape its batching rule."""
    checked_primitive(prim)
    primitive_batchers[prim] = lambda args, dims, **params: _broadcast_batcher(prim, args, dims, **params)


def defreducer(prim):
    """Gives a primitive that reduces over the axes in its parameter `axes` its batching rule."""
    checked_primitive(prim)

    def rule(args, dims, *, axes, **params):
        (operand,), (dim,) = args, dims
        moved = tuple(axis + (axis >= dim) for axis in axes)
        out_dim = dim - sum(axis < dim for axis in moved)
        out = prim.bind(operand, axes=moved, **params)
        return out, [out_dim] * len(out) if prim.multiple_results else out_dim

    primitive_batchers[prim] = rule


__all__ = [
    "BatchTrace",
    "BatchTracer",
    "axis_primitive_batchers",
    "bdim_at_front",
    "broadcast",
    "defbroadcasting",
    "defreducer",
    "defvectorized",
    "fancy_primitive_batchers",
    "moveaxis",
    "not_mapped",
    "primitive_batchers",
    "register_vmappable",
    "unregister_vmappable",
]
