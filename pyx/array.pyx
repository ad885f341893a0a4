# cython: language_level=3
import functools

import numpy as np

from cyxla._engine.caches import register_tables
from cyxla._engine.source import public_function

cimport cython
from cpython.buffer cimport PyBUF_FULL_RO, PyBUF_WRITE, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject, PyTypeObject
from libc.math cimport copysign, isnan
from libc.stdint cimport int32_t, uint32_t
from libc.string cimport memcpy, memset

from cyxla._engine.aval cimport AbstractRef, ShapedArray, ref_aval, shaped_array
from cyxla._engine.caches cimport keep
from cyxla._engine.config cimport thread_flags
from cyxla._engine.dtypes cimport (
    BOOL, EXTENDED, FLOAT0, FLOAT32, FLOAT64, INT8, INT16, INT32, INT64, MAX_DTYPES, UINT8, UINT16, UINT32, UINT64,
    canonicalize_code, code_dtype, dtype_code, info, scalar_code,
    KIND_SIGNED, KIND_UNSIGNED,
)
from cyxla._engine.native cimport HostMemory, memory_of, new_memory, view_memory
from cyxla._engine.ndarray cimport Ndarray, is_contiguous, layout_is_known

cdef extern from *:
    """
    static int type_set_attribute(PyTypeObject* type, PyObject* name, PyObject* value) {
        int failed = PyDict_SetItem(type->tp_dict, name, value);
        PyType_Modified(type);
        return failed;
    }
    """
    int type_set_attribute(PyTypeObject* type, object name, object value) except -1
    Py_ssize_t refcount "Py_REFCNT"(PyObject*)

# What a memoryview asks for: format, shape and strides, but no writing.
cdef int FULL_VIEW = PyBUF_FULL_RO
cdef const char* formats[MAX_DTYPES]
memset(formats, 0, sizeof(formats))
formats[<int>BOOL], formats[<int>FLOAT32], formats[<int>FLOAT64] = b"?", b"f", b"d"
formats[<int>INT8], formats[<int>INT16], formats[<int>INT32], formats[<int>INT64] = b"b", b"h", b"i", b"q"
formats[<int>UINT8], formats[<int>UINT16], formats[<int>UINT32], formats[<int>UINT64] = b"B", b"H", b"I", b"Q"

cdef object ndarray = np.ndarray
cdef object generic = np.generic
cdef object float32 = np.float32
cdef object int32 = np.int32
cdef object np_asarray = np.asarray
cdef bint fields_are_known = layout_is_known(np)

OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul",
    "and", "or", "xor", "lshift", "rshift",
    "eq", "ne", "lt", "le", "gt", "ge",
    "neg", "pos", "abs", "invert", "round",
    "getitem", "setitem", "iter",
)
cdef list operators = [None] * N_OPS
cdef object runtime_loader = None
cdef object runtime_module = None


def install_operator(str name, function):
    """Gives `Array` the implementation of one of `OPERATORS`; called once by the layer that defines it."""
    operators[OPERATORS.index(name)] = function


cdef dict reference_methods = {}


def install_reference_methods(dict methods):
    """What `get`, `set`, `swap` and `addupdate` of a reference do inside of a function that is being transformed."""
    reference_methods.update(methods)


cdef object reference_method(Array tracer, str name):
    if type(tracer.aval) is not AbstractRef:
        raise AttributeError(f"arrays have no {name}, references do; of an array take x[index], and to change it write "
                             "x = x.at[index].set(value) or .add(value)")
    return functools.partial(reference_methods[name], tracer)


def install(str name, attribute):
    """Makes `attribute` (a function, a property) an attribute of every `Array`."""
    type_set_attribute(<PyTypeObject*>Array, name, attribute)


def install_runtime(loader):
    """`loader()` returns the module that moves values between host and devices; it is called at the first need."""
    global runtime_loader
    runtime_loader = loader


cdef object runtime():
    global runtime_module
    if runtime_module is None:
        runtime_module = runtime_loader()
    return runtime_module


cdef bint is_operand(object value):
    if isinstance(value, Array):
        return True
    kind = type(value)
    if kind is int or kind is float or kind is bool or kind is complex:
        return True
    return isinstance(value, (ndarray, generic, int, float, complex)) or hasattr(kind, "__jax_array__")


cdef inline object binary(Op op, object x, object y):
    if not is_operand(x) or not is_operand(y):
        return NotImplemented
    return (<object>operators[op])(x, y)


cdef class Value:
    """What operations take and traces follow: arrays, and references to arrays that change."""

    @property
    def shape(self):
        return self.aval.shape

    @property
    def dtype(self):
        return self.aval.dtype

    @property
    def ndim(self):
        return self.aval.ndim

    @property
    def size(self):
        return self.aval.size

    @property
    def weak_type(self):
        return self.aval.weak_type


cdef class Array(Value):
    """Base class of concrete arrays and tracers; `isinstance(x, cyxla.Array)` holds for both.

    Arithmetic follows NumPy's broadcasting and JAX's dtype promotion. Arrays are immutable: `x.at[i].set(v)` returns an
    updated copy.
    """

    __array_priority__ = 100

    def __init__(self):
        raise TypeError("Array is made by cyxla.numpy.array, asarray and the like, not by calling the class")

    @property
    def itemsize(self):
        return self.aval.dtype.itemsize

    @property
    def nbytes(self):
        return self.aval.dtype.itemsize * self.aval.size

    def __len__(self):
        if self.aval.ndim == 0:
            raise TypeError("len() of unsized object")
        return self.aval.shape[0]

    def __add__(self, other): return binary(ADD, self, other)
    def __radd__(self, other): return binary(ADD, other, self)
    def __sub__(self, other): return binary(SUB, self, other)
    def __rsub__(self, other): return binary(SUB, other, self)
    def __mul__(self, other): return binary(MUL, self, other)
    def __rmul__(self, other): return binary(MUL, other, self)
    def __truediv__(self, other): return binary(TRUEDIV, self, other)
    def __rtruediv__(self, other): return binary(TRUEDIV, other, self)
    def __floordiv__(self, other): return binary(FLOORDIV, self, other)
    def __rfloordiv__(self, other): return binary(FLOORDIV, other, self)
    def __mod__(self, other): return binary(MOD, self, other)
    def __rmod__(self, other): return binary(MOD, other, self)
    def __divmod__(self, other): return binary(DIVMOD, self, other)
    def __rdivmod__(self, other): return binary(DIVMOD, other, self)

    def __pow__(self, other, modulo):
        if modulo is not None:
            return NotImplemented
        return binary(POW, self, other)

    def __rpow__(self, other, modulo):
        if modulo is not None:
            return NotImplemented
        return binary(POW, other, self)

    def __matmul__(self, other): return binary(MATMUL, self, other)
    def __rmatmul__(self, other): return binary(MATMUL, other, self)
    def __and__(self, other): return binary(AND, self, other)
    def __rand__(self, other): return binary(AND, other, self)
    def __or__(self, other): return binary(OR, self, other)
    def __ror__(self, other): return binary(OR, other, self)
    def __xor__(self, other): return binary(XOR, self, other)
    def __rxor__(self, other): return binary(XOR, other, self)
    def __lshift__(self, other): return binary(LSHIFT, self, other)
    def __rlshift__(self, other): return binary(LSHIFT, other, self)
    def __rshift__(self, other): return binary(RSHIFT, self, other)
    def __rrshift__(self, other): return binary(RSHIFT, other, self)
    def __eq__(self, other): return binary(EQ, self, other)
    def __ne__(self, other): return binary(NE, self, other)
    def __lt__(self, other): return binary(LT, self, other)
    def __le__(self, other): return binary(LE, self, other)
    def __gt__(self, other): return binary(GT, self, other)
    def __ge__(self, other): return binary(GE, self, other)
    def __neg__(self): return operators[NEG](self)
    def __pos__(self): return operators[POS](self)
    def __abs__(self): return operators[ABS](self)
    def __invert__(self): return operators[INVERT](self)
    def __round__(self, ndigits=None): return operators[ROUND](self, ndigits)
    def __getitem__(self, index): return operators[GETITEM](self, index)

    def __hash__(self):
        raise TypeError(f"unhashable type: {type(self).__name__!r}: arrays are compared elementwise and have no hash")

    def __setitem__(self, index, value):
        if type(self.aval) is AbstractRef:
            # A reference inside of a function that is being transformed.
            operators[SETITEM](self, index, value)
            return
        raise TypeError(f"arrays are immutable, an element of {self.aval.str_short()} cannot be assigned: instead of "
                        "x[idx] = y write x = x.at[idx].set(y)")

    @property
    def get(self):
        """Of tracers of references only: what an index points at, `ref.get(index)`."""
        return reference_method(self, "get")

    @property
    def set(self):
        """Of tracers of references only: writes a value where an index points at, `ref.set(value, index)`."""
        return reference_method(self, "set")

    @property
    def swap(self):
        """Of tracers of references only: as `set`, and returns what was there, `ref.swap(value, index)`."""
        return reference_method(self, "swap")

    @property
    def addupdate(self):
        """Of tracers of references only: adds a value where an index points at, `ref.addupdate(value, index)`."""
        return reference_method(self, "addupdate")

    def __delitem__(self, index):
        raise TypeError("arrays are immutable: elements cannot be deleted; use cyxla.numpy.delete(x, index)")

    def __jax_array__(self):
        return self


@cython.final
cdef class ArrayImpl(Array):
    """A concrete array: a 64-byte aligned host buffer, a device buffer, or both."""

    def __init__(self):
        raise TypeError("ArrayImpl is made by cyxla.numpy.array, asarray and the like, not by calling the class")

    # -- the value on the host

    @property
    def _value(self):
        return host_value(self)

    def __array__(self, dtype=None, copy=None):
        value = host_value(self)
        if self.aval.code >= EXTENDED:
            raise TypeError(f"an array with dtype {self.aval.dtype} cannot be converted to a NumPy array; "
                            "call cyxla.random.key_data on typed PRNG keys first")
        if dtype is not None and np.dtype(dtype) != value.dtype:
            if copy is False:
                raise ValueError("a copy is needed to change the dtype, but copy=False was given")
            return value.astype(dtype)
        return value.copy() if copy else value

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        if self.aval.code >= EXTENDED:
            raise BufferError(f"an array with dtype {self.aval.dtype} has no buffer")
        cdef HostMemory memory
        cdef const char* format = NULL
        if type(self.host_) is HostMemory and not self.deleted_ and flags & FULL_VIEW == FULL_VIEW:
            memory = <HostMemory>self.host_
            if memory.owner is None:
                format = formats[self.aval.code]
                if format != NULL:
                    view_memory(memory, buffer, format, info[self.aval.code].itemsize, self.aval.shape)
                    return
        PyObject_GetBuffer(host_value(self), buffer, flags)

    def item(self, *args):
        """The element as a Python scalar; with arguments, the element at that index."""
        return host_value(self).item(*args) if args else element(self)

    def tolist(self):
        """The values as nested Python lists."""
        return host_value(self).tolist()

    def __bool__(self):
        if self.aval.code >= EXTENDED:
            raise TypeError(f"an array with dtype {self.aval.dtype} cannot be converted to a boolean")
        if self.aval.size != 1:
            raise ValueError(f"the truth value of an array of {self.aval.size} elements ({self.aval.str_short()}) is "
                             "ambiguous: write x.any(), x.all() or x.size > 0")
        return bool(element(self))

    def __float__(self): return float(python_scalar(self, "float"))
    def __int__(self): return int(python_scalar(self, "int"))
    def __complex__(self): return complex(python_scalar(self, "complex"))

    def __index__(self):
        kind = info[self.aval.code].kind
        if self.aval.ndim != 0 or not (kind == KIND_SIGNED or kind == KIND_UNSIGNED):
            raise TypeError("an index, size or position must be an integer of rank 0; this array is "
                            f"{self.aval.str_short()}")
        return int(element(self))

    def __iter__(self):
        if self.aval.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        aval = shaped_array(self.aval.shape[1:], self.aval.code, self.aval.weak_type)
        return iter([from_host(row if isinstance(row, ndarray) else np_asarray(row, dtype=aval.dtype), aval)
                     for row in host_value(self)])

    def __contains__(self, element):
        return bool((host_value(self) == np_asarray(element)).any())

    def __repr__(self):
        aval = self.aval
        weak = ", weak_type=True" if aval.weak_type else ""
        if self.deleted_:
            return f"Array(<deleted>, shape={aval.shape}, dtype={aval.dtype}{weak})"
        if aval.code >= EXTENDED:
            return f"Array({aval.shape}, dtype={aval.dtype.name}) overlaying:\n{host_value(self)}"
        tail = f"dtype={aval.dtype.name}{weak})"
        if aval.size == 0:
            return f"Array([], shape={aval.shape}, {tail}"
        value = host_value(self)
        text = np.array2string(value, prefix="Array(", suffix=",", separator=", ")
        line = text.rsplit("\n", 1)[-1]
        width = np.get_printoptions()["linewidth"]
        lead = len("Array(") if "\n" not in text else 0
        joiner = ", " if lead + len(line) + len(tail) + 1 < width else ",\n" + " " * len("Array(")
        return f"Array({text}{joiner}{tail}"

    def __str__(self):
        if self.deleted_ or self.aval.code >= EXTENDED:
            return self.__repr__()
        return str(host_value(self))

    def __format__(self, spec):
        if self.deleted_ or self.aval.code >= EXTENDED:
            return format(str(self), spec)
        return format(host_value(self)[()], spec)

    def __reduce__(self):
        if self.aval.code >= EXTENDED:
            return rebuild_extended, (self.aval, np.asarray(host_value(self)))
        return rebuild, (np.asarray(host_value(self)), self.aval.weak_type)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return from_host(host_value(self).copy(), self.aval)

    # -- the value on devices

    @property
    def _buffer(self):
        return device_buffer(self)

    @property
    def device(self):
        return self.device_ if self.device_ is not None else runtime().default_device()

    @property
    def sharding(self):
        return runtime().single_device_sharding(self.device)

    @property
    def committed(self):
        return self.committed_

    @property
    def _committed(self):
        return self.committed_

    def devices(self):
        """The set of devices that hold the array."""
        return {self.device}

    def platform(self):
        """The name of the platform that holds the array: 'cpu', 'gpu', 'tpu'."""
        return self.device.platform

    @property
    def is_fully_addressable(self):
        return True

    @property
    def is_fully_replicated(self):
        return True

    @property
    def addressable_shards(self):
        return runtime().shards(self)

    @property
    def global_shards(self):
        return runtime().shards(self)

    def addressable_data(self, index):
        if index != 0:
            raise IndexError(f"the array has one addressable shard, index {index} was asked for")
        return self

    def block_until_ready(self):
        """Waits until the value is computed; returns the array."""
        check_alive(self)
        if self.buffer_ is not None:
            self.buffer_.block_until_ready()
        return self

    def is_ready(self):
        return self.buffer_ is None or self.buffer_.is_ready()

    def copy_to_host_async(self):
        check_alive(self)
        if self.host_ is None:
            runtime().copy_to_host_async(self.buffer_)

    def delete(self):
        """Frees the value; any later use raises RuntimeError."""
        if self.shared_:
            return
        # First, as the rest may run other threads.
        self.deleted_ = True
        buffer = self.buffer_
        if buffer is not None:
            buffer.delete()
        self.buffer_ = None
        self.host_ = None

    def is_deleted(self):
        return self.deleted_ or (self.buffer_ is not None and self.buffer_.is_deleted())

    def on_device_size_in_bytes(self):
        return runtime().on_device_size(device_buffer(self))

    def unsafe_buffer_pointer(self):
        return runtime().unsafe_pointer(device_buffer(self))

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        return runtime().to_dlpack(device_buffer(self), stream=stream, max_version=max_version, dl_device=dl_device,
                                   copy=copy)

    def __dlpack_device__(self):
        return runtime().dlpack_device(device_buffer(self))


cdef object python_scalar(ArrayImpl array, str wanted):
    if array.aval.code >= EXTENDED:
        raise TypeError(f"{wanted}() needs a number; this array is {array.aval.str_short()}")
    if array.aval.ndim != 0:
        raise TypeError(f"{wanted}() needs an array of rank 0; this one is {array.aval.str_short()}. Pick an element "
                        "of it, or reduce it, first.")
    return element(array)


cdef object element(ArrayImpl array):
    """The only element of an array as Python's number."""
    cdef void* data
    if type(array.host_) is HostMemory and array.aval.size == 1 and not array.deleted_:
        data = (<HostMemory>array.host_).data
        if array.aval.code == FLOAT32:
            return (<float*>data)[0]
        if array.aval.code == INT32:
            return (<int32_t*>data)[0]
        if array.aval.code == BOOL:
            return (<unsigned char*>data)[0] != 0
    return host_value(array).item()


def rebuild(value, weak_type):
    return from_host(value, shaped_array(value.shape, dtype_code(value.dtype), weak_type))


def rebuild_extended(aval, value):
    return from_host(value, aval)


cdef int check_alive(ArrayImpl array) except -1:
    if array.deleted_ or (array.host_ is None and array.buffer_ is not None and array.buffer_.is_deleted()):
        raise RuntimeError(f"the {array.aval.str_short()} array was deleted or donated: after .delete(), or after it "
                           "was passed to a donated argument, an array cannot be used again. Use the call's result "
                           "instead, or do not donate it.")
    return 0


cdef ArrayImpl from_host(object value, ShapedArray aval):
    cdef ArrayImpl array = ArrayImpl.__new__(ArrayImpl)
    array.aval = aval
    if value.flags.writeable:
        value = value.view()
        value.flags.writeable = False
    array.host_ = value
    return array


cdef ArrayImpl from_buffer(object buffer, ShapedArray aval, object device, bint committed):
    cdef ArrayImpl array = ArrayImpl.__new__(ArrayImpl)
    array.aval = aval
    array.buffer_ = buffer
    array.device_ = device
    array.committed_ = committed
    return array


cdef int to_memory(ArrayImpl array) except -1:
    # Whoever deletes the array meanwhile leaves `deleted_`, which counts.
    array.host_ = memory_of(host_value(array))
    return 0


cdef object memory_value(ArrayImpl array):
    """The numpy array over the memory of an array."""
    cdef HostMemory memory = <HostMemory>array.host_
    if memory.owner is not None:
        return memory.owner
    aval = array.aval.physical() if array.aval.code >= EXTENDED else array.aval
    array.host_ = value = ndarray(aval.shape, aval.dtype, memory)
    return value


cdef object device_buffer(ArrayImpl array):
    if array.buffer_ is None or array.deleted_:
        check_alive(array)
        if array.device_ is None:
            array.device_ = runtime().default_device()
        host = host_value(array) if array.aval.code != FLOAT0 else np.zeros(array.aval.shape, bool)
        array.buffer_ = buffer = runtime().host_to_device(host, array.device_)
        return buffer
    return array.buffer_


cdef object copy_to_device(object buffer, object device):
    return runtime().copy_to_device(buffer, device)


cdef ArrayImpl copy_of(ArrayImpl array):
    check_alive(array)
    if array.buffer_ is not None and array.host_ is None:
        return from_buffer(runtime().copy_buffer(array.buffer_, array.device_), array.aval, array.device_,
                           array.committed_)
    return host_copy_of(array)


cdef ArrayImpl host_copy_of(ArrayImpl array):
    cdef HostMemory memory, source
    while not is_in_memory(array):
        to_memory(array)
    source = <HostMemory>array.host_
    memory = new_memory(source.size)
    memcpy(memory.data, source.data, memory.size)
    return from_memory(memory, array.aval, array.device_, array.committed_)


cdef object host_value(ArrayImpl array):
    if array.host_ is None or array.deleted_ or (array.buffer_ is not None and array.buffer_.is_deleted()):
        check_alive(array)
        if array.buffer_ is not None and array.buffer_.is_deleted():
            array.deleted_ = True
            array.host_ = None
            check_alive(array)
        # Another thread may delete the array while this one waits.
        buffer = array.buffer_
        array.host_ = value = runtime().device_to_host(buffer)
        return value
    elif type(array.host_) is HostMemory:
        return memory_value(array)
    return array.host_


def array_from_host(value, bint weak_type=False):
    """The array over a NumPy array that nobody writes to any more; its dtype must be a supported one."""
    return from_host(value, shaped_array(value.shape, dtype_code(value.dtype), weak_type))


def array_from_physical(value, ShapedArray aval):
    """The array with abstract value `aval` whose storage is the NumPy array `value` (for extended dtypes)."""
    return from_host(value, aval)


def array_from_words(words, ShapedArray aval):
    """The array with abstract value `aval` whose storage is these numbers of 32 bits (for extended dtypes)."""
    cdef Py_ssize_t n = len(words), i
    cdef HostMemory memory = new_memory(4 * n)
    if 4 * n != aval.size * aval.dtype.itemsize:
        raise ValueError(f"{n} words are not the storage of an array {aval.str_short()}")
    for i in range(n):
        (<uint32_t*>memory.data)[i] = words[i]
    return from_memory(memory, aval, None, False)


def array_from_buffer(buffer, ShapedArray aval, device=None, bint committed=False):
    """The array over a single-device buffer of the runtime."""
    return from_buffer(buffer, aval, device, committed)


def with_aval(ArrayImpl array, ShapedArray aval):
    """The same storage under another abstract value of the same physical shape and dtype."""
    cdef ArrayImpl result = ArrayImpl.__new__(ArrayImpl)
    check_alive(array)
    result.aval = aval
    result.buffer_ = array.buffer_
    result.host_ = array.host_
    result.device_ = array.device_
    result.committed_ = array.committed_
    return result


cdef dict literals = {}
cdef Py_ssize_t LITERAL_BOUND = 1024
register_tables("scalars", LITERAL_BOUND, lambda: [literals])


cdef ArrayImpl scalar_literal(object value, int code, bint weak):
    cdef ArrayImpl array
    cacheable = True
    if type(value) is float:
        if value == 0.0 and copysign(1.0, <double>value) < 0 or isnan(<double>value):
            cacheable = False
    elif type(value) is complex:
        cacheable = False
    key = (value, code * 2 + weak) if cacheable else None
    if cacheable:
        found = literals.get(key)
        if found is not None:
            return <ArrayImpl>found
    host = np_asarray(value, dtype=code_dtype(code))
    array = from_host(host, shaped_array((), code, weak))
    array.literal_ = True
    if cacheable:
        keep(literals, key, array, LITERAL_BOUND, "scalars")
        array.shared_ = True
    return array


cpdef Array own(Array array):
    """The array itself, or instead of a scalar that others have too one that may be deleted and donated."""
    cdef ArrayImpl result
    if type(array) is not ArrayImpl or not (<ArrayImpl>array).shared_:
        return array
    result = from_host(host_value(<ArrayImpl>array), array.aval)
    result.literal_ = True
    return result


cdef object no_array(object value):
    name = public_function()
    where = "" if name is None else f"{name}: "
    return TypeError(f"{where}expected an array, a NumPy array or a number; got {value!r:.200} of type "
                     f"{type(value).__name__}")


cdef Py_ssize_t SMALL_COPY = 1 << 16      # bytes up to which NumPy arrays are copied without asking NumPy


cdef ArrayImpl copy_small(object value):
    """An array with the contents of a NumPy array; None for one that needs a closer look."""
    cdef Ndarray* fields = <Ndarray*><PyObject*>value
    cdef int code
    cdef Py_ssize_t size
    cdef HostMemory memory
    cdef ArrayImpl array
    if not fields_are_known or not is_contiguous(fields):
        return None
    code = dtype_code(<object>fields.descr)
    if code_dtype(code) is not <object>fields.descr or canonicalize_code(code) != code or code == FLOAT0:
        return None
    aval = shaped_array(tuple([fields.dimensions[i] for i in range(fields.nd)]), code, False)
    size = aval.size * info[code].itemsize
    if size == 0 or size > SMALL_COPY:
        return None
    memory = new_memory(size)
    memcpy(memory.data, fields.data, size)
    array = from_memory(memory, aval, None, False)
    array.literal_ = fields.nd == 0
    return array


cdef Array to_array(object value):
    cdef int code
    cdef ArrayImpl array
    if isinstance(value, Array):
        return <Array>value
    if thread_flags().transfer_guard:
        runtime().guard_host_to_device(value)
    kind = type(value)
    if kind is float or kind is int or kind is bool or kind is complex:
        return scalar_literal(value, scalar_code(value), kind is not bool)
    if isinstance(value, ndarray):
        array = copy_small(value) if kind is ndarray else None
        if array is not None:
            return array
        code = dtype_code(value.dtype)
        canonical = canonicalize_code(code)
        host = value
        if canonical != code or not value.dtype.isnative:
            host = value.astype(code_dtype(canonical))
        elif value.flags.writeable:
            # The caller may write to it later; arrays are values.
            host = value.copy()
        array = from_host(host, shaped_array(value.shape, canonical, False))
        array.literal_ = value.ndim == 0 and code != FLOAT0
        return array
    if kind is float32 or kind is int32:
        number = value.item()
        if number == number:
            return scalar_literal(number, FLOAT32 if kind is float32 else INT32, False)
    if isinstance(value, generic):
        code = canonicalize_code(dtype_code(value.dtype))
        array = from_host(np_asarray(value, dtype=code_dtype(code)), shaped_array((), code, False))
        array.literal_ = True
        return array
    if isinstance(value, (int, float, complex)):
        return scalar_literal(int(value) if isinstance(value, int) else value, scalar_code(value), True)
    if isinstance(value, MutableArray):
        # Not an array, but what has operands takes it for one until it looks at the aval, which both have.
        return <Array>value
    convert = getattr(kind, "__jax_array__", None)
    if convert is not None:
        return to_array(convert(value))
    raise no_array(value)


cdef ShapedArray aval_of(object value):
    kind = type(value)
    if isinstance(value, Array):
        return (<Array>value).aval
    if kind is float or kind is int or kind is complex:
        return shaped_array((), scalar_code(value), True)
    if kind is bool:
        return shaped_array((), BOOL, False)
    if isinstance(value, (ndarray, generic)):
        return shaped_array(value.shape, canonicalize_code(dtype_code(value.dtype)), False)
    if isinstance(value, (int, float, complex)):
        return shaped_array((), scalar_code(value), True)
    if isinstance(value, MutableArray):
        return (<Value>value).aval
    if isinstance(value, ShapedArray):
        return <ShapedArray>value
    if hasattr(kind, "__jax_array__"):
        return aval_of(value.__jax_array__())
    raise no_array(value)


cdef class MutableArray(Value):
    """A reference to an array that can be overwritten; the public class is `cyxla.Ref`.

    It holds an immutable array and exchanges it for another one.
    """

cdef ArrayImpl held_value(MutableArray ref):
    if ref.frozen_:
        raise RuntimeError(f"the reference of type {ref.aval.str_short()} was given to freeze or free_ref and cannot "
                           "be used again; go on with the value that freeze returned, or with new_ref of it")
    return ref.value_


def new_mutable(kind, ArrayImpl value):
    """A reference, of a subclass of `MutableArray`, that holds an array which others may have."""
    cdef MutableArray ref = kind.__new__(kind)
    ref.aval = ref_aval(value.aval)
    ref.value_ = value
    ref.shared_ = True
    return ref


def is_frozen(MutableArray ref):
    """Whether the content of a reference was taken from it."""
    return ref.frozen_


def read_mutable(MutableArray ref):
    """The whole content of a reference."""
    cdef ArrayImpl value = held_value(ref)
    ref.shared_ = True
    return value


def peek_mutable(MutableArray ref):
    """The content of a reference, for those who do not keep it: it may change under them."""
    return held_value(ref)


def write_mutable(MutableArray ref, ArrayImpl value, bint shared):
    """Exchanges the content of a reference; `shared` where others may have the new one."""
    held_value(ref)
    if value.aval is not (<AbstractRef>ref.aval).inner_aval:
        raise TypeError(f"a reference of type {ref.aval.str_short()} cannot hold {value.aval.str_short()}")
    ref.value_ = value
    ref.shared_ = shared


def own_memory(MutableArray ref):
    """A NumPy array to write to in the memory of a reference's content; None where that is not on the host.

    The content gets memory of its own where others may have it. The array must not be kept.
    """
    cdef ArrayImpl value = held_value(ref)
    if value.aval.code >= FLOAT0 or (value.buffer_ is not None and value.device.platform != "cpu"):
        return None
    if ref.shared_ or value.buffer_ is not None or not is_sole_memory(value):
        ref.value_ = value = host_copy_of(value)
        ref.shared_ = False
    return ndarray(value.aval.shape, value.aval.dtype, PyMemoryView_FromMemory(
        <char*>(<HostMemory>value.host_).data, (<HostMemory>value.host_).size, PyBUF_WRITE))


cdef bint is_sole_memory(ArrayImpl array):
    """Whether an array has its memory for itself."""
    return (type(array.host_) is HostMemory and (<HostMemory>array.host_).owner is None
            and refcount(<PyObject*>array.host_) == 1)


def freeze_mutable(MutableArray ref):
    """The content of a reference, which cannot be used from then on."""
    cdef ArrayImpl value = held_value(ref)
    ref.frozen_ = True
    ref.value_ = None
    return value


def literal(value, int code, bint weak=False):
    """A rank-0 constant of a dtype (given by its code), that jaxprs show as a literal; one object for equal scalars."""
    kind = type(value)
    if code >= EXTENDED:
        dtype = code_dtype(code)
        return from_host(np.full(dtype.physical_shape, value, dtype.physical_dtype), shaped_array((), code, False))
    if kind is int or kind is float or kind is bool or kind is complex:
        return scalar_literal(value, code, weak)
    host = np_asarray(value, dtype=code_dtype(code))
    cdef ArrayImpl array = from_host(host, shaped_array(host.shape, code, weak))
    array.literal_ = host.ndim == 0
    return array


def asarray(value, dtype=None):
    """`value` as an `Array`: Arrays unchanged, NumPy arrays and scalars under JAX's dtype rules.

    Raises TypeError for what is not an array or a number (None, strings, lists).
    """
    if dtype is None:
        return to_array(value)
    array = to_array(value)
    return array.astype(dtype)


def typeof(value):
    """The abstract value (`ShapedArray`) of an array, a NumPy array or a Python scalar."""
    return aval_of(value)


def guard_host_to_device(value):
    """For values that become arrays otherwise than by `asarray`: raises or logs where a transfer guard minds."""
    if thread_flags().transfer_guard:
        runtime().guard_host_to_device(value)


def is_arraylike(value):
    """Whether functions take `value` as an array, or as a reference to one."""
    return is_operand(value) or isinstance(value, MutableArray)


def is_literal(array):
    """Whether a concrete array stands for a scalar written in the program."""
    return isinstance(array, ArrayImpl) and (<ArrayImpl>array).literal_
