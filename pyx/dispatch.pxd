# How a call runs: from arguments to a compiled program and back, with nothing in between but one table lookup.
from cpython.object cimport PyObject

from libcpp.vector cimport vector

from cyxla._engine.core cimport ClosedJaxpr
from cyxla._engine.native cimport NativeProgram
from cyxla._engine.pytree cimport TreeDef
from cyxla._engine.vectorcall cimport vectorcallfunc

cdef class Tally:
    cdef public long hits

cdef class Executable:
    cdef object execute          # the runtime's two steps of a call
    cdef object consume
    cdef list handlers
    cdef object target           # what it takes to put arrays on the device
    cdef readonly object loaded
    cdef readonly list out_avals
    cdef readonly object device
    cdef bint committed
    cdef list constants          # buffers passed before the arguments
    cdef tuple kept              # indices of the arguments the program takes; None: all
    cdef vector[Py_ssize_t] taken     # the same, all of them spelled out, for a native program
    cdef tuple donated           # indices of arguments whose buffers the program may reuse
    cdef readonly str execution_path     # 'native', or 'pjrt: ' and the reason
    cdef NativeProgram native    # the program for this process; None: it runs through the runtime
    cdef list constant_arrays    # the constants as it takes them
    cdef public Tally tally      # of the calls that found it, where it is not a jitted function's
    cdef list run(self, list arrays)
    cdef list run_pjrt(self, PyObject** arguments, Py_ssize_t n_arguments)
    cdef object buffer_of(self, object argument)
    cdef list run_native(self, PyObject** arrays, Py_ssize_t n_arrays)
    cdef bint gather(self, PyObject** arrays, void** buffers) except -1
    cdef int reuse_donated(self, PyObject** arrays, void** buffers, PyObject** results) except -1
    cdef int make_results(self, void** buffers, PyObject** results) except -1

cdef class EagerCall:
    cdef tuple avals
    cdef tuple names        # of the parameters
    cdef tuple values
    cdef long epoch
    cdef long generation
    cdef Executable executable

cdef class Entry:
    cdef readonly ClosedJaxpr closed
    cdef readonly TreeDef out_tree
    cdef readonly object name
    cdef public Executable executable
    cdef public object lifted    # the jaxpr with its constants as leading arguments, and those constants
    cdef public Tally tally          # of the calls that found it
    cdef public object record        # what it cost, and why it was needed; None: not known
    cdef public object donated       # indices of the flat arguments that are donated
    cdef public object references    # None, or what calls the program of a function that takes or reads references
    cdef TreeDef in_tree             # the signature, where it has no committed arrays: what a call like the last one is
    cdef tuple avals                 # recognized by
    cdef long epoch
    cdef long generation             # of the caches
    cdef bint plain                  # each argument is positional and a leaf
    cdef bint single                 # the result is one array, in no container
    cdef tuple static                # None: no argument can be static
    cdef tuple static_numbers        # positions of static arguments, ascending
    cdef dict static_names           # names of the others: where in static_values they are
    cdef tuple static_values         # (type, hash, value) of each
    cdef int remember_static(self, tuple static) except -1

cdef class JitFunction:
    cdef vectorcallfunc vectorcall
    cdef public object __wrapped__
    cdef readonly object spec
    cdef bint simple             # no static arguments
    cdef readonly dict entries
    cdef Entry last                  # of the most recent call
    cdef dict __dict__
    cdef object __weakref__
