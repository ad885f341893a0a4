# cython: language_level=3
import functools
import types

import numpy as np

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE

from cyxla._engine.array cimport (
    Array, ArrayImpl, aval_of, copy_to_device, device_buffer, from_buffer, from_memory, host_pointer, own, to_array,
)
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.boundary cimport hide_internal_frames
from cyxla._engine.config cimport config_epoch, thread_flags, trace_epoch
from cyxla._engine.core cimport (
    ClosedJaxpr, Eqn, Jaxpr, Primitive, Tracer, Var, abstract_eval, current_trace, install_eager,
    params_key,
)
from cyxla._engine.dtypes cimport FLOAT0
from cyxla._engine import dtypes
from cyxla._engine.array import is_arraylike
from cyxla._engine.native cimport HostMemory, NativeProgram, new_memory
from cyxla._engine.pytree cimport (
    Flat, TreeDef, cache_key, flat_call, flat_clear, flat_init, flat_treedef, flatten_args, unflatten,
)
from cyxla._engine.vectorcall cimport PyVectorcall_NARGS, enable_vectorcall, vectorcallfunc

cdef extern from *:
    PyTypeObject* Py_TYPE(object)
    PyObject* PyTuple_GET_ITEM(tuple, Py_ssize_t)
    PyObject** PySequence_Fast_ITEMS(list)

cdef object compile_program = None   # (closed, name, device, **options) -> Executable
cdef object trace_function = None    # (JitFunction, leaves, in_tree, static) -> Entry
cdef Primitive jit_p = None


def install_compiler(function):
    """`function(closed_jaxpr, name, device, **options)` returns an `Executable`."""
    global compile_program
    compile_program = function


def install_jit(Primitive primitive, trace):
    """The primitive that a jitted call is under a trace, and the function that traces a new signature."""
    global jit_p, trace_function
    jit_p = primitive
    trace_function = trace


cdef dict counters = {"compilations": 0, "native": 0, "traces": 0, "trace_s": 0.0, "lower_s": 0.0, "compile_s": 0.0}


def stats():
    """Counts of traces and compilations in this process, and the seconds spent tracing, lowering and in XLA."""
    return dict(counters)


def count(str name, amount):
    """Adds to one of the counters of `stats()`."""
    counters[name] += amount


@cython.final
cdef class Executable:
    """One compiled program on one device."""

    def __init__(self, runner, loaded, out_avals, device, *, bint committed=False, constants=(), kept=None, donated=(),
                 native="not considered"):
        """`native` is a NativeProgram, or the reason why there is none."""
        self.execute = runner.execute
        self.consume = runner.consume
        self.handlers = list(runner.handlers)
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

    cdef list run(self, list arrays):
        """Runs the program on concrete arrays."""
        cdef Py_ssize_t i
        cdef list buffers, results
        for index in self.donated:
            arrays[index] = own(<Array>arrays[index])
        if self.native is not None:
            return self.run_native(PySequence_Fast_ITEMS(arrays), len(arrays))
        buffers = list(self.constants)
        if self.kept is None:
            for array in arrays:
                buffers.append(buffer_on(self.device, <ArrayImpl>array))
        else:
            for index in self.kept:
                buffers.append(buffer_on(self.device, <ArrayImpl>arrays[index]))
        for index in self.donated:
            # A view of the buffer on the host would make XLA copy it rather than reuse it.
            (<ArrayImpl>arrays[index]).host_ = None
        results = self.consume(self.execute(buffers), self.handlers, False)
        for i in range(len(results)):
            if (<ShapedArray>self.out_avals[i]).code == FLOAT0:
                results[i] = np.zeros((<ShapedArray>self.out_avals[i]).shape, dtypes.float0)
            else:
                results[i] = from_buffer(results[i], <ShapedArray>self.out_avals[i], self.device, self.committed)
        for index in self.donated:
            (<ArrayImpl>arrays[index]).deleted_ = True
        return results

    cdef list run_native(self, PyObject** arrays, Py_ssize_t n_arrays):
        """Runs the program on concrete arrays, in this thread and without the runtime."""
        cdef void* few[24]
        cdef void** buffers = few
        cdef Py_ssize_t i, first = self.native.n_parameters, n = self.native.n_outputs
        cdef HostMemory memory
        cdef ArrayImpl array
        cdef list results
        cdef list _held = None
        if first != len(self.constant_arrays) + (n_arrays if self.kept is None else len(self.kept)):
            raise TypeError(f"the program takes {first} arrays, but was called with {n_arrays}")
        results = PyList_New(n)
        if first + n > 24:
            buffers = <void**>PyMem_Malloc((first + n) * sizeof(void*))
            if buffers == NULL:
                raise MemoryError()
        try:
            self.point_at(arrays, n_arrays, buffers)
            if self.native.lengthy:
                # Other threads run meanwhile, and may delete an argument.
                _held = [(<ArrayImpl>arrays[i]).host_ for i in range(n_arrays)]
            for i in range(n):
                memory = new_memory(self.native.sizes[first + i])
                buffers[first + i] = memory.data
                array = from_memory(memory, <ShapedArray>self.out_avals[i], self.device, self.committed)
                Py_INCREF(array)
                PyList_SET_ITEM(results, i, array)
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

    cdef int point_at(self, PyObject** arrays, Py_ssize_t n_arrays, void** buffers) except -1:
        """Writes the addresses of constants and arguments."""
        cdef Py_ssize_t i
        for array in self.constant_arrays:
            buffers[0] = host_pointer(<ArrayImpl>array)
            buffers += 1
        if self.kept is None:
            for i in range(n_arrays):
                buffers[i] = host_pointer(<ArrayImpl>arrays[i])
        else:
            for index in self.kept:
                i = index
                buffers[0] = host_pointer(<ArrayImpl>arrays[i])
                buffers += 1
        return 0

    def call(self, arrays):
        return self.run([to_array(a) for a in arrays])


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
        array = <ArrayImpl>item
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


@cython.final
cdef class EagerCall:
    """The signature and program of a primitive's last eager call."""


cdef object eager(Primitive primitive, tuple args, dict params):
    if primitive.impl is not None:
        if primitive.open:
            return evaluate_users(primitive, args, params)
        return primitive.impl(*args, **params)
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
    arrays = list(args)
    if not params and primitive.eager_last is not None:
        last = <EagerCall>primitive.eager_last
        if is_repeated(last, args):
            executable = last.executable
    if executable is None:
        executable = find_executable(primitive, args, params, placement(arrays))
    results = executable.run(arrays)
    return results if primitive.multiple_results else results[0]


cdef bint is_repeated(EagerCall last, tuple args):
    """Whether a call without parameters has the signature of the last one."""
    cdef Py_ssize_t i, n = PyTuple_GET_SIZE(args)
    cdef ArrayImpl array
    if n != PyTuple_GET_SIZE(last.avals) or last.epoch != config_epoch() or last.generation != generation:
        return False
    for i in range(n):
        array = <ArrayImpl>PyTuple_GET_ITEM(args, i)
        if <PyObject*>array.aval != PyTuple_GET_ITEM(last.avals, i) or array.committed_:
            return False
    return True


cdef Executable find_executable(Primitive primitive, tuple args, dict params, object device):
    cdef Executable executable
    cdef EagerCall last
    cdef tuple avals = tuple([(<Array>a).aval for a in args])
    key = (avals, params_key(primitive, params), config_epoch(), device)
    try:
        executable = <Executable>primitive.eager_cache.get(key)
    except TypeError:
        # Some parameter has no hash.
        return compile_primitive(primitive, args, params, device)
    if executable is None:
        executable = compile_primitive(primitive, args, params, device)
        if len(primitive.eager_cache) >= 1024:
            primitive.eager_cache.clear()
        primitive.eager_cache[key] = executable
    if not params and device is None:
        last = EagerCall.__new__(EagerCall)
        last.avals = avals
        last.epoch = config_epoch()
        last.generation = generation
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
        self.closed = closed
        self.out_tree = out_tree
        self.name = name


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
    cdef object result = None
    if entry is not None and entry.executable is not None and current_trace() is None:
        flat_init(&flat)
        try:
            flat_call(&flat, <PyObject**>args, n, kwnames)
            if matches(entry, &flat):
                result = run_flat(entry, &flat)
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


cdef bint matches(Entry entry, Flat* flat):
    """Whether flat arguments have the signature of an entry."""
    cdef Py_ssize_t i
    cdef PyObject* leaf
    cdef tuple avals = entry.avals
    if flat.n_leaves != PyTuple_GET_SIZE(avals) or flat_treedef(flat) is not entry.in_tree:
        return False
    if entry.generation != generation or trace_epoch() != entry.epoch or thread_flags().disable_jit:
        return False
    for i in range(flat.n_leaves):
        leaf = flat.leaves[i]
        if Py_TYPE(<object>leaf) != <PyTypeObject*>ArrayImpl:
            return False
        if <PyObject*>(<ArrayImpl>leaf).aval != PyTuple_GET_ITEM(avals, i) or (<ArrayImpl>leaf).committed_:
            return False
    return True


cdef object run_flat(Entry entry, Flat* flat):
    if entry.executable.native is not None and not entry.executable.donated:
        return unflatten(entry.out_tree, entry.executable.run_native(flat.leaves, flat.n_leaves))
    cdef list arrays = PyList_New(flat.n_leaves)
    cdef Py_ssize_t i
    for i in range(flat.n_leaves):
        Py_INCREF(<object>flat.leaves[i])
        PyList_SET_ITEM(arrays, i, <object>flat.leaves[i])
    return unflatten(entry.out_tree, entry.executable.run(arrays))


cdef Entry find(JitFunction self, list leaves, TreeDef in_tree, object static):
    cdef list key = [cache_key(in_tree), static, trace_epoch()]
    cdef Entry entry
    cdef object device = None
    for leaf in leaves:
        if isinstance(leaf, Array):
            key.append((<Array>leaf).aval)
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
        self.entries[signature] = entry
        if static is None and device is None:
            entry.in_tree = in_tree
            entry.avals = signature[3:]
            entry.epoch = trace_epoch()
            entry.generation = generation
    return entry


cdef object call(JitFunction self, tuple args, dict kwargs):
    cdef list leaves = []
    cdef Executable executable
    cdef Entry entry
    cdef TreeDef in_tree
    cdef object static = None
    cdef Py_ssize_t i
    if thread_flags().disable_jit:
        return self.__wrapped__(*args, **(kwargs or {}))
    if not self.simple:
        args, kwargs, static = self.spec.split(args, kwargs)
    in_tree = flatten_args(args, kwargs, leaves)
    entry = find(self, leaves, in_tree, static)
    for i in range(len(leaves)):
        if not isinstance(leaves[i], Array):
            leaves[i] = to_array(leaves[i])
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
    if entry.avals is not None and self.simple:
        self.last = entry
    return unflatten(entry.out_tree, entry.executable.run(leaves))


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
