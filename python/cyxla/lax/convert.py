"""Changing the dtype or the standing of values: conversions, bit casts, copies, barriers to transformations."""

import warnings

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.core import Primitive, Zero
from cyxla._engine.core import aval_to_tangent as tangent_aval
from cyxla._engine.dtypes import code_dtype, dtype_code, requested_code
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla.lax._util import as_operand, batch_unary, bits_of, is_complex, is_inexact, kind_of, real_code


def canonical_code(dtype):
    """The dtype's code under the current x64 mode; warns where an explicit 64-bit dtype is narrowed."""
    if dtype is None:
        raise ValueError("convert_element_type: dtype is None; give the dtype to convert to")
    return requested_code(dtype)


# ---- convert_element_type


def _convert_abstract(x, new_dtype, weak_type, sharding=None):
    code = dtype_code(new_dtype)
    out = shaped_array(x.shape, code, weak_type)
    if code != x.code and "e" in (kind_of(x), kind_of(out)):
        raise ValueError(
            f"convert_element_type: {x.dtype} cannot be converted to {new_dtype}; keys are taken apart by "
            "jax.random.key_data"
        )
    return out


def _convert_lower(ctx, x, new_dtype, weak_type, sharding=None):
    aval, out = ctx.avals_in[0], ctx.avals_out[0]
    if aval.code == out.code:
        return x
    if is_complex(aval) and not is_complex(out):
        part = shaped_array(aval.shape, real_code(aval.code), False)
        x, aval = ctx.op(f"stablehlo.real {x} : ({aval.mlir}) -> {part.mlir}"), part
    if kind_of(out) == "b":
        compare = {"i": "SIGNED", "u": "UNSIGNED"}.get(kind_of(aval), "FLOAT")
        zero = ctx.constant(0, aval)
        return ctx.op(f"stablehlo.compare NE, {x}, {zero}, {compare} : ({aval.mlir}, {aval.mlir}) -> {out.mlir}")
    if aval.code == out.code:
        return x
    return ctx.op(f"stablehlo.convert {x} : ({aval.mlir}) -> {out.mlir}")


def _convert_jvp(t, ans, x, new_dtype, weak_type, sharding=None):
    if not is_inexact(ans.aval):
        return Zero(tangent_aval(ans.aval))
    return convert_element_type_p.bind(t, new_dtype=new_dtype, weak_type=weak_type, sharding=sharding)


def _convert_transpose(ct, x, new_dtype, weak_type, sharding=None):
    aval = x.aval
    return [convert_element_type_p.bind(ct, new_dtype=aval.dtype, weak_type=aval.weak_type, sharding=sharding)]


convert_element_type_p = Primitive(
    "convert_element_type",
    abstract=_convert_abstract,
    lower=_convert_lower,
    jvps=(_convert_jvp,),
    transpose=_convert_transpose,
    host=True,
)
convert_element_type_p.batch = batch_unary(convert_element_type_p)


def convert_element_type(operand, new_dtype):
    """Converts values to another dtype.

    Floats become integers by truncation, out-of-range values saturate and NaN becomes 0, as XLA does it; complex
    numbers lose their imaginary part, with a warning; anything but 0 becomes True. The result is not weakly typed.

    >>> from cyxla import lax
    >>> lax.convert_element_type(2.7, "int32")
    Array(2, dtype=int32)
    """
    return convert(operand, canonical_code(new_dtype), False)


def convert(operand, code, weak_type):
    """`convert_element_type` to a dtype code and weak type; the operand itself if it has both already."""
    if not isinstance(operand, Array):
        operand = as_operand(operand)
    aval = operand.aval
    if aval.code == code and aval.weak_type == weak_type:
        return operand
    if is_complex(aval) and real_code(code) == code:
        warnings.warn(
            "Casting complex values to real discards the imaginary part", np.exceptions.ComplexWarning, stacklevel=3
        )
    return convert_element_type_p.bind(operand, new_dtype=code_dtype(code), weak_type=weak_type, sharding=None)


# ---- bitcast_convert_type


def _bitcast_abstract(x, new_dtype):
    code = dtype_code(new_dtype)
    old_bits, new_bits = bits_of(x.code), bits_of(code)
    shape = x.shape
    if old_bits < new_bits:
        if not shape or shape[-1] * old_bits != new_bits:
            raise ValueError(
                f"bitcast_convert_type: elements of {new_dtype} have {new_bits} bits, so the last axis must hold "
                f"{new_bits // old_bits} elements of {x.dtype}; the shape is {shape}"
            )
        shape = shape[:-1]
    elif old_bits > new_bits:
        shape = (*shape, old_bits // new_bits)
    out = shaped_array(shape, code, False)
    if code != x.code and (kind_of(x) in "bc" or kind_of(out) in "bc"):
        raise TypeError(
            f"bitcast_convert_type: the bits of {x.dtype} cannot be read as {new_dtype}: booleans and complex numbers "
            "stay what they are"
        )
    return out


def _bitcast_batch(args, dims, new_dtype):
    # the last axis may be consumed, so the batch must not be there
    x, d = args[0], dims[0]
    if d:
        x = lax.transpose(x, (d, *(i for i in range(x.ndim) if i != d)))
    return bitcast_convert_type_p.bind(x, new_dtype=new_dtype), 0


bitcast_convert_type_p = Primitive(
    "bitcast_convert_type",
    abstract=_bitcast_abstract,
    lower=lambda ctx, x, new_dtype: ctx.op(
        f"stablehlo.bitcast_convert {x} : ({ctx.avals_in[0].mlir}) -> {ctx.avals_out[0].mlir}"
    ),
    differentiable=False,
    batch=_bitcast_batch,
    host=True,
)


def bitcast_convert_type(operand, new_dtype):
    """The same bits, read as another dtype.

    To a narrower dtype each element becomes a new last axis; to a wider one the last axis is consumed and must hold
    exactly the bits of one element (else ValueError). TypeError for bool and complex.

    >>> from cyxla import lax
    >>> lax.bitcast_convert_type(1.0, "int32")
    Array(1065353216, dtype=int32)
    """
    code = canonical_code(new_dtype)
    return bitcast_convert_type_p.bind(operand, new_dtype=code_dtype(code))


# ---- reduce_precision


def _reduce_precision(x, exponent_bits, mantissa_bits):
    return reduce_precision_p.bind(x, exponent_bits=exponent_bits, mantissa_bits=mantissa_bits)


reduce_precision_p = Primitive(
    "reduce_precision",
    kind="elementwise",
    accepts="f",
    lower=lambda ctx, x, exponent_bits, mantissa_bits: ctx.op(
        f"stablehlo.reduce_precision {x}, format = e{exponent_bits}m{mantissa_bits} : {ctx.avals_out[0].mlir}"
    ),
    linear=True,
    transpose=lambda ct, x, **params: [_reduce_precision(ct, **params)],
)


def reduce_precision(operand, exponent_bits, mantissa_bits):
    """Rounds floats to what fits into fewer exponent and mantissa bits; the dtype stays.

    ValueError unless exponent_bits > 0 and mantissa_bits >= 0, TypeError for other than floats.

    >>> from cyxla import lax
    >>> lax.reduce_precision(1 / 3, exponent_bits=8, mantissa_bits=2)
    Array(0.3125, dtype=float32, weak_type=True)
    """
    exponent_bits, mantissa_bits = integer(exponent_bits), integer(mantissa_bits)
    if exponent_bits < 1:
        raise ValueError(f"reduce_precision: exponent_bits={exponent_bits}; one bit or more is needed")
    if mantissa_bits < 0:
        raise ValueError(f"reduce_precision: mantissa_bits={mantissa_bits} is negative")
    return _reduce_precision(operand, exponent_bits, mantissa_bits)


# ---- identities that mean something to a transformation or to the compiler


def _same(ctx, x):
    return x


def _identity(name, **rules):
    prim = Primitive(name, abstract=lambda x: x, lower=_same, host=True, **rules)
    prim.batch = batch_unary(prim)
    return prim


stop_gradient_p = _identity("stop_gradient", differentiable=False)


def stop_gradient(x):
    """x, as a constant to differentiation; x is an array or a tree of arrays.

    >>> import cyxla
    >>> cyxla.grad(lambda x: x * cyxla.lax.stop_gradient(x))(3.0)
    Array(3., dtype=float32, weak_type=True)
    """
    if isinstance(x, Array):
        return stop_gradient_p.bind(x)
    leaves, treedef = tree_flatten(x)
    return tree_unflatten(treedef, [stop_gradient_p.bind(leaf) for leaf in leaves])


copy_p = _identity("copy", linear=True, transpose=lambda ct, x: [copy_p.bind(ct)])


def _barrier_lower(ctx, *operands):
    types = [a.mlir for a in ctx.avals_in]
    names = ctx.op(f"stablehlo.optimization_barrier {', '.join(operands)} : {', '.join(types)}", len(operands))
    return [names] if isinstance(names, str) else names


def _barrier_transpose(cts, *operands):
    known = [i for i, ct in enumerate(cts) if type(ct) is not Zero]
    out = list(cts)
    for i, ct in zip(known, optimization_barrier_p.bind(*(cts[i] for i in known))):
        out[i] = ct
    return out


optimization_barrier_p = Primitive(
    "optimization_barrier",
    multiple_results=True,
    abstract=lambda *avals: list(avals),
    lower=_barrier_lower,
    linear=True,
    transpose=_barrier_transpose,
    batch=lambda args, dims: (optimization_barrier_p.bind(*args), list(dims)),
)


def optimization_barrier(operand, /):
    """The arrays of a tree, behind a barrier that the compiler moves no computation across.

    >>> from cyxla import lax
    >>> lax.optimization_barrier((1.0, 2.0))
    (Array(1., dtype=float32, weak_type=True), Array(2., dtype=float32, weak_type=True))
    """
    leaves, treedef = tree_flatten(operand)
    return tree_unflatten(treedef, optimization_barrier_p.bind(*leaves))
