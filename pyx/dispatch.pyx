# cython: language_level=3
import functools
import types

import numpy as np

cimport cython
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.long cimport PyLong_AsLongLong
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.object cimport PyObject, PyObject_Hash, PyObject_RichCompareBool, PyTypeObject, Py_EQ
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from cyxla._engine.array cimport (
    Array, ArrayImpl, MutableArray, Value, aval_of, array_data, copy_of, copy_to_device, device_buffer, from_buffer,
    from_memory, held_value, is_in_memory, own, to_array, to_memory,
)
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.caches cimport keep
from cyxla._engine.boundary cimport hide_internal_frames
from cyxla._engine.config cimport ThreadFlags, config_epoch, thread_flags, trace_epoch
from cyxla._engine.core cimport (
    ClosedJaxpr, Eqn, Jaxpr, Primitive, Tracer, Var, abstract_eval, current_trace, holds_jaxpr, install_eager,
    params_key, same_params,
)
from cyxla._engine.dtypes cimport FLOAT0, FLOAT32, FLOAT64, INT32, INT64, canonicalize_code, info, scalar_code
from cyxla._engine.host cimport forget_states, host_runs, run_host
from cyxla._engine import dtypes
from cyxla._engine.array import is_arraylike
from cyxla._engine.native cimport Donation, HostMemory, NativeProgram, new_memory
from cyxla._engine.ndarray cimport Ndarray, is_contiguous, layout_is_known
from cyxla._engine.pytree cimport (
    Flat, TreeDef, cache_key, flat_call, flat_clear, flat_init, flat_treedef, flatten_args, unflatten,
    unflatten_array,
)
from cyxla._engine.vectorcall cimport PyVectorcall_NARGS, enable_vectorcall, vectorcallfunc

cdef extern from *:
    PyTypeObject* Py_TYPE(object)
    Py_ssize_t refcount "Py_REFCNT"(PyObject*)
    PyObject* PyTuple_GET_ITEM(tuple, Py_ssize_t)
    PyObject** PySequence_Fast_ITEMS(list)
    void xdecref "Py_XDECREF"(PyObject*) noexcept
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    PyTypeObject* FLOAT "&PyFloat_Type"
    PyTypeObject* INT "&PyLong_Type"

cdef enum:
    FEW = 128    # pointers that need no memory but the stack
    FEW_BYTES = 1024    # likewise, of copies of arguments
    ALIGNMENT = 64

# NULL, which is no type's address, where the fields of a NumPy array are not where they are expected.
cdef PyTypeObject* NDARRAY = <PyTypeObject*>np.ndarray if layout_is_known(np) else NULL

cdef object ndarray = np.ndarray
cdef object compile_program = None   # (closed, name, device, **options) -> Executable
cdef object trace_function = None    # (JitFunction, leaves, in_tree, static) -> Entry
cdef Primitive jit_p = None
EAGER_BOUND = 1024           # programs of a primitive
SIGNATURE_BOUND = 4096       # signatures of a function
cdef object check_values = None      # (primitive, params, args, results): raises for a NaN or infinity in results


def install_compiler(function):
    """`function(closed_jaxpr, name, device, **options)` returns an `Executable`."""
    global compile_program
    compile_program = function


def install_jit(Primitive primitive, trace):
    """The primitive that a jitted call is under a trace, and the function that traces a new signature."""
    global jit_p, trace_function
    jit_p = primitive
    trace_function = trace


def install_value_check(function):
    """`function(primitive, params, args, results)` raises where `jax_debug_nans` or `jax_debug_infs` asks for it."""
    global check_values
    check_values = function


def check_new(array):
    """Raises for what these options ask for in an array that was made of a value of the user's."""
    if thread_flags().check_values and isinstance(array, ArrayImpl) and current_trace() is None:
        check_values(None, {}, (), [array])


cdef dict counters = {"compilations": 0, "native": 0, "traces": 0, "trace_s": 0.0, "lower_s": 0.0, "compile_s": 0.0}


def stats():
    """Counts of traces, compilations and operations run on the host; seconds spent tracing, lowering and in XLA."""
    return {**counters, "host": host_runs()}


def count(str name, amount):
    """Adds to one of the counters of `stats()`."""
    counters[name] += amount


@cython.final
cdef class Tally:
    """How many calls found what others had made."""


@cython.final
cdef class Executable:
    """One compiled program on one device."""

    def __init__(self, runner, loaded, out_avals, device, *, bint committed=False, constants=(), kept=None, donated=(),
                 native="not considered"):
        """`native` is a NativeProgram, or the reason why there is none."""
        self.tally = Tally()
        self.execute = runner.execute
        self.consume = runner.consume
        self.handlers = list(runner.handlers)
        self.target = runner.target
        self.loaded = loaded
        self.out_avals = list(out_avals)
        self.device = device
        self.committed = committed
        self.constants = [device_buffer(<ArrayImpl?>array) for array in constants]
        self.kept = None if kept is None else tuple(kept)
        self.donated = tuple(donated)
        self.execution_path = "native" if type(native) is NativeProgram else f"pjrt: {native}"
        if type(native) is NativeProgram:
            self.native = native
            self.constant_arrays = list(constants)
            if (<NativeProgram>native).n_outputs != len(self.out_avals):
                raise ValueError("a native program with other results")
            # Without a list of those kept, whatever its constants leave are its arguments.
            n = self.native.n_parameters - len(self.constant_arrays)
            if n < 0 or (kept is not None and len(kept) != n):
                raise ValueError("a native program with other parameters")
            for i in range(n) if kept is None else kept:
                self.taken.push_back(i)

    cdef list run(self, list arrays):
        """Runs the program on concrete arrays."""
        for index in self.donated:
            arrays[index] = own(<Array>arrays[index])
        if self.native is not None:
            return self.run_native(PySequence_Fast_ITEMS(arrays), len(arrays))
        return self.run_pjrt(PySequence_Fast_ITEMS(arrays), len(arrays))

    cdef list run_pjrt(self, PyObject** arguments, Py_ssize_t n_arguments):
        """Runs the program through the runtime, on arrays or (for arguments not donated) what `to_array` takes."""
        cdef Py_ssize_t i, j, first = len(self.constants)
        cdef Py_ssize_t n = n_arguments if self.kept is None else len(self.kept)
        cdef list results, buffers = PyList_New(first + n)
        cdef object buffer
        for i in range(first):
            buffer = self.constants[i]
            Py_INCREF(buffer)
            PyList_SET_ITEM(buffers, i, buffer)
        for i in range(n):
            j = i if self.kept is None else self.kept[i]
            buffer = self.buffer_of(<object>arguments[j])
            Py_INCREF(buffer)
            PyList_SET_ITEM(buffers, first + i, buffer)
        for index in self.donated:
            i = index
            # A view of the buffer on the host would make XLA copy it rather than reuse it.
            (<ArrayImpl>arguments[i]).host_ = None
        results = self.consume(self.execute(buffers), self.handlers, False)
        for i in range(len(results)):
            if (<ShapedArray>self.out_avals[i]).code == FLOAT0:
                results[i] = np.zeros((<ShapedArray>self.out_avals[i]).shape, dtypes.float0)
            else:
                results[i] = from_buffer(results[i], <ShapedArray>self.out_avals[i], self.device, self.committed)
        for index in self.donated:
            i = index
            (<ArrayImpl>arguments[i]).deleted_ = True
        return results

    cdef object buffer_of(self, object argument):
        cdef ShapedArray aval
        cdef object dtype
        if type(argument) is ArrayImpl:
            return buffer_on(self.device, <ArrayImpl>argument)
        if type(argument) is ndarray:
            dtype = argument.dtype
            aval = aval_of(argument)
            if aval.dtype is dtype and aval.code != FLOAT0:
                # Read before the call returns: the caller may write to it later.
                return self.target.put(aval, self.target.sharding, [argument], self.target.devices, True, True,
                                       self.target.only_during_call, True)
        return buffer_on(self.device, <ArrayImpl?>to_array(argument))

    cdef list run_native(self, PyObject** arrays, Py_ssize_t n_arrays):
        """Runs the program on concrete arrays, in this thread and without the runtime."""
        cdef void* few[FEW]
        cdef void** buffers = few
        cdef size_t i
        cdef Py_ssize_t first = self.native.n_parameters, n = self.native.n_outputs
        cdef ArrayImpl array
        cdef list results = PyList_New(n)
        cdef list held = [] if self.native.lengthy else None
        if first + n > FEW:
            buffers = <void**>PyMem_Malloc((first + n) * sizeof(void*))
            if buffers == NULL:
                raise MemoryError()
        try:
            self.make_results(buffers + first, PySequence_Fast_ITEMS(results))
            for i in range(self.taken.size()):
                if self.taken[i] >= n_arrays:
                    raise TypeError(f"the program takes more arrays than {n_arrays}")
            # Nothing between this and the call runs Python code.
            while not self.gather(arrays, buffers):
                pass
            if self.donated:
                self.reuse_donated(arrays, buffers, PySequence_Fast_ITEMS(results))
            if held is not None:
                # Other threads run meanwhile, and may delete an argument.
                for constant in self.constant_arrays:
                    held.append((<ArrayImpl>constant).host_)
                for i in range(self.taken.size()):
                    held.append((<ArrayImpl>arrays[self.taken[i]]).host_)
            self.native.call(buffers)
        finally:
            if buffers != few:
                PyMem_Free(buffers)
        for index in self.donated:
            i = index
            array = <ArrayImpl>arrays[i]
            if array.buffer_ is not None:
                array.buffer_.delete()
            array.buffer_ = None
            array.host_ = None
            array.deleted_ = True
        return results

    cdef bint gather(self, PyObject** arrays, void** buffers) except -1:
        """Where the constants' and the arguments' memory is; False: some was made only now, and all this must be asked
        again.
        """
        cdef bint found = True
        cdef size_t i
        cdef PyObject* argument
        for constant in self.constant_arrays:
            if is_in_memory(<ArrayImpl>constant):
                buffers[0] = array_data(<ArrayImpl>constant)
            else:
                to_memory(<ArrayImpl>constant)
                found = False
            buffers += 1
        for i in range(self.taken.size()):
            argument = arrays[self.taken[i]]
            if is_in_memory(<ArrayImpl>argument):
                buffers[i] = array_data(<ArrayImpl>argument)
            else:
                to_memory(<ArrayImpl>argument)
                found = False
        return found

    cdef int reuse_donated(self, PyObject** arrays, void** buffers, PyObject** results) except -1:
        """Gives the memory of donated arguments to the results made of them, where nobody else refers to it."""
        cdef Donation donation
        cdef Py_ssize_t i, n_constants = len(self.constant_arrays)
        cdef ArrayImpl array
        cdef void* data
        for donation in self.native.program.donations:
            if <Py_ssize_t>donation.source < n_constants:
                continue
            i = self.taken[donation.source - n_constants]
            array = <ArrayImpl>arrays[i]
            data = buffers[donation.source]
            if i not in self.donated or array.buffer_ is not None or type(array.host_) is not HostMemory:
                continue
            if refcount(<PyObject*>array.host_) != 1 or (<HostMemory>array.host_).owner is not None:
                continue
            if (<HostMemory>array.host_).size != <Py_ssize_t>self.native.sizes[donation.target]:
                continue
            # The same array may have been passed twice.
            for i in range(self.native.n_parameters):
                if i != <Py_ssize_t>donation.source and buffers[i] == data:
                    break
            else:
                (<ArrayImpl>results[donation.target - self.native.n_parameters]).host_ = array.host_
                buffers[donation.target] = data
        return 0

    cdef int make_results(self, void** buffers, PyObject** results) except -1:
        """Writes new references to arrays for a native program's results, and where their memory is."""
        cdef Py_ssize_t i
        cdef HostMemory memory
        cdef ArrayImpl array
        for i in range(self.native.n_outputs):
            memory = new_memory(self.native.sizes[self.native.n_parameters + i])
            buffers[i] = memory.data
            array = from_memory(memory, <ShapedArray>self.out_avals[i], self.device, self.committed)
            Py_INCREF(array)
            results[i] = <PyObject*>array
        return 0

    def call(self, arrays):
        return self.run([<ArrayImpl?>to_array(a) for a in arrays])


def call_with_references(Executable executable, list operands, tuple written):
    """Runs a program on arrays and references.

    It returns the new content of the references at the positions `written`, whose old content it may overwrite, and
    then its results. Returns the results.
    """
    cdef list arrays = list(operands), results
    cdef Py_ssize_t i, n = len(written)
    cdef MutableArray ref
    for i in range(len(arrays)):
        if isinstance(arrays[i], MutableArray):
            arrays[i] = held_value(<MutableArray>arrays[i])
    for position in written:
        i = position
        if (<MutableArray>operands[i]).shared_:
            arrays[i] = copy_of(<ArrayImpl>arrays[i])
    results = executable.run(arrays)
    for i in range(n):
        ref = <MutableArray>operands[<Py_ssize_t>written[i]]
        ref.value_ = <ArrayImpl?>results[i]
        ref.shared_ = False
    return results[n:]


cdef inline object buffer_on(object device, ArrayImpl array):
    cdef object buffer = device_buffer(array)
    if array.device_ is device:
        return buffer
    # Not committed, or the program would run where the array is.
    return copy_to_device(buffer, device)


cdef object placement(list arrays):
    """The device that committed arguments force, or None."""
    cdef ArrayImpl array
    cdef object device = None
    for item in arrays:
        array = <ArrayImpl?>item
        if array.committed_:
            if device is None:
                device = array.device_
            elif device is not array.device_:
                raise ValueError(
                    f"arguments of one computation are committed to two devices, {device} and "
                    f"{array.device_}; move them to one device with cyxla.device_put")
    return device


# -- one primitive at a time

cdef long generation = 0


def forget_last_calls():
    """Makes every repeated call look its signature up again; for those who empty the tables."""
    global generation
    generation += 1
    forget_states()


@cython.final
cdef class EagerCall:
    """The signature and program of a primitive's last eager call."""


cdef object eager(Primitive primitive, tuple args, dict params):
    cdef object result
    if primitive.impl is not None:
        result = evaluate_users(primitive, args, params) if primitive.open else primitive.impl(*args, **params)
        if thread_flags().check_values:
            check_values(primitive, params, args, result if primitive.multiple_results else [result])
        return result
    return run_primitive(primitive, args, params)


cdef object evaluate_users(Primitive primitive, tuple args, dict params):
    """The result of a user's implementation, which may give NumPy arrays or numbers, as arrays."""
    result = primitive.impl(*args, **params)
    if primitive.multiple_results:
        return [to_array(x) if is_arraylike(x) else x for x in result]
    return to_array(result) if is_arraylike(result) else result


def apply_primitive(Primitive primitive, *args, **params):
    """Evaluates a primitive by its lowering, compiled by itself, whatever implementation it was given."""
    return run_primitive(primitive, tuple([to_array(a) for a in args]), params)


cdef inline object run_primitive(Primitive primitive, tuple args, dict params):
    cdef Executable executable = None
    cdef EagerCall last
    cdef list arrays
    cdef list results
    cdef object result
    if primitive.host:
        result = run_host(primitive, args, params)
        if result is not None:
            return result
    arrays = list(args)
    if primitive.eager_last is not None:
        last = <EagerCall>primitive.eager_last
        if is_repeated(last, args, params):
            executable = last.executable
            executable.tally.hits += 1
    if executable is None:
        executable = find_executable(primitive, args, params, placement(arrays))
        if thread_flags().check_values:
            results = executable.run(arrays)
            check_values(primitive, params, args, results)
            return results if primitive.multiple_results else results[0]
    results = executable.run(arrays)
    return results if primitive.multiple_results else results[0]


cdef bint is_repeated(EagerCall last, tuple args, dict params) except -1:
    """Whether a call has the signature and parameters of the last one."""
    cdef Py_ssize_t i, n = PyTuple_GET_SIZE(args)
    cdef ArrayImpl array
    if n != PyTuple_GET_SIZE(last.avals) or last.epoch != config_epoch() or last.generation != generation:
        return False
    if thread_flags().check_values:
        return False
    for i in range(n):
        array = <ArrayImpl>PyTuple_GET_ITEM(args, i)
        if <PyObject*>array.aval != PyTuple_GET_ITEM(last.avals, i) or array.committed_:
            return False
    return same_params(params, last.names, last.values)


cdef Executable find_executable(Primitive primitive, tuple args, dict params, object device):
    cdef Executable executable
    cdef EagerCall last
    cdef tuple avals = tuple([(<Array>a).aval for a in args])
    cdef long epoch = config_epoch(), known_generation = generation
    key = (avals, params_key(primitive, params), epoch, device)
    try:
        executable = <Executable>primitive.eager_cache.get(key)
    except TypeError:
        # Some parameter has no hash.
        return compile_primitive(primitive, args, params, device)
    if executable is None:
        executable = compile_primitive(primitive, args, params, device)
        keep(primitive.eager_cache, key, executable, EAGER_BOUND, "eager programs")
    else:
        executable.tally.hits += 1
    if device is None and not holds_jaxpr(params):
        last = EagerCall.__new__(EagerCall)
        last.avals = avals
        last.names = tuple(params)
        last.values = tuple(params.values())
        last.epoch = epoch
        last.generation = known_generation
        last.executable = executable
        primitive.eager_last = last
    return executable


cdef Executable compile_primitive(Primitive primitive, tuple args, dict params, object device):
    cdef list invars = [Var((<Array>a).aval) for a in args]
    out = abstract_eval(primitive, args, params)
    outvars = [Var(aval) for aval in (out if primitive.multiple_results else [out])]
    eqn = Eqn(primitive, invars, outvars, params)
    return compile_program(ClosedJaxpr(Jaxpr([], invars, outvars, [eqn]), []), primitive.name, device, small=True)


install_eager(eager)


# -- jit

@cython.final
cdef class Entry:
    """What is known of one signature of a jitted function."""

    def __init__(self, ClosedJaxpr closed, TreeDef out_tree, name):
        self.tally = Tally()
        self.closed = closed
        self.out_tree = out_tree
        self.single = out_tree.num_leaves == 1 and out_tree.num_nodes == 1
        self.name = name

    cdef int remember_static(self, tuple static) except -1:
        positional, named = static
        self.static = static
        self.static_numbers = tuple([number for number, _, _ in positional])
        self.static_names = {name: len(positional) + i for i, (name, _, _) in enumerate(named)}
        self.static_values = tuple([(kind, hash(value), value) for _, kind, value in positional + named])
        return 0


cdef class JitFunction:
    """A function that is traced and compiled once for each signature of its arguments."""

    def __init__(self, fun, spec, dict entries, bint simple):
        self.vectorcall = <vectorcallfunc>jit_boundary
        self.spec = spec
        self.entries = entries
        self.simple = simple
        functools.update_wrapper(self, fun)
        self.__wrapped__ = fun

    def __call__(self, *args, **kwargs):
        # Replaced by the vectorcall slot; here so that the type shows that it is callable.
        return call(self, args, kwargs)

    def __get__(self, instance, owner):
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self):
        return f"<cyxla.jit of {self.__wrapped__!r}>"

    def _cache_size(self):
        return len(self.entries)

    def clear_cache(self):
        """Forgets every trace and compiled program of the function."""
        self.entries.clear()
        forget_last_calls()

    def entry_for(self, leaves, TreeDef in_tree, static):
        """The entry of a signature given by flat arguments (or their avals), tracing if it is new."""
        return find(self, list(leaves), in_tree, static)

    def trace(self, *args, **kwargs):
        """Traces for these arguments (arrays or `ShapeDtypeStruct`s) without compiling."""
        return self.spec.trace(self, args, kwargs)

    def lower(self, *args, **kwargs):
        """Traces and lowers to StableHLO without compiling."""
        kwargs.pop("lowering_platforms", None)
        return self.spec.trace(self, args, kwargs).lower()

    def eval_shape(self, *args, **kwargs):
        """Shapes and dtypes of the results, without compiling or running."""
        return self.spec.trace(self, args, kwargs).out_info

    def __reduce__(self):
        raise TypeError(f"cannot pickle {self!r}: pickle the function that it wraps and call cyxla.jit on it again")


cdef PyObject* jit_vectorcall(PyObject* callable, PyObject* const* args, size_t nargsf, PyObject* kwnames) except NULL:
    cdef JitFunction self = <JitFunction>callable
    cdef Py_ssize_t i, n = PyVectorcall_NARGS(nargsf)
    cdef Entry entry = self.last
    cdef tuple positional
    cdef dict keywords = None
    cdef Flat flat
    cdef PyObject* quick
    cdef object result = None
    cdef Match found = OTHER
    cdef bint here
    cdef ThreadFlags* flags = thread_flags()
    if entry is not None and entry.executable is not None and not flags.tracing:
        if kwnames == NULL and entry.plain:
            quick = repeat_native(entry, <PyObject**>args, n, flags)
            if quick != NULL:
                entry.tally.hits += 1
                return quick
        flat_init(&flat)
        try:
            if entry.static is None:
                flat_call(&flat, <PyObject**>args, n, kwnames)
                here = True
            else:
                here = flatten_dynamic(entry, &flat, <PyObject**>args, n, kwnames)
            if here and not entry.plain and flat_treedef(&flat) is entry.in_tree:
                quick = repeat_native(entry, flat.leaves, flat.n_leaves, thread_flags())
                if quick != NULL:
                    entry.tally.hits += 1
                    return quick
            if here:
                found = matches(entry, &flat)
            if found != OTHER:
                entry.tally.hits += 1
                result = run_flat(entry, &flat, found == ALL_ARRAYS)
                Py_INCREF(result)
                return <PyObject*>result
        finally:
            flat_clear(&flat)
    positional = tuple([<object>args[i] for i in range(n)])
    if kwnames != NULL:
        keywords = {}
        for name in <tuple><object>kwnames:
            keywords[name] = <object>args[n + len(keywords)]
    result = call(self, positional, keywords)
    Py_INCREF(result)
    return <PyObject*>result


cdef PyObject* jit_boundary(PyObject* callable, PyObject* const* args, size_t nargsf, PyObject* kwnames) noexcept:
    cdef PyObject* result = (<vectorcallfunc><void*>jit_vectorcall)(callable, args, nargsf, kwnames)
    if result == NULL:
        hide_internal_frames()
    return result


cdef enum Match:
    OTHER           # another signature, or one that takes a closer look
    ALL_ARRAYS
    HOST_VALUES     # NumPy arrays or Python scalars among the arguments


cdef Match matches(Entry entry, Flat* flat) except? OTHER:
    """Whether flat arguments have the signature of an entry."""
    cdef Py_ssize_t i
    cdef PyObject* leaf
    cdef PyTypeObject* kind
    cdef tuple avals = entry.avals
    cdef Match found = ALL_ARRAYS
    cdef ThreadFlags* flags = thread_flags()
    if flat.n_leaves != PyTuple_GET_SIZE(avals) or flat_treedef(flat) is not entry.in_tree:
        return OTHER
    if entry.generation != generation or trace_epoch(flags) != entry.epoch or flags.disable_jit or flags.check_values:
        return OTHER
    for i in range(flat.n_leaves):
        leaf = flat.leaves[i]
        kind = Py_TYPE(<object>leaf)
        if kind == <PyTypeObject*>ArrayImpl:
            if <PyObject*>(<ArrayImpl>leaf).aval != PyTuple_GET_ITEM(avals, i) or (<ArrayImpl>leaf).committed_:
                return OTHER
        elif flags.transfer_guard:
            return OTHER
        elif kind == <PyTypeObject*>ndarray or kind == <PyTypeObject*>float or kind == <PyTypeObject*>int:
            try:
                if aval_of(<object>leaf) is not <object>PyTuple_GET_ITEM(avals, i):
                    return OTHER
            except TypeError:
                # Not a dtype for arrays; who calls says which argument it is.
                return OTHER
            found = HOST_VALUES
        else:
            return OTHER
    return found


cdef enum:
    MAX_DYNAMIC = 24


cdef bint flatten_dynamic(Entry entry, Flat* flat, PyObject** args, Py_ssize_t n, PyObject* kwnames) except -1:
    """Flattens the arguments that are not static; False where the static ones are not those of the entry."""
    cdef PyObject* dynamic[MAX_DYNAMIC]
    cdef Py_ssize_t i, n_dynamic = 0, n_named = 0, n_static = 0
    cdef Py_ssize_t n_positional = PyTuple_GET_SIZE(entry.static_numbers)
    cdef tuple names, values = entry.static_values
    cdef list kept
    cdef object known
    if kwnames != NULL:
        n_named = PyTuple_GET_SIZE(<tuple>kwnames)
    if n + n_named > MAX_DYNAMIC:
        return False
    for i in range(n):
        if n_static < n_positional and <Py_ssize_t>entry.static_numbers[n_static] == i:
            if not is_same_static(<object>args[i], <tuple>values[n_static]):
                return False
            n_static += 1
        else:
            dynamic[n_dynamic] = args[i]
            n_dynamic += 1
    if n_static != n_positional:
        return False
    if PyTuple_GET_SIZE(values) == n_positional:
        for i in range(n_named):
            dynamic[n_dynamic + i] = args[n + i]
        flat_call(flat, dynamic, n_dynamic, kwnames)
        return True
    kept = []
    names = <tuple>kwnames if kwnames != NULL else ()
    for i in range(n_named):
        known = entry.static_names.get(names[i])
        if known is None:
            dynamic[n_dynamic + len(kept)] = args[n + i]
            kept.append(names[i])
        elif is_same_static(<object>args[n + i], <tuple>values[known]):
            n_static += 1
        else:
            return False
    if n_static != PyTuple_GET_SIZE(values):
        return False
    names = tuple(kept)
    flat_call(flat, dynamic, n_dynamic, <PyObject*>names if kept else NULL)
    return True


cdef PyObject* repeat_native(Entry entry, PyObject** leaves, Py_ssize_t n, ThreadFlags* flags) except? NULL:
    """A call with the signature of an entry whose program is native: a new reference to its result, or NULL where it
    is no such call.
    """
    cdef Executable executable = entry.executable
    cdef tuple avals = entry.avals
    cdef void* few[FEW]
    cdef void** buffers = few
    cdef void** buffer
    cdef PyObject** results
    cdef PyObject* leaf
    cdef Py_ssize_t i, n_results, size
    cdef size_t j
    cdef bint found = False
    cdef list held = None
    cdef char few_bytes[FEW_BYTES + ALIGNMENT]
    cdef char* copies = aligned(few_bytes)
    cdef char* next_copy
    cdef HostMemory many_copies
    cdef Py_ssize_t copied = 0
    if executable is None or executable.native is None or executable.donated or n != PyTuple_GET_SIZE(avals):
        return NULL
    if entry.generation != generation or trace_epoch(flags) != entry.epoch or flags.disable_jit or flags.check_values:
        return NULL
    for i in range(n):
        leaf = leaves[i]
        if Py_TYPE(<object>leaf) == <PyTypeObject*>ArrayImpl:
            if <PyObject*>(<ArrayImpl>leaf).aval != PyTuple_GET_ITEM(avals, i) or (<ArrayImpl>leaf).committed_:
                return NULL
        elif flags.transfer_guard or not is_like(leaf, <ShapedArray>PyTuple_GET_ITEM(avals, i)):
            return NULL
        elif executable.native.lengthy or not is_aligned(leaf):
            copied += room_of(<ShapedArray>PyTuple_GET_ITEM(avals, i))
    n_results = executable.native.n_outputs
    size = executable.native.n_parameters + 2 * n_results
    if size > FEW:
        buffers = <void**>PyMem_Malloc(size * sizeof(void*))
        if buffers == NULL:
            raise MemoryError()
    results = <PyObject**>(buffers + executable.native.n_parameters + n_results)
    memset(results, 0, n_results * sizeof(PyObject*))
    try:
        if copied > FEW_BYTES:
            many_copies = new_memory(copied)
            copies = <char*>many_copies.data
        executable.make_results(buffers + executable.native.n_parameters, results)
        if executable.native.lengthy:
            held = []
        # As in Executable.gather, for values too: a program reads their memory, or a copy.
        while not found:
            found = True
            buffer = buffers
            next_copy = copies
            for constant in executable.constant_arrays:
                if is_in_memory(<ArrayImpl>constant):
                    buffer[0] = array_data(<ArrayImpl>constant)
                    if executable.native.lengthy:
                        held.append((<ArrayImpl>constant).host_)
                else:
                    to_memory(<ArrayImpl>constant)
                    found = False
                buffer += 1
            for j in range(executable.taken.size()):
                i = executable.taken[j]
                leaf = leaves[i]
                if Py_TYPE(<object>leaf) != <PyTypeObject*>ArrayImpl:
                    # Again: an array may have been changed in place by what has run since.
                    if not is_like(leaf, <ShapedArray>PyTuple_GET_ITEM(avals, i)):
                        return NULL
                    if is_aligned(leaf) and not executable.native.lengthy:
                        buffer[j] = (<Ndarray*>leaf).data
                        continue
                    size = room_of(<ShapedArray>PyTuple_GET_ITEM(avals, i))
                    if size > copies + copied - next_copy:
                        return NULL
                    copy_argument(leaf, <ShapedArray>PyTuple_GET_ITEM(avals, i), next_copy)
                    buffer[j] = next_copy
                    next_copy += size
                elif is_in_memory(<ArrayImpl>leaf):
                    buffer[j] = array_data(<ArrayImpl>leaf)
                    if executable.native.lengthy:
                        # Other threads run meanwhile, and may delete an argument.
                        held.append((<ArrayImpl>leaf).host_)
                else:
                    to_memory(<ArrayImpl>leaf)
                    found = False
        # Nothing since the last look at the arguments has run Python code.
        executable.native.call(buffers)
        if entry.single:
            leaf = results[0]
            results[0] = NULL
            return leaf
        tree = unflatten_array(entry.out_tree, results)
        Py_INCREF(tree)
        return <PyObject*>tree
    finally:
        for i in range(n_results):
            xdecref(results[i])
        if buffers != few:
            PyMem_Free(buffers)


cdef inline char* aligned(char* memory) noexcept:
    return <char*>((<size_t>memory + ALIGNMENT - 1) & ~<size_t>(ALIGNMENT - 1))


cdef inline Py_ssize_t room_of(ShapedArray aval) noexcept:
    """The bytes that a copy of an argument takes, with those to the next one's alignment."""
    return (aval.size * info[aval.code].itemsize + ALIGNMENT - 1) & ~<Py_ssize_t>(ALIGNMENT - 1)


cdef inline bint is_aligned(PyObject* leaf) noexcept:
    """Whether it is a NumPy array that a program can read where it is."""
    return Py_TYPE(<object>leaf) == NDARRAY and <size_t>(<Ndarray*>leaf).data % ALIGNMENT == 0


cdef bint is_like(PyObject* leaf, ShapedArray aval) except -1:
    """Whether a NumPy array or a number is read as an array of this aval, without conversion other than a number's."""
    cdef PyTypeObject* kind = Py_TYPE(<object>leaf)
    cdef Ndarray* array
    cdef Py_ssize_t i
    cdef int overflow = 0
    cdef long long number
    if kind == NDARRAY:
        array = <Ndarray*>leaf
        if array.descr != <PyObject*>aval.dtype or array.nd != aval.ndim or aval.weak_type or not is_contiguous(array):
            return False
        for i in range(aval.ndim):
            if array.dimensions[i] != <Py_ssize_t>(<object>PyTuple_GET_ITEM(aval.shape, i)):
                return False
        return canonicalize_code(aval.code) == aval.code
    if aval.ndim != 0 or not aval.weak_type:
        return False
    if kind == FLOAT:
        return aval.code == scalar_code(<object>leaf)
    if kind == INT and aval.code == scalar_code(<object>leaf):
        number = PyLong_AsLongLongAndOverflow(<object>leaf, &overflow)
        return overflow == 0 and (aval.code == INT64 or (aval.code == INT32 and number == <int32_t>number))
    return False


cdef void copy_argument(PyObject* leaf, ShapedArray aval, char* memory) noexcept:
    """Writes the value of a NumPy array or a number, which `is_like` has accepted for the aval, to memory."""
    if Py_TYPE(<object>leaf) == NDARRAY:
        memcpy(memory, (<Ndarray*>leaf).data, aval.size * info[aval.code].itemsize)
    elif aval.code == FLOAT32:
        (<float*>memory)[0] = <float>PyFloat_AS_DOUBLE(<object>leaf)
    elif aval.code == FLOAT64:
        (<double*>memory)[0] = PyFloat_AS_DOUBLE(<object>leaf)
    elif aval.code == INT32:
        (<int32_t*>memory)[0] = <int32_t>PyLong_AsLongLong(<object>leaf)
    else:
        (<int64_t*>memory)[0] = PyLong_AsLongLong(<object>leaf)


cdef bint is_same_static(object value, tuple known) except -1:
    """Whether a static argument would be found in a table under the one that is known: (type, hash, value)."""
    try:
        return (type(value) is known[0] and PyObject_Hash(value) == <Py_hash_t>known[1]
                and PyObject_RichCompareBool(value, known[2], Py_EQ) == 1)
    except Exception:
        # Said in better words where the table is asked.
        return False


cdef object run_flat(Entry entry, Flat* flat, bint all_arrays):
    cdef Executable executable = entry.executable
    cdef list arrays
    cdef Py_ssize_t i
    if not executable.donated:
        if executable.native is None:
            return unflatten(entry.out_tree, executable.run_pjrt(flat.leaves, flat.n_leaves))
        if all_arrays:
            return unflatten(entry.out_tree, executable.run_native(flat.leaves, flat.n_leaves))
    arrays = [to_array(<object>flat.leaves[i]) for i in range(flat.n_leaves)]
    return unflatten(entry.out_tree, executable.run(arrays))


cdef Entry find(JitFunction self, list leaves, TreeDef in_tree, object static):
    # As they are before tracing: another thread may change the options or empty the caches meanwhile.
    cdef long epoch = trace_epoch(thread_flags()), known_generation = generation
    cdef list key = [cache_key(in_tree), static, epoch]
    cdef Entry entry
    cdef object device = None
    for leaf in leaves:
        if isinstance(leaf, Value):
            key.append((<Value>leaf).aval)
            if type(leaf) is ArrayImpl and (<ArrayImpl>leaf).committed_:
                device = (<ArrayImpl>leaf).device_
        else:
            try:
                key.append(aval_of(leaf))
            except TypeError:
                self.spec.reject(self, in_tree, leaves, leaf, static)
                raise
    if device is not None:
        key.append(device)
    signature = tuple(key)
    entry = <Entry>self.entries.get(signature)
    if entry is None:
        entry = trace_function(self, leaves, in_tree, static)
        for const in entry.closed.consts:
            if isinstance(const, Tracer):
                # It belongs to a trace that is under way; the next call has its own.
                return entry
        keep(self.entries, signature, entry, SIGNATURE_BOUND, "signatures of jitted functions")
        if device is None:
            if static is not None:
                entry.remember_static(static)
            entry.in_tree = in_tree
            entry.avals = signature[3:]
            entry.epoch = epoch
            entry.generation = known_generation
    else:
        entry.tally.hits += 1
    return entry


cdef object call(JitFunction self, tuple args, dict kwargs):
    cdef list leaves = []
    cdef Executable executable
    cdef Entry entry
    cdef TreeDef in_tree
    cdef object static = None
    cdef Py_ssize_t i
    cdef list results
    if thread_flags().disable_jit:
        return self.__wrapped__(*args, **(kwargs or {}))
    if not self.simple:
        args, kwargs, static = self.spec.split(args, kwargs)
    in_tree = flatten_args(args, kwargs, leaves)
    entry = find(self, leaves, in_tree, static)
    for i in range(len(leaves)):
        if not isinstance(leaves[i], Array):
            leaves[i] = to_array(leaves[i])
    if entry.references is not None:
        entry.references.check_distinct(self, entry, leaves, in_tree, static)
        if current_trace() is None:
            return unflatten(entry.out_tree, entry.references.call(self, entry, leaves))
    if current_trace() is not None:
        return unflatten(entry.out_tree, bind_entry(entry, leaves, self.spec))
    if entry.executable is None:
        for leaf in leaves:
            if isinstance(leaf, Tracer):
                # Not current, so it leaked; binding says so.
                return unflatten(entry.out_tree, bind_entry(entry, leaves, self.spec))
        executable = <Executable>self.spec.compile(entry, placement(leaves))
        # Another thread may have been faster; what it compiled may be running.
        if entry.executable is None:
            entry.executable = executable
    if not all_concrete(leaves):
        return unflatten(entry.out_tree, bind_entry(entry, leaves, self.spec))
    if entry.avals is not None:
        # Where no argument is a container, a call need not be flattened to be compared with this one.
        entry.plain = (static is None and not kwargs and len(args) == len(leaves)
                       and all([type(a) in PLAIN for a in args]))
        self.last = entry
    results = entry.executable.run(leaves)
    if thread_flags().check_values:
        check_values(jit_p, {"jaxpr": entry.closed, "name": entry.name}, leaves, results)
    return unflatten(entry.out_tree, results)


cdef frozenset PLAIN = frozenset((ArrayImpl, np.ndarray, int, float))


cdef bint all_concrete(list leaves):
    for leaf in leaves:
        if type(leaf) is not ArrayImpl:
            return False
    return True


cdef list bind_entry(Entry entry, list arrays, object spec):
    """The call as an equation of the current trace."""
    cdef ClosedJaxpr lifted
    if entry.lifted is None:
        jaxpr = entry.closed.jaxpr
        entry.lifted = ClosedJaxpr(
            Jaxpr([], jaxpr.constvars + jaxpr.invars, jaxpr.outvars, jaxpr.eqns, debug_info=jaxpr.debug_info), [])
    lifted = entry.lifted
    args = tuple([to_array(c) for c in entry.closed.consts] + arrays)
    return spec.bind(jit_p, args, lifted, entry.name, len(entry.closed.consts))


cdef JitFunction probe = JitFunction.__new__(JitFunction)
cdef Py_ssize_t vectorcall_offset = <char*>&probe.vectorcall - <char*><PyObject*>probe
enable_vectorcall(<PyTypeObject*>JitFunction, vectorcall_offset, True)
