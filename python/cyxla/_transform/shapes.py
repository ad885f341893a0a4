"""`ShapeDtypeStruct`, `eval_shape` and `make_jaxpr`: functions seen without values."""

import functools
from contextlib import ExitStack

from cyxla._engine.array import is_arraylike, typeof
from cyxla._engine.aval import ShapedArray
from cyxla._engine.boundary import api_boundary
from cyxla._engine.config import NamedAxis
from cyxla._engine.core import ClosedJaxpr
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._engine.staging import trace_flat


class ShapeDtypeStruct:
    """Shape and dtype of an array, without its values.

    >>> import cyxla
    >>> cyxla.ShapeDtypeStruct((2, 3), "float32")
    ShapeDtypeStruct(shape=(2, 3), dtype=float32)
    """

    __slots__ = ("dtype", "is_ref", "shape", "sharding", "weak_type")

    def __init__(self, shape, dtype, *, sharding=None, weak_type=False, vma=None, manual_axis_type=None, is_ref=False):
        if dtype is None:
            raise ValueError("ShapeDtypeStruct: dtype is None; give the dtype of the elements")
        self.shape = tuple(shape)
        self.dtype = ShapedArray((), dtype).dtype
        self.sharding = sharding
        self.weak_type = weak_type
        self.is_ref = is_ref

    @classmethod
    def of(cls, aval):
        out = cls.__new__(cls)
        out.shape, out.dtype, out.weak_type = aval.shape, aval.dtype, aval.weak_type
        out.sharding = None
        out.is_ref = False
        return out

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        size = 1
        for dim in self.shape:
            size *= dim
        return size

    def __len__(self):
        if not self.shape:
            raise TypeError("ShapeDtypeStruct of shape (): a scalar has no len()")
        return self.shape[0]

    def update(self, **changes):
        fields = {"shape": self.shape, "dtype": self.dtype, "sharding": self.sharding, "weak_type": self.weak_type}
        return ShapeDtypeStruct(**{**fields, **changes})

    def _key(self):
        return self.shape, self.dtype, self.sharding, self.weak_type, self.is_ref

    def __eq__(self, other):
        return isinstance(other, ShapeDtypeStruct) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        name = getattr(self.dtype, "name", str(self.dtype))
        weak = ", weak_type=True" if self.weak_type else ""
        sharding = f", sharding={self.sharding}" if self.sharding is not None else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={name}{weak}{sharding})"


def abstract(leaf):
    """The aval of an array, a number, or anything that has shape and dtype."""
    if is_arraylike(leaf) or isinstance(leaf, ShapedArray):
        return typeof(leaf)
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return ShapedArray(tuple(leaf.shape), leaf.dtype, bool(getattr(leaf, "weak_type", False)))
    return typeof(leaf)


def _trace(fun, args, kwargs, api):
    from cyxla._transform.arguments import DebugInfo, check_result, function_name

    leaves, in_tree = tree_flatten((args, kwargs))
    name = function_name(fun)
    out_tree = None

    def flat(tracers):
        nonlocal out_tree
        call_args, call_kwargs = tree_unflatten(in_tree, tracers)
        out = fun(*call_args, **call_kwargs)
        outs, out_tree = tree_flatten(out)
        for leaf in outs:
            check_result(leaf, out, name)
        return outs

    jaxpr, consts = trace_flat(flat, [abstract(leaf) for leaf in leaves], DebugInfo(api, name, fun, in_tree))
    return ClosedJaxpr(jaxpr, consts), out_tree


@api_boundary
def eval_shape(fun, *args, **kwargs):
    """The shapes and dtypes of `fun(*args, **kwargs)` as a pytree of `ShapeDtypeStruct`, without computing anything.

    Arguments are arrays, or anything with `shape` and `dtype`.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.eval_shape(lambda x: x @ x.T, cyxla.ShapeDtypeStruct((2, 3), jnp.float32))
    ShapeDtypeStruct(shape=(2, 2), dtype=float32)
    """
    closed, out_tree = _trace(fun, args, kwargs, "eval_shape")
    return tree_unflatten(out_tree, [ShapeDtypeStruct.of(aval) for aval in closed.out_avals])


def make_jaxpr(fun, static_argnums=(), axis_env=None, return_shape=False):
    """A function that returns the jaxpr of `fun` for its arguments, and with `return_shape` the result's structure.

    `axis_env`, a list of (name, size), names axes that `fun` is to be mapped over, for collectives.

    >>> import cyxla
    >>> cyxla.make_jaxpr(lambda x: x * 2.0)(1.0)
    { lambda ; a:f32[]. let b:f32[] = mul a 2.0:f32[] in (b,) }
    """
    if not callable(fun):
        raise TypeError(f"make_jaxpr takes a function, got {fun!r:.200} of type {type(fun).__name__}")
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)

    @api_boundary
    @functools.wraps(fun)
    def jaxpr_of(*args, **kwargs):
        static = {i % len(args) for i in numbers}
        dynamic = [a for i, a in enumerate(args) if i not in static]

        @functools.wraps(fun)
        def call(*traced, **traced_kwargs):
            rest = iter(traced)
            return fun(*[a if i in static else next(rest) for i, a in enumerate(args)], **traced_kwargs)

        with ExitStack() as axes:
            for axis in axis_env or ():
                axes.enter_context(NamedAxis(*axis))
            closed, out_tree = _trace(call if static else fun, tuple(dynamic), kwargs, "make_jaxpr")
        if return_shape:
            return closed, tree_unflatten(out_tree, [ShapeDtypeStruct.of(aval) for aval in closed.out_avals])
        return closed

    return jaxpr_of
