"""Scalar types (float32, int8, ...) and the functions on dtypes of cyxla.numpy."""

import numpy as np

from cyxla._core import dtypes as _dtypes
from cyxla._core.dtypes import finfo, iinfo, isdtype, promote_types, result_type
from cyxla._engine.array import Array, asarray
from cyxla._engine.dispatch import check_new
from cyxla._engine.dtypes import ScalarMeta, code_dtype, dtype_code, dtype_table, register_alias, requested_code

__all__ = [
    "ComplexWarning",
    "bfloat16",
    "bool",
    "bool_",
    "can_cast",
    "cdouble",
    "character",
    "complex64",
    "complex128",
    "complex_",
    "complexfloating",
    "csingle",
    "double",
    "dtype",
    "finfo",
    "flexible",
    "float4_e2m1fn",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float16",
    "float32",
    "float64",
    "float_",
    "floating",
    "generic",
    "iinfo",
    "inexact",
    "int1",
    "int2",
    "int4",
    "int8",
    "int16",
    "int32",
    "int64",
    "int_",
    "integer",
    "isdtype",
    "issubdtype",
    "number",
    "object_",
    "promote_types",
    "result_type",
    "signedinteger",
    "single",
    "uint",
    "uint1",
    "uint2",
    "uint4",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "unsignedinteger",
]


class ScalarType(ScalarMeta):
    """Type of the scalar types: calling one makes an array."""

    def __call__(cls, x):
        target = code_dtype(requested_code(cls))
        if isinstance(x, Array):
            return x.astype(target)
        if x is None:
            raise ValueError(f"{cls.__name__} makes an array of numbers, but got None")
        if isinstance(x, (list, tuple)) or hasattr(x, "__jax_array__"):
            from cyxla.numpy.creation import array

            return array(x, dtype=target)
        made = asarray(np.asarray(x, dtype=target))
        check_new(made)
        return made


def scalar_type(name):
    # None where the installed ml_dtypes does not have it.
    if name not in dtype_table():
        return None
    code = dtype_code(name)
    doc = (
        f"Scalar type {name}: a dtype for arrays, and a function that makes an array of it.\n\n"
        "Unlike NumPy's scalar types it has no instances: calling it makes an array."
    )
    cls = ScalarType(name, (), {"dtype": code_dtype(code), "__doc__": doc, "__module__": "cyxla.numpy"})
    register_alias(cls, code)
    return cls


bool = bool_ = scalar_type("bool")
int1, int2, int4 = scalar_type("int1"), scalar_type("int2"), scalar_type("int4")
int8, int16 = scalar_type("int8"), scalar_type("int16")
int32, int64 = scalar_type("int32"), scalar_type("int64")
uint1, uint2, uint4 = scalar_type("uint1"), scalar_type("uint2"), scalar_type("uint4")
uint8, uint16, uint32, uint64 = (
    scalar_type("uint8"),
    scalar_type("uint16"),
    scalar_type("uint32"),
    scalar_type("uint64"),
)
float4_e2m1fn = scalar_type("float4_e2m1fn")
float6_e2m3fn = scalar_type("float6_e2m3fn")
float6_e3m2fn = scalar_type("float6_e3m2fn")
float8_e3m4 = scalar_type("float8_e3m4")
float8_e4m3 = scalar_type("float8_e4m3")
float8_e4m3b11fnuz = scalar_type("float8_e4m3b11fnuz")
float8_e4m3fn = scalar_type("float8_e4m3fn")
float8_e4m3fnuz = scalar_type("float8_e4m3fnuz")
float8_e5m2 = scalar_type("float8_e5m2")
float8_e5m2fnuz = scalar_type("float8_e5m2fnuz")
float8_e8m0fnu = scalar_type("float8_e8m0fnu")
bfloat16 = scalar_type("bfloat16")
float16, float32, float64 = scalar_type("float16"), scalar_type("float32"), scalar_type("float64")
complex64, complex128 = scalar_type("complex64"), scalar_type("complex128")

int_, uint, float_, complex_ = int64, uint64, float64, complex128
single, double, csingle, cdouble = float32, float64, complex64, complex128


def issubdtype(arg1, arg2):
    """Whether a dtype is, or belongs to the kind of, another: `jnp.issubdtype(x.dtype, jnp.floating)`."""
    return _dtypes.issubdtype(arg1, arg2)


# Kinds, for issubdtype, and what is NumPy's own.
generic, number, inexact = np.generic, np.number, np.inexact
integer, signedinteger, unsignedinteger = np.integer, np.signedinteger, np.unsignedinteger
floating, complexfloating = np.floating, np.complexfloating
flexible, character, object_ = np.flexible, np.character, np.object_
dtype = np.dtype
can_cast = np.can_cast
ComplexWarning = np.exceptions.ComplexWarning
