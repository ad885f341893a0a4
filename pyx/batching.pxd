# Vectorization: every value may carry one extra axis, and each primitive's rule says what becomes of it.
from cyxla._engine.array cimport Array
from cyxla._engine.core cimport Primitive, Trace, Tracer

cdef class BatchTracer(Tracer):
    cdef readonly Array value
    cdef readonly Py_ssize_t batch_dim

cdef class Axis:
    cdef readonly Py_ssize_t size
    cdef readonly object name
    cdef readonly object spmd_name
    cdef object effect                   # of equations that refer to it

cdef class BatchTrace(Trace):
    cdef readonly Axis axis
    cdef object wrap(self, object value, object dim)
    cdef BatchTracer wrap_like(self, Array value, BatchTracer like)

cpdef tuple batch_flat(object fun, Axis axis, list values, list dims)
