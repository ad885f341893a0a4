"""The functions of mutable arrays as users call them; `cyxla.ref` has them all."""

from cyxla import lax
from cyxla._engine.array import asarray, is_arraylike
from cyxla._transform.references import is_reference
from cyxla.lax.refs import reference
from cyxla.lax.refs.primitives import free_ref_p, freeze_p, new_ref_p


def new_ref(init_val, *, memory_space=None, kind=None):
    """A reference to a mutable copy of an array or number.

    It is read by `ref[index]`, written by `ref[index] = value`, and passed to transformed functions, which may write to
    it: the caller sees the new content. `memory_space` must be None, `kind` is only noted in jaxprs.

    Raises TypeError for what is not an array or a number.

    >>> import cyxla, cyxla.numpy as jnp
    >>> ref = cyxla.new_ref(jnp.arange(3.0))
    >>> @cyxla.jit
    ... def double(ref):
    ...     ref[...] *= 2.0
    >>> double(ref)
    >>> ref[...]
    Array([0., 2., 4.], dtype=float32)
    """
    if not is_arraylike(init_val) or is_reference(init_val):
        raise TypeError(f"new_ref takes an array or a number, got {init_val!r:.200} of type {type(init_val).__name__}")
    if memory_space is not None:
        raise ValueError(f"new_ref: memory_space must be None, got {memory_space!r}")
    return new_ref_p.bind(asarray(init_val), memory_space=None, kind=kind)


def empty_ref(ty, memory_space=None):
    """A reference to an array of the shape and dtype of `ty`, whose content means nothing until it is written.

    >>> import cyxla, cyxla.numpy as jnp
    >>> ref = cyxla.empty_ref(cyxla.ShapeDtypeStruct((2,), jnp.float32))
    >>> ref[...] = jnp.ones(2)
    >>> ref
    Ref([1., 1.], dtype=float32)
    """
    if not (hasattr(ty, "shape") and hasattr(ty, "dtype")):
        raise TypeError(f"empty_ref takes what has a shape and a dtype, got {ty!r:.200}")
    return new_ref(lax.empty(ty.shape, ty.dtype), memory_space=memory_space)


def freeze(ref):
    """The content of a reference, which cannot be used any more.

    >>> import cyxla, cyxla.numpy as jnp
    >>> ref = cyxla.new_ref(jnp.zeros(2))
    >>> ref[0] = 1.0
    >>> cyxla.freeze(ref)
    Array([1., 0.], dtype=float32)
    """
    return freeze_p.bind(_whole(ref, "freeze"))


def free_ref(ref):
    """Ends the life of a reference: it cannot be used any more, and its memory is given back.

    >>> import cyxla
    >>> cyxla.free_ref(cyxla.new_ref(1.0))
    """
    free_ref_p.bind(_whole(ref, "free_ref"))


def _whole(ref, api):
    if not is_reference(ref):
        raise TypeError(f"{api} takes a reference, made by new_ref, got {ref!r:.200} of type {type(ref).__name__}")
    return ref


def get(ref, idx=None):
    """`ref[idx]`; all of it for None.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.ref.get(cyxla.new_ref(jnp.arange(3)), 1)
    Array(1, dtype=int32)
    """
    return reference.get(ref, idx, "ref.get")


def set(ref, idx, value):
    """`ref[idx] = value`. The value has the shape that the index points at and the dtype of the reference.

    >>> import cyxla, cyxla.numpy as jnp
    >>> ref = cyxla.new_ref(jnp.arange(3))
    >>> cyxla.ref.set(ref, 1, 5)
    >>> ref
    Ref([0, 5, 2], dtype=int32)
    """
    reference.swap(ref, idx, value, "ref.set")


def swap(ref, idx, value, _function_name="ref_swap"):
    """As `set`, and returns what was there before.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.ref.swap(cyxla.new_ref(jnp.arange(3)), 1, 5)
    Array(1, dtype=int32)
    """
    return reference.swap(ref, idx, value, _function_name)


def addupdate(ref, idx, x):
    """`ref[idx] += x`, in one operation: with an array of indices, as often as one occurs.

    >>> import cyxla, cyxla.numpy as jnp
    >>> ref = cyxla.new_ref(jnp.arange(3))
    >>> cyxla.ref.addupdate(ref, 1, 5)
    >>> ref
    Ref([0, 6, 2], dtype=int32)
    """
    reference.add(ref, idx, x, "ref.addupdate")


__all__ = ["addupdate", "empty_ref", "free_ref", "freeze", "get", "new_ref", "set", "swap"]
