"""Dtype promotion and the checks on arguments that the functions of this package share.

Everything here works on dtypes, avals and small tuples; nothing is traced but the conversions that are needed.
"""

import warnings

import ml_dtypes
import numpy as np

from cyxla import lax
from cyxla._core.config import config
from cyxla._core.errors import ConcretizationTypeError
from cyxla._engine.array import typeof
from cyxla._engine.core import Tracer
from cyxla._engine.dtypes import canonicalize_code, code_dtype, dtype_code, promote_nodes, requested_code
from cyxla._engine.ufunc import convert_operand, install_rank_promotion, promote_operands

_BOOL = np.dtype(bool)
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_FLOAT64_CODE = dtype_code(_FLOAT64)
_INT64_CODE = dtype_code(np.int64)
_UINT64_CODE = dtype_code(np.uint64)
_COMPLEX128_CODE = dtype_code(np.complex128)


def _dtypes_by_kind():
    table = {_BOOL: "b"}
    for bits in (8, 16, 32, 64):
        table[np.dtype(f"int{bits}")] = "i"
        table[np.dtype(f"uint{bits}")] = "u"
    for name in ("float16", "float32", "float64"):
        table[np.dtype(name)] = "f"
    for name in ("complex64", "complex128"):
        table[np.dtype(name)] = "c"
    for name in dir(ml_dtypes):
        scalar = getattr(ml_dtypes, name)
        if isinstance(scalar, type) and issubclass(scalar, np.generic):
            letter = "i" if name.startswith("int") else "u" if name.startswith("uint") else "f"
            table[np.dtype(scalar)] = letter
    return table


_KINDS = _dtypes_by_kind()

# Sums and means of these are accumulated in float32.
ACCUMULATE_IN = {np.dtype(np.float16): _FLOAT32, np.dtype(ml_dtypes.bfloat16): _FLOAT32}


def kind(dtype):
    """One letter for the kind of a dtype: b, i (signed), u (unsigned), f, c; k for extended dtypes such as keys."""
    return _KINDS.get(dtype, "k")


def default_float():
    """The dtype of a Python float: float32, or float64 under enable_x64."""
    return code_dtype(canonicalize_code(_FLOAT64_CODE))


def default_int():
    """The dtype of a Python int: int32, or int64 under enable_x64."""
    return code_dtype(canonicalize_code(_INT64_CODE))


def default_uint():
    return code_dtype(canonicalize_code(_UINT64_CODE))


def default_complex():
    return code_dtype(canonicalize_code(_COMPLEX128_CODE))


def inexact_dtype(dtype):
    """``dtype`` itself where it is floating or complex, else the float dtype that holds a result computed from it."""
    if _KINDS.get(dtype, "k") in "fck":
        return dtype
    return default_float() if dtype.itemsize == 8 else _FLOAT32


def real_dtype(dtype):
    """The dtype of the real part of a complex dtype; other dtypes unchanged."""
    if _KINDS.get(dtype) != "c":
        return dtype
    return _FLOAT32 if dtype.itemsize == 8 else _FLOAT64


def complex_dtype(dtype):
    """The complex dtype whose parts can hold ``dtype``."""
    if _KINDS.get(dtype) == "c":
        return dtype
    return np.dtype(np.complex128) if inexact_dtype(dtype) == _FLOAT64 else np.dtype(np.complex64)


def requested_dtype(dtype):
    """The canonical dtype for one that a user asked for, None for None; warns where x64 mode would be needed."""
    return None if dtype is None else code_dtype(requested_code(dtype))


def no_out(out, name):
    """Raise for an ``out`` argument: arrays are immutable."""
    if out is not None:
        raise NotImplementedError(f"{name}: arrays are immutable, so out= cannot be filled; use the returned array")


def no_inplace(inplace, name, error=ValueError):
    """`error` unless ``inplace`` is false: arrays are immutable."""
    if inplace:
        raise error(f"{name}: arrays are immutable; write x = {name}(x, ..., inplace=False)")


# convert(x, dtype, weak=False): ``x`` as an Array of ``dtype``; nothing is traced for arrays that have it, nor numbers.
convert = convert_operand


def strong(x):
    """``x`` without weak type."""
    if x.weak_type:
        return lax.convert_element_type_p.bind(x, new_dtype=x.dtype, weak_type=False, sharding=None)
    return x


def common_dtype(*args):
    """(dtype, weak_type) to which array-like arguments promote together."""
    nodes = []
    for arg in args:
        aval = typeof(arg)
        nodes.append(aval.code * 2 + aval.weak_type)
    node = promote_nodes(nodes)
    return code_dtype(node >> 1), bool(node & 1)


def promote(*args):
    """The arguments as Arrays of one dtype, by the promotion lattice; shapes are left alone."""
    return promote_operands(args)


def promote_inexact(*args):
    """As ``promote``, with integers and bools promoted to floating point."""
    return promote_operands(args, True)


def promote_numeric(*args):
    """As ``promote``, with bools promoted to integers."""
    return promote_operands(args, False, True)


def like(value, x):
    """A number as an Array of the dtype and weak type of ``x``."""
    return convert_operand(value, x.dtype, x.weak_type)


def check_rank_promotion(name, shapes):
    """Warns or raises for operands of different rank, as `jax_numpy_rank_promotion` says."""
    listed = " and ".join(map(str, shapes))
    message = (
        f"{name}: shapes {listed} have different ranks, and jax_numpy_rank_promotion is "
        f"{config.jax_numpy_rank_promotion!r}: add the missing axes by None in an index, or by jnp.expand_dims"
    )
    if config.jax_numpy_rank_promotion == "raise":
        raise ValueError(message)
    warnings.warn(message, stacklevel=2)


install_rank_promotion(check_rank_promotion)


def concrete(x, what):
    """The NumPy array of ``x``; ConcretizationTypeError, which says what asked for it, where ``x`` is traced."""
    if isinstance(x, Tracer):
        raise ConcretizationTypeError(x, what)
    return np.asarray(x)
