"""Reductions over dimensions: sums, products, extrema, logical ones, argmax and argmin, and any computation."""

from math import prod

import ml_dtypes
import numpy as np

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.autodiff import jvp_flat
from cyxla._engine.aval import int_tuple, integer, shaped_array
from cyxla._engine.batching import Axis, batch_flat
from cyxla._engine.core import ClosedJaxpr, Primitive, Tracer, Zero, eval_jaxpr
from cyxla._engine.core import aval_to_tangent as tangent_aval
from cyxla._engine.dtypes import code_dtype, dtype_code
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._engine.staging import trace_flat
from cyxla._engine.ufunc import StrictOp
from cyxla.lax._util import (
    as_operand,
    batch_size,
    check_axes,
    check_kind,
    check_rank,
    is_complex,
    kind_of,
    region,
    scalar_like,
    short,
    to_front,
    with_shape,
)
from cyxla.lax.convert import canonical_code


def reduced_shape(shape, axes):
    return tuple(n for d, n in enumerate(shape) if d not in axes)


def kept_dims(ndim, axes):
    """The dimensions of a reduction's operand that its result keeps."""
    return tuple([d for d in range(ndim) if d not in axes]) if len(axes) < ndim else ()


def shift_axes(axes, d):
    """The reduced axes once a batch axis stands at d, and where that axis is in the result."""
    moved = tuple(a + (a >= d) for a in axes)
    return moved, d - sum(a < d for a in moved)


def lowest(dtype):
    """The identity of the maximum: -inf where the dtype has it, else its smallest value; False for bool."""
    return _extreme(dtype, -1)


def highest(dtype):
    """The identity of the minimum."""
    return _extreme(dtype, 1)


def _extreme(dtype, sign):
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return sign > 0
    try:
        limits = ml_dtypes.iinfo(dtype)
    except ValueError:
        infinity = np.asarray(sign * np.inf).astype(dtype)
        if dtype.kind == "c" or np.isinf(infinity):
            return infinity
        limits = ml_dtypes.finfo(dtype)
    return limits.max if sign > 0 else limits.min


# ---- reductions by an operation that has an identity


def _reduction(name, operation, identity, accepts, choose=None, **rules):
    """`choose` spells the operation out for complex numbers, where StableHLO has none."""

    def abstract(x, axes, out_sharding=None):
        check_kind(name, x, accepts)
        check_axes(name, "axes", axes, x.shape)
        return with_shape(x, reduced_shape(x.shape, axes))

    def lower(ctx, x, axes, out_sharding=None):
        aval, out = ctx.avals_in[0], ctx.avals_out[0]
        if name == "reduce_sum" and all(aval.shape[a] == 1 for a in axes):  # XLA makes the same of it, with more work
            return ctx.op(f"stablehlo.reshape {x} : ({aval.mlir}) -> {out.mlir}")
        element = shaped_array((), aval.code, False)
        init = ctx.constant(identity(aval.dtype), element)
        if choose is not None and is_complex(aval):
            body = region(ctx, lambda a, b: [choose(a, b)], (element, element), name)
            return ctx.op(
                f'"stablehlo.reduce"({x}, {init}) <{{dimensions = array<i64{_array(axes)}>}}> {body} : '
                f"({aval.mlir}, {element.mlir}) -> {out.mlir}"
            )
        return ctx.op(
            f"stablehlo.reduce({x} init: {init}) applies stablehlo.{operation} across dimensions = {list(axes)} : "
            f"({aval.mlir}, {element.mlir}) -> {out.mlir}"
        )

    def batch(args, dims, axes, **params):
        axes, d = shift_axes(axes, dims[0])
        return prim.bind(args[0], axes=axes, **params), d

    prim = Primitive(name, abstract=abstract, lower=lower, batch=batch, host=True, **rules)
    return prim


def _array(values):
    return ": " + ", ".join(map(str, values)) if values else ""


def _reduce_sum_transpose(ct, x, axes, out_sharding=None):
    shape = x.aval.shape
    kept = kept_dims(len(shape), axes)
    return [lax.broadcast_in_dim_p.bind(ct, shape=shape, broadcast_dimensions=kept, sharding=None) if axes else ct]


def _reduce_prod_jvp(t, ans, x, axes):
    """The product rule up a tree of pairwise products, which needs no division and so holds at zeros."""
    order = axes + kept_dims(x.ndim, axes)
    shape = (prod(x.shape[a] for a in axes), *ans.shape)
    x = lax.reshape(lax.transpose(x, order), shape)
    t = lax.reshape(lax.transpose(t, order), shape)
    n = shape[0]
    if n == 0:
        return Zero(tangent_aval(ans.aval))
    while n > 1:
        half = (n + 1) // 2
        fill = [(0, 2 * half - n, 0)] + [(0, 0, 0)] * ans.ndim
        a, b = lax.slice_in_dim(x, 0, half), lax.pad(lax.slice_in_dim(x, half, n), scalar_like(x, 1), fill)
        ta, tb = lax.slice_in_dim(t, 0, half), lax.pad(lax.slice_in_dim(t, half, n), scalar_like(t, 0), fill)
        x, t, n = lax.mul(a, b), lax.add_any(lax.mul(ta, b), lax.mul(a, tb)), half
    return lax.reshape(t, ans.shape)


def _extremum_jvp(t, ans, x, axes):
    """All elements equal to the extremum share the slope."""
    hit = lax.eq(x, lax.broadcast_in_dim(ans, x.shape, kept_dims(x.ndim, axes)))
    hit = lax.convert_element_type(hit, x.dtype)
    return lax.div(lax.reduce_sum(lax.mul(t, hit), axes), lax.reduce_sum(hit, axes))


def _greater(x, y):
    return lax.max(x, y)


def _smaller(x, y):
    return lax.min(x, y)


reduce_sum_p = _reduction("reduce_sum", "add", lambda dtype: 0, "iufc", linear=True, transpose=_reduce_sum_transpose)
reduce_prod_p = _reduction("reduce_prod", "multiply", lambda dtype: 1, "iufc", jvps=(_reduce_prod_jvp,))
reduce_max_p = _reduction("reduce_max", "maximum", lowest, "biufc", choose=_greater, jvps=(_extremum_jvp,))
reduce_min_p = _reduction("reduce_min", "minimum", highest, "biufc", choose=_smaller, jvps=(_extremum_jvp,))
reduce_and_p = _reduction("reduce_and", "and", lambda dtype: _all_bits(dtype), "biu", differentiable=False)
reduce_or_p = _reduction("reduce_or", "or", lambda dtype: 0, "biu", differentiable=False)
reduce_xor_p = _reduction("reduce_xor", "xor", lambda dtype: 0, "biu", differentiable=False)


def _all_bits(dtype):
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return True
    limits = ml_dtypes.iinfo(dtype)
    return -1 if limits.min < 0 else limits.max


def _axes(axes):
    return int_tuple(axes)


def reduce_sum(operand, axes, *, out_sharding=None):
    """Sum over dimensions; of numbers, in their dtype.

    ValueError for repeated or out-of-range (also negative) axes, TypeError for bool.

    >>> from cyxla import lax
    >>> lax.reduce_sum(lax.iota("int32", 5), (0,))
    Array(10, dtype=int32)
    """
    return reduce_sum_p.bind(operand, axes=_axes(axes), out_sharding=out_sharding)


def reduce_prod(operand, axes):
    """Product over dimensions."""
    return reduce_prod_p.bind(operand, axes=_axes(axes))


def reduce_max(operand, axes):
    """Maximum over dimensions; NaN if any element is."""
    return reduce_max_p.bind(operand, axes=_axes(axes))


def reduce_min(operand, axes):
    """Minimum over dimensions; NaN if any element is."""
    return reduce_min_p.bind(operand, axes=_axes(axes))


def reduce_and(operand, axes):
    """Bitwise and over dimensions of integers; logical and of bools."""
    return reduce_and_p.bind(operand, axes=_axes(axes))


def reduce_or(operand, axes):
    """Bitwise or over dimensions of integers; logical or of bools."""
    return reduce_or_p.bind(operand, axes=_axes(axes))


def reduce_xor(operand, axes):
    """Bitwise exclusive or over dimensions of integers; parity of bools."""
    return reduce_xor_p.bind(operand, axes=_axes(axes))


# ---- argmax and argmin


def _arg_reduction(name, identity, better):
    def abstract(x, axes, index_dtype):
        (axis,) = axes
        code = dtype_code(index_dtype)
        if kind_of(shaped_array((), code, False)) not in "iu":
            raise TypeError(f"{name}: index_dtype={np.dtype(index_dtype).name} is not an integer dtype")
        check_axes(name, "axis", axes, x.shape)
        check_kind(name, x, "biuf")
        if x.shape[axis] == 0:
            raise ValueError(f"{name}: axis {axis} of shape {x.shape} is empty, so it has no extreme element")
        return shaped_array(reduced_shape(x.shape, axes), code, False)

    def choose(value, i, other, j):
        # the first NaN wins, else the better one, else the one that comes first
        wins = lax.bitwise_or(better(value, other), lax.ne(value, value))
        first = lax.bitwise_and(lax.eq(value, other), lax.lt(i, j))
        return [lax.select(wins, value, other), lax.select(lax.bitwise_or(wins, first), i, j)]

    def lower(ctx, x, axes, index_dtype):
        aval, out = ctx.avals_in[0], ctx.avals_out[0]
        element, position = shaped_array((), aval.code, False), shaped_array((), out.code, False)
        positions = shaped_array(aval.shape, out.code, False)
        counting = ctx.op(f"stablehlo.iota dim = {axes[0]} : {positions.mlir}")
        init, zero = ctx.constant(identity(aval.dtype), element), ctx.constant(0, position)
        body = region(ctx, choose, (element, position, element, position), name)
        value = shaped_array(out.shape, aval.code, False)
        return ctx.op(
            f'"stablehlo.reduce"({x}, {counting}, {init}, {zero}) <{{dimensions = array<i64: {axes[0]}>}}> {body} : '
            f"({aval.mlir}, {positions.mlir}, {element.mlir}, {position.mlir}) -> ({value.mlir}, {out.mlir})",
            2,
        )[1]

    def batch(args, dims, axes, index_dtype):
        axes, d = shift_axes(axes, dims[0])
        return prim.bind(args[0], axes=axes, index_dtype=index_dtype), d

    prim = Primitive(name, abstract=abstract, lower=lower, batch=batch, differentiable=False, host=True)
    return prim


argmax_p = _arg_reduction("argmax", lowest, lambda x, y: lax.gt(x, y))
argmin_p = _arg_reduction("argmin", highest, lambda x, y: lax.lt(x, y))


def _arg(prim, operand, axis, index_dtype):
    return prim.bind(operand, axes=(integer(axis),), index_dtype=code_dtype(canonical_code(index_dtype)))


def argmax(operand, axis, index_dtype):
    """Position of the first maximum along an axis; that of the first NaN if there is one.

    ValueError for an axis that is empty or does not exist, TypeError for an index dtype that is not an integer one.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.argmax(np.float32([1, 3, 2]), 0, "int32")
    Array(1, dtype=int32)
    """
    return _arg(argmax_p, operand, axis, index_dtype)


def argmin(operand, axis, index_dtype):
    """Position of the first minimum along an axis; that of the first NaN if there is one."""
    return _arg(argmin_p, operand, axis, index_dtype)


# ---- reduce: any computation


def check_operands(name, operands, inits, error):
    """TypeError unless the operands have one shape; `error` unless the initial values are scalars."""
    for init in inits:
        check_rank(name, "an initial value", init, 0, 0, error)
    if any(x.shape != operands[0].shape for x in operands):
        raise TypeError(f"{name}: operands need one shape, theirs are {', '.join(str(x.shape) for x in operands)}")


def _check_reduce(operands, inits, dimensions):
    check_operands("reduce", operands, inits, ValueError)
    check_axes("reduce", "dimensions", dimensions, operands[0].shape)


def _reduce_abstract(*args, computation, jaxpr, dimensions):
    operands, inits = args[: len(args) // 2], args[len(args) // 2 :]
    _check_reduce(operands, inits, dimensions)
    return [with_shape(x, reduced_shape(x.shape, dimensions)) for x in operands]


def _reduce_lower(ctx, *names, computation, jaxpr, dimensions):
    n = len(ctx.avals_out)
    results = ", ".join(a.mlir for a in ctx.avals_out)
    out = ctx.op(
        f'"stablehlo.reduce"({", ".join(names)}) <{{dimensions = array<i64{_array(dimensions)}>}}> '
        f"{ctx.region(jaxpr)} : "
        f"({', '.join(a.mlir for a in ctx.avals_in)}) -> ({results})",
        n,
    )
    return [out] if n == 1 else out


def _reduce_by_tree(args, jaxpr, dimensions):
    """The same reduction as a tree of the computation on whole halves, which every transformation understands."""
    n_ops = len(args) // 2
    operands, inits = args[:n_ops], args[n_ops:]
    first = operands[0]
    out_shape = reduced_shape(first.shape, dimensions)
    order = dimensions + kept_dims(first.ndim, dimensions)
    n = prod(first.shape[d] for d in dimensions)
    values = [lax.reshape(lax.transpose(x, order), (n, *out_shape)) for x in operands]

    def combine(left, right):
        def on_scalars(xs):
            return eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, xs)

        shape = left[0].shape
        flat = [lax.reshape(x, (x.size,)) for x in (*left, *right)]
        if not flat[0].size:
            return left
        outs, dims = batch_flat(on_scalars, Axis(flat[0].size), flat, [0] * len(flat))
        return [lax.reshape(to_front(x, d, flat[0].size), shape) for x, d in zip(outs, dims)]

    rows = [lax.broadcast(v, (1, *out_shape)) for v in inits]
    while n > 1:
        half = n // 2
        left = [lax.slice_in_dim(x, 0, half) for x in values]
        joined = combine(left, [lax.slice_in_dim(x, half, 2 * half) for x in values])
        if n % 2:
            joined = [lax.concatenate([a, lax.slice_in_dim(x, n - 1, n)], 0) for a, x in zip(joined, values)]
        values, n = joined, half + n % 2
    if n:
        rows = combine(rows, values)
    return [lax.reshape(x, out_shape) for x in rows]


def _reduce_jvp(primals, tangents, computation, jaxpr, dimensions):
    outs = reduce_p.bind(*primals, computation=computation, jaxpr=jaxpr, dimensions=dimensions)
    _, tangents_out = jvp_flat(
        lambda args: _reduce_by_tree(args, jaxpr, dimensions),
        primals,
        [None if type(t) is Zero else t for t in tangents],
    )
    return outs, [Zero(tangent_aval(o.aval)) if t is None else t for o, t in zip(outs, tangents_out)]


def _reduce_batch(args, dims, computation, jaxpr, dimensions):
    n_ops = len(args) // 2
    size = batch_size(args, dims)
    operands = [to_front(x, d, size) for x, d in zip(args[:n_ops], dims)]
    if all(d is None for d in dims[n_ops:]):
        outs = reduce_p.bind(
            *operands,
            *args[n_ops:],
            computation=computation,
            jaxpr=jaxpr,
            dimensions=tuple(d + 1 for d in dimensions),
        )
        return outs, [0] * n_ops
    values = operands + list(args[n_ops:])
    return batch_flat(
        lambda xs: _reduce_by_tree(xs, jaxpr, dimensions), Axis(size), values, [0] * n_ops + list(dims[n_ops:])
    )


reduce_p = Primitive(
    "reduce",
    multiple_results=True,
    abstract=_reduce_abstract,
    lower=_reduce_lower,
    jvp=_reduce_jvp,
    batch=_reduce_batch,
)


_SCALARS = (Array, np.generic, int, float)


def flat_operands(name, operands, init_values):
    """The leaves of a reduction's operands, their initial values, and the structure of both."""
    flat, treedef = tree_flatten(operands)
    inits, init_tree = tree_flatten(init_values)
    if treedef != init_tree:
        raise ValueError(
            f"{name}: there must be one initial value per operand, in the structure {treedef}; got {init_tree}"
        )
    if not flat:
        raise ValueError(f"{name}: no operand was given; one at least is needed")
    return [as_operand(x) for x in flat], [as_operand(v) for v in inits], treedef


def scalar_computation(computation, codes, treedef, name):
    """The jaxpr of a function of two trees of scalars of the given dtypes, as reductions have it."""
    n = len(codes)
    avals = tuple(shaped_array((), code, False) for code in codes) * 2

    def flat(args):
        out = computation(tree_unflatten(treedef, args[:n]), tree_unflatten(treedef, args[n:]))
        leaves, out_tree = tree_flatten(out)
        if out_tree != treedef:
            raise ValueError(
                f"{name}: the computation must return the structure of its operands, {treedef}; it returned {out_tree}"
            )
        return [as_operand(x) for x in leaves]

    closed = ClosedJaxpr(*trace_flat(flat, avals))
    if any(isinstance(c, Tracer) for c in closed.consts):
        raise NotImplementedError(f"{name}: the computation may not use traced values other than its arguments")
    for var, code in zip(closed.jaxpr.outvars, codes):
        if var.aval.code != code or var.aval.shape:
            raise TypeError(
                f"{name}: the computation must return scalars of dtypes {[code_dtype(c).name for c in codes]}; it "
                f"returned {[short(v.aval) for v in closed.jaxpr.outvars]}"
            )
    return closed


class Monoids:
    """Which primitives do the same as a reduction with a function of lax from its identity.

    A row by the function's name: the kinds of dtypes, the identity of a dtype, the primitive.
    """

    def __init__(self, **rows):
        self.rows = rows
        self.by_function = None
        self.identities = {}

    def find(self, computation, operand, init):
        """The primitive for a computation and the initial value of an operand, or None."""
        if self.by_function is None:
            self.by_function = {getattr(lax, name): row for name, row in self.rows.items()}
        row = self.by_function.get(computation) if type(computation) is StrictOp else None
        if row is None or isinstance(init, Tracer):
            return None
        key = row, operand.aval.code
        identity = self.identities.get(key, self)
        if identity is self:
            dtype = operand.dtype
            known = kind_of(operand.aval) in row[0]
            identity = self.identities[key] = np.asarray(row[1](dtype), dtype=dtype).item() if known else None
        return row[2] if identity is not None and init.item() == identity else None


_MONOIDS = Monoids(
    add=("iufc", lambda dtype: 0, reduce_sum_p),
    mul=("iufc", lambda dtype: 1, reduce_prod_p),
    max=("biufc", lowest, reduce_max_p),
    min=("biufc", highest, reduce_min_p),
    bitwise_or=("biu", lambda dtype: 0, reduce_or_p),
    bitwise_and=("biu", _all_bits, reduce_and_p),
    bitwise_xor=("biu", lambda dtype: 0, reduce_xor_p),
)


def _are_axes(dimensions, ndim):
    for d in dimensions:
        if not 0 <= d < ndim:
            return False
    return len(dimensions) < 2 or len(set(dimensions)) == len(dimensions)


def reduce(operands, init_values, computation, dimensions, out_sharding=None):
    """Reduces arrays over dimensions with a computation of two elements, from an initial value.

    `operands` is an array or a tree of arrays of one shape, `init_values` the same tree of scalars, and `computation`
    maps two such trees of scalars to one. It must be associative and the initial value its identity; the order of
    application is open. ValueError where the trees differ.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.reduce(np.float32([1, 2, 3]), np.float32(1), lax.mul, (0,))
    Array(6., dtype=float32)
    """
    dimensions = _axes(dimensions)
    if isinstance(operands, Array) and isinstance(init_values, _SCALARS):  # a tree of one leaf, as most are
        init = as_operand(init_values)
        out = _reduce_by_monoid(operands, init, computation, dimensions, out_sharding)
        if out is not None:
            return out
    flat, inits, treedef = flat_operands("reduce", operands, init_values)
    _check_reduce([x.aval for x in flat], [v.aval for v in inits], dimensions)
    if len(flat) == 1:
        init = _of_dtype(inits[0], flat[0])
        out = _reduce_by_monoid(flat[0], init, computation, dimensions, out_sharding)
        if out is not None:
            return tree_unflatten(treedef, [out])
    for x, init in zip(flat, inits):
        if x.aval.code != init.aval.code:
            raise TypeError(
                f"reduce: an initial value must have the dtype of its operand, got {short(init.aval)} for "
                f"{short(x.aval)}; convert it with .astype(...)"
            )
    jaxpr = scalar_computation(computation, [x.aval.code for x in flat], treedef, "reduce")
    outs = reduce_p.bind(*flat, *inits, computation=computation, jaxpr=jaxpr, dimensions=dimensions)
    return tree_unflatten(treedef, outs)


def _reduce_by_monoid(operand, init, computation, dimensions, out_sharding):
    """The reduction by a primitive of its own, or None where there is none or the arguments need a closer look."""
    if init.aval.code != operand.aval.code or init.aval.ndim or not _are_axes(dimensions, operand.aval.ndim):
        return None
    primitive = _MONOIDS.find(computation, operand, init)
    if primitive is reduce_sum_p:
        return primitive.bind(operand, axes=dimensions, out_sharding=out_sharding)
    return None if primitive is None else primitive.bind(operand, axes=dimensions)


def _of_dtype(init, operand):
    return init if init.aval.code == operand.aval.code else lax.convert_element_type(init, operand.dtype)
