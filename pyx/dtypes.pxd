# What is known of each element type, as C tables indexed by a small integer code.

cdef enum DType:
    BOOL = 0
    INT1, INT2, INT4, INT8, INT16, INT32, INT64
    UINT1, UINT2, UINT4, UINT8, UINT16, UINT32, UINT64
    FLOAT8_E3M4, FLOAT8_E4M3, FLOAT8_E4M3B11FNUZ, FLOAT8_E4M3FN, FLOAT8_E4M3FNUZ
    FLOAT8_E5M2, FLOAT8_E5M2FNUZ, FLOAT8_E8M0FNU, FLOAT6_E2M3FN, FLOAT6_E3M2FN, FLOAT4_E2M1FN
    FLOAT16, BFLOAT16, FLOAT32, FLOAT64
    COMPLEX64, COMPLEX128
    FLOAT0
    N_BUILTIN
    REF = 39           # no dtype: of the abstract values of mutable arrays, which no operation on arrays accepts
    EXTENDED = 40      # extended dtypes (typed PRNG keys) take the codes from here on, in order of registration
    MAX_DTYPES = 64

cdef enum Kind:
    KIND_BOOL, KIND_SIGNED, KIND_UNSIGNED, KIND_FLOAT, KIND_COMPLEX, KIND_FLOAT0, KIND_EXTENDED, KIND_REF

cdef struct DTypeInfo:
    int kind            # a Kind
    int bits            # of one element
    int itemsize        # bytes that NumPy uses for one element
    int real            # code of the dtype of .real (float32 for complex64), itself for others
    int canonical       # code when enable_x64 is off (int64 -> int32), itself when on
    int tangent         # code of the tangent dtype: itself for inexact dtypes, FLOAT0 for the rest

cdef DTypeInfo info[64]

# x64 mode of this thread (config flag and context manager)
cpdef bint x64_enabled()
cpdef int canonicalize_code(int code)           # int64 -> int32 when x64 is off
# anything np.dtype() accepts, scalar types, extended; TypeError if unsupported. NOT canonicalized
cpdef int dtype_code(object dtype) except -1
cpdef object code_dtype(int code)               # the np.dtype (or extended dtype object), the same object each time
cpdef int register_extended(object dtype, str name) except -1
# Python scalar types: bool -> BOOL, int -> INT32/INT64, float -> FLOAT32/64, complex -> COMPLEX64/128 (canonical, to be
# used weak)
cdef int scalar_code(object value) except -1

# A "node" of the promotion lattice is code * 2 + weak. promote() returns the joined node, or -1 where jax has no
# implicit promotion (the caller then calls promotion_error, which raises). Honours numpy_dtype_promotion='strict'.
cdef int promote(int node_a, int node_b) noexcept
cpdef object promotion_error(int node_a, int node_b)

cdef int scalar_code_or_none(object value) noexcept     # as scalar_code, but -1 without an exception for other objects
cpdef str code_name(int code)                           # "float32"
cpdef str code_short_name(int code)                     # "f32"
cpdef str code_mlir(int code)                           # "f32", "complex<f32>"; an extended dtype's physical one
cpdef tuple code_physical_shape(int code)               # trailing dimensions of an extended dtype's arrays, or ()
cpdef int register_alias(object key, int code) except -1    # dtype_code(key) == code from now on
cpdef list extended_codes()
cpdef int promote_nodes(nodes) except -1                # join of any number of nodes; raises where there is none
cpdef int requested_code(object dtype) except -1        # canonical code of a dtype the user named, warns on truncation
cpdef int promote_types_code(int node_a, int node_b) except -1  # join of two dtypes, not canonicalized
