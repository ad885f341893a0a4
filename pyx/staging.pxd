# Staging: runs a function on tracers and writes down what it does as a jaxpr.
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.core cimport Eqn, Jaxpr, Primitive, Trace, Tracer, Var

cdef class StagingTracer(Tracer):
    cdef Var var             # not visible from Python: arrays have a method of that name

cdef class StagingTrace(Trace):
    cdef list invars
    cdef list eqns
    cdef list constvars
    cdef list consts
    cdef dict const_vars                 # id of a constant -> its Var; `consts` keeps the constant alive
    cdef readonly object debug_info
    cdef StagingTracer argument(self, ShapedArray aval)
    cdef object atom(self, object value)
    cdef object stage(self, Primitive primitive, tuple args, dict params)
    cdef tuple finish(self, list outs)
    cdef void close(self) noexcept

cdef class LinearTrace(StagingTrace):
    cdef dict origins                    # None, or: id of an array -> (array, primitive, operands, params, is free)
    cdef int note(self, Primitive primitive, tuple args, dict params, object out) except -1
    cdef bint is_free(self, object value)
    cdef tuple small_result(self, Primitive primitive, tuple args, dict params)

cdef StagingTrace new_staging_trace(object debug_info)
cdef LinearTrace new_linear_trace(Trace parent, bint compact)
cpdef tuple trace_flat(object fun, avals, debug_info=*)
cdef list live_equations(list eqns, set live)
