"""Calls from programs to Python: `pure_callback`, `io_callback`, and what they share with those of `cyxla.debug`."""

import logging
import traceback
from typing import Any, NamedTuple

import numpy as np

from cyxla._core.dtypes import canonicalize_dtype
from cyxla._engine.array import ArrayImpl, array_from_host, array_from_physical, asarray
from cyxla._engine.aval import ShapedArray
from cyxla._engine.boundary import api_boundary
from cyxla._engine.config import Override, overrides
from cyxla._engine.core import Primitive, get_trace, using_trace
from cyxla._engine.lowering import TOKEN
from cyxla._engine.pytree import tree_flatten, tree_leaves, tree_unflatten
from cyxla._runtime import callbacks as runtime
from cyxla._transform import operations
from cyxla._transform.arguments import function_name
from cyxla._transform.effects import IOEffect, OrderedIOEffect, only
from cyxla._transform.jaxprs import batch_arguments

logger = logging.getLogger("cyxla")

VMAP_METHODS = (None, "sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized")


class FlatCallback(NamedTuple):
    """A function of a pytree as one of flat arguments, with a flat result."""

    callback_func: Any
    in_tree: Any

    def __call__(self, *leaves):
        args, kwargs = tree_unflatten(self.in_tree, leaves)
        return tree_leaves(self.callback_func(*args, **kwargs))

    def __repr__(self):
        return f"FlatCallback({function_name(self.callback_func)})"


# -- results


def check_results(api, callback, results, avals):
    """The results of a callback as NumPy arrays; RuntimeError where they are not those that were announced."""
    if len(results) != len(avals):
        raise RuntimeError(
            f"{api}: {callback} returned {len(results)} arrays, and {len(avals)} were announced by result_shape_dtypes"
        )
    return [_check_result(api, callback, i, np.asarray(r), aval) for i, (r, aval) in enumerate(zip(results, avals))]


def _check_result(api, callback, index, value, aval):
    # The thread may have another notion of 64-bit types than the one that traced the program.
    dtype = value.dtype if value.dtype == aval.dtype else canonicalize_dtype(value.dtype)
    if value.shape != aval.shape or dtype != aval.dtype:
        raise RuntimeError(
            f"{api}: {callback} returned, as array {index}, one of shape {value.shape} and dtype {dtype}; "
            f"result_shape_dtypes announced shape {aval.shape} and dtype {aval.dtype}"
        )
    return np.asarray(value, dtype=dtype, order="C")


def result_avals(api, result_shape_dtypes):
    """The avals and the structure of the results that a user announces."""
    leaves, tree = tree_flatten(result_shape_dtypes)
    avals = []
    for leaf in leaves:
        try:
            shape, dtype = leaf.shape, np.dtype(leaf.dtype)
        except AttributeError:
            raise AttributeError(
                f"{api}: result_shape_dtypes holds {leaf!r:.200}, which has no shape and dtype: use "
                "cyxla.ShapeDtypeStruct(shape, dtype), or an array"
            ) from None
        if canonicalize_dtype(dtype) != dtype:
            raise ValueError(
                f"{api}: result_shape_dtypes has a {dtype} array, and 64-bit types are disabled: enable "
                f"jax_enable_x64, or announce {canonicalize_dtype(dtype)}"
            )
        avals.append(ShapedArray(tuple(shape), dtype))
    return tuple(avals), tree


# -- the call itself


def call_now(api, callback, args, avals=(), ordered=False):
    """A callback outside of any program. What it raises becomes a JaxRuntimeError, as it would in a program."""
    from cyxla._runtime.xla import JaxRuntimeError

    if ordered:
        runtime.wait_for_ordered()
    try:
        results = check_results(api, callback, callback(*args), avals)
    except Exception as error:
        text = traceback.format_exc()
        raise JaxRuntimeError(f"INTERNAL: {api} failed: {text}") from error
    return [array_from_host(np.array(value)) for value in results]


def in_program(ctx, api, callback, names, avals=(), *, ordered=False, effect=True):
    """Lowers a call of a Python function: `callback(*arrays) -> list of arrays of these avals`.

    `effect` says that the call must happen though nobody wants its results.
    """
    operands = [aval.physical() for aval in ctx.avals_in]
    results = [aval.physical() for aval in avals]
    # It may run in another thread, and computes under the options that hold here.
    options = tuple(overrides().items())

    def function(*values):
        # The memory is XLA's, and only for the time of the call.
        args = [array_from_host(np.array(value)) for value in (values[1:] if ordered else values)]
        try:
            with using_trace(None), Override(options):
                outs = check_results(api, callback, callback(*args), avals)
        except BaseException:
            # The error reaches the caller when somebody waits for the program, if anybody does.
            logger.exception("%s failed", api)
            raise
        return (None, *outs) if ordered else tuple(outs)

    types_in, types_out = [a.mlir for a in operands], [a.mlir for a in results]
    layouts_in, layouts_out = [_layout(a.ndim) for a in operands], [_layout(a.ndim) for a in results]
    if ordered:
        names = [ctx.token, *names]
        for types, layouts in ((types_in, layouts_in), (types_out, layouts_out)):
            types.insert(0, TOKEN)
            layouts.insert(0, _layout(0))
    ctx.callbacks.append(function)
    outs = ctx.op(
        f'stablehlo.custom_call @{runtime.TARGET}({", ".join(names)}) {{backend_config = "", '
        f"has_side_effect = {str(effect).lower()}, "
        f"mhlo.backend_config = {{index = {len(ctx.callbacks) - 1} : ui64}}, "
        f"operand_layouts = [{', '.join(layouts_in)}], result_layouts = [{', '.join(layouts_out)}]}} : "
        f"({', '.join(types_in)}) -> ({', '.join(types_out)})",
        len(types_out),
    )
    if len(types_out) == 1:
        outs = [outs]
    if ordered:
        ctx.token, *outs = outs
    return outs


def _layout(ndim):
    order = ", ".join(str(i) for i in reversed(range(ndim)))
    return f"dense<[{order}]> : tensor<{ndim}xindex>" if ndim else "dense<> : tensor<0xindex>"


# -- one call for each member of a batch


def members(array, dim, size):
    """The members of a batch along an axis, in turn."""
    lax = operations.lax

    concrete = isinstance(array, ArrayImpl) and not hasattr(array.dtype, "physical_shape")
    value = np.asarray(array) if concrete else None
    for i in range(size):
        if concrete:
            member = array.aval.update(shape=array.shape[:dim] + array.shape[dim + 1 :])
            yield array_from_physical(np.array(value[(slice(None),) * dim + (i,)]), member)
        else:
            yield lax.index_in_dim(array, i, dim, keepdims=False)


def each_member(axis, args, dims):
    """The arguments of a call for each member of a batch."""
    columns = [[a] * axis.size if d is None else members(a, d, axis.size) for a, d in zip(args, dims)]
    return list(zip(*columns))


def batch_in_turn(primitive, axis, args, dims, unrolled, avals, params):
    """Calls a primitive for one member after the other: by a loop of the program, or by as many equations."""
    lax = operations.lax

    if unrolled or (get_trace() is None and all(isinstance(a, ArrayImpl) for a in args)):
        rows = [primitive.bind(*member, **params) for member in each_member(axis, args, dims)]
        outs = [lax.concatenate([lax.expand_dims(v, (0,)) for v in column], 0) for column in zip(*rows)]
        if not rows:
            outs = [lax.full((0, *a.shape), 0, a.dtype) for a in avals]
        return outs, [0] * len(outs)
    args, batched = batch_arguments(args, dims)

    def call(mapped):
        mapped = iter(mapped)
        return primitive.bind(*[next(mapped) if b else a for a, b in zip(args, batched)], **params)

    outs = list(lax.map(call, [a for a, b in zip(args, batched) if b]))
    return outs, [0] * len(outs)


# -- pure_callback


def _no_derivative(api, message):
    def rule(*args, **params):
        raise ValueError(f"{api} cannot be differentiated: Python's function has no derivative. {message}")

    return rule


def _pure_batch(axis, args, dims, *, vmap_method, result_avals, callback, sharding):
    lax = operations.lax
    params = {"callback": callback, "sharding": sharding, "vmap_method": vmap_method}
    if vmap_method is None:
        raise NotImplementedError(
            f"pure_callback of {callback} is not told how to be mapped: pass vmap_method='sequential' for one call an "
            "element, 'expand_dims' or 'broadcast_all' for a function that takes arrays with further leading axes"
        )
    if vmap_method.startswith("sequential"):
        params["result_avals"] = result_avals
        return batch_in_turn(
            pure_callback_p, axis, args, dims, vmap_method == "sequential_unrolled", result_avals, params
        )
    args, batched = batch_arguments(args, dims)
    if vmap_method != "legacy_vectorized":
        sizes = {"expand_dims": 1, "broadcast_all": axis.size}
        args = [
            a if b else lax.broadcast_in_dim(a, (sizes[vmap_method], *a.shape), tuple(range(1, a.ndim + 1)))
            for a, b in zip(args, batched)
        ]
    avals = tuple(aval.update(shape=(axis.size, *aval.shape)) for aval in result_avals)
    outs = pure_callback_p.bind(*args, result_avals=avals, **params)
    return outs, [0] * len(outs)


pure_callback_p = Primitive(
    "pure_callback",
    abstract=lambda *avals, result_avals, **params: list(result_avals),
    impl=lambda *args, callback, result_avals, **params: call_now("pure_callback", callback, args, result_avals),
    jvp=_no_derivative("pure_callback", "Give it one by cyxla.custom_jvp or cyxla.custom_vjp."),
    batch=_pure_batch,
    batch_needs_axis=True,
    lower=lambda ctx, *names, callback, result_avals, **params: in_program(
        ctx, "pure_callback", callback, names, result_avals, effect=False
    ),
    multiple_results=True,
)


@api_boundary
def pure_callback(callback, result_shape_dtypes, *args, sharding=None, vmap_method=None, **kwargs):
    """The result of a Python function of arrays, also within compiled programs.

    `callback(*args, **kwargs)` gets arrays and returns a pytree of arrays with the shapes and dtypes of
    `result_shape_dtypes` (a pytree of anything that has those). It must be a pure function: it may be called any number
    of times, or not at all where its result is not used. `vmap_method` says what `vmap` does: "sequential" and
    "sequential_unrolled" call it once for each element, "expand_dims" and "broadcast_all" once with a further leading
    axis on all arrays, of size 1 or repeated for arguments that are not mapped, "legacy_vectorized" once with the
    further axis on mapped arguments only; None raises NotImplementedError.

    Errors of the callback arrive as JaxRuntimeError. Has no derivative: ValueError.

    >>> import cyxla, cyxla.numpy as jnp, numpy as np
    >>> f = cyxla.jit(lambda x: cyxla.pure_callback(np.sort, x, x))
    >>> f(jnp.array([3.0, 1.0, 2.0]))
    Array([1., 2., 3.], dtype=float32)
    """
    if not callable(callback):
        raise TypeError(f"pure_callback takes a function first, got {callback!r:.200}")
    if vmap_method not in VMAP_METHODS:
        raise ValueError(f"pure_callback: unknown vmap_method {vmap_method!r}; it is one of {VMAP_METHODS}")
    avals, out_tree = result_avals("pure_callback", result_shape_dtypes)
    leaves, in_tree = tree_flatten((args, kwargs))
    outs = pure_callback_p.bind(
        *map(asarray, leaves), callback=FlatCallback(callback, in_tree), result_avals=avals, sharding=sharding,
        vmap_method=vmap_method,
    )  # fmt: skip
    return tree_unflatten(out_tree, outs)


# -- io_callback


def _io_batch(axis, args, dims, *, ordered, result_avals, **params):
    if ordered:
        raise ValueError(
            f"io_callback of {params['callback']} is ordered, and vmap has no order for the elements of a batch: use "
            "ordered=False, or cyxla.lax.map"
        )
    params |= {"ordered": ordered, "result_avals": result_avals}
    return batch_in_turn(io_callback_p, axis, args, dims, False, result_avals, params)


io_callback_p = Primitive(
    "io_callback",
    abstract=lambda *avals, result_avals, **params: list(result_avals),
    impl=lambda *args, callback, result_avals, ordered, **params: call_now(
        "io_callback", callback, args, result_avals, ordered
    ),
    jvp=_no_derivative("io_callback", "Apply cyxla.lax.stop_gradient to its arguments where none is needed."),
    batch=_io_batch,
    batch_needs_axis=True,
    lower=lambda ctx, *names, callback, result_avals, ordered, **params: in_program(
        ctx, "io_callback", callback, names, result_avals, ordered=ordered
    ),
    multiple_results=True,
    effects=lambda *, ordered, **params: _ORDERED_IO if ordered else _IO,
)
_IO, _ORDERED_IO = only(IOEffect), only(OrderedIOEffect)


@api_boundary
def io_callback(callback, result_shape_dtypes, *args, sharding=None, ordered=False, **kwargs):
    """Calls a Python function that has effects, also within compiled programs, and gives its result.

    As `cyxla.pure_callback`, but the call happens exactly when the program comes to it, whether or not its result is
    used. With `ordered` such calls happen in the order of the program, and of the programs of one thread. Under `vmap`
    the function is called once for each element, if it is not ordered: ValueError.

    Errors of the callback arrive as JaxRuntimeError. Has no derivative: ValueError.

    >>> import cyxla
    >>> from cyxla.experimental import io_callback
    >>> seen = []
    >>> f = cyxla.jit(lambda x: io_callback(lambda v: seen.append(int(v)), None, x, ordered=True))
    >>> f(1), f(2), cyxla.effects_barrier()
    (None, None, None)
    >>> seen
    [1, 2]
    """
    if not callable(callback):
        raise TypeError(f"io_callback takes a function first, got {callback!r:.200}")
    avals, out_tree = result_avals("io_callback", result_shape_dtypes)
    leaves, in_tree = tree_flatten((args, kwargs))
    outs = io_callback_p.bind(
        *map(asarray, leaves), callback=FlatCallback(callback, in_tree), ordered=bool(ordered), result_avals=avals,
        sharding=sharding,
    )  # fmt: skip
    return tree_unflatten(out_tree, outs)
