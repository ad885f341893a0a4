# The core algebra: primitives are bound to the current trace; traces and jaxprs are what transformations are made of.
from cpython.ref cimport PyObject
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.array cimport Array

cdef enum PrimitiveKind:
    GENERAL
    ELEMENTWISE
    COMPARE

cdef class Primitive:
    cdef readonly str name
    cdef public bint multiple_results
    cdef readonly int kind
    cdef int accepts                     # bit set of dtype kinds, for the two elementwise kinds
    cdef public bint linear
    cdef public bint differentiable
    cdef public bint batch_needs_axis
    cdef public object abstract
    cdef public object impl
    cdef public object jvp
    cdef public tuple jvps
    cdef public object linearize
    cdef public object transpose
    cdef public object batch
    cdef public object lower
    cdef public object effects           # None, or (params) -> frozenset of effects
    cdef object effectful_abstract       # None, or (avals, params) -> (avals, effects)
    cdef readonly bint open              # a user's, whose rules come one by one
    # Told to authors of transformations; nothing here depends on them.
    cdef public bint ref_primitive       # makes or ends references
    cdef public bint ref_allocating      # makes references
    cdef public bint skip_canonicalization    # its operands are those of functions, converted when these were traced
    cdef public bint host                # a kernel of host.pyx, known by the primitive's name, may run it eagerly
    cdef object host_last                # host's plan of the last eager call
    cdef public dict host_plans
    cdef dict abstract_cache
    cdef tuple abstract_last             # of the last evaluation: avals, names and values of the parameters, result
    cdef tuple param_names
    cdef public dict eager_cache
    cdef object eager_last               # dispatch's memory of the last eager call
    cdef public dict lower_cache
    cdef object __weakref__

cdef class Trace:
    cdef readonly Trace parent           # None: eager evaluation
    cdef readonly bint alive
    cdef object __weakref__
    cdef object process(self, Primitive primitive, tuple args, dict params)

cdef class CompileTimeTrace(Trace):
    pass

cdef class Tracer(Array):
    cdef public Trace _trace

cdef class ForbiddenTracer(Tracer):
    cdef object error                    # makes the exception

cdef class Var:
    cdef readonly ShapedArray aval

cdef class Literal:
    cdef readonly object val             # a rank-0 concrete Array
    cdef readonly ShapedArray aval

cdef class Eqn:
    cdef readonly Primitive primitive
    cdef readonly list invars            # of Var and Literal
    cdef readonly list outvars           # of Var
    cdef readonly dict params
    cdef void* code                      # the user's code object and instruction, see source.pxd
    cdef int lasti
    cdef readonly object name_stack

cdef class NamedAxisEffect:
    cdef readonly object name

cdef class Jaxpr:
    cdef readonly list constvars
    cdef readonly list invars
    cdef readonly list eqns
    cdef readonly list outvars
    cdef readonly object effects
    cdef public object debug_info
    cdef public dict derived             # transformed versions of this jaxpr, by transformation
    cdef object __weakref__

cdef class ClosedJaxpr:
    cdef readonly Jaxpr jaxpr
    cdef readonly list consts
    cdef public dict derived
    cdef public bint lasting             # one of a bounded number that are kept: caches may hold it
    cdef object __weakref__

cdef class Zero:
    cdef readonly ShapedArray aval

cdef class UndefinedPrimal:
    cdef readonly ShapedArray aval

ctypedef object (*Evaluator)(Primitive primitive, tuple args, dict params)

cdef void install_eager(Evaluator function) noexcept     # what evaluates primitives on concrete arrays; by dispatch
cdef Trace current_trace()                                            # None: eager
cdef PyObject* swap_trace(Trace trace) noexcept                       # returns the previous one, borrowed
cdef void restore_trace(PyObject* previous) noexcept
cdef object bind(Primitive primitive, tuple args, dict params)        # args are Arrays
cdef object bind_on(Trace trace, Primitive primitive, tuple args, dict params)
cdef object abstract_eval(Primitive primitive, tuple args, dict params)   # args: Arrays or ShapedArrays
cdef bint same_params(dict params, tuple names, tuple values) except -1
cdef bint holds_jaxpr(dict params)
cdef object params_key(Primitive primitive, dict params)              # hashable, or None
cdef dict NO_PARAMS
cdef ShapedArray elementwise_aval(Primitive primitive, tuple args, bint compare)
cdef int check_tracer(Tracer tracer) except -1
cpdef ForbiddenTracer forbidden(ShapedArray aval, error)
cdef int report_leaks(Trace trace) except -1
cdef void settle(Eqn eqn) noexcept                                    # it will not change any more
cdef void copy_source(Eqn source, Eqn target) noexcept
cdef list eval_eqns(list eqns, dict env, list outvars)
cpdef list eval_jaxpr(Jaxpr jaxpr, consts, args)
cdef ShapedArray tangent_aval(ShapedArray aval)
