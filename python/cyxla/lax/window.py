"""Reductions over sliding windows, and the operations that their derivatives consist of."""

from itertools import product

from cyxla import lax
from cyxla._engine.autodiff import jvp_flat
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.batching import Axis, batch_flat
from cyxla._engine.core import ClosedJaxpr, Primitive, Zero, eval_jaxpr
from cyxla._engine.core import aval_to_tangent as tangent_aval
from cyxla._engine.pytree import tree_unflatten
from cyxla._engine.staging import trace_flat
from cyxla.lax._util import (
    as_operand,
    batch_size,
    canonicalize_shape,
    check_kind,
    region,
    scalar_like,
    to_front,
    with_shape,
)
from cyxla.lax.binary import no_derivative
from cyxla.lax.reduction import Monoids, check_operands, flat_operands, highest, lowest, scalar_computation

# ---- windows: shapes, attributes, and a batch axis in front


def _dilated(size, dilation):
    return (size - 1) * dilation + 1 if size else 0


def _window_shape(shape, window_dimensions, window_strides, padding, base_dilation, window_dilation):
    out = []
    rows = zip(shape, window_dimensions, window_strides, padding, base_dilation, window_dilation, strict=True)
    for size, window, stride, (low, high), base, inner in rows:
        room = low + _dilated(size, base) + high - _dilated(window, inner)
        out.append(room // stride + 1 if room >= 0 else 0)
    return tuple(out)


def _check_positive(name, values):
    if any(v < 1 for v in values):
        raise TypeError(f"reduce_window: {name}={values} must hold positive integers")


def _complete(shape, window_dimensions, window_strides, padding, base_dilation, window_dilation):
    """The parameters of a window with defaults filled in and padding given by name worked out."""
    ndim = len(shape)
    window_dimensions = canonicalize_shape(window_dimensions)
    if len(window_dimensions) != ndim:
        raise TypeError(
            f"reduce_window: window_dimensions={window_dimensions} needs one size for each axis of the operand, whose "
            f"shape is {shape}"
        )
    ones = (1,) * ndim
    window_strides = ones if window_strides is None else canonicalize_shape(window_strides)
    base_dilation = ones if base_dilation is None else canonicalize_shape(base_dilation)
    window_dilation = ones if window_dilation is None else canonicalize_shape(window_dilation)
    _check_positive("window_dimensions", window_dimensions)
    _check_positive("window_strides", window_strides)
    _check_positive("base_dilation", base_dilation)
    _check_positive("window_dilation", window_dilation)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(
            [_dilated(n, b) for n, b in zip(shape, base_dilation)],
            [_dilated(w, d) for w, d in zip(window_dimensions, window_dilation)],
            window_strides,
            padding,
        )
    padding = tuple((integer(low), integer(high)) for low, high in padding)
    for name, value in (
        ("window_strides", window_strides),
        ("padding", padding),
        ("base_dilation", base_dilation),
        ("window_dilation", window_dilation),
    ):
        if len(value) != ndim:
            raise ValueError(
                f"reduce_window: {name}={value} needs one entry for each axis of the operand, whose shape is {shape}"
            )
    return {
        "window_dimensions": window_dimensions,
        "window_strides": window_strides,
        "padding": padding,
        "base_dilation": base_dilation,
        "window_dilation": window_dilation,
    }


def reduce_window_shape_tuple(
    operand_shape, window_dimensions, window_strides, padding, base_dilation=None, window_dilation=None
):
    """The shape that `reduce_window` gives."""
    params = _complete(operand_shape, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    return _window_shape(operand_shape, **params)


def _with_batch(params):
    """The parameters of the same window for operands with one more axis in front."""
    neutral = {"padding": (0, 0)}
    return {k: (neutral.get(k, 1), *v) for k, v in params.items()}


def _i64_array(values):
    return f"array<i64: {', '.join(map(str, values))}>" if values else "array<i64>"


def _padding_text(padding):
    rows = ", ".join(f"[{low}, {high}]" for low, high in padding)
    return f"dense<[{rows}]> : tensor<{len(padding)}x2xi64>" if padding else "dense<> : tensor<0x2xi64>"


def window_attributes(window_dimensions, window_strides, padding, base_dilation, window_dilation):
    return (
        f"base_dilations = {_i64_array(base_dilation)}, padding = {_padding_text(padding)}, "
        f"window_dilations = {_i64_array(window_dilation)}, window_dimensions = {_i64_array(window_dimensions)}, "
        f"window_strides = {_i64_array(window_strides)}"
    )


def _reduce_window_text(ctx, names, avals, inits, body, results, params):
    elements = [shaped_array((), a.code, False) for a in avals]
    types = ", ".join(a.mlir for a in (*avals, *elements))
    out = ctx.op(
        f'"stablehlo.reduce_window"({", ".join((*names, *inits))}) <{{{window_attributes(**params)}}}> {body} : '
        f"({types}) -> ({', '.join(a.mlir for a in results)})",
        len(results),
    )
    return [out] if len(results) == 1 else out


def _slices(x, fill, window_dimensions, window_strides, padding, base_dilation, window_dilation):
    """What each place of the window sees, as strided slices of the padded operand."""
    out_shape = _window_shape(x.shape, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    x = lax.pad(x, fill, [(low, high, base - 1) for (low, high), base in zip(padding, base_dilation)])
    for place in product(*map(range, window_dimensions)):
        starts = tuple(k * d for k, d in zip(place, window_dilation))
        limits = tuple(a + (n - 1) * s + 1 if n else a for a, n, s in zip(starts, out_shape, window_strides))
        yield lax.slice(x, starts, limits, window_strides)


def _batch_one(prim):
    """Batching rule of the operations on one operand that only have a window for parameters."""

    def rule(args, dims, **params):
        x = to_front(args[0], dims[0], batch_size(args, dims))
        return prim.bind(x, **_with_batch(params)), 0

    return rule


# ---- sums


def _windowed(name, accepts, combine, identity, **rules):
    def abstract(x, **params):
        check_kind(name, x, accepts)
        return with_shape(x, _window_shape(x.shape, **params))

    def lower(ctx, x, **params):
        aval = ctx.avals_in[0]
        element = shaped_array((), aval.code, False)
        body = region(ctx, lambda a, b: [combine(a, b)], (element, element), name)
        init = ctx.constant(identity(aval.dtype), element)
        return _reduce_window_text(ctx, [x], [aval], [init], body, ctx.avals_out, params)[0]

    prim = Primitive(name, abstract=abstract, lower=lower, **rules)
    prim.batch = _batch_one(prim)
    return prim


def _sum_transpose(ct, x, window_dimensions, window_strides, padding, base_dilation, window_dilation):
    """A sum over windows of the cotangent, spread out by the strides."""
    shape = x.aval.shape
    if not x.aval.size or not ct.size:
        return [lax.full(shape, 0, ct.dtype)]
    config = []
    rows = zip(shape, ct.shape, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    for size, out, window, stride, (before, _), base, inner in rows:
        reach = _dilated(window, inner)
        low = reach - 1 - before
        high = _dilated(size, base) + reach - 1 - low - _dilated(out, stride)
        config.append((low, high, stride - 1))
    ones = (1,) * len(shape)
    return [
        reduce_window_sum_p.bind(
            lax.pad(ct, scalar_like(ct, 0), config),
            window_dimensions=window_dimensions,
            window_strides=base_dilation,
            padding=((0, 0),) * len(shape),
            base_dilation=ones,
            window_dilation=window_dilation,
        )
    ]


reduce_window_sum_p = _windowed(
    "reduce_window_sum",
    "iufc",
    lambda a, b: lax.add(a, b),
    lambda dtype: 0,
    linear=True,
    transpose=_sum_transpose,
)

# ---- maxima and minima: the tangent is that of the element chosen from the window


def _extremum_jvp(select):
    def rule(t, ans, x, **params):
        prim = {"ge": lax.ge_p, "le": lax.le_p}[select]
        if all(d == 1 for d in (*params["base_dilation"], *params["window_dilation"])):
            return select_and_gather_add_p.bind(t, x, select_prim=prim, **params)
        fill = scalar_like(x, lowest(x.dtype) if select == "ge" else highest(x.dtype))
        value = tangent = None
        for v, dv in zip(_slices(x, fill, **params), _slices(t, scalar_like(t, 0), **params)):
            if value is None:
                value, tangent = v, dv
                continue
            keep = prim.bind(value, v)
            value, tangent = lax.select(keep, value, v), lax.select(keep, tangent, dv)
        return tangent

    return rule


reduce_window_max_p = _windowed(
    "reduce_window_max", "biufc", lambda a, b: lax.max(a, b), lowest, jvps=(_extremum_jvp("ge"),)
)
reduce_window_min_p = _windowed(
    "reduce_window_min", "biufc", lambda a, b: lax.min(a, b), highest, jvps=(_extremum_jvp("le"),)
)


def _identity_of_selection(select_prim, dtype):
    return lowest(dtype) if select_prim.name in ("ge", "gt") else highest(dtype)


def _batch_two(prim):
    def rule(args, dims, select_prim, **params):
        size = batch_size(args, dims)
        args = [to_front(x, d, size) for x, d in zip(args, dims)]
        return prim.bind(*args, select_prim=select_prim, **_with_batch(params)), 0

    return rule


def _gather_lower(ctx, tangents, operand, select_prim, **params):
    aval, tangent = ctx.avals_in[1], ctx.avals_in[0]
    element, part = shaped_array((), aval.code, False), shaped_array((), tangent.code, False)

    def choose(x, t, y, u):
        keep = select_prim.bind(x, y)
        return [lax.select(keep, x, y), lax.select(keep, t, u)]

    body = region(ctx, choose, (element, part, element, part), ("gather", select_prim.name))
    init = ctx.constant(_identity_of_selection(select_prim, aval.dtype), element)
    chosen = with_shape(aval, ctx.avals_out[0].shape)
    return _reduce_window_text(
        ctx,
        [operand, tangents],
        [aval, tangent],
        [init, ctx.constant(0, part)],
        body,
        [chosen, ctx.avals_out[0]],
        params,
    )[1]


def _gather_transpose(ct, tangents, operand, select_prim, base_dilation, window_dilation, **params):
    return [select_and_scatter_add_p.bind(ct, operand, select_prim=select_prim, **params), None]


def _gather_abstract(t, x, select_prim, **params):
    if t.shape != x.shape:
        raise TypeError(f"select_and_gather_add: tangents and operand need one shape, got {t.shape} and {x.shape}")
    return with_shape(t, _window_shape(x.shape, **params))


select_and_gather_add_p = Primitive(
    "select_and_gather_add",
    abstract=_gather_abstract,
    lower=_gather_lower,
    jvps=(lambda t, ans, tangents, operand, **params: select_and_gather_add_p.bind(t, operand, **params), None),
    transpose=_gather_transpose,
)
select_and_gather_add_p.batch = _batch_two(select_and_gather_add_p)


def _select_and_scatter_text(ctx, names, avals, out, regions, window_dimensions, window_strides, padding):
    operand, source, init = avals
    select, scatter = (_bare(region) for region in regions)
    return ctx.op(
        f'"stablehlo.select_and_scatter"({", ".join(names)}) <{{padding = {_padding_text(padding)}, '
        f"window_dimensions = {_i64_array(window_dimensions)}, window_strides = {_i64_array(window_strides)}}}> "
        f"({select}, {scatter}) : ({operand.mlir}, {source.mlir}, {init.mlir}) -> {out.mlir}"
    )


def _scatter_lower(ctx, source, operand, select_prim, window_dimensions, window_strides, padding):
    part, aval = ctx.avals_in
    out = ctx.avals_out[0]
    element, piece = shaped_array((), aval.code, False), shaped_array((), part.code, False)
    # The operation's own padding would be selected where nothing in the window is better: pad with the worst instead.
    low, high = [a for a, _ in padding], [b for _, b in padding]
    padded = with_shape(aval, tuple(n + a + b for n, (a, b) in zip(aval.shape, padding)))
    if padded is not aval:
        worst = ctx.constant(_identity_of_selection(select_prim, aval.dtype), element)
        operand = ctx.op(
            f"stablehlo.pad {operand}, {worst}, low = {low}, high = {high}, interior = {[0] * aval.ndim} : "
            f"({aval.mlir}, {element.mlir}) -> {padded.mlir}"
        )
    select = region(ctx, lambda a, b: [select_prim.bind(a, b)], (element, element), ("select", select_prim.name))
    add = region(ctx, lambda a, b: [lax.add(a, b)], (piece, piece), "add")
    full = with_shape(out, padded.shape)
    zero = ctx.constant(0, piece)
    scattered = _select_and_scatter_text(
        ctx,
        (operand, source, zero),
        (padded, part, piece),
        full,
        (select, add),
        window_dimensions,
        window_strides,
        [(0, 0)] * aval.ndim,
    )
    if full is out:
        return scattered
    bounds = ", ".join(f"{a}:{a + n}" for n, a in zip(aval.shape, low))
    return ctx.op(f"stablehlo.slice {scattered} [{bounds}] : ({full.mlir}) -> {out.mlir}")


def _bare(text):
    """A region's text without the parentheses around a list of regions."""
    return text[1:-1]


def _scatter_transpose(ct, source, operand, select_prim, **params):
    ones = (1,) * ct.ndim
    return [
        select_and_gather_add_p.bind(
            ct, operand, select_prim=select_prim, base_dilation=ones, window_dilation=ones, **params
        ),
        None,
    ]


select_and_scatter_add_p = Primitive(
    "select_and_scatter_add",
    abstract=lambda source, operand, select_prim, **params: with_shape(source, operand.shape),
    lower=_scatter_lower,
    jvps=(lambda t, ans, source, operand, **params: select_and_scatter_add_p.bind(t, operand, **params), None),
    transpose=_scatter_transpose,
)
select_and_scatter_add_p.batch = _batch_two(select_and_scatter_add_p)

# ---- any selection, and any combination of what is scattered


def _any_scatter_abstract(operand, source, init_value, *, window_dimensions, window_strides, padding, **params):
    shape = _window_shape(
        operand.shape, window_dimensions, window_strides, padding, (1,) * operand.ndim, (1,) * operand.ndim
    )
    if source.shape != shape:
        raise TypeError(
            f"select_and_scatter: source must have an element for each position of the window, shape {shape}; it has "
            f"shape {source.shape}"
        )
    if len({operand.code, source.code, init_value.code}) > 1 or init_value.shape:
        raise TypeError(
            "select_and_scatter: operand, source and the scalar init_value must have one dtype, got "
            f"{', '.join(a.str_short() for a in (operand, source, init_value))}"
        )
    return with_shape(operand, operand.shape)


def _any_scatter_lower(ctx, *names, select_jaxpr, select_consts, scatter_jaxpr, scatter_consts, **window):
    regions = ctx.region(select_jaxpr), ctx.region(scatter_jaxpr)
    return _select_and_scatter_text(ctx, names, ctx.avals_in, ctx.avals_out[0], regions, **window)


def _any_scatter_batch(args, dims, **params):
    if dims[2] is None:
        size = batch_size(args, dims)
        operand, source = (to_front(x, d, size) for x, d in zip(args[:2], dims))
        neutral = {"window_dimensions": 1, "window_strides": 1, "padding": (0, 0)}
        params = {k: (neutral[k], *v) if k in neutral else v for k, v in params.items()}
        return select_and_scatter_p.bind(operand, source, args[2], **params), 0
    size = batch_size(args, dims)
    args = [to_front(x, d, size) for x, d in zip(args, dims)]
    return lax.map(lambda rows: select_and_scatter_p.bind(*rows, **params), tuple(args)), 0


select_and_scatter_p = Primitive(
    "select_and_scatter",
    abstract=_any_scatter_abstract,
    lower=_any_scatter_lower,
    batch=_any_scatter_batch,
    jvps=(no_derivative("select_and_scatter"),) * 3,
)


def select_and_scatter(operand, select, window_dimensions, window_strides, padding, source, init_value, scatter):
    """For each position of a window, combines an element of `source` into the place of one selected from `operand`.

    `select` maps two elements to whether the first is preferred, `scatter` combines what arrives at one place, starting
    from `init_value`. `padding` is a (low, high) pair a dimension. TypeError for shapes and dtypes that do not fit.
    """
    operand, source, init_value = as_operand(operand), as_operand(source), as_operand(init_value)
    window_dimensions, window_strides = canonicalize_shape(window_dimensions), canonicalize_shape(window_strides)
    if not len(window_dimensions) == len(window_strides) == len(padding) == operand.ndim:
        raise TypeError(
            f"select_and_scatter: window_dimensions={window_dimensions}, window_strides={window_strides} and "
            f"padding={padding} need one entry for each axis of the operand, whose shape is {operand.shape}"
        )
    element = shaped_array((), operand.aval.code, False)
    traced = [ClosedJaxpr(*trace_flat(lambda args, f=f: [f(*args)], [element, element])) for f in (select, scatter)]
    return select_and_scatter_p.bind(
        operand,
        source,
        init_value,
        select_jaxpr=traced[0],
        select_consts=(),
        scatter_jaxpr=traced[1],
        scatter_consts=(),
        window_dimensions=window_dimensions,
        window_strides=window_strides,
        padding=tuple((integer(low), integer(high)) for low, high in padding),
    )


# ---- any computation


def _generic_abstract(*args, jaxpr, consts, **params):
    return [with_shape(x, _window_shape(x.shape, **params)) for x in args[: len(args) // 2]]


def _generic_lower(ctx, *names, jaxpr, consts, **params):
    n = len(names) // 2
    return _reduce_window_text(ctx, names[:n], ctx.avals_in[:n], names[n:], ctx.region(jaxpr), ctx.avals_out, params)


def _generic_by_slices(args, jaxpr, params):
    """The same as a fold over the places of the window, which every transformation understands."""
    n = len(args) // 2
    pieces = zip(*(_slices(x, v, **params) for x, v in zip(args[:n], args[n:])))
    out_shape = _window_shape(args[0].shape, **params)
    acc = [lax.broadcast(v, out_shape) for v in args[n:]]
    for piece in pieces:
        flat = [lax.reshape(x, (x.size,)) for x in (*acc, *piece)]
        if not flat[0].size:
            return acc
        outs, dims = batch_flat(
            lambda xs: eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, xs), Axis(flat[0].size), flat, [0] * len(flat)
        )
        acc = [lax.reshape(to_front(x, d, flat[0].size), out_shape) for x, d in zip(outs, dims)]
    return acc


def _generic_jvp(primals, tangents, jaxpr, consts, **params):
    outs = reduce_window_p.bind(*primals, jaxpr=jaxpr, consts=consts, **params)
    _, tangents_out = jvp_flat(
        lambda args: _generic_by_slices(args, jaxpr, params),
        primals,
        [None if type(t) is Zero else t for t in tangents],
    )
    return outs, [Zero(tangent_aval(o.aval)) if t is None else t for o, t in zip(outs, tangents_out)]


def _generic_batch(args, dims, jaxpr, consts, **params):
    n = len(args) // 2
    size = batch_size(args, dims)
    operands = [to_front(x, d, size) for x, d in zip(args[:n], dims)]
    if all(d is None for d in dims[n:]):
        outs = reduce_window_p.bind(*operands, *args[n:], jaxpr=jaxpr, consts=consts, **_with_batch(params))
        return outs, [0] * n
    values = operands + list(args[n:])
    return batch_flat(lambda xs: _generic_by_slices(xs, jaxpr, params), Axis(size), values, [0] * n + list(dims[n:]))


reduce_window_p = Primitive(
    "reduce_window",
    multiple_results=True,
    abstract=_generic_abstract,
    lower=_generic_lower,
    jvp=_generic_jvp,
    batch=_generic_batch,
)

_MONOIDS = Monoids(
    add=("iufc", lambda dtype: 0, reduce_window_sum_p),
    max=("biufc", lowest, reduce_window_max_p),
    min=("biufc", highest, reduce_window_min_p),
)


def reduce_window(
    operand,
    init_value,
    computation,
    window_dimensions,
    window_strides=None,
    padding="VALID",
    base_dilation=None,
    window_dilation=None,
):
    """Reduces the elements in each position of a sliding window.

    `operand` is an array or a tree of arrays of one shape, `init_value` the same tree of scalars (the identity of
    `computation`, and what padding holds), `computation` maps two such trees of scalars to one. `padding` is 'VALID',
    'SAME', 'SAME_LOWER' or a (low, high) pair a dimension. TypeError for windows that do not fit the operand.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.reduce_window(np.int32([1, 2, 3, 4]), 0, lax.add, (2,))
    Array([3, 5, 7], dtype=int32)
    """
    flat, inits, treedef = flat_operands("reduce_window", operand, init_value)
    check_operands("reduce_window", flat, inits, TypeError)
    inits = [v if v.dtype == x.dtype else lax.convert_element_type(v, x.dtype) for x, v in zip(flat, inits)]
    params = _complete(flat[0].shape, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    if len(flat) == 1:
        primitive = _MONOIDS.find(computation, flat[0], inits[0])
        if primitive is not None:
            return tree_unflatten(treedef, [primitive.bind(flat[0], **params)])
    jaxpr = scalar_computation(computation, [x.aval.code for x in flat], treedef, "reduce_window")
    return tree_unflatten(treedef, reduce_window_p.bind(*flat, *inits, jaxpr=jaxpr, consts=(), **params))
