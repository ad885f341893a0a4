# The array type that users see. Array is the base of everything array-like and alone has the operators; ArrayImpl is
# the concrete array, Tracer (core.pxd) the abstract one.
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.native cimport HostMemory

cdef enum Op:
    ADD, SUB, MUL, TRUEDIV, FLOORDIV, MOD, DIVMOD, POW, MATMUL
    AND, OR, XOR, LSHIFT, RSHIFT
    EQ, NE, LT, LE, GT, GE
    NEG, POS, ABS, INVERT, ROUND
    GETITEM, SETITEM, ITER
    N_OPS

cdef class Value:
    cdef readonly ShapedArray aval
    cdef object __weakref__

cdef class Array(Value):
    pass

cdef class ArrayImpl(Array):
    cdef object buffer_      # jaxlib's array, or None while the value lives on the host only
    cdef object host_        # a read-only numpy array or a HostMemory, or None while the value lives on the device only
    cdef object device_      # None: the default device
    cdef bint committed_
    cdef bint deleted_
    cdef bint literal_       # came from a scalar of the program: may be written into a jaxpr as a literal
    cdef bint shared_        # one object for all equal scalars: never deleted

cdef class MutableArray(Value):
    cdef ArrayImpl value_    # what it holds now
    cdef bint shared_        # the value was handed out: whoever has it must not see it change
    cdef bint frozen_

cdef ArrayImpl held_value(MutableArray ref)         # RuntimeError for one that has been frozen
cdef ArrayImpl from_host(object value, ShapedArray aval)
cdef ArrayImpl from_buffer(object buffer, ShapedArray aval, object device, bint committed)
cdef inline ArrayImpl from_memory(HostMemory memory, ShapedArray aval, object device, bint committed):
    cdef ArrayImpl array = ArrayImpl.__new__(ArrayImpl)
    array.aval = aval
    array.host_ = memory
    array.device_ = device
    array.committed_ = committed
    return array
# For those who read the memory of several arrays: is_in_memory, to_memory where it is not, then array_data of each. To
# make memory may run Python code or other threads, and these may delete arrays: who did it has to look at all of them
# again. array_data is valid until Python code may run, and longer for holders of array.host_.
cdef inline bint is_in_memory(ArrayImpl array) noexcept:
    return type(array.host_) is HostMemory and not array.deleted_
cdef inline void* array_data(ArrayImpl array) noexcept:
    return (<HostMemory>array.host_).data
cdef int to_memory(ArrayImpl array) except -1       # makes memory aligned to 64 bytes, which is kept
cdef object device_buffer(ArrayImpl array)          # jaxlib's array of it, made on demand and kept
cdef object copy_to_device(object buffer, object device)
cdef ArrayImpl copy_of(ArrayImpl array)             # in memory that nobody else has
cdef object host_value(ArrayImpl array)             # numpy array of it, made on demand and kept
cdef bint is_operand(object value)
cdef Array to_array(object value)                   # asarray without a dtype; TypeError for what is not an array
cdef ShapedArray aval_of(object value)              # the aval to_array(value) would have, without making it; NULL-safe
cdef ArrayImpl scalar_literal(object value, int code, bint weak)
cpdef Array own(Array array)
