# cython: language_level=3
"""Eager operations that run without XLA: which primitives, with which kernel of csrc/host, on which arrays.

Only where the result is exactly defined, so that it has the bits that XLA:CPU would have given. What is not known here
is left to XLA, silently: a type, a parameter, a device. So are large arrays, and middling ones if the operation is
repeated: their first runs cost less than XLA's compiler, many runs cost more than XLA's program.
"""

import numpy as np

from cyxla._engine.caches import register_tables

cimport cython
from cpython.dict cimport PyDict_Next, PyDict_Size
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.object cimport Py_EQ, PyObject, PyObject_RichCompareBool
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE

from cyxla._engine.array cimport (
    Array, ArrayImpl, array_data, from_memory, is_in_memory, scalar_literal, to_array, to_memory,
)
from cyxla._engine.aval cimport ShapedArray, shaped_array
from cyxla._engine.caches cimport keep
from cyxla._engine.config cimport ThreadFlags, thread_flags
from cyxla._engine.core cimport Primitive, abstract_eval, current_trace, params_key
from cyxla._engine.dtypes cimport (
    BFLOAT16, BOOL, COMPLEX64, COMPLEX128, FLOAT16, FLOAT32, FLOAT64, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32,
    UINT64, canonicalize_code, dtype_code, info, promote,
)
from cyxla._engine.native cimport HostMemory, new_memory
from cyxla._engine.ufunc cimport convert

cdef extern from *:
    """
    static inline cyxla::host::DType as_dtype(int number) { return static_cast<cyxla::host::DType>(number); }
    """
    DType as_dtype(int) noexcept
    PyObject* PyTuple_GET_ITEM(tuple, Py_ssize_t) noexcept

# Bytes of operands and results together: up to SMALL an operation always runs here, above LIMIT never. In between it
# does until it has touched BUDGET bytes, in about the 10 ms that XLA takes to compile it.
cdef Py_ssize_t SMALL = 1 << 17
cdef Py_ssize_t LIMIT = 1 << 22
cdef Py_ssize_t BUDGET = 1 << 25
DEF MAX_ARRAYS = 16
# Plans of one primitive, and of each way of indexing.
PLAN_BOUND = 1024
INDEX_BOUND = 4096

# The numbers that csrc/host/dtypes.h has for dtype codes; -1 for those without kernels.
cdef int numbers[64]
cdef list DTYPES = [BOOL, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, FLOAT16, BFLOAT16, FLOAT32, FLOAT64,
                    COMPLEX64, COMPLEX128]
for _code in range(64):
    numbers[<int> _code] = DTYPES.index(_code) if _code in DTYPES else -1

cdef long n_runs = 0


cdef long host_runs():
    return n_runs


def limits(small=None, large=None):
    """The bytes up to which operations always run here, and those up to which they ever do; sets them if given."""
    global SMALL, LIMIT
    previous = SMALL, LIMIT
    SMALL = SMALL if small is None else small
    LIMIT = LIMIT if large is None else large
    return previous


# -- whether, and for which device

cdef object find_state = None        # () -> None where operations are left to XLA, else (device, dtypes left to XLA)
cdef dict states = {}                # by epoch of the configuration
cdef long state_epoch = -1
cdef bint state_on = False
cdef object state_device = None      # of results of uncommitted arrays; None: the default one, whichever that will be
cdef PyObject* known_cpu = NULL      # the last device found to be a CPU, borrowed from `cpus`
cdef list cpus = []

# Plans of indexing.pxi, by signature.
cdef dict reads = {}                 # (aval, key of the index) -> Plan
cdef dict writes = {}                # (aval, aval of the values, key of the index) -> Plan
cdef dict fills = {}                 # (aval, value) -> Plan


register_tables("host plans of indexing", INDEX_BOUND, lambda: [reads, writes, fills])


def install_state(function):
    """`function()` is None where operations are left to XLA, else (device of results or None, dtypes left to XLA)."""
    global find_state
    find_state = function
    forget_states()


def forget():
    """To be called when devices have changed."""
    forget_states()


cdef void forget_states() noexcept:
    global state_epoch, known_cpu
    states.clear()
    reads.clear()
    writes.clear()
    fills.clear()
    state_epoch = -1
    known_cpu = NULL


cdef bint enabled() except -1:
    cdef ThreadFlags* flags = thread_flags()
    if flags.epoch != state_epoch:
        find_epoch(flags.epoch)
    return state_on and not flags.debug_nans and not flags.debug_infs and not flags.no_execution


cdef object device_of_results():
    # Another thread, with other options, may have run since `enabled` was asked.
    if thread_flags().epoch != state_epoch:
        find_epoch(thread_flags().epoch)
    return state_device


cdef int find_epoch(long epoch) except -1:
    global state_epoch, state_on, state_device
    state = states.get(epoch, states)
    if state is states:
        state = states[epoch] = find_state() if find_state is not None and supported() else None
    device = None
    if state is not None:
        device, excluded = state
        for name in excluded:
            numbers[dtype_code(name)] = -1
    # All at once: looking the dtypes up may let other threads run.
    state_on = state is not None
    state_epoch = epoch
    state_device = device
    return 0


cdef bint is_cpu(object device) except -1:
    global known_cpu
    if <PyObject*> device == known_cpu:
        return True
    if device.platform != "cpu":
        return False
    cpus[:] = [device]
    known_cpu = <PyObject*> device
    return True


# -- plans

@cython.final
cdef class Plan:
    """An operation for operands of certain avals, ready to run; or the knowledge that there is none."""

    def __cinit__(self):
        self.operation = NULL

    def __dealloc__(self):
        del self.operation

    cdef bint pay(self):
        """Whether the budget allows one more run on arrays that are not small."""
        self.budget -= self.price
        return self.budget >= 0

    cdef list run(self, tuple args):
        """The results; None where this is left to XLA: the operands are not on one CPU, or the budget is spent."""
        global n_runs
        cdef const void* operands[MAX_ARRAYS]
        cdef void* memories[MAX_ARRAYS]
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(args), n_outs
        cdef ArrayImpl array
        cdef HostMemory memory
        cdef ShapedArray aval
        cdef object device = device_of_results()
        cdef bint committed = False, found = False
        cdef list results
        if self.price and not self.pay():
            return None
        for i in range(n):
            array = <ArrayImpl> PyTuple_GET_ITEM(args, i)
            if array.committed_:
                if committed and array.device_ is not device or not is_cpu(array.device_):
                    return None
                committed = True
                device = array.device_
        n_outs = PyTuple_GET_SIZE(self.outs)
        results = PyList_New(n_outs)
        for i in range(n_outs):
            aval = <ShapedArray> PyTuple_GET_ITEM(self.outs, i)
            memory = new_memory(aval.size * info[aval.code].itemsize)
            memories[i] = memory.data
            array = from_memory(memory, aval, device, committed)
            Py_INCREF(array)
            PyList_SET_ITEM(results, i, array)
        # Nothing between this and the end runs Python code, which might delete an operand.
        while not found:
            found = True
            for i in range(n):
                array = <ArrayImpl> PyTuple_GET_ITEM(args, i)
                if is_in_memory(array):
                    operands[i] = array_data(array)
                else:
                    to_memory(array)
                    found = False
        self.operation.run(operands, memories)
        n_runs += 1
        return results

    cdef ArrayImpl run_one(self, ArrayImpl x, ArrayImpl y):
        """The result of an operation with one result and one or two (y is not None) operands, else as `run`."""
        global n_runs
        cdef const void* operands[2]
        cdef void* data
        cdef HostMemory memory
        cdef ShapedArray aval = <ShapedArray> PyTuple_GET_ITEM(self.outs, 0)
        cdef object device = device_of_results()
        cdef bint committed = False
        if self.price and not self.pay():
            return None
        if x.committed_:
            if not is_cpu(x.device_):
                return None
            committed = True
            device = x.device_
        if y is not None:
            if y.committed_:
                if committed and y.device_ is not device or not is_cpu(y.device_):
                    return None
                committed = True
                device = y.device_
        memory = new_memory(aval.size * info[aval.code].itemsize)
        data = memory.data
        # To make memory may run Python code, which might delete the other operand.
        while not is_in_memory(x) or (y is not None and not is_in_memory(y)):
            to_memory(y if is_in_memory(x) else x)
        operands[0] = array_data(x)
        if y is not None:
            operands[1] = array_data(y)
        self.operation.run(operands, &data)
        n_runs += 1
        return from_memory(memory, aval, device, committed)


cdef int add_array(vector[CArray]& arrays, ShapedArray aval) except -1:
    cdef CArray array
    array.dtype = as_dtype(numbers[aval.code])
    for size in aval.shape:
        array.shape.push_back(<int64_t> size)
    arrays.push_back(array)
    return 0


cdef Py_ssize_t bytes_of(tuple avals) except -2:
    """The bytes of all arrays; -1 where they are too many or too large, or of dtypes without kernels."""
    cdef ShapedArray aval
    cdef Py_ssize_t total = 0
    if len(avals) > MAX_ARRAYS:
        return -1
    for item in avals:
        aval = <ShapedArray> item
        if numbers[aval.code] < 0 or aval.size > LIMIT:
            return -1
        total += aval.size * info[aval.code].itemsize
    return total if total <= LIMIT else -1


cdef Plan make_plan(str name, tuple avals, tuple outs, ints):
    """The plan of a kernel; `ints` are its parameters, sequences of integers."""
    cdef Plan self = Plan.__new__(Plan)
    cdef Request request
    cdef vector[int64_t] values
    cdef string kernel
    self.avals = avals
    self.outs = outs
    self.price = bytes_of(avals + outs)
    if self.price >= 0:
        if self.price <= SMALL:
            self.price = 0
        self.budget = BUDGET
        for aval in avals:
            add_array(request.operands, <ShapedArray> aval)
        for aval in outs:
            add_array(request.results, <ShapedArray> aval)
        for row in ints:
            values.clear()
            for value in row:
                values.push_back(<int64_t> value)
            request.ints.push_back(values)
        kernel = name.encode()
        self.operation = plan(kernel, request)
    return self


cdef Plan plan_primitive(Primitive primitive, tuple args, dict params):
    cdef tuple avals = tuple([(<Array> x).aval for x in args])
    cdef Plan made = None
    out = abstract_eval(primitive, args, params)
    cdef tuple outs = tuple(out) if primitive.multiple_results else (out,)
    # Not before the plan is known to be a small one: a rule may look at every element of a parameter.
    if outs and bytes_of(avals + outs) >= 0:
        rule = RULES.get(primitive.name)
        if rule is not None:
            found = rule(avals, outs, **params)
        else:
            found = None if params else (primitive.name, ())
        if found is not None:
            made = make_plan(found[0], avals, outs, found[1])
    if made is None:
        made = Plan.__new__(Plan)
        made.avals = avals
    return made


cdef inline bint is_same(PyObject* x, PyObject* y) except -1:
    """Whether two values of a parameter are certainly equal; by `==` only where that is quick and exact."""
    if x == y:
        return True
    if type(<object> x) is not type(<object> y):
        return False
    if type(<object> x) is tuple or type(<object> x) is int:
        return PyObject_RichCompareBool(<object> x, <object> y, Py_EQ)
    return False


cdef bint is_repeated(Plan last, tuple args, dict params) except -1:
    """Whether a call has the signature of a plan; it may also have it where this says no."""
    cdef Py_ssize_t i, n = PyTuple_GET_SIZE(args), position = 0
    cdef PyObject* name
    cdef PyObject* value
    if n != PyTuple_GET_SIZE(last.avals):
        return False
    for i in range(n):
        if <PyObject*> (<Array> PyTuple_GET_ITEM(args, i)).aval != PyTuple_GET_ITEM(last.avals, i):
            return False
    if last.params is None:
        return not PyDict_Size(params)
    if 2 * PyDict_Size(params) != PyTuple_GET_SIZE(last.params):
        return False
    i = 0
    while PyDict_Next(params, &position, &name, &value):
        if name != PyTuple_GET_ITEM(last.params, i) or not is_same(PyTuple_GET_ITEM(last.params, i + 1), value):
            return False
        i += 2
    return True


cdef Plan find_plan(Primitive primitive, tuple args, dict params):
    cdef Plan found
    key = (tuple([(<Array> x).aval for x in args]), params_key(primitive, params))
    try:
        found = <Plan> primitive.host_plans.get(key)
    except TypeError:
        # Some parameter has no hash.
        return None
    if found is None:
        found = plan_primitive(primitive, args, params)
        if params:
            found.params = tuple([part for item in params.items() for part in item])
        keep(primitive.host_plans, key, found, PLAN_BOUND, "plans of host kernels")
    return found


cdef object run_host(Primitive primitive, tuple args, dict params):
    cdef Plan plan
    cdef Py_ssize_t n = PyTuple_GET_SIZE(args)
    cdef list results
    if not enabled():
        return None
    plan = <Plan> primitive.host_last
    if plan is None or not is_repeated(plan, args, params):
        plan = find_plan(primitive, args, params)
        if plan is None:
            return None
        primitive.host_last = plan
    if plan.operation is NULL:
        return None
    if (n == 1 or n == 2) and not primitive.multiple_results:
        return plan.run_one(<ArrayImpl> args[0], <ArrayImpl> args[1] if n == 2 else None)
    results = plan.run(args)
    return results if results is None or primitive.multiple_results else results[0]


include "host/rules.pxi"
include "host/indexing.pxi"
