"""Abstract values: what is known of an array while it is traced.

Avals are interned in a hash table of borrowed pointers: an aval leaves the table when its last reference goes, and as
long as it lives every request for an equal one gives this very object.
"""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from cpython.object cimport PyObject, PyObject_Hash, PyObject_RichCompareBool, Py_EQ
from libc.string cimport memcpy
from cyxla._engine.dtypes cimport (
    BOOL, FLOAT0, KIND_EXTENDED, REF, canonicalize_code, code_dtype, code_mlir, code_name, code_physical_shape,
    code_short_name, dtype_code, info,
)

import operator
import weakref

from cyxla._engine.source import public_function

cdef extern from "Python.h":
    ctypedef PyObject* (*newfunc)(PyTypeObject*, PyObject*, PyObject*)
    ctypedef struct PyTypeObject:
        newfunc tp_new
        void* tp_vectorcall
    tuple PyTuple_New(Py_ssize_t size)
    PyObject* PyTuple_GET_ITEM(object, Py_ssize_t)
    Py_ssize_t PyTuple_GET_SIZE(object)
    Py_ssize_t PyLong_AsSsize_t(PyObject*) except? -1
    Py_ssize_t PY_SSIZE_T_MAX
    void Py_INCREF(PyObject*)
    Py_ssize_t Py_REFCNT(PyObject*)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    Py_UCS4 PyUnicode_READ_CHAR(object, Py_ssize_t)
    str PyUnicode_DecodeASCII(const char*, Py_ssize_t, const char*)


# ---- The table: open addressing with linear probing, at most half full ----

cdef PyObject** slots = NULL
cdef Py_ssize_t mask = -1           # number of slots - 1
cdef Py_ssize_t used = 0

cdef inline Py_hash_t node_hash(int code, bint weak) noexcept:
    return <Py_hash_t> (<size_t> (2 * code + weak + 1) * <size_t> 0x9E3779B97F4A7C15)


cdef inline Py_ssize_t home(Py_hash_t hash) noexcept:
    return <Py_ssize_t> ((<size_t> hash ^ (<size_t> hash >> 29)) & <size_t> mask)


cdef int grow() except -1:
    global slots, mask
    cdef Py_ssize_t size = 2 * (mask + 1) if mask >= 0 else 1024
    cdef PyObject** old = slots
    cdef Py_ssize_t old_size = mask + 1, i, j
    cdef PyObject** new = <PyObject**> PyMem_RawCalloc(size, sizeof(PyObject*))
    if new is NULL:
        raise MemoryError
    slots = new
    mask = size - 1
    for i in range(old_size):
        if old[i] is not NULL:
            j = home((<ShapedArray> old[i]).hash)
            while slots[j] is not NULL:
                j = (j + 1) & mask
            slots[j] = old[i]
    PyMem_RawFree(old)
    return 0


cdef void forget(PyObject* aval, Py_hash_t hash) noexcept:
    # Takes an aval out; those behind it move up so that no probe stops early.
    global used
    cdef Py_ssize_t hole = home(hash), i, wanted
    while slots[hole] is not aval:
        if slots[hole] is NULL:
            return
        hole = (hole + 1) & mask
    used -= 1
    i = hole
    while True:
        i = (i + 1) & mask
        if slots[i] is NULL:
            break
        wanted = home((<ShapedArray> slots[i]).hash)
        if ((i - wanted) & mask) >= ((i - hole) & mask):
            slots[hole] = slots[i]
            hole = i
    slots[hole] = NULL


cdef inline bint same_shape(tuple a, tuple b) noexcept:
    # Tuples of exact ints: comparing them cannot fail.
    if a is b:
        return True
    if PyTuple_GET_SIZE(a) != PyTuple_GET_SIZE(b):
        return False
    return PyObject_RichCompareBool(a, b, Py_EQ) == 1


cdef ShapedArray interned(tuple shape, Py_hash_t shape_hash, int code, bint weak):
    global used
    cdef Py_hash_t hash = shape_hash ^ node_hash(code, weak)
    cdef Py_ssize_t i
    cdef ShapedArray aval
    if mask >= 0:
        i = home(hash)
        while slots[i] is not NULL:
            # One whose last reference has gone may still be here while its weak references are told.
            if Py_REFCNT(slots[i]) > 0:
                aval = <ShapedArray> slots[i]
                if aval.hash == hash and aval.code == code and aval.weak_type == weak and same_shape(aval.shape, shape):
                    return aval
            i = (i + 1) & mask
    aval = make(shape, code, weak)
    if 2 * (used + 1) > mask:
        grow()
    i = home(hash)
    while slots[i] is not NULL:
        i = (i + 1) & mask
    aval.hash = hash
    slots[i] = <PyObject*> aval
    used += 1
    return aval


cdef ShapedArray make(tuple shape, int code, bint weak):
    cdef Py_ssize_t size = 1, dim
    cdef int i, ndim = <int> PyTuple_GET_SIZE(shape)
    cdef char text[320]         # "tensor<2x3xf32>"; very long shapes are put together as strings
    cdef char digits[24]
    cdef int length = 7, n
    cdef object dtype = code_dtype(code)
    if dtype is None:
        raise ValueError(f"there is no dtype with code {code}")
    for i in range(ndim):
        dim = PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i))
        if dim < 0:
            name = public_function()
            where = "" if name is None else f"{name}: "
            raise ValueError(f"{where}a shape has no negative dimensions, but got {shape}")
        if dim and size > PY_SSIZE_T_MAX // dim:
            raise ValueError(f"an array of shape {shape} has more elements than can be counted")
        size *= dim
        if length < 240:
            n = 0
            while True:
                digits[n] = <char> (48 + dim % 10)
                n += 1
                dim //= 10
                if dim == 0:
                    break
            while n > 0:
                n -= 1
                text[length] = digits[n]
                length += 1
            text[length] = 120      # x
            length += 1
    cdef str element = code_mlir(code), mlir
    cdef tuple physical = code_physical_shape(code)
    if physical or length >= 240:
        mlir = f"tensor<{''.join([f'{d}x' for d in shape + physical])}{element}>"
    else:
        memcpy(text, b"tensor<", 7)
        for i in range(<int> PyUnicode_GET_LENGTH(element)):
            text[length] = <char> PyUnicode_READ_CHAR(element, i)
            length += 1
        text[length] = 62           # >
        mlir = PyUnicode_DecodeASCII(text, length + 1, NULL)
    cdef ShapedArray aval = ShapedArray.__new__(ShapedArray)
    aval.shape = shape
    aval.dtype = dtype
    aval.weak_type = weak
    aval.ndim = ndim
    aval.size = size
    aval.code = code
    aval.mlir = mlir
    return aval


cpdef ShapedArray shaped_array(tuple shape, int code, bint weak):
    """The aval of this shape (exact ints), dtype code and weak type."""
    return interned(shape, PyObject_Hash(shape), code, weak)


cdef ShapedArray with_code(ShapedArray aval, int code, bint weak):
    if aval.code == code and aval.weak_type == weak:
        return aval
    return interned(aval.shape, aval.hash ^ node_hash(aval.code, aval.weak_type), code, weak)


cdef tuple checked_shape(object shape):
    # Exact ints, from a tuple or list of integers or from one integer.
    cdef object dim
    if type(shape) is tuple:
        for dim in <tuple> shape:
            if type(dim) is not int:
                break
        else:
            return shape
    try:
        return tuple([int(operator.index(dim)) for dim in shape])
    except TypeError:
        raise TypeError(f"a shape is a sequence of integers known while tracing, but got {shape!r}") from None


def int_tuple(values):
    """A tuple of exact ints: the one given, or made of a sequence of integers. TypeError for what is not an integer."""
    cdef object value
    if type(values) is tuple:
        for value in <tuple> values:
            if type(value) is not int:
                break
        else:
            return values
    try:
        return tuple([int(operator.index(value)) for value in values])
    except TypeError as error:
        if type(error) is not TypeError:    # that of a tracer says more
            raise
        raise not_integer(values, "a sequence of integers") from None


def integer(value):
    """An int of what Python takes for one. TypeError for what it does not."""
    if type(value) is int:
        return value
    try:
        return int(operator.index(value))
    except TypeError as error:
        if type(error) is not TypeError:    # that of a tracer says more
            raise
        raise not_integer(value, "an integer") from None


cdef object not_integer(object value, str wanted):
    name = public_function()
    where = "" if name is None else f"{name}: "
    return TypeError(f"{where}{wanted} known while tracing is needed, got {value!r:.200} of type "
                     f"{type(value).__name__}")


# no_gc: what is in the table must never have been cleared. (These decorators have no effect in the .pxd.)
@cython.no_gc
@cython.freelist(256)
cdef class ShapedArray:
    """Shape, dtype and weak type of an array whose elements are not known.

    Equal avals are one object: ``ShapedArray((3,), 'float32') is ShapedArray((3,), 'float32')``.

    Args:
      shape: sequence of integers.
      dtype: anything that names a dtype. It is not canonicalized.
      weak_type: whether the dtype gives way to others in promotion, as that of a Python scalar does.
      sharding: accepted for compatibility; only None.
    """

    def __dealloc__(self):
        if self.hash != 0 or self.mlir is not None:
            forget(<PyObject*> self, self.hash)

    def __hash__(self):
        return self.hash

    def __reduce__(self):
        return ShapedArray, (self.shape, self.dtype, self.weak_type)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f"ShapedArray({self.str_short()}{', weak_type=True' if self.weak_type else ''})"

    def __str__(self):
        return ("~" if self.weak_type else "") + self.str_short()

    def str_short(self, short_dtypes=False, mesh_axis_types=False):
        """The aval as jaxprs print it: `float32[2,3]`, or `f32[2,3]` with short_dtypes."""
        name = code_short_name(self.code) if short_dtypes else code_name(self.code)
        if not self.ndim:
            return name + "[]"
        return f"{name}[{','.join([str(dim) for dim in self.shape])}]"

    @property
    def sharding(self):
        """None: avals do not record a sharding."""
        return None

    @property
    def itemsize(self):
        """Bytes of one element."""
        return info[self.code].itemsize

    @property
    def nbytes(self):
        """Bytes of all elements."""
        return self.size * info[self.code].itemsize

    @property
    def len(self):
        """The size of the first axis."""
        return self._len()

    def _len(self, ignored=None):
        if not self.ndim:
            raise TypeError("len() of unsized object: a scalar has no axis to count along")
        return self.shape[0]

    def update(self, shape=None, dtype=None, weak_type=None, sharding=None):
        """The aval with some of its fields replaced."""
        if sharding is not None:
            raise TypeError(f"avals record no sharding, but got {sharding!r}")
        return shaped_array(
            self.shape if shape is None else checked_shape(shape),
            self.code if dtype is None else dtype_code(dtype),
            self.weak_type if weak_type is None else weak_type,
        )

    def strip_weak_type(self):
        """The same aval without weak type."""
        return with_code(self, self.code, False)

    def to_tangent_aval(self):
        """The aval of tangents: the same for inexact dtypes, float0 for others."""
        cdef int tangent = info[self.code].tangent
        return self if tangent == self.code else with_code(self, tangent, False)

    def to_cotangent_aval(self):
        """The aval of cotangents."""
        return self.to_tangent_aval()

    def at_least_vspace(self):
        """Older name of `to_tangent_aval`."""
        return self.to_tangent_aval()

    def canonical(self):
        """The aval with its dtype as the current x64 mode has it."""
        return with_code(self, canonicalize_code(self.code), self.weak_type)

    def physical(self):
        """The aval of the array that stores one of an extended dtype or of float0; itself for other dtypes."""
        if self.code == FLOAT0:
            return shaped_array(self.shape, BOOL, False)
        if info[self.code].kind != KIND_EXTENDED:
            return self
        return shaped_array(self.shape + code_physical_shape(self.code), dtype_code(self.dtype.physical_dtype), False)


# ---- Mutable arrays ----

cdef object references = weakref.WeakValueDictionary()      # aval of the content -> AbstractRef


@cython.final
@cython.no_gc
cdef class AbstractRef(ShapedArray):
    """The abstract value of a mutable array: what it holds, in `inner_aval`.

    Equal ones are one object.

    Args:
      inner_aval: the `ShapedArray` of its content.
      memory_space, kind: accepted for compatibility; only None.
    """

    def __reduce__(self):
        return AbstractRef, (self.inner_aval,)

    def __repr__(self):
        return self.str_short()

    def __str__(self):
        return self.str_short()

    def str_short(self, short_dtypes=False, mesh_axis_types=False):
        """As jaxprs print it: `Ref{float32[2,3]}`, or `Ref{f32[2,3]}` with short_dtypes."""
        return f"Ref{{{self.inner_aval.str_short(short_dtypes)}}}"

    @property
    def memory_space(self):
        """None: references are where arrays are."""
        return None

    @property
    def kind(self):
        """None: there is one kind of references."""
        return None

    @property
    def itemsize(self):
        """Bytes of one element."""
        return self.inner_aval.itemsize

    @property
    def nbytes(self):
        """Bytes of all elements."""
        return self.inner_aval.nbytes

    def update(self, shape=None, dtype=None, weak_type=None, sharding=None, *, inner_aval=None, memory_space=None,
               kind=None):
        """The aval with some of its fields, or the content's, replaced."""
        if inner_aval is not None:
            return ref_aval(inner_aval)
        return ref_aval(self.inner_aval.update(shape, dtype, weak_type, sharding))

    def strip_weak_type(self):
        """The same aval, with a content without weak type."""
        return ref_aval(self.inner_aval.strip_weak_type())

    def to_tangent_aval(self):
        """The aval of the references that hold tangents."""
        return ref_aval(self.inner_aval.to_tangent_aval())

    def to_ct_aval(self):
        """The aval of the references that gather cotangents."""
        return self.to_tangent_aval()

    def update_weak_type(self, weak_type):
        """The same aval, with a content of this weak type."""
        return ref_aval(self.inner_aval.update(weak_type=weak_type))

    def inc_rank(self, size, spec):
        """The aval with one more axis of this size in the content, at the position `spec`; itself where that is None.
        """
        if spec is None:
            return self
        shape = self.inner_aval.shape
        return ref_aval(self.inner_aval.update(shape=(*shape[:spec], size, *shape[spec:])))

    def dec_rank(self, size, spec):
        """The aval without the axis `spec`, of this size, of the content; itself where that is None."""
        if spec is None:
            return self
        shape = self.inner_aval.shape
        if shape[spec] != size:
            raise ValueError(f"dec_rank: axis {spec} of {self.str_short()} has size {shape[spec]}, not {size}")
        return ref_aval(self.inner_aval.update(shape=(*shape[:spec], *shape[spec + 1:])))

    def canonical(self):
        """The aval with the dtype of its content as the current x64 mode has it."""
        return ref_aval(self.inner_aval.canonical())

    def physical(self):
        """The aval of a reference to the array that stores one of an extended dtype."""
        return ref_aval(self.inner_aval.physical())


cpdef AbstractRef ref_aval(ShapedArray inner):
    """The aval of references to arrays of this aval."""
    cdef AbstractRef aval = references.get(inner)
    if aval is not None:
        return aval
    if type(inner) is AbstractRef:
        raise TypeError(f"a reference holds an array, not another reference: {inner.str_short()}")
    aval = AbstractRef.__new__(AbstractRef)
    aval.inner_aval = inner
    aval.shape = inner.shape
    aval.dtype = inner.dtype
    aval.weak_type = inner.weak_type
    aval.ndim = inner.ndim
    aval.size = inner.size
    aval.code = REF
    aval.mlir = inner.mlir
    aval.hash = inner.hash ^ node_hash(REF, False)
    references[inner] = aval
    return aval


cdef ShapedArray with_shape(ShapedArray aval, tuple shape):
    if type(aval) is AbstractRef:
        return ref_aval(with_shape((<AbstractRef>aval).inner_aval, shape))
    return shaped_array(shape, aval.code, aval.weak_type)


def _construct_ref(inner_aval, memory_space=None, kind=None):
    if memory_space is not None or kind is not None:
        raise TypeError(f"AbstractRef takes no memory space and no kind, but got {memory_space!r} and {kind!r}")
    return ref_aval(inner_aval)


cdef PyObject* new_abstract_ref(PyTypeObject* cls, PyObject* args, PyObject* kwargs) except NULL:
    cdef object result
    if kwargs is NULL:
        result = _construct_ref(*(<tuple> args))
    else:
        result = _construct_ref(*(<tuple> args), **(<dict> kwargs))
    Py_INCREF(<PyObject*> result)
    return <PyObject*> result


(<PyTypeObject*> AbstractRef).tp_new = <newfunc> new_abstract_ref
(<PyTypeObject*> AbstractRef).tp_vectorcall = NULL


# ---- Construction from Python gives the interned object ----

def _construct(shape, dtype, weak_type=False, *, sharding=None):
    if sharding is not None:
        raise TypeError(f"avals record no sharding, but got {sharding!r}")
    return shaped_array(checked_shape(shape), dtype_code(dtype), bool(weak_type))


cdef PyObject* new_shaped_array(PyTypeObject* cls, PyObject* args, PyObject* kwargs) except NULL:
    cdef object result
    if kwargs is NULL:
        result = _construct(*(<tuple> args))
    else:
        result = _construct(*(<tuple> args), **(<dict> kwargs))
    Py_INCREF(<PyObject*> result)
    return <PyObject*> result


(<PyTypeObject*> ShapedArray).tp_new = <newfunc> new_shaped_array
(<PyTypeObject*> ShapedArray).tp_vectorcall = NULL      # type.__call__ then goes by tp_new


def interned_count():
    """How many avals are alive."""
    return used
