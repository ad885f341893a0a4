# cython: language_level=3
"""Eager operations that run without XLA: which primitives, with which kernel of csrc/host, on which arrays.

Only where the result is exactly defined, so that it has the bits that XLA:CPU would have given, and up to `LIMIT`
bytes, above which XLA's threads win. What is not known here is left to XLA, silently: a type, a parameter, a device.
"""

import numpy as np

cimport cython
from cpython.dict cimport PyDict_GetItem, PyDict_Next, PyDict_Size
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.object cimport Py_EQ, PyObject, PyObject_RichCompareBool
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE

from cyxla._engine.array cimport Array, ArrayImpl, from_memory, host_pointer, scalar_literal, to_array
from cyxla._engine.aval cimport ShapedArray, shaped_array
from cyxla._engine.config cimport ThreadFlags, thread_flags
from cyxla._engine.core cimport Primitive, abstract_eval, current_trace, params_key
from cyxla._engine.dtypes cimport (
    BFLOAT16, BOOL, COMPLEX64, COMPLEX128, FLOAT16, FLOAT32, FLOAT64, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32,
    UINT64, canonicalize_code, code_dtype, info,
)
from cyxla._engine.native cimport HostMemory, new_memory

cdef extern from *:
    """
    static inline cyxla::host::DType as_dtype(int number) { return static_cast<cyxla::host::DType>(number); }
    """
    DType as_dtype(int) noexcept
    PyObject* PyTuple_GET_ITEM(tuple, Py_ssize_t) noexcept

# Bytes of operands and results together, up to which an operation runs here.
cdef Py_ssize_t LIMIT = 1 << 18
DEF MAX_ARRAYS = 16
DEF MAX_PLANS = 1024

# The numbers that csrc/host/dtypes.h has for dtype codes; -1 for those without kernels.
cdef int numbers[64]
cdef list DTYPES = [BOOL, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, FLOAT16, BFLOAT16, FLOAT32, FLOAT64,
                    COMPLEX64, COMPLEX128]
for _code in range(64):
    numbers[<int> _code] = DTYPES.index(_code) if _code in DTYPES else -1

cdef long n_runs = 0


cdef long host_runs():
    return n_runs


# -- whether, and for which device

cdef object find_state = None        # () -> None where operations are left to XLA, else a tuple of the results' device
cdef dict states = {}                # by epoch of the configuration
cdef long state_epoch = -1
cdef bint state_on = False
cdef object state_device = None      # of results of uncommitted arrays; None: the default one, whichever that will be
cdef PyObject* known_cpu = NULL      # the last device found to be a CPU, borrowed from `cpus`
cdef list cpus = []


def install_state(function):
    """`function()` says where results are: None if operations are left to XLA, else a tuple of their device or None."""
    global find_state
    find_state = function
    forget_states()


def forget():
    """To be called when devices have changed."""
    forget_states()


cdef void forget_states() noexcept:
    global state_epoch, known_cpu
    states.clear()
    state_epoch = -1
    known_cpu = NULL


cdef bint enabled() except -1:
    cdef ThreadFlags* flags = thread_flags()
    if flags.epoch != state_epoch:
        find_epoch(flags.epoch)
    return state_on and not flags.debug_nans and not flags.debug_infs and not flags.no_execution


cdef int find_epoch(long epoch) except -1:
    global state_epoch, state_on, state_device
    state = states.get(epoch, states)
    if state is states:
        state = states[epoch] = find_state() if find_state is not None and supported() else None
    state_on = state is not None
    state_device = (<tuple> state)[0] if state_on else None
    state_epoch = epoch
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

    cdef list run(self, tuple args):
        """The results; None where the operands are not on one CPU."""
        global n_runs
        cdef const void* operands[MAX_ARRAYS]
        cdef void* memories[MAX_ARRAYS]
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(args)
        cdef ArrayImpl array
        cdef HostMemory memory
        cdef ShapedArray aval
        cdef object device = state_device
        cdef bint committed = False
        cdef list results
        for i in range(n):
            array = <ArrayImpl> PyTuple_GET_ITEM(args, i)
            if array.committed_:
                if committed and array.device_ is not device or not is_cpu(array.device_):
                    return None
                committed = True
                device = array.device_
            operands[i] = host_pointer(array)
        n = PyTuple_GET_SIZE(self.outs)
        results = PyList_New(n)
        for i in range(n):
            aval = <ShapedArray> PyTuple_GET_ITEM(self.outs, i)
            memory = new_memory(aval.size * info[aval.code].itemsize)
            memories[i] = memory.data
            array = from_memory(memory, aval, device, committed)
            Py_INCREF(array)
            PyList_SET_ITEM(results, i, array)
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
        cdef object device = state_device
        cdef bint committed = False
        if x.committed_:
            if not is_cpu(x.device_):
                return None
            committed = True
            device = x.device_
        operands[0] = host_pointer(x)
        if y is not None:
            if y.committed_:
                if committed and y.device_ is not device or not is_cpu(y.device_):
                    return None
                committed = True
                device = y.device_
            operands[1] = host_pointer(y)
        memory = new_memory(aval.size * info[aval.code].itemsize)
        data = memory.data
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


cdef bint is_plain(tuple avals) except -1:
    """Whether all arrays have kernels, and are few and small enough."""
    cdef ShapedArray aval
    cdef Py_ssize_t total = 0
    if len(avals) > MAX_ARRAYS:
        return False
    for item in avals:
        aval = <ShapedArray> item
        if numbers[aval.code] < 0 or aval.size > LIMIT:
            return False
        total += aval.size * info[aval.code].itemsize
    return total <= LIMIT


cdef Plan make_plan(str name, tuple avals, tuple outs, ints):
    """The plan of a kernel; `ints` are its parameters, sequences of integers."""
    cdef Plan self = Plan.__new__(Plan)
    cdef Request request
    cdef vector[int64_t] values
    cdef string kernel
    self.avals = avals
    self.outs = outs
    if is_plain(avals + outs):
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
    if outs and is_plain(avals + outs):
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
    if primitive.host_plans is None:
        primitive.host_plans = {}
    try:
        found = <Plan> primitive.host_plans.get(key)
    except TypeError:
        # Some parameter has no hash.
        return None
    if found is None:
        found = plan_primitive(primitive, args, params)
        if params:
            found.params = tuple([part for item in params.items() for part in item])
        if len(primitive.host_plans) >= MAX_PLANS:
            primitive.host_plans.clear()
        primitive.host_plans[key] = found
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


# -- from the parameters of a primitive to those of a kernel: (kernel, sequences of integers), or None for XLA

cdef list dense(tuple shape):
    """Strides of a dense array, in elements."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= size
    return strides


cdef object product(sizes):
    total = 1
    for size in sizes:
        total *= size
    return total


def _copy(avals, outs, **params):
    return "copy", ()


def _broadcast_in_dim(avals, outs, shape, broadcast_dimensions, sharding=None):
    strides = [0] * len(shape)
    for axis, size, stride in zip(broadcast_dimensions, avals[0].shape, dense(avals[0].shape)):
        strides[axis] = 0 if size == 1 else stride
    return "view", ((0,), shape, strides)


def _transpose(avals, outs, permutation):
    strides = dense(avals[0].shape)
    return "view", ((0,), outs[0].shape, [strides[axis] for axis in permutation])


def _reshape(avals, outs, new_sizes, dimensions, sharding=None):
    if dimensions is None:
        return "copy", ()
    shape = avals[0].shape
    strides = dense(shape)
    return "view", ((0,), [shape[axis] for axis in dimensions], [strides[axis] for axis in dimensions])


def _rev(avals, outs, dimensions):
    shape = avals[0].shape
    strides = dense(shape)
    offset = 0
    for axis in dimensions:
        offset += (shape[axis] - 1) * strides[axis]
        strides[axis] = -strides[axis]
    return "view", ((offset if avals[0].size else 0,), shape, strides)


def _slice(avals, outs, start_indices, limit_indices, strides):
    steps = dense(avals[0].shape)
    offset = sum([start * step for start, step in zip(start_indices, steps)])
    if strides is not None:
        steps = [step * stride for step, stride in zip(steps, strides)]
    return "view", ((offset,), outs[0].shape, steps)


def _tile(avals, outs, reps):
    shape = avals[0].shape
    sizes = []
    strides = []
    for size, count, step in zip(shape, reps, dense(shape)):
        sizes += [count, size]
        strides += [0, step]
    return "view", ((0,), sizes, strides)


def _rows(shape, axis):
    # Where there is nothing to copy, any number of rows will do.
    return product(shape[:axis]) or 1


def _concatenate(avals, outs, dimension):
    return "concatenate", ((_rows(avals[0].shape, dimension),),)


def _stack(avals, outs, axis):
    return "concatenate", ((_rows(avals[0].shape, axis),),)


def _split(avals, outs, axis, sizes=None):
    return "split", ((_rows(avals[0].shape, axis),),)


def _pad(avals, outs, padding_config):
    return "pad", ([low for low, _, _ in padding_config], [high for _, high, _ in padding_config],
                   [interior for _, _, interior in padding_config])


def _dynamic_slice(avals, outs, slice_sizes):
    return "dynamic_slice", ()


def _iota(avals, outs, dtype, shape, dimension, sharding=None):
    return "iota", ((dimension,),)


def _convert(avals, outs, new_dtype, weak_type, sharding=None):
    return "copy" if avals[0].code == outs[0].code else "convert", ()


def _bitcast(avals, outs, new_dtype):
    return "copy", ()


def _round(avals, outs, rounding_method):
    return "round_even" if rounding_method.name == "TO_NEAREST_EVEN" else "round_away", ()


def _integer_pow(avals, outs, y):
    return ("integer_pow", ((y,),)) if -(1 << 31) < y < 1 << 31 else None


def _accurate(name):
    def rule(avals, outs, accuracy=None):
        return (name, ()) if accuracy is None else None

    return rule


def _reduce(name):
    def rule(avals, outs, axes, index_dtype=None, out_sharding=None):
        return name, (axes,)

    return rule


def _gather(avals, outs, dimension_numbers, slice_sizes, indices_are_sorted, unique_indices, mode, fill_value):
    if not avals[0].size:
        return None
    clamps = mode.name in ("CLIP", "PROMISE_IN_BOUNDS")
    fill = b"" if clamps else np.asarray(fill_value if mode.name == "FILL_OR_DROP" else 0, outs[0].dtype).tobytes()
    return "gather", (*dimension_numbers, slice_sizes, (clamps,), fill)


def _scatter(name):
    def rule(avals, outs, dimension_numbers, indices_are_sorted, unique_indices, mode, update_jaxpr, update_consts):
        x, indices, updates = avals
        if not x.size or not updates.size:
            return "copy", ()
        if name == "scatter" and update_jaxpr is not None:
            return None
        window, inserted, _, batching, _ = dimension_numbers
        sizes = iter([updates.shape[axis] for axis in window])
        sizes = [1 if axis in inserted or axis in batching else next(sizes) for axis in range(x.ndim)]
        return name, (*dimension_numbers, sizes, (mode.name == "CLIP",))

    return rule


# Primitives without a row have a kernel of their own name and no parameters.
cdef dict RULES = {
    "argmax": _reduce("argmax"),
    "argmin": _reduce("argmin"),
    "bitcast_convert_type": _bitcast,
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": _concatenate,
    "conj": lambda avals, outs, input_dtype: ("conj", ()),
    "convert_element_type": _convert,
    "copy": _copy,
    "dynamic_slice": _dynamic_slice,
    "empty": lambda avals, outs, **params: ("zeros", ()),
    "gather": _gather,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "pad": _pad,
    "reduce_and": _reduce("reduce_and"),
    "reduce_max": _reduce("reduce_max"),
    "reduce_min": _reduce("reduce_min"),
    "reduce_or": _reduce("reduce_or"),
    "reduce_prod": _reduce("reduce_prod"),
    "reduce_sum": _reduce("reduce_sum"),
    "reduce_xor": _reduce("reduce_xor"),
    "reshape": _reshape,
    "rev": _rev,
    "round": _round,
    "scatter": _scatter("scatter"),
    "scatter-add": _scatter("scatter_add"),
    "scatter-max": _scatter("scatter_max"),
    "scatter-min": _scatter("scatter_min"),
    "scatter-mul": _scatter("scatter_mul"),
    "scatter-sub": _scatter("scatter_sub"),
    "slice": _slice,
    "split": _split,
    "sqrt": _accurate("sqrt"),
    "squeeze": _copy,
    "stack": _stack,
    "stop_gradient": _copy,
    "tile": _tile,
    "transpose": _transpose,
    "unstack": _split,
}
