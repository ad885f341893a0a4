"""What the families of primitives share: shapes, dtypes, axes, and the pieces most rules are made of."""

from operator import index

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray, literal
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.caches import keep, register_tables
from cyxla._engine.core import ClosedJaxpr
from cyxla._engine.dtypes import code_dtype, dtype_code, dtype_table
from cyxla._engine.source import public_function
from cyxla._engine.staging import trace_flat

# Letters of the kinds of dtypes, in the order of pyx/dtypes.pxd: b bool, i signed, u unsigned, f float, c complex, 0
# float0; 'e' stands for the extended dtypes.
_ROWS = {row[0]: row for row in dtype_table().values()}
_KINDS = {code: "biufc0"[row[1]] for code, row in _ROWS.items() if row[1] < 6}
_REAL = {code: row[4] for code, row in _ROWS.items()}
_COMPLEX = {dtype_code(f): dtype_code(c) for f, c in (("float32", "complex64"), ("float64", "complex128"))}
_COMPLEX.update({code: code for code in list(_COMPLEX.values())})
_KIND_NAMES = {"b": "bool", "i": "signedinteger", "u": "unsignedinteger", "f": "floating", "c": "complexfloating"}

BOOL = dtype_code(np.bool_)


def kind_of(aval):
    """The letter of the kind of an aval's dtype; 'e' for extended dtypes."""
    return _KINDS.get(aval.code, "e")


def is_complex(aval):
    return kind_of(aval) == "c"


def is_inexact(aval):
    return kind_of(aval) in "fc"


def complex_code(code):
    """complex64 for float32, complex128 for float64; complex dtypes stay."""
    return _COMPLEX[code]


def real_code(code):
    """float32 for complex64, float64 for complex128; real dtypes stay."""
    return _REAL[code]


def dtype_name(aval):
    return code_dtype(aval.code).name


def bits_of(code):
    """The width of a dtype's elements."""
    return _ROWS[code][2]


def short(aval):
    """`float32[2,3]`, as messages name an aval."""
    return f"{aval.dtype.name}[{','.join(map(str, aval.shape))}]"


def accepted_names(accepts):
    if accepts == "biufc":
        return "bool, number"
    if accepts == "iufc":
        return "number"
    return ", ".join(
        (["integer"] if "iu" in accepts else [])
        + [_KIND_NAMES[k] for k in accepts if not (k in "iu" and "iu" in accepts)]
    )


def check_arrays(name, *args, first=0):
    """TypeError for lists, tuples and None; `first` is the position of the first of `args` among the arguments."""
    for position, x in enumerate(args, first):
        if isinstance(x, (list, tuple)) or x is None:
            raise TypeError(
                f"{name}: argument {position} is {x!r:.80} of type {type(x).__name__}, not an array or a number; make "
                "an array of it with cyxla.numpy.array(...)"
            )


def check_broadcast(name, *avals):
    """TypeError unless all shapes are equal, but for those of rank 0."""
    shapes = {aval.shape for aval in avals if aval.shape}
    if len(shapes) > 1:
        raise TypeError(
            f"{name}: shapes {', '.join(str(aval.shape) for aval in avals)} differ. Operands of lax functions need "
            "equal shapes, or rank 0; the function of the same meaning in cyxla.numpy broadcasts."
        )


def check_kind(name, aval, accepts, position=None, error=TypeError):
    """`error` unless the dtype's kind letter is among `accepts`; `position` is a number or the argument's name."""
    kind = kind_of(aval)
    if kind not in accepts:
        where = "its operand" if position is None else position if isinstance(position, str) else f"operand {position}"
        instead = "take its .real, .imag or abs()" if kind == "c" else "convert it with .astype(...)"
        raise error(
            f"{name}: the dtype of {where} is {dtype_name(aval)}, which must be of kind {accepted_names(accepts)}; "
            f"{instead}"
        )


def check_rank(name, argument, x, low, high=None, error=ValueError):
    """`error` unless the array has `low` axes or more, and no more than `high` where that is given."""
    rank = len(x.shape)
    if rank < low or (high is not None and rank > high):
        wanted = f"{low} or more" if high is None else f"{low}" if low == high else f"{low} to {high}"
        raise error(f"{name}: the number of axes of {argument} must be {wanted}, its shape is {x.shape}")


def check_axes(name, argument, axes, shape, error=ValueError):
    """`error` unless the axes are different ones of an array of a shape, counted from the front."""
    if len(set(axes)) != len(axes):
        raise error(f"{name}: {argument}={axes} names an axis twice")
    if any(not 0 <= axis < len(shape) for axis in axes):
        raise error(f"{name}: {argument}={axes} must lie in [0, {len(shape)}), the axes of shape {shape}")


def check_choice(name, argument, value, choices, error=ValueError):
    """`error` unless the value is one of the choices."""
    if value not in choices:
        raise error(f"{name}: {argument}={value!r} is unknown; choose one of {', '.join(map(repr, choices))}")


def check_not_negative(name, argument, value, error=ValueError):
    """`error` for a negative number, or one in a tuple."""
    if any(n < 0 for n in value) if isinstance(value, tuple) else value < 0:
        raise error(f"{name}: {argument}={value} is negative")


def broadcast_error(shapes):
    """The exception to raise for shapes that do not broadcast."""
    listed = ", ".join(str(tuple(shape)) for shape in shapes)
    return ValueError(
        f"shapes {listed} do not broadcast: aligned at the right, the sizes of an axis must be equal or 1"
    )


def check_same_dtype(name, avals, tip=""):
    first = avals[0].code
    for aval in avals:
        if aval.code != first:
            raise TypeError(f"{name}: operands of dtypes {', '.join(map(dtype_name, avals))} need one dtype.{tip}")


def all_weak(avals):
    return all(a.weak_type for a in avals)


def with_shape(aval, shape):
    return shaped_array(shape, aval.code, aval.weak_type)


# ---- arguments


def as_operand(x):
    return x if isinstance(x, Array) else asarray(x)


def shape_error(shape):
    """The exception to raise for something that is no shape."""
    return TypeError(
        f"{called()}a shape is an integer or a sequence of integers whose values are known, got {shape!r:.200}. A size "
        "that is an argument of a jitted function must be static: jit(f, static_argnums=...)."
    )


def canonicalize_shape(shape):
    """A tuple of Python ints of a shape given as a sequence, an array or a single integer."""
    try:
        return tuple(map(index, shape))
    except TypeError:
        pass
    try:
        return (index(shape),)
    except TypeError:
        raise shape_error(shape) from None


def called():
    """The start of a message from far below the function that the user has called: its name."""
    name = public_function()
    return "" if name is None else f"{name}: "


def canonicalize_axis(axis, ndim):
    axis = integer(axis)
    if -ndim <= axis < ndim:
        return axis + ndim if axis < 0 else axis
    raise ValueError(f"{called()}axis {axis} is out of bounds for array of dimension {ndim}")


def canonicalize_axes(axes, ndim):
    if isinstance(axes, int):
        axes = (axes,)
    return tuple(canonicalize_axis(a, ndim) for a in axes)


# ---- pieces of differentiation rules


def like_output(t, ans):
    """Broadcasts the tangent of a scalar operand to the shape of the result."""
    shape = ans.shape
    if t.shape == shape:
        return t
    return lax.broadcast_in_dim(t, shape, tuple(range(len(shape) - t.ndim, len(shape))))


def unbroadcast(ct, aval):
    """Sums a cotangent over the axes along which its operand was broadcast."""
    shape = aval.shape
    if ct.shape == shape:
        return ct
    if not shape:
        return lax.reduce_sum(ct, tuple(range(ct.ndim)))
    axes = tuple(i for i, (n, m) in enumerate(zip(shape, ct.shape)) if n != m)
    return lax.reshape(lax.reduce_sum(ct, axes), shape)


def scalar(value, code):
    """A rank-0 constant of a dtype, not weakly typed; jaxprs show it as a literal."""
    return literal(value, code)


def scalar_like(x, value):
    """A rank-0 constant of x's dtype, weakly typed if x is."""
    aval = x.aval
    return literal(value, aval.code, aval.weak_type)


def zeros_of(aval):
    """A zero array of an aval's shape, dtype and weak type."""
    zero = literal(0, aval.code, aval.weak_type)
    if not aval.shape:
        return zero
    return lax.broadcast_in_dim_p.bind(zero, shape=aval.shape, broadcast_dimensions=(), sharding=None)


# ---- pieces of batching rules


def move_axis(x, source, destination):
    """Moves one axis; what batching rules use to bring the batch axis where they want it."""
    if source == destination:
        return x
    permutation = [i for i in range(x.ndim) if i != source]
    permutation.insert(destination, source)
    return lax.transpose(x, tuple(permutation))


def batch_size(args, dims):
    for x, d in zip(args, dims):
        if d is not None:
            return x.shape[d]
    raise AssertionError("a batching rule was called without a batched operand")


def to_front(x, dim, size):
    """x with the batch axis at 0, broadcast along it if it had none."""
    if dim is None:
        return lax.broadcast(x, (size,))
    return move_axis(x, dim, 0)


def logical_shape(x, dim):
    """The shape of an operand as the batched function sees it."""
    shape = x.shape
    return shape if dim is None else shape[:dim] + shape[dim + 1 :]


def batch_nary(prim):
    """Batching rule of an operation that works element by element on operands of equal shapes or rank 0."""

    def rule(args, dims, **params):
        batched = [(x, d) for x, d in zip(args, dims) if d is not None]
        shape, dim = batched[0][0].shape, batched[0][1]
        if all(d == dim and x.shape == shape for x, d in batched) and all(
            x.ndim == 0 for x, d in zip(args, dims) if d is None
        ):
            return prim.bind(*args, **params), dim
        size = shape[dim]
        inner = max((logical_shape(x, d) for x, d in zip(args, dims)), key=len)
        moved = []
        for x, d in zip(args, dims):
            if d is None:
                moved.append(x if x.ndim == 0 else lax.broadcast(x, (size,)))
            elif x.ndim == 1 and inner:  # a batch of scalars beside arrays
                moved.append(lax.broadcast_in_dim(x, (size, *inner), (0,)))
            else:
                moved.append(move_axis(x, d, 0))
        return prim.bind(*moved, **params), 0

    return rule


def batch_unary(prim):
    """Batching rule of an operation on one operand that keeps its shape and knows no axes."""

    def rule(args, dims, **params):
        return prim.bind(*args, **params), dims[0]

    return rule


# ---- pieces of lowering rules


def broadcast_names(ctx, names, avals=None, shape=None):
    """Brings rank-0 operands to the shape of the result."""
    avals = avals or ctx.avals_in
    shape = ctx.avals_out[0].shape if shape is None else shape
    out = []
    for name, aval in zip(names, avals):
        if aval.shape != shape:
            dims = tuple(range(len(shape) - aval.ndim, len(shape)))
            name = ctx.broadcast(name, aval, with_shape(aval, shape), dims)
        out.append(name)
    return out


def compare_type(aval):
    """The comparison type StableHLO wants beside a comparison's direction."""
    return {"b": "UNSIGNED", "u": "UNSIGNED", "i": "SIGNED"}.get(kind_of(aval), "FLOAT")


def inline(ctx, function, names, avals, cache):
    """Writes what a function of arrays computes, for operands of these names; `cache` keeps its traces by avals."""
    return ctx.inline_function(
        lambda args: [function(*args)], names, avals, multiple_results=False, cache=cache, key=avals
    )


_regions = {}
_REGIONS_BOUND = 1024
register_tables("regions of programs", _REGIONS_BOUND, lambda: [_regions])


def region(ctx, function, avals, key):
    """The text of a region that computes a function of arrays with a list of results.

    Functions of equal (hashable) keys are traced once for the same avals.
    """
    closed = _regions.get((key, avals))
    if closed is None:
        closed = ClosedJaxpr(*trace_flat(lambda args: list(function(*args)), avals))
        keep(_regions, (key, avals), closed, _REGIONS_BOUND, "regions of programs")
    return ctx.region(closed)
