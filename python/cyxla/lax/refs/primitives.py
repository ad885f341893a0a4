"""The primitives of mutable arrays: `new_ref`, `get`, `swap`, `addupdate`, `freeze`, `free_ref`.

Their operands are the reference, the value if they take one, and the operands of the index. Evaluated eagerly they
exchange the array that the reference holds; in programs they are replaced by operations on values (`discharge`).
"""

import numpy as np

from cyxla._core.indices import Slice, result_shape
from cyxla._engine import array as engine
from cyxla._engine.autodiff import install_new_reference, instantiate_zeros
from cyxla._engine.aval import AbstractRef, ref_aval
from cyxla._engine.batching import batch_flat
from cyxla._engine.core import Primitive, Zero, aval_to_tangent
from cyxla._engine.dtypes import float0
from cyxla._engine.staging import stage_here
from cyxla._transform.effects import Effect, lowerable_effects
from cyxla._transform.jaxprs import move_batch_axis
from cyxla.lax.convert import convert_element_type_p
from cyxla.lax.refs import indexing
from cyxla.lax.refs.reference import Ref


class ReferenceEffect(Effect):
    """A reference is made, read or written. What the program keeps in order, nobody outside has to wait for."""

    observable = False
    of_references = True
    mutates = False


lowerable_effects.add_type(ReferenceEffect)


class ReadEffect(ReferenceEffect):
    """A reference is read."""


class WriteEffect(ReferenceEffect):
    """A reference is overwritten."""

    mutates = True


class AccumEffect(ReferenceEffect):
    """A value is added to what a reference holds."""

    mutates = True


class NewRefEffect(ReferenceEffect):
    """A reference is made, or its life ends."""

    mutates = True


READ, WRITE, ACCUM, NEW = (frozenset({kind()}) for kind in (ReadEffect, WriteEffect, AccumEffect, NewRefEffect))


def _has_tangents(aval):
    return aval_to_tangent(aval).dtype != float0


def with_type(value, aval):
    """A value of the dtype of an aval with its weak type, too."""
    if value.aval is aval:
        return value
    return convert_element_type_p.bind(value, new_dtype=aval.dtype, weak_type=aval.weak_type, sharding=None)


def check_reference(aval, name):
    if type(aval) is not AbstractRef:
        raise TypeError(f"{name} takes a reference, made by new_ref, got {aval.str_short()}")


# -- new_ref


def _new_abstract(aval, *, memory_space, kind):
    if type(aval) is AbstractRef:
        raise TypeError(f"new_ref takes an array, got a reference of type {aval.str_short()}; copy it by ref[...]")
    return ref_aval(aval)


def _new_jvp(primals, tangents, **params):
    (value,), (tangent,) = primals, tangents
    ref = new_ref_p.bind(value, **params)
    if not _has_tangents(value.aval):
        return ref, Zero(aval_to_tangent(ref.aval))
    # The tangent may be zero now; what is written later may have one.
    aval = aval_to_tangent(value.aval)
    tangent = with_type(instantiate_zeros(tangent), aval)
    return ref, stage_here(new_ref_p, tangent, **params)


def _new_batch(axis, args, dims, **params):
    (value,), (dim,) = args, dims
    if dim is None:
        # What is written later may differ within the batch.
        value, dim = move_batch_axis(value, None, axis.size), 0
    return new_ref_p.bind(value, **params), dim


new_ref_p = Primitive(
    "new_ref",
    abstract=_new_abstract,
    impl=lambda value, **params: engine.new_mutable(Ref, value),
    jvp=_new_jvp,
    batch=_new_batch,
    batch_needs_axis=True,
    effects=lambda **params: NEW,
    ref_primitive=True,
    ref_allocating=True,
)
install_new_reference(new_ref_p)


# -- get


def _get_abstract(ref, *arrays, index):
    check_reference(ref, "get")
    return ref.inner_aval.update(shape=result_shape(ref.shape, index, [a.shape for a in arrays]))


def _get_impl(ref, *arrays, index):
    return indexing.read(engine.peek_mutable(ref), index, arrays) if index else engine.read_mutable(ref)


def _get_jvp(primals, tangents, *, index):
    out = get_p.bind(*primals, index=index)
    if type(tangents[0]) is Zero:
        return out, Zero(aval_to_tangent(out.aval))
    return out, get_p.bind(tangents[0], *primals[1:], index=index)


def _get_batch(axis, args, dims, *, index):
    ref, *arrays = args
    dim, *array_dims = dims
    if dim is not None and all(d is None for d in array_dims):
        if not index:
            return get_p.bind(ref, index=()), dim
        if len(index) == 1 and indexing.is_basic(index[0], arrays):
            level = (*index[0][:dim], Slice(0, axis.size), *index[0][dim:])
            out_dim = sum(isinstance(entry, Slice) for entry in level[:dim])
            return get_p.bind(ref, *arrays, index=(level,)), out_dim
    value = get_p.bind(ref, index=())
    (out,), (out_dim,) = batch_flat(
        lambda xs: [indexing.read(xs[0], index, xs[1:])], axis, [value, *arrays], [dim, *array_dims]
    )
    return out, out_dim


get_p = Primitive(
    "get",
    abstract=_get_abstract,
    impl=_get_impl,
    jvp=_get_jvp,
    batch=_get_batch,
    batch_needs_axis=True,
    effects=lambda **params: READ,
)


# -- swap and addupdate


def _write_abstract(name):
    def abstract(ref, value, *arrays, index):
        check_reference(ref, name)
        shape = result_shape(ref.shape, index, [a.shape for a in arrays])
        if value.shape != shape or value.dtype != ref.dtype:
            raise ValueError(
                f"{name}: a reference of type {ref.str_short()} holds {ref.dtype} of shape {shape} there, the value is "
                f"{value.str_short()}"
            )
        return ref.inner_aval.update(shape=shape)

    return abstract


def _put(ref, index, value):
    """Exchanges the content of a reference for a new value."""
    aval = ref.aval.inner_aval
    if value.aval is not aval:
        value = engine.with_aval(value, aval)
    # An array made of several is nobody else's, one that was given may be.
    engine.write_mutable(ref, value, not index)


def _swap_impl(ref, value, *arrays, index):
    if index and not arrays and (memory := engine.own_memory(ref)) is not None:
        # The indices are basic ones: of views.
        for level in index[:-1]:
            memory = memory[indexing.numpy_index(level, ())]
        place = indexing.numpy_index(index[-1], ())
        old = np.array(memory[place])
        memory[place] = value._value
        return engine.array_from_host(old, ref.weak_type)
    held = engine.peek_mutable(ref)
    old = indexing.read(held, index, arrays)
    _put(ref, index, indexing.write(held, index, arrays, value))
    return old


def _addupdate_impl(ref, value, *arrays, index):
    _put(ref, index, indexing.add(engine.peek_mutable(ref), index, arrays, value))
    return []


def check_differentiable(ref, dot, name):
    """Raises where what is written to a reference has a derivative, and the reference has no place for it."""
    if type(dot) is not Zero:
        raise ValueError(
            f"{name}: a value that is being differentiated is written to a reference of type {ref.aval.str_short()} "
            "made outside of the differentiated function, where its derivative would be lost: make the reference "
            "inside, pass it as an argument, or write lax.stop_gradient(value)"
        )


def _tangents_of(primals, tangents, name):
    """The tangent of the reference and of the value, or None where there is nothing to write."""
    ref, value = primals[:2]
    ref_dot, value_dot = tangents[:2]
    if type(ref_dot) is Zero:
        check_differentiable(ref, value_dot, name)
        return None
    return ref_dot, with_type(instantiate_zeros(value_dot), aval_to_tangent(value.aval))


def _swap_jvp(primals, tangents, *, index):
    moving = _tangents_of(primals, tangents, "assignment to a reference")
    out = swap_p.bind(*primals, index=index)
    if moving is None:
        return out, Zero(aval_to_tangent(out.aval))
    return out, swap_p.bind(*moving, *primals[2:], index=index)


def _addupdate_jvp(primals, tangents, *, index):
    moving = _tangents_of(primals, tangents, "addupdate")
    addupdate_p.bind(*primals, index=index)
    if moving is not None:
        addupdate_p.bind(*moving, *primals[2:], index=index)
    return [], []


def check_batched(ref, dim, name):
    """Raises where a batch would be written to a reference that has no batch axis."""
    if dim is None:
        raise ValueError(
            f"{name}: under vmap, a reference of type {ref.aval.str_short()} made outside of the mapped function is "
            "written to, by every element of the batch: make the reference inside, or pass one with a batch axis as an "
            "argument"
        )


def _inserted(axis, index, arrays, array_dims, dim):
    """A level with the batch axis among the sliced ones; None where more than that is needed."""
    if any(d is not None for d in array_dims) or len(index) > 1:
        return None
    if not index:
        return ()
    if not indexing.is_basic(index[0], arrays):
        return None
    return ((*index[0][:dim], Slice(0, axis.size), *index[0][dim:]),)


def _batch_write(primitive, update, name):
    def batch(axis, args, dims, *, index):
        ref, value, *arrays = args
        dim, value_dim, *array_dims = dims
        check_batched(ref, dim, name)
        batched = _inserted(axis, index, arrays, array_dims, dim)
        if batched is not None:
            level = batched[0] if batched else ()
            to = sum(isinstance(e, Slice) for e in level[:dim]) if level else dim
            value = move_batch_axis(value, value_dim, axis.size, to)
            return primitive.bind(ref, value, *arrays, index=batched), to
        held = get_p.bind(ref, index=())
        outs, out_dims = batch_flat(
            lambda xs: update(xs[0], index, xs[2:], xs[1]),
            axis,
            [held, value, *arrays],
            [dim, value_dim, *array_dims],
        )
        swap_p.bind(ref, move_batch_axis(outs[0], out_dims[0], axis.size, dim), index=())
        if primitive is addupdate_p:
            return [], []
        return outs[1], out_dims[1]

    return batch


def _write_and_read(x, index, arrays, value):
    return [indexing.write(x, index, arrays, value), indexing.read(x, index, arrays)]


swap_p = Primitive(
    "swap",
    abstract=_write_abstract("swap"),
    impl=_swap_impl,
    jvp=_swap_jvp,
    batch_needs_axis=True,
    effects=lambda **params: WRITE,
)


def _addupdate_abstract(*avals, index):
    _write_abstract("addupdate")(*avals, index=index)
    return []


addupdate_p = Primitive(
    "addupdate",
    abstract=_addupdate_abstract,
    impl=_addupdate_impl,
    jvp=_addupdate_jvp,
    batch_needs_axis=True,
    multiple_results=True,
    effects=lambda **params: ACCUM,
)
swap_p.batch = _batch_write(swap_p, _write_and_read, "assignment to a reference")
addupdate_p.batch = _batch_write(addupdate_p, lambda *args: [indexing.add(*args)], "addupdate")


# -- the end of a reference


def _freeze_abstract(ref):
    check_reference(ref, "freeze")
    return ref.inner_aval


def _freeze_jvp(primals, tangents):
    out = freeze_p.bind(*primals)
    if type(tangents[0]) is Zero:
        return out, Zero(aval_to_tangent(out.aval))
    return out, freeze_p.bind(tangents[0])


freeze_p = Primitive(
    "freeze",
    abstract=_freeze_abstract,
    impl=lambda ref: engine.freeze_mutable(ref),
    jvp=_freeze_jvp,
    batch=lambda args, dims: (freeze_p.bind(*args), dims[0]),
    effects=lambda **params: NEW,
    ref_primitive=True,
)


def _free_abstract(ref):
    check_reference(ref, "free_ref")
    return []


def _free_impl(ref):
    engine.freeze_mutable(ref)
    return []


def _free_jvp(primals, tangents):
    free_ref_p.bind(*primals)
    if type(tangents[0]) is not Zero:
        free_ref_p.bind(tangents[0])
    return [], []


free_ref_p = Primitive(
    "free_ref",
    abstract=_free_abstract,
    impl=_free_impl,
    jvp=_free_jvp,
    batch=lambda args, dims: (free_ref_p.bind(*args), []),
    multiple_results=True,
    effects=lambda **params: NEW,
)

DIRECT = frozenset({new_ref_p, get_p, swap_p, addupdate_p, freeze_p, free_ref_p})

__all__ = [
    "DIRECT",
    "addupdate_p",
    "check_batched",
    "check_differentiable",
    "free_ref_p",
    "freeze_p",
    "get_p",
    "new_ref_p",
    "swap_p",
    "with_type",
]
