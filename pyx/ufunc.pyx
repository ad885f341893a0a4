# cython: language_level=3
cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF

from cyxla._engine.array cimport Array, ArrayImpl, host_value, is_operand, scalar_literal, to_array
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.config cimport config_epoch
from cyxla._engine.config cimport thread_flags
from cyxla._engine.core cimport NO_PARAMS, Primitive, bind
from cyxla._engine.dtypes cimport (
    BOOL, FLOAT32, FLOAT64, INT64, KIND_COMPLEX, KIND_FLOAT, KIND_FLOAT0, KIND_REF, canonicalize_code,
    code_dtype, dtype_code, info, promote, promotion_error,
)
from cyxla._engine.vectorcall cimport PyVectorcall_NARGS, enable_vectorcall, vectorcallfunc

cdef extern from *:
    """
    static int ufunc_set_attribute(PyTypeObject* type, PyObject* name, PyObject* value) {
        int failed = PyDict_SetItem(type->tp_dict, name, value);
        PyType_Modified(type);
        return failed;
    }
    """
    int ufunc_set_attribute(PyTypeObject* type, object name, object value) except -1

cdef Primitive convert_p = None
cdef Primitive broadcast_in_dim_p = None
cdef Primitive ne_p = None
cdef object rank_promotion = None    # (name, shapes), called where ranks differ and the option is not 'allow'


def install_conversion(Primitive convert, Primitive broadcast_in_dim, Primitive not_equal):
    """The primitives with which operands are promoted and broadcast."""
    global convert_p, broadcast_in_dim_p, ne_p
    convert_p = convert
    broadcast_in_dim_p = broadcast_in_dim
    ne_p = not_equal


def install_rank_promotion(check):
    """`check(name, shapes)` is called where operands of different rank are broadcast and the option minds."""
    global rank_promotion
    rank_promotion = check


def install_method(str name, attribute):
    """Makes `attribute` (a function, a property) an attribute of every `UFunc`: reduce, at and the like."""
    ufunc_set_attribute(<PyTypeObject*>UFunc, name, attribute)


PROMOTIONS = {"numeric": NUMERIC, "compare": NUMERIC, "bitwise": NUMERIC, "inexact": INEXACT, "logical": LOGICAL}


cdef class Elementwise:
    """A callable over an elementwise primitive. See `StrictOp` and `UFunc`."""

    @property
    def __name__(self):
        return self.fields["name"]

    @property
    def __qualname__(self):
        return self.fields["name"]

    @property
    def __module__(self):
        return self.fields["module"]

    @property
    def __doc__(self):
        return self.fields["doc"]

    @property
    def __signature__(self):
        signature = self.fields["signature"]
        if isinstance(signature, str):
            import inspect

            namespace = {}
            exec(f"def f{signature}: pass", namespace)
            signature = self.fields["signature"] = inspect.signature(namespace["f"])
        return signature

    def __call__(self, *args, **kwargs):
        # Replaced by the vectorcall slot; here so that the type shows that it is callable.
        return call_slow(self, args, kwargs)

    def __reduce__(self):
        return lookup, (self.fields["module"], self.fields["name"])

    def __get__(self, instance, owner):
        return self


def lookup(module, name):
    import importlib

    return getattr(importlib.import_module(module), name)


cdef int set_fields(Elementwise op, str name, Primitive primitive, int nin, str doc, str module,
                    str signature) except -1:
    op.vectorcall = <vectorcallfunc><void*>elementwise_vectorcall
    op.primitive = primitive
    op.nin = nin
    op.fields = {"name": name, "doc": doc, "module": module, "signature": signature}
    return 0


@cython.final
cdef class StrictOp(Elementwise):
    """A callable of `cyxla.lax`: operands have one dtype, and equal shapes or rank 0.

    `keywords(*operands, **options)` does the work of a call with options that are not None; `signature` names them.
    """

    def __init__(self, Primitive primitive, str name=None, str doc="", *, int nin=0, str module="cyxla.lax",
                 str signature=None, keywords=None):
        nin = nin or (2 if primitive.jvps is None else len(primitive.jvps))
        set_fields(self, name or primitive.name, primitive, nin, doc, module,
                   signature or ("(x)" if nin == 1 else "(x, y)"))
        self.fields["keywords"] = keywords
        self.strict = True

    def __repr__(self):
        return f"<cyxla.lax function {self.fields['name']}>"


@cython.final
cdef class UFunc(Elementwise):
    """A callable of `cyxla.numpy`: operands are promoted by JAX's dtype lattice and broadcast as in NumPy."""

    def __init__(self, str name, Primitive primitive, str promotion, bool_primitive=None, str doc="", *, int nin=0,
                 str module="cyxla.numpy", str signature=None):
        nin = nin or (2 if primitive.jvps is None else len(primitive.jvps))
        set_fields(self, name, primitive, nin, doc, module, signature or ("(x, /)" if nin == 1 else "(x, y, /)"))
        self.promotion = PROMOTIONS[promotion]
        self.bool_primitive = bool_primitive

    def __repr__(self):
        return f"<cyxla.numpy function {self.fields['name']}>"


def convert_operand(x, dtype, bint weak=False):
    """`x` as an Array of `dtype`; a scalar of the program is converted on the host, everything else is traced."""
    cdef Array a = to_array(x)
    cdef int code = dtype_code(dtype)
    if a.aval.code == code and a.aval.weak_type and not weak and isinstance(a, ArrayImpl) and (<ArrayImpl>a).literal_:
        return scalar_literal(host_value(<ArrayImpl>a).item(), code, False)
    return convert(a, code, weak)


cdef object arithmetic_error(int node_a, int node_b):
    """Raises the error for two operands of arithmetic that `promote` does not join."""
    cdef int node
    for node in (node_a, node_b):
        if info[node >> 1].kind == KIND_REF:
            break
        if info[node >> 1].kind >= KIND_FLOAT0:
            dtype = "float0" if info[node >> 1].kind == KIND_FLOAT0 else code_dtype(node >> 1)
            raise TypeError(f"there is no arithmetic with elements of dtype {dtype}: neither keys nor the float0 "
                            "tangents of integers are numbers")
    return promotion_error(node_a, node_b)


def promote_operands(tuple args, bint inexact=False, bint integers=False):
    """The arguments as Arrays of their common dtype; `inexact` makes it floating, `integers` makes bools int."""
    cdef int node = -1, other, code
    cdef list operands = []
    cdef Array a
    cdef bint weak
    for x in args:
        a = to_array(x)
        operands.append(a)
        other = a.aval.code * 2 + a.aval.weak_type
        if node < 0 or node == other:
            node = other
        else:
            joined = promote(node, other)
            if joined < 0:
                raise arithmetic_error(node, other) if inexact or integers else promotion_error(node, other)
            node = joined
    if inexact:
        node = inexact_node(node)
    elif integers and node >> 1 == BOOL:
        node = canonicalize_code(INT64) * 2 + (node & 1)
    code = node >> 1
    weak = node & 1
    for i in range(len(operands)):
        a = <Array>operands[i]
        if a.aval.code != code:
            operands[i] = convert(a, code, weak)
    return operands


cdef PyObject* elementwise_vectorcall(PyObject* callable, PyObject* const* args, size_t nargsf,
                                      PyObject* kwnames) except NULL:
    cdef Elementwise op = <Elementwise>callable
    cdef Py_ssize_t i, n = PyVectorcall_NARGS(nargsf)
    cdef object result
    if kwnames == NULL and n == op.nin:
        if n == 2:
            result = apply_binary(op, <object>args[0], <object>args[1])
        else:
            result = apply_unary(op, <object>args[0])
    else:
        positional = tuple([<object>args[i] for i in range(n)])
        keywords = {}
        if kwnames != NULL:
            for name in <tuple><object>kwnames:
                keywords[name] = <object>args[n + len(keywords)]
        result = call_slow(op, positional, keywords)
    Py_INCREF(result)
    return <PyObject*>result


cdef object call_slow(Elementwise op, tuple args, dict kwargs):
    arguments = op.__signature__.bind(*args, **kwargs).arguments
    for name in ("out", "where"):
        if arguments.pop(name, None) is not None:
            raise NotImplementedError(f"{op.fields['name']}: {name}= would write into an array; arrays are immutable; "
                                      "use the returned array")
    operands = arguments["args"] if "args" in arguments else tuple(arguments.values())
    if op.strict:
        options = {name: value for name, value in list(arguments.items())[op.nin:] if value is not None}
        operands = operands[:op.nin]
        if options:
            return op.fields["keywords"](*operands, **options)
    if len(operands) != op.nin:
        raise TypeError(f"{op.fields['name']}: {op.nin} operand{'s' if op.nin > 1 else ''} needed, "
                        f"got {len(operands)}")
    if op.nin == 2:
        return apply_binary(op, operands[0], operands[1])
    return apply_unary(op, operands[0])


cdef object bad_operand(Elementwise op, object x, int position):
    raise TypeError(f"{op.fields['name']}: argument {position} is {x!r:.80} of type {type(x).__name__}, not an array "
                    "or a number; make an array of it with cyxla.numpy.array(...)")


cdef inline int inexact_node(int node) noexcept:
    cdef int kind = info[node >> 1].kind
    if kind == KIND_FLOAT or kind == KIND_COMPLEX:
        return node
    # 64-bit integers become the default float, narrower ones float32; they stay weak if they were.
    return (canonicalize_code(FLOAT64) if info[node >> 1].bits == 64 else FLOAT32) * 2 + (node & 1)


cdef Array convert(Array x, int code, bint weak):
    if x.aval.code == code:
        return x
    if isinstance(x, ArrayImpl) and (<ArrayImpl>x).literal_:
        host = host_value(<ArrayImpl>x)
        if info[x.aval.code].kind == KIND_COMPLEX:
            return scalar_literal(host.astype(code_dtype(code)), code, weak)
        value = host.item()
        try:
            return scalar_literal(value, code, weak)
        except OverflowError:       # conversions of integers wrap around
            return scalar_literal(host.astype(code_dtype(code)).item(), code, weak)
    return bind(convert_p, (x,), {"new_dtype": code_dtype(code), "weak_type": weak, "sharding": None})


cdef Array broadcast_to(Array x, tuple shape):
    cdef Py_ssize_t i, lead
    if x.aval.shape == shape:
        return x
    lead = len(shape) - x.aval.ndim
    # Axes of size 1 are dropped by naming only the others: broadcast_in_dim spreads size-1 axes itself.
    return bind(broadcast_in_dim_p, (x,), {
        "shape": shape, "broadcast_dimensions": tuple([lead + i for i in range(x.aval.ndim)]), "sharding": None})


cdef object operand(Elementwise op, object x, int position):
    if isinstance(x, Array):
        return x
    if not is_operand(x):
        bad_operand(op, x, position)
    return to_array(x)


cdef object apply_unary(Elementwise op, object x):
    cdef Array a = operand(op, x, 0)
    cdef int node, target
    if not op.strict:
        if op.promotion == INEXACT:
            node = a.aval.code * 2 + a.aval.weak_type
            target = inexact_node(node)
            if target != node:
                a = convert(a, target >> 1, target & 1)
        elif op.promotion == LOGICAL:
            a = as_bool(a)
    if op.bool_primitive is not None and a.aval.code == BOOL:
        return bind(op.bool_primitive, (a,), NO_PARAMS)
    return bind(op.primitive, (a,), NO_PARAMS)


cdef Array as_bool(Array x):
    if x.aval.code == BOOL:
        return x
    return bind(ne_p, (x, scalar_literal(0, x.aval.code, True)), NO_PARAMS)


cdef tuple broadcast_shapes(Elementwise op, ShapedArray a, ShapedArray b):
    cdef Py_ssize_t i, n, da, db
    cdef list shape = []
    n = max(a.ndim, b.ndim)
    if a.ndim != b.ndim and thread_flags().rank_promotion:
        rank_promotion(op.fields["name"], (a.shape, b.shape))
    for i in range(n):
        da = 1 if i < n - a.ndim else <Py_ssize_t>a.shape[i - (n - a.ndim)]
        db = 1 if i < n - b.ndim else <Py_ssize_t>b.shape[i - (n - b.ndim)]
        if da != db and da != 1 and db != 1:
            kind = TypeError if a.ndim == b.ndim else ValueError  # as jax
            raise kind(f"{op.fields['name']}: shapes {a.shape} and {b.shape} do not broadcast")
        shape.append(db if da == 1 else da)
    return tuple(shape)


cdef object apply_binary(Elementwise op, object x, object y):
    cdef Array a, b
    cdef ShapedArray aval_a, aval_b
    cdef int node_a, node_b, node
    cdef Primitive primitive = op.primitive
    if isinstance(x, Array) and isinstance(y, Array) and (<Array>x).aval is (<Array>y).aval and (
            op.strict or op.promotion == NUMERIC):
        if op.bool_primitive is not None and (<Array>x).aval.code == BOOL:
            primitive = op.bool_primitive
        return bind(primitive, (x, y), NO_PARAMS)
    if y is op.scalar and y is not None and isinstance(x, Array) and (<Array>x).aval is op.beside and (
            op.epoch == config_epoch()) and not thread_flags().transfer_guard:
        # Taken before anything else may run and remember another number.
        b = op.promoted
        primitive = op.of_promoted
        return bind(primitive, (x, b), NO_PARAMS)
    a = operand(op, x, 0)
    b = operand(op, y, 1)
    aval_a = a.aval
    aval_b = b.aval
    if op.strict:
        if aval_a.ndim == aval_b.ndim and aval_a.shape != aval_b.shape and aval_a.code == aval_b.code:
            # lax stretches axes of size 1 where the ranks are equal
            shape = broadcast_shapes(op, aval_a, aval_b)
            a = broadcast_to(a, shape)
            b = broadcast_to(b, shape)
        return bind(primitive, (a, b), NO_PARAMS)
    if op.promotion == LOGICAL:
        a = as_bool(a)
        b = as_bool(b)
    else:
        node_a = aval_a.code * 2 + aval_a.weak_type
        node_b = aval_b.code * 2 + aval_b.weak_type
        node = promote(node_a, node_b)
        if node < 0:
            raise arithmetic_error(node_a, node_b)
        if op.promotion == INEXACT:
            node = inexact_node(node)
        if aval_a.code != node >> 1:
            a = convert(a, node >> 1, node & 1)
        if aval_b.code != node >> 1:
            b = convert(b, node >> 1, node & 1)
    if op.bool_primitive is not None and a.aval.code == BOOL:
        primitive = op.bool_primitive
    if aval_a.ndim and aval_b.ndim and aval_a.shape != aval_b.shape:
        shape = broadcast_shapes(op, aval_a, aval_b)
        a = broadcast_to(a, shape)
        b = broadcast_to(b, shape)
    if a is x and (type(y) is int or type(y) is float):
        # The end of what is replaced may run Python code, not in the middle of this.
        _replaced = (op.beside, op.promoted)
        op.scalar = y
        op.beside = aval_a
        op.promoted = b
        op.of_promoted = primitive
        op.epoch = config_epoch()
    return bind(primitive, (a, b), NO_PARAMS)


cdef StrictOp probe = StrictOp(Primitive.__new__(Primitive), "probe", nin=1)
cdef Py_ssize_t vectorcall_offset = <char*>&probe.vectorcall - <char*><PyObject*>probe
enable_vectorcall(<PyTypeObject*>Elementwise, vectorcall_offset, False)
enable_vectorcall(<PyTypeObject*>StrictOp, vectorcall_offset, False)
enable_vectorcall(<PyTypeObject*>UFunc, vectorcall_offset, False)
