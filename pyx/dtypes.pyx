"""The element types as C tables: sizes, names, canonical forms, and the promotion lattice.

Promotion follows JAX: dtypes and the "weak" kinds that Python scalars have form a lattice, and an operation's dtype is
the least upper bound of its operands'. The lattice is given below by its covering edges; the tables are computed from
it.
"""

import warnings

import ml_dtypes
import numpy as np

from libc.string cimport memset
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cyxla._engine.config cimport ThreadFlags, thread_flags

cdef object generic = np.generic

float0 = np.dtype([("float0", np.void, 0)])


class TypePromotionError(ValueError):
    """Operands have dtypes between which there is no implicit promotion."""

    __module__ = "cyxla.dtypes"


# One row a dtype: code, name, short name, MLIR name, kind, bits.
cdef list ROWS = [
    (BOOL, "bool", "bool", "i1", KIND_BOOL, 8),
    (INT1, "int1", "i1", "i1", KIND_SIGNED, 1),
    (INT2, "int2", "i2", "i2", KIND_SIGNED, 2),
    (INT4, "int4", "i4", "i4", KIND_SIGNED, 4),
    (INT8, "int8", "i8", "i8", KIND_SIGNED, 8),
    (INT16, "int16", "i16", "i16", KIND_SIGNED, 16),
    (INT32, "int32", "i32", "i32", KIND_SIGNED, 32),
    (INT64, "int64", "i64", "i64", KIND_SIGNED, 64),
    (UINT1, "uint1", "u1", "ui1", KIND_UNSIGNED, 1),
    (UINT2, "uint2", "u2", "ui2", KIND_UNSIGNED, 2),
    (UINT4, "uint4", "u4", "ui4", KIND_UNSIGNED, 4),
    (UINT8, "uint8", "u8", "ui8", KIND_UNSIGNED, 8),
    (UINT16, "uint16", "u16", "ui16", KIND_UNSIGNED, 16),
    (UINT32, "uint32", "u32", "ui32", KIND_UNSIGNED, 32),
    (UINT64, "uint64", "u64", "ui64", KIND_UNSIGNED, 64),
    (FLOAT8_E3M4, "float8_e3m4", "f8_e3m4", "f8E3M4", KIND_FLOAT, 8),
    (FLOAT8_E4M3, "float8_e4m3", "f8_e4m3", "f8E4M3", KIND_FLOAT, 8),
    (FLOAT8_E4M3B11FNUZ, "float8_e4m3b11fnuz", "f8_e4m3b11fnuz", "f8E4M3B11FNUZ", KIND_FLOAT, 8),
    (FLOAT8_E4M3FN, "float8_e4m3fn", "f8_e4m3fn", "f8E4M3FN", KIND_FLOAT, 8),
    (FLOAT8_E4M3FNUZ, "float8_e4m3fnuz", "f8_e4m3fnuz", "f8E4M3FNUZ", KIND_FLOAT, 8),
    (FLOAT8_E5M2, "float8_e5m2", "f8_e5m2", "f8E5M2", KIND_FLOAT, 8),
    (FLOAT8_E5M2FNUZ, "float8_e5m2fnuz", "f8_e5m2fnuz", "f8E5M2FNUZ", KIND_FLOAT, 8),
    (FLOAT8_E8M0FNU, "float8_e8m0fnu", "f8_e8m0fnu", "f8E8M0FNU", KIND_FLOAT, 8),
    (FLOAT6_E2M3FN, "float6_e2m3fn", "f6_e2m3fn", "f6E2M3FN", KIND_FLOAT, 6),
    (FLOAT6_E3M2FN, "float6_e3m2fn", "f6_e3m2fn", "f6E3M2FN", KIND_FLOAT, 6),
    (FLOAT4_E2M1FN, "float4_e2m1fn", "f4_e2m1fn", "f4E2M1FN", KIND_FLOAT, 4),
    (FLOAT16, "float16", "f16", "f16", KIND_FLOAT, 16),
    (BFLOAT16, "bfloat16", "bf16", "bf16", KIND_FLOAT, 16),
    (FLOAT32, "float32", "f32", "f32", KIND_FLOAT, 32),
    (FLOAT64, "float64", "f64", "f64", KIND_FLOAT, 64),
    (COMPLEX64, "complex64", "c64", "complex<f32>", KIND_COMPLEX, 64),
    (COMPLEX128, "complex128", "c128", "complex<f64>", KIND_COMPLEX, 128),
    (FLOAT0, "float0", "float0", "i1", KIND_FLOAT0, 0),
]

cdef list dtypes = [None] * MAX_DTYPES      # code -> dtype object
cdef list names = [None] * MAX_DTYPES       # code -> "float32", "key<fry>"
cdef list short_names = [None] * MAX_DTYPES  # code -> "f32"
cdef list mlir_names = [None] * MAX_DTYPES  # code -> "f32"; of an extended dtype, that of its physical dtype
cdef list physical_shapes = [()] * MAX_DTYPES  # code -> trailing dimensions of the physical array
cdef dict codes = {}                        # dtype, scalar type, name ... -> code
cdef int registered = EXTENDED              # the next code for an extended dtype
cdef int MAX_ALIASES = 4096                  # other spellings of dtypes that are kept


cdef int fill_info() except -1:
    cdef DTypeInfo* row
    memset(info, 0, sizeof(info))
    for code, name, short, mlir, kind, bits in ROWS:
        if code == FLOAT0:
            dtype = float0
        else:
            scalar_type = getattr(ml_dtypes, name, None)
            if scalar_type is None:
                if bits < 8:        # older releases of ml_dtypes lack the narrowest types
                    continue
                scalar_type = np.dtype(name).type
            dtype = np.dtype(scalar_type)
            codes[scalar_type] = code
            codes[name] = code
        codes[dtype] = code
        dtypes[code], names[code], short_names[code], mlir_names[code] = dtype, name, short, mlir
        row = &info[<int> code]
        row.kind, row.bits, row.itemsize = kind, bits, dtype.itemsize
        row.real = row.canonical = code
        row.tangent = code if kind in (KIND_FLOAT, KIND_COMPLEX) else FLOAT0
    row = &info[<int> REF]
    row.kind, row.real, row.canonical, row.tangent = KIND_REF, REF, REF, FLOAT0
    names[<int> REF] = short_names[<int> REF] = "Ref"
    for wide, narrow in ((INT64, INT32), (UINT64, UINT32), (FLOAT64, FLOAT32), (COMPLEX128, COMPLEX64)):
        info[<int> wide].canonical = narrow
    info[<int> COMPLEX64].real = FLOAT32
    info[<int> COMPLEX128].real = FLOAT64
    codes.update({bool: BOOL, int: INT64, float: FLOAT64, complex: COMPLEX128, None: FLOAT64})
    return 0


fill_info()


cpdef bint x64_enabled():
    """Whether 64-bit dtypes are enabled in this thread."""
    return thread_flags().x64


cpdef int canonicalize_code(int code):
    """The code that stands for `code` in the current x64 mode."""
    return code if thread_flags().x64 else info[code].canonical


cdef int slow_dtype_code(object dtype) except -1:
    cdef object code
    key = dtype
    if hasattr(dtype, "__array__") and not isinstance(dtype, type):
        raise ValueError("a dtype is needed, but got an array: write x.dtype rather than x")
    code = codes.get(np.dtype(dtype))
    if code is None:
        raise TypeError(f"{np.dtype(dtype)!r} is not a dtype that arrays can have: these hold booleans, integers, "
                        "floats or complex numbers in the machine's byte order")
    if isinstance(key, (str, type)) and len(codes) < MAX_ALIASES:
        codes[key] = code
    return code


cpdef int dtype_code(object dtype) except -1:
    """The code of anything that names a dtype. Not canonicalized."""
    cdef PyObject* found = NULL
    try:
        found = PyDict_GetItemWithError(codes, dtype)
    except TypeError:       # not hashable: a structured dtype given as a list
        pass
    if found is not NULL:
        return <object> found
    return slow_dtype_code(dtype)


cpdef object code_dtype(int code):
    """The dtype object of a code, the same object each time."""
    return dtypes[code]


cpdef str code_name(int code):
    """The full name of a code's dtype: 'float32', 'key<fry>'."""
    return names[code]


cpdef str code_short_name(int code):
    """The short name of a code's dtype, as jaxprs print it: 'f32', 'key<fry>'."""
    return short_names[code]


cpdef str code_mlir(int code):
    """The MLIR element type of a code's dtype, of an extended dtype that of its physical dtype."""
    return mlir_names[code]


cpdef tuple code_physical_shape(int code):
    """The trailing dimensions that an extended dtype's physical array has; () for all others."""
    return physical_shapes[code]


cpdef int register_alias(object key, int code) except -1:
    """Lets `dtype_code` understand a further object."""
    codes[key] = code
    return code


cpdef int register_extended(object dtype, str name) except -1:
    """Gives an extended dtype a code. It has attributes `physical_dtype` and `physical_shape`."""
    global registered
    cdef DTypeInfo* row
    cdef int code, physical, mode
    found = codes.get(dtype)
    if found is not None:
        return found
    if registered == MAX_DTYPES:
        raise ValueError(f"cannot register {name}: there are {MAX_DTYPES - EXTENDED} extended dtypes already")
    physical = dtype_code(dtype.physical_dtype)
    code = registered
    row = &info[code]
    row.kind, row.bits, row.itemsize = KIND_EXTENDED, info[physical].bits, info[physical].itemsize
    for size in dtype.physical_shape:
        row.bits *= <int> size
        row.itemsize *= <int> size
    row.real = row.canonical = code
    row.tangent = FLOAT0
    dtypes[code] = dtype
    names[code] = short_names[code] = name
    mlir_names[code] = mlir_names[physical]
    physical_shapes[code] = tuple(dtype.physical_shape)
    codes[dtype] = code
    for mode in range(4):
        table[mode][2 * code][2 * code] = 2 * code
    registered += 1
    return code


cpdef list extended_codes():
    """The codes of all registered extended dtypes."""
    return list(range(EXTENDED, registered))


cdef int scalar_code_or_none(object value) noexcept:
    # -1 for anything that is not a Python scalar; np.float64 and np.complex128 derive from Python's types but are not.
    cdef object kind = type(value)
    if kind is float:
        return FLOAT64 if thread_flags().x64 else FLOAT32
    if kind is int:
        return INT64 if thread_flags().x64 else INT32
    if kind is bool:
        return BOOL
    if kind is complex:
        return COMPLEX128 if thread_flags().x64 else COMPLEX64
    if isinstance(value, generic):
        return -1
    if isinstance(value, int):
        return INT64 if thread_flags().x64 else INT32
    if isinstance(value, float):
        return FLOAT64 if thread_flags().x64 else FLOAT32
    if isinstance(value, complex):
        return COMPLEX128 if thread_flags().x64 else COMPLEX64
    return -1


cdef int scalar_code(object value) except -1:
    cdef int code = scalar_code_or_none(value)
    if code < 0:
        raise TypeError(f"{value!r} of type {type(value).__name__} is not a Python scalar")
    return code


# ---- Scalar types ----

cdef class ScalarMeta(type):
    """Type of jnp.float32 and the like, which compare and hash as NumPy's scalar types; `dtype` is their attribute."""

    def __hash__(self):
        return hash(self.dtype.type)

    def __eq__(self, other):
        if self is other:
            return True
        dtype = self.dtype
        return dtype.type is other or (isinstance(other, np.dtype) and dtype == other)

    def __ne__(self, other):
        return not self == other

    def __instancecheck__(self, instance):
        return isinstance(instance, self.dtype.type)


# ---- Promotion ----

# Nodes of the lattice are the codes and, after them, the weak kinds.
cdef enum:
    WEAK_INT = N_BUILTIN
    WEAK_FLOAT
    WEAK_COMPLEX
    N_LATTICE

cdef list SMALL_INTS = [INT1, INT2, INT4, UINT1, UINT2, UINT4]
cdef list SMALL_FLOATS = [FLOAT8_E3M4, FLOAT8_E4M3, FLOAT8_E4M3B11FNUZ, FLOAT8_E4M3FN, FLOAT8_E4M3FNUZ, FLOAT8_E5M2,
                          FLOAT8_E5M2FNUZ, FLOAT8_E8M0FNU, FLOAT6_E2M3FN, FLOAT6_E3M2FN, FLOAT4_E2M1FN]
cdef list INTS = [INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64]

# Each node with those directly above it.
cdef dict STANDARD = {
    BOOL: [WEAK_INT],
    WEAK_INT: [UINT8, INT8] + SMALL_INTS,
    UINT8: [INT16, UINT16],
    UINT16: [INT32, UINT32],
    UINT32: [INT64, UINT64],
    UINT64: [WEAK_FLOAT],
    INT8: [INT16],
    INT16: [INT32],
    INT32: [INT64],
    INT64: [WEAK_FLOAT],
    WEAK_FLOAT: [FLOAT16, BFLOAT16, WEAK_COMPLEX] + SMALL_FLOATS,
    FLOAT16: [FLOAT32],
    BFLOAT16: [FLOAT32],
    FLOAT32: [FLOAT64, COMPLEX64],
    FLOAT64: [COMPLEX128],
    WEAK_COMPLEX: [COMPLEX64],
    COMPLEX64: [COMPLEX128],
}
# Without 64-bit integers a uint32 meets the signed ones in int32.
cdef dict STANDARD_X32 = {**STANDARD, UINT32: [INT32, UINT64]}
# 'strict' promotion: only Python scalars adapt, and only where that loses nothing.
cdef dict STRICT = {
    WEAK_INT: INTS + SMALL_INTS + [WEAK_FLOAT],
    WEAK_FLOAT: [FLOAT16, BFLOAT16, FLOAT32, FLOAT64, WEAK_COMPLEX] + SMALL_FLOATS,
    WEAK_COMPLEX: [COMPLEX64, COMPLEX128],
}

cdef signed char table[4][128][128]     # [x64 + 2 * strict][node][node] -> node, as promote() gives it
cdef signed char types_table[2][64][64]  # [x64][code][code] -> code, for promote_types(): operands not canonicalized


cdef int join_table(dict edges, signed char[N_LATTICE][N_LATTICE] joins) except -1:
    cdef unsigned long long above[N_LATTICE]
    cdef unsigned long long common
    cdef int a, b, c
    cdef bint changed = True
    for a in range(N_LATTICE):
        above[a] = 1ULL << a
    while changed:
        changed = False
        for node, parents in edges.items():
            a = node
            for parent in parents:
                common = above[a] | above[<int> parent]
                if common != above[a]:
                    above[a] = common
                    changed = True
    for a in range(N_LATTICE):
        for b in range(N_LATTICE):
            common = above[a] & above[b]
            joins[a][b] = -1
            for c in range(N_LATTICE):
                if (common >> c) & 1 and above[c] == common:
                    joins[a][b] = c
    return 0


cdef int weak_node(int code) noexcept:
    cdef int kind = info[code].kind
    if kind == KIND_SIGNED or kind == KIND_UNSIGNED:
        return WEAK_INT
    if kind == KIND_FLOAT:
        return WEAK_FLOAT
    if kind == KIND_COMPLEX:
        return WEAK_COMPLEX
    return code


cdef int fill_tables() except -1:
    cdef signed char joins[N_LATTICE][N_LATTICE]
    cdef int mode, a, b, code_a, code_b, joined, weak
    cdef bint x64
    memset(table, -1, sizeof(table))
    memset(types_table, -1, sizeof(types_table))
    for mode in range(4):
        x64 = mode & 1
        join_table(STRICT if mode & 2 else STANDARD if x64 else STANDARD_X32, joins)
        for a in range(2 * N_BUILTIN):
            for b in range(2 * N_BUILTIN):
                code_a, code_b = a // 2, b // 2
                if code_a == FLOAT0 or code_b == FLOAT0:
                    continue
                if mode < 2 and not a & 1 and not b & 1:
                    types_table[mode][code_a][code_b] = joins[code_a][code_b]
                if a == b and not (mode & 2 and a & 1):
                    table[mode][a][b] = 2 * code_a + (a & 1 and code_a != BOOL)
                    continue
                if not x64:
                    code_a, code_b = info[code_a].canonical, info[code_b].canonical
                weak = a & b & 1
                if weak and mode < 2:       # all operands weak: their dtypes join, and the result is weak
                    joined = joins[code_a][code_b]
                else:
                    joined = joins[weak_node(code_a) if a & 1 else code_a][weak_node(code_b) if b & 1 else code_b]
                if joined < 0:
                    continue
                if joined >= WEAK_INT:
                    weak = 1
                    joined = INT64 if joined == WEAK_INT else FLOAT64 if joined == WEAK_FLOAT else COMPLEX128
                if not x64:
                    joined = info[joined].canonical
                table[mode][a][b] = 2 * joined + (weak and joined != BOOL)
    return 0


fill_tables()


cdef int promote(int node_a, int node_b) noexcept:
    cdef ThreadFlags* flags = thread_flags()
    return table[flags.x64 + 2 * flags.strict_promotion][node_a][node_b]


cdef str describe(int node):
    if node & 1:
        return {KIND_SIGNED: "int", KIND_UNSIGNED: "int", KIND_FLOAT: "float", KIND_COMPLEX: "complex"}.get(
            info[node // 2].kind, names[node // 2]) + " (weak)"
    return names[node // 2]


cpdef object promotion_error(int node_a, int node_b):
    """Raises the error for two operands that `promote` does not join."""
    return no_promotion([node_a, node_b])


def no_promotion(nodes):
    """Raises the error for operands (lattice nodes) without a common dtype."""
    cdef int node, code, bits = 64
    cdef list found = []
    for node in nodes:
        code = node // 2
        if info[code].kind == KIND_REF:
            raise TypeError("an operand is a reference; operations take what it holds: write ref[...] for all of it")
        if info[code].kind >= KIND_FLOAT0:
            raise ValueError(f"dtype={names[code]} is not a valid dtype for type promotion: "
                             "arrays of it can not be mixed with numbers")
        if describe(node) not in found:
            found.append(describe(node))
        bits = min(bits, info[code].bits)
    text = f"There is no implicit dtype promotion between {' and '.join(found)}"
    target = "float32"
    if thread_flags().strict_promotion:
        text += " while numpy_dtype_promotion is 'strict'"
        hint = "or set jax_numpy_dtype_promotion to 'standard'"
    else:
        for node in nodes:
            if info[node // 2].kind == KIND_FLOAT and info[node // 2].bits <= 8:
                text += f": {info[node // 2].bits}-bit floats are never promoted silently"
                hint = "so that the precision of the result is your choice"
                break
        else:
            text += ": integers of less than 8 bits are never promoted silently"
            hint = "so that the width of the result is your choice"
            target = "int32"
    raise TypePromotionError(f"{text}. Convert an operand yourself, for example x.astype('{target}'), {hint}.")


cpdef int promote_nodes(nodes) except -1:
    """Joins any number of lattice nodes (code * 2 + weak); raises where there is no promotion."""
    cdef int result = -1, node, joined
    for node in nodes:
        if result < 0:
            result = node
            if info[node // 2].kind == KIND_FLOAT0:
                no_promotion(nodes)
            continue
        joined = promote(result, node)
        if joined < 0:
            no_promotion(nodes)
        result = joined
    if result < 0:
        raise ValueError("at least one array or dtype is required")
    return result


cpdef int promote_types_code(int node_a, int node_b) except -1:
    """The common code of two dtypes or Python types (weak), wide where those are: x64 mode is not looked at."""
    cdef ThreadFlags* flags = thread_flags()
    cdef int joined = -1
    if (node_a | node_b) & 1:
        joined = table[1 + 2 * flags.strict_promotion][node_a][node_b]
        joined = joined // 2 if joined >= 0 else -1
    elif node_a == node_b and info[node_a // 2].kind != KIND_FLOAT0:
        joined = node_a // 2
    elif not flags.strict_promotion and node_a < 2 * N_BUILTIN and node_b < 2 * N_BUILTIN:
        joined = types_table[flags.x64][node_a // 2][node_b // 2]
    if joined < 0:
        no_promotion([node_a, node_b])
    return joined


def promote_codes(int code_a, int code_b):
    """The common code of two strong dtypes, wide where those are; -1 where there is none."""
    if info[code_a].kind >= KIND_FLOAT0 or info[code_b].kind >= KIND_FLOAT0 or thread_flags().strict_promotion:
        return code_a if code_a == code_b and info[code_a].kind != KIND_FLOAT0 else -1
    return types_table[thread_flags().x64][code_a][code_b]


# ---- Dtypes that a user asks for ----

cpdef int requested_code(object dtype) except -1:
    """The code of a dtype that the user asked for: canonical, with a warning or error where that makes it narrower."""
    cdef int code = dtype_code(dtype)
    cdef ThreadFlags* flags = thread_flags()
    cdef int canonical = code if flags.x64 else info[code].canonical
    if canonical == code:
        return code
    if dtype is int or dtype is float or dtype is complex or dtype is None:
        return canonical
    if flags.explicit_x64 == 2:
        return code
    hint = ("To have 64 bits, set JAX_ENABLE_X64=1 in the environment or call config.update('jax_enable_x64', True), "
            "or for single arrays config.update('jax_explicit_x64_dtypes', 'allow').")
    if flags.explicit_x64 == 1:
        raise ValueError(f"The dtype {names[code]} was requested, but 64-bit types are off. {hint}")
    warnings.warn(f"The dtype {names[code]} was requested, but 64-bit types are off: {names[canonical]} is used. "
                  + hint, UserWarning, stacklevel=2)
    return canonical


def dtype_kind(int code):
    """The Kind of a code: 0 bool, 1 signed, 2 unsigned, 3 float, 4 complex, 5 float0, 6 extended."""
    return info[code].kind


def dtype_bits(int code):
    """The bits of one element."""
    return info[code].bits


def dtype_table():
    """For tests and tools: name -> (code, kind, bits, itemsize, real, canonical, tangent, short name, MLIR name)."""
    return {names[code]: (code, info[code].kind, info[code].bits, info[code].itemsize, info[code].real,
                          info[code].canonical, info[code].tangent, short_names[code], mlir_names[code])
            for code in list(range(N_BUILTIN)) + list(range(EXTENDED, registered)) if dtypes[code] is not None}


def promote_pair(int node_a, int node_b):
    """`promote` for tests and tools."""
    return promote(node_a, node_b)
