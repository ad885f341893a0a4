# cython: language_level=3

from cyxla._engine.caches import CacheInfo, evicted, register

cimport cython
from cpython.dict cimport PyDict_Next
from cpython.object cimport Py_EQ, PyObject_RichCompareBool
from cpython.ref cimport PyObject, Py_INCREF, Py_XDECREF
from libc.math cimport copysign

from cyxla._engine.array cimport Array, ArrayImpl, MutableArray, Value, aval_of, to_array
from cyxla._engine.aval cimport AbstractRef, ShapedArray, ref_aval, shaped_array, with_code
from cyxla._engine.caches cimport keep
from cyxla._engine.config cimport set_tracing
from cyxla._engine.dtypes cimport (
    BOOL, KIND_BOOL, KIND_COMPLEX, KIND_EXTENDED, KIND_FLOAT, KIND_SIGNED, KIND_UNSIGNED, info,
)
from cyxla._engine.source import line_of

cdef extern from *:
    """
    static thread_local PyObject* cyxla_current_trace = nullptr;
    static inline PyObject* get_current_trace() { return cyxla_current_trace; }
    static inline void set_current_trace(PyObject* trace) { cyxla_current_trace = trace; }
    """
    PyObject* PyTuple_GET_ITEM(tuple, Py_ssize_t) noexcept
    bint is_tuple "PyTuple_CheckExact"(PyObject*) noexcept
    PyObject* tuple_item "PyTuple_GET_ITEM"(PyObject*, Py_ssize_t) noexcept
    Py_ssize_t tuple_size "PyTuple_GET_SIZE"(PyObject*) noexcept
    bint PyObject_IS_GC(PyObject*) noexcept
    void PyObject_GC_UnTrack(void*) noexcept
    PyObject* get_current_trace() noexcept
    void set_current_trace(PyObject*) noexcept

cdef dict NO_PARAMS = {}
cdef dict primitives = {}
cdef Py_ssize_t ABSTRACT_BOUND = 2048        # results of abstract evaluation, for each primitive


def report_abstract():
    cdef Primitive primitive
    entries = sum([len(primitive.abstract_cache) for primitive in primitives.values()])
    return CacheInfo(entries, ABSTRACT_BOUND, evictions=evicted("abstract evaluation"))


def clear_abstract():
    cdef Primitive primitive
    for primitive in list(primitives.values()):
        primitive.abstract_cache.clear()
        primitive.abstract_last = None


register("abstract evaluation", report_abstract, clear_abstract)
cdef Evaluator eager = NULL
cdef object eager_on_references = None
cdef object load_module = None    # imports a module of _core by its name
cdef object tracer_errors = None  # the exceptions of cyxla.errors, installed by the layer that defines them

KINDS = {None: GENERAL, "elementwise": ELEMENTWISE, "compare": COMPARE}
ACCEPTS = {"b": KIND_BOOL, "i": KIND_SIGNED, "u": KIND_UNSIGNED, "f": KIND_FLOAT, "c": KIND_COMPLEX, "e": KIND_EXTENDED}


cdef void install_eager(Evaluator function) noexcept:
    global eager
    eager = function


def install_errors(errors):
    """`errors` is the module of tracer errors."""
    global tracer_errors
    tracer_errors = errors


def install_loader(load):
    """`load(name)` imports a module of `_core` when it is first needed: "printing", "leaks"."""
    global load_module
    load_module = load


def install_references(evaluate):
    """`evaluate(primitive, args, params)` evaluates a primitive on concrete arrays and references to some."""
    global eager_on_references
    eager_on_references = evaluate


def all_primitives():
    """Every primitive that the library made, by name. Those of users, made with a name only, are not among them."""
    return dict(primitives)


cdef class Primitive:
    """An operation of the language that transformations interpret, with all of its rules in one record.

    The rules and their signatures are described in `docs/architecture.md`, "How to add a primitive". A primitive made
    with a name only gets its rules one by one, by the methods `def_...` and the functions of `cyxla.interpreters`.
    """

    # Whether it is applied to a function, besides arrays; see `extend.core.CallPrimitive`.
    call_primitive = False

    def __init__(self, str name, *, abstract=None, impl=None, jvp=None, jvps=None, bint linear=False,
                 bint differentiable=True, linearize=None, transpose=None, batch=None, bint batch_needs_axis=False,
                 lower=None, kind=None, str accepts="biufc", bint multiple_results=False, effects=None,
                 bint host=False, bint ref_primitive=False, bint ref_allocating=False,
                 bint skip_canonicalization=False):
        cdef str letter
        self.name = name
        self.abstract = abstract
        self.impl = impl
        self.jvp = jvp
        self.jvps = tuple(jvps) if jvps is not None else None
        self.linear = linear
        self.differentiable = differentiable
        self.linearize = linearize
        self.transpose = transpose
        self.batch = batch
        self.batch_needs_axis = batch_needs_axis
        self.lower = lower
        self.kind = KINDS[kind]
        for letter in accepts:
            self.accepts |= 1 << <int>(ACCEPTS[letter])
        self.multiple_results = multiple_results
        self.effects = effects
        self.host = host
        self.ref_primitive = ref_primitive
        self.ref_allocating = ref_allocating
        self.skip_canonicalization = skip_canonicalization
        self.abstract_cache = {}
        self.eager_cache = {}
        self.lower_cache = {}
        self.host_plans = {}
        self.open = abstract is None and kind is None
        if not self.open:
            primitives[name] = self

    def __repr__(self):
        return self.name

    @property
    def is_effectful(self):
        """What says, from the parameters of an equation, whether it has effects; None where that is not known so."""
        if self.open or self.effects is None:
            return None
        return lambda params: bool(self.effects(**params))

    def def_impl(self, impl):
        """Sets what evaluates the primitive on concrete arrays, `impl(*args, **params)`; returns `impl`."""
        self.impl = impl
        return impl

    def def_abstract_eval(self, abstract_eval):
        """Sets the rule `(*avals, **params) -> aval`, or a list of avals with `multiple_results`; returns it."""
        self.abstract = abstract_eval
        self.effectful_abstract = None
        self.effects = None
        return abstract_eval

    def def_effectful_abstract_eval(self, abstract_eval):
        """Sets the rule `(*avals, **params) -> (aval or avals, set of effects)`; returns it."""
        def abstract(*avals, **params):
            return abstract_eval(*avals, **params)[0]

        self.abstract = abstract
        self.effectful_abstract = abstract_eval
        # That there are effects; which ones, `eqn_effects` asks the rule, which also looks at the operands.
        self.effects = no_effects
        return abstract_eval

    def bind_with_trace(self, Trace trace, args, *avals_and_params):
        """Applies the primitive under a trace; the last argument is the dict of parameters."""
        cdef Trace target = None if type(trace) is EvalTrace else trace
        return bind_on(target, self, tuple([to_array(a) for a in args]), avals_and_params[-1])

    def get_bind_params(self, params):
        """`(subfuns, params)` such that `bind(*subfuns, *args, **params)` applies an equation with these parameters."""
        return [], params

    def forget_programs(self):
        """Drops what was compiled of the primitive alone; for those who change its rules."""
        self.eager_cache.clear()
        self.lower_cache.clear()
        self.abstract_cache.clear()
        self.abstract_last = None
        self.eager_last = None

    def bind(self, *args, **params):
        """Applies the primitive under the current trace."""
        cdef Py_ssize_t i
        for i in range(len(args)):
            if not isinstance(args[i], Array):
                args = self.arrays(args)
                break
        return bind(self, args, params)

    def arrays(self, args):
        """The operands as arrays; TypeError for what is none."""
        try:
            return tuple([to_array(a) for a in args])
        except TypeError as error:
            text = str(error)
            if type(error) is not TypeError or not text.startswith("expected an array"):
                raise
            raise TypeError(f"{self.name}: {text}") from None

    def abstract_eval(self, *avals, **params):
        """The abstract value of the result (a list of them for several) given those of the operands."""
        return abstract_eval(self, avals, params)

    def __reduce__(self):
        if primitives.get(self.name) is not self:
            raise TypeError(f"cannot pickle the primitive {self.name}: another process could not find it by its name")
        return primitive_by_name, (self.name,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


def primitive_by_name(name):
    return primitives[name]


def no_effects(**params):
    """The effects of a primitive whose effects depend on more than its parameters."""
    return EMPTY


# -- traces

cdef class Trace:
    """What is done with primitives while a transformation is under way."""

    def __cinit__(self, *args, **kwargs):
        self.alive = True

    cdef object process(self, Primitive primitive, tuple args, dict params):
        # Of a trace written in Python.
        if type(self).process_primitive is Trace.process_primitive:
            raise TypeError(f"{type(self).__name__} does not handle primitives; give it a method process_primitive")
        return self.process_primitive(primitive, list(args), params)

    def process_primitive(self, Primitive primitive, args, params):
        return self.process(primitive, tuple(args), params)

    def invalidate(self):
        """Makes further use of the tracers of this trace an error."""
        self.alive = False

    def is_valid(self):
        return self.alive


@cython.final
cdef class EvalTrace(Trace):
    """Eager evaluation, for those who want a trace object for it."""

    cdef object process(self, Primitive primitive, tuple args, dict params):
        return bind_on(None, primitive, args, params)


cdef Trace current_trace():
    cdef PyObject* trace = get_current_trace()
    return None if trace == NULL else <Trace><object>trace


cdef PyObject* swap_trace(Trace trace) noexcept:
    # Both pointers are borrowed: whoever swaps keeps its trace alive until it restores the previous one.
    cdef PyObject* previous = get_current_trace()
    if trace is None:
        set_current_trace(NULL)
    else:
        set_current_trace(<PyObject*>trace)
    set_tracing(trace is not None)
    return previous


cdef void restore_trace(PyObject* previous) noexcept:
    set_current_trace(previous)
    set_tracing(previous != NULL)


def get_trace():
    """The current trace of this thread; None when operations are evaluated eagerly."""
    return current_trace()


@cython.final
cdef class CompileTimeTrace(Trace):
    """Evaluates what concrete arrays are enough for; leaves the rest to the trace that was current before."""

    def __init__(self, Trace parent):
        self.parent = parent
        self.alive = True

    cdef object process(self, Primitive primitive, tuple args, dict params):
        for arg in args:
            if not isinstance(arg, ArrayImpl):
                return bind_on(self.parent, primitive, args, params)
        return bind_on(None, primitive, args, params)


cdef class using_trace:
    """Context manager: makes a trace (None for eager evaluation) the current one of this thread."""
    cdef Trace trace
    cdef object previous

    def __init__(self, Trace trace):
        self.trace = None if type(trace) is EvalTrace else trace

    def __enter__(self):
        self.previous = current_trace()
        swap_trace(self.trace)
        return self.trace

    def __exit__(self, *exc):
        cdef PyObject* current = swap_trace(<Trace>self.previous)
        cdef PyObject* own = NULL
        if self.trace is not None:
            own = <PyObject*>self.trace
        if current != own:
            # A generator that was left inside ends now, in some other trace or after its own: that stays. Who was made
            # current under this one will restore it, so it must not end.
            restore_trace(current)
            if own != NULL:
                Py_INCREF(self.trace)
        return False


# Classes marked no_gc refer to nothing that could refer back to them: one object less for the collector to look at.

@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Zero:
    """A symbolic zero tangent or cotangent."""

    def __init__(self, ShapedArray aval):
        self.aval = aval

    def __repr__(self):
        return f"Zero({self.aval.str_short()})"

    @staticmethod
    def from_primal_value(value):
        """The zero tangent of a value."""
        return Zero(tangent_aval(aval_of(value)))

    def instantiate(self):
        """The zeros as an array."""
        from cyxla._engine.autodiff import instantiate_zeros

        return instantiate_zeros(self)


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class UndefinedPrimal:
    """Stands for a linear operand in a transpose rule."""

    def __init__(self, ShapedArray aval):
        self.aval = aval

    def __repr__(self):
        return f"UndefinedPrimal({self.aval.str_short()})"


def is_undefined_primal(x):
    return type(x) is UndefinedPrimal


cdef ShapedArray tangent_aval(ShapedArray aval):
    cdef int code = info[aval.code].tangent
    if code == aval.code:
        return aval
    if type(aval) is AbstractRef:
        return ref_aval(tangent_aval((<AbstractRef>aval).inner_aval))
    return shaped_array(aval.shape, code, False)


def aval_to_tangent(ShapedArray aval):
    return tangent_aval(aval)


cdef class Tracer(Array):
    """An array whose value is not known while a function is transformed."""

    def __init__(self, Trace trace=None, ShapedArray aval=None):
        if trace is None or aval is None:
            raise TypeError("tracers are made by transformations only; one of a trace of your own is made by "
                            "Tracer.__init__(trace, aval)")
        self._trace = trace
        self.aval = aval

    def __repr__(self):
        return f"{type(self).__name__}<{self.aval.str_short()}>"

    def _origin(self):
        return ""

    def __bool__(self):
        raise tracer_errors.TracerBoolConversionError(self)

    def __float__(self):
        raise tracer_errors.ConcretizationTypeError(self, "the function float() was called on it")

    def __int__(self):
        raise tracer_errors.ConcretizationTypeError(self, "the function int() was called on it")

    def __complex__(self):
        raise tracer_errors.ConcretizationTypeError(self, "the function complex() was called on it")

    def __index__(self):
        raise tracer_errors.TracerIntegerConversionError(self)

    def __array__(self, *args, **kwargs):
        raise tracer_errors.TracerArrayConversionError(self)

    def item(self, *args):
        raise tracer_errors.ConcretizationTypeError(self, "the method .item() was called on it")

    def tolist(self):
        raise tracer_errors.ConcretizationTypeError(self, "the method .tolist() was called on it")

    # What only arrays in memory have.

    def _not_in_memory(self, what):
        return tracer_errors.ConcretizationTypeError(self, f"{what} was asked for")

    def addressable_data(self, index):
        raise self._not_in_memory("the data on a device, by addressable_data(),")

    @property
    def addressable_shards(self):
        raise self._not_in_memory("the attribute .addressable_shards")

    @property
    def global_shards(self):
        raise self._not_in_memory("the attribute .global_shards")

    @property
    def committed(self):
        raise self._not_in_memory("whether it is committed to a device")

    def devices(self):
        raise self._not_in_memory("the devices it is on, by devices(),")

    @property
    def is_fully_addressable(self):
        raise self._not_in_memory("the attribute .is_fully_addressable")

    @property
    def is_fully_replicated(self):
        raise self._not_in_memory("the attribute .is_fully_replicated")

    def delete(self):
        raise self._not_in_memory("its deletion, by delete(),")

    def is_deleted(self):
        raise self._not_in_memory("whether it is deleted")

    def on_device_size_in_bytes(self):
        raise self._not_in_memory("its size in memory, by on_device_size_in_bytes(),")

    def unsafe_buffer_pointer(self):
        raise self._not_in_memory("its address, by unsafe_buffer_pointer(),")

    def to_concrete_value(self):
        """None: the value is not known."""
        return None

    def full_lower(self):
        return self

    def __iter__(self):
        if self.aval.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return iter([self[i] for i in range(self.aval.shape[0])])

    def __format__(self, spec):
        return format(repr(self), spec)

    def __reduce__(self):
        raise tracer_errors.ConcretizationTypeError(self, "it was pickled")

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def block_until_ready(self):
        return self

    def copy_to_host_async(self):
        pass


@cython.final
cdef class ForbiddenTracer(Tracer):
    """Stands for a value that cannot be computed, and that perhaps nobody wants; using it raises."""


cpdef ForbiddenTracer forbidden(ShapedArray aval, error):
    """A value of a type whose use raises `error()`."""
    cdef ForbiddenTracer tracer = ForbiddenTracer.__new__(ForbiddenTracer)
    tracer.aval = aval
    tracer.error = error
    return tracer


def check_not_forbidden(value):
    """Raises for what `forbidden` made."""
    if type(value) is ForbiddenTracer:
        check_tracer(value)


cdef int check_tracer(Tracer tracer) except -1:
    if tracer._trace is None or not tracer._trace.alive:
        if type(tracer) is ForbiddenTracer:
            raise (<ForbiddenTracer>tracer).error()
        raise tracer_errors.UnexpectedTracerError(tracer)
    return 0


cdef int report_leaks(Trace trace) except -1:
    """Raises for the tracers of a trace that somebody still holds; for `jax_check_tracer_leaks`."""
    load_module("leaks").report(trace)
    return 0


# -- binding

cdef object bind(Primitive primitive, tuple args, dict params):
    cdef PyObject* trace = get_current_trace()
    if trace != NULL:
        return (<Trace><object>trace).process(primitive, args, params)
    for arg in args:
        if not isinstance(arg, ArrayImpl):
            if isinstance(arg, MutableArray):
                return eager_on_references(primitive, args, params)
            check_tracer(arg)
            # A tracer of a live trace, used where that trace is not current: another thread, or a callback.
            raise tracer_errors.UnexpectedTracerError(arg)
    return eager(primitive, args, params)


cdef object bind_on(Trace trace, Primitive primitive, tuple args, dict params):
    cdef PyObject* previous = swap_trace(trace)
    try:
        return bind(primitive, args, params)
    finally:
        restore_trace(previous)


# -- abstract evaluation

cdef object params_key(Primitive primitive, dict params):
    """A hashable key of the parameters, in the order in which this primitive first saw them; None without one."""
    cdef PyObject* name
    cdef PyObject* value
    cdef Py_ssize_t position = 0, i = 0
    cdef list values
    cdef tuple names = primitive.param_names
    if not params:
        return ()
    if names is None:
        primitive.param_names = names = tuple(params)
    values = []
    if len(names) == len(params):
        while PyDict_Next(params, &position, &name, &value):
            if name != PyTuple_GET_ITEM(names, i):
                values = None
                break
            values.append(distinct(<object>value))
            i += 1
        if values is not None:
            return tuple(values)
    return tuple([(k, distinct(params[k])) for k in sorted(params)])


cdef inline object distinct(object value):
    # 1 == 1.0 == True and 0.0 == -0.0, but they mean different programs.
    if type(value) is float:
        return (float, value, copysign(1.0, <double>value))
    if type(value) is bool:
        return (bool, value)
    return value


cdef object reject(Primitive primitive, tuple args, Py_ssize_t position):
    aval = aval_of(args[position])
    if type(aval) is AbstractRef:
        reject_reference(primitive, position, aval)
    letters = {"b": "bool", "i": "signed integer", "u": "unsigned integer", "f": "floating", "c": "complex",
               "e": "extended"}
    wanted = ", ".join([letters[k] for k, v in ACCEPTS.items() if primitive.accepts >> <int>(v) & 1])
    raise TypeError(f"{primitive.name}: operand {position} has dtype {aval.dtype}; it must be {wanted}. Convert it "
                    "with .astype(...).")


cdef ShapedArray elementwise_aval(Primitive primitive, tuple args, bint compare):
    cdef ShapedArray result = None, aval
    cdef Py_ssize_t i
    cdef bint weak = True
    for i in range(len(args)):
        arg = args[i]
        aval = (<Value>arg).aval if isinstance(arg, Value) else <ShapedArray?>arg
        if not primitive.accepts >> info[aval.code].kind & 1:
            reject(primitive, args, i)
        weak = weak and aval.weak_type
        if result is None or result is aval:
            result = aval
            continue
        if aval.code != result.code:
            names = ", ".join([str(aval_of(a).dtype) for a in args])
            raise TypeError(f"{primitive.name}: operands of dtypes {names} need one dtype. "
                            "The function of the same meaning in cyxla.numpy promotes dtypes.")
        if aval.ndim != 0:
            if result.ndim == 0:
                result = aval
            elif aval.shape != result.shape:
                shapes = ", ".join([str(aval_of(a).shape) for a in args])
                raise TypeError(f"{primitive.name}: shapes {shapes} differ. Operands of lax functions need equal "
                                "shapes, or rank 0; the function of the same meaning in cyxla.numpy broadcasts.")
    if compare:
        return with_code(result, BOOL, False)
    return result if result.weak_type == weak else with_code(result, result.code, weak)


def reject_references(Primitive primitive, args):
    """Raises for operands of which at least one is a reference."""
    for i, arg in enumerate(args):
        if type(aval_of(arg)) is AbstractRef:
            reject_reference(primitive, i, aval_of(arg))


cdef int reject_reference(Primitive primitive, Py_ssize_t position, ShapedArray aval) except -1:
    raise TypeError(f"{primitive.name}: operand {position} is a reference of type {aval.str_short()}; operations take "
                    "what it holds: write ref[...] for all of it")


cdef object abstract_eval(Primitive primitive, tuple args, dict params):
    cdef Py_ssize_t i
    cdef tuple last
    if primitive.kind != GENERAL:
        return elementwise_aval(primitive, args, primitive.kind == COMPARE)
    # Held here: to compare parameters may run Python code, which evaluates something else.
    last = primitive.abstract_last
    if last is not None and is_last(last, args, params):
        return last[3]
    avals = tuple([(<Value>arg).aval if isinstance(arg, Value) else arg for arg in args])
    key = params_key(primitive, params)
    try:
        found = primitive.abstract_cache.get((avals, key))
    except TypeError:
        return primitive.abstract(*avals, **params)
    if found is None:
        if primitive.effects is None:
            # Operations on references have effects.
            for i in range(len(avals)):
                if type(avals[i]) is AbstractRef:
                    reject_reference(primitive, i, avals[i])
        if primitive.abstract is None:
            raise NotImplementedError(f"{primitive.name} has no rule for abstract evaluation; give it one by "
                                      "def_abstract_eval")
        found = primitive.abstract(*avals, **params)
        if primitive.open:
            # A user's rule may look at more than its arguments.
            return checked_avals(primitive, found)
        if holds_jaxpr(params):
            return found
        keep(primitive.abstract_cache, (avals, key), found, ABSTRACT_BOUND, "abstract evaluation")
    primitive.abstract_last = (avals, tuple(params), tuple(params.values()), found)
    return found


cdef bint is_last(tuple last, tuple args, dict params) except -1:
    """Whether these are operands and parameters of the last evaluation: cheaper than making a key and hashing it."""
    cdef tuple avals = <tuple>PyTuple_GET_ITEM(last, 0)
    cdef Py_ssize_t i, n = len(args)
    if len(avals) != n:
        return False
    for i in range(n):
        arg = <object>PyTuple_GET_ITEM(args, i)
        if PyTuple_GET_ITEM(avals, i) != <PyObject*>((<Value>arg).aval if isinstance(arg, Value) else arg):
            return False
    return same_params(params, <tuple>PyTuple_GET_ITEM(last, 1), <tuple>PyTuple_GET_ITEM(last, 2))


cdef bint same_params(dict params, tuple names, tuple values) except -1:
    """Whether parameters have these names, in this order, and these values. May run Python code: hold the tuples."""
    cdef PyObject* name
    cdef PyObject* value
    cdef PyObject* known
    cdef Py_ssize_t position = 0, i = 0
    if len(names) != len(params):
        return False
    while PyDict_Next(params, &position, &name, &value):
        if name != PyTuple_GET_ITEM(names, i):
            return False
        known = PyTuple_GET_ITEM(values, i)
        if value != known:
            # 0.0 == -0.0 and 1 == True, but they mean different programs.
            if type(<object>value) is not type(<object>known) or type(<object>value) is float:
                return False
            if not PyObject_RichCompareBool(<object>value, <object>known, Py_EQ):
                return False
        i += 1
    return True


cdef object checked_avals(Primitive primitive, object result):
    """What a user's abstract evaluation returned, as avals."""
    if not primitive.multiple_results:
        return checked_aval(primitive, result)
    try:
        return [checked_aval(primitive, aval) for aval in result]
    except TypeError as error:
        raise TypeError(f"{primitive.name}: the rule for abstract evaluation returned {result!r:.200}; a primitive of "
                        "several results needs a list of ShapedArrays") from error


cdef ShapedArray checked_aval(Primitive primitive, object result):
    if isinstance(result, ShapedArray):
        return <ShapedArray>result
    if isinstance(result, Array):
        return (<Array>result).aval
    if hasattr(result, "shape") and hasattr(result, "dtype"):
        return ShapedArray(tuple(result.shape), result.dtype, bool(getattr(result, "weak_type", False)))
    raise TypeError(f"{primitive.name}: the rule for abstract evaluation returned {result!r:.200} of type "
                    f"{type(result).__name__}; return a ShapedArray")


cdef bint holds_jaxpr(dict params):
    # The cache must not keep programs alive.
    for value in params.values():
        if is_program(value):
            return True
        if type(value) is tuple:
            for item in <tuple>value:
                if is_program(item):
                    return True
    return False


cdef inline bint is_program(object value) noexcept:
    return type(value) is Jaxpr or type(value) is ClosedJaxpr and not (<ClosedJaxpr>value).lasting


include "core/jaxprs.pxi"
