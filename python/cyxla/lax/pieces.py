"""Putting arrays together and taking them apart: concatenate, pad, stack, unstack, split, tile."""

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.core import Primitive, Zero
from cyxla.lax._util import (
    all_weak,
    as_operand,
    batch_size,
    canonicalize_axis,
    canonicalize_shape,
    check_axes,
    check_not_negative,
    check_rank,
    check_same_dtype,
    scalar_like,
    to_front,
    with_shape,
    zeros_of,
)
from cyxla.lax.binary import undefined

# ---- concatenate


def _concatenate_abstract(*operands, dimension):
    shapes = ", ".join(str(x.shape) for x in operands)
    first = operands[0]
    if any(x.ndim != first.ndim for x in operands):
        raise TypeError(f"concatenate: operands need one rank, their shapes are {shapes}")
    check_axes("concatenate", "dimension", (dimension,), first.shape, TypeError)
    if any(
        x.shape[:dimension] != first.shape[:dimension] or x.shape[dimension + 1 :] != first.shape[dimension + 1 :]
        for x in operands
    ):
        raise TypeError(f"concatenate: along dimension {dimension} all other sizes must agree, the shapes are {shapes}")
    check_same_dtype(
        "lax.concatenate",
        operands,
        " (Tip: jnp.concatenate is a similar function that promotes the dtypes of its inputs.)",
    )
    shape = list(first.shape)
    shape[dimension] = sum(x.shape[dimension] for x in operands)
    return shaped_array(tuple(shape), first.code, all_weak(operands))


def _concatenate_lower(ctx, *operands, dimension):
    types = ", ".join(a.mlir for a in ctx.avals_in)
    return ctx.op(
        f"stablehlo.concatenate {', '.join(operands)}, dim = {dimension} : ({types}) -> {ctx.avals_out[0].mlir}"
    )


def _concatenate_transpose(ct, *operands, dimension):
    out, low = [], 0
    for x in operands:
        high = low + (x.aval if undefined(x) else x).shape[dimension]
        out.append(lax.slice_in_dim(ct, low, high, axis=dimension) if undefined(x) else None)
        low = high
    return out


def _concatenate_batch(args, dims, dimension):
    d = dims[0]
    if d is not None and all(e == d for e in dims):
        return concatenate_p.bind(*args, dimension=dimension + (dimension >= d)), d
    size = batch_size(args, dims)
    return concatenate_p.bind(*(to_front(x, e, size) for x, e in zip(args, dims)), dimension=dimension + 1), 0


concatenate_p = Primitive(
    "concatenate",
    abstract=_concatenate_abstract,
    lower=_concatenate_lower,
    linear=True,
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
    host=True,
)


def concatenate(operands, dimension):
    """Joins arrays along a dimension; elsewhere they have equal sizes, and one dtype.

    ValueError without an array, TypeError where shapes or dtypes do not fit.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.concatenate([np.int32([1, 2]), np.int32([3])], 0)
    Array([1, 2, 3], dtype=int32)
    """
    operands = [x if isinstance(x, Array) else as_operand(x) for x in operands]
    if not operands:
        raise ValueError("concatenate: no operands were given; one at least is needed")
    dimension = integer(dimension)
    if len(operands) == 1 and 0 <= dimension < operands[0].ndim:
        return operands[0]
    return concatenate_p.bind(*operands, dimension=dimension)


# ---- pad


def _pad_abstract(x, padding_value, padding_config):
    check_same_dtype("pad", (x, padding_value))
    check_rank("pad", "padding_value", padding_value, 0, 0)
    if len(padding_config) != x.ndim:
        raise ValueError(
            f"pad: padding_config={padding_config} needs one (low, high, interior) for each axis of shape {x.shape}"
        )
    if any(i < 0 for _, _, i in padding_config):
        raise ValueError(
            "pad: the third number of each entry, the interior padding, must not be negative: "
            f"padding_config={padding_config}"
        )
    shape = tuple(lo + hi + (n + (n - 1) * i if n else 0) for n, (lo, hi, i) in zip(x.shape, padding_config))
    if any(n < 0 for n in shape):
        raise ValueError(
            f"pad: padding_config={padding_config} takes more from shape {x.shape} than it has: {shape} would be left"
        )
    return shaped_array(shape, x.code, x.weak_type and padding_value.weak_type)


def _pad_lower(ctx, x, padding_value, padding_config):
    low, high, interior = ([c[i] for c in padding_config] for i in range(3))
    types = ", ".join(a.mlir for a in ctx.avals_in)
    return ctx.op(
        f"stablehlo.pad {x}, {padding_value}, low = {low}, high = {high}, interior = {interior} : "
        f"({types}) -> {ctx.avals_out[0].mlir}"
    )


def _pad_transpose(ct, x, padding_value, padding_config):
    # what of the result came from the operand: undo the edges, then skip the interior
    cropped = lax.pad(ct, scalar_like(ct, 0), tuple((-lo, -hi, 0) for lo, hi, _ in padding_config))
    strides = tuple(i + 1 for _, _, i in padding_config)
    inner = lax.slice(cropped, (0,) * ct.ndim, cropped.shape, strides)
    out = [inner if undefined(x) else None, None]
    if undefined(padding_value):
        axes = tuple(range(ct.ndim))
        out[1] = lax.sub(lax.reduce_sum(ct, axes), lax.reduce_sum(inner, axes))
    return out


def _pad_batch(args, dims, padding_config):
    x, value = args
    if dims[1] is None:
        d = dims[0]
        return lax.pad(x, value, (*padding_config[:d], (0, 0, 0), *padding_config[d:])), d
    # a padding value for each element of the batch: pad a mask likewise and choose
    size = batch_size(args, dims)
    x = to_front(x, dims[0], size)
    config = ((0, 0, 0), *padding_config)
    padded = lax.pad(x, scalar_like(x, 0), config)
    inside = lax.pad(lax.full(x.shape, True), False, config)
    return lax.select(inside, padded, lax.broadcast_in_dim(value, padded.shape, (0,))), 0


pad_p = Primitive(
    "pad",
    abstract=_pad_abstract,
    lower=_pad_lower,
    linear=True,
    transpose=_pad_transpose,
    batch=_pad_batch,
    host=True,
)


def pad(operand, padding_value, padding_config):
    """Pads with a value: `padding_config` holds (low, high, interior) a dimension.

    Negative low and high crop; interior is put between any two elements. TypeError for differing dtypes, ValueError for
    a configuration that does not fit.

    >>> from cyxla import lax
    >>> lax.pad(lax.iota("int32", 3), 9, [(1, 0, 1)])
    Array([9, 0, 9, 1, 9, 2], dtype=int32)
    """
    return pad_p.bind(operand, padding_value, padding_config=tuple(map(canonicalize_shape, padding_config)))


# ---- stack and unstack


def _stack_abstract(*operands, axis):
    first = operands[0]
    check_same_dtype("lax.stack", operands)
    if any(x.shape != first.shape for x in operands):
        raise ValueError(f"stack: operands need one shape, theirs are {[x.shape for x in operands]}")
    shape = (*first.shape[:axis], len(operands), *first.shape[axis:])
    return shaped_array(shape, first.code, all_weak(operands))


def _stack_lower(ctx, *operands, axis):
    aval, out = ctx.avals_in[0], ctx.avals_out[0]
    expanded = with_shape(aval, (*aval.shape[:axis], 1, *aval.shape[axis:]))
    dims = tuple(d for d in range(out.ndim) if d != axis)
    names = [ctx.broadcast(x, aval, expanded, dims) for x in operands]
    types = ", ".join([expanded.mlir] * len(names))
    return ctx.op(f"stablehlo.concatenate {', '.join(names)}, dim = {axis} : ({types}) -> {out.mlir}")


def _stack_batch(args, dims, axis):
    size = batch_size(args, dims)
    return stack_p.bind(*(to_front(x, d, size) for x, d in zip(args, dims)), axis=axis + 1), 0


stack_p = Primitive(
    "stack",
    abstract=_stack_abstract,
    lower=_stack_lower,
    linear=True,
    transpose=lambda ct, *operands, axis: lax.unstack(ct, axis),
    batch=_stack_batch,
    host=True,
)


def stack(operands, axis=0):
    """Joins arrays of one shape and dtype along a new axis.

    >>> from cyxla import lax
    >>> lax.stack([1.0, 2.0])
    Array([1., 2.], dtype=float32, weak_type=True)
    """
    operands = [as_operand(x) for x in operands]
    if not operands:
        raise ValueError("stack: no operands were given; one at least is needed")
    return stack_p.bind(*operands, axis=canonicalize_axis(axis, operands[0].ndim + 1))


def _slice_text(bounds):
    return "[" + ", ".join(f"{low}:{high}" for low, high in bounds) + "]"


def _unstack_abstract(x, axis):
    return [with_shape(x, (*x.shape[:axis], *x.shape[axis + 1 :]))] * x.shape[axis]


def _unstack_lower(ctx, x, axis):
    aval = ctx.avals_in[0]
    thin = with_shape(aval, (*aval.shape[:axis], 1, *aval.shape[axis + 1 :]))
    names = []
    for i, out in enumerate(ctx.avals_out):
        bounds = [(i, i + 1) if d == axis else (0, n) for d, n in enumerate(aval.shape)]
        piece = ctx.op(f"stablehlo.slice {x} {_slice_text(bounds)} : ({aval.mlir}) -> {thin.mlir}")
        names.append(ctx.op(f"stablehlo.reshape {piece} : ({thin.mlir}) -> {out.mlir}"))
    return names


def _filled(cts):
    return [zeros_of(ct.aval) if type(ct) is Zero else ct for ct in cts]


def _unstack_batch(args, dims, axis):
    d = dims[0]
    axis += axis >= d
    outs = unstack_p.bind(args[0], axis=axis)
    return outs, [d - (axis < d)] * len(outs)


unstack_p = Primitive(
    "unstack",
    multiple_results=True,
    abstract=_unstack_abstract,
    lower=_unstack_lower,
    linear=True,
    transpose=lambda cts, x, axis: [lax.stack(_filled(cts), axis)],
    batch=_unstack_batch,
    host=True,
)


def unstack(x, axis=0):
    """The arrays that `stack` along the axis would join to x; ValueError for a scalar.

    >>> from cyxla import lax
    >>> lax.unstack(lax.iota("int32", 2))
    (Array(0, dtype=int32), Array(1, dtype=int32))
    """
    x = as_operand(x)
    check_rank("unstack", "x", x, 1)
    return tuple(unstack_p.bind(x, axis=canonicalize_axis(axis, x.ndim)))


# ---- split


def _split_abstract(x, sizes, axis):
    check_not_negative("split", "sizes", tuple(sizes))
    if sum(sizes) != x.shape[axis]:
        raise ValueError(
            f"split: sizes={sizes} add up to {sum(sizes)}, but axis {axis} of shape {x.shape} has size {x.shape[axis]}"
        )
    return [with_shape(x, (*x.shape[:axis], n, *x.shape[axis + 1 :])) for n in sizes]


def _split_lower(ctx, x, sizes, axis):
    aval, names, low = ctx.avals_in[0], [], 0
    for out, n in zip(ctx.avals_out, sizes):
        bounds = [(low, low + n) if d == axis else (0, m) for d, m in enumerate(aval.shape)]
        names.append(ctx.op(f"stablehlo.slice {x} {_slice_text(bounds)} : ({aval.mlir}) -> {out.mlir}"))
        low += n
    return names


def _split_batch(args, dims, sizes, axis):
    d = dims[0]
    outs = split_p.bind(args[0], sizes=sizes, axis=axis + (axis >= d))
    return outs, [d] * len(outs)


split_p = Primitive(
    "split",
    multiple_results=True,
    abstract=_split_abstract,
    lower=_split_lower,
    linear=True,
    transpose=lambda cts, x, sizes, axis: [lax.concatenate(_filled(cts), axis)],
    batch=_split_batch,
    host=True,
)


def split(operand, sizes, axis=0):
    """Cuts an array along an axis into pieces of the given sizes, which must add up to the axis (else ValueError).

    >>> from cyxla import lax
    >>> lax.split(lax.iota("int32", 3), (1, 2))
    [Array([0], dtype=int32), Array([1, 2], dtype=int32)]
    """
    operand = as_operand(operand)
    return split_p.bind(operand, sizes=canonicalize_shape(sizes), axis=canonicalize_axis(axis, operand.ndim))


# ---- tile


def _tile_abstract(x, reps):
    if len(reps) != x.ndim:
        raise TypeError(f"tile: reps={reps} needs one entry for each of the {x.ndim} axes of shape {x.shape}")
    check_not_negative("tile", "reps", tuple(reps), TypeError)
    return with_shape(x, tuple(n * r for n, r in zip(x.shape, reps)))


def _tile_lower(ctx, x, reps):
    aval, out = ctx.avals_in[0], ctx.avals_out[0]
    ones = with_shape(aval, tuple(m for n in aval.shape for m in (1, n)))
    copies = with_shape(aval, tuple(m for n, r in zip(aval.shape, reps) for m in (r, n)))
    x = ctx.op(f"stablehlo.reshape {x} : ({aval.mlir}) -> {ones.mlir}")
    x = ctx.broadcast(x, ones, copies, tuple(range(ones.ndim)))
    return ctx.op(f"stablehlo.reshape {x} : ({copies.mlir}) -> {out.mlir}")


def _tile_transpose(ct, x, reps):
    shape = x.aval.shape
    copies = lax.reshape(ct, tuple(m for n, r in zip(shape, reps) for m in (r, n)))
    return [lax.reduce_sum(copies, tuple(range(0, 2 * len(shape), 2)))]


tile_p = Primitive(
    "tile",
    abstract=_tile_abstract,
    lower=_tile_lower,
    linear=True,
    transpose=_tile_transpose,
    batch=lambda args, dims, reps: (
        tile_p.bind(args[0], reps=(*reps[: dims[0]], 1, *reps[dims[0] :])),
        dims[0],
    ),
    host=True,
)


def tile(operand, reps):
    """Repeats an array `reps[i]` times along dimension i.

    >>> from cyxla import lax
    >>> lax.tile(lax.iota("int32", 2), (2,))
    Array([0, 1, 0, 1], dtype=int32)
    """
    return tile_p.bind(operand, reps=canonicalize_shape(reps))
