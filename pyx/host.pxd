# Exact host kernels: eager operations on CPU whose result is exactly defined, run without XLA.
from libc.stdint cimport int64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector

from cyxla._engine.array cimport ArrayImpl
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.core cimport Primitive

cdef extern from "host/dtypes.h" namespace "cyxla::host" nogil:
    enum class DType(int):
        pass

cdef extern from "host/operation.h" namespace "cyxla::host" nogil:
    cppclass CArray "cyxla::host::Array":
        DType dtype
        vector[int64_t] shape
    cppclass Request:
        vector[CArray] operands
        vector[CArray] results
        vector[vector[int64_t]] ints
    cppclass Operation:
        void run(const void* const*, void* const*)
    Operation* plan "cyxla::host::plan" (const string&, const Request&) except +
    cbool supported()


cdef class Plan:
    cdef tuple avals             # of the operands
    cdef tuple params            # names and values of the parameters, one after the other
    cdef tuple outs              # avals of the results
    cdef Operation* operation    # NULL: the operation is left to XLA
    cdef Py_ssize_t price        # of a run, in bytes; 0 for small arrays
    cdef Py_ssize_t budget       # what is left of `BUDGET`
    cdef bint pay(self)
    cdef list run(self, tuple args)
    cdef ArrayImpl run_one(self, ArrayImpl x, ArrayImpl y)

cdef object run_host(Primitive primitive, tuple args, dict params)      # None: left to XLA
cdef long host_runs()                                                   # operations run so far
cdef void forget_states() noexcept
