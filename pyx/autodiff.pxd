# Differentiation: forward mode, linearization in one pass, and the backward pass over a linear program.
from cyxla._engine.array cimport Array
from cyxla._engine.core cimport Primitive, Trace, Tracer, Var

cdef class JVPTracer(Tracer):
    cdef readonly Array primal
    cdef readonly Array tangent

cdef class JVPTrace(Trace):
    cdef Trace rule_trace       # where jvp rules run: the parent, or the linear trace when linearizing
    cdef bint linearizing
    cdef object evaluate(self, Primitive primitive, tuple args, dict params)
    cdef tuple per_operand(self, Primitive primitive, tuple primals, list tangents, dict params)
    cdef object wrap(self, object out, object tangent)
    cdef Array strengthen(self, Array tangent)

cdef class LinearProgram:
    cdef readonly list invars
    cdef readonly list prelude     # equations that compute constants of `eqns` from residuals
    cdef readonly list eqns
    cdef readonly list constvars
    cdef readonly list consts
    cdef readonly list outvars     # None where the tangent is zero
    cdef int discharge(self) except -1
    cdef dict origins              # of the trace that wrote the program, until it is pruned
    cdef object remake(self, Var var, tuple origin, dict atoms)
    cdef object residual(self, object value, dict atoms)
    cdef dict environment(self)

cpdef tuple jvp_flat(object fun, list primals, list tangents)
cpdef tuple linearize_flat(object fun, list primals, list active, bint compact=*)
