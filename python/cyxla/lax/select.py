"""Choosing between values element by element: select_n and clamp."""

from cyxla import lax
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive, Zero
from cyxla._engine.core import aval_to_tangent as tangent_aval
from cyxla.lax._util import (
    all_weak,
    batch_size,
    broadcast_names,
    check_kind,
    check_same_dtype,
    kind_of,
    like_output,
    logical_shape,
    move_axis,
    to_front,
    zeros_of,
)
from cyxla.lax.binary import undefined

# ---- select_n


def _select_n_abstract(which, *cases):
    if not cases:
        raise ValueError("select_n() must have at least one case")
    kind = kind_of(which)
    check_kind("select_n", which, "biu", "which")
    if kind == "b" and len(cases) > 2:
        raise TypeError(
            f"select_n: a boolean `which` chooses between two cases, {len(cases)} were given; make it an integer"
        )
    shape = cases[0].shape
    if any(c.shape != shape for c in cases):
        raise TypeError(f"select_n: cases need one shape, theirs are {', '.join(str(c.shape) for c in cases)}")
    if which.shape and which.shape != shape:
        raise TypeError(
            f"select_n: `which` of shape {which.shape} is neither a scalar nor of the shape of the cases, {shape}"
        )
    check_same_dtype(
        "select_n", cases, " (Tip: jnp.where is a similar function that promotes the dtypes of its inputs.)"
    )
    return shaped_array(shape, cases[0].code, all_weak(cases))


def _select_n_lower(ctx, which, *cases):
    predicate, out = ctx.avals_in[0], ctx.avals_out[0]
    if kind_of(predicate) == "b":
        if len(cases) == 1:
            return cases[0]
        return ctx.op(f"stablehlo.select {which}, {cases[1]}, {cases[0]} : {predicate.mlir}, {out.mlir}")
    mask = shaped_array(predicate.shape, 0, False)
    compare = "SIGNED" if kind_of(predicate) == "i" else "UNSIGNED"

    def pick(low, high):  # a binary search for the case, as a tree of selects
        if high - low == 1:
            return cases[low]
        middle = (low + high) // 2
        bound = ctx.constant(middle, predicate)
        below = ctx.op(
            f"stablehlo.compare LT, {which}, {bound}, {compare} : ({predicate.mlir}, {predicate.mlir}) -> {mask.mlir}"
        )
        on_true, on_false = pick(low, middle), pick(middle, high)
        return ctx.op(f"stablehlo.select {below}, {on_true}, {on_false} : {mask.mlir}, {out.mlir}")

    return pick(0, len(cases))


def _select_n_jvp(primals, tangents):
    which, *cases = primals
    out = select_n_p.bind(which, *cases)
    tangents = tangents[1:]
    if all(type(t) is Zero for t in tangents):
        return out, Zero(tangent_aval(out.aval))
    return out, select_n_p.bind(which, *(zeros_of(t.aval) if type(t) is Zero else t for t in tangents))


def _select_n_transpose(ct, which, *cases):
    zeros = zeros_of(ct.aval)
    return [None] + [
        select_n_p.bind(which, *(ct if j == i else zeros for j in range(len(cases)))) if undefined(case) else None
        for i, case in enumerate(cases)
    ]


def _select_n_batch(args, dims):
    which, w = args[0], dims[0]
    first = next(d for d in dims if d is not None)
    if all(d == first for d in dims[1:]) and (
        (w is None and which.ndim == 0) or (w == first and which.ndim == args[1].ndim)
    ):
        return select_n_p.bind(*args), first
    size = batch_size(args, dims)
    cases = [to_front(x, d, size) for x, d in zip(args[1:], dims[1:])]
    if w is None:
        which = lax.broadcast(which, (size,)) if which.ndim else which
    elif not logical_shape(which, w):
        which = lax.broadcast_in_dim(which, cases[0].shape, (0,))
    else:
        which = move_axis(which, w, 0)
    return select_n_p.bind(which, *cases), 0


select_n_p = Primitive(
    "select_n",
    abstract=_select_n_abstract,
    lower=_select_n_lower,
    jvp=_select_n_jvp,
    transpose=_select_n_transpose,
    batch=_select_n_batch,
    host=True,
)


def select_n(which, *cases):
    """Picks, element by element, the case that `which` numbers.

    `which` is a bool (False picks the first case) or an integer array, a scalar or of the cases' shape; an integer out
    of range gives an unspecified case. TypeError where shapes or dtypes differ, ValueError without a case.

    >>> from cyxla import lax
    >>> lax.select_n(True, 1.0, 2.0)
    Array(2., dtype=float32, weak_type=True)
    """
    if not cases:
        raise ValueError("select_n() must have at least one case")
    return select_n_p.bind(which, *cases)


def select(pred, on_true, on_false):
    """Picks `on_true` where `pred` holds, `on_false` elsewhere; both of one shape and dtype.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.select(np.array([True, False]), np.float32([1, 2]), np.float32([3, 4]))
    Array([1., 4.], dtype=float32)
    """
    return select_n_p.bind(pred, on_false, on_true)


# ---- clamp


def _clamp_abstract(low, x, high):
    check_same_dtype("lax.clamp", (low, x, high))
    for name, bound in (("min", low), ("max", high)):
        if bound.shape and bound.shape != x.shape:
            raise TypeError(
                f"clamp: {name} has shape {bound.shape}; it must be a scalar or have the operand's shape {x.shape}"
            )
    check_kind("clamp", x, "biufc")
    return shaped_array(x.shape, x.code, all_weak((low, x, high)))


def _clamp_lower(ctx, low, x, high):
    low, x, high = broadcast_names(ctx, (low, x, high))
    return ctx.op(f"stablehlo.clamp {low}, {x}, {high} : {ctx.avals_out[0].mlir}")


def _masked(mask, t, ans):
    t = like_output(t, ans)
    if mask.shape != t.shape:
        mask = lax.broadcast(mask, t.shape)
    return lax.select(mask, t, lax.full_like(t, 0))


def _clamp_batch(args, dims):
    low, x, high = args
    aligned = all(d == dims[1] or (d is None and b.ndim == 0) for b, d in zip(args, dims))
    if dims[1] is not None and aligned and all(b.ndim in (0, x.ndim) for b in args):
        return clamp_p.bind(*args), dims[1]
    size = batch_size(args, dims)
    x = to_front(x, dims[1], size)
    bounds = []
    for bound, d in ((low, dims[0]), (high, dims[2])):
        if d is None:
            bounds.append(lax.broadcast(bound, (size,)) if bound.ndim else bound)
        elif not logical_shape(bound, d):
            bounds.append(lax.broadcast_in_dim(bound, x.shape, (0,)))
        else:
            bounds.append(move_axis(bound, d, 0))
    return clamp_p.bind(bounds[0], x, bounds[1]), 0


clamp_p = Primitive(
    "clamp",
    abstract=_clamp_abstract,
    lower=_clamp_lower,
    jvps=(
        lambda t, ans, low, x, high: _masked(lax.bitwise_and(lax.gt(low, x), lax.lt(low, high)), t, ans),
        lambda t, ans, low, x, high: _masked(lax.bitwise_and(lax.gt(x, low), lax.lt(x, high)), t, ans),
        lambda t, ans, low, x, high: _masked(lax.lt(high, x), t, ans),
    ),
    batch=_clamp_batch,
    host=True,
)


def clamp(min, x, max):
    """Elementwise x, held between min and max; the bounds are scalars or have x's shape.

    TypeError where shapes or dtypes do not match.

    >>> from cyxla import lax
    >>> lax.clamp(0.0, 1.5, 1.0)
    Array(1., dtype=float32, weak_type=True)
    """
    return clamp_p.bind(min, x, max)
