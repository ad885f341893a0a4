# Differentiation: forward mode, linearization in one pass, and the backward pass over a linear program.
from cyxla._engine.array cimport Array
from cyxla._engine.core cimport Primitive, Trace, Tracer

cdef class JVPTracer(Tracer):
    cdef readonly Array primal
    cdef readonly Array tangent

cdef class JVPTrace(Trace):
    cdef Trace rule_trace       # where jvp rules run: the parent, or the linear trace when linearizing
    cdef bint linearizing
    cdef tuple per_operand(self, Primitive primitive, tuple primals, list tangents, dict params)
    cdef object wrap(self, object out, object tangent)

cdef class LinearProgram:
    cdef readonly list invars
    cdef readonly list eqns
    cdef readonly list constvars
    cdef readonly list consts
    cdef readonly list outvars     # None where the tangent is zero
    cdef int discharge(self) except -1

cpdef tuple jvp_flat(object fun, list primals, list tangents)
cpdef tuple linearize_flat(object fun, list primals, list active)
