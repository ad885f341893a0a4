"""Questions about dtypes: kinds, sizes, and promotion. The tables themselves are in the engine."""

from __future__ import annotations

from types import NoneType
from typing import Any

import ml_dtypes
import numpy as np

from cyxla._core.extended import extended, prng_key
from cyxla._engine import dtypes as engine
from cyxla._engine.array import Array

TypePromotionError = engine.TypePromotionError
bfloat16 = ml_dtypes.bfloat16
finfo = ml_dtypes.finfo
iinfo = ml_dtypes.iinfo
float0 = engine.float0
extended.__module__ = prng_key.__module__ = "cyxla.dtypes"


KIND_BOOL, KIND_SIGNED, KIND_UNSIGNED, KIND_FLOAT, KIND_COMPLEX, KIND_FLOAT0, KIND_EXTENDED = range(7)
SCALAR_TYPES = {KIND_BOOL: bool, KIND_SIGNED: int, KIND_UNSIGNED: int, KIND_FLOAT: float, KIND_COMPLEX: complex}
# ml_dtypes's scalar types derive from none of these.
CATEGORIES = {
    KIND_BOOL: np.bool_,
    KIND_SIGNED: np.signedinteger,
    KIND_UNSIGNED: np.unsignedinteger,
    KIND_FLOAT: np.floating,
    KIND_COMPLEX: np.complexfloating,
}
KINDS = {
    "bool": {KIND_BOOL},
    "signed integer": {KIND_SIGNED},
    "unsigned integer": {KIND_UNSIGNED},
    "integral": {KIND_SIGNED, KIND_UNSIGNED},
    "real floating": {KIND_FLOAT},
    "complex floating": {KIND_COMPLEX},
    "numeric": {KIND_SIGNED, KIND_UNSIGNED, KIND_FLOAT, KIND_COMPLEX},
}
WEAK_TYPES = (int, float, complex)


def is_extended(dtype: Any) -> bool:
    """Whether this is a dtype object that NumPy does not have."""
    return isinstance(getattr(dtype, "type", None), type) and issubclass(dtype.type, extended)


def scalar_class(dtype: Any) -> Any:
    # The class that stands for a dtype in the hierarchy of NumPy's scalar types.
    if isinstance(dtype, engine.ScalarMeta):
        return dtype.dtype.type
    if isinstance(dtype, type) and issubclass(dtype, np.generic):
        return dtype
    if is_extended(dtype):
        return dtype.type
    if isinstance(dtype, str):
        return np.dtype(engine.code_dtype(engine.dtype_code(dtype)) if dtype in engine.dtype_table() else dtype).type
    return np.dtype(getattr(dtype, "dtype", dtype)).type


def issubdtype(a: Any, b: Any) -> bool:
    """Whether dtype `a` is `b` or one of its kind.

    Unlike NumPy's function it knows the narrow dtypes (bfloat16, int4...) and those of random keys.

    Args:
      a: a dtype, scalar type, or the name of one.
      b: the same, or a kind such as `jnp.floating`, `jnp.integer`, `dtypes.prng_key`.

    >>> import cyxla.numpy as jnp
    >>> issubdtype(jnp.bfloat16, jnp.floating)
    True
    """
    a, b = scalar_class(a), scalar_class(b)
    if issubclass(a, b):
        return True
    if a.__module__.split(".")[0] == "ml_dtypes":
        kind = engine.dtype_kind(engine.dtype_code(a))
        return issubclass(CATEGORIES[kind], b)
    return False


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind, as the array API standard names them.

    Args:
      dtype: a dtype or the name of one.
      kind: a dtype, or 'bool', 'signed integer', 'unsigned integer', 'integral', 'real floating', 'complex floating',
        'numeric', or a tuple of these.

    Raises:
      ValueError: an unknown kind.
      TypeError: `kind` is neither dtype, string nor tuple.

    >>> import cyxla.numpy as jnp
    >>> isdtype(jnp.int8, ("bool", "integral"))
    True
    """
    code = engine.dtype_code(dtype)
    return any(is_of_kind(code, one) for one in (kind if isinstance(kind, tuple) else (kind,)))


def is_of_kind(code: int, kind: Any) -> bool:
    if isinstance(kind, str) and kind in KINDS:
        return engine.dtype_kind(code) in KINDS[kind]
    if isinstance(kind, str):
        try:
            return code == engine.dtype_code(kind)
        except TypeError:
            names = ", ".join(map(repr, KINDS))
            raise ValueError(f"the kind {kind!r} is neither a dtype nor one of {names}") from None
    abstract = isinstance(kind, type) and issubclass(kind, np.generic) and kind.__module__ == "numpy"
    if not isinstance(kind, (np.dtype, type, NoneType)) or (abstract and kind in ABSTRACT_CLASSES):
        raise TypeError(f"a kind is a dtype, a string or a tuple of these, but got {kind!r}")
    return code == engine.dtype_code(kind)


ABSTRACT_CLASSES = {
    np.generic,
    np.number,
    np.integer,
    np.signedinteger,
    np.unsignedinteger,
    np.inexact,
    np.floating,
    np.complexfloating,
    np.flexible,
    np.character,
}


def canonicalize_dtype(dtype: Any, allow_extended_dtype: bool = False) -> Any:
    """The dtype that stands for `dtype` in the current x64 mode: float32 for float64 where 64 bits are off.

    Args:
      dtype: anything that names a dtype.
      allow_extended_dtype: whether dtypes of random keys and the like are allowed; they stay as they are.

    Raises:
      TypeError: this names no dtype.
      ValueError: it is an extended dtype, and these were not allowed.

    >>> canonicalize_dtype("float64")
    dtype('float32')
    """
    if is_extended(dtype):
        if allow_extended_dtype:
            return dtype
        raise ValueError(f"an ordinary dtype is needed here, but got the extended dtype {dtype}")
    try:
        return engine.code_dtype(engine.canonicalize_code(engine.dtype_code(dtype)))
    except TypeError:
        return np.dtype(dtype)


def scalar_type_of(x: Any) -> type:
    """The Python type (bool, int, float, complex) whose values stand for elements of x.

    Args:
      x: an array, a scalar or a dtype.

    Raises:
      TypeError: there is none.

    >>> import cyxla.numpy as jnp
    >>> scalar_type_of(jnp.bfloat16)
    <class 'float'>
    """
    for python_type in (bool, int, float, complex):
        if type(x) is python_type:
            return python_type
    dtype = x if isinstance(x, type) else getattr(x, "dtype", x)
    scalar = SCALAR_TYPES.get(engine.dtype_kind(engine.dtype_code(dtype)))
    if scalar is None:
        raise TypeError(f"elements of dtype {dtype} are not Python numbers")
    return scalar


def itemsize_bits(dtype: Any) -> int:
    """The number of bits of one element.

    Raises:
      ValueError: the dtype has no fixed size, or None was given.

    >>> itemsize_bits("int4")
    4
    """
    if dtype is None:
        raise ValueError("a dtype is needed, but got None")
    try:
        code = engine.dtype_code(dtype)
    except TypeError:
        code = -1
    if code < 0 or engine.dtype_kind(code) not in SCALAR_TYPES:
        raise ValueError(f"elements of dtype {dtype} have no number of bits")
    return engine.dtype_bits(code)


def promotion_node(value: Any) -> int:
    # The node of the promotion lattice (code * 2 + weak) that an argument of result_type stands for.
    if isinstance(value, Array):
        aval = value.aval
        return 2 * aval.code + aval.weak_type
    kind = type(value)
    if kind is bool:
        return 2 * engine.dtype_code(bool)
    if kind in WEAK_TYPES:
        return 2 * engine.canonicalize_code(engine.dtype_code(kind)) + 1
    if isinstance(value, type) and value in WEAK_TYPES:
        return 2 * engine.canonicalize_code(engine.dtype_code(value)) + 1
    if value is None or isinstance(value, (type, str, np.dtype)) or is_extended(value):
        return 2 * engine.requested_code(value)
    if isinstance(value, (int, float, complex)) and not isinstance(value, np.generic):
        python_type = int if isinstance(value, int) else float if isinstance(value, float) else complex
        return 2 * engine.canonicalize_code(engine.dtype_code(python_type)) + 1
    dtype = getattr(value, "dtype", None)
    if dtype is None and hasattr(value, "__jax_array__"):
        return promotion_node(value.__jax_array__())
    if dtype is None:
        raise TypeError(f"{value!r} of type {kind.__name__} is neither an array, a number nor a dtype")
    return 2 * engine.canonicalize_code(engine.dtype_code(dtype))


def result_type(*args: Any, return_weak_type_flag: bool = False) -> Any:
    """The dtype of an operation on these operands, by the promotion rules of arrays and Python scalars.

    Args:
      *args: arrays, scalars and dtypes.
      return_weak_type_flag: also return whether the result is weakly typed.

    Raises:
      TypePromotionError: there is no implicit promotion between them.
      TypeError: one has no dtype.

    >>> result_type("int8", 1.5)
    dtype('float32')
    """
    node = engine.promote_nodes([promotion_node(arg) for arg in args])
    dtype = engine.code_dtype(node // 2)
    return (dtype, bool(node & 1)) if return_weak_type_flag else dtype


def types_node(dtype: Any) -> int:
    return 2 * engine.dtype_code(dtype) + (isinstance(dtype, type) and dtype in WEAK_TYPES)


def promote_types(a: Any, b: Any) -> Any:
    """The dtype to which two dtypes are promoted.

    The Python types int, float and complex stand for Python scalars, which give way to dtypes of their kind.

    Raises:
      TypePromotionError: there is no implicit promotion between them.

    >>> promote_types("int32", "bfloat16")
    dtype(bfloat16)
    """
    return engine.code_dtype(engine.promote_types_code(types_node(a), types_node(b)))
