# From jaxprs to StableHLO text.
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.core cimport ClosedJaxpr, Eqn, Jaxpr

cdef class LoweringContext:
    cdef list lines              # of the function or region being written
    cdef readonly list functions          # finished functions, as text
    cdef readonly dict called             # id of a ClosedJaxpr -> (function name, the ClosedJaxpr)
    cdef dict values             # text of an operation -> SSA name, within the current function or region
    cdef set function_names
    cdef Py_ssize_t counter
    cdef bint public             # whether the function being written is called by the user
    cdef public tuple avals_in     # a lowering rule may replace both before it calls another rule
    cdef public tuple avals_out
    cdef object _platform
    cdef bint platform_matters   # whether some rule has asked for the platform
    cdef public dict overrides   # primitive -> the rule in place of its own
    cdef public list callbacks  # the Python functions that the program calls back, in the order of their indices
    cdef public object token     # SSA name of the token that the next ordered effect takes; None in a program without
    cdef str scope               # the names of the equations around the current one, or None for text without locations
    cdef str name_stack          # of the equation around the current one
    cdef list lower_eqns(self, list eqns, dict env)
    cdef list lower_located(self, Eqn eqn, list names)
    cdef bint is_argument(self, str name)
    cdef str integer_division(self, str operation, list names, ShapedArray out, object divisor)
    cdef list lower_eqn(self, Eqn eqn, list names)
    cdef str new_name(self)
    cdef str shared(self, str text)
    cdef str broadcast_scalar(self, str name, object aval, object target)
